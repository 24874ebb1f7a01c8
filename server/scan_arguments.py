"""The grammar that SCAN, SSCAN, HSCAN and ZSCAN share: cursors, MATCH, COUNT, TYPE and NOVALUES.

Knows no key: what is parsed here is refused before a keyspace is asked, and in Redis's order.
"""

from __future__ import annotations

from server.number_arguments import integer
from storage.errors import INVALID_CURSOR, SYNTAX_ERROR, CommandError
from storage.globbing import compile_glob, matches_everything
from storage.numeric import parse_unsigned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional, Sequence

DEFAULT_COUNT = 10
NOVALUES_ELSEWHERE = b"ERR NOVALUES option can only be used in HSCAN"


def parse_cursor(argument: bytes) -> int:
    """An unsigned 64-bit cursor, in the grammar of C."""
    try:
        return parse_unsigned(argument)
    except ValueError:
        raise CommandError(INVALID_CURSOR) from None


class ScanOptions:
    """MATCH, COUNT, TYPE (SCAN only) and NOVALUES (HSCAN only)."""

    __slots__ = ("count", "match", "type_name", "without_values")

    def __init__(self, arguments: Sequence[bytes], of_keys: bool = False, of_hash: bool = False) -> None:
        self.count = DEFAULT_COUNT
        self.match: Optional[Callable[[bytes], bool]] = None
        self.type_name: bytes | None = None
        self.without_values = False
        position, end = 0, len(arguments)
        while position < end:
            option = arguments[position].upper()
            has_value = position + 1 < end
            if option == b"COUNT" and has_value:
                position += 1
                self.count = integer(arguments[position])
                if self.count < 1:
                    raise CommandError(SYNTAX_ERROR)
            elif option == b"MATCH" and has_value:
                position += 1
                pattern = arguments[position]
                self.match = None if matches_everything(pattern) else compile_glob(pattern)
            elif of_keys and option == b"TYPE" and has_value:
                position += 1
                self.type_name = arguments[position].lower()
            elif option == b"NOVALUES":
                if not of_hash:
                    raise CommandError(NOVALUES_ELSEWHERE)
                self.without_values = True
            else:
                raise CommandError(SYNTAX_ERROR)
            position += 1
