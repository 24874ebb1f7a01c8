"""SORT and SORT_RO: the elements of a list, set or sorted set, by weights and with values that other keys hold.

Argument grammar, keyspace calls, replies; patterns and orders are `storage.sorting`.
"""

from __future__ import annotations

from server import admission
from server.keyfinders import sort_keys, sort_ro_keys
from server.keyspecs import ACCESS, OW, RO, UPDATE, one_key, unknown
from server.number_arguments import integer
from server.registry import DENYOOM, READONLY, SWELLS, WRITE, Group
from storage import sorting
from storage.errors import SYNTAX_ERROR, CommandError, WrongType
from storage.events import SORTSTORE
from storage.types.list import List
from storage.types.set import Set
from storage.types.sorted_set import SKIPLIST, SortedSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Optional

    from server.session import Session

    Argv = Sequence[bytes]

generic = Group("generic")

NOT_NUMBERS = b"ERR One or more scores can't be converted into double"
ALL = -1


def check_reading(ctx: Session, argv: Argv, option: bytes) -> None:
    """Refuse a pattern to a user who may not read every key: which keys it names is known too late to be checked."""
    if ctx.mode & admission.RESTRICTED and not ctx.server.accounts.reads_all_keys(ctx, argv):
        raise CommandError(b"ERR %b option of SORT denied due to insufficient ACL permissions." % option)


class SortQuery:
    """[BY pattern] [LIMIT offset count] [GET pattern]... [ASC | DESC] [ALPHA] [STORE destination]."""

    __slots__ = ("by", "unsorted", "offset", "count", "gets", "descending", "alpha", "destination")

    def __init__(self, ctx: Session, argv: Argv, stores: bool) -> None:
        self.by: Optional[sorting.Pattern] = None
        self.unsorted = False
        self.offset, self.count = 0, ALL
        self.gets: list[sorting.Pattern] = []
        self.descending = False
        self.alpha = False
        self.destination: Optional[bytes] = None
        position, end = 2, len(argv)
        while position < end:
            option = argv[position].upper()
            following = end - position - 1
            if option == b"ASC":
                self.descending = False
            elif option == b"DESC":
                self.descending = True
            elif option == b"ALPHA":
                self.alpha = True
            elif option == b"LIMIT" and following >= 2:
                self.offset = integer(argv[position + 1])
                self.count = integer(argv[position + 2])
                position += 2
            elif option == b"STORE" and following and stores:
                position += 1
                self.destination = argv[position]
            elif option == b"BY" and following:
                position += 1
                self.by = sorting.Pattern(argv[position])
                # A pattern that names the same key for all elements asks for the order there is, from now on.
                self.unsorted = self.unsorted or self.by.is_constant
                if not self.by.is_constant:
                    check_reading(ctx, argv, b"BY")
            elif option == b"GET" and following:
                position += 1
                self.gets.append(sorting.Pattern(argv[position]))
                check_reading(ctx, argv, b"GET")
            else:
                raise CommandError(SYNTAX_ERROR)
            position += 1

    def places(self, size: int) -> tuple[int, int]:
        """The places [start, stop) of the result that are wanted."""
        start = min(max(self.offset, 0), size)
        stop = size if self.count < 0 else min(start + self.count, size)
        return start, stop

    def arrange(self, ctx: Session, elements: list[bytes]) -> list[bytes]:
        """All elements, those wanted in order."""
        if self.by is None:
            if self.alpha:
                return sorting.in_order_of_text(elements, self.descending, self.destination is not None)
            weights: list[Optional[bytes]] = list(elements)
        else:
            fetch, db, stamps = self.by.fetch, ctx.db, not ctx.mode & admission.NO_TOUCH
            weights = [fetch(db, element, stamps) for element in elements]
            if self.alpha:
                start, stop = self.places(len(elements))
                part = None if (start, stop) == (0, len(elements)) else (start, stop - 1)
                return sorting.in_order_of_weights(
                    elements, weights, self.descending, self.destination is not None, part
                )
        try:
            return sorting.in_order_of_numbers(elements, weights, self.descending)
        except sorting.NotNumbers:
            raise CommandError(NOT_NUMBERS) from None

    def select(self, ctx: Session, value: Any) -> list[bytes]:
        """The wanted elements of a container, in order."""
        if value is None:
            return []
        start, stop = self.places(len(value))
        if self.unsorted and value.__class__ is Set and (self.destination is not None or ctx.server.scripting.running):
            # What is stored must not depend on the order of a table: replicas have another. Nor may what a script sees.
            self.unsorted, self.alpha, self.by = False, True, None
        if not self.unsorted:
            elements = value.members() if value.__class__ is Set else list(value)
            return self.arrange(ctx, elements)[start:stop]
        if start == stop:
            return []
        if value.__class__ is SortedSet:
            return value.columns(start, stop, self.descending)[0]
        if value.__class__ is Set:
            return value.members()[start:stop]
        if not self.descending:
            return value.section(start, stop)
        elements = value.section(len(value) - stop, len(value) - start)
        elements.reverse()
        return elements


