"""Sorted sets by range: of ranks, of scores, of names; returned, counted, stored or removed.

Argument grammar, keyspace calls, replies. ZRANGE has options for what its older relatives say by their names, so that
all of them are one grammar with some words fixed.
"""

from __future__ import annotations

from protocol.reply import ScoredMembers
from server.keyspecs import ACCESS, DELETE, OW, RO, RW, UPDATE, one_key
from server.number_arguments import integer
from server.read_runs import zrange_run, zrevrange_run
from server.registry import DENYOOM, FAST, READONLY, SWELLS, WRITE, Group
from storage.errors import MIN_MAX_NOT_FLOAT, MIN_MAX_NOT_LEX, SYNTAX_ERROR, CommandError
from storage.events import ZRANGESTORE, ZREMRANGEBYLEX, ZREMRANGEBYRANK, ZREMRANGEBYSCORE
from storage.types.bounds import LexRange, ScoreRange
from storage.types.sorted_set import SKIPLIST, SortedSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Optional, Union

    from server.session import Session
    from storage.events import Event
    from storage.limits import EncodingLimits
    from storage.types.sorted_set import Columns

    Argv = Sequence[bytes]
    Bounds = Union[ScoreRange, LexRange]

sorted_sets = Group("sorted-set")

LIMIT_BY_RANK = b"ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
SCORES_BY_LEX = b"ERR syntax error, WITHSCORES not supported in combination with BYLEX"

BY_RANK, BY_SCORE, BY_LEX = 1, 2, 3
NO_LIMIT = -1


def score_range(low: bytes, high: bytes) -> ScoreRange:
    try:
        return ScoreRange.parse(low, high)
    except ValueError:
        raise CommandError(MIN_MAX_NOT_FLOAT) from None


def lex_range(low: bytes, high: bytes) -> LexRange:
    try:
        return LexRange.parse(low, high)
    except ValueError:
        raise CommandError(MIN_MAX_NOT_LEX) from None


def resolve(start: int, stop: int, size: int) -> tuple[int, int]:
    """A client's inclusive range of ranks as a half-open one, perhaps empty."""
    if start < 0:
        start += size
        if start < 0:
            start = 0
    stop += 1 if stop >= 0 else size + 1
    return start, stop if stop < size else size


# Returning -----------------------------------------------------------------------------------------------------


class RangeQuery:
    """start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES], from argument `at` on.

    `by` and `reverse` are given by the commands whose name says them, and then are no options.
    """

    __slots__ = ("bounds", "start", "stop", "reverse", "offset", "count", "with_scores")

    def __init__(
        self, argv: Argv, at: int, by: int = 0, reverse: Optional[bool] = None, stores: bool = False
    ) -> None:
        self.offset, self.count = 0, NO_LIMIT
        self.with_scores = False
        position, end = at + 2, len(argv)
        while position < end:
            option = argv[position].upper()
            if option == b"WITHSCORES" and not stores:
                self.with_scores = True
            elif option == b"LIMIT" and position + 2 < end:
                self.offset = integer(argv[position + 1])
                self.count = integer(argv[position + 2])
                position += 2
            elif option == b"REV" and reverse is None:
                reverse = True
            elif option == b"BYLEX" and not by:
                by = BY_LEX
            elif option == b"BYSCORE" and not by:
                by = BY_SCORE
            else:
                raise CommandError(SYNTAX_ERROR)
            position += 1
        self.reverse = bool(reverse)
        first, last = argv[at], argv[at + 1]
        self.bounds: Optional[Bounds] = None
        if by <= BY_RANK:
            if self.count != NO_LIMIT:
                raise CommandError(LIMIT_BY_RANK)
            self.start, self.stop = integer(first), integer(last)
            return
        if self.with_scores and by == BY_LEX:
            raise CommandError(SCORES_BY_LEX)
        if self.reverse:
            first, last = last, first
        self.bounds = score_range(first, last) if by == BY_SCORE else lex_range(first, last)

    def select(self, value: SortedSet) -> Columns:
        """The members and scores asked for, as two lists. O(log n + k)."""
        bounds = self.bounds
        if bounds is None:
            return value.columns(*resolve(self.start, self.stop, len(value)), self.reverse)
        offset = self.offset
        if offset < 0 and value.encoding is SKIPLIST:
            offset += value.count(bounds)  # Redis then counts from the other end, but not in small sets
        return value.select(bounds, self.reverse, offset, self.count)


