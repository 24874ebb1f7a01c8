"""Commands on keys of any type: deleting, copying, renaming, moving, finding.

Deadlines have a module of their own (`server.commands.expiry`), and so has OBJECT (`server.commands.objects`).
"""

from __future__ import annotations

import random

from protocol.reply import OK, Status
from server.key_runs import delete_run
from server.keyspecs import ACCESS, DELETE, INSERT, OW, RM, RO, RW, UPDATE, key_range, one_key
from server.number_arguments import int32
from server.read_runs import exist, exists_run
from server.registry import COLUMNS_PAY, DENYOOM, FAST, READONLY, SWELLS, TOUCHES_ARBITRARY_KEYS, WALKS, WRITE, Group
from server.scan_arguments import ScanOptions, parse_cursor
from storage import events
from storage.errors import (
    DB_OUT_OF_RANGE,
    NO_SUCH_KEY,
    SAME_OBJECT,
    SYNTAX_ERROR,
    CommandError,
)
from storage.globbing import compile_glob, matches_everything
from storage.types import kinds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session
    from storage.database import Database

    Argv = Sequence[bytes]

LAZYFREE_FROM = 64  # pieces of memory, as in Redis: fewer are freed at once
LIST_NODE = 100  # about as many short elements a node of a list holds
STREAM_NODE = 100  # and entries one of a stream; there is about another piece in the tree for each

generic = Group("generic")

NONE = Status(b"none")
TYPE_REPLIES = {kind: Status(name) for kind, name in kinds.TYPE_NAMES.items()}


# Being there ---------------------------------------------------------------------------------------------------


@generic.command(
    "DEL",
    arity=-2,
    flags=WRITE,
    keys=key_range(RM | DELETE),
    since="1.0.0",
    complexity="O(N), N = keys; O(M) for each key of another type than string, M = its elements",
    tips=("request_policy:multi_shard", "response_policy:agg_sum"),
    syntax="key...",
    together=delete_run,
)
def delete(ctx: Session, argv: Argv) -> int:
    """Delete keys; the memory of large values is freed in the background."""
    remove = ctx.db.delete
    return sum([remove(key) for key in argv[1:]])


@generic.command(
    "UNLINK",
    arity=-2,
    flags=WRITE | FAST,
    keys=key_range(RM | DELETE),
    since="4.0.0",
    complexity="O(1) for each key; the memory is freed later in O(N), N = allocations of the values",
    tips=("request_policy:multi_shard", "response_policy:agg_sum"),
    syntax="key...",
    summary="Delete keys; the memory of large values is freed in the background.",
)
def unlink(ctx: Session, argv: Argv) -> int:
    """`delete`, and INFO tells how many values Redis would have left to another thread."""
    db = ctx.db
    for key in set(argv[1:]):
        value = db.data.get(key)
        if value.__class__ is not bytes and value is not None and db.peek(key) is not None:
            db.space.graveyard.freed += allocations(value, ctx) > LAZYFREE_FROM
    return delete(ctx, argv)


