"""The commands of consumer groups: making them, acknowledging, claiming, looking at what is pending.

Argument grammar, keyspace calls, replies. What a claim does to pending entries is `storage.types.consumer_group`'s.
Each change of a pending entry propagates as an XCLAIM of that entry, which replays to the same state.
"""

from __future__ import annotations

from protocol.reply import NULL_ARRAY, OK, Entries, Map
from server.keyspecs import ACCESS, DELETE, INSERT, RO, RW, UPDATE, one_key
from server.number_arguments import integer
from server.registry import DENYOOM, FAST, READONLY, WRITE, Group, subcommand_syntax
from server.stream_arguments import (
    any_id,
    claim_form,
    group_form,
    range_end,
    range_start,
    strict_id,
)
from storage import events
from storage.errors import NO_SUCH_KEY, SYNTAX_ERROR, CommandError, WrongType
from storage.numeric import INT64_MAX
from storage.text import c_text
from storage.types.consumer_group import UNKNOWN, ConsumerGroup
from storage.types.stream import Stream
from storage.types.stream_id import format_id, parse_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session
    from storage.types.consumer_group import Consumer

    Argv = Sequence[bytes]

groups = Group("stream")

NEEDS_KEY = (
    b"ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM "
    b"option to create an empty stream automatically."
)
MAX_CREATE_ARGUMENTS = 8  # of XGROUP CREATE; repeated options are refused by their number, after the key is known
MAX_SETID_ARGUMENTS = 7
DEFAULT_CLAIMS = 100  # of XAUTOCLAIM without COUNT
LOOKS_A_CLAIM = 10  # XAUTOCLAIM looks at this many entries for each it may claim
MAX_CLAIMS = INT64_MAX // 16  # as in Redis, where it must fit a count of IDs of 16 bytes


def no_group(key: bytes, group: bytes) -> CommandError:
    return CommandError(b"NOGROUP No such key '%b' or consumer group '%b'" % (c_text(key), c_text(group)))


def no_such_group(key: bytes, group: bytes) -> CommandError:
    return CommandError(b"NOGROUP No such consumer group '%b' for key name '%b'" % (c_text(group), c_text(key)))


def find_group(stream: Stream | None, key: bytes, name: bytes) -> ConsumerGroup:
    group = None if stream is None else stream.groups.get(name)
    if group is None:
        raise no_group(key, name)
    return group


# XGROUP --------------------------------------------------------------------------------------------------------


groups.container(
    "XGROUP",
    since="5.0.0",
    summary="Makes and changes consumer groups.",
)


def group_options(argv: Argv, may_create: bool) -> tuple[int, bool]:
    """ENTRIESREAD and MKSTREAM behind the ID."""
    entries_read, creates = UNKNOWN, False
    at = 5
    while at < len(argv):
        option = argv[at].upper()
        if may_create and option == b"MKSTREAM":
            creates = True
            at += 1
        elif option == b"ENTRIESREAD" and at + 1 < len(argv):
            entries_read = integer(argv[at + 1])
            if entries_read < 0 and entries_read != UNKNOWN:
                raise CommandError(b"ERR value for ENTRIESREAD must be positive or -1")
            at += 2
        else:
            raise CommandError(subcommand_syntax(argv))
    return entries_read, creates


def stream_of(ctx: Session, argv: Argv) -> Stream:
    """The stream an XGROUP subcommand works on."""
    stream = ctx.db.find_as(argv[2], Stream)
    if stream is None:
        raise CommandError(NEEDS_KEY)
    return stream


def group_of(ctx: Session, argv: Argv) -> tuple[Stream, ConsumerGroup]:
    """The group an XGROUP subcommand works on, with its stream."""
    stream = stream_of(ctx, argv)
    group = stream.groups.get(argv[3])
    if group is None:
        raise no_such_group(argv[2], argv[3])
    return stream, group


