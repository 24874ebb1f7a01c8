"""Lengths and strings as a snapshot spells them; `source` reads them."""

from __future__ import annotations

from storage.rdb import lzf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

LENGTHS = tuple(bytes((length,)) for length in range(64))
COMPRESS_ABOVE = 20  # bytes, as in Redis
MAX_INTEGER_CHARS = 11  # of a 32-bit integer


def encode_length(number: int) -> bytes:
    """A length or another unsigned 64-bit number."""
    if number < 0x40:
        return LENGTHS[number]
    if number < 0x4000:
        return (number | 0x4000).to_bytes(2, "big")
    if number < 1 << 32:
        return b"\x80" + number.to_bytes(4, "big")
    return b"\x81" + number.to_bytes(8, "big")


def encode_integer(text: Union[bytes, bytearray]) -> bytes | None:
    """The short form of a string that is a canonical 32-bit decimal, or None."""
    if text.isdigit():
        if text[0] == 48 and len(text) > 1:
            return None
    elif text[:1] != b"-" or text[1:2] == b"0" or not text[1:].isdigit():
        return None
    number = int(text)
    if -128 <= number < 128:
        return b"\xc0" + number.to_bytes(1, "little", signed=True)
    if -32768 <= number < 32768:
        return b"\xc1" + number.to_bytes(2, "little", signed=True)
    if -2147483648 <= number < 2147483648:
        return b"\xc2" + number.to_bytes(4, "little", signed=True)
    return None


def encode_string(text: Union[bytes, bytearray], compressing: bool) -> bytes:
    """A string in its shortest encoding."""
    size = len(text)
    if size <= MAX_INTEGER_CHARS:
        return encode_integer(text) or LENGTHS[size] + text
    if compressing and size > COMPRESS_ABOVE:
        text = bytes(text)
        packed = lzf.compress(text) if lzf.pays(text) else None
        if packed is not None:
            return b"\xc3" + encode_length(len(packed)) + encode_length(size) + packed
    if size < 64:
        return LENGTHS[size] + text
    return encode_length(size) + text
