"""The set commands: members, random members, and the algebra over several sets.

Argument grammar, keyspace calls, replies; the algebra itself is in `storage.types.set`.
"""

from __future__ import annotations

import random

from protocol.reply import NO_REPLY, SetReply
from server.key_runs import sadd_run, spop_run, srem_run
from server.keyspecs import ACCESS, DELETE, INSERT, OW, RO, RW, UPDATE, key_range, numkeys, one_key
from server.number_arguments import integer_between, negatable, not_negative
from server.read_runs import scard_run, sismember_run, smembers_run
from server.registry import DENYOOM, FAST, READONLY, SWELLS, WALKS, WRITE, Group
from server.scan_arguments import ScanOptions, parse_cursor
from storage.errors import (
    LIMIT_NEGATIVE,
    NUMKEYS_NOT_POSITIVE,
    SYNTAX_ERROR,
    CommandError,
    WrongType,
)
from storage.events import DEL, SADD, SDIFFSTORE, SINTERSTORE, SPOP, SREM, SUNIONSTORE
from storage.numeric import INT64_MAX
from storage.types.set import Set, difference, intersection, stored_difference, union

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from server.session import Session
    from storage.events import Event

    Argv = Sequence[bytes]

sets = Group("set")

TOO_MANY_KEYS = b"ERR Number of keys can't be greater than number of args"
SREM_BATCH = 1024  # members of one SREM in the log, as in Redis


# Members -------------------------------------------------------------------------------------------------------


@sets.command(
    "SADD",
    arity=-3,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | INSERT),
    since="1.0.0",
    complexity="O(1) for each element, O(N) for N elements",
    history=(("2.4.0", "Takes several members."),),
    syntax="key member...",
    together=sadd_run,
)
def sadd(ctx: Session, argv: Argv) -> int:
    """Add members to a set, or to a new one; returns how many are new."""
    db, key = ctx.db, argv[1]
    value = db.find(key)
    if value is None:
        value = Set()
        db.put(key, value)
    elif value.__class__ is not Set:
        raise WrongType()
    if len(argv) == 3:
        added = 1 if value.add(argv[2], db.space.limits) else 0
    else:
        added = value.add_many(argv[2:], db.space.limits)
    if added:
        db.changed(key, SADD, added)
    return added


@sets.command(
    "SREM",
    arity=-3,
    flags=WRITE | FAST,
    keys=one_key(RW | DELETE),
    since="1.0.0",
    complexity="O(N), N = members removed",
    history=(("2.4.0", "Takes several members."),),
    syntax="key member...",
    together=srem_run,
)
def srem(ctx: Session, argv: Argv) -> int:
    """Remove members from a set, and the set with its last one."""
    db, key = ctx.db, argv[1]
    value = db.find_as(key, Set)
    if value is None:
        return 0
    removed = value.remove_many(argv[2:])
    if removed:
        db.changed(key, SREM, removed)
        db.drop_if_empty(key, value)
    return removed


@sets.command(
    "SMOVE",
    arity=4,
    flags=WRITE | FAST,
    keys=(
        one_key(RW | ACCESS | DELETE),
        one_key(RW | INSERT, at=2),
    ),
    since="1.0.0",
    complexity="O(1)",
    syntax="source destination member",
)
def smove(ctx: Session, argv: Argv) -> int:
    """Move a member from one set to another."""
    db, source, destination, member = ctx.db, argv[1], argv[2], argv[3]
    origin, target = db.find(source), db.find(destination)
    if origin is None:
        return 0
    if origin.__class__ is not Set or (target is not None and target.__class__ is not Set):
        raise WrongType()
    if origin is target:
        return 1 if member in origin else 0
    if not origin.remove(member):
        return 0
    db.changed(source, SREM, 1)
    db.drop_if_empty(source, origin)
    if target is None:
        target = Set()
        db.put(destination, target)
    if target.add(member, db.space.limits):
        db.changed(destination, SADD, 1)
    return 1


@sets.command(
    "SISMEMBER",
    arity=3,
    flags=READONLY | FAST,
    keys=one_key(RO),
    since="1.0.0",
    complexity="O(1)",
    syntax="key member",
    together=sismember_run,
)
def sismember(ctx: Session, argv: Argv) -> int:
    """Tell whether a set has a member."""
    value = ctx.db.read_as(argv[1], Set)
    return 1 if value is not None and argv[2] in value else 0


@sets.command(
    "SMISMEMBER",
    arity=-3,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="6.2.0",
    complexity="O(N), N = elements asked for",
    syntax="key member...",
)
def smismember(ctx: Session, argv: Argv) -> list[int]:
    """Tell which of several members a set has."""
    value = ctx.db.read_as(argv[1], Set)
    members = argv[2:]
    return [0] * len(members) if value is None else [1 if member in value else 0 for member in members]


