"""The string commands: values of bytes. Those that count are in `counters`.

Argument grammar, keyspace calls, replies. SET and GETEX take the grammar of deadlines from
`server.deadline_arguments`, LCS its algorithm from `storage.lcs`.
"""

from __future__ import annotations

from protocol.reply import OK, Map
from server.deadline_arguments import StringOptions, positive_deadline
from server.key_runs import setex_run
from server.keyfinders import set_keys
from server.keyspecs import ACCESS, DELETE, INSERT, OW, RO, RW, UPDATE, VARIABLE_FLAGS, key_range, one_key
from server.number_arguments import integer
from server.read_runs import strlen_run
from server.registry import COLUMNS_PAY, DENYOOM, FAST, READONLY, SWELLS, WRITE, Group, wrong_arity_of
from storage import events, lcs
from storage.deadlines import NEVER_MS
from storage.errors import OFFSET_OUT_OF_RANGE, STRING_TOO_LONG, SYNTAX_ERROR, CommandError, WrongType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session
    from storage.database import Database

    Argv = Sequence[bytes]

strings = Group("string")

SET_DONE = events.SET
# What GETs of a run may return in all without being copied at a time that the output's limits do not see.
MAX_TOGETHER_BYTES = 64 * 1024
PLAIN_TIMES = (b"EX", b"PX")
ONLY_STRINGS = {bytes}
STRINGS_AND_NULLS = {bytes, type(None)}
LCS_CELL_BYTES = 4  # Redis fills a table of them, one for each pair of positions
NOT_STRINGS = b"ERR The specified keys must contain string values"


# Reading -------------------------------------------------------------------------------------------------------


def get_together(ctx: Session, columns: Sequence[Sequence[bytes]]) -> Any:
    """`get` for a run of them."""
    return strings_at(ctx.db, columns[1])


def strings_at(db: Database, keys: Sequence[bytes]) -> Any:
    """The strings at all keys, null where there is none; None where that has to be seen key by key."""
    if db.has_due(keys):
        return None
    values = list(map(db.data.get, keys))
    kinds = set(map(type, values))
    found: Any = values
    if kinds != ONLY_STRINGS:
        if not kinds <= STRINGS_AND_NULLS:
            return None
        keys = [key for key, value in zip(keys, values) if value is not None]
        found = filter(None, values)
    if sum(map(len, found)) > MAX_TOGETHER_BYTES or db.space.hears_misses:
        return None
    db.space.hits += len(keys)
    db.space.misses += len(values) - len(keys)
    stamp = db.clock.access_stamp
    access = db.access
    for key in keys:
        access[key] = stamp
    return values


@strings.command(
    "GET",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="1.0.0",
    complexity="O(1)",
    syntax="key",
    together=get_together,
)
def get(ctx: Session, argv: Argv) -> Any:
    """Return the string at a key."""
    db, key = ctx.db, argv[1]
    value = db.data.get(key)
    if value.__class__ is bytes and (not db.lapses or db.lapses.get(key, NEVER_MS) > db.clock.now_ms):
        # `Database.read` for the commonest case, inlined: a twentieth of the whole request in a pipeline.
        db.space.hits += 1
        db.access[key] = db.clock.access_stamp
        return value
    return db.read_string(key)


@strings.command(
    "MGET",
    arity=-2,
    flags=READONLY | FAST,
    keys=key_range(RO | ACCESS),
    since="1.0.0",
    complexity="O(N), N = keys",
    tips=("request_policy:multi_shard",),
    syntax="key...",
)
def mget(ctx: Session, argv: Argv) -> Any:
    """Return the strings at several keys, null where there is none."""
    if COLUMNS_PAY:
        values = strings_at(ctx.db, argv[1:])
        if values is not None:
            return values
    read = ctx.db.read
    values = []
    for key in argv[1:]:
        value = read(key)
        if value.__class__ is bytearray:
            value = bytes(value)
        elif value.__class__ is not bytes:
            value = None
        values.append(value)
    return values


@strings.command(
    "STRLEN",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO),
    since="2.2.0",
    complexity="O(1)",
    syntax="key",
    together=strlen_run,
)
def strlen(ctx: Session, argv: Argv) -> int:
    """Return the length of the string at a key."""
    value = ctx.db.read(argv[1])
    if value is None:
        return 0
    if value.__class__ is bytes or value.__class__ is bytearray:
        return len(value)
    raise WrongType()


