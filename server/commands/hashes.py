"""The hash commands, except those about the deadlines of fields.

Argument grammar, keyspace calls, replies. A field whose time has come is not seen, but is there until somebody looks at
it or the active cycle comes by: HLEN counts it, HDEL deletes it, HSET finds it old. Whatever may take a deadline away
ends in `note_deadlines`.
"""

from __future__ import annotations

import random

from protocol.reply import NO_REPLY, OK, FlatMap, Pairs
from server.key_runs import hdel_run, hincrby_run, hset_run
from server.keyspecs import ACCESS, DELETE, INSERT, RO, RW, UPDATE, one_key
from server.number_arguments import integer, negatable
from server.read_runs import hexists_run, hget_run, hgetall_run, hkeys_run, hlen_run, hvals_run
from server.registry import DENYOOM, FAST, READONLY, WALKS, WRITE, Group, wrong_arity_of
from server.scan_arguments import ScanOptions, parse_cursor
from storage.errors import (
    HASH_NOT_A_FLOAT,
    HASH_NOT_AN_INTEGER,
    NAN_OR_INFINITY,
    NOT_A_FLOAT,
    OUT_OF_RANGE,
    OVERFLOW,
    SYNTAX_ERROR,
    CommandError,
)
from storage.events import HDEL, HINCRBY, HINCRBYFLOAT, HSET
from storage.numeric import (
    INT64_MAX,
    INT64_MIN,
    NotFinite,
    add_long_doubles,
    format_long_double,
    parse_int,
    parse_long_double,
)
from storage.types.hash import Hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from server.session import Session
    from storage.database import Database

    Argv = Sequence[bytes]

hashes = Group("hash")

INCREMENT_NOT_FINITE = b"ERR value is NaN or Infinity"


def find_or_create(db: Database, key: bytes) -> Hash:
    """The hash for a command that is going to put a field into it."""
    value = db.find_as(key, Hash)
    if value is None:
        value = Hash()
        db.put(key, value)
    return value


def note_deadlines(db: Database, key: bytes, value: Hash) -> None:
    """After fields were set anew or deleted: their deadlines are gone."""
    if value.deadlines is not None:
        db.track_fields(key, value)


# Writing -------------------------------------------------------------------------------------------------------


@hashes.command(
    "HSET",
    arity=-4,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | UPDATE),
    since="2.0.0",
    complexity="O(1) for each pair, O(N) for N pairs",
    history=(("4.0.0", "Takes several fields and values."),),
    syntax="key (field value)...",
    together=hset_run,
)
def hset(ctx: Session, argv: Argv) -> int:
    """Set fields of a hash; returns how many are new."""
    db, key = ctx.db, argv[1]
    if len(argv) == 4:
        value = db.find_as(key, Hash)
        if value is None:
            value = Hash()
            db.put(key, value)
        is_new = value.put(argv[2], argv[3], db.space.limits)
        if value.deadlines is not None:
            db.track_fields(key, value)
        db.changed(key, HSET, 1)
        return 1 if is_new else 0
    if len(argv) % 2:
        raise CommandError(wrong_arity_of(b"hset"))
    return set_pairs(db, argv)


@hashes.command(
    "HMSET",
    arity=-4,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | UPDATE),
    since="2.0.0",
    complexity="O(N), N = fields being set",
    syntax="key (field value)...",
    deprecated=("4.0.0", "HSET"),
)
def hmset(ctx: Session, argv: Argv) -> Any:
    """Set fields of a hash."""
    if len(argv) % 2:
        raise CommandError(wrong_arity_of(b"hmset"))
    set_pairs(ctx.db, argv)
    return OK


def set_pairs(db: Database, argv: Argv) -> int:
    key = argv[1]
    value = find_or_create(db, key)
    created = value.put_pairs(argv[2:], db.space.limits)
    note_deadlines(db, key, value)
    db.changed(key, HSET, (len(argv) - 2) // 2)
    return created


@hashes.command(
    "HSETNX",
    arity=4,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | INSERT),
    since="2.0.0",
    complexity="O(1)",
    syntax="key field value",
)
def hsetnx(ctx: Session, argv: Argv) -> int:
    """Set a field of a hash if it does not exist."""
    db, key = ctx.db, argv[1]
    value = db.find_field(key, argv[2])
    if value is None:
        value = find_or_create(db, key)
    elif argv[2] in value:
        return 0
    value.put(argv[2], argv[3], db.space.limits)
    db.changed(key, HSET, 1)
    return 1


