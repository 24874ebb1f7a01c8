"""Ziplists, the packed lists of Redis 2.6 to 6.2: read only.

Header: bytes in all and offset of the last entry (32 bits each), number of entries (16 bits, 65535: count them),
little-endian. An entry starts with the length of the one before (one byte, or 254 and 32 bits), then its encoding;
255 ends.
"""

from __future__ import annotations

from struct import Struct

from storage.rdb.corrupt import CorruptData

HEADER = Struct("<IIH")
END = 255
BIG_PREVIOUS = 254
UNKNOWN_COUNT = 65535
INTEGER_BYTES = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}


def decode(data: bytes) -> list[bytes]:
    """The entries, integers as decimal text; raises CorruptData. Linear."""
    items: list[bytes] = []
    size = len(data)
    if size < HEADER.size + 1:
        raise CorruptData("ziplist header cut short", size)
    declared, tail, count = HEADER.unpack_from(data)
    if declared != size:
        raise CorruptData("ziplist size mismatch", 0)
    end = size - 1
    if data[end] != END:
        raise CorruptData("ziplist without an end", end)
    at = last = HEADER.size
    previous = 0
    while at < end:
        start = at
        length = data[at]
        at += 1
        if length == BIG_PREVIOUS:
            length = int.from_bytes(data[at : at + 4], "little")
            at += 4
        if length != previous:
            raise CorruptData("ziplist entry's link back is wrong", start)
        if at >= end:
            raise CorruptData("ziplist entry cut short", start)
        code = data[at]
        if code < 0xC0:
            if code < 0x40:
                length = code
                at += 1
            elif code < 0x80:
                length = (code & 0x3F) << 8 | data[at + 1]
                at += 2
            else:
                length = int.from_bytes(data[at + 1 : at + 5], "big")
                at += 5
            stop = at + length
            if stop > end:
                raise CorruptData("ziplist entry past the end", start)
            items.append(data[at:stop])
            at = stop
        else:
            at += 1
            width = INTEGER_BYTES.get(code)
            if width is not None:
                stop = at + width
                if stop > end:
                    raise CorruptData("ziplist entry past the end", start)
                items.append(b"%d" % int.from_bytes(data[at:stop], "little", signed=True))
                at = stop
            elif 0xF1 <= code <= 0xFD:
                items.append(b"%d" % (code - 0xF1))
            else:
                raise CorruptData("unknown ziplist encoding", start)
        previous = at - start
        last = start
    if at != end:
        raise CorruptData("ziplist entry past the end", last)
    if tail != last:
        raise CorruptData("ziplist tail offset is wrong", 4)
    if count != UNKNOWN_COUNT and count != len(items):
        raise CorruptData("ziplist count mismatch", 8)
    return items