@groups.command(
    "XGROUP|CREATE",
    arity=-5,
    flags=WRITE | DENYOOM,
    keys=one_key(RW | INSERT, at=2),
    since="5.0.0",
    complexity="O(1)",
    history=(("7.0.0", "Takes entries_read."),),
    syntax="key group (id | '$') [MKSTREAM] [ENTRIESREAD entriesread{entries-read}]",
)
def xgroup_create(ctx: Session, argv: Argv) -> Any:
    """Make a consumer group that begins behind an ID."""
    entries_read, creates = group_options(argv, True)
    key, name = argv[2], argv[3]
    stream = ctx.db.find_as(key, Stream) if creates else stream_of(ctx, argv)
    if len(argv) > MAX_CREATE_ARGUMENTS:
        raise CommandError(subcommand_syntax(argv))
    if argv[4] == b"$":
        last_id = 0 if stream is None else stream.last_id
    else:
        last_id = strict_id(argv[4])
    if stream is None:
        stream = Stream()
        ctx.db.put(key, stream)
        ctx.db.changed(key, events.UNANNOUNCED, 0)
    elif name in stream.groups:
        raise CommandError(b"BUSYGROUP Consumer Group name already exists")
    stream.groups[name] = ConsumerGroup(last_id, entries_read)
    ctx.db.changed(key, events.XGROUP_CREATE, 1)
    return OK


@groups.command(
    "XGROUP|SETID",
    arity=-5,
    flags=WRITE,
    keys=one_key(RW | UPDATE, at=2),
    since="5.0.0",
    complexity="O(1)",
    history=(("7.0.0", "Takes entries_read."),),
    syntax="key group (id | '$') [ENTRIESREAD entriesread{entries-read}]",
)
def xgroup_setid(ctx: Session, argv: Argv) -> Any:
    """Set the ID behind which a group goes on reading."""
    entries_read, _ = group_options(argv, False)
    stream, group = group_of(ctx, argv)
    if len(argv) > MAX_SETID_ARGUMENTS:
        raise CommandError(subcommand_syntax(argv))
    group.last_id = stream.last_id if argv[4] == b"$" else any_id(argv[4])
    group.entries_read = entries_read
    ctx.db.changed(argv[2], events.XGROUP_SETID, 1)
    return OK


@groups.command(
    "XGROUP|DESTROY",
    arity=4,
    flags=WRITE,
    keys=one_key(RW | DELETE, at=2),
    since="5.0.0",
    complexity="O(N), N = pending entries of the group",
    syntax="key group",
)
def xgroup_destroy(ctx: Session, argv: Argv) -> int:
    """Remove a consumer group with all it has pending."""
    if stream_of(ctx, argv).groups.pop(argv[3], None) is None:
        return 0
    ctx.db.changed(argv[2], events.XGROUP_DESTROY, 1)
    return 1


@groups.command(
    "XGROUP|CREATECONSUMER",
    arity=5,
    flags=WRITE | DENYOOM,
    keys=one_key(RW | INSERT, at=2),
    since="6.2.0",
    complexity="O(1)",
    syntax="key group consumer",
)
def xgroup_createconsumer(ctx: Session, argv: Argv) -> int:
    """Make a consumer in a group."""
    _, group = group_of(ctx, argv)
    if argv[4] in group.consumers:
        return 0
    group.add_consumer(argv[4], ctx.now_ms)
    ctx.db.changed(argv[2], events.XGROUP_CREATECONSUMER, 1)
    return 1


@groups.command(
    "XGROUP|DELCONSUMER",
    arity=5,
    flags=WRITE,
    keys=one_key(RW | DELETE, at=2),
    since="5.0.0",
    complexity="O(1)",
    syntax="key group consumer",
)
def xgroup_delconsumer(ctx: Session, argv: Argv) -> int:
    """Remove a consumer, and what it has pending, from a group."""
    _, group = group_of(ctx, argv)
    removed = group.remove_consumer(argv[4])
    if removed is None:
        return 0
    ctx.db.changed(argv[2], events.XGROUP_DELCONSUMER, 1)
    return removed


# Acknowledging and claiming ------------------------------------------------------------------------------------