@strings.command(
    "SUBSTR",
    arity=4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="1.0.0",
    complexity="O(N), N = length of the part returned",
    syntax="key start end",
    deprecated=("2.0.0", "GETRANGE"),
)
@strings.command(
    "GETRANGE",
    arity=4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.4.0",
    complexity="O(N), N = length of the part returned",
    syntax="key start end",
)
def getrange(ctx: Session, argv: Argv) -> bytes:
    """Return a part of the string at a key, by first and last offset."""
    start, stop = integer(argv[2]), integer(argv[3])
    value = ctx.db.read(argv[1])
    if value is None:
        return b""
    if value.__class__ is not bytes and value.__class__ is not bytearray:
        raise WrongType()
    length = len(value)
    if start < 0 and stop < 0 and start > stop:
        return b""
    if start < 0:
        start = max(0, start + length)
    if stop < 0:
        stop = max(0, stop + length)
    return bytes(value[start : stop + 1])


@strings.command(
    "LCS",
    arity=-3,
    flags=READONLY,
    keys=key_range(RO | ACCESS, last=1),
    since="7.0.0",
    complexity="O(N*M), N and M = lengths of the two strings",
    syntax="key1 key2#0 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
)
def longest_common_subsequence(ctx: Session, argv: Argv) -> Any:
    """Find the longest common subsequence of two strings."""
    a, b = (ctx.db.read(key) for key in argv[1:3])
    for value in (a, b):
        if value is not None and value.__class__ is not bytes and value.__class__ is not bytearray:
            raise CommandError(NOT_STRINGS)
    wants_length = wants_matches = with_lengths = False
    least = 0
    position = 3
    while position < len(argv):
        option = argv[position].upper()
        if option == b"IDX":
            wants_matches = True
        elif option == b"LEN":
            wants_length = True
        elif option == b"WITHMATCHLEN":
            with_lengths = True
        elif option == b"MINMATCHLEN" and position + 1 < len(argv):
            position += 1
            least = max(0, integer(argv[position]))
        else:
            raise CommandError(SYNTAX_ERROR)
        position += 1
    if wants_matches and wants_length:
        raise CommandError(b"ERR If you want both the length and indexes, please just use IDX.")
    a, b = bytes(a or b""), bytes(b or b"")
    if (len(a) + 1) * (len(b) + 1) * LCS_CELL_BYTES > ctx.server.config.proto_max_bulk_len:
        raise CommandError(b"ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    if wants_length:
        return lcs.length(a, b)
    found, matches = lcs.trace(a, b)
    if not wants_matches:
        return found
    rows = []
    for first_a, last_a, first_b, last_b in matches:
        length = last_a - first_a + 1
        if length >= least:
            row: list[Any] = [[first_a, last_a], [first_b, last_b]]
            if with_lengths:
                row.append(length)
            rows.append(row)
    return Map([(b"matches", rows), (b"len", len(found))])


# Writing -------------------------------------------------------------------------------------------------------


def set_together(ctx: Session, columns: Sequence[Sequence[bytes]]) -> Any:
    """`set_` for a run of them without options."""
    db = ctx.db
    if not db.put_at_once(columns[1], columns[2]):
        return None
    keys = columns[1]
    db.changed(keys[-1], SET_DONE, len(keys))  # the log takes the run as it is, nobody else listens
    return [OK] * len(keys)


@strings.command(
    "SET",
    arity=-3,
    flags=WRITE | DENYOOM,
    keys=one_key(RW | ACCESS | UPDATE | VARIABLE_FLAGS, notes='ACCESS holds with GET only'),
    keys_by=set_keys,
    since="1.0.0",
    complexity="O(1)",
    history=(
        ("2.6.12", "EX, PX, NX and XX."),
        ("6.0.0", "KEEPTTL."),
        ("6.2.0", "GET, EXAT and PXAT."),
        ("7.0.0", "NX together with GET."),
    ),
    syntax=(
        "key value [NX | XX]@2.6.12 [GET@6.2.0] expiration=[EX seconds@2.6.12 | PX milliseconds@2.6.12 | "
        "EXAT unix-time-seconds@6.2.0 | PXAT unix-time-milliseconds@6.2.0 | KEEPTTL@6.0.0]"
    ),
    together=set_together,
)
def set_(ctx: Session, argv: Argv) -> Any:
    """Set a key to a string, whatever it held; may depend on whether it exists, and may let it expire."""
    key, value = argv[1], argv[2]
    db = ctx.db
    if len(argv) == 3:
        if key in db.data and not (db.lapses and key in db.lapses) and not db.field_deadlines.live:
            db.data[key] = value  # `Database.put` for the commonest case, inlined like `get` above
            db.access[key] = db.clock.access_stamp
        else:
            db.put(key, value)
        db.changed(key, SET_DONE, 1)
        return OK
    if len(argv) == 5 and argv[3].upper() in PLAIN_TIMES:
        return set_with_deadline(ctx, key, value, argv[4], argv[3].upper(), b"set")  # as caches say it: 2.5 -> 1.6 us
    options = StringOptions(argv[3:], True)
    deadline_ms = None
    if options.unit:
        deadline_ms = positive_deadline(options.amount, options.unit, ctx.now_ms, b"set")
    old = None
    if options.returns_old:
        old = db.read_string(key)
    look = db.peek if options.exists and not options.keeps_deadline else db.find  # `put` counts as the use
    if options.exists is not None and (look(key) is not None) is not options.exists:
        return old
    if options.keeps_deadline:
        if options.exists is None:
            db.find(key)  # a deadline that has passed is not kept
        db.rebind(key, value)
    else:
        db.put(key, value)
    db.changed(key, events.SET, 1)
    if deadline_ms is not None:
        db.set_deadline(key, deadline_ms)
        db.changed(key, events.EXPIRE, 0)
        if options.unit != b"PXAT":
            ctx.propagate_as(b"SET", key, value, b"PXAT", b"%d" % deadline_ms)
    elif options.returns_old:
        ctx.propagate_as(*(word for at, word in enumerate(argv) if at < 3 or word.upper() != b"GET"))
    return old if options.returns_old else OK


@strings.command(
    "SETNX",
    arity=3,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(OW | INSERT),
    since="1.0.0",
    complexity="O(1)",
    syntax="key value",
    deprecated=("2.6.12", "SET with NX"),
)
def setnx(ctx: Session, argv: Argv) -> int:
    """Set a key to a string if it does not exist."""
    db = ctx.db
    if db.find(argv[1]) is not None:
        return 0
    db.put(argv[1], argv[2])
    db.changed(argv[1], events.SET, 1)
    return 1


def set_with_deadline(ctx: Session, key: bytes, value: bytes, amount: bytes, option: bytes, command: bytes) -> Any:
    """Set a key to a string that expires, whatever it held."""
    deadline_ms = positive_deadline(amount, option, ctx.now_ms, command)
    db = ctx.db
    db.put_until(key, value, deadline_ms)
    db.changed(key, events.SET, 1)
    db.changed(key, events.EXPIRE, 0)
    if ctx.keyspace.recording:
        ctx.propagate_as(b"SET", key, value, b"PXAT", b"%d" % deadline_ms)
    return OK


@strings.command(
    "SETEX",
    arity=4,
    flags=WRITE | DENYOOM,
    keys=one_key(OW | UPDATE),
    since="2.0.0",
    complexity="O(1)",
    syntax="key seconds value",
    deprecated=("2.6.12", "SET with EX"),
    together=setex_run,
)
def setex(ctx: Session, argv: Argv) -> Any:
    """Set a key to a string that expires after so many seconds."""
    return set_with_deadline(ctx, argv[1], argv[3], argv[2], b"EX", b"setex")


@strings.command(
    "PSETEX",
    arity=4,
    flags=WRITE | DENYOOM,
    keys=one_key(OW | UPDATE),
    since="2.6.0",
    complexity="O(1)",
    syntax="key milliseconds value",
    deprecated=("2.6.12", "SET with PX"),
)
def psetex(ctx: Session, argv: Argv) -> Any:
    """Set a key to a string that expires after so many milliseconds."""
    return set_with_deadline(ctx, argv[1], argv[3], argv[2], b"PX", b"psetex")


@strings.command(
    "GETSET",
    arity=3,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | ACCESS | UPDATE),
    since="1.0.0",
    complexity="O(1)",
    syntax="key value",
    deprecated=("6.2.0", "SET with GET"),
)
def getset(ctx: Session, argv: Argv) -> bytes | None:
    """Set a key to a string and return the one it replaces."""
    db = ctx.db
    old = db.read_string(argv[1])
    db.put(argv[1], argv[2])
    db.changed(argv[1], events.SET, 1)
    ctx.propagate_as(b"SET", argv[1], argv[2])
    return old