def answer_plainly(ctx: Session, argv: Argv, is_by_score: bool, reverse: bool) -> Any:
    """A range of ranks or scores without options but WITHSCORES: of ranks 1.6 -> 0.9 us, of scores 3.1 -> 1.9 us."""
    start = stop = 0
    bounds = None
    if is_by_score:
        bounds = score_range(argv[3], argv[2]) if reverse else score_range(argv[2], argv[3])
    else:
        start, stop = integer(argv[2]), integer(argv[3])
    value = ctx.db.read_as(argv[1], SortedSet)
    if value is None:
        return []
    if bounds is None:
        start, stop = resolve(start, stop, len(value))
    elif reverse:
        start, stop = value.interval(bounds)
        start, stop = len(value) - stop, len(value) - start
    else:
        columns = value.select(bounds)
        return columns[0] if len(argv) == 4 else ScoredMembers(*columns)
    if len(argv) == 4:
        return value.members(start, stop, reverse)
    return ScoredMembers(*value.columns(start, stop, reverse))


def answer(ctx: Session, argv: Argv, by: int = 0, reverse: Optional[bool] = None) -> Any:
    """The reply to ZRANGE and each of its relatives."""
    if by != BY_LEX and (len(argv) == 4 or (len(argv) == 5 and argv[4].upper() == b"WITHSCORES")):
        return answer_plainly(ctx, argv, by == BY_SCORE, bool(reverse))
    query = RangeQuery(argv, 2, by, reverse)
    value = ctx.db.read_as(argv[1], SortedSet)
    if value is None:
        return []
    members, scores = query.select(value)
    return ScoredMembers(members, scores) if query.with_scores else members


@sorted_sets.command(
    "ZRANGE",
    arity=-4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="1.2.0",
    complexity="O(log(N)+M), N = members, M = members returned",
    history=(("6.2.0", "REV, BYSCORE, BYLEX and LIMIT."),),
    syntax=(
        "key start:string stop:string [BYSCORE | BYLEX]@6.2.0 [REV@6.2.0] [LIMIT (offset count)@6.2.0] "
        "[WITHSCORES]"
    ),
    together=zrange_run,
)
def zrange(ctx: Session, argv: Argv) -> Any:
    """Return the members of a range of ranks, scores or names."""
    return answer(ctx, argv)


@sorted_sets.command(
    "ZREVRANGE",
    arity=-4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="1.2.0",
    complexity="O(log(N)+M), N = members, M = members returned",
    syntax="key start stop [WITHSCORES]",
    deprecated=("6.2.0", "ZRANGE with REV"),
    together=zrevrange_run,
)
def zrevrange(ctx: Session, argv: Argv) -> Any:
    """Return the members of a range of ranks, from the highest score down."""
    return answer(ctx, argv, BY_RANK, True)


@sorted_sets.command(
    "ZRANGEBYSCORE",
    arity=-4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="1.0.5",
    complexity="O(log(N)+M), N = members, M = members returned",
    history=(("2.0.0", "WITHSCORES."),),
    syntax="key min max [WITHSCORES@2.0.0] [LIMIT (offset count)]",
    deprecated=("6.2.0", "ZRANGE with BYSCORE"),
)
def zrangebyscore(ctx: Session, argv: Argv) -> Any:
    """Return the members with scores in a range."""
    return answer(ctx, argv, BY_SCORE, False)


@sorted_sets.command(
    "ZREVRANGEBYSCORE",
    arity=-4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.2.0",
    complexity="O(log(N)+M), N = members, M = members returned",
    history=(("2.1.6", "Exclusive ranges."),),
    syntax="key max min [WITHSCORES] [LIMIT (offset count)]",
    deprecated=("6.2.0", "ZRANGE with REV and BYSCORE"),
)
def zrevrangebyscore(ctx: Session, argv: Argv) -> Any:
    """Return the members with scores in a range, from the highest score down."""
    return answer(ctx, argv, BY_SCORE, True)


@sorted_sets.command(
    "ZRANGEBYLEX",
    arity=-4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.8.9",
    complexity="O(log(N)+M), N = members, M = members returned",
    syntax="key min:string max:string [LIMIT (offset count)]",
    deprecated=("6.2.0", "ZRANGE with BYLEX"),
)
def zrangebylex(ctx: Session, argv: Argv) -> Any:
    """Return the members in a range of names."""
    return answer(ctx, argv, BY_LEX, False)


@sorted_sets.command(
    "ZREVRANGEBYLEX",
    arity=-4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.8.9",
    complexity="O(log(N)+M), N = members, M = members returned",
    syntax="key max:string min:string [LIMIT (offset count)]",
    deprecated=("6.2.0", "ZRANGE with REV and BYLEX"),
)
def zrevrangebylex(ctx: Session, argv: Argv) -> Any:
    """Return the members in a range of names, the last name first."""
    return answer(ctx, argv, BY_LEX, True)


