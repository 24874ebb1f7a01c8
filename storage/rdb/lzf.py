"""LZF, the compression of strings in snapshots.

A control byte below 32 announces that many literals and one more. Otherwise its upper three bits are a match's length
less two (seven: the next byte is added), its lower five bits and the byte after are the distance less one.
"""

from __future__ import annotations

from storage.rdb.corrupt import CorruptData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

MAX_LITERALS = 32
WINDOW_BITS = 13
SHORT = 512  # bytes; up to here only what has very few letters is compressed
SAMPLE = 40
FEW_LETTERS = 16  # a letter occurs that often on the average
MAX_DISTANCE = 1 << WINDOW_BITS
MAX_MATCH = 264  # 2 + 7 + 255
MIN_SAVING = 4  # bytes, as in Redis; what saves less is stored as it is
MAX_RATIO = 132  # three bytes make 264 at best: a declared size beyond that is a lie, and nothing is allocated for it


def decompress(data: bytes, size: int) -> bytes:
    """Expand `data`, which must give exactly `size` bytes; raises CorruptData. Linear in `size`."""
    if size > len(data) * MAX_RATIO:
        raise CorruptData("LZF string too short for its declared length", 0)
    out = bytearray()
    at, end = 0, len(data)
    made = 0
    try:
        while at < end:
            control = data[at]
            at += 1
            if control < 32:
                stop = at + control + 1
                if stop > end:
                    raise CorruptData("LZF literals past the end", at)
                out += data[at:stop]
                made += control + 1
                at = stop
            else:
                length = control >> 5
                if length == 7:
                    length += data[at]
                    at += 1
                length += 2
                distance = ((control & 31) << 8 | data[at]) + 1
                at += 1
                start = made - distance
                if start < 0:
                    raise CorruptData("LZF match before the beginning", at)
                if distance >= length:
                    out += out[start : start + length]
                else:  # the match overlaps what it makes: a pattern repeated
                    out += (out[start:] * (length // distance + 1))[:length]
                made += length
            if made > size:
                raise CorruptData("LZF string longer than declared", at)
    except IndexError:
        raise CorruptData("LZF match cut short", end) from None
    if made != size:
        raise CorruptData("LZF string shorter than declared", end)
    return bytes(out)


def pays(data: bytes) -> bool:
    """Estimate, in C, whether compressing would about halve `data`: 25 ns a byte.

    zlib with fixed codes and a window of LZF's size finds what LZF finds and comes out 5 to 20 % smaller, so that 40 %
    by zlib are half by LZF. Redis takes any saving; here a byte costs 50 times what it costs there, and smaller savings
    would make a snapshot of small hashes seven times as slow to write and half as fast to load for a third of its size.
    So short strings, such as the packed form of a small container, are compressed only if they repeat very few letters.
    """
    size = len(data)
    if size <= SHORT:
        # The beginning alone is often too varied, and quicker to count.
        return len(set(data[:SAMPLE])) * FEW_LETTERS < size and len(set(data)) * FEW_LETTERS < size
    try:
        from zlib import DEFLATED, Z_FIXED, compressobj
    except ImportError:
        return True
    estimate = compressobj(1, DEFLATED, -WINDOW_BITS, 1, Z_FIXED)
    return (len(estimate.compress(data)) + len(estimate.flush())) * 5 < size * 2


def compress(data: bytes) -> Optional[bytes]:
    """A shorter form of `data`, or None if it would not save at least 4 bytes. About 150 ns a byte."""
    size = len(data)
    # Every saving needs triples that occur again. Both tests are exact refusals: 20 and 60 ns a byte instead of 150.
    if len(set(data)) > size - MIN_SAVING - 2:
        return None
    if size <= SHORT and len(set(zip(data, data[1:], data[2:]))) > size - MIN_SAVING - 2:
        return None
    limit = size - MIN_SAVING
    out = bytearray()
    seen: dict[bytes, int] = {}
    lookup = seen.get
    at = literal = 0
    last = size - 2
    while at < last:
        triple = data[at : at + 3]
        found = lookup(triple)
        seen[triple] = at
        if found is None or at - found > MAX_DISTANCE:
            at += 1 + (at - literal >> 6)  # the longer nothing matches, the larger the steps
            continue
        length = 3
        longest = min(MAX_MATCH, size - at)
        while length + 16 <= longest:
            behind, ahead = found + length, at + length
            if data[behind : behind + 16] != data[ahead : ahead + 16]:
                break
            length += 16
        while length < longest and data[at + length] == data[found + length]:
            length += 1
        while literal < at:
            stop = min(at, literal + MAX_LITERALS)
            out.append(stop - literal - 1)
            out += data[literal:stop]
            literal = stop
        distance = at - found - 1
        if length < 9:
            out.append((length - 2) << 5 | distance >> 8)
        else:
            out.append(7 << 5 | distance >> 8)
            out.append(length - 9)
        out.append(distance & 255)
        at += length
        literal = at
        if len(out) > limit:
            return None
        seen[data[at - 2 : at + 1]] = at - 2
        seen[data[at - 1 : at + 2]] = at - 1
    while literal < size:
        stop = min(size, literal + MAX_LITERALS)
        out.append(stop - literal - 1)
        out += data[literal:stop]
        literal = stop
    return bytes(out) if len(out) <= limit else None
