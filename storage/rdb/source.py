"""The bytes of a snapshot as they come: primitives that read from what has arrived, or say how much is missing.

Owns the buffer, the offset in the whole and the running checksum. Must not know records. A primitive that lacks bytes
raises Short and the caller returns to where its element began; elements are short or one string, so nothing is parsed
more than twice, however small the pieces.
"""

from __future__ import annotations

from struct import Struct

from storage.rdb import lzf
from storage.rdb.corrupt import CorruptData
from storage.rdb.crc64 import crc64
from storage.rdb.layout import (
    ENCODED,
    ENCODED_INT8,
    ENCODED_INT16,
    ENCODED_INT32,
    ENCODED_LZF,
    LENGTH_32,
    LENGTH_64,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TypeVar

    T = TypeVar("T")
    # Yields how many bytes are needed from the current position, is resumed when they are there.
    Steps = Generator[int, None, T]

DOUBLE = Struct("<d")


class Short(Exception):
    """What arrived ends before `end`, an index into the buffer."""

    def __init__(self, end: int) -> None:
        Exception.__init__(self)
        self.end = end


class Source:
    """A window on the input: `buf[pos:]` is unread, `buf[0]` was at offset `base`."""

    __slots__ = ("buf", "pos", "base", "checking", "_crc", "_summed")

    def __init__(self, data: bytes = b"", checking: bool = False) -> None:
        self.buf = data
        self.pos = 0
        self.base = 0
        self.checking = checking
        self._crc = 0
        self._summed = 0  # up to here the buffer is in the checksum

    def offset(self) -> int:
        """How many bytes of the whole were read."""
        return self.base + self.pos

    def checksum(self) -> int:
        """The checksum of all that was read; 0 when not checking."""
        if self.checking:
            self._crc = crc64(memoryview(self.buf)[self._summed : self.pos], self._crc)
            self._summed = self.pos
        return self._crc

    def refill(self, parts: list[bytes]) -> None:
        """Forget what was read and append what arrived."""
        self.checksum()
        self.base += self.pos
        self.buf = b"".join([self.buf[self.pos :]] + parts)
        self.pos = self._summed = 0

    def fail(self, reason: str) -> CorruptData:
        """The error to raise, here."""
        return CorruptData(reason, self.base + self.pos)

    # Primitives ------------------------------------------------------------------------------------------------

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self.pos + size
        if end > len(self.buf):
            raise Short(end)
        data = self.buf[self.pos : end]
        self.pos = end
        return data

    def byte(self) -> int:
        pos = self.pos
        if pos >= len(self.buf):
            raise Short(pos + 1)
        self.pos = pos + 1
        return self.buf[pos]

    def milliseconds(self) -> int:
        """A signed 64-bit time."""
        return int.from_bytes(self.take(8), "little", signed=True)

    def double(self) -> float:
        number: float = DOUBLE.unpack(self.take(8))[0]
        return number

    def length(self) -> int:
        """A length or another unsigned number."""
        head = self.byte()
        if head < 0x40:
            return head
        if head < 0x80:
            return (head & 0x3F) << 8 | self.byte()
        if head == LENGTH_32:
            return int.from_bytes(self.take(4), "big")
        if head == LENGTH_64:
            return int.from_bytes(self.take(8), "big")
        self.pos -= 1
        raise self.fail(f"Unknown length encoding {head}")

    def string(self) -> bytes:
        """A string in any of its encodings."""
        pos = self.pos
        if pos >= len(self.buf):
            raise Short(pos + 1)
        head = self.buf[pos]
        if head < ENCODED:
            size = self.length()
            end = self.pos + size
            if end > len(self.buf):
                raise Short(end)
            data = self.buf[self.pos : end]
            self.pos = end
            return data
        self.pos = pos + 1
        if head == ENCODED_LZF:
            packed = self.length()
            size = self.length()
            data = self.take(packed)
            try:
                return lzf.decompress(data, size)
            except CorruptData as error:
                self.pos -= packed - error.offset
                raise self.fail(f"Invalid LZF compressed string: {error.reason}") from None
        if head == ENCODED_INT8:
            return b"%d" % int.from_bytes(self.take(1), "little", signed=True)
        if head == ENCODED_INT16:
            return b"%d" % int.from_bytes(self.take(2), "little", signed=True)
        if head == ENCODED_INT32:
            return b"%d" % int.from_bytes(self.take(4), "little", signed=True)
        self.pos = pos
        raise self.fail(f"Unknown RDB string encoding type {head & 0x3F}")

    # Steps -----------------------------------------------------------------------------------------------------

    def number(self) -> Steps[int]:
        """`length`, waiting for it."""
        mark = self.pos
        while True:
            try:
                return self.length()
            except Short as short:
                self.pos = mark
                yield short.end - mark
                mark = self.pos

    def text(self) -> Steps[bytes]:
        """`string`, waiting for it."""
        mark = self.pos
        while True:
            try:
                return self.string()
            except Short as short:
                self.pos = mark
                yield short.end - mark
                mark = self.pos

    def raw(self, size: int) -> Steps[bytes]:
        """`take`, waiting for it."""
        while self.pos + size > len(self.buf):
            yield size
        return self.take(size)

    def texts(self, count: int) -> Steps[list[bytes]]:
        """`count` strings, about 150 ns each."""
        items: list[bytes] = []
        append = items.append
        while True:
            buf = self.buf
            pos = self.pos
            size = len(buf)
            try:
                while len(items) < count:
                    head = buf[pos]
                    if head < 0x40:
                        start = pos + 1
                        end = start + head
                    elif head < 0x80:
                        start = pos + 2
                        end = start + ((head & 0x3F) << 8 | buf[pos + 1])
                    else:
                        self.pos = pos
                        append(self.string())
                        pos = self.pos
                        continue
                    if end > size:
                        raise Short(end)
                    append(buf[start:end])
                    pos = end
                self.pos = pos
                return items
            except Short as short:
                needed = short.end - pos
            except IndexError:
                needed = size - pos + 1
            self.pos = pos
            yield needed
