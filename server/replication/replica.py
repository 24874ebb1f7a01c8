"""One replica as its master sees it: what it said of itself, how far it is, what waits for it.

While a snapshot is made and sent, the changes since its moment are kept in the backlog, for all replicas together; then
they join the session's output. Must not know who else is a replica.
"""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from server.replication.history import History
    from server.session import Session

# Where a link stands. A session that has only introduced itself (REPLCONF) is INTRODUCED.
INTRODUCED, WAITS_START, WAITS_END, RECEIVES, ONLINE = range(5)
STATE_NAMES = ("", "wait_bgsave", "wait_bgsave", "send_bulk", "online")

CAN_EOF = 1  # understands a snapshot of unknown length, ended by a mark
CAN_CONTINUE_ELSEWHERE = 2  # psync2: understands +CONTINUE with another ID
CAPABILITIES = {b"eof": CAN_EOF, b"psync2": CAN_CONTINUE_ELSEWHERE}

FILTER_NOTHING, FILTER_DATA, FILTER_FUNCTIONS = 0, 1, 2  # bits: parts a snapshot leaves out


class Replica:
    """Kept in `session.extra`. Times are seconds of the monotonic clock."""

    __slots__ = (
        "session",
        "state",
        "port",
        "announced_ip",
        "capabilities",
        "wants_snapshot_only",
        "filter",
        "has_psync",
        "version",
        "start_offset",
        "acknowledged",
        "logged",
        "acknowledged_s",
        "heard_bytes",
        "waits_for_ack",
        "is_ready",
        "history",
        "file",
        "asked_s",
    )

    def __init__(self, session: Session, history: History) -> None:
        self.session = session
        self.history = history
        self.state = INTRODUCED
        self.port = 0
        self.announced_ip = b""
        self.capabilities = 0
        self.wants_snapshot_only = False
        self.filter = FILTER_NOTHING
        self.has_psync = False  # false: the old SYNC, which is told nothing before the snapshot
        self.version = 0
        self.start_offset = 0  # of the stream after its snapshot
        self.acknowledged = 0
        self.logged = -1  # what it has on disk, if it ever said so
        self.acknowledged_s = self.asked_s = monotonic()
        self.heard_bytes = 0
        self.waits_for_ack = False  # the stream begins when it has said that it is ready
        self.is_ready = False  # it has said so before this server knew that its child has ended
        self.file: Any = None

    @property
    def ip(self) -> str:
        if self.announced_ip:
            return self.announced_ip.decode("latin-1")
        return self.session.address.decode("latin-1").rpartition(":")[0].strip("[]")

    @property
    def name(self) -> str:
        """How the log speaks of it."""
        return "%s:%s" % (self.ip, self.port or "<unknown-replica-port>")

    @property
    def state_name(self) -> str:
        """As INFO has it: who is fed by the running child waits for it, in Redis's view."""
        return STATE_NAMES[self.state if self.state != RECEIVES or self.file is not None else WAITS_END]

    def lag_s(self) -> int:
        """Seconds since it last said where it is."""
        return int(monotonic() - self.acknowledged_s) if self.state == ONLINE else 0

    @property
    def is_held_back(self) -> bool:
        return self.state != ONLINE or self.waits_for_ack

    def take(self, data: bytes) -> None:
        """Have bytes of the stream sent, now or after the snapshot."""
        if self.state == ONLINE and not self.waits_for_ack:
            self.session.send_encoded(data)
        elif self.needs_backlog:
            clients = self.session.server.clients
            if self.waiting_bytes() > clients.judged_from:
                clients.judge_output(self.session)

    @property
    def needs_backlog(self) -> bool:
        """Whether what follows its snapshot must be kept for it."""
        return self.state >= WAITS_END and self.is_held_back and not self.wants_snapshot_only

    def release(self) -> None:
        """Send what happened since the snapshot: the stream begins."""
        self.waits_for_ack = False
        self.acknowledged_s = monotonic()
        backlog = self.history.backlog
        if backlog is not None:
            for data in backlog.since(self.start_offset + 1):
                self.session.send_encoded(data)

    def waiting_bytes(self) -> int:
        """What counts against its output limit: changes it has not received, not the snapshot."""
        if not self.is_held_back:
            return self.session.out_bytes
        backlog = self.history.backlog
        return backlog.end - self.start_offset if backlog is not None and self.needs_backlog else 0

    def drop_file(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None
