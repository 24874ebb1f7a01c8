"""Taking the lowest or highest members off sorted sets, at once or as soon as there are any.

A blocking command tries as its plain form would and answers `Block` otherwise; `server.blocking` runs it again when a
key it waits for becomes a sorted set. What is logged is always ZPOPMIN or ZPOPMAX of one key.
"""

from __future__ import annotations

from protocol.reply import NULL_ARRAY, Block, Pairs
from server.key_runs import zpopmax_run, zpopmin_run
from server.keyspecs import ACCESS, DELETE, RW, key_range, numkeys, one_key
from server.multipop_arguments import MultiPop
from server.number_arguments import not_negative
from server.registry import BLOCKING, FAST, WRITE, Group
from server.timeout_arguments import timeout_of_seconds
from storage.errors import SYNTAX_ERROR, CommandError
from storage.events import ZPOPMAX, ZPOPMIN
from storage.types.sorted_set import SortedSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from server.session import Session
    from storage.database import Database

    Argv = Sequence[bytes]
    Entries = list[tuple[bytes, float]]

sorted_sets = Group("sorted-set")

ENDS = (b"MIN", b"MAX")


def take(db: Database, key: bytes, value: SortedSet, lowest: bool, count: int) -> Entries:
    """Take up to `count` entries, at least one, off a set, and the key away with the last one. O(log n + count)."""
    if lowest:
        entries = value.pop_min(count)
        db.changed(key, ZPOPMIN, len(entries))
    else:
        entries = value.pop_max(count)
        db.changed(key, ZPOPMAX, len(entries))
    if not value:
        db.drop_if_empty(key, value)
    return entries


# At once -------------------------------------------------------------------------------------------------------


def pop(ctx: Session, argv: Argv, lowest: bool) -> Any:
    if len(argv) == 2:
        db, key = ctx.db, argv[1]
        value = db.find_as(key, SortedSet)
        # Without a count the pair is flat in RESP3 too.
        return [] if value is None else list(take(db, key, value, lowest, 1)[0])
    if len(argv) > 3:
        raise CommandError(SYNTAX_ERROR)
    count = not_negative(argv[2])
    value = ctx.db.find_as(argv[1], SortedSet)
    if value is None or not count:
        return []
    return Pairs(take(ctx.db, argv[1], value, lowest, count))


@sorted_sets.command(
    "ZPOPMIN",
    arity=-2,
    flags=WRITE | FAST,
    keys=one_key(RW | ACCESS | DELETE),
    since="5.0.0",
    complexity="O(log(N)*M), N = members, M = members popped",
    syntax="key [count]",
    together=zpopmin_run,
)
def zpopmin(ctx: Session, argv: Argv) -> Any:
    """Remove and return the members with the lowest scores."""
    return pop(ctx, argv, True)


@sorted_sets.command(
    "ZPOPMAX",
    arity=-2,
    flags=WRITE | FAST,
    keys=one_key(RW | ACCESS | DELETE),
    since="5.0.0",
    complexity="O(log(N)*M), N = members, M = members popped",
    syntax="key [count]",
    together=zpopmax_run,
)
def zpopmax(ctx: Session, argv: Argv) -> Any:
    """Remove and return the members with the highest scores."""
    return pop(ctx, argv, False)


def pop_several(ctx: Session, popping: MultiPop) -> list[Any] | None:
    """Take from the first set there is: [key, [[member, score]...]], or None. O(keys + log n + count)."""
    db = ctx.db
    for key in popping.keys:
        value = db.find_as(key, SortedSet)
        if value is not None:
            entries = take(db, key, value, popping.from_first, popping.count)
            ctx.propagate_as(b"ZPOPMIN" if popping.from_first else b"ZPOPMAX", key, b"%d" % len(entries))
            return [key, list(map(list, entries))]
    return None


@sorted_sets.command(
    "ZMPOP",
    arity=-4,
    flags=WRITE,
    keys=numkeys(RW | ACCESS | DELETE, at=1),
    since="7.0.0",
    complexity="O(K) + O(M*log(N)), K = keys, N = members, M = members popped",
    syntax="numkeys key... (MIN | MAX) [COUNT count]",
)
def zmpop(ctx: Session, argv: Argv) -> Any:
    """Remove and return the lowest or highest members of the first sorted set there is among several keys."""
    return pop_several(ctx, MultiPop(argv, 1, ENDS)) or NULL_ARRAY


# As soon as there are any --------------------------------------------------------------------------------------


def pop_or_wait(ctx: Session, argv: Argv, lowest: bool) -> Any:
    timeout_ms = timeout_of_seconds(argv[-1], ctx.now_ms)
    db = ctx.db
    keys = argv[1:-1]
    for key in keys:
        value = db.find_as(key, SortedSet)
        if value is not None:
            ctx.propagate_as(b"ZPOPMIN" if lowest else b"ZPOPMAX", key)
            return [key, *take(db, key, value, lowest, 1)[0]]
    return Block(keys, timeout_ms, NULL_ARRAY, SortedSet)


@sorted_sets.command(
    "BZPOPMIN",
    arity=-3,
    flags=WRITE | BLOCKING | FAST,
    keys=key_range(RW | ACCESS | DELETE, last=-2),
    since="5.0.0",
    complexity="O(log(N)), N = members",
    history=(("6.0.0", "The timeout may have a fraction."),),
    syntax="key... timeout",
)
def bzpopmin(ctx: Session, argv: Argv) -> Any:
    """Remove and return the lowest member of the first sorted set there is among several keys; wait for one."""
    return pop_or_wait(ctx, argv, True)


@sorted_sets.command(
    "BZPOPMAX",
    arity=-3,
    flags=WRITE | BLOCKING | FAST,
    keys=key_range(RW | ACCESS | DELETE, last=-2),
    since="5.0.0",
    complexity="O(log(N)), N = members",
    history=(("6.0.0", "The timeout may have a fraction."),),
    syntax="key... timeout",
)
def bzpopmax(ctx: Session, argv: Argv) -> Any:
    """Remove and return the highest member of the first sorted set there is among several keys; wait for one."""
    return pop_or_wait(ctx, argv, False)


@sorted_sets.command(
    "BZMPOP",
    arity=-5,
    flags=WRITE | BLOCKING,
    keys=numkeys(RW | ACCESS | DELETE, at=2),
    since="7.0.0",
    complexity="O(K) + O(M*log(N)), K = keys, N = members, M = members popped",
    syntax="timeout numkeys key... (MIN | MAX) [COUNT count]",
)
def bzmpop(ctx: Session, argv: Argv) -> Any:
    """Remove and return the lowest or highest members of the first sorted set there is; wait for one."""
    popping = MultiPop(argv, 2, ENDS)
    timeout_ms = timeout_of_seconds(argv[1], ctx.now_ms)
    return pop_several(ctx, popping) or Block(popping.keys, timeout_ms, NULL_ARRAY, SortedSet)
