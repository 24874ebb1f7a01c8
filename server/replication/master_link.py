"""The link to the master: connecting, introducing ourselves, the snapshot, the stream.

Owns the socket and what is expected on it next; nothing waits for it. A link that breaks is tried again at once, then
every second; what was applied stays known (`service.history`), so the master may go on where it stopped.
"""

from __future__ import annotations

import os
import selectors
import socket
from errno import EAGAIN, EINPROGRESS, EWOULDBLOCK
from time import monotonic

from server import admission
from server.replication.applying import Applier, BrokenStream
from server.replication.transfer import Transfer, TransferFailure
from server.resolving import look_up
from server.session import DOOMED, REPLY_OFF
from server.socket_options import shut_down
from server.version import REDIS_VERSION
from storage.aof.records import encode_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from server.replication.service import Replication
    from server.resolving import Lookup, Place
    from server.session import Session
    from server.timers import Timer

    Expectation = Tuple[str, Callable[[bytes], None]]

CONNECT, CONNECTING, HANDSHAKE, TRANSFER, CONNECTED = range(5)
# As ROLE names them.
ROLE_NAMES = (b"connect", b"connecting", b"handshake", b"sync", b"connected")
WOULD_BLOCK = (EAGAIN, EWOULDBLOCK, EINPROGRESS)
RECV_BYTES = 64 * 1024
LOAD_RECV_BYTES = 1 << 20
MAX_LINE_BYTES = 64 * 1024


