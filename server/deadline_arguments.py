"""The grammar of times in requests: EX, PX, EXAT, PXAT and the arguments of the EXPIRE family.

Turns an amount and its unit into a deadline in milliseconds since the epoch, refusing in Redis's words what does not
fit 64 bits. Shared by the string, generic and hash commands; knows no key.
"""

from __future__ import annotations

from server.number_arguments import integer
from storage.errors import SYNTAX_ERROR, CommandError
from storage.numeric import INT64_MAX, INT64_MIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

# Option: (milliseconds a unit, counted from now)
UNITS = {b"EX": (1000, True), b"PX": (1, True), b"EXAT": (1000, False), b"PXAT": (1, False)}


def invalid_expire_time(command: bytes) -> CommandError:
    return CommandError(b"ERR invalid expire time in '%b' command" % command)


def positive_deadline(amount: bytes, option: bytes, now_ms: int, command: bytes) -> int:
    """The deadline that SET, GETEX and SETEX mean; zero and less are refused."""
    number = integer(amount)
    unit_ms, is_relative = UNITS[option]
    number *= unit_ms
    if number <= 0 or number > (INT64_MAX - now_ms if is_relative else INT64_MAX):
        raise invalid_expire_time(command)
    return number + now_ms if is_relative else number


def any_deadline(amount: bytes, unit_ms: int, is_relative: bool, now_ms: int, command: bytes) -> int:
    """The deadline that the EXPIRE family means; it may lie in the past."""
    number = integer(amount) * unit_ms
    base = now_ms if is_relative else 0
    if not INT64_MIN <= number <= INT64_MAX - base:
        raise invalid_expire_time(command)
    return number + base


class StringOptions:
    """The options that SET and GETEX share."""

    __slots__ = ("exists", "returns_old", "keeps_deadline", "persists", "amount", "unit")

    def __init__(self, arguments: Sequence[bytes], of_set: bool) -> None:
        """Parse everything behind the value; any contradiction is a syntax error. O(arguments)."""
        self.exists: bool | None = None  # XX is True, NX is False
        self.returns_old = False
        self.keeps_deadline = False
        self.persists = False
        self.amount = b""
        self.unit = b""
        position, end = 0, len(arguments)
        while position < end:
            option = arguments[position].upper()
            if option in UNITS and self.may_be_timed(option) and position + 1 < end:
                self.unit = option
                position += 1
                self.amount = arguments[position]
            elif of_set and option == b"NX" and self.exists is not True:
                self.exists = False
            elif of_set and option == b"XX" and self.exists is not False:
                self.exists = True
            elif of_set and option == b"GET":
                self.returns_old = True
            elif of_set and option == b"KEEPTTL" and not self.unit:
                self.keeps_deadline = True
            elif not of_set and option == b"PERSIST" and not self.unit:
                self.persists = True
            else:
                raise CommandError(SYNTAX_ERROR)
            position += 1

    def may_be_timed(self, option: bytes) -> bool:
        """A second time of the same unit replaces the first, even one that is no number."""
        return self.unit in (b"", option) and not self.keeps_deadline and not self.persists
