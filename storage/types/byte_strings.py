"""What OBJECT ENCODING calls a string, and other facts about bytes as values.

A string is bytes, or a bytearray once it was edited in place; the names follow Redis's thresholds.
"""

from __future__ import annotations

from storage.numeric import parse_int

EMBSTR_BYTES = 44  # as in Redis: header and text fill one 64-byte allocation
SHARED_INTEGERS = 10_000  # Redis keeps one object for each of 0..9999
MAX_INTEGER_DIGITS = 20

INT, EMBSTR, RAW = b"int", b"embstr", b"raw"


def encoding_name(value: bytes | bytearray) -> bytes:
    """int for a canonical 64-bit integer, embstr up to 44 bytes, raw for longer or edited strings."""
    if value.__class__ is bytearray:
        return RAW
    if len(value) <= MAX_INTEGER_DIGITS and is_integer(value):
        return INT
    return EMBSTR if len(value) <= EMBSTR_BYTES else RAW


def is_integer(value: bytes | bytearray) -> bool:
    try:
        parse_int(value)
    except ValueError:
        return False
    return True


def is_shared(value: bytes | bytearray) -> bool:
    """Whether Redis would keep one object for all keys with this value."""
    return value.__class__ is bytes and encoding_name(value) is INT and 0 <= int(value) < SHARED_INTEGERS
