"""The grammar of LMPOP, ZMPOP and their blocking forms, which differ in the names of the ends only.

Knows no key. What is refused, and in which order, is as in Redis.
"""

from __future__ import annotations

from server.number_arguments import integer_between
from storage.errors import NUMKEYS_NOT_POSITIVE, SYNTAX_ERROR, CommandError
from storage.numeric import INT64_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COUNT_NOT_POSITIVE = b"ERR count should be greater than 0"


class MultiPop:
    """`numkeys key... (FIRST | LAST) [COUNT count]`, from argument `at` on; `ends` are the words for FIRST and LAST."""

    __slots__ = ("keys", "from_first", "count")

    def __init__(self, argv: Sequence[bytes], at: int, ends: tuple[bytes, bytes]) -> None:
        position = at + 1 + integer_between(argv[at], 1, INT64_MAX, NUMKEYS_NOT_POSITIVE)
        if position >= len(argv):
            raise CommandError(SYNTAX_ERROR)
        self.keys = argv[at + 1 : position]
        end = argv[position].upper()
        if end not in ends:
            raise CommandError(SYNTAX_ERROR)
        self.from_first = end == ends[0]
        self.count = 1
        position += 1
        if position == len(argv):
            return
        if argv[position].upper() != b"COUNT" or position + 1 == len(argv):
            raise CommandError(SYNTAX_ERROR)
        self.count = integer_between(argv[position + 1], 1, INT64_MAX, COUNT_NOT_POSITIVE)
        if position + 2 < len(argv):
            raise CommandError(SYNTAX_ERROR)
