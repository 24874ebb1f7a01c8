"""Reading a snapshot of any version up to 12, from pieces of any size.

`Reader.feed` takes the next piece and hands every complete record to a sink; the caller decides what to do between two
pieces (answer clients, read on, wait for a socket). Owns the order of records, opcodes, the checksum. Must not know
files, sockets or the keyspace: whether a key has expired, exists twice or finds room is the sink's business.

Invariants: nothing is believed about a length before its bytes have come; every failure is a CorruptData with the
offset in the whole; memory is that of the largest value plus one piece.
"""

from __future__ import annotations

from storage.rdb import layout
from storage.rdb.corrupt import CorruptData
from storage.rdb.load_value import DECODERS, load_value, unpack_value
from storage.rdb.source import Short, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from storage.limits import EncodingLimits
    from storage.rdb.source import Steps

MODULE_NAME_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PACKED = {*DECODERS, layout.LIST_QUICKLIST_2}
ONE_PACKED_NODE = bytes((1, layout.NODE_PACKED))


class Sink:
    """What a reader tells; each method may be overridden, each does nothing. It may raise CorruptData."""

    def header(self, version: int) -> None:
        """The file is a snapshot of this version."""

    def aux(self, name: bytes, value: bytes) -> None:
        """A fact about the file: redis-ver, ctime, repl-id, aof-base, ..."""

    def resize(self, db: int, keys: int, deadlines: int) -> None:
        """The database that follows has about so many keys and deadlines. Not to be trusted with memory."""

    def function(self, source: bytes) -> None:
        """A function library."""

    def module_aux(self, name: str) -> None:
        """Data of a module, which was skipped."""

    def empty_key(self, db: int, key: bytes) -> None:
        """A container without elements, which older servers could leave behind; it was skipped."""

    def no_checksum(self) -> None:
        """The snapshot was written without a checksum, so it was not checked."""

    def entry(
        self,
        db: int,
        key: bytes,
        value: Any,
        deadline_ms: Optional[int],
        idle_s: Optional[int],
        freq: Optional[int],
    ) -> None:
        """A key with its value; expired or not."""


def module_name(number: int) -> str:
    """The name in a module's 64-bit identifier: nine characters of 6 bits, and 10 bits of version."""
    return "".join(MODULE_NAME_CHARS[number >> shift & 63] for shift in range(58, 9, -6))