@groups.command(
    "XACK",
    arity=-4,
    flags=WRITE | FAST,
    keys=one_key(RW | UPDATE),
    since="5.0.0",
    complexity="O(1) for each entry",
    syntax="key group id...",
)
def xack(ctx: Session, argv: Argv) -> int:
    """Acknowledge entries: they are no longer pending in the group."""
    stream = ctx.db.read_as(argv[1], Stream)
    group = None if stream is None else stream.groups.get(argv[2])
    if group is None:
        return 0
    acknowledge = group.acknowledge
    count = sum([acknowledge(entry_id) for entry_id in [strict_id(text) for text in argv[3:]]])
    if count:
        touched(ctx, count)
        ctx.propagate_as(*argv)
    return count


def touched(ctx: Session, count: int) -> None:
    """Count changes that no keyspace event and no WATCH hears of: those within pending lists."""
    ctx.keyspace.dirty += count


def consumer_of(ctx: Session, key: bytes, group: ConsumerGroup, name: bytes) -> Consumer:
    """The consumer a command names, made if need be, and seen now."""
    consumer = group.consumers.get(name)
    if consumer is None:
        consumer = group.add_consumer(name, ctx.now_ms)
        ctx.db.changed(key, events.XGROUP_CREATECONSUMER, 1)
    consumer.seen_ms = ctx.now_ms
    return consumer


def claim_reply(stream: Stream, ids: list[int], just_ids: bool) -> Any:
    """Claimed entries, whole or by ID."""
    if just_ids:
        return [format_id(entry_id) for entry_id in ids]
    return Entries((format_id(entry_id), stream.log.body(entry_id)) for entry_id in ids)


class ClaimOptions:
    """What stands behind the IDs of XCLAIM; None where it is not given."""

    __slots__ = ("forces", "just_ids", "delivered_ms", "deliveries", "last_id")

    def __init__(self, argv: Argv, at: int, now_ms: int) -> None:
        self.forces = False
        self.just_ids = False
        self.delivered_ms = -1
        self.deliveries: int | None = None
        self.last_id = 0
        while at < len(argv):
            option = argv[at].upper()
            has_more = at + 1 < len(argv)
            if option == b"FORCE":
                self.forces = True
            elif option == b"JUSTID":
                self.just_ids = True
            elif has_more and option == b"IDLE":
                self.delivered_ms = now_ms - integer(argv[at + 1], invalid_option(option))
                at += 1
            elif has_more and option == b"TIME":
                self.delivered_ms = integer(argv[at + 1], invalid_option(option))
                at += 1
            elif has_more and option == b"RETRYCOUNT":
                self.deliveries = integer(argv[at + 1], invalid_option(option))
                if self.deliveries < 0:
                    self.deliveries = None
                at += 1
            elif has_more and option == b"LASTID":
                self.last_id = strict_id(argv[at + 1])
                at += 1
            else:
                raise CommandError(b"ERR Unrecognized XCLAIM option '%b'" % c_text(argv[at]))
            at += 1
        # A time that makes no sense means now: clients compute it from clocks of their own.
        if not 0 <= self.delivered_ms <= now_ms:
            self.delivered_ms = now_ms


def invalid_option(option: bytes) -> bytes:
    return b"ERR Invalid %b option argument for XCLAIM" % option


