"""WAIT and WAITAOF: clients that wait until replicas have said that they have what these clients wrote.

Whoever begins to wait has the replicas asked (REPLCONF GETACK) before the loop sleeps; each answer is compared with all
who wait. O(waiting x replicas) an answer.
"""

from __future__ import annotations

from protocol.reply import Block
from server.append_log import ON
from storage.numeric import INT32_MAX, wrap_int32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from server.replication.service import Replication
    from server.session import Session

SWEEP_FLOOR = 64  # waits kept before those that have ended are looked for


class Wait:
    """One client. `log_offset` is -1 if it does not ask for this server's own log."""

    __slots__ = ("session", "block", "offset", "wanted", "log_offset", "in_logs")

    def __init__(self, session: Session, offset: int, wanted: int, log_offset: int, in_logs: bool) -> None:
        self.session = session
        self.offset = offset
        self.wanted = wanted
        self.log_offset = log_offset
        self.in_logs = in_logs
        self.block: Any = None

    def is_open(self) -> bool:
        """Whether its client still waits for it: neither is its time up, nor is it gone."""
        waiter = self.session.waiter
        return waiter is not None and waiter.block is self.block


class Waits:
    """Everybody who waits."""

    def __init__(self, replication: Replication) -> None:
        self.replication = replication
        self.services = replication.services
        self.waits: List[Wait] = []
        self.sweep_at = SWEEP_FLOOR
        self.must_ask = False

    def wait(
        self, session: Session, wanted: int, timeout_ms: int, in_logs: bool = False, wants_own: bool = False
    ) -> Any:
        """The reply if there is nothing to wait for, else a Block."""
        log = self.replication.append_log
        offset, log_offset = self.replication.offsets_of(session.wrote)
        wait = Wait(session, offset, wanted, log_offset if wants_own else -1, in_logs)
        reply, enough = self.judge(wait)
        if wants_own and log is not None and not enough and not session.denies_blocking:
            log.request_sync()
            reply, enough = self.judge(wait)  # done already where there is no thread for it
        if not enough and wanted > INT32_MAX:
            wait.wanted = wrap_int32(wanted)  # as in Redis for those who wait: 2147483648 replicas are less than none
            reply, enough = self.judge(wait)
        if enough or session.denies_blocking:
            return reply
        wait.block = Block((), timeout_ms, on_timeout=reply, kind=Block)
        if len(self.waits) >= self.sweep_at:  # without replicas nothing else would ever let go of them
            self.waits = [other for other in self.waits if other.is_open()]
            self.sweep_at = 2 * len(self.waits) + SWEEP_FLOOR
        self.waits.append(wait)
        self.must_ask = bool(self.replication.replicas)
        return wait.block

    def judge(self, wait: Wait) -> tuple[Any, bool]:
        """What the client would read now, and whether it is what it waits for."""
        replicas = self.replication.replicas.values()
        if not wait.in_logs:
            count = sum(1 for replica in replicas if not replica.is_held_back and replica.acknowledged >= wait.offset)
            return count, count >= wait.wanted
        count = sum(1 for replica in replicas if not replica.is_held_back and max(0, replica.logged) >= wait.offset)
        log = self.replication.append_log
        own = int(log.state == ON and log.synced >= wait.log_offset)
        return [own, count], count >= wait.wanted and (own == 1 or wait.log_offset < 0)

    def look(self, synced: int = 0) -> None:
        """Somebody acknowledged, or the log reached the disk: answer who has waited for that."""
        left = []
        for wait in self.waits:
            if not wait.is_open():
                continue
            reply, enough = self.judge(wait)
            if enough:
                self.services.blocking.answer(wait.session.waiter, reply)
            else:
                wait.block.on_timeout = reply
                left.append(wait)
        self.waits = left