@sets.command(
    "SCARD",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO),
    since="1.0.0",
    complexity="O(1)",
    syntax="key",
    together=scard_run,
)
def scard(ctx: Session, argv: Argv) -> int:
    """Return the number of members of a set."""
    value = ctx.db.read_as(argv[1], Set)
    return 0 if value is None else len(value)


@sets.command(
    "SMEMBERS",
    arity=2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="1.0.0",
    complexity="O(N), N = members",
    tips=("nondeterministic_output_order",),
    syntax="key",
    together=smembers_run,
)
def smembers(ctx: Session, argv: Argv) -> SetReply:
    """Return the members of a set."""
    value = ctx.db.read_as(argv[1], Set)
    return SetReply([] if value is None else value.members())


@sets.command(
    "SSCAN",
    arity=-3,
    flags=READONLY | WALKS,
    keys=one_key(RO | ACCESS),
    since="2.8.0",
    complexity="O(1) a call, O(N) for all calls until the cursor is 0 again, N = elements",
    tips=("nondeterministic_output",),
    syntax="key cursor [MATCH pattern] [COUNT count]",
)
def sscan(ctx: Session, argv: Argv) -> list[Any]:
    """Walk over the members of a set, a few at a time."""
    cursor = parse_cursor(argv[2])
    value = ctx.db.read_as(argv[1], Set)
    if value is None:
        return [b"0", []]
    options = ScanOptions(argv[3:])
    following, found = value.scan(cursor, options.count)
    if options.match is not None:
        found = [member for member in found if options.match(member)]
    return [b"%d" % following, found]


# By chance -----------------------------------------------------------------------------------------------------


@sets.command(
    "SPOP",
    arity=-2,
    flags=WRITE | FAST,
    keys=one_key(RW | ACCESS | DELETE),
    since="1.0.0",
    complexity="O(1) without a count, O(N) otherwise, N = the count",
    history=(("3.2.0", "Takes count."),),
    tips=("nondeterministic_output",),
    syntax="key [count@3.2.0]",
    together=spop_run,
)
def spop(ctx: Session, argv: Argv) -> Any:
    """Remove and return one random member of a set, or several."""
    db, key = ctx.db, argv[1]
    if len(argv) == 2:
        value = db.find(key)
        if value is None:
            return None
        if value.__class__ is not Set:
            raise WrongType()
        member = value.pop_random(random, ctx.keyspace.entries)
        db.changed(key, SPOP, 1)
        ctx.propagate_as(b"SREM", key, member)
        if not value:
            db.drop_if_empty(key, value)
        return member
    if len(argv) > 3:
        raise CommandError(SYNTAX_ERROR)
    count = not_negative(argv[2])
    value = db.find_as(key, Set)
    if value is None or not count:
        return SetReply([])
    if count >= len(value):
        members = value.members()
        db.space.hits += 1  # Redis answers by SUNION here, and only that look-up counts
        db.changed(key, SPOP, len(members))
        db.space.graveyard.bury(db.remove(key))
        db.changed(key, DEL, 0)
        ctx.propagate_as(b"UNLINK" if ctx.server.config.lazyfree_lazy_server_del else b"DEL", key)
        return SetReply(members)
    members = value.pop_many(count, random, db.space.limits, db.space.entries)
    db.changed(key, SPOP, len(members))
    for at in range(0, len(members), SREM_BATCH):
        ctx.propagate_as(b"SREM", key, *members[at : at + SREM_BATCH])
    return SetReply(members)


@sets.command(
    "SRANDMEMBER",
    arity=-2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="1.0.0",
    complexity="O(1) without a count, O(N) otherwise, N = size of the count",
    history=(("2.6.0", "Takes count."),),
    tips=("nondeterministic_output",),
    syntax="key [count@2.6.0]",
)
def srandmember(ctx: Session, argv: Argv) -> Any:
    """Return one random member of a set, or several."""
    if len(argv) == 2:
        value = ctx.db.read_as(argv[1], Set)
        return None if value is None else value.random_key(random, ctx.keyspace.entries)
    if len(argv) > 3:
        raise CommandError(SYNTAX_ERROR)
    count = negatable(argv[2])
    value = ctx.db.read_as(argv[1], Set)
    if value is None:
        return []
    if count < 0:
        if not ctx.may_draw(-count):
            return NO_REPLY
        return value.repeat_keys(-count, random, ctx.keyspace.entries)
    if count >= len(value):
        return value.members()
    return value.sample_keys(count, random, ctx.keyspace.entries)


