"""Integers among the arguments of a command, refused in Redis's words.

The grammar is that of `storage.numeric`; here stand the ranges and who says what. Knows no key and no command.
"""

from __future__ import annotations

from storage.errors import MUST_BE_POSITIVE, NOT_AN_INTEGER, CommandError
from storage.numeric import INT32_MAX, INT32_MIN, INT64_MAX, parse_int

# Counts, ranks and times are mostly small: 0.17 -> 0.06 us for one that is looked up.
SMALL = {b"%d" % number: number for number in range(-128, 1024)}
OUTSIDE = b"ERR value is out of range, value must between %d and %d"


def integer(argument: bytes, refusal: bytes = NOT_AN_INTEGER) -> int:
    """A signed 64-bit integer. `refusal` is what to say to anything else."""
    number = SMALL.get(argument)
    if number is not None:
        return number
    try:
        return parse_int(argument)
    except ValueError:
        raise CommandError(refusal) from None


def integer_between(argument: bytes, low: int, high: int, refusal: bytes | None = None) -> int:
    """An integer of a range. `refusal` is what to say to anything else; without it the range is named."""
    try:
        number = parse_int(argument)
    except ValueError:
        raise CommandError(refusal or NOT_AN_INTEGER) from None
    if not low <= number <= high:
        raise CommandError(refusal or OUTSIDE % (low, high))
    return number


def int32(argument: bytes, refusal: bytes | None = None) -> int:
    """What Redis keeps in an int: the numbers of databases."""
    return integer_between(argument, INT32_MIN, INT32_MAX, refusal)


def not_negative(argument: bytes, refusal: bytes = MUST_BE_POSITIVE) -> int:
    """Zero or more."""
    return integer_between(argument, 0, INT64_MAX, refusal)


def negatable(argument: bytes) -> int:
    """An integer whose negative is one too: counts and ranks where a minus sign means the other way."""
    return integer_between(argument, -INT64_MAX, INT64_MAX)
