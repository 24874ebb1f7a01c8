"""The stream commands that know no group: adding, reading ranges, deleting, trimming, XINFO STREAM.

Argument grammar, keyspace calls, replies. The grammar that several commands share is in `server.stream_arguments`.
"""

from __future__ import annotations

from protocol.reply import NULL_ARRAY, OK, Entries, Map
from server.key_runs import xadd_run
from server.keyspecs import ACCESS, DELETE, RO, RW, UPDATE, one_key
from server.number_arguments import integer
from server.registry import DENYOOM, FAST, READONLY, WRITE, Group, subcommand_syntax, wrong_arity_of
from server.stream_arguments import AddOrTrim, obeys, range_end, range_start, strict_id
from storage import events
from storage.errors import NO_SUCH_KEY, SYNTAX_ERROR, CommandError
from storage.types.consumer_group import UNKNOWN
from storage.types.stream import Stream
from storage.types.stream_id import MAX_ID, format_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session
    from storage.types.consumer_group import Consumer, PendingList

    Argv = Sequence[bytes]

streams = Group("stream")

EXHAUSTED = b"ERR The stream has exhausted the last possible ID, unable to add more items"
TOO_SMALL = b"ERR The ID specified in XADD is equal or smaller than the target stream top item"
TOO_LARGE = b"ERR Elements are too large to be stored"
MAX_ENTRY_BYTES = 1 << 30  # as in Redis
FULL_REPORT_ENTRIES = 10  # of XINFO STREAM FULL without COUNT


# Writing -------------------------------------------------------------------------------------------------------


@streams.command(
    "XADD",
    arity=-5,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | UPDATE, notes='UPDATE since it may trim'),
    since="5.0.0",
    complexity="O(1), and O(N) to trim, N = entries removed",
    history=(("6.2.0", "NOMKSTREAM, MINID and LIMIT."), ("7.0.0", "IDs of the form <ms>-*.")),
    tips=("nondeterministic_output",),
    syntax=(
        "key [NOMKSTREAM@6.2.0] trim=[(MAXLEN | MINID@6.2.0) ['=' | '~'] threshold [LIMIT count@6.2.0]] "
        "('*' | id) (field value)..."
    ),
    together=xadd_run,
)
def xadd(ctx: Session, argv: Argv) -> bytes | None:
    """Append an entry to a stream; may trim the stream."""
    db, key = ctx.db, argv[1]
    options = None
    if argv[2] == b"*":
        at = 3
    else:
        options = AddOrTrim(argv, True)
        options.settle_limit(ctx.keyspace.limits.stream_node_max_entries, obeys(ctx))
        at = options.end + 1
    count = len(argv) - at
    if count < 2 or count & 1:
        raise CommandError(wrong_arity_of(b"xadd"))
    if options is not None and options.entry_id == 0 and options.has_sequence:
        raise CommandError(b"ERR The ID specified in XADD must be greater than 0-0")
    stream = db.find_as(key, Stream)
    is_new = stream is None
    if stream is None:
        if options is not None and not options.creates:
            return None
        stream = Stream()
    elif stream.last_id == MAX_ID:
        raise CommandError(EXHAUSTED)
    entry_id: int | None
    if options is None or options.entry_id is None:
        entry_id = stream.next_id(ctx.now_ms)
    elif options.has_sequence:
        entry_id = options.entry_id if options.entry_id > stream.last_id else None
    else:
        entry_id = stream.next_id_within(options.entry_id >> 64)
    if is_new:
        db.put(key, stream)
    if entry_id is None:
        raise CommandError(TOO_SMALL)
    body = tuple(argv[at:])
    if (count > 2 or len(body[0]) + len(body[1]) > MAX_ENTRY_BYTES) and sum(map(len, body)) > MAX_ENTRY_BYTES:
        raise CommandError(TOO_LARGE)
    text = stream.add(entry_id, body, ctx.keyspace.limits)
    db.changed(key, events.XADD, 1)
    if options is None:
        if ctx.keyspace.recording:
            ctx.propagate_as(*argv[:2], text, *body)
        return text
    if options.strategy and options.trim(stream):
        db.changed(key, events.XTRIM, 0)
    if ctx.keyspace.recording:
        vector = options.exact_form(argv, stream) if options.strategy else argv
        is_exact = options.entry_id is not None and options.has_sequence
        ctx.propagate_as(*vector[: at - 1], argv[at - 1] if is_exact else text, *body)
    return text