@hashes.command(
    "HDEL",
    arity=-3,
    flags=WRITE | FAST,
    keys=one_key(RW | DELETE),
    since="2.0.0",
    complexity="O(N), N = fields removed",
    history=(("2.4.0", "Takes several fields."),),
    syntax="key field...",
    together=hdel_run,
)
def hdel(ctx: Session, argv: Argv) -> int:
    """Delete fields of a hash, and the hash with its last field."""
    db, key = ctx.db, argv[1]
    value = db.find_as(key, Hash)
    if value is None:
        return 0
    removed = value.remove_many(argv[2:])
    if removed:
        db.changed(key, HDEL, removed)
        if not db.drop_if_empty(key, value):
            note_deadlines(db, key, value)
    return removed


@hashes.command(
    "HINCRBY",
    arity=4,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | ACCESS | UPDATE),
    since="2.0.0",
    complexity="O(1)",
    syntax="key field increment",
    together=hincrby_run,
)
def hincrby(ctx: Session, argv: Argv) -> int:
    """Add to the integer in a field of a hash; the field keeps its deadline."""
    amount = integer(argv[3])
    db, key, field = ctx.db, argv[1], argv[2]
    value = db.find_field(key, field)
    old = None if value is None else value.get(field)
    number = amount
    if old is not None:
        try:
            number += parse_int(old)
        except ValueError:
            raise CommandError(HASH_NOT_AN_INTEGER) from None
        if not INT64_MIN <= number <= INT64_MAX:
            raise CommandError(OVERFLOW)
    if value is None:
        value = find_or_create(db, key)
    value.edit(field, b"%d" % number, db.space.limits)
    db.changed(key, HINCRBY, 1)
    return number


@hashes.command(
    "HINCRBYFLOAT",
    arity=4,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | ACCESS | UPDATE),
    since="2.6.0",
    complexity="O(1)",
    syntax="key field increment:double",
)
def hincrbyfloat(ctx: Session, argv: Argv) -> bytes:
    """Add to the floating-point number in a field of a hash; the field keeps its deadline."""
    try:
        amount = parse_long_double(argv[3])
    except ValueError:
        raise CommandError(NOT_A_FLOAT) from None
    try:
        add_long_doubles(amount, (0, 0))
    except NotFinite:
        raise CommandError(INCREMENT_NOT_FINITE) from None
    db, key, field = ctx.db, argv[1], argv[2]
    value = db.find_field(key, field)
    old = None if value is None else value.get(field)
    number = amount
    if old is not None:
        try:
            number = parse_long_double(old)
        except ValueError:
            raise CommandError(HASH_NOT_A_FLOAT) from None
        try:
            number = add_long_doubles(number, amount)
        except NotFinite:
            raise CommandError(NAN_OR_INFINITY) from None
    text = format_long_double(number)
    if value is None:
        value = find_or_create(db, key)
    value.edit(field, text, db.space.limits)
    db.changed(key, HINCRBYFLOAT, 1)
    ctx.propagate_as(b"HSET", key, field, text)
    deadline_ms = value.deadline_of(field)
    if deadline_ms > 0:  # HSET takes it away
        ctx.propagate_as(b"HPEXPIREAT", key, b"%d" % deadline_ms, b"FIELDS", b"1", field)
    return text


# Reading -------------------------------------------------------------------------------------------------------


@hashes.command(
    "HGET",
    arity=3,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="2.0.0",
    complexity="O(1)",
    syntax="key field",
    together=hget_run,
)
def hget(ctx: Session, argv: Argv) -> bytes | None:
    """Return the value of a field of a hash."""
    value = ctx.db.read_fields(argv[1], argv[2:])
    return None if value is None else value.get(argv[2])


@hashes.command(
    "HMGET",
    arity=-3,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="2.0.0",
    complexity="O(N), N = fields asked for",
    syntax="key field...",
)
def hmget(ctx: Session, argv: Argv) -> list[bytes | None]:
    """Return the values of several fields of a hash, null where there is none."""
    fields = argv[2:]
    value: Any = ctx.db.read_as(argv[1], Hash)
    if value is None:
        return [None] * len(fields)
    if value.deadlines is not None:
        value = ctx.db.live_fields(argv[1], value, fields)
    return list(map(value.get, fields))


@hashes.command(
    "HLEN",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO),
    since="2.0.0",
    complexity="O(1)",
    syntax="key",
    together=hlen_run,
)
def hlen(ctx: Session, argv: Argv) -> int:
    """Return the number of fields of a hash."""
    value = ctx.db.read_as(argv[1], Hash)
    return 0 if value is None else len(value)


@hashes.command(
    "HSTRLEN",
    arity=3,
    flags=READONLY | FAST,
    keys=one_key(RO),
    since="3.2.0",
    complexity="O(1)",
    syntax="key field",
)
def hstrlen(ctx: Session, argv: Argv) -> int:
    """Return the length of the value of a field of a hash."""
    value = ctx.db.read_fields(argv[1], argv[2:])
    return 0 if value is None else len(value.get(argv[2], b""))


