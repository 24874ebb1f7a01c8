"""Unions, intersections and differences of sorted sets and sets, returned, counted or stored.

Argument grammar, keyspace calls, replies; the arithmetic is `storage.zset_algebra`.
"""

from __future__ import annotations

from protocol.reply import Pairs
from server.keyspecs import ACCESS, OW, RO, UPDATE, numkeys, one_key
from server.number_arguments import integer, not_negative
from server.registry import DENYOOM, READONLY, SWELLS, WRITE, Group
from storage import zset_algebra
from storage.errors import LIMIT_NEGATIVE, SYNTAX_ERROR, WEIGHT_NOT_FLOAT, CommandError, WrongType
from storage.events import ZDIFFSTORE, ZINTERSTORE, ZUNIONSTORE
from storage.numeric import parse_float
from storage.types.set import Set
from storage.types.sorted_set import SortedSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from server.session import Session
    from storage.events import Event
    from storage.zset_algebra import Source

    Argv = Sequence[bytes]
    Scores = dict[bytes, float]

sorted_sets = Group("sorted-set")

NO_INPUT = b"ERR at least 1 input key is needed for '%b' command"
AGGREGATES = {b"SUM": zset_algebra.SUM, b"MIN": zset_algebra.MIN, b"MAX": zset_algebra.MAX}


class Inputs:
    """numkeys key... and the options of one command, from argument `at` on. The keys are read before the options."""

    __slots__ = ("sources", "weights", "aggregate", "with_scores", "limit")

    def __init__(
        self, ctx: Session, argv: Argv, at: int, name: bytes, weighs: bool, shows_scores: bool, limits: bool = False
    ) -> None:
        count = integer(argv[at])
        if count < 1:
            raise CommandError(NO_INPUT % name)
        position = at + 1 + count
        if position > len(argv):
            raise CommandError(SYNTAX_ERROR)
        read = ctx.db.read
        self.sources: list[Source] = []
        for key in argv[at + 1 : position]:
            source = read(key)
            if source is not None and source.__class__ is not SortedSet and source.__class__ is not Set:
                raise WrongType()
            self.sources.append(source)
        self.weights = [1.0] * count
        self.aggregate = zset_algebra.SUM
        self.with_scores = False
        self.limit = 0
        while position < len(argv):
            option = argv[position].upper()
            following = len(argv) - position - 1
            if weighs and option == b"WEIGHTS" and following >= count:
                try:
                    self.weights = list(map(parse_float, argv[position + 1 : position + 1 + count]))
                except ValueError:
                    raise CommandError(WEIGHT_NOT_FLOAT) from None
                position += count
            elif weighs and option == b"AGGREGATE" and following:
                position += 1
                aggregate = AGGREGATES.get(argv[position].upper())
                if aggregate is None:
                    raise CommandError(SYNTAX_ERROR)
                self.aggregate = aggregate
            elif shows_scores and option == b"WITHSCORES":
                self.with_scores = True
            elif limits and option == b"LIMIT" and following:
                position += 1
                self.limit = not_negative(argv[position], LIMIT_NEGATIVE)
            else:
                raise CommandError(SYNTAX_ERROR)
            position += 1


def reply(scores: Scores, with_scores: bool) -> Any:
    """The result in order of scores. O(n log n)."""
    entries = zset_algebra.in_order(scores)
    return Pairs(entries) if with_scores else [member for member, _ in entries]


def store(ctx: Session, destination: bytes, scores: Scores, event: Event) -> int:
    """Put the result where it is wanted; nothing deletes what is there."""
    db = ctx.db
    if not scores:
        db.delete(destination)
        return 0
    db.put_made(destination, SortedSet.build(scores, db.space.limits))
    db.changed(destination, event, 1)
    return len(scores)


@sorted_sets.command(
    "ZUNION",
    arity=-3,
    flags=READONLY,
    keys=numkeys(RO | ACCESS, at=1),
    since="6.2.0",
    complexity="O(N)+O(M*log(M)), N = members of all inputs, M = members of the result",
    syntax="numkeys key... [WEIGHTS weight...] [AGGREGATE (SUM | MIN | MAX)] [WITHSCORES]",
)
def zunion(ctx: Session, argv: Argv) -> Any:
    """Return the members of any of several sorted sets, with combined scores."""
    inputs = Inputs(ctx, argv, 1, b"zunion", weighs=True, shows_scores=True)
    return reply(zset_algebra.union(inputs.sources, inputs.weights, inputs.aggregate), inputs.with_scores)