@streams.command(
    "XTRIM",
    arity=-4,
    flags=WRITE,
    keys=one_key(RW | DELETE),
    since="5.0.0",
    complexity="O(N) with a small constant, N = entries removed",
    history=(("6.2.0", "MINID and LIMIT."),),
    tips=("nondeterministic_output",),
    syntax="key trim=((MAXLEN | MINID@6.2.0) ['=' | '~'] threshold [LIMIT count@6.2.0])",
)
def xtrim(ctx: Session, argv: Argv) -> int:
    """Remove the oldest entries of a stream, down to a length or an ID."""
    options = AddOrTrim(argv, False)
    options.settle_limit(ctx.keyspace.limits.stream_node_max_entries, obeys(ctx))
    stream = ctx.db.find_as(argv[1], Stream)
    if stream is None:
        return 0
    removed = options.trim(stream)
    if removed:
        ctx.db.changed(argv[1], events.XTRIM, removed)
        if options.approximate:
            ctx.propagate_as(*options.exact_form(argv, stream))
    return removed


@streams.command(
    "XDEL",
    arity=-3,
    flags=WRITE | FAST,
    keys=one_key(RW | DELETE),
    since="5.0.0",
    complexity="O(1) for each entry",
    syntax="key id...",
)
def xdel(ctx: Session, argv: Argv) -> int:
    """Delete entries of a stream by their IDs."""
    stream = ctx.db.find_as(argv[1], Stream)
    if stream is None:
        return 0
    removed = sum([stream.delete(entry_id) for entry_id in [strict_id(text) for text in argv[2:]]])
    if removed:
        ctx.db.changed(argv[1], events.XDEL, removed)
    return removed


@streams.command(
    "XSETID",
    arity=-3,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | UPDATE),
    since="5.0.0",
    complexity="O(1)",
    history=(("7.0.0", "Takes entries_added and max_deleted_entry_id."),),
    syntax="key last-id [ENTRIESADDED entries-added@7.0.0] [MAXDELETEDID max-deleted-id@7.0.0]",
)
def xsetid(ctx: Session, argv: Argv) -> Any:
    """Set the last ID of a stream, and its counters of the past."""
    last_id = strict_id(argv[2])
    added: int | None = None
    deleted_id = 0
    at = 3
    while at < len(argv):
        option = argv[at].upper()
        has_more = at + 1 < len(argv)
        if option == b"ENTRIESADDED" and has_more:
            added = integer(argv[at + 1])
            if added < 0:
                raise CommandError(b"ERR entries_added must be positive")
        elif option == b"MAXDELETEDID" and has_more:
            deleted_id = strict_id(argv[at + 1])
            if last_id < deleted_id:
                raise CommandError(
                    b"ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"
                )
        else:
            raise CommandError(SYNTAX_ERROR)
        at += 2
    stream = ctx.db.find_as(argv[1], Stream)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    if last_id < stream.max_deleted_id:
        raise CommandError(b"ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
    if len(stream):
        if last_id < stream.log.last_live_id():
            raise CommandError(b"ERR The ID specified in XSETID is smaller than the target stream top item")
        if added is not None and added < len(stream):
            raise CommandError(
                b"ERR The entries_added specified in XSETID is smaller than the target stream length"
            )
    stream.last_id = last_id
    if added is not None:
        stream.entries_added = added
    if deleted_id:
        stream.max_deleted_id = deleted_id
    ctx.db.changed(argv[1], events.XSETID, 1)
    return OK


# Reading -------------------------------------------------------------------------------------------------------


@streams.command(
    "XLEN",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO),
    since="5.0.0",
    complexity="O(1)",
    syntax="key",
)
def xlen(ctx: Session, argv: Argv) -> int:
    """Return the number of entries in a stream."""
    stream = ctx.db.read_as(argv[1], Stream)
    return 0 if stream is None else len(stream)


def read_range(ctx: Session, argv: Argv, start: int, end: int, is_down: bool) -> Any:
    """What XRANGE and XREVRANGE do when their bounds are known."""
    count = -1
    at = 4
    while at < len(argv):
        if argv[at].upper() != b"COUNT" or at + 1 == len(argv):
            raise CommandError(SYNTAX_ERROR)
        count = max(0, integer(argv[at + 1]))
        at += 2
    stream = ctx.db.read_as(argv[1], Stream)
    if stream is None:
        return []
    if count == 0:
        return NULL_ARRAY
    read = stream.log.entries_down(end, start, count) if is_down else stream.log.entries(start, end, count)
    return Entries(zip(read[1], read[2]))


