"""The types of value by class: names, encodings, copies, for code that handles any of them alike."""

from __future__ import annotations

from storage.types import byte_strings
from storage.types.hash import Hash
from storage.types.list import List
from storage.types.set import Set
from storage.types.sorted_set import SortedSet
from storage.types.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from storage.limits import EncodingLimits

TYPE_NAMES: dict[type, bytes] = {
    bytes: b"string",
    bytearray: b"string",
    List: b"list",
    Set: b"set",
    SortedSet: b"zset",
    Hash: b"hash",
    Stream: b"stream",
}


def encoding_name(value: Any, limits: EncodingLimits) -> bytes:
    """What OBJECT ENCODING says."""
    if value.__class__ is bytes or value.__class__ is bytearray:
        return byte_strings.encoding_name(value, limits)
    name: bytes = value.encoding_name(limits)
    return name


def copy(value: Any) -> Any:
    """An independent copy of any value. O(n); O(1) for a string that cannot change."""
    if value.__class__ is bytes:
        return value
    if value.__class__ is bytearray:
        return bytearray(value)
    return value.copy()
