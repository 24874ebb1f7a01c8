"""XREAD and XREADGROUP: new entries of several streams, for one reader or for the members of a group.

Argument grammar, keyspace calls, replies. A reader that finds nothing may block; it is woken by any change of its
keys and runs again, an XREADGROUP also when a key or group is gone, which it then reports.
"""

from __future__ import annotations

from protocol.reply import NULL_ARRAY, Block, ByName, Entries
from server.keyfinders import xread_keys
from server.keyspecs import ACCESS, RO, keyword
from server.registry import BLOCKING, READONLY, WRITE, Group
from server.stream_arguments import Reading, claim_form, group_form, strict_id
from storage import events
from storage.errors import CommandError
from storage.text import c_text
from storage.types.stream import Stream
from storage.types.stream_id import MAX_ID, format_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session
    from storage.types.consumer_group import Consumer, ConsumerGroup

    Argv = Sequence[bytes]

reading = Group("stream")

NO_GROUP = b"NOGROUP No such key '%b' or consumer group '%b' in XREADGROUP with GROUP option"
ONLY_IN_GROUP = (
    b"ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
)
MEANINGLESS = (
    b"ERR The %b ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by "
    b"specifying a proper ID, or use the > ID to get new messages. The %b ID would just return an empty result set."
)


@reading.command(
    "XREAD",
    arity=-4,
    flags=READONLY | BLOCKING,
    keys=keyword(RO | ACCESS, b'STREAMS', last=-1, limit=2),
    keys_by=xread_keys,
    since="5.0.0",
    syntax="[COUNT count] [BLOCK milliseconds] STREAMS (key... id...)",
)
def xread(ctx: Session, argv: Argv) -> Any:
    """Return the entries of several streams above given IDs; may wait for some."""
    options = Reading(argv, False, ctx.now_ms)
    read_as = ctx.db.read_as
    wanted: list[tuple[bytes, Stream | None, int]] = []
    for key, text in zip(options.keys, options.ids):
        stream = read_as(key, Stream)
        if text == b"$":
            above = 0 if stream is None else stream.last_id
        elif text == b"+":
            above = 0 if stream is None else stream.last_id - 1
            if above < 0:
                raise CommandError(b"ERR the stream last element ID is 0-0")
        elif text == b">":
            raise CommandError(ONLY_IN_GROUP)
        else:
            above = strict_id(text)
        wanted.append((key, stream, above))
    found = []
    count = options.count or -1
    for key, stream, above in wanted:
        ctx.db.read(key)  # looked up a second time, as its misses tell
        if stream is not None and len(stream) and above < stream.log.last_live_id():
            _, texts, bodies = stream.log.entries(above + 1, MAX_ID, count)
            found.append((key, Entries(zip(texts, bodies))))
    if found:
        return ByName(found)
    if options.block_ms is None:
        return NULL_ARRAY
    again = None
    if b"$" in options.ids:
        now = [format_id(above) if text == b"$" else text for text, (_, _, above) in zip(options.ids, wanted)]
        again = [*argv[: -len(now)], *now]
    return Block(options.keys, options.block_ms, NULL_ARRAY, Stream, again=again)


@reading.command(
    "XREADGROUP",
    arity=-7,
    flags=WRITE | BLOCKING,
    keys=keyword(RO | ACCESS, b'STREAMS', start=4, last=-1, limit=2),
    keys_by=xread_keys,
    since="5.0.0",
    complexity=(
        "O(M) for each stream, M = entries returned; a blocked XREADGROUP costs the XADD that serves it "
        "O(N), N = blocked clients"
    ),
    syntax=(
        "group-block=GROUP (group consumer) [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS (key... "
        "id...)"
    ),
)
def xreadgroup(ctx: Session, argv: Argv) -> Any:
    """Return new entries of several streams to one consumer of a group, or what it has pending; may wait."""
    db = ctx.db
    now_ms = db.clock.now_ms
    options = Reading(argv, True, now_ms)
    assert options.group is not None
    wanted: list[tuple[bytes, Stream, ConsumerGroup, int | None]] = []
    for key, text in zip(options.keys, options.ids):
        stream = db.read_as(key, Stream)
        group = None if stream is None else stream.groups.get(options.group)
        if stream is None or group is None:
            raise CommandError(NO_GROUP % (c_text(key), c_text(options.group)))
        if text == b"$" or text == b"+":
            raise CommandError(MEANINGLESS % (text, text))
        wanted.append((key, stream, group, None if text == b">" else strict_id(text)))
    found: list[tuple[bytes, Any]] = []
    ctx.propagate_nothing()
    db.space.hits += len(wanted)  # Redis looks every stream up twice, and INFO and OBJECT FREQ show it
    access, stamp = db.access, db.clock.access_stamp
    for key, stream, group, above in wanted:
        access[key] = stamp
        consumer = group.consumers.get(options.consumer)
        if consumer is None:
            consumer = group.add_consumer(options.consumer, now_ms)
            db.changed(key, events.XGROUP_CREATECONSUMER, 1)
            if options.acknowledges:
                ctx.propagate_as(b"XGROUP", b"CREATECONSUMER", key, options.group, options.consumer)
        consumer.seen_ms = now_ms
        if above is not None and above != MAX_ID:
            found.append((key, history(stream, consumer, above, options.count or -1, now_ms)))
        elif group.last_id < stream.log.last_live_id():
            found.append((key, deliver(ctx, key, stream, group, consumer, options)))
            db.space.dirty += 1
    if found:
        return ByName(found)
    if options.block_ms is None:
        return NULL_ARRAY
    return Block(options.keys, options.block_ms, NULL_ARRAY, Stream, wakes_on_loss=True)


def deliver(
    ctx: Session, key: bytes, stream: Stream, group: ConsumerGroup, consumer: Consumer, options: Reading
) -> Entries:
    """Give a consumer the entries behind the group's position."""
    ids, texts, bodies = stream.log.entries(group.last_id + 1, MAX_ID, options.count or -1)
    assert options.group is not None
    stream.advance(group, ids)
    is_recording = ctx.db.space.recording  # asked here, too: two IDs need not be formatted for nobody
    if not options.acknowledges:
        now_ms = ctx.db.clock.now_ms
        group.deliver(ids, consumer, now_ms)
        consumer.active_ms = now_ms
        if is_recording:
            for entry_id in ids:
                pending = group.pending.by_id[entry_id]
                ctx.propagate_as(*claim_form(key, options.group, entry_id, entry_id, pending))
    if is_recording:
        ctx.propagate_as(*group_form(key, options.group, group))
    return Entries(zip(texts, bodies))


def history(stream: Stream, consumer: Consumer, above: int, count: int, now_ms: int) -> list[Any]:
    """What a consumer has pending above an ID, as delivered once more; null where the entry was deleted."""
    rows = []
    by_id = consumer.pending.by_id
    for entry_id in consumer.pending.walk(above + 1):
        body = stream.log.body(entry_id)
        rows.append((format_id(entry_id), NULL_ARRAY if body is None else body))
        if body is not None:
            pending = by_id[entry_id]
            pending.delivered_ms = now_ms
            pending.deliveries += 1
        if len(rows) == count:
            break
    return rows
