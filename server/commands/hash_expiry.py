"""The deadlines of hash fields: HEXPIRE and its variants, HTTL and its variants, HPERSIST.

Argument grammar, keyspace calls, replies. Each one ends in an array with one number for each field, also where there is
no key. What is logged is always an absolute deadline in milliseconds, and HDEL for fields whose time was over before it
began.
"""

from __future__ import annotations

from server.deadline_arguments import invalid_expire_time
from server.keyspecs import ACCESS, RO, RW, UPDATE, one_key
from server.number_arguments import integer, integer_between
from server.registry import DENYOOM, FAST, READONLY, WRITE, Group
from storage.errors import CommandError
from storage.events import HDEL, HEXPIRE, HPERSIST
from storage.numeric import INT64_MAX
from storage.types.hash import DEADLINE_CLEARED, DEADLINE_SET, FIELD_DELETED, NO_SUCH_FIELD, Hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.session import Session

    Argv = Sequence[bytes]

hashes = Group("hash")

MAX_DEADLINE_MS = 2**46 - 1  # as in Redis, which keeps a field's deadline in 48 bits and two of them for itself
CONDITIONS = (b"NX", b"XX", b"GT", b"LT")
NO_FIELDS = b"ERR Mandatory argument FIELDS is missing or not at the right position"
NUMFIELDS_NOT_POSITIVE = b"ERR Parameter `numFields` should be greater than 0"
COUNT_NOT_POSITIVE = b"ERR Number of fields must be a positive integer"
COUNT_DIFFERS = b"ERR The `numfields` parameter must match the number of arguments"
DEADLINE_NEGATIVE = b"ERR invalid expire time, must be >= 0"


def fields_from(argv: Argv, at: int, count_refusal: bytes) -> Argv:
    """FIELDS numfields field..., from argument `at` to the end."""
    if argv[at].upper() != b"FIELDS":
        raise CommandError(NO_FIELDS)
    count = integer_between(argv[at + 1], 1, INT64_MAX, count_refusal)
    fields = argv[at + 2 :]
    if count != len(fields):
        raise CommandError(COUNT_DIFFERS)
    return fields


def set_deadlines(ctx: Session, argv: Argv, unit_ms: int, base_ms: int, command: bytes) -> list[int]:
    """HEXPIRE in every unit. O(log n) a field with a deadline."""
    db, key = ctx.db, argv[1]
    value = db.find_as(key, Hash)
    deadline_ms = integer(argv[2]) * unit_ms
    if deadline_ms < 0:
        raise CommandError(DEADLINE_NEGATIVE)
    if deadline_ms > MAX_DEADLINE_MS - base_ms:
        raise invalid_expire_time(command)
    deadline_ms += base_ms
    condition: bytes | None = argv[3].upper()
    if condition not in CONDITIONS:
        condition = None
    fields = fields_from(argv, 3 if condition is None else 4, NUMFIELDS_NOT_POSITIVE)
    if value is None:
        return [NO_SUCH_FIELD] * len(fields)
    # A replica and the log loader keep a field whose time is over until they are told to delete it.
    now_ms = None if ctx.keyspace.keeps_lapsed else ctx.now_ms
    answers = [value.set_deadline(field, deadline_ms, condition, now_ms) for field in fields]
    gone = [field for field, answer in zip(fields, answers) if answer == FIELD_DELETED]
    kept = [field for field, answer in zip(fields, answers) if answer == DEADLINE_SET]
    if gone:
        db.changed(key, HDEL, len(gone))
        ctx.keyspace.expired_fields += len(gone)
        for field in gone:
            ctx.propagate_as(b"HDEL", key, field)
        if db.drop_if_empty(key, value):
            return answers
    if kept:
        db.changed(key, HEXPIRE, len(kept))
        word = argv[0] if argv[0].upper() == b"HPEXPIREAT" else b"HPEXPIREAT"
        words = argv[3 : -1 - len(fields)]  # [NX | XX | GT | LT] FIELDS, in the client's own letters
        ctx.propagate_as(word, key, b"%d" % deadline_ms, *words, b"%d" % len(kept), *kept)
    if gone or kept:
        db.track_fields(key, value)
    return answers


@hashes.command(
    "HEXPIRE",
    arity=-6,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | UPDATE),
    since="7.4.0",
    complexity="O(N), N = fields given",
    syntax="key seconds [NX | XX | GT | LT] FIELDS (numfields field...)",
)
def hexpire(ctx: Session, argv: Argv) -> list[int]:
    """Let fields of a hash expire after so many seconds."""
    return set_deadlines(ctx, argv, 1000, ctx.now_ms, b"hexpire")


