"""Sorted sets, member by member: adding, removing, scores, ranks, draws and scans.

Argument grammar, keyspace calls, replies. Ranges, pops and the algebra of several sets have modules of their own.
"""

from __future__ import annotations

import random

from protocol.reply import NO_REPLY, NULL_ARRAY, Pairs
from server.key_runs import zadd_run, zincrby_run, zrem_run
from server.keyspecs import ACCESS, DELETE, RO, RW, UPDATE, one_key
from server.number_arguments import negatable
from server.read_runs import zcard_run, zrank_run, zrevrank_run, zscore_run
from server.registry import DENYOOM, FAST, READONLY, WRITE, Group, wrong_arity_of
from server.scan_arguments import ScanOptions, parse_cursor
from storage.errors import NOT_A_FLOAT, OUT_OF_RANGE, SCORE_IS_NAN, SYNTAX_ERROR, CommandError, WrongType
from storage.events import ZADD, ZINCR, ZREM
from storage.numeric import INT64_MAX, SHORT_DIGITS, format_float, parse_float
from storage.types.sorted_set import ADDED, CHANGED, LISTPACK, SKIPLIST, UNCHANGED, SortedSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from server.session import Session
    from storage.database import Database

    Argv = Sequence[bytes]

sorted_sets = Group("sorted-set")

NX_WITH_XX = b"ERR XX and NX options at the same time are not compatible"
GT_WITH_LT_OR_NX = b"ERR GT, LT, and/or NX options at the same time are not compatible"
ONE_INCREMENT = b"ERR INCR option supports a single increment-element pair"


# Adding --------------------------------------------------------------------------------------------------------


class Additions:
    """[NX | XX] [GT | LT] [CH] [INCR] (score member)..., from argument 2 on."""

    __slots__ = ("exists", "only_greater", "only_less", "counts_changes", "increments", "scores", "members")

    def __init__(self, argv: Argv) -> None:
        words = set()
        position, end = 2, len(argv)
        while position < end:
            word = argv[position].upper()
            if word not in (b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"):
                break
            words.add(word)
            position += 1
        count = end - position
        if not count or count % 2:
            raise CommandError(SYNTAX_ERROR)
        self.exists = True if b"XX" in words else False if b"NX" in words else None
        self.only_greater = b"GT" in words
        self.only_less = b"LT" in words
        self.counts_changes = b"CH" in words
        self.increments = b"INCR" in words
        if b"NX" in words and b"XX" in words:
            raise CommandError(NX_WITH_XX)
        if self.only_greater + self.only_less + (b"NX" in words) > 1:
            raise CommandError(GT_WITH_LT_OR_NX)
        if self.increments and count > 2:
            raise CommandError(ONE_INCREMENT)
        try:
            self.scores = list(map(parse_float, argv[position::2]))
        except ValueError:
            raise CommandError(NOT_A_FLOAT) from None
        self.members = argv[position + 1 :: 2]


def add_plainly(ctx: Session, argv: Argv) -> Any:
    """ZADD of several entries, mostly without options: then there is nothing to ask of each of them."""
    try:
        scores = list(map(parse_float, argv[2::2]))
    except ValueError:
        return add_entries(ctx, argv)  # it begins with an option: none of them reads as a number
    members = argv[3::2]
    if len(members) != len(scores):
        return add_entries(ctx, argv)
    db, key = ctx.db, argv[1]
    limits = db.space.limits
    value = find_or_create(db, key, len(scores), len(members[0]))
    add = value.add
    outcomes = [add(member, score, limits) for score, member in zip(scores, members)]
    changed = len(outcomes) - outcomes.count(UNCHANGED)
    if changed:
        db.changed(key, ZADD, changed)
    return outcomes.count(ADDED)


def find_or_create(db: Database, key: bytes, count: int, first_length: int) -> SortedSet:
    """The sorted set for a command that is going to add so many entries, the first member of this length."""
    value = db.find_as(key, SortedSet)
    if value is None:
        value = SortedSet.create(count, first_length, db.space.limits)
        db.put(key, value)
    elif count > db.space.limits.zset_max_listpack_entries:
        value.encoding = SKIPLIST  # as in Redis, the number of arguments decides beforehand
    return value


def add_entries(ctx: Session, argv: Argv) -> Any:
    """ZADD with all its options. The reply to an increment is the new score, null if nothing was done."""
    wanted = Additions(argv)
    db, key = ctx.db, argv[1]
    limits = db.space.limits
    if wanted.exists is True and db.peek(key) is None:
        return None if wanted.increments else 0
    value = find_or_create(db, key, len(wanted.scores), len(wanted.members[0]))
    added = changed = 0
    result = None
    for score, member in zip(wanted.scores, wanted.members):
        old = value.get(member)
        if old is None:
            if wanted.exists is True:
                continue
            added += 1
        else:
            if wanted.exists is False:
                continue
            if wanted.increments:
                score += old
                if score != score:
                    raise CommandError(SCORE_IS_NAN)  # the only entry: nothing has been changed
            if (wanted.only_less and score >= old) or (wanted.only_greater and score <= old):
                continue
        result = score
        if value.add(member, score, limits) == CHANGED:
            changed += 1
    if added or changed:
        db.changed(key, ZINCR if wanted.increments else ZADD, added + changed)
    if wanted.increments:
        return result
    return added + changed if wanted.counts_changes else added


@sorted_sets.command(
    "ZADD",
    arity=-4,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | UPDATE),
    since="1.2.0",
    complexity="O(log(N)) for each member, N = members of the sorted set",
    history=(
        ("2.4.0", "Takes several elements."),
        ("3.0.2", "XX, NX, CH and INCR."),
        ("6.2.0", "GT and LT."),
    ),
    syntax="key [NX | XX]@3.0.2 [GT | LT]@6.2.0 [CH@3.0.2] [increment=INCR@3.0.2] (score member)...",
    together=zadd_run,
)
def zadd(ctx: Session, argv: Argv) -> Any:
    """Add members to a sorted set, or give members it has another score."""
    if len(argv) > 4:
        return add_plainly(ctx, argv)
    # One entry without options leaves the grammar above aside: 2.2 -> 0.5 us for a member that is there.
    text = argv[2]
    try:
        score = float(text) if text.isdigit() and len(text) < SHORT_DIGITS else parse_float(text)
    except ValueError:
        return add_entries(ctx, argv)
    db, key, member = ctx.db, argv[1], argv[3]
    value = db.find(key)
    if value is None:
        value = SortedSet.create(1, len(member), db.space.limits)
        db.put(key, value)
    elif value.__class__ is not SortedSet:
        raise WrongType()
    outcome = value.add(member, score, db.space.limits)
    if outcome:
        db.changed(key, ZADD, 1)
        if outcome == ADDED:
            return 1
    return 0


