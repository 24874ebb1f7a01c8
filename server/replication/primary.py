"""The master's side: replicas introduce themselves, ask to be synchronised, say how far they are.

Owns the table of replicas and the decision between going on (a partial resynchronisation) and beginning anew. A replica
is a session of kind `replica` from PSYNC or SYNC on. Making and sending snapshots is `full_sync`.
"""

from __future__ import annotations

from time import monotonic

from protocol.reply import NO_REPLY, OK
from server import admission
from server.client_description import describe
from server.log import shown
from server.number_arguments import integer, integer_between
from server.propagated_errors import MASTER_TO_REPLICA, report
from server.replication.backlog import NOBODY
from server.replication.full_sync import FullSync
from server.replication.replica import (
    CAN_CONTINUE_ELSEWHERE,
    CAN_EOF,
    CAPABILITIES,
    FILTER_DATA,
    FILTER_FUNCTIONS,
    FILTER_NOTHING,
    ONLINE,
    RECEIVES,
    WAITS_END,
    WAITS_START,
    Replica,
)
from server.session import REPLY_OFF
from storage.errors import SYNTAX_ERROR, CommandError
from storage.numeric import parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence

    from server.replication.service import Replication
    from server.session import Session

MAX_ADDRESS_BYTES = 255  # as in Redis: replica-announce-ip may be the name of a host
NO_MASTER_LINK = b"NOMASTERLINK Can't SYNC while not connected with my master"


