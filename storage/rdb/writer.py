"""Writing a snapshot: a generator of pieces, the caller puts them into a file or a socket.

Owns the order of records, the version, the checksum. Must not know files or forks; it only reads, so a forked child
may run it, and between two pieces the caller may report `keys_written`, breathe, or give up.
"""

from __future__ import annotations

from storage.rdb import layout
from storage.rdb.crc64 import crc64
from storage.rdb.listpack import KnownEntries
from storage.rdb.save_value import save_value
from storage.rdb.spelling import COMPRESS_ABOVE, LENGTHS, encode_length, encode_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Callable, Optional

    from storage.database import Database
    from storage.limits import EncodingLimits

    # Seconds a key was idle, its access frequency, or neither.
    Age = tuple[Optional[int], Optional[int]]

PIECE_BYTES = 64 * 1024  # a piece is at least that long, but for the last
PIECE_PARTS = 3000
SMALL = 64  # strings below have a length of one byte


def needed_version(databases: Iterable[Database], target: int = layout.DEFAULT_VERSION) -> int:
    """The version to write: `target`, unless some hash has deadlines on fields, which are new in 12."""
    if any(db.field_deadlines.live for db in databases):
        return max(target, layout.FIELD_DEADLINES_SINCE)
    return target


def aux_fields(
    server_version: bytes,
    now_s: int,
    used_memory: int,
    aof_base: bool = False,
    replication: Optional[tuple[int, bytes, int]] = None,
) -> list[tuple[bytes, bytes]]:
    """The facts at the head of a snapshot. `replication`: the selected database (-1: none), the ID and the offset."""
    fields = [
        (b"redis-ver", server_version),
        (b"redis-bits", b"64"),
        (b"ctime", b"%d" % now_s),
        (b"used-mem", b"%d" % used_memory),
    ]
    if replication is not None:
        stream_db, replication_id, offset = replication
        fields += [
            (b"repl-stream-db", b"%d" % stream_db),
            (b"repl-id", replication_id),
            (b"repl-offset", b"%d" % offset),
        ]
    fields.append((b"aof-base", b"%d" % aof_base))
    return fields


class SnapshotWriter:
    """One snapshot. `keys_written` grows while the pieces are taken."""

    __slots__ = ("version", "limits", "compressing", "checking", "keys_written")

    def __init__(
        self,
        limits: EncodingLimits,
        version: int = layout.DEFAULT_VERSION,
        compressing: bool = True,
        checking: bool = True,
    ) -> None:
        self.version = version
        self.limits = limits
        self.compressing = compressing
        self.checking = checking
        self.keys_written = 0

    def pieces(
        self,
        databases: Iterable[Database],
        aux: Sequence[tuple[bytes, bytes]] = (),
        functions: Iterable[bytes] = (),
        age: Optional[Callable[[Database, bytes], Age]] = None,
    ) -> Iterator[bytes]:
        """The bytes of the snapshot. `age` tells what eviction wants to know of a key, when it wants it."""
        crc = 0
        checking = self.checking
        for piece in self._unchecked(databases, aux, functions, age):
            if checking:
                crc = crc64(piece, crc)
            yield piece
        yield crc.to_bytes(8, "little")

    def _unchecked(
        self,
        databases: Iterable[Database],
        aux: Sequence[tuple[bytes, bytes]],
        functions: Iterable[bytes],
        age: Optional[Callable[[Database, bytes], Age]],
    ) -> Iterator[bytes]:
        parts = [b"%s%04d" % (layout.MAGIC, self.version)]
        for name, text in aux:
            parts += (b"\xfa", encode_string(name, False), encode_string(text, False))
        for source in functions:
            parts += (b"\xf5", encode_string(source, self.compressing))
        for db in databases:
            if not db.data:
                continue
            parts += (
                b"\xfe",
                encode_length(db.number),
                b"\xfb",
                encode_length(len(db.data)),
                encode_length(len(db.lapses)),
            )
            yield from self._keys(db, age, parts)
            parts = []
        parts.append(b"\xff")
        yield b"".join(parts)

    def _keys(
        self, db: Database, age: Optional[Callable[[Database, bytes], Age]], parts: list[bytes]
    ) -> Iterator[bytes]:
        """The records of one database; `parts` goes before them.

        Short strings are encoded here: 1.9 -> 0.4 us a key.
        """
        lapses = db.lapses
        compressing = self.compressing
        compress_from = COMPRESS_ABOVE + 1 if compressing else SMALL
        append = parts.append
        extend = parts.extend
        lengths = LENGTHS
        known = KnownEntries()
        written = 0
        for key, value in db.data.items():
            if lapses:
                deadline_ms = lapses.get(key)
                if deadline_ms is not None:
                    append(b"\xfc" + deadline_ms.to_bytes(8, "little", signed=True))
            if age is not None:
                idle_s, freq = age(db, key)
                if idle_s is not None:
                    append(b"\xf8" + encode_length(idle_s))
                elif freq is not None:
                    append(b"\xf9" + freq.to_bytes(1, "little"))
            key_size = len(key)
            # What is longer than 11 bytes, or begins with a letter, is no integer. Keys are short and not compressed.
            if value.__class__ is bytes and 0 < key_size < SMALL and (key_size > 11 or key[0] > 57):
                size = len(value)
                if 0 < size < compress_from and (size > 11 or value[0] > 57):
                    extend((b"\0", lengths[key_size], key, lengths[size], value))
                else:
                    extend((b"\0", lengths[key_size], key, encode_string(value, compressing)))
            else:
                kind, pieces = save_value(value, self.version, self.limits, compressing, known)
                extend((bytes((kind,)), encode_string(key, compressing)))
                held = 0
                for piece in pieces:
                    append(piece)
                    held += len(piece)
                    if held >= PIECE_BYTES:
                        yield b"".join(parts)
                        parts.clear()
                        held = 0
            written += 1
            if len(parts) >= PIECE_PARTS:
                self.keys_written += written
                written = 0
                yield b"".join(parts)
                parts.clear()
        self.keys_written += written
        yield b"".join(parts)