def allocations(value: Any, ctx: Session) -> int:
    """About how many pieces of memory Redis would free with a value: one if it is small."""
    kind = value.__class__
    limits = ctx.keyspace.limits
    if kind is kinds.Stream:
        entries = limits.stream_node_max_entries or STREAM_NODE
        return -(-len(value) // entries) * 2 + sum(2 + len(group.pending.by_id) for group in value.groups.values())
    if kind is kinds.List:
        return len(value) // LIST_NODE
    if kind is bytearray or value.encoding_name(limits) not in (b"hashtable", b"skiplist"):
        return 1
    return len(value)


@generic.command(
    "EXISTS",
    arity=-2,
    flags=READONLY | FAST,
    keys=key_range(RO),
    since="1.0.0",
    complexity="O(N), N = keys",
    history=(("3.0.3", "Takes several keys."),),
    tips=("request_policy:multi_shard", "response_policy:agg_sum"),
    syntax="key...",
    together=exists_run,
)
def exists(ctx: Session, argv: Argv) -> int:
    """Count which of the keys exist; a key named twice counts twice."""
    found = exist(ctx.db, argv[1:]) if COLUMNS_PAY else None
    if found is None:
        view = ctx.db.view
        found = [view(key) is not None for key in argv[1:]]
    return sum(found)


@generic.command(
    "TOUCH",
    arity=-2,
    flags=READONLY | FAST,
    keys=key_range(RO),
    since="3.2.1",
    complexity="O(N), N = keys",
    tips=("request_policy:multi_shard", "response_policy:agg_sum"),
    syntax="key...",
)
def touch(ctx: Session, argv: Argv) -> int:
    """Count which of the keys exist and mark them as just used."""
    read = ctx.db.read
    return sum([read(key) is not None for key in argv[1:]])


@generic.command(
    "TYPE",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO),
    since="1.0.0",
    complexity="O(1)",
    syntax="key",
)
def type_(ctx: Session, argv: Argv) -> Status:
    """Tell the type of the value at a key."""
    value = ctx.db.view(argv[1])
    return NONE if value is None else TYPE_REPLIES[value.__class__]


# Going elsewhere -----------------------------------------------------------------------------------------------


def rename_key(ctx: Session, argv: Argv, replaces: bool) -> bool:
    """Give the value another name; False if that is taken and may not be replaced."""
    db, source, target = ctx.db, argv[1], argv[2]
    if db.find(source) is None:
        raise CommandError(NO_SUCH_KEY)
    if source == target:
        return replaces
    if db.find(target) is not None and not replaces:
        return False
    deadline_ms = db.deadline_ms(source)
    value = db.remove(source)
    bury_old(db, target)
    place(db, target, value, deadline_ms)
    db.changed(source, events.RENAME_FROM, 1)
    db.changed(target, events.RENAME_TO, 0)
    return True


def bury_old(db: Database, key: bytes) -> None:
    """Remove what stands in the way without stating a deletion: the key goes on with another value."""
    db.space.graveyard.bury(db.remove(key))


def place(db: Database, key: bytes, value: Any, deadline_ms: int | None) -> None:
    """Bind a value that comes from elsewhere, with its deadlines."""
    db.put(key, value)
    if deadline_ms is not None:
        db.set_deadline(key, deadline_ms)
    if value.__class__ is kinds.Hash:
        db.track_fields(key, value)


@generic.command(
    "RENAME",
    arity=3,
    flags=WRITE,
    keys=(
        one_key(RW | ACCESS | DELETE),
        one_key(OW | UPDATE, at=2),
    ),
    since="1.0.0",
    complexity="O(1)",
    syntax="key newkey",
)
def rename(ctx: Session, argv: Argv) -> Any:
    """Rename a key, replacing whatever has the new name."""
    rename_key(ctx, argv, True)
    return OK


@generic.command(
    "RENAMENX",
    arity=3,
    flags=WRITE | FAST,
    keys=(
        one_key(RW | ACCESS | DELETE),
        one_key(OW | INSERT, at=2),
    ),
    since="1.0.0",
    complexity="O(1)",
    history=(("3.2.0", "Equal names are no error."),),
    syntax="key newkey",
)
def renamenx(ctx: Session, argv: Argv) -> int:
    """Rename a key if the new name is free."""
    return int(rename_key(ctx, argv, False))


def database(ctx: Session, argument: bytes) -> Database:
    """The database that an argument names."""
    number = int32(argument)
    databases = ctx.keyspace.databases
    if not 0 <= number < len(databases):
        raise CommandError(DB_OUT_OF_RANGE)
    return databases[number]


