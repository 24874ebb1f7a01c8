"""The grammar of timeouts: how long a client is willing to wait.

Blocking commands take seconds, with a fraction; WAIT, the BLOCK of streams and CLIENT PAUSE whole milliseconds. Knows
no command.
"""

from __future__ import annotations

from server.number_arguments import integer
from storage.errors import (
    TIMEOUT_NEGATIVE,
    TIMEOUT_NOT_FLOAT,
    TIMEOUT_NOT_INTEGER,
    TIMEOUT_OUT_OF_RANGE,
    CommandError,
)
from storage.numeric import INT64_MAX, parse_long_double

SIGNIFICAND_BITS = 64  # of the 80-bit long double that Redis computes in
MAX_PLAIN_DIGITS = 12  # whole seconds up to here are in range whatever the clock says


def timeout_of_seconds(argument: bytes, now_ms: int) -> int:
    """Seconds as milliseconds, rounded up; 0 waits for ever."""
    if argument.isdigit() and len(argument) <= MAX_PLAIN_DIGITS:
        return int(argument) * 1000
    try:
        significand, exponent = parse_long_double(argument)
    except ValueError:
        raise CommandError(TIMEOUT_NOT_FLOAT) from None
    # The product is rounded before it is rounded up: 0.001 is a little more than a thousandth, but means 1 ms.
    product = significand * 1000
    excess = abs(product).bit_length() - SIGNIFICAND_BITS
    if excess > 0:
        half = 1 << (excess - 1)
        rest = product & ((1 << excess) - 1)
        product >>= excess
        exponent += excess
        if rest > half or (rest == half and product & 1):
            product += 1
    timeout_ms = product << exponent if exponent >= 0 else -(-product >> -exponent)
    return judged(timeout_ms, now_ms)


def timeout_of_milliseconds(argument: bytes, now_ms: int) -> int:
    """Whole milliseconds; 0 waits for ever."""
    return judged(integer(argument, TIMEOUT_NOT_INTEGER), now_ms)


def judged(timeout_ms: int, now_ms: int) -> int:
    """Refuse a time that is over before it begins, or whose end 64 bits cannot hold."""
    if timeout_ms < 0:
        raise CommandError(TIMEOUT_NEGATIVE)
    if timeout_ms > INT64_MAX - now_ms:
        raise CommandError(TIMEOUT_OUT_OF_RANGE)
    return timeout_ms