@strings.command(
    "GETDEL",
    arity=2,
    flags=WRITE | FAST,
    keys=one_key(RW | ACCESS | DELETE),
    since="6.2.0",
    complexity="O(1)",
    syntax="key",
)
def getdel(ctx: Session, argv: Argv) -> bytes | None:
    """Return the string at a key and delete the key."""
    db = ctx.db
    value = db.read_string(argv[1])
    if value is not None:
        db.delete(argv[1])
        ctx.propagate_as(b"DEL", argv[1])
    return value


@strings.command(
    "GETEX",
    arity=-2,
    flags=WRITE | FAST,
    keys=one_key(RW | ACCESS | UPDATE, notes='UPDATE since it changes the time to live'),
    since="6.2.0",
    complexity="O(1)",
    syntax=(
        "key expiration=[EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT "
        "unix-time-milliseconds | PERSIST]"
    ),
)
def getex(ctx: Session, argv: Argv) -> bytes | None:
    """Return the string at a key and set or remove its deadline."""
    unit, persists = b"", False
    amount = argv[-1]
    if len(argv) == 4 and argv[2].upper() in PLAIN_TIMES:
        unit = argv[2].upper()  # as sessions are kept alive: 2.3 -> 1.8 us a request
    elif len(argv) > 2:
        options = StringOptions(argv[2:], False)
        unit, amount, persists = options.unit, options.amount, options.persists
    db, key = ctx.db, argv[1]
    value = db.read_string(key)
    if value is None:
        return None
    if unit:
        deadline_ms = positive_deadline(amount, unit, ctx.now_ms, b"getex")
        if deadline_ms <= ctx.now_ms and not ctx.keyspace.keeps_lapsed:
            db.delete(key)
            ctx.propagate_as(b"DEL", key)
        else:
            db.set_deadline(key, deadline_ms)
            db.changed(key, events.EXPIRE, 1)
            if ctx.keyspace.recording:
                ctx.propagate_as(b"PEXPIREAT", key, b"%d" % deadline_ms)
    elif persists and db.clear_deadline(key):
        db.changed(key, events.PERSIST, 1)
        ctx.propagate_as(b"PERSIST", key)
    return value


