"""Stream IDs: their grammar, their text and their order.

An ID is one int, ``milliseconds << 64 | sequence``, so that order, successor and range are integer arithmetic
and a dict finds an entry by it. Both halves are unsigned 64 bit numbers. Must not know streams or commands: a
text that is no ID raises ValueError, and the caller words the refusal.
"""

from __future__ import annotations

from storage.numeric import UINT64_MAX, parse_unsigned
from storage.text import c_text

MAX_HALF = UINT64_MAX
MAX_ID = (1 << 128) - 1
MAX_TEXT_BYTES = 127  # as in Redis, whose parser copies into a fixed buffer; no legal ID is near it


def format_id(entry_id: int) -> bytes:
    """Write an ID as clients read it, `ms-seq`."""
    return b"%d-%d" % (entry_id >> 64, entry_id & MAX_HALF)


def parse_id(text: bytes, missing_sequence: int = 0) -> int:
    """Read `ms-seq` or `ms`, which stands for the sequence number given; the special IDs are refused."""
    milliseconds, dash, sequence = text.partition(b"-")
    if milliseconds.isdigit() and sequence.isdigit() and len(text) < 20:  # the usual form, cannot overflow
        return int(milliseconds) << 64 | int(sequence)
    milliseconds, dash, sequence = visible(text).partition(b"-")
    high = parse_unsigned(milliseconds)
    return high << 64 | (parse_unsigned(sequence) if dash else missing_sequence)


def visible(text: bytes) -> bytes:
    """What C sees of a text, which ends at its first NUL; one that is too long is refused."""
    if len(text) > MAX_TEXT_BYTES:
        raise ValueError("too long")
    return c_text(text)


def parse_bound(text: bytes, missing_sequence: int = 0) -> int:
    """Read an ID where `-` and `+` stand for the smallest and the greatest one."""
    if text == b"-":
        return 0
    if text == b"+":
        return MAX_ID
    return parse_id(text, missing_sequence)


def parse_partial(text: bytes) -> tuple[int, bool]:
    """Read an ID whose sequence may be `*`; return the ID and whether the sequence was given."""
    if b"*" in text:
        seen = visible(text)
        if seen[-2:] == b"-*" and seen.count(b"-") == 1:
            return parse_unsigned(seen[:-2]) << 64, False
    return parse_id(text), True