@sorted_sets.command(
    "ZINCRBY",
    arity=4,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | ACCESS | UPDATE),
    since="1.2.0",
    complexity="O(log(N)), N = members",
    syntax="key increment member",
    together=zincrby_run,
)
def zincrby(ctx: Session, argv: Argv) -> float:
    """Add to the score of a member, which is 0 before it is there."""
    text = argv[2]
    try:
        score = float(text) if text.isdigit() and len(text) < SHORT_DIGITS else parse_float(text)
    except ValueError:
        raise CommandError(NOT_A_FLOAT) from None
    # Not by way of `add_entries`, whose grammar has nothing to decide here: 3.4 -> 1.3 us.
    db, key, member = ctx.db, argv[1], argv[3]
    value = db.find_as(key, SortedSet)
    if value is None:
        value = SortedSet.create(1, len(member), db.space.limits)
        db.put(key, value)
    else:
        old = value.get(member)
        if old is not None:
            score += old
            if score != score:
                raise CommandError(SCORE_IS_NAN)
    if value.add(member, score, db.space.limits):
        db.changed(key, ZINCR, 1)
    return score


@sorted_sets.command(
    "ZREM",
    arity=-3,
    flags=WRITE | FAST,
    keys=one_key(RW | DELETE),
    since="1.2.0",
    complexity="O(M*log(N)), N = members, M = members removed",
    history=(("2.4.0", "Takes several elements."),),
    syntax="key member...",
    together=zrem_run,
)
def zrem(ctx: Session, argv: Argv) -> int:
    """Remove members from a sorted set."""
    db, key = ctx.db, argv[1]
    value = db.find_as(key, SortedSet)
    if value is None:
        return 0
    removed = value.remove_many(argv[2:])
    if removed:
        db.changed(key, ZREM, removed)
        db.drop_if_empty(key, value)
    return removed


# Asking --------------------------------------------------------------------------------------------------------


@sorted_sets.command(
    "ZCARD",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO),
    since="1.2.0",
    complexity="O(1)",
    syntax="key",
    together=zcard_run,
)
def zcard(ctx: Session, argv: Argv) -> int:
    """Return how many members a sorted set has."""
    return len(ctx.db.read_as(argv[1], SortedSet) or ())