@groups.command(
    "XCLAIM",
    arity=-6,
    flags=WRITE | FAST,
    keys=one_key(RW | UPDATE),
    since="5.0.0",
    complexity="O(log N), N = pending entries of the group",
    tips=("nondeterministic_output",),
    syntax=(
        "key group consumer min-idle-time id... [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT "
        "count] [FORCE] [JUSTID] [LASTID lastid]"
    ),
)
def xclaim(ctx: Session, argv: Argv) -> Any:
    """Make pending entries another consumer's, if they are idle for long enough."""
    key, name = argv[1], argv[2]
    stream = ctx.db.read_as(key, Stream)
    group = find_group(stream, key, name)
    assert stream is not None
    now_ms = ctx.now_ms
    least_idle_ms = max(0, integer(argv[4], b"ERR Invalid min-idle-time argument for XCLAIM"))
    ids = []
    for text in argv[5:]:
        try:
            ids.append(parse_id(text))
        except ValueError:
            break
    options = ClaimOptions(argv, 5 + len(ids), now_ms)
    moves = options.last_id > group.last_id
    if moves:
        group.last_id = options.last_id
    consumer = consumer_of(ctx, key, group, argv[3])
    recording = ctx.keyspace.recording
    claimed = []
    forms = []
    deliveries = options.deliveries
    for entry_id in ids:
        pending = group.pending.by_id.get(entry_id)
        if entry_id not in stream.log:
            if pending is None:
                continue
            group.acknowledge(entry_id)
        else:
            if pending is None and not options.forces:
                continue
            if pending is not None and least_idle_ms and now_ms - pending.delivered_ms < least_idle_ms:
                continue
            count = deliveries
            if count is None and options.just_ids:
                count = 1 if pending is None else pending.deliveries
            pending = group.claim(entry_id, consumer, options.delivered_ms, count, options.forces)
            assert pending is not None
            consumer.active_ms = now_ms
            claimed.append(entry_id)
        touched(ctx, 1)
        moves = False
        if recording:
            forms.append(claim_form(key, name, group.last_id, entry_id, pending))
    if moves:
        touched(ctx, 1)
        forms.append(group_form(key, name, group))
    ctx.propagate_nothing()
    for form in forms:
        ctx.propagate_as(*form)
    return claim_reply(stream, claimed, options.just_ids)


@groups.command(
    "XAUTOCLAIM",
    arity=-6,
    flags=WRITE | FAST,
    keys=one_key(RW | DELETE),
    since="6.2.0",
    complexity="O(1) for a small COUNT",
    history=(("7.0.0", "The reply names deleted entries that it took off the pending list."),),
    tips=("nondeterministic_output",),
    syntax="key group consumer min-idle-time start:string [COUNT count] [JUSTID]",
)
def xautoclaim(ctx: Session, argv: Argv) -> list[Any]:
    """Claim entries that are idle for long enough, a number at a time, from an ID on."""
    key, name = argv[1], argv[2]
    stream = ctx.db.read(key)
    least_idle_ms = max(0, integer(argv[4], b"ERR Invalid min-idle-time argument for XAUTOCLAIM"))
    start = range_start(argv[5])
    count, just_ids = DEFAULT_CLAIMS, False
    at = 6
    while at < len(argv):
        option = argv[at].upper()
        if option == b"COUNT" and at + 1 < len(argv):
            at += 1
            count = integer(argv[at], b"ERR COUNT must be > 0")
            if not 1 <= count <= MAX_CLAIMS:
                raise CommandError(b"ERR COUNT must be > 0")
        elif option == b"JUSTID":
            just_ids = True
        else:
            raise CommandError(SYNTAX_ERROR)
        at += 1
    if stream is not None and stream.__class__ is not Stream:
        raise WrongType()
    group = find_group(stream, key, name)
    assert stream is not None
    consumer = consumer_of(ctx, key, group, argv[3])
    now_ms = ctx.now_ms
    recording = ctx.keyspace.recording
    claimed: list[int] = []
    gone: list[bytes] = []
    ctx.propagate_nothing()
    looks = count * LOOKS_A_CLAIM
    walk = group.pending.walk(start)
    for entry_id in walk:
        looks -= 1
        pending = group.pending.by_id[entry_id]
        if entry_id not in stream.log:
            group.acknowledge(entry_id)
            gone.append(format_id(entry_id))
        elif least_idle_ms and now_ms - pending.delivered_ms < least_idle_ms:
            if not looks:
                break
            continue
        else:
            group.claim(entry_id, consumer, now_ms, pending.deliveries + (not just_ids))
            consumer.active_ms = now_ms
            claimed.append(entry_id)
        touched(ctx, 1)
        count -= 1
        if recording:
            ctx.propagate_as(*claim_form(key, name, group.last_id, entry_id, pending))
        if not looks or not count:
            break
    return [format_id(next(walk, 0)), claim_reply(stream, claimed, just_ids), gone]


# Reports -------------------------------------------------------------------------------------------------------