def collect(ctx: Session, key: bytes, query: SortQuery) -> list[Optional[bytes]]:
    """The reply: the wanted elements, or what the GET patterns find for each of them."""
    value = ctx.db.read(key)
    kind = value.__class__
    if kind is SortedSet:
        value.encoding = SKIPLIST  # Redis converts what it sorts, for good
    elif value is not None and kind is not List and kind is not Set:
        raise WrongType()
    elements = query.select(ctx, value)
    if not query.gets:
        return list(elements)
    db, stamps = ctx.db, not ctx.mode & admission.NO_TOUCH
    return [pattern.fetch(db, element, stamps) for element in elements for pattern in query.gets]


@generic.command(
    "SORT",
    arity=-2,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(RO | ACCESS),
        unknown(RO | ACCESS, notes="Names come from the elements, or stand anywhere after the key"),
        unknown(OW | UPDATE, notes="Names come from the elements, or stand anywhere after the key"),
    ),
    keys_by=sort_keys,
    since="1.0.0",
    complexity=("O(N+M*log(M)), N = elements of the collection, M = elements returned; O(N) when nothing is sorted"),
    syntax=(
        "key [BY by-pattern{pattern}#1] [LIMIT (offset count)] [GET get-pattern{pattern}#1]... [ASC | "
        "DESC] [ALPHA] [STORE destination]"
    ),
    acl=("-keyspace", "dangerous", "list", "set", "sortedset"),
)
def sort(ctx: Session, argv: Argv) -> Any:
    """Sort the elements of a list, a set or a sorted set, and return or store them."""
    query = SortQuery(ctx, argv, stores=True)
    found = collect(ctx, argv[1], query)
    destination = query.destination
    if destination is None:
        return found
    db = ctx.db
    if not found:
        db.delete(destination)
        return 0
    result = List.build((element or b"" for element in found), db.space.limits)
    db.put_made(destination, result)
    db.changed(destination, SORTSTORE, len(found))
    return len(found)


@generic.command(
    "SORT_RO",
    arity=-2,
    flags=READONLY,
    keys=(
        one_key(RO | ACCESS),
        unknown(RO | ACCESS, notes="Names come from the elements"),
    ),
    keys_by=sort_ro_keys,
    since="7.0.0",
    complexity=("O(N+M*log(M)), N = elements of the collection, M = elements returned; O(N) when nothing is sorted"),
    syntax=(
        "key [BY by-pattern{pattern}#1] [LIMIT (offset count)] [GET get-pattern{pattern}#1]... [ASC | DESC] [ALPHA]"
    ),
    acl=("-keyspace", "dangerous", "list", "set", "sortedset"),
)
def sort_ro(ctx: Session, argv: Argv) -> Any:
    """Sort the elements of a list, a set or a sorted set, and return them."""
    return collect(ctx, argv[1], SortQuery(ctx, argv, stores=False))
