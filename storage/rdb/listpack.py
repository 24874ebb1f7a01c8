"""Listpacks, the packed lists of Redis 7 (and of streams since 5).

Header: bytes in all (32 bits), number of entries (16 bits, 65535: count them), little-endian; 255 ends. An entry is
its encoding byte with the data, then its own length written so that it can be read backwards. Text that is a canonical
64-bit decimal is stored as an integer; integers come back as the same text.
"""

from __future__ import annotations

from struct import Struct

from storage.rdb.corrupt import CorruptData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

HEADER = Struct("<IH")
HEADER_BYTES = 6
END = 255
END_BYTE = b"\xff"
UNKNOWN_COUNT = 65535
MAX_BYTES = (1 << 32) - 1
EMPTY_BYTES = HEADER_BYTES + 1

MAX_INTEGER_DIGITS = 20  # of -9223372036854775808
SHORT = 64  # strings below have their length in the encoding byte
MEDIUM = 4096  # and below this in that and one more

SMALL_INTEGERS = tuple(b"%d" % number for number in range(128))


def _back_length(length: int) -> bytes:
    """The length of an entry for a reader that comes from behind: 7 bits a byte, most significant byte first.

    The bounds are Redis's, which spends a byte more on 16383 and the like than it had to.
    """
    if length <= 127:
        return bytes((length,))
    if length < 16383:
        return bytes((length >> 7, length & 127 | 128))
    if length < 2097151:
        return bytes((length >> 14, length >> 7 & 127 | 128, length & 127 | 128))
    if length < 268435455:
        return bytes((length >> 21, length >> 14 & 127 | 128, length >> 7 & 127 | 128, length & 127 | 128))
    return bytes(
        (length >> 28, length >> 21 & 127 | 128, length >> 14 & 127 | 128, length >> 7 & 127 | 128, length & 127 | 128)
    )


AFTER_DIGITS = b":"  # the least string that begins with neither a digit nor a sign
MAX_KNOWN = 4096
SHORT_HEADS = tuple(bytes((0x80 | length,)) for length in range(SHORT))
SHORT_TAILS = tuple(bytes((length + 1,)) for length in range(SHORT))


def encode_integer(number: int) -> bytes:
    """The entry of a 64-bit integer."""
    if 0 <= number < 128:
        return bytes((number, 1))
    if -4096 <= number < 4096:
        number &= 0x1FFF
        return bytes((0xC0 | number >> 8, number & 255, 2))
    if -32768 <= number < 32768:
        return b"\xf1" + number.to_bytes(2, "little", signed=True) + b"\x03"
    if -8388608 <= number < 8388608:
        return b"\xf2" + number.to_bytes(3, "little", signed=True) + b"\x04"
    if -2147483648 <= number < 2147483648:
        return b"\xf3" + number.to_bytes(4, "little", signed=True) + b"\x05"
    return b"\xf4" + number.to_bytes(8, "little", signed=True) + b"\x09"


def encode_entry(value: bytes) -> bytes:
    """The entry of a string, as an integer where it reads like one."""
    size = len(value)
    if 0 < size <= MAX_INTEGER_DIGITS and 48 <= value[size - 1] < 58:
        if value.isdigit():
            if value[0] != 48 or size == 1:
                number = int(value)
                if number < 1 << 63:
                    return encode_integer(number)
        elif value[0] == 45 and value[1] != 48 and value[1:].isdigit():
            number = int(value)
            if number >= -1 << 63:
                return encode_integer(number)
    if size < SHORT:
        return SHORT_HEADS[size] + value + SHORT_TAILS[size]
    if size < MEDIUM:
        return bytes((0xE0 | size >> 8, size & 255)) + value + _back_length(size + 2)
    return b"\xf0" + size.to_bytes(4, "little") + value + _back_length(size + 5)