@hashes.command(
    "HPEXPIRE",
    arity=-6,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | UPDATE),
    since="7.4.0",
    complexity="O(N), N = fields given",
    syntax="key milliseconds [NX | XX | GT | LT] FIELDS (numfields field...)",
)
def hpexpire(ctx: Session, argv: Argv) -> list[int]:
    """Let fields of a hash expire after so many milliseconds."""
    return set_deadlines(ctx, argv, 1, ctx.now_ms, b"hpexpire")


@hashes.command(
    "HEXPIREAT",
    arity=-6,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | UPDATE),
    since="7.4.0",
    complexity="O(N), N = fields given",
    syntax="key unix-time-seconds [NX | XX | GT | LT] FIELDS (numfields field...)",
)
def hexpireat(ctx: Session, argv: Argv) -> list[int]:
    """Let fields of a hash expire at a time in seconds since the epoch."""
    return set_deadlines(ctx, argv, 1000, 0, b"hexpireat")


@hashes.command(
    "HPEXPIREAT",
    arity=-6,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | UPDATE),
    since="7.4.0",
    complexity="O(N), N = fields given",
    syntax="key unix-time-milliseconds [NX | XX | GT | LT] FIELDS (numfields field...)",
)
def hpexpireat(ctx: Session, argv: Argv) -> list[int]:
    """Let fields of a hash expire at a time in milliseconds since the epoch."""
    return set_deadlines(ctx, argv, 1, 0, b"hpexpireat")


@hashes.command(
    "HPERSIST",
    arity=-5,
    flags=WRITE | FAST,
    keys=one_key(RW | UPDATE),
    since="7.4.0",
    complexity="O(N), N = fields given",
    syntax="key FIELDS (numfields field...)",
)
def hpersist(ctx: Session, argv: Argv) -> list[int]:
    """Let fields of a hash live for ever."""
    db, key = ctx.db, argv[1]
    value = db.find_as(key, Hash)
    fields = fields_from(argv, 2, COUNT_NOT_POSITIVE)
    if value is None:
        return [NO_SUCH_FIELD] * len(fields)
    due = () if db.sees_due() else value.due_among(fields, ctx.now_ms)
    answers = [NO_SUCH_FIELD if field in due else value.clear_deadline(field) for field in fields]
    cleared = answers.count(DEADLINE_CLEARED)
    if cleared:
        db.track_fields(key, value)
        db.changed(key, HPERSIST, 1)  # one change, as in Redis, however many fields
    return answers


def deadlines_of(ctx: Session, argv: Argv, unit_ms: int, base_ms: int) -> list[int]:
    """HTTL and HEXPIRETIME in every unit, rounded up."""
    value = ctx.db.read_as(argv[1], Hash)
    fields = fields_from(argv, 2, COUNT_NOT_POSITIVE)
    if value is None:
        return [NO_SUCH_FIELD] * len(fields)
    due = () if ctx.db.sees_due() else value.due_among(fields, ctx.now_ms)
    answers = []
    for field in fields:
        deadline_ms = NO_SUCH_FIELD if field in due else value.deadline_of(field)
        answers.append(deadline_ms if deadline_ms < 0 else -((base_ms - deadline_ms) // unit_ms))
    return answers


@hashes.command(
    "HTTL",
    arity=-5,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="7.4.0",
    complexity="O(N), N = fields given",
    syntax="key FIELDS (numfields field...)",
)
def httl(ctx: Session, argv: Argv) -> list[int]:
    """Return how many seconds fields of a hash have left to live."""
    return deadlines_of(ctx, argv, 1000, ctx.now_ms)


@hashes.command(
    "HPTTL",
    arity=-5,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="7.4.0",
    complexity="O(N), N = fields given",
    syntax="key FIELDS (numfields field...)",
)
def hpttl(ctx: Session, argv: Argv) -> list[int]:
    """Return how many milliseconds fields of a hash have left to live."""
    return deadlines_of(ctx, argv, 1, ctx.now_ms)


@hashes.command(
    "HEXPIRETIME",
    arity=-5,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="7.4.0",
    complexity="O(N), N = fields given",
    syntax="key FIELDS (numfields field...)",
)
def hexpiretime(ctx: Session, argv: Argv) -> list[int]:
    """Return when fields of a hash expire, in seconds since the epoch."""
    return deadlines_of(ctx, argv, 1000, 0)


@hashes.command(
    "HPEXPIRETIME",
    arity=-5,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="7.4.0",
    complexity="O(N), N = fields given",
    syntax="key FIELDS (numfields field...)",
)
def hpexpiretime(ctx: Session, argv: Argv) -> list[int]:
    """Return when fields of a hash expire, in milliseconds since the epoch."""
    return deadlines_of(ctx, argv, 1, 0)