class Primary:
    """Replicas by session, in the order they came."""

    def __init__(self, replication: Replication, replicas: Dict[Session, Replica]) -> None:
        self.replication = replication
        self.services = replication.services
        self.config = replication.services.config
        self.log = replication.services.log
        self.history = replication.history
        self.feed = replication.feed
        self.replicas = replicas
        self.full_sync = FullSync(self)
        self.lonely_since_s = monotonic()
        self.pinged_s = monotonic()

    # Introduction ----------------------------------------------------------------------------------------------

    def replica_of(self, session: Session) -> Replica:
        if session.extra.__class__ is not Replica:
            session.extra = Replica(session, self.history)
        replica: Replica = session.extra
        return replica

    def configure(self, session: Session, argv: Sequence[bytes]) -> Any:
        """REPLCONF."""
        if len(argv) % 2 == 0:
            raise CommandError(SYNTAX_ERROR)
        for at in range(1, len(argv), 2):
            option = argv[at].lower()
            value = argv[at + 1]
            if option == b"ack":
                self.acknowledge(session, argv, at)
                return NO_REPLY
            if option == b"getack":
                if self.replication.link is not None:
                    self.replication.link.send_ack()
                return NO_REPLY
            replica = self.replica_of(session)
            if option == b"listening-port":
                replica.port = integer(value)
            elif option == b"ip-address":
                if len(value) > MAX_ADDRESS_BYTES:
                    raise CommandError(
                        b"ERR REPLCONF ip-address provided by replica instance is too long: %d bytes" % len(value)
                    )
                replica.announced_ip = value
            elif option == b"capa":
                replica.capabilities |= CAPABILITIES.get(value.lower(), 0)
            elif option == b"rdb-only":
                replica.wants_snapshot_only = integer_between(value, 0, 1) == 1
            elif option == b"rdb-filter-only":
                replica.filter = FILTER_NOTHING
                words = value.split()
                if words:
                    replica.filter = FILTER_DATA | FILTER_FUNCTIONS
                for word in words:
                    if word.lower() != b"functions":
                        raise CommandError(b"ERR Unsupported rdb-filter-only option: %b" % word)
                    replica.filter &= ~FILTER_FUNCTIONS
            elif option == b"version":
                replica.version = version_number(value)
            else:
                raise CommandError(b"ERR Unrecognized REPLCONF option: %b" % argv[at])
        if session.kind == b"replica":
            return self.reject_reply(session, b"replconf")
        return OK

    def reject_reply(self, session: Session, command: bytes, error: bytes = b"") -> Any:
        """Close the link of a replica whose command would be answered: its bytes are those of the stream."""
        by = shown(describe(session))
        name = shown(command)
        self.log.warning("Replica generated a reply to command '%s', disconnecting it: %s" % (name, by))
        if error:
            report(self.services, MASTER_TO_REPLICA, error, command)
        session.doom()
        return NO_REPLY

    def acknowledge(self, session: Session, argv: Sequence[bytes], at: int) -> None:
        """REPLCONF ACK offset [FACK offset]: never answered."""
        replica = self.replicas.get(session)
        if replica is None:
            return
        try:
            replica.acknowledged = max(replica.acknowledged, parse_int(argv[at + 1]))
            if len(argv) > at + 3 and argv[at + 2].lower() == b"fack":
                replica.logged = max(replica.logged, parse_int(argv[at + 3]))
        except ValueError:
            return
        replica.acknowledged_s = monotonic()
        if replica.state == RECEIVES:
            replica.is_ready = True
        elif replica.waits_for_ack:
            self.full_sync.begin_stream(replica)
        self.replication.on_acknowledged()

    # Synchronisation -------------------------------------------------------------------------------------------

    def synchronise(self, session: Session, argv: Sequence[bytes]) -> Any:
        """PSYNC and SYNC."""
        if session.kind == b"replica":
            return NO_REPLY
        replication = self.replication
        if len(argv) > 3 and argv[3].lower() == b"failover":
            if not replication.is_replica:
                raise CommandError(b"ERR PSYNC FAILOVER can't be sent to a master.")
            if argv[1] != self.history.id:
                raise CommandError(b"ERR PSYNC FAILOVER replid must match my replid.")
            self.log.warning("Failover request received for replid %s." % argv[1].decode("latin-1"))
            by = shown(describe(session, argv))
            replication.promote("failover request from '%s'" % by)
        if replication.is_replica and not replication.is_link_up:
            raise CommandError(NO_MASTER_LINK)
        if session.out:
            raise CommandError(b"ERR SYNC and PSYNC are invalid with pending output")
        replica = self.replica_of(session)
        replica.has_psync = argv[0].lower() == b"psync"
        if replica.filter and not replica.capabilities & CAN_EOF:
            raise CommandError(b"ERR Filtered replica requires EOF capability")
        self.log.notice("Replica %s asks for synchronization" % replica.name)
        if replica.has_psync:
            try:
                wanted = integer(argv[2])
            except CommandError:
                self.log.warning("Replica %s asks for synchronization but with a wrong offset" % replica.name)
                raise
            if self.go_on(replica, argv[1], wanted):
                return NO_REPLY
            if argv[1][:1] != b"?":
                replication.partial_refused += 1
        replication.full_syncs += 1
        self.enlist(replica, WAITS_START)
        self.full_sync.explain(replica)
        self.full_sync.consider()
        return NO_REPLY

    def enlist(self, replica: Replica, state: int) -> None:
        """The session is a replica's link from now on."""
        session = replica.session
        session.kind = b"replica"
        session.set_mode(admission.IS_REPLICA, True)
        session.reply_mode = REPLY_OFF
        if session.connection is not None:
            import socket

            try:
                quick = not self.config.repl_disable_tcp_nodelay
                session.connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, quick)
            except OSError:
                pass
        replica.state = state
        replica.asked_s = replica.acknowledged_s = monotonic()
        replica.heard_bytes = session.net_in
        self.replicas[session] = replica
        self.replication.keep_history()
        self.replication.on_replicas_changed()

    def go_on(self, replica: Replica, identity: bytes, wanted: int) -> bool:
        """Continue a replica's stream where it broke, if this history and the backlog reach there."""
        history = self.history
        self.feed.flush()
        name = replica.name
        if not history.includes(identity, wanted):
            if identity[:1] == b"?":
                self.log.notice("Full resync requested by replica %s" % name)
            elif identity not in (history.id, history.previous_id):
                self.log.notice(
                    "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '%s', "
                    "my replication IDs are '%s' and '%s')"
                    % (identity.decode("latin-1"), history.id.decode(), history.previous_id.decode())
                )
            else:
                self.log.notice(
                    "Partial resynchronization not accepted: Requested offset for second ID was %d, but I can reply up "
                    "to %d" % (wanted, history.previous_until)
                )
            return False
        backlog = history.backlog
        if backlog is None or not backlog.holds(wanted):
            self.log.notice(
                "Unable to partial resync with replica %s for lack of backlog (Replica request was: %d)."
                % (name, wanted)
            )
            if wanted > history.offset:
                self.log.warning(
                    "Warning: replica %s tried to PSYNC with an offset that is greater than the master replication "
                    "offset." % name
                )
            return False
        chunks = backlog.since(wanted)
        self.enlist(replica, ONLINE)
        session = replica.session
        if replica.capabilities & CAN_CONTINUE_ELSEWHERE:
            session.send_encoded(b"+CONTINUE %b\r\n" % history.id)
        else:
            session.send_encoded(b"+CONTINUE\r\n")
        size = 0
        for chunk in chunks:
            size += len(chunk)
            session.send_encoded(chunk)
        self.replication.partial_accepted += 1
        self.log.notice(
            "Partial resynchronization request from %s accepted. Sending %d bytes of backlog starting from offset %d."
            % (name, size, wanted)
        )
        return True

    # Keeping ---------------------------------------------------------------------------------------------------

    def settle_backlog(self) -> None:
        """Keep as much of the stream as those need who wait for their snapshot."""
        backlog = self.history.backlog
        if backlog is not None:
            needed = [replica.start_offset + 1 for replica in self.replicas.values() if replica.needs_backlog]
            backlog.keep_from(min(needed, default=NOBODY))

    def forget(self, session: Session) -> None:
        """The session ends."""
        replica = self.replicas.pop(session, None)
        if replica is None:
            return
        self.settle_backlog()
        replica.drop_file()
        session.extra = None
        self.log.notice("Connection with replica %s lost." % replica.name)
        self.lonely_since_s = monotonic()
        self.full_sync.on_lost()
        self.replication.on_replicas_changed()

    def disconnect_all(self) -> None:
        """Have every replica come again: what it knows of the history is no longer right."""
        for session in list(self.replicas):
            session.doom()
            self.services.clients.remove(session)

    def good_replicas(self, max_lag_s: int) -> int:
        """How many have said within the last so many seconds where they are. 0: any that is there."""
        now_s = monotonic()
        return sum(
            1
            for replica in self.replicas.values()
            if replica.state == ONLINE and now_s - replica.acknowledged_s < max_lag_s + 1
        )

    def online(self) -> List[Replica]:
        return [replica for replica in self.replicas.values() if replica.state == ONLINE]

    def each_second(self) -> None:
        """PING, timeouts, and what is kept for replicas that do not come back."""
        now_s = monotonic()
        config = self.config
        replication = self.replication
        if self.replicas and now_s - self.pinged_s >= config.repl_ping_replica_period:
            self.pinged_s = now_s
            if not replication.is_replica and not replication.is_failing_over:
                self.feed.say(b"ping")
            for replica in self.replicas.values():
                # A replica that waits for its snapshot hears that its master lives.
                if replica.state == WAITS_START or (replica.state == WAITS_END and not self.full_sync.is_to_sockets):
                    replica.session.send_encoded(b"\n")
        for replica in list(self.replicas.values()):
            session = replica.session
            if session.net_in != replica.heard_bytes:
                replica.heard_bytes = session.net_in
                replica.acknowledged_s = now_s
            if replica.state == ONLINE and now_s - replica.acknowledged_s > config.repl_timeout:
                if replica.capabilities or replica.has_psync:
                    self.log.warning("Disconnecting timedout replica (streaming sync): %s" % replica.name)
                    session.doom()
        self.full_sync.each_second(now_s)
        if not self.replicas and not replication.is_replica and self.history.backlog is not None:
            ttl_s = config.repl_backlog_ttl
            if ttl_s and now_s - self.lonely_since_s > ttl_s:
                replication.drop_history()
                self.log.notice(
                    "Replication backlog freed after %d seconds without connected replicas." % ttl_s
                )

    def description(self) -> List[str]:
        """The slaveN fields of INFO."""
        return [
            "ip=%s,port=%d,state=%s,offset=%d,lag=%d"
            % (
                replica.ip,
                replica.port,
                replica.state_name,
                replica.acknowledged,
                replica.lag_s(),
            )
            for replica in self.replicas.values()
            if replica.state and replica.ip
        ]


def version_number(text: bytes) -> int:
    """7.2.255 as 0x0702ff."""
    number = 0
    parts = text.split(b".")
    for part in (parts + [b"0", b"0"])[:3]:
        if not part.isdigit():
            return 0
        number = number << 8 | min(int(part), 255)
    return number