def collect(members: list[bytes], scores: list[float], size_hint: int, limits: EncodingLimits) -> SortedSet:
    """A new set of these entries, in the encoding that Redis reaches by adding one after the other."""
    if 0.0 not in scores:
        return SortedSet.build(dict(zip(members, scores)), limits)
    # What is added before the encoding changes loses the sign of a zero.
    value = SortedSet.create(size_hint, 0, limits)
    for member, score in zip(members, scores):
        value.add(member, score, limits)
    return value


@sorted_sets.command(
    "ZRANGESTORE",
    arity=-5,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(OW | UPDATE),
        one_key(RO | ACCESS, at=2),
    ),
    since="6.2.0",
    complexity="O(log(N)+M), N = members, M = members stored",
    syntax="dst src min:string max:string [BYSCORE | BYLEX] [REV] [LIMIT (offset count)]",
)
def zrangestore(ctx: Session, argv: Argv) -> int:
    """Store the members of a range of ranks, scores or names as another sorted set."""
    query = RangeQuery(argv, 3, stores=True)
    db, destination = ctx.db, argv[1]
    value = db.read_as(argv[2], SortedSet)
    members: list[bytes] = []
    if value is not None:
        members, scores = query.select(value)
    if not members:
        db.delete(destination)
        return 0
    hint = len(members) if query.bounds is None else 0  # Redis knows the number beforehand by rank only
    db.put_made(destination, collect(members, scores, hint, db.space.limits))
    db.changed(destination, ZRANGESTORE, 1)
    return len(members)


# Counting ------------------------------------------------------------------------------------------------------


def count_within(ctx: Session, key: bytes, bounds: Bounds) -> int:
    value = ctx.db.read_as(key, SortedSet)
    return 0 if value is None else value.count(bounds)


@sorted_sets.command(
    "ZCOUNT",
    arity=4,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="2.0.0",
    complexity="O(log(N)), N = members",
    syntax="key min max",
)
def zcount(ctx: Session, argv: Argv) -> int:
    """Count the members with scores in a range."""
    return count_within(ctx, argv[1], score_range(argv[2], argv[3]))


@sorted_sets.command(
    "ZLEXCOUNT",
    arity=4,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="2.8.9",
    complexity="O(log(N)), N = members",
    syntax="key min:string max:string",
)
def zlexcount(ctx: Session, argv: Argv) -> int:
    """Count the members in a range of names."""
    return count_within(ctx, argv[1], lex_range(argv[2], argv[3]))


# Removing ------------------------------------------------------------------------------------------------------


def note_removed(ctx: Session, key: bytes, value: SortedSet, removed: int, event: Event) -> int:
    if removed:
        ctx.db.changed(key, event, removed)
        ctx.db.drop_if_empty(key, value)
    return removed


def remove_within(ctx: Session, key: bytes, bounds: Bounds, event: Event) -> int:
    value = ctx.db.find_as(key, SortedSet)
    return 0 if value is None else note_removed(ctx, key, value, value.remove_range(bounds), event)


@sorted_sets.command(
    "ZREMRANGEBYRANK",
    arity=4,
    flags=WRITE,
    keys=one_key(RW | DELETE),
    since="2.0.0",
    complexity="O(log(N)+M), N = members, M = members removed",
    syntax="key start stop",
)
def zremrangebyrank(ctx: Session, argv: Argv) -> int:
    """Remove the members of a range of ranks; the key goes with its last member."""
    start, stop = integer(argv[2]), integer(argv[3])
    value = ctx.db.find_as(argv[1], SortedSet)
    if value is None:
        return 0
    removed = value.remove_ranks(*resolve(start, stop, len(value)))
    return note_removed(ctx, argv[1], value, removed, ZREMRANGEBYRANK)


@sorted_sets.command(
    "ZREMRANGEBYSCORE",
    arity=4,
    flags=WRITE,
    keys=one_key(RW | DELETE),
    since="1.2.0",
    complexity="O(log(N)+M), N = members, M = members removed",
    syntax="key min max",
)
def zremrangebyscore(ctx: Session, argv: Argv) -> int:
    """Remove the members with scores in a range; the key goes with its last member."""
    return remove_within(ctx, argv[1], score_range(argv[2], argv[3]), ZREMRANGEBYSCORE)


@sorted_sets.command(
    "ZREMRANGEBYLEX",
    arity=4,
    flags=WRITE,
    keys=one_key(RW | DELETE),
    since="2.8.9",
    complexity="O(log(N)+M), N = members, M = members removed",
    syntax="key min:string max:string",
)
def zremrangebylex(ctx: Session, argv: Argv) -> int:
    """Remove the members in a range of names; the key goes with its last member."""
    return remove_within(ctx, argv[1], lex_range(argv[2], argv[3]), ZREMRANGEBYLEX)