# Algebra -------------------------------------------------------------------------------------------------------


def read_sets(ctx: Session, keys: Argv) -> list[Set | None]:
    """The sets at several keys. A wrong type is refused even where another key is missing."""
    read_as = ctx.db.read_as
    return [read_as(key, Set) for key in keys]


def store(ctx: Session, destination: bytes, result: Set, event: Event) -> int:
    """Keep a result in place of whatever the destination holds; an empty one deletes it."""
    db = ctx.db
    if not result:
        db.delete(destination)
        return 0
    db.put_made(destination, result)
    db.changed(destination, event, 1)
    return len(result)


@sets.command(
    "SINTER",
    arity=-2,
    flags=READONLY,
    keys=key_range(RO | ACCESS),
    since="1.0.0",
    complexity="O(N*M) at worst, N = members of the smallest set, M = sets",
    tips=("nondeterministic_output_order",),
    syntax="key...",
)
def sinter(ctx: Session, argv: Argv) -> SetReply:
    """Return the members that all of several sets have."""
    return SetReply(intersection(read_sets(ctx, argv[1:])))


@sets.command(
    "SINTERCARD",
    arity=-3,
    flags=READONLY,
    keys=numkeys(RO | ACCESS, at=1),
    since="7.0.0",
    complexity="O(N*M) at worst, N = members of the smallest set, M = sets",
    syntax="numkeys key... [LIMIT limit]",
)
def sintercard(ctx: Session, argv: Argv) -> int:
    """Count the members that all of several sets have, up to a limit."""
    count = integer_between(argv[1], 1, INT64_MAX, NUMKEYS_NOT_POSITIVE)
    if count > len(argv) - 2:
        raise CommandError(TOO_MANY_KEYS)
    limit = 0
    for position in range(2 + count, len(argv), 2):
        if argv[position].upper() != b"LIMIT" or position + 1 == len(argv):
            raise CommandError(SYNTAX_ERROR)
        limit = not_negative(argv[position + 1], LIMIT_NEGATIVE)
    return len(intersection(read_sets(ctx, argv[2 : 2 + count]), limit))


@sets.command(
    "SINTERSTORE",
    arity=-3,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(OW | UPDATE),
        key_range(RO | ACCESS, first=2),
    ),
    since="1.0.0",
    complexity="O(N*M) at worst, N = members of the smallest set, M = sets",
    syntax="destination key...",
)
def sinterstore(ctx: Session, argv: Argv) -> int:
    """Keep the members that all of several sets have in another set."""
    members = intersection(read_sets(ctx, argv[2:]))
    return store(ctx, argv[1], Set.build(members, ctx.db.space.limits), SINTERSTORE)


@sets.command(
    "SUNION",
    arity=-2,
    flags=READONLY,
    keys=key_range(RO | ACCESS),
    since="1.0.0",
    complexity="O(N), N = members of all sets",
    tips=("nondeterministic_output_order",),
    syntax="key...",
)
def sunion(ctx: Session, argv: Argv) -> SetReply:
    """Return the members that any of several sets has."""
    return SetReply(union(read_sets(ctx, argv[1:])))


@sets.command(
    "SUNIONSTORE",
    arity=-3,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(OW | UPDATE),
        key_range(RO | ACCESS, first=2),
    ),
    since="1.0.0",
    complexity="O(N), N = members of all sets",
    syntax="destination key...",
)
def sunionstore(ctx: Session, argv: Argv) -> int:
    """Keep the members that any of several sets has in another set."""
    members = union(read_sets(ctx, argv[2:]))
    return store(ctx, argv[1], Set.build(members, ctx.db.space.limits), SUNIONSTORE)


@sets.command(
    "SDIFF",
    arity=-2,
    flags=READONLY,
    keys=key_range(RO | ACCESS),
    since="1.0.0",
    complexity="O(N), N = members of all sets",
    tips=("nondeterministic_output_order",),
    syntax="key...",
)
def sdiff(ctx: Session, argv: Argv) -> SetReply:
    """Return the members that the first of several sets has and no other."""
    return SetReply(difference(read_sets(ctx, argv[1:])))


@sets.command(
    "SDIFFSTORE",
    arity=-3,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(OW | UPDATE),
        key_range(RO | ACCESS, first=2),
    ),
    since="1.0.0",
    complexity="O(N), N = members of all sets",
    syntax="destination key...",
)
def sdiffstore(ctx: Session, argv: Argv) -> int:
    """Keep the members that the first of several sets has and no other in another set."""
    result = stored_difference(read_sets(ctx, argv[2:]), ctx.db.space.limits)
    return store(ctx, argv[1], result, SDIFFSTORE)