@sorted_sets.command(
    "ZUNIONSTORE",
    arity=-4,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(OW | UPDATE),
        numkeys(RO | ACCESS, at=2),
    ),
    since="2.0.0",
    complexity="O(N)+O(M log(M)), N = members of all inputs, M = members of the result",
    syntax="destination numkeys key... [WEIGHTS weight...] [AGGREGATE (SUM | MIN | MAX)]",
)
def zunionstore(ctx: Session, argv: Argv) -> int:
    """Store the members of any of several sorted sets, with combined scores."""
    inputs = Inputs(ctx, argv, 2, b"zunionstore", weighs=True, shows_scores=False)
    return store(ctx, argv[1], zset_algebra.union(inputs.sources, inputs.weights, inputs.aggregate), ZUNIONSTORE)


@sorted_sets.command(
    "ZINTER",
    arity=-3,
    flags=READONLY,
    keys=numkeys(RO | ACCESS, at=1),
    since="6.2.0",
    complexity=(
        "O(N*K)+O(M*log(M)) at worst, N = members of the smallest input, K = inputs, M = members of the "
        "result"
    ),
    syntax="numkeys key... [WEIGHTS weight...] [AGGREGATE (SUM | MIN | MAX)] [WITHSCORES]",
)
def zinter(ctx: Session, argv: Argv) -> Any:
    """Return the members that all of several sorted sets have, with combined scores."""
    inputs = Inputs(ctx, argv, 1, b"zinter", weighs=True, shows_scores=True)
    return reply(zset_algebra.intersection(inputs.sources, inputs.weights, inputs.aggregate), inputs.with_scores)


@sorted_sets.command(
    "ZINTERSTORE",
    arity=-4,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(OW | UPDATE),
        numkeys(RO | ACCESS, at=2),
    ),
    since="2.0.0",
    complexity=(
        "O(N*K)+O(M*log(M)) at worst, N = members of the smallest input, K = inputs, M = members of the "
        "result"
    ),
    syntax="destination numkeys key... [WEIGHTS weight...] [AGGREGATE (SUM | MIN | MAX)]",
)
def zinterstore(ctx: Session, argv: Argv) -> int:
    """Store the members that all of several sorted sets have, with combined scores."""
    inputs = Inputs(ctx, argv, 2, b"zinterstore", weighs=True, shows_scores=False)
    scores = zset_algebra.intersection(inputs.sources, inputs.weights, inputs.aggregate)
    return store(ctx, argv[1], scores, ZINTERSTORE)


@sorted_sets.command(
    "ZINTERCARD",
    arity=-3,
    flags=READONLY,
    keys=numkeys(RO | ACCESS, at=1),
    since="7.0.0",
    complexity="O(N*K) at worst, N = members of the smallest input, K = inputs",
    syntax="numkeys key... [LIMIT limit]",
)
def zintercard(ctx: Session, argv: Argv) -> int:
    """Count the members that all of several sorted sets have, up to a limit."""
    inputs = Inputs(ctx, argv, 1, b"zintercard", weighs=False, shows_scores=False, limits=True)
    return zset_algebra.intersection_size(inputs.sources, inputs.limit)


@sorted_sets.command(
    "ZDIFF",
    arity=-3,
    flags=READONLY,
    keys=numkeys(RO | ACCESS, at=1),
    since="6.2.0",
    complexity=(
        "O(L + (N-K)log(N)) at worst, L = members of all inputs, N = members of the first, K = members of"
        " the result"
    ),
    syntax="numkeys key... [WITHSCORES]",
)
def zdiff(ctx: Session, argv: Argv) -> Any:
    """Return the members of the first sorted set that none of the others has."""
    inputs = Inputs(ctx, argv, 1, b"zdiff", weighs=False, shows_scores=True)
    return reply(zset_algebra.difference(inputs.sources), inputs.with_scores)


@sorted_sets.command(
    "ZDIFFSTORE",
    arity=-4,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(OW | UPDATE),
        numkeys(RO | ACCESS, at=2),
    ),
    since="6.2.0",
    complexity=(
        "O(L + (N-K)log(N)) at worst, L = members of all inputs, N = members of the first, K = members of"
        " the result"
    ),
    syntax="destination numkeys key...",
)
def zdiffstore(ctx: Session, argv: Argv) -> int:
    """Store the members of the first sorted set that none of the others has."""
    inputs = Inputs(ctx, argv, 2, b"zdiffstore", weighs=False, shows_scores=False)
    return store(ctx, argv[1], zset_algebra.difference(inputs.sources), ZDIFFSTORE)
