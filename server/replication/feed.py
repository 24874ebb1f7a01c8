"""The stream of changes to the backlog and to the replicas.

A sink of `server.propagation`: operations come as vectors, in the order of execution, and are collected until the end
of the turn, when all replicas and the backlog share one piece of bytes. A server that itself follows a master feeds
nothing of its own and passes its master's bytes on as they are.
"""

from __future__ import annotations

from server.propagation import TO_REPLICAS
from storage.aof.records import LogEncoder, encode_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence

    from server.replication.history import History
    from server.replication.replica import Replica
    from server.session import Session
    from storage.aof.records import Operation

FLUSH_BYTES = 1 << 20
RUN = 256  # operations encoded together
NO_DATABASE = -1


class Feed:
    """Operations for one database in a row are encoded together, which takes a quarter of the time; whoever asks for
    the history's offset in the middle of a turn calls `encode` first.
    """

    scope = TO_REPLICAS
    __slots__ = ("history", "replicas", "passes_on", "_encoder", "_selected", "_run", "_pending", "_pending_bytes")

    def __init__(self, history: History, replicas: Dict[Session, Replica]) -> None:
        self.history = history
        self.replicas = replicas
        self.passes_on = False  # this server is a replica
        self._encoder = LogEncoder()
        self._selected = NO_DATABASE  # the database that the stream is in
        self._run: List[Operation] = []
        self._pending: List[Any] = []
        self._pending_bytes = 0

    def feed(self, number: int, argv: Sequence[bytes]) -> None:
        """Append an operation (the call of server.propagation)."""
        self.run_of(number).append(argv)

    def run_of(self, number: int) -> List[Operation]:
        """What takes the operations on one database until another is named or the turn ends."""
        if self.passes_on:
            return []  # this server's own operations are no part of its master's stream
        if number != self._selected or len(self._run) >= RUN:
            self.encode()
            self._selected = number
        return self._run

    def encode(self) -> None:
        """Turn operations into bytes, so that the offset is that of the last one."""
        run = self._run
        if run:
            data = self._encoder.encode_all(self._selected, run, 0)
            run.clear()
            self._append(data)

    def restart(self) -> None:
        """Let the next operation begin with SELECT: somebody will read from here on."""
        self.encode()
        self._encoder.restart()
        self._selected = NO_DATABASE

    @property
    def database(self) -> int:
        """The one that the stream is in, or NO_DATABASE."""
        return self._selected if self._run else self._encoder.database

    def say(self, *argv: bytes) -> None:
        """Append what concerns no database: PING, REPLCONF GETACK."""
        if not self.passes_on:
            self.encode()
            self._append(encode_record(argv))

    def pass_on(self, data: bytes) -> None:
        """Append bytes of the master's stream, which have just been applied here."""
        self._append(data)

    def _append(self, data: bytes) -> None:
        length = len(data)
        self.history.offset += length
        self._pending.append(data)
        self._pending_bytes += length
        if self._pending_bytes >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand what was collected to the backlog and the replicas."""
        if self._run:
            self.encode()
        if not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        if self.history.backlog is not None:
            self.history.backlog.append(data)
        for replica in list(self.replicas.values()):
            replica.take(data)
