"""The last bytes of the replication stream, kept for replicas that come back.

Owns bytes and the offsets they have: offset n is the n-th byte of the history, counted from 1. Bytes are kept in
chunks, which are dropped whole, so that a little more than the configured size is there for who comes back, as in
Redis; and as much more as a replica that waits for its snapshot will need afterwards (`floor`). Appending is amortised
O(length), reading O(chunks + length).
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Deque, List

NOBODY = 1 << 63  # as a floor: no byte is kept for a replica
CHUNK_BYTES = 16 * 1024  # what is appended is gathered to chunks of this size, or cut into them


class Backlog:
    """At least `size` bytes, or all from `floor` on; not a chunk more."""

    __slots__ = ("size", "end", "floor", "_chunks", "_tail", "_held")

    def __init__(self, size: int, offset: int) -> None:
        """An empty backlog of a history that has `offset` bytes so far."""
        self.size = size
        self.end = offset  # of the last byte
        self.floor = NOBODY  # the first byte that must stay whatever the size
        self._chunks: Deque[bytes] = deque()
        self._tail = bytearray()
        self._held = 0

    def __len__(self) -> int:
        return self._held

    @property
    def first(self) -> int:
        """The offset of the first byte held; that of the next one to come while there is none."""
        return self.end - len(self) + 1

    def append(self, data: bytes) -> None:
        """Add the bytes that follow."""
        length = len(data)
        self.end += length
        self._held += length
        tail = self._tail
        tail += data
        if len(tail) >= CHUNK_BYTES:
            whole = len(tail) - len(tail) % CHUNK_BYTES
            view = bytes(tail)
            for at in range(0, whole, CHUNK_BYTES):
                self._chunks.append(view[at : at + CHUNK_BYTES])
            del tail[:whole]
        self._trim()

    def resize(self, size: int) -> None:
        """Hold another length from now on."""
        self.size = size
        self._trim()

    def keep_from(self, floor: int) -> None:
        """Keep every byte from here on until further notice."""
        self.floor = floor
        self._trim()

    def _trim(self) -> None:
        chunks = self._chunks
        needed = max(self.size, self.end - self.floor + 1)
        while chunks and self._held - len(chunks[0]) >= needed:
            self._held -= len(chunks.popleft())

    def holds(self, offset: int) -> bool:
        """Whether everything from `offset` on is here; also when nothing has happened since."""
        return self.first <= offset <= self.end + 1

    def since(self, offset: int) -> List[bytes]:
        """The bytes from `offset` on, which must be held."""
        skip = self._held - (self.end - offset + 1)
        found = []
        for chunk in self._chunks:
            if skip >= len(chunk):
                skip -= len(chunk)
            else:
                found.append(chunk[skip:] if skip else chunk)
                skip = 0
        if skip < len(self._tail):
            found.append(bytes(self._tail[skip:]))
        return found