@hashes.command(
    "HEXISTS",
    arity=3,
    flags=READONLY | FAST,
    keys=one_key(RO),
    since="2.0.0",
    complexity="O(1)",
    syntax="key field",
    together=hexists_run,
)
def hexists(ctx: Session, argv: Argv) -> int:
    """Tell whether a hash has a field."""
    value = ctx.db.read_fields(argv[1], argv[2:])
    return 1 if value is not None and argv[2] in value else 0


@hashes.command(
    "HKEYS",
    arity=2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.0.0",
    complexity="O(N), N = fields",
    tips=("nondeterministic_output_order",),
    syntax="key",
    together=hkeys_run,
)
def hkeys(ctx: Session, argv: Argv) -> list[bytes]:
    """Return the fields of a hash."""
    value = ctx.db.read_live(argv[1])
    return [] if value is None else list(value.in_order())


@hashes.command(
    "HVALS",
    arity=2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.0.0",
    complexity="O(N), N = fields",
    tips=("nondeterministic_output_order",),
    syntax="key",
    together=hvals_run,
)
def hvals(ctx: Session, argv: Argv) -> list[bytes]:
    """Return the values of a hash."""
    value = ctx.db.read_live(argv[1])
    return [] if value is None else list(value.in_order().values())


@hashes.command(
    "HGETALL",
    arity=2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.0.0",
    complexity="O(N), N = fields",
    tips=("nondeterministic_output_order",),
    syntax="key",
    together=hgetall_run,
)
def hgetall(ctx: Session, argv: Argv) -> FlatMap:
    """Return the fields and values of a hash."""
    value = ctx.db.read_live(argv[1])
    if value is None:
        return FlatMap((), ())
    fields = value.in_order()
    return FlatMap(tuple(fields), tuple(fields.values()))


@hashes.command(
    "HSCAN",
    arity=-3,
    flags=READONLY | WALKS,
    keys=one_key(RO | ACCESS),
    since="2.8.0",
    complexity="O(1) a call, O(N) for all calls until the cursor is 0 again, N = elements",
    tips=("nondeterministic_output",),
    syntax="key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
)
def hscan(ctx: Session, argv: Argv) -> list[Any]:
    """Walk over the fields of a hash, a few at a time."""
    cursor = parse_cursor(argv[2])
    value = ctx.db.read_as(argv[1], Hash)
    if value is None:
        return [b"0", []]
    options = ScanOptions(argv[3:], of_hash=True)
    following, found = value.scan(cursor, options.count)
    if value.is_due(ctx.now_ms) and not ctx.db.sees_due():
        due = set(value.due_among(found, ctx.now_ms))
        found = [field for field in found if field not in due]
    if options.match is not None:
        found = [field for field in found if options.match(field)]
    if not options.without_values:
        fields = found
        found = [b""] * (2 * len(fields))
        found[0::2] = fields
        found[1::2] = map(value.__getitem__, fields)
    return [b"%d" % following, found]


def swept(ctx: Session, key: bytes) -> Hash | None:
    """The hash for draws: a master deletes what is due first, a replica leaves it out."""
    value = ctx.db.read_as(key, Hash)
    if value is None or ctx.db.sees_due() or not value.is_due(ctx.now_ms):
        return value
    if ctx.keyspace.keeps_lapsed:
        return value.without_due(ctx.now_ms)
    ctx.db.expire_fields(key)
    return value


@hashes.command(
    "HRANDFIELD",
    arity=-2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="6.2.0",
    complexity="O(N), N = fields returned",
    tips=("nondeterministic_output",),
    syntax="key options=[count [WITHVALUES]]",
)
def hrandfield(ctx: Session, argv: Argv) -> Any:
    """Return random fields of a hash, with or without their values."""
    if len(argv) == 2:
        value = swept(ctx, argv[1])
        return value.random_key(random, ctx.keyspace.entries) if value else None
    count = negatable(argv[2])
    with_values = len(argv) == 4 and argv[3].upper() == b"WITHVALUES"
    if len(argv) > 3 and not with_values:
        raise CommandError(SYNTAX_ERROR)
    if with_values and abs(count) > INT64_MAX // 2:
        raise CommandError(OUT_OF_RANGE)
    value = swept(ctx, argv[1])
    if not value:
        return []
    if count < 0:
        if not ctx.may_draw(-count):
            return NO_REPLY
        fields = value.repeat_keys(-count, random, ctx.keyspace.entries)
    elif count >= len(value):
        fields = list(value.in_order())
    else:
        fields = value.sample_keys(count, random, ctx.keyspace.entries)
    return Pairs([(field, value[field]) for field in fields]) if with_values else fields