@generic.command(
    "MOVE",
    arity=3,
    flags=WRITE | FAST,
    keys=one_key(RW | ACCESS | UPDATE),
    since="1.0.0",
    complexity="O(1)",
    syntax="key db",
)
def move(ctx: Session, argv: Argv) -> int:
    """Move a key to another database if it is free there."""
    db, key = ctx.db, argv[1]
    target = database(ctx, argv[2])
    if target is db:
        raise CommandError(SAME_OBJECT)
    if db.find(key) is None or target.find(key) is not None:
        return 0
    deadline_ms = db.deadline_ms(key)
    place(target, key, db.remove(key), deadline_ms)
    db.changed(key, events.MOVE_FROM, 1)
    target.changed(key, events.MOVE_TO, 0)
    return 1


@generic.command(
    "COPY",
    arity=-3,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(RO | ACCESS),
        one_key(OW | UPDATE, at=2),
    ),
    since="6.2.0",
    complexity="O(1) for a string, O(N) at worst otherwise, N = nested elements",
    syntax="source destination [DB destination-db] [REPLACE]",
)
def copy(ctx: Session, argv: Argv) -> int:
    """Copy a value to another key, in this or another database."""
    source, target = argv[1], argv[2]
    db = target_db = ctx.db
    replaces = False
    position = 3
    while position < len(argv):
        option = argv[position].upper()
        if option == b"REPLACE":
            replaces = True
        elif option == b"DB" and position + 1 < len(argv):
            position += 1
            target_db = database(ctx, argv[position])
        else:
            raise CommandError(SYNTAX_ERROR)
        position += 1
    if db is target_db and source == target:
        raise CommandError(SAME_OBJECT)
    value = db.read(source)
    if value is None:
        return 0
    if target_db.find(target) is not None:
        if not replaces:
            return 0
        bury_old(target_db, target)
    value = kinds.copy(value)
    target_db.space.note_made(value)
    place(target_db, target, value, db.deadline_ms(source))
    target_db.changed(target, events.COPY_TO, 1)
    return 1


# Finding -------------------------------------------------------------------------------------------------------


@generic.command(
    "KEYS",
    arity=2,
    flags=READONLY | TOUCHES_ARBITRARY_KEYS,
    since="1.0.0",
    complexity="O(N), N = keys in the database, names and pattern being short",
    tips=("request_policy:all_shards", "nondeterministic_output_order"),
    syntax="pattern",
    acl=("dangerous",),
)
def keys(ctx: Session, argv: Argv) -> list[bytes]:
    """Return every key that matches a pattern."""
    if matches_everything(argv[1]):
        return ctx.db.live_keys()
    matches = compile_glob(argv[1])
    return [key for key in ctx.db.live_keys() if matches(key)]


@generic.command(
    "RANDOMKEY",
    arity=1,
    flags=READONLY | TOUCHES_ARBITRARY_KEYS | WALKS,
    since="1.0.0",
    complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:special", "nondeterministic_output"),
)
def randomkey(ctx: Session, argv: Argv) -> bytes | None:
    """Return a random key."""
    return ctx.db.random_key(random)


@generic.command(
    "SCAN",
    arity=-2,
    flags=READONLY | TOUCHES_ARBITRARY_KEYS | WALKS,
    since="2.8.0",
    complexity="O(1) a call, O(N) for all calls until the cursor is 0 again, N = elements",
    history=(("6.0.0", "TYPE."),),
    tips=("nondeterministic_output", "request_policy:special", "response_policy:special"),
    syntax="cursor [MATCH pattern] [COUNT count] [TYPE type@6.0.0]",
)
def scan(ctx: Session, argv: Argv) -> list[Any]:
    """Walk over the keys, a few at a time."""
    cursor = parse_cursor(argv[1])
    options = ScanOptions(argv[2:], of_keys=True)
    db = ctx.db
    following, found = db.key_index().scan(cursor, options.count)
    if options.match is not None:
        found = [key for key in found if options.match(key)]
    if db.lapses:
        found = [key for key in found if db.peek(key) is not None]
    wanted = options.type_name
    if wanted is not None:
        ctx.keyspace.hits += len(found)  # to tell a key's type Redis looks it up as a reader does
        found = [key for key in found if kinds.TYPE_NAMES[db.data[key].__class__] == wanted]
    return [b"%d" % following, found]