class Reader:
    """Takes pieces, tells a sink. `version` 0 until the header was read."""

    __slots__ = (
        "version",
        "finished",
        "max_databases",
        "limits",
        "source",
        "_sink",
        "_steps",
        "_parts",
        "_have",
        "_need",
        "_size",
    )

    def __init__(
        self,
        sink: Sink,
        limits: EncodingLimits,
        checking: bool = True,
        max_databases: int = 1 << 31,
        size: Optional[int] = None,
    ) -> None:
        """`size`: the length of the input, if known, so that a wrong length is noticed where it stands."""
        self.version = 0
        self.finished = False
        self.max_databases = max_databases
        self.limits = limits
        self.source = Source(checking=checking)
        self._sink = sink
        self._steps = self._records()
        self._parts: list[bytes] = []
        self._have = 0
        self._need = layout.HEADER_BYTES
        self._size = size

    def feed(self, data: bytes) -> bool:
        """Parse as far as `data` allows; True once the snapshot is complete. Raises CorruptData."""
        self._parts.append(data)
        self._have += len(data)
        if self._have < self._need or self.finished:
            return self.finished
        source = self.source
        source.refill(self._parts)
        self._parts = []
        try:
            self._need = next(self._steps)
            self._have = len(source.buf) - source.pos
            if self._size is not None and source.offset() + self._need > self._size:
                raise source.fail("Unexpected EOF reading RDB file")
        except StopIteration:
            self.finished = True
        return self.finished

    def close(self) -> None:
        """State that nothing more comes; raises CorruptData if something is missing."""
        if not self.finished:
            source = self.source
            end = source.base + len(source.buf) + sum(map(len, self._parts))
            raise CorruptData("Unexpected EOF reading RDB file", end)

    def offset(self) -> int:
        """How many bytes were parsed. Inside a call of the sink: at most those before the record."""
        return self.source.offset()

    def rest(self) -> bytes:
        """What came after a finished snapshot: the log that follows a preamble, or the next message of a master."""
        return self.source.buf[self.source.pos :] + b"".join(self._parts)

    # Records ---------------------------------------------------------------------------------------------------

    def _records(self) -> Steps[None]:
        """The whole of a snapshot: what belongs to a key comes before it and is kept until then."""
        source = self.source
        self._read_header((yield from source.raw(layout.HEADER_BYTES)))
        sink_entry = self._sink.entry
        db = 0
        deadline_ms: Optional[int] = None
        idle_s: Optional[int] = None
        freq: Optional[int] = None
        while True:
            mark = source.pos
            if deadline_ms is None and idle_s is None and freq is None:
                mark = self._plain_records(db)
            try:
                opcode = source.byte()
                if opcode <= layout.NEWEST_TYPE:
                    key = source.string()
                elif opcode == layout.EXPIRE_MS:
                    deadline_ms = source.milliseconds()
                    continue
                elif opcode == layout.EXPIRE_S:
                    deadline_ms = int.from_bytes(source.take(4), "little", signed=True) * 1000
                    continue
                elif opcode == layout.IDLE:
                    idle_s = source.length()
                    continue
                elif opcode == layout.FREQ:
                    freq = source.byte()
                    continue
                elif opcode == layout.SELECT_DB:
                    db = source.length()
                    if db >= self.max_databases:
                        raise source.fail(
                            "FATAL: Data file was created with a Redis server configured to handle more than "
                            f"{self.max_databases} databases"
                        )
                    continue
                elif opcode == layout.RESIZE_DB:
                    self._sink.resize(db, source.length(), source.length())
                    continue
                elif opcode == layout.AUX:
                    self._sink.aux(source.string(), source.string())
                    continue
                elif opcode == layout.FUNCTION:
                    self._sink.function(source.string())
                    continue
                elif opcode == layout.SLOT_INFO:
                    source.length()
                    source.length()
                    source.length()
                    continue
                elif opcode == layout.MODULE_AUX:
                    number = source.length()
                elif opcode == layout.EOF:
                    pass
                elif opcode == layout.FUNCTION_PRE_RELEASE:
                    raise source.fail("Pre-release function format not supported")
                else:
                    source.pos -= 1
                    raise source.fail(f"Unknown RDB opcode or type {opcode}")
            except Short as short:
                source.pos = mark
                yield short.end - mark
                continue
            if opcode == layout.EOF:
                break
            if opcode == layout.MODULE_AUX:
                yield from self._skip_module_aux()
                self._sink.module_aux(module_name(number))
                continue
            value = yield from load_value(source, opcode, self.limits, self.version)
            if value is None:
                self._sink.empty_key(db, key)
            else:
                sink_entry(db, key, value, deadline_ms, idle_s, freq)
            deadline_ms = idle_s = freq = None
        if self.version >= layout.CHECKSUM_SINCE:
            yield from self._read_checksum()

    def _read_checksum(self) -> Steps[None]:
        source = self.source
        computed = source.checksum()
        stored = int.from_bytes((yield from source.raw(8)), "little")
        # 0 stands for a snapshot written without a checksum.
        if source.checking and not stored:
            self._sink.no_checksum()
        elif source.checking and stored != computed:
            raise source.fail(f"Wrong RDB checksum expected: ({computed:x}) but got ({stored:x})")

    def _read_header(self, data: bytes) -> None:
        is_valkey = data[:6] == layout.VALKEY_MAGIC
        digits = data[6:] if is_valkey else data[5:]
        if not (is_valkey or data[:5] == layout.MAGIC) or not digits.isdigit():
            raise CorruptData("Wrong signature trying to load DB from file", 0)
        version = int(digits)
        if version != layout.VALKEY_VERSION if is_valkey else not 1 <= version <= layout.NEWEST_VERSION:
            raise CorruptData(f"Can't handle RDB format version {version}", 5)
        self.version = version
        self._sink.header(version)

    def _plain_records(self, db: int) -> int:
        """Read keys that hold short strings or one packed string, as far as they stand in a row.

        Leaves `pos` at the first record that is anything else, incomplete or wrong, and returns it: who reads it next
        knows what to say. Inlined lengths and strings: 2.6 -> 0.8 us a key.
        """
        source = self.source
        entry = self._sink.entry
        buf = source.buf
        size = len(buf)
        pos = source.pos
        from_bytes = int.from_bytes
        limit = size - 12  # a deadline, the type, and a length
        while pos < limit:
            at = pos
            deadline_ms = None
            if buf[at] == 252:
                deadline_ms = from_bytes(buf[at + 1 : at + 9], "little", signed=True)
                at += 9
            kind = buf[at]
            if kind and kind not in PACKED:
                break
            head = buf[at + 1]
            if head < 0x40:
                at += 2
            elif head < 0x80:
                head = (head & 0x3F) << 8 | buf[at + 2]
                at += 3
            else:
                break
            end = at + head
            if end + 5 > size:
                break
            key = buf[at:end]
            if kind:
                if kind == layout.LIST_QUICKLIST_2:
                    if buf[end : end + 2] != ONE_PACKED_NODE:
                        break
                    end += 2
                source.pos = end
                try:
                    value = unpack_value(kind, source.string(), self.limits)
                except (Short, CorruptData, IndexError):
                    break
                if value is None:
                    break
                pos = source.pos
                entry(db, key, value, deadline_ms, None, None)
                continue
            head = buf[end]
            if head < 0x40:
                at = end + 1
            elif head < 0x80:
                head = (head & 0x3F) << 8 | buf[end + 1]
                at = end + 2
            elif head == 0xC0:
                entry(db, key, b"%d" % ((buf[end + 1] ^ 128) - 128), deadline_ms, None, None)
                pos = end + 2
                continue
            elif head == 0xC1:
                pos = end + 3
                entry(db, key, b"%d" % from_bytes(buf[end + 1 : pos], "little", signed=True), deadline_ms, None, None)
                continue
            elif head == 0xC2:
                pos = end + 5
                entry(db, key, b"%d" % from_bytes(buf[end + 1 : pos], "little", signed=True), deadline_ms, None, None)
                continue
            else:
                break
            end = at + head
            if end > size:
                break
            entry(db, key, buf[at:end], deadline_ms, None, None)
            pos = end
        source.pos = pos
        return pos

    def _skip_module_aux(self) -> Steps[None]:
        source = self.source
        yield from source.number()  # the opcode of `when`, always that of an unsigned number
        yield from source.number()
        while True:
            kind = yield from source.number()
            if kind == layout.MODULE_EOF:
                return
            if kind in (layout.MODULE_SIGNED, layout.MODULE_UNSIGNED):
                yield from source.number()
            elif kind == layout.MODULE_FLOAT:
                yield from source.raw(4)
            elif kind == layout.MODULE_DOUBLE:
                yield from source.raw(8)
            elif kind == layout.MODULE_STRING:
                yield from source.text()
            else:
                raise source.fail(f"Unknown module opcode {kind}")
