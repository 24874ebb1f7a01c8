"""Stream IDs: their grammar, their text and their order.

An ID is one int, ``milliseconds << 64 | sequence``, so that order, successor and range are integer arithmetic
and a dict finds an entry by it. Both halves are unsigned 64 bit numbers. Must not know streams or commands: a
text that is no ID raises ValueError, and the caller words the refusal.
"""

from __future__ import annotations

MAX_HALF = (1 << 64) - 1
MAX_ID = (1 << 128) - 1
MAX_TEXT_BYTES = 127  # as in Redis, whose parser copies into a fixed buffer; no legal ID is near it
STRTOULL_SPACES = b" \t\n\v\f\r"


def format_id(entry_id: int) -> bytes:
    """Write an ID as clients read it, `ms-seq`."""
    return b"%d-%d" % (entry_id >> 64, entry_id & MAX_HALF)


def parse_half(text: bytes) -> int:
    """Read one unsigned 64 bit half as Redis does: canonical decimal, else with C's strtoull's leniency."""
    if text.isdigit() and (text[0] != 48 or text == b"0"):
        value = int(text)
    else:
        if text[:1] == b"-" and text[1:].isdigit() and text[1] != 48 and int(text) >= -(1 << 63):
            raise ValueError("negative")
        digits = text.lstrip(STRTOULL_SPACES)
        negative = digits[:1] == b"-"
        if digits[:1] in (b"-", b"+"):
            digits = digits[1:]
        if not digits.isdigit():
            raise ValueError("not a number")
        value = int(digits)
        if value <= MAX_HALF and negative:
            value = -value & MAX_HALF
    if value > MAX_HALF:
        raise ValueError("more than 64 bits")
    return value


def parse_id(text: bytes, missing_sequence: int = 0) -> int:
    """Read `ms-seq` or `ms`, which stands for the sequence number given; the special IDs are refused."""
    milliseconds, dash, sequence = text.partition(b"-")
    if milliseconds.isdigit() and sequence.isdigit() and len(text) < 20:  # the usual form, cannot overflow
        return int(milliseconds) << 64 | int(sequence)
    if len(text) > MAX_TEXT_BYTES:
        raise ValueError("too long")
    if b"\0" in text:  # a C string ends here
        milliseconds, dash, sequence = text[: text.index(b"\0")].partition(b"-")
    high = parse_half(milliseconds)
    return high << 64 | (parse_half(sequence) if dash else missing_sequence)


def parse_bound(text: bytes, missing_sequence: int = 0) -> int:
    """Read an ID where `-` and `+` stand for the smallest and the greatest one."""
    if text == b"-":
        return 0
    if text == b"+":
        return MAX_ID
    return parse_id(text, missing_sequence)


def parse_partial(text: bytes) -> tuple[int, bool]:
    """Read an ID whose sequence may be `*`; return the ID and whether the sequence was given."""
    if text[-2:] == b"-*" and text.count(b"-") == 1:
        if len(text) > MAX_TEXT_BYTES:
            raise ValueError("too long")
        return parse_half(text[:-2]) << 64, False
    return parse_id(text), True
