"""Between words of a command and values of Lua, as C takes them in Redis.

Lua's strings arrive as bytes, numbers as int where they are whole and as float otherwise. Must not know scripts or
sessions.
"""

from __future__ import annotations

from storage.errors import CommandError
from storage.numeric import format_float, parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence

MAX_EXACT = 2.0**63
COUNTS = {b"%d" % count: count for count in range(10)}  # of keys, as most scripts have: read without parsing


def count_keys(argv: Sequence[bytes], not_a_number: bytes) -> int:
    """The number of keys of a call; raises CommandError, with `not_a_number` for what is none."""
    count = COUNTS.get(argv[2])
    if count is None:
        try:
            count = parse_int(argv[2])
        except ValueError:
            raise CommandError(not_a_number) from None
    if count > len(argv) - 3:
        raise CommandError(b"ERR Number of keys can't be greater than number of args")
    if count < 0:
        raise CommandError(b"ERR Number of keys can't be negative")
    return count


def word_of(value: Any) -> Optional[bytes]:
    """A string, or a number as Redis writes it; None for anything else."""
    kind = value.__class__
    if kind is bytes:
        word: bytes = value
        return word
    if kind is int:
        return b"%d" % value if -(2**53) <= value <= 2**53 else number_text(float(value))
    if kind is float:
        return number_text(value)
    return None


def number_text(value: float) -> bytes:
    if value != value:
        return b"-nan"
    return format_float(value)


def items_of(table: Any, count: int) -> List[Any]:
    """The items of a table that is a list, holes included."""
    return [table[place] for place in range(1, count + 1)]


def is_number(value: Any) -> bool:
    """Whether Lua takes a value for a number: text may be one too."""
    if value.__class__ is bytes:
        try:
            parse_number(value)
        except ValueError:
            return False
        return True
    return value.__class__ in (int, float)


def number_of(value: Any) -> int:
    """A Lua value as C takes one for an integer: text may be a number too, and what is none is 0."""
    if value.__class__ is bytes:
        try:
            value = parse_number(value)
        except ValueError:
            return 0
    if value.__class__ is float:
        return truncated(value)
    return value if value.__class__ is int else 0


def words_of(values: Sequence[Any]) -> Any:
    """Each value as a word, or None if one is neither text nor a number."""
    words = []
    # The digits of a float cost 5 us, and a rate limiter pushes the time of day as often as a call takes arguments.
    written: Dict[float, bytes] = {}
    for value in values:
        if value.__class__ is float and value:  # zeros of both signs are equal, and written differently
            word = written.get(value)
            if word is None:
                word = written[value] = number_text(value)
        else:
            word = word_of(value)
            if word is None:
                return None
        words.append(word)
    return words


def truncated(value: float) -> int:
    """A Lua number as an integer reply: what a conversion in C gives on this kind of machine."""
    if value != value or not -MAX_EXACT <= value < MAX_EXACT:
        return -(1 << 63)
    return int(value)


def float_bytes(value: float, letter: bytes) -> bytes:
    from struct import pack

    try:
        return pack(letter.decode("ascii"), value)
    except OverflowError:
        return pack(letter.decode("ascii"), float("-inf") if value < 0 else float("inf"))


def bytes_float(data: bytes, letter: bytes) -> float:
    from struct import unpack

    return float(unpack(letter.decode("ascii"), data)[0])


def parse_number(text: bytes) -> float:
    """strtod: what JSON's reader takes for a number, hexadecimal, infinities and NaN included."""
    if b"_" in text:
        raise ValueError("Python's own spelling")
    try:
        return float(text)
    except ValueError:
        if b"x" not in text and b"X" not in text:
            raise  # to Python the prefix goes without saying
        return float.fromhex(text.decode("latin-1"))