@streams.command(
    "XRANGE",
    arity=-4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="5.0.0",
    complexity="O(N), N = entries returned",
    history=(("6.2.0", "Exclusive ranges."),),
    syntax="key start:string end:string [COUNT count]",
)
def xrange(ctx: Session, argv: Argv) -> Any:
    """Return the entries of a stream between two IDs."""
    start = range_start(argv[2])
    return read_range(ctx, argv, start, range_end(argv[3]), False)


@streams.command(
    "XREVRANGE",
    arity=-4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="5.0.0",
    complexity="O(N), N = entries returned",
    history=(("6.2.0", "Exclusive ranges."),),
    syntax="key end:string start:string [COUNT count]",
)
def xrevrange(ctx: Session, argv: Argv) -> Any:
    """Return the entries of a stream between two IDs, the newest first."""
    start = range_start(argv[3])
    return read_range(ctx, argv, start, range_end(argv[2]), True)


# Reports -------------------------------------------------------------------------------------------------------


streams.container(
    "XINFO",
    since="5.0.0",
    summary="Reports on streams.",
)


@streams.command(
    "XINFO|STREAM",
    arity=-3,
    flags=READONLY,
    keys=one_key(RO | ACCESS, at=2),
    since="5.0.0",
    complexity="O(1)",
    history=(
        ("6.0.0", "FULL."),
        ("7.0.0", "Fields max-deleted-entry-id, entries-added, recorded-first-entry-id, entries-read and lag."),
        ("7.2.0", "Field active-time; seen-time has another meaning."),
    ),
    syntax="key full-block=[FULL [COUNT count]]",
)
def xinfo_stream(ctx: Session, argv: Argv) -> Map:
    """Report the state of a stream, with FULL also its entries, groups and consumers."""
    stream = ctx.db.read_as(argv[2], Stream)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    options = argv[3:]
    log = stream.log
    report: list[tuple[bytes, Any]] = [
        (b"length", len(stream)),
        (b"radix-tree-keys", log.node_count()),
        (b"radix-tree-nodes", log.tree_size()),
        (b"last-generated-id", format_id(stream.last_id)),
        (b"max-deleted-entry-id", format_id(stream.max_deleted_id)),
        (b"entries-added", stream.entries_added),
        (b"recorded-first-entry-id", format_id(log.first_id())),
    ]
    if not options:
        first, last = log.entries(0, MAX_ID, 1), log.entries_down(MAX_ID, 0, 1)
        report += [
            (b"groups", len(stream.groups)),
            (b"first-entry", (first[1][0], first[2][0]) if first[0] else None),
            (b"last-entry", (last[1][0], last[2][0]) if last[0] else None),
        ]
        return Map(report)
    if len(options) not in (1, 3) or options[0].upper() != b"FULL":
        raise CommandError(subcommand_syntax(argv))
    count = FULL_REPORT_ENTRIES
    if len(options) == 3:
        if options[1].upper() != b"COUNT":
            raise CommandError(subcommand_syntax(argv))
        count = integer(options[2])
        if count < 0:
            count = FULL_REPORT_ENTRIES
    most = count or -1
    read = log.entries(0, MAX_ID, most)
    report += [
        (b"entries", Entries(zip(read[1], read[2]))),
        (b"groups", [group_report(stream, name, most) for name in sorted(stream.groups)]),
    ]
    return Map(report)


def group_report(stream: Stream, name: bytes, most: int) -> Map:
    group = stream.groups[name]
    return Map(
        [
            (b"name", name),
            (b"last-delivered-id", format_id(group.last_id)),
            (b"entries-read", None if group.entries_read == UNKNOWN else group.entries_read),
            (b"lag", stream.lag(group)),
            (b"pel-count", len(group.pending)),
            (b"pending", pending_report(group.pending, most, True)),
            (b"consumers", [consumer_report(consumer, most) for consumer in group.sorted_consumers()]),
        ]
    )


def consumer_report(consumer: Consumer, most: int) -> Map:
    return Map(
        [
            (b"name", consumer.name),
            (b"seen-time", consumer.seen_ms),
            (b"active-time", consumer.active_ms),
            (b"pel-count", len(consumer.pending)),
            (b"pending", pending_report(consumer.pending, most, False)),
        ]
    )


def pending_report(pending: PendingList, most: int, names_consumer: bool) -> list[Any]:
    """At most so many pending entries (-1: all), lowest IDs first."""
    rows: list[Any] = []
    for entry_id in pending.walk():
        if len(rows) == most:
            break
        one = pending.by_id[entry_id]
        row: list[Any] = [format_id(entry_id)]
        if names_consumer:
            row.append(one.consumer.name)
        rows.append(row + [one.delivered_ms, one.deliveries])
    return rows