class MasterLink:
    """Exists while this server is a replica."""

    def __init__(self, replication: Replication, host: str, port: int) -> None:
        self.replication = replication
        self.services = replication.services
        self.config = replication.services.config
        self.log = replication.services.log
        self.history = replication.history
        self.host = host
        self.port = port
        self.state = CONNECT
        self.lookup: Optional[Lookup] = None  # of the host's addresses
        self.places: List[Place] = []  # addresses that were not tried yet
        self.socket: Any = None
        self.session: Optional[Session] = None  # of the stream
        self.applier: Optional[Applier] = None
        self.transfer: Optional[Transfer] = None
        self.expected: List[Expectation] = []
        self.last_asked = ""  # what the line that came last answers
        self.input = b""
        self.output = bytearray()
        self.heard_s = monotonic()
        self.down_since_s = monotonic()
        self.was_up = False
        self.full_id = b""
        self.full_offset = 0
        self.timer: Optional[Timer] = None
        self.is_failover = False  # ask the new master to take over
        self.is_watched = True  # for input: not while a file is loaded
        self.is_announced = False  # the log knows of the connection that comes
        self.is_closed = False

    # Connecting ------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Begin to connect; failing is found out later."""
        if self.is_closed or self.state != CONNECT:
            return
        if not self.is_announced:
            self.announce()
        self.is_announced = False
        self.state = CONNECTING
        self.heard_s = monotonic()
        self.lookup = look_up(self.replication.reactor, self.host, self.port, self.on_found)

    def announce(self, text: str = "Connecting to MASTER %s:%d") -> None:
        self.log.notice(text % (self.host, self.port))
        self.is_announced = True

    def on_found(self, places: List[Place], error: str) -> None:
        """The host's addresses are known: each is tried, until one takes the connection."""
        if places:
            self.places = places
            self.connect_next()
        else:
            self.fail("Unable to connect to MASTER: %s" % error)

    def connect_next(self) -> None:
        """Try the next of the host's addresses; only the last one's failure is the link's."""
        family, kind, protocol, _, address = self.places.pop(0)
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            if self.config.bind_source_addr:
                sock.bind((self.config.bind_source_addr, 0))
            code = sock.connect_ex(address)
            if code and code not in WOULD_BLOCK:
                raise OSError(code, os.strerror(code))
        except OSError as error:
            if sock is not None:
                sock.close()
            if self.places:
                self.connect_next()
            else:
                self.fail("Unable to connect to MASTER: %s" % (error.strerror or error))
            return
        self.socket = sock
        self.input = b""
        self.output = bytearray()
        self.replication.reactor.selector.register(sock, selectors.EVENT_WRITE, self.on_connected)
        self.log.notice("MASTER <-> REPLICA sync started")

    def on_connected(self) -> None:
        """Connecting has ended: shake hands, or try another address."""
        if self.socket is None or self.state != CONNECTING:
            return  # ended by another event of this turn
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code and self.places:
            self.replication.reactor.selector.unregister(self.socket)
            self.socket.close()
            self.socket = None
            self.connect_next()
            return
        if code:
            self.fail("Error condition on socket for SYNC: %s" % os.strerror(code))
            return
        self.log.notice("Non blocking connect for SYNC fired the event.")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector = self.replication.reactor.selector
        selector.unregister(self.socket)
        if self.config.tls_replication:
            from server.tls import client_stream

            try:
                self.socket = client_stream(self.socket, self.config)
            except OSError as error:
                self.fail("Unable to speak TLS to MASTER: %s" % (error.strerror or error))
                return
        selector.register(self.socket, selectors.EVENT_READ, self.on_readable)
        self.state = HANDSHAKE
        self.heard_s = monotonic()
        self.expected = [("PING", self.on_pong)]
        self.send(b"PING")

    def send(self, *argv: bytes) -> None:
        self.send_raw(encode_record(argv))

    def send_raw(self, data: bytes) -> None:
        """Send now if possible, else with what is sent next: a master that reads nothing gets nothing."""
        if self.socket is None:
            return
        self.output += data
        try:
            sent = self.socket.send(self.output)
            del self.output[:sent]
        except OSError as error:
            if error.errno not in WOULD_BLOCK:
                self.lose_soon()

    def lose_soon(self) -> None:
        """The socket is broken: end the link between two units, not inside of one."""
        broken = self.socket

        def lose() -> None:
            if self.socket is broken:  # it may have been lost, and another one opened, meanwhile
                self.lose()

        self.services.timers.at(monotonic(), lose)

    # Handshake -------------------------------------------------------------------------------------------------

    def on_pong(self, line: bytes) -> None:
        """Introduce this replica: everything is sent at once, and the answers come in that order."""
        if line[:1] != b"+" and not line.startswith((b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")):
            self.fail("Error reply to PING from master: '%s'" % line.decode("latin-1"))
            return
        self.log.notice("Master replied to PING, replication can continue...")
        config = self.config
        password, user = config.masterauth, config.masteruser
        self.expected = []
        if password:
            self.ask("AUTH", self.on_auth, *((user, password) if user else (password,)))
        port = config.replica_announce_port or config.port or config.tls_port
        self.ask("REPLCONF listening-port", self.on_configured, b"listening-port", b"%d" % port)
        if config.replica_announce_ip:
            self.ask("REPLCONF ip-address", self.on_configured, b"ip-address", config.replica_announce_ip)
        self.ask("REPLCONF capa", self.on_configured, b"capa", b"eof", b"capa", b"psync2")
        self.ask("REPLCONF version", self.on_configured, b"version", REDIS_VERSION.encode())
        self.expected.append(("", self.on_configured))  # marks the end

    def ask(self, what: str, on_answer: Callable[[bytes], None], *words: bytes) -> None:
        self.expected.append((what, on_answer))
        self.send(what.split()[0].encode(), *words)

    def on_auth(self, line: bytes) -> None:
        if line[:1] == b"-":
            self.fail("Unable to AUTH to MASTER: %s" % line.decode("latin-1"))

    def on_configured(self, line: bytes) -> None:
        if line[:1] == b"-":
            self.log.notice(
                "(Non critical) Master does not understand %s: %s" % (self.last_asked, line.decode("latin-1"))
            )

    def ask_for_data(self) -> None:
        """PSYNC: go on where this history ends, if the master still knows."""
        history = self.history
        self.replication.feed.flush()
        if self.replication.has_history:
            identity, wanted = history.id, history.offset + 1
            self.log.notice("Trying a partial resynchronization (request %s:%d)." % (identity.decode(), wanted))
        else:
            identity, wanted = b"?", -1
            self.log.notice("Partial resynchronization not possible (no cached master)")
        words = [b"PSYNC", identity, b"%d" % wanted]
        if self.is_failover:
            words.append(b"FAILOVER")
        self.expected = [("PSYNC", self.on_psync)]
        self.send(*words)

    def on_psync(self, line: bytes) -> None:
        """The master goes on where this history ends, sends a snapshot first, or can do neither now."""
        words = line.split()
        was_failover, self.is_failover = self.is_failover, False
        if line.startswith(b"+FULLRESYNC") and len(words) == 3 and len(words[1]) == 40 and words[2].isdigit():
            self.full_id, self.full_offset = words[1], int(words[2])
            self.log.notice("Full resync from master: %s:%d" % (words[1].decode("latin-1"), self.full_offset))
            if was_failover:
                self.replication.on_failover_answered(True)
            self.expected = [("", self.on_frame)]
            self.state = TRANSFER
        elif line.startswith(b"+CONTINUE"):
            self.log.notice("Successful partial resynchronization with master.")
            identity = words[1] if len(words) > 1 and len(words[1]) == 40 else self.history.id
            if was_failover:
                self.replication.on_failover_answered(True)
            self.expected = []
            self.replication.on_continued(identity)
            self.begin_stream()
            self.log.notice("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.")
        else:
            text = line.decode("latin-1")
            is_passing = line.startswith((b"-NOMASTERLINK", b"-LOADING"))
            if is_passing:
                self.log.notice("Master is currently unable to PSYNC but should be in the future: %s" % text)
            elif line.startswith(b"-ERR"):
                self.log.notice("Master does not support PSYNC or is in error state (reply: %s)" % text)
            else:
                self.log.warning("Unexpected reply to PSYNC from master: %s" % text)
            if was_failover:
                self.drop()
                self.replication.on_failover_answered(False)
            elif is_passing:
                self.drop()
            else:
                self.log.notice("Retrying with SYNC...")
                self.full_id, self.full_offset = b"", 0
                self.state = TRANSFER
                self.expected = [("", self.on_frame)]
                self.send_raw(b"SYNC\r\n")

    def on_frame(self, line: bytes) -> None:
        """The line before the snapshot."""
        if line[:1] == b"-":
            self.fail("MASTER aborted replication with an error: %s" % line[1:].decode("latin-1"))
            return
        self.expected = []
        try:
            self.transfer = Transfer(self.replication, line, self.full_id, self.on_loaded)
        except TransferFailure as failure:
            self.fail(str(failure))

    # Input -----------------------------------------------------------------------------------------------------

    def on_readable(self) -> None:
        if self.socket is None:
            return
        try:
            data = self.socket.recv(LOAD_RECV_BYTES if self.transfer is not None else RECV_BYTES)
        except OSError as error:
            if error.errno in WOULD_BLOCK:
                return
            self.lose(error.strerror or str(error))
            return
        if not data:
            self.lose()
            return
        self.heard_s = monotonic()
        self.services.stats.net_in += len(data)
        self.take(data)

    def take(self, data: bytes) -> None:
        """Give bytes to whoever expects them; each may leave some to the next."""
        if self.applier is not None:
            self.apply(data)
        elif self.transfer is not None:
            self.receive_snapshot(data)
        else:
            self.take_lines(data)

    def take_lines(self, data: bytes) -> None:
        """Hand each whole line to who expects it. Behind the last one something else may begin: see `take`."""
        data = self.input + data
        self.input = b""
        while data and self.socket is not None:
            if self.transfer is not None or self.applier is not None:
                self.take(data)
                return
            if data[:1] == b"\n":
                data = data[1:]  # the master says only that it is alive
                continue
            end = data.find(b"\n")
            if end < 0:
                if len(data) > MAX_LINE_BYTES:
                    self.fail("Bad protocol from MASTER: a line without an end")
                    return
                self.input = data
                return
            line = data[:end].rstrip(b"\r")
            data = data[end + 1 :]
            if not self.expected:
                self.fail("Unexpected data from MASTER: %s" % line[:64].decode("latin-1"))
                return
            self.last_asked, on_answer = self.expected.pop(0)
            on_answer(line)
            if self.state == HANDSHAKE and len(self.expected) == 1 and not self.expected[0][0]:
                self.ask_for_data()

    def receive_snapshot(self, data: bytes) -> None:
        """Feed the transfer, no faster than `key-load-delay` allows."""
        transfer = self.transfer
        assert transfer is not None
        loaded = transfer.sink.loaded if transfer.reader is not None else 0
        try:
            transfer.receive(data)
        except TransferFailure as failure:
            self.replication.on_transfer_failed(str(failure))
            return
        if transfer.is_whole and not transfer.is_over and self.socket is not None:
            # While the file is loaded the stream waits in the socket and at the master.
            self.watch(False)
        elif transfer.reader is not None and not transfer.is_over:
            delay_s = transfer.delay_s(transfer.sink.loaded - loaded)
            if delay_s:
                self.watch(False)
                self.timer = self.services.timers.at(monotonic() + delay_s, lambda: self.watch(True))

    def watch(self, on: bool) -> None:
        if on == self.is_watched:
            return
        self.is_watched = on
        if on:
            self.replication.reactor.watch(self.socket, self.on_readable)
        else:
            self.replication.reactor.unwatch(self.socket)

    def on_loaded(self, facts: Dict[bytes, bytes], rest: bytes) -> None:
        """The data set is the master's as of the snapshot."""
        self.transfer = None
        number = facts.get(b"repl-stream-db", b"0")
        database = int(number) if number.isdigit() else 0
        identity, offset = self.full_id, self.full_offset
        if not identity:  # by SYNC: nothing is known of the history
            from server.replication.history import new_id

            identity, offset = new_id(), 0
        self.replication.on_loaded(identity, offset, database)
        self.log.notice("MASTER <-> REPLICA sync: Finished with success")
        self.watch(True)
        self.begin_stream()
        self.send_ack()
        if rest:
            self.apply(rest)

    # The stream ------------------------------------------------------------------------------------------------

    def begin_stream(self) -> None:
        """Make the session in which the master's commands run, and whoever takes them from the stream."""
        services = self.services
        session = services.clients.new()
        session.kind = b"master"
        session.mode = admission.IS_MASTER
        session.reply_mode = REPLY_OFF
        session.authenticated = True
        session.denies_blocking = True
        session.descriptor = self.socket.fileno()
        session.address = b"%s:%d" % (self.host.encode(), self.port)
        try:
            local = self.socket.getsockname()
            session.local_address = b"%s:%d" % (local[0].encode(), local[1])
        except OSError:
            pass
        databases = services.keyspace.databases
        number = self.history.database
        session.db = databases[number if number < len(databases) else 0]
        session.extra = self
        services.clients.admit(session)
        self.session = session
        self.applier = Applier(services, session, self.replication.feed, self.send_ack)
        self.state = CONNECTED
        self.was_up = True
        self.heard_s = monotonic()
        self.replication.on_link_changed()

    def apply(self, data: bytes) -> None:
        session = self.session
        assert self.applier is not None and session is not None
        session.net_in += len(data)
        session.used_ms = self.services.keyspace.clock.now_ms
        self.applier.receive(data)
        self.go_on()

    def unapplied_bytes(self) -> int:
        """What was received of the stream beyond what counts."""
        return self.applier.unapplied_bytes() if self.applier is not None else 0

    def go_on(self) -> None:
        """Apply what came, a turn's share of it."""
        self.timer = None
        applier = self.applier
        if applier is None or self.session is None:
            return
        try:
            finished = applier.run()
        except BrokenStream as error:
            self.log.warning("Protocol error from MASTER: %s" % error)
            self.lose()
            return
        if self.applier is not applier:
            return  # a command ended the link
        if self.session.halted & DOOMED:
            self.lose()
            return
        if finished:
            self.watch(True)
        else:
            self.watch(False)
            self.timer = self.services.timers.at(monotonic(), self.go_on)

    def send_ack(self) -> None:
        """REPLCONF ACK: how far this copy is, and what of it is on disk."""
        if self.state != CONNECTED:
            return
        words = [b"REPLCONF", b"ACK", b"%d" % self.history.offset]
        logged = self.replication.logged_offset()
        if logged is not None:
            words += [b"FACK", b"%d" % logged]
        self.send(*words)

    def each_second(self, now_s: float) -> None:
        """Connect, notice a master that is silent for too long, and tell it that this replica lives."""
        silent_s = now_s - self.heard_s
        timeout_s = self.config.repl_timeout
        if self.session is not None and self.session.halted & DOOMED:
            self.lose()
        elif self.state == CONNECT:
            self.connect()
        elif self.state in (CONNECTING, HANDSHAKE):
            if silent_s > timeout_s:
                self.fail("Timeout connecting to the MASTER...", at_once=True)
        elif self.state == TRANSFER:
            if self.transfer is not None and self.transfer.is_whole:
                self.heard_s = now_s
                self.send_raw(b"\n")  # loading takes as long as it takes
            elif silent_s > timeout_s:
                self.fail(
                    "Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' "
                    "parameter in redis.conf to a larger value.",
                    at_once=True,
                )
            elif self.transfer is not None and self.transfer.reader is not None:
                self.send_raw(b"\n")
        elif silent_s > timeout_s:
            self.log.warning("MASTER timeout: no data nor PING received...")
            self.lose()
        else:
            self.send_ack()

    # The end ---------------------------------------------------------------------------------------------------

    def fail(self, text: str, at_once: bool = False) -> None:
        """Connecting or synchronising did not work: try again in a second, or at once if a link was there."""
        self.log.warning(text)
        self.drop()
        if at_once and not self.is_closed:
            self.announce("Reconnecting to MASTER %s:%d after failure")
            self.connect()

    def lose(self, reason: str = "") -> None:
        """The connection is gone, by an error or in order: try again at once if it was up."""
        was_up = self.state == CONNECTED
        if was_up:
            if reason:
                self.log.verbose("Reading from client: %s" % reason)
            self.say_lost()
        elif self.state == TRANSFER:
            if self.transfer is None or self.transfer.reader is None:
                self.log.warning("I/O error trying to sync with MASTER: %s" % (reason or "connection lost"))
        else:
            self.log.warning("Failed to read response from the server: %s" % (reason or os.strerror(0)))
            self.log.warning("Master did not respond to command during SYNC handshake")
        was_syncing = self.state == TRANSFER
        self.drop()
        if (was_up or was_syncing) and not self.is_closed:
            self.announce("Reconnecting to MASTER %s:%d" + (" after failure" if was_syncing else ""))
            self.connect()

    def say_lost(self) -> None:
        self.log.notice("Connection with master lost.")
        self.log.notice("Caching the disconnected master state.")

    def drop(self) -> None:
        """Close the socket and forget what was under way; what was applied stays."""
        if self.state != CONNECT:
            if self.state == CONNECTED or not self.was_up:
                self.down_since_s = monotonic()
            self.state = CONNECT
        if self.lookup is not None:
            self.lookup.cancel()
            self.lookup = None
        self.places = []
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        transfer, self.transfer = self.transfer, None
        if transfer is not None:
            transfer.abandon()
        session, self.session, self.applier = self.session, None, None
        if session is not None:
            self.history.database = session.db.number
            session.extra = None
            session.halted |= DOOMED
            self.services.clients.remove(session)
        sock, self.socket = self.socket, None
        if sock is not None:
            try:
                self.replication.reactor.selector.unregister(sock)
            except (KeyError, ValueError, OSError):
                pass
            shut_down(sock)
            sock.close()
        self.is_watched = True
        self.input = b""
        self.expected = []
        self.replication.on_link_changed()

    def close(self) -> None:
        """This server has another master, or none."""
        self.is_closed = True
        if self.state == CONNECTED:
            self.say_lost()
        self.drop()