def even_arguments(argv: Argv, name: bytes) -> None:
    if len(argv) % 2 == 0:
        raise CommandError(wrong_arity_of(name))


@strings.command(
    "MSET",
    arity=-3,
    flags=WRITE | DENYOOM,
    keys=key_range(OW | UPDATE, step=2),
    since="1.0.1",
    complexity="O(N), N = keys",
    tips=("request_policy:multi_shard", "response_policy:all_succeeded"),
    syntax="(key value)...",
)
def mset(ctx: Session, argv: Argv) -> Any:
    """Set several keys to strings at once."""
    even_arguments(argv, b"mset")
    db, space = ctx.db, ctx.keyspace
    keys, values = argv[1::2], argv[2::2]
    if not space.recording and space.places is None and db.put_at_once(keys, values):
        db.changed(keys[0], events.SET, len(keys))
        return OK
    for key, value in zip(keys, values):
        db.put(key, value)
        db.changed(key, events.SET, 1)
    return OK


@strings.command(
    "MSETNX",
    arity=-3,
    flags=WRITE | DENYOOM,
    keys=key_range(OW | INSERT, step=2),
    since="1.0.1",
    complexity="O(N), N = keys",
    syntax="(key value)...",
)
def msetnx(ctx: Session, argv: Argv) -> int:
    """Set several keys to strings at once if none of them exists."""
    even_arguments(argv, b"msetnx")
    db = ctx.db
    if any(db.find(key) is not None for key in argv[1::2]):
        return 0
    for key, value in zip(argv[1::2], argv[2::2]):
        db.put(key, value)
        db.changed(key, events.SET, 1)
    return 1


def judge_length(ctx: Session, length: int) -> None:
    if length > ctx.server.config.proto_max_bulk_len:
        raise CommandError(STRING_TOO_LONG)


@strings.command(
    "APPEND",
    arity=3,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | INSERT),
    since="2.0.0",
    complexity="O(1) amortized for a small value",
    syntax="key value",
)
def append(ctx: Session, argv: Argv) -> int:
    """Append to the string at a key, or create it."""
    db, key, addition = ctx.db, argv[1], argv[2]
    value = db.find_string(key)
    if value is None:
        db.put(key, addition)
        length = len(addition)
    else:
        length = len(value) + len(addition)
        judge_length(ctx, length)
        if value.__class__ is bytes:
            value = bytearray(value)
            db.rebind(key, value)
        value += addition
    db.changed(key, events.APPEND, 1)
    return length


@strings.command(
    "SETRANGE",
    arity=4,
    flags=WRITE | DENYOOM | SWELLS,
    keys=one_key(RW | UPDATE),
    since="2.2.0",
    complexity="O(1) for short values, O(M) otherwise, M = length of the value",
    syntax="key offset value",
)
def setrange(ctx: Session, argv: Argv) -> int:
    """Overwrite a part of the string at a key, padding it with zero bytes if it is too short."""
    db, key, patch = ctx.db, argv[1], argv[3]
    offset = integer(argv[2])
    if offset < 0:
        raise CommandError(OFFSET_OUT_OF_RANGE)
    value = db.find_string(key)
    if not patch:
        return 0 if value is None else len(value)
    end = offset + len(patch)
    judge_length(ctx, end)
    if value is None:
        value = bytearray()
        db.put(key, value)
    elif value.__class__ is bytes:
        value = bytearray(value)
        db.rebind(key, value)
    if len(value) < end:
        db.space.unseen_bytes += end - len(value)
        value.extend(bytes(end - len(value)))  # type: ignore[union-attr]
    value[offset:end] = patch  # type: ignore[index]
    db.changed(key, events.SETRANGE, 1)
    return len(value)