@groups.command(
    "XPENDING",
    arity=-3,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="5.0.0",
    complexity=(
        "O(N), N = entries returned; O(M) with IDLE, M = entries looked at; the summary takes O(1), and "
        "O(N) for N consumers"
    ),
    history=(("6.2.0", "IDLE and exclusive ranges."),),
    tips=("nondeterministic_output",),
    syntax=(
        "key group filters=[[IDLE min-idle-time:integer@6.2.0] start:string end:string count [consumer]]"
    ),
)
def xpending(ctx: Session, argv: Argv) -> Any:
    """Report what is pending in a group: a summary, or entries between two IDs."""
    key, name = argv[1], argv[2]
    argc = len(argv)
    if argc == 3:
        return pending_summary(find_group(ctx.db.read_as(key, Stream), key, name))
    if not 6 <= argc <= 9:
        raise CommandError(SYNTAX_ERROR)
    least_idle_ms = 0
    at = 3
    if argv[3].upper() == b"IDLE":
        least_idle_ms = integer(argv[4])
        if argc < 8:
            raise CommandError(SYNTAX_ERROR)
        at = 5
    count = max(0, integer(argv[at + 2]))
    start = range_start(argv[at])
    end = range_end(argv[at + 1])
    group = find_group(ctx.db.read_as(key, Stream), key, name)
    pending = group.pending
    if at + 3 < argc:
        consumer = group.consumers.get(argv[at + 3])
        if consumer is None:
            return []
        pending = consumer.pending
    rows: list[Any] = []
    now_ms = ctx.now_ms
    if count:
        for entry_id in pending.walk(start, end):
            one = pending.by_id[entry_id]
            idle_ms = now_ms - one.delivered_ms
            if least_idle_ms and idle_ms < least_idle_ms:
                continue
            rows.append([format_id(entry_id), one.consumer.name, max(0, idle_ms), one.deliveries])
            if len(rows) == count:
                break
    return rows


def pending_summary(group: ConsumerGroup) -> list[Any]:
    """How much is pending, from where to where, and with whom."""
    if not len(group.pending):
        return [0, None, None, NULL_ARRAY]
    holders = [
        [consumer.name, b"%d" % len(consumer.pending)]
        for consumer in group.sorted_consumers()
        if len(consumer.pending)
    ]
    first, last = group.pending.first(), group.pending.last()
    return [len(group.pending), format_id(first), format_id(last), holders]


@groups.command(
    "XINFO|GROUPS",
    arity=3,
    flags=READONLY,
    keys=one_key(RO | ACCESS, at=2),
    since="5.0.0",
    complexity="O(1)",
    history=(("7.0.0", "Fields entries-read and lag."),),
    syntax="key",
)
def xinfo_groups(ctx: Session, argv: Argv) -> list[Map]:
    """Report the consumer groups of a stream."""
    stream = ctx.db.read_as(argv[2], Stream)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    report = []
    for name in sorted(stream.groups):
        group = stream.groups[name]
        report.append(
            Map(
                [
                    (b"name", name),
                    (b"consumers", len(group.consumers)),
                    (b"pending", len(group.pending)),
                    (b"last-delivered-id", format_id(group.last_id)),
                    (b"entries-read", None if group.entries_read == UNKNOWN else group.entries_read),
                    (b"lag", stream.lag(group)),
                ]
            )
        )
    return report


@groups.command(
    "XINFO|CONSUMERS",
    arity=4,
    flags=READONLY,
    keys=one_key(RO | ACCESS, at=2),
    since="5.0.0",
    complexity="O(1)",
    history=(("7.2.0", "Field inactive; idle has another meaning."),),
    tips=("nondeterministic_output",),
    syntax="key group",
)
def xinfo_consumers(ctx: Session, argv: Argv) -> list[Map]:
    """Report the consumers of a group."""
    stream = ctx.db.read_as(argv[2], Stream)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    group = stream.groups.get(argv[3])
    if group is None:
        raise no_such_group(argv[2], argv[3])
    now_ms = ctx.now_ms
    return [
        Map(
            [
                (b"name", consumer.name),
                (b"pending", len(consumer.pending)),
                (b"idle", max(0, now_ms - consumer.seen_ms)),
                (b"inactive", -1 if consumer.active_ms == -1 else max(0, now_ms - consumer.active_ms)),
            ]
        )
        for consumer in group.sorted_consumers()
    ]
