"""The stream of changes to the backlog and to the replicas.

A sink of `server.propagation`: operations come as vectors, in the order of execution, and are collected until the end
of the turn, when all replicas and the backlog share one piece of bytes. A server that itself follows a master feeds
nothing of its own and passes its master's bytes on as they are.
"""

from __future__ import annotations

from storage.aof.records import encode_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence

    from server.replication.history import History
    from server.replication.replica import Replica
    from server.session import Session

FLUSH_BYTES = 1 << 20
NO_DATABASE = -1


class Feed:
    """Appending costs encoding; the rest is once a turn."""

    __slots__ = ("history", "replicas", "passes_on", "selected", "_pending", "_pending_bytes")

    def __init__(self, history: History, replicas: Dict[Session, Replica]) -> None:
        self.history = history
        self.replicas = replicas
        self.passes_on = False  # this server is a replica
        self.selected = NO_DATABASE  # the database that the stream is in
        self._pending: List[Any] = []
        self._pending_bytes = 0

    def feed(self, number: int, argv: Sequence[bytes]) -> None:
        """Append an operation (the call of server.propagation)."""
        if self.passes_on:
            return
        if number != self.selected:
            self.selected = number
            self._append(encode_record((b"SELECT", b"%d" % number)))
        self._append(encode_record(argv))

    def say(self, *argv: bytes) -> None:
        """Append what concerns no database: PING, REPLCONF GETACK."""
        if not self.passes_on:
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
        if not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        if self.history.backlog is not None:
            self.history.backlog.append(data)
        for replica in list(self.replicas.values()):
            replica.take(data)
