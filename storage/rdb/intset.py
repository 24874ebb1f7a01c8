"""Intsets: ascending integers of 2, 4 or 8 bytes, the compact form of a set of integers.

Header: width and count, 32 bits each, little-endian like everything in it.
"""

from __future__ import annotations

from struct import Struct, pack, unpack_from

from storage.rdb.corrupt import CorruptData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = Struct("<II")
ITEM_FORMATS = {2: "h", 4: "i", 8: "q"}
INT16, INT32 = 1 << 15, 1 << 31


def decode(data: bytes) -> list[int]:
    """The integers in ascending order; raises CorruptData unless they are distinct, sorted and fill the blob."""
    if len(data) < HEADER.size:
        raise CorruptData("intset header cut short", len(data))
    width, count = HEADER.unpack_from(data)
    if width not in ITEM_FORMATS:
        raise CorruptData("unknown intset encoding", 0)
    if len(data) - HEADER.size != width * count:
        raise CorruptData("intset size mismatch", 4)
    if not count:
        raise CorruptData("empty intset", 4)
    items = list(unpack_from(f"<{count}{ITEM_FORMATS[width]}", data, HEADER.size))
    if items != sorted(set(items)):
        raise CorruptData("intset out of order", HEADER.size)
    return items


def encode(items: Iterable[int]) -> bytes:
    """The blob of a set of 64-bit integers, in the narrowest width that holds them all."""
    ordered = sorted(items)
    low, high = (ordered[0], ordered[-1]) if ordered else (0, 0)
    width = 2 if -INT16 <= low and high < INT16 else 4 if -INT32 <= low and high < INT32 else 8
    return HEADER.pack(width, len(ordered)) + pack(f"<{len(ordered)}{ITEM_FORMATS[width]}", *ordered)