@sorted_sets.command(
    "ZSCORE",
    arity=3,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="1.2.0",
    complexity="O(1)",
    syntax="key member",
    together=zscore_run,
)
def zscore(ctx: Session, argv: Argv) -> float | None:
    """Return the score of a member."""
    value = ctx.db.read_as(argv[1], SortedSet)
    return None if value is None else value.get(argv[2])


@sorted_sets.command(
    "ZMSCORE",
    arity=-3,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="6.2.0",
    complexity="O(N), N = members asked for",
    syntax="key member...",
)
def zmscore(ctx: Session, argv: Argv) -> list[float | None]:
    """Return the scores of several members, null for those that are not there."""
    value = ctx.db.read_as(argv[1], SortedSet)
    if value is None:
        return [None] * (len(argv) - 2)
    return list(map(value.get, argv[2:]))


def rank_of(ctx: Session, argv: Argv, reverse: bool) -> Any:
    with_score = len(argv) > 3
    if len(argv) > 4:
        raise CommandError(wrong_arity_of(b"zrevrank" if reverse else b"zrank"))
    if with_score and argv[3].upper() != b"WITHSCORE":
        raise CommandError(SYNTAX_ERROR)
    value = ctx.db.read_as(argv[1], SortedSet)
    rank = None if value is None else value.rank(argv[2], reverse)
    if value is None or rank is None:
        return NULL_ARRAY if with_score else None
    return [rank, value[argv[2]]] if with_score else rank


@sorted_sets.command(
    "ZRANK",
    arity=-3,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="2.0.0",
    complexity="O(log(N))",
    history=(("7.2.0", "Takes WITHSCORE."),),
    syntax="key member [WITHSCORE]",
    together=zrank_run,
)
def zrank(ctx: Session, argv: Argv) -> Any:
    """Return how many members stand before one, from the lowest score up."""
    return rank_of(ctx, argv, False)


@sorted_sets.command(
    "ZREVRANK",
    arity=-3,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="2.0.0",
    complexity="O(log(N))",
    history=(("7.2.0", "Takes WITHSCORE."),),
    syntax="key member [WITHSCORE]",
    together=zrevrank_run,
)
def zrevrank(ctx: Session, argv: Argv) -> Any:
    """Return how many members stand before one, from the highest score down."""
    return rank_of(ctx, argv, True)


@sorted_sets.command(
    "ZRANDMEMBER",
    arity=-2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="6.2.0",
    complexity="O(N), N = members returned",
    tips=("nondeterministic_output",),
    syntax="key options=[count [WITHSCORES]]",
)
def zrandmember(ctx: Session, argv: Argv) -> Any:
    """Return random members of a sorted set, with or without their scores."""
    if len(argv) == 2:
        value = ctx.db.read_as(argv[1], SortedSet)
        return None if value is None else value.random_member(random)
    count = negatable(argv[2])
    with_scores = len(argv) == 4 and argv[3].upper() == b"WITHSCORES"
    if len(argv) > 3 and not with_scores:
        raise CommandError(SYNTAX_ERROR)
    if with_scores and abs(count) > INT64_MAX // 2:
        raise CommandError(OUT_OF_RANGE)
    value = ctx.db.read_as(argv[1], SortedSet)
    if value is None:
        return []
    if count < 0:
        if not ctx.may_draw(-count):
            return NO_REPLY
        members = value.repeat(-count, random)
    elif count >= len(value):
        members = value.columns(0, len(value), True)[0]  # all of them: Redis starts at the end
    else:
        members = value.sample(count, random)
    return Pairs([(member, value[member]) for member in members]) if with_scores else members


@sorted_sets.command(
    "ZSCAN",
    arity=-3,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.8.0",
    complexity="O(1) a call, O(N) for all calls until the cursor is 0 again, N = elements",
    tips=("nondeterministic_output",),
    syntax="key cursor [MATCH pattern] [COUNT count]",
)
def zscan(ctx: Session, argv: Argv) -> list[Any]:
    """Walk over the members of a sorted set and their scores, a few at a time."""
    cursor = parse_cursor(argv[2])
    value = ctx.db.read_as(argv[1], SortedSet)
    if value is None:
        return [b"0", []]
    options = ScanOptions(argv[3:])
    following, members = value.scan(cursor, options.count)
    if options.match is not None:
        members = list(filter(options.match, members))
    # Scores are strings here, of a large set with the 17 digits of printf.
    scores = map(value.__getitem__, members)
    found = [b""] * (2 * len(members))
    found[0::2] = members
    found[1::2] = map(format_float if value.encoding is LISTPACK else b"%.17g".__mod__, scores)
    return [b"%d" % following, found]
