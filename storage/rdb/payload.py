"""The payloads of DUMP, RESTORE and MIGRATE: one value as in a snapshot, then the version and a checksum.

Must not know keys or commands. What came from outside either becomes a value or is refused, in time and memory that
its length bounds.
"""

from __future__ import annotations

from storage.rdb import layout
from storage.rdb.corrupt import CorruptData
from storage.rdb.crc64 import crc64
from storage.rdb.load_value import load_value
from storage.rdb.save_value import save_value
from storage.rdb.source import Source
from storage.types.hash import Hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from storage.limits import EncodingLimits

FOOTER_BYTES = 10  # 16 bits of version, 64 of checksum


class WrongFooter(Exception):
    """The checksum does not match, or the version is newer than what can be read."""


def dump(value: Any, limits: EncodingLimits, version: int = layout.DEFAULT_VERSION, compressing: bool = True) -> bytes:
    """The payload of a value, of the given version, or of 12 if it is a hash with deadlines on fields."""
    if value.__class__ is Hash and value.next_deadline() is not None:
        version = max(version, layout.FIELD_DEADLINES_SINCE)
    kind, pieces = save_value(value, version, limits, compressing)
    body = b"".join([bytes((kind,)), *pieces, version.to_bytes(2, "little")])
    return body + crc64(body).to_bytes(8, "little")


def verify(payload: bytes, checking: bool = True) -> bool:
    """Whether the version of a payload, and unless told otherwise its checksum, are right."""
    if len(payload) < FOOTER_BYTES:
        return False
    version = int.from_bytes(payload[-10:-8], "little")
    checksum = int.from_bytes(payload[-8:], "little")
    readable = version <= layout.NEWEST_VERSION or version == layout.VALKEY_VERSION
    return readable and (not checking or crc64(memoryview(payload)[:-8]) == checksum)


def restore(payload: bytes, limits: EncodingLimits, checking: bool = True) -> Any:
    """The value of a payload. Raises WrongFooter, or CorruptData for what is behind a right footer and still wrong."""
    if not verify(payload, checking):
        raise WrongFooter()
    source = Source(payload)  # as in Redis a value may end before the footer, and in it
    if source.buf[0] > layout.NEWEST_TYPE:
        raise CorruptData("Unknown type of value", 0)
    source.pos = 1
    steps = load_value(source, source.buf[0], limits, int.from_bytes(payload[-10:-8], "little"))
    try:
        next(steps)
    except StopIteration as done:
        if done.value is None:
            raise CorruptData("Container without elements", 1) from None
        return done.value
    raise CorruptData("Unexpected end of the value", len(source.buf))
