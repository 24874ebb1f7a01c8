"""From the bytes of a snapshot to a stream: packed entries, what is remembered of the past, consumer groups.

A stream is a sequence of nodes: a 16-byte ID (the reference, big-endian halves) and a listpack. That holds the number
of live and of deleted entries, the number of fields and the fields most entries have, and 0; then entries: flags, both
halves of the ID less the reference, fields and values (or values alone if the fields are those), and how many
elements the entry took.
"""

from __future__ import annotations

from storage.rdb import layout, listpack
from storage.rdb.corrupt import CorruptData
from storage.types.consumer_group import UNKNOWN, ConsumerGroup
from storage.types.stream import Stream
from storage.types.stream_id import MAX_HALF, format_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from storage.rdb.source import Source, Steps

DELETED = 1
SAME_FIELDS = 2
ID_BYTES = 16
HIGHEST = 1 << 63

DAMAGED = "Stream listpack integrity check failed."


def load_stream(source: Source, kind: int) -> Steps[Stream]:
    """Read a stream of any of the three generations. Raises CorruptData."""
    stream = Stream()
    for _ in range((yield from source.number())):
        reference = yield from source.text()
        if len(reference) != ID_BYTES:
            raise source.fail("Stream node key entry is not the size of a stream ID")
        begin = source.offset()
        packed = yield from source.text()
        try:
            _load_node(stream, int.from_bytes(reference, "big"), listpack.decode(packed))
        except CorruptData as error:
            raise CorruptData(DAMAGED, min(begin + error.offset, source.offset())) from None
        except (ValueError, IndexError):
            raise CorruptData(DAMAGED, begin) from None
    length = yield from source.number()
    if length != len(stream):
        raise source.fail("Stream length inconsistent with its nodes")
    stream.last_id = yield from _read_id(source)
    if stream.log.last_live_id() > stream.last_id:
        raise source.fail("Stream entry above the last ID")
    if kind >= layout.STREAM_2:
        yield from _read_id(source)  # of the first entry, which the entries say themselves
        stream.max_deleted_id = yield from _read_id(source)
        stream.entries_added = yield from source.number()
        if stream.entries_added < length or stream.entries_added >= HIGHEST:
            raise source.fail("Stream entries added inconsistent with its length")
    else:
        stream.entries_added = length
    for _ in range((yield from source.number())):
        name = yield from source.text()
        if name in stream.groups:
            raise source.fail("Duplicated consumer group name")
        stream.groups[name] = yield from _load_group(source, kind, stream)
    return stream


def _read_id(source: Source) -> Steps[int]:
    milliseconds = yield from source.number()
    return milliseconds << 64 | (yield from source.number())


def _load_node(stream: Stream, reference: int, items: list[bytes]) -> None:
    """Add a node. Raises CorruptData, ValueError or IndexError."""
    count, deleted, width = int(items[0]), int(items[1]), int(items[2])
    if count < 0 or deleted < 0 or not 0 <= width <= len(items):
        raise ValueError
    at = 3 + width
    fields = tuple(items[3:at])
    if items[at] != b"0":
        raise ValueError
    at += 1
    size = len(items)
    high, low = reference >> 64, reference & MAX_HALF
    ids: list[int] = []
    texts: list[bytes] = []
    bodies: list[tuple[bytes, ...]] = []
    newest = reference
    gone = 0
    previous = -1
    while at < size:
        start = at
        flags = int(items[at])
        # Differences are signed 64-bit and wrap, so that any two IDs have one.
        milliseconds = (high + int(items[at + 1])) & MAX_HALF
        entry_id = milliseconds << 64 | (low + int(items[at + 2])) & MAX_HALF
        at += 3
        if flags & SAME_FIELDS:
            stop = at + width
            body = [b""] * (2 * width)
            body[::2] = fields
            body[1::2] = items[at:stop]
            steps = stop - start
        else:
            own = int(items[at])
            if not 0 <= own <= size:
                raise ValueError
            at += 1
            stop = at + 2 * own
            body = items[at:stop]
            steps = stop - start
        if stop >= size or int(items[stop]) != steps or entry_id <= previous or flags & ~3:
            raise ValueError
        at = stop + 1
        previous = entry_id
        newest = entry_id
        if flags & DELETED:
            gone += 1
            continue
        ids.append(entry_id)
        texts.append(format_id(entry_id))
        bodies.append(tuple(body))
    if len(ids) != count or gone != deleted:
        raise ValueError
    if not ids:
        raise CorruptData("Empty listpack inside stream", 0)
    if reference > ids[0] or (len(stream) and ids[0] <= stream.log.last_live_id()):
        raise CorruptData("Stream nodes out of order", 0)
    stream.log.load_node((ids, texts, bodies), deleted, reference, fields, newest)


def _load_group(source: Source, kind: int, stream: Stream) -> Steps[ConsumerGroup]:
    last_id = yield from _read_id(source)
    entries_read = UNKNOWN
    if kind >= layout.STREAM_2:
        entries_read = yield from source.number()
        if entries_read >= HIGHEST:
            entries_read -= 1 << 64
        if entries_read < UNKNOWN or entries_read > stream.entries_added:
            entries_read = UNKNOWN
    else:
        entries_read = stream.distance_from_first(last_id)
    group = ConsumerGroup(last_id, entries_read)
    waiting: dict[int, tuple[int, int]] = {}
    total = yield from source.number()
    while len(waiting) < total:
        entry_id = int.from_bytes((yield from source.raw(ID_BYTES)), "big")
        delivered_ms = int.from_bytes((yield from source.raw(8)), "little", signed=True)
        deliveries = yield from source.number()
        if entry_id in waiting:
            raise source.fail("Duplicated global PEL entry loading stream consumer group")
        waiting[entry_id] = delivered_ms, deliveries
    for _ in range((yield from source.number())):
        name = yield from source.text()
        seen_ms = int.from_bytes((yield from source.raw(8)), "little", signed=True)
        active_ms = seen_ms
        if kind >= layout.STREAM_3:
            active_ms = int.from_bytes((yield from source.raw(8)), "little", signed=True)
        if name in group.consumers:
            raise source.fail("Duplicate stream consumer detected.")
        consumer = group.add_consumer(name, seen_ms)
        consumer.active_ms = active_ms
        for _ in range((yield from source.number())):
            entry_id = int.from_bytes((yield from source.raw(ID_BYTES)), "big")
            if entry_id not in waiting:
                raise source.fail("Consumer entry not found in group global PEL")
            delivered_ms, deliveries = waiting.pop(entry_id)
            group.load_pending(entry_id, consumer, delivered_ms, deliveries)
    if waiting:
        raise source.fail("NACK entry without consumer")
    return group