def assemble(entries: list[bytes]) -> bytes:
    """The listpack of encoded entries."""
    body = b"".join(entries)
    count = len(entries)
    return HEADER.pack(len(body) + EMPTY_BYTES, count if count < UNKNOWN_COUNT else UNKNOWN_COUNT) + body + END_BYTE


def encode_entries(values: Collection[bytes]) -> list[bytes]:
    """The entry of each string."""
    if max(map(len, values), default=SHORT) >= SHORT or min(values) < AFTER_DIGITS:
        return list(map(encode_entry, values))
    # Short, and none begins with a sign or a digit: 180 -> 130 ns each.
    heads, tails = SHORT_HEADS, SHORT_TAILS
    return [heads[len(value)] + value + tails[len(value)] for value in values]


def encode(values: Collection[bytes]) -> bytes:
    """The listpack of strings, 150 to 250 ns each."""
    return assemble(encode_entries(values))


class KnownEntries(dict):  # type: ignore[type-arg]
    """Entries by string, made at first use: the fields of hashes of one shape are the same again and again.

    `list(map(known.__getitem__, values))` takes 30 ns each. It forgets when it has grown long.
    """

    __slots__ = ()

    def __missing__(self, value: bytes) -> bytes:
        if len(self) >= MAX_KNOWN:
            self.clear()
        entry = encode_entry(value)
        self[value] = entry
        return entry


def decode(data: bytes) -> list[bytes]:
    """The entries, integers as decimal text; raises CorruptData. Linear, about 200 ns each."""
    items: list[bytes] = []
    append = items.append
    size = len(data)
    if size < EMPTY_BYTES:
        raise CorruptData("listpack header cut short", size)
    declared, count = HEADER.unpack_from(data)
    if declared != size:
        raise CorruptData("listpack size mismatch", 0)
    end = size - 1
    if data[end] != END:
        raise CorruptData("listpack without an end", end)
    at = HEADER_BYTES
    small = SMALL_INTEGERS
    from_bytes = int.from_bytes
    while at < end:
        code = data[at]
        if code < 0x80:
            append(small[code])
            at += 2
            if data[at - 1] != 1 or at > end:
                raise CorruptData("listpack entry's length back is wrong", at - 1)
            continue
        if code < 0xC0:
            length = code & 63
            stop = at + 1 + length
            if stop >= end or data[stop] != length + 1:
                raise CorruptData("listpack entry past the end or its length back is wrong", at)
            append(data[at + 1 : stop])
            at = stop + 1
            continue
        width = INTEGER_BYTES.get(code)
        if width is not None:
            stop = at + 1 + width
            if stop >= end or data[stop] != width + 1:
                raise CorruptData("listpack entry past the end or its length back is wrong", at)
            append(b"%d" % from_bytes(data[at + 1 : stop], "little", signed=True))
            at = stop + 1
            continue
        at = _decode_rare(data, at, end, code, items)
    if count != UNKNOWN_COUNT and count != len(items):
        raise CorruptData("listpack count mismatch", 4)
    return items


INTEGER_BYTES = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}


def _decode_rare(data: bytes, start: int, end: int, code: int, items: list[bytes]) -> int:
    """Append the entry at `start`, which is no short string and has no plain integer; return where the next begins."""
    at = start + 1
    if code < 0xE0:
        number = (code & 31) << 8 | data[at]
        at += 1
        items.append(b"%d" % (number - 8192 if number >= 4096 else number))
    else:
        if code < 0xF0:
            length = (code & 15) << 8 | data[at]
            at += 1
        elif code == 0xF0:
            length = int.from_bytes(data[at : at + 4], "little")
            at += 4
        else:
            raise CorruptData("unknown listpack encoding", start)
        stop = at + length
        if stop >= end:
            raise CorruptData("listpack entry past the end", start)
        items.append(data[at:stop])
        at = stop
    back = _back_length(at - start)
    stop = at + len(back)
    if stop > end or data[at:stop] != back:
        raise CorruptData("listpack entry past the end or its length back is wrong", start)
    return stop
