"""Zipmaps, the compact hash of Redis before 2.6: read only.

A count byte (254 and above: count them), then pairs: length, field, length, unused byte count, value, that many
unused bytes; 255 ends. A length is one byte below 254, or 254 and 32 bits.
"""

from __future__ import annotations

from storage.rdb.corrupt import CorruptData

BIG = 254
END = 255


def decode(data: bytes) -> list[bytes]:
    """Fields and values alternating; raises CorruptData."""
    items: list[bytes] = []
    size = len(data)
    try:
        at = 1
        while data[at] != END:
            for is_value in (False, True):
                length = data[at]
                at += 1
                if length == END:
                    raise CorruptData("zipmap field without value", at - 1)
                if length == BIG:
                    if at + 4 > size:
                        raise CorruptData("zipmap length cut short", at)
                    length = int.from_bytes(data[at : at + 4], "little")
                    at += 4
                unused = 0
                if is_value:
                    unused = data[at]
                    at += 1
                stop = at + length
                if stop + unused >= size:
                    raise CorruptData("zipmap entry past the end", at)
                items.append(data[at:stop])
                at = stop + unused
    except IndexError:
        raise CorruptData("zipmap without an end", size) from None
    if at + 1 != size:
        raise CorruptData("zipmap followed by garbage", at)
    if data[0] < BIG and data[0] * 2 != len(items):
        raise CorruptData("zipmap count mismatch", 0)
    return items
