"""FAILOVER: hand the mastership to a replica without losing a write.

Writes are paused, the replica is waited for until it has everything, then this server becomes its replica and asks it
to take over with the same message (PSYNC ... FAILOVER). Until that is answered it can be called off.
"""

from __future__ import annotations

from time import monotonic

from storage.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from server.replication.replica import Replica
    from server.replication.service import Replication
    from server.timers import Timer

FOR_EVER_MS = 1 << 60
POLL_S = 0.05
WAITING, HANDING_OVER = "waiting-for-sync", "failover-in-progress"


class Failover:
    """One attempt, from the command to its end."""

    def __init__(self, replication: Replication, host: str, port: int, timeout_ms: int, is_forced: bool) -> None:
        self.replication = replication
        self.services = replication.services
        self.log = replication.services.log
        self.host = host  # "" for whichever replica is first to have everything
        self.port = port
        self.is_forced = is_forced
        self.ends_s = monotonic() + timeout_ms / 1000.0 if timeout_ms else 0.0
        self.state = WAITING
        self.timer: Optional[Timer] = None

    def begin(self) -> None:
        target = "%s:%d" % (self.host, self.port) if self.host else "any replica"
        self.log.notice("FAILOVER requested to %s." % target)
        self.services.clients.pause(FOR_EVER_MS, False)
        self.replication.ask_for_acks()
        self.look()

    def look(self) -> None:
        """Is there a replica that has everything?"""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.state != WAITING:
            return
        replication = self.replication
        offset = replication.offset
        for replica in replication.primary.online():
            if not self.is_wanted(replica) or replica.acknowledged != offset:
                continue
            self.log.notice("Failover target %s:%d is synced, failing over." % (replica.ip, replica.port))
            self.hand_over(replica.ip, replica.port)
            return
        if self.ends_s and monotonic() >= self.ends_s:
            if self.is_forced:
                self.log.notice("FAILOVER to %s:%d time out exceeded, failing over." % (self.host, self.port))
                self.hand_over(self.host, self.port)
            else:
                self.call_off("Replica never caught up before timeout")
            return
        self.timer = self.services.timers.at(monotonic() + POLL_S, self.look)

    def is_wanted(self, replica: Replica) -> bool:
        return not self.host or (replica.ip == self.host and replica.port == self.port)

    def hand_over(self, host: str, port: int) -> None:
        self.state = HANDING_OVER
        self.host, self.port = host, port
        self.replication.follow(host, port, is_failover=True)

    def on_answered(self, accepted: bool) -> None:
        """The target took over, or would not."""
        if accepted:
            self.end()
        else:
            self.call_off("Failover target rejected psync request")

    def call_off(self, why: str) -> None:
        """Be the master again, as before."""
        target = "%s:%d" % (self.host, self.port) if self.host else "any replica"
        self.log.notice("FAILOVER to %s aborted: %s" % (target, why))
        if self.state == HANDING_OVER:
            self.replication.promote("")
        self.end()

    def end(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.replication.failover = None
        self.services.clients.unpause()


def begin(
    replication: Replication, host: Optional[str], port: int, timeout_ms: int, is_forced: bool
) -> None:
    """The checks of FAILOVER, and its beginning. Raises CommandError."""
    if replication.failover is not None:
        raise CommandError(b"ERR FAILOVER already in progress.")
    if replication.is_replica:
        raise CommandError(b"ERR FAILOVER is not valid when server is a replica.")
    if not replication.replicas:
        raise CommandError(b"ERR FAILOVER requires connected replicas.")
    if is_forced and (not timeout_ms or host is None):
        raise CommandError(b"ERR FAILOVER with force option requires both a timeout and target HOST and IP.")
    if host is not None:
        found = [r for r in replication.replicas.values() if r.ip == host and r.port == port]
        if not found:
            raise CommandError(b"ERR FAILOVER target HOST and PORT is not a replica.")
        if found[0] not in replication.primary.online():
            raise CommandError(b"ERR FAILOVER target replica is not online.")
    failover = Failover(replication, host or "", port, timeout_ms, is_forced)
    replication.failover = failover
    failover.begin()
