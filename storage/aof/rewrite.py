"""Commands that rebuild a keyspace: the base of the log when it is not a snapshot.

Owns the choice of commands for each type and how many elements one takes. Must not know files; it only reads, so a
forked child may run it.
"""

from __future__ import annotations

from storage.aof.records import encode_record, timestamp_line
from storage.numeric import format_float
from storage.types.hash import Hash
from storage.types.list import List
from storage.types.set import Set
from storage.types.sorted_set import SortedSet
from storage.types.stream_id import format_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from storage.database import Database
    from storage.types.stream import Stream

    Command = tuple[bytes, ...]

ITEMS_PER_COMMAND = 64  # as in Redis: short commands keep a loading server responsive
PIECE_BYTES = 64 * 1024


def rebuild(key: bytes, value: Any, deadline_ms: int | None = None) -> Iterator[Command]:
    """The commands that make `key` hold `value`, in order."""
    kind = value.__class__
    if kind is bytes or kind is bytearray:
        yield (b"SET", key, bytes(value))
    elif kind is Hash:
        yield from _rebuild_hash(key, value)
    elif kind is List:
        yield from _in_groups((b"RPUSH", key), value)
    elif kind is Set:
        yield from _in_groups((b"SADD", key), value)
    elif kind is SortedSet:
        yield from _in_groups((b"ZADD", key), _scored(value), 2)
    else:
        yield from _rebuild_stream(key, value)
    if deadline_ms is not None:
        yield (b"PEXPIREAT", key, b"%d" % deadline_ms)


def rebuild_keyspace(
    databases: Iterable[Database], functions: Iterable[bytes] = (), second: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Pieces of a log that rebuilds all, each with the number of keys it completes. `second`: the time to note."""
    parts: list[bytes] = [] if second is None else [timestamp_line(second)]
    parts += [encode_record((b"FUNCTION", b"LOAD", source)) for source in functions]
    size = keys = 0
    for db in databases:
        if not db.data:
            continue
        parts.append(encode_record((b"SELECT", b"%d" % db.number)))
        lapses = db.lapses
        for key, value in db.data.items():
            for command in rebuild(key, value, lapses.get(key)):
                record = encode_record(command)
                parts.append(record)
                size += len(record)
                if size >= PIECE_BYTES:
                    yield keys, b"".join(parts)
                    parts.clear()
                    size = keys = 0
            keys += 1
    if parts:
        yield keys, b"".join(parts)


def _in_groups(head: Command, items: Iterable[bytes], width: int = 1) -> Iterator[Command]:
    """Commands of `head` and some items each; an element is `width` items."""
    group = list(head)
    full = len(head) + ITEMS_PER_COMMAND * width
    for item in items:
        group.append(item)
        if len(group) == full:
            yield tuple(group)
            group = list(head)
    if len(group) > len(head):
        yield tuple(group)


def _scored(value: SortedSet) -> Iterator[bytes]:
    for member, score in value.ascending():
        yield format_float(score)
        yield member


def _rebuild_hash(key: bytes, value: Hash) -> Iterator[Command]:
    table = value.in_order()
    yield from _in_groups((b"HMSET", key), (part for pair in table.items() for part in pair), 2)
    if value.deadlines is not None:
        live = value.deadlines.live
        # Last first, since among equal deadlines the field whose deadline was set last comes first.
        for field in reversed([field for field in table if field in live]):
            yield (b"HPEXPIREAT", key, b"%d" % live[field], b"FIELDS", b"1", field)


def _rebuild_stream(key: bytes, stream: Stream) -> Iterator[Command]:
    log = stream.log
    if len(stream):
        for node in log.nodes():
            _, texts, bodies = log.entries_of(node)
            for text, body in zip(texts, bodies):
                yield (b"XADD", key, text, *body)
    else:
        # The stream is made by an entry that goes at once; its ID must not be 0-0.
        yield (b"XADD", key, b"MAXLEN", b"0", format_id(stream.last_id or 1), b"x", b"y")
    yield (
        b"XSETID",
        key,
        format_id(stream.last_id),
        b"ENTRIESADDED",
        b"%d" % stream.entries_added,
        b"MAXDELETEDID",
        format_id(stream.max_deleted_id),
    )
    for name, group in stream.groups.items():
        yield (
            b"XGROUP",
            b"CREATE",
            key,
            name,
            format_id(group.last_id),
            b"ENTRIESREAD",
            b"%d" % group.entries_read,
        )
        for consumer in group.consumers.values():
            yield (b"XGROUP", b"CREATECONSUMER", key, name, consumer.name)
            by_id = consumer.pending.by_id
            for entry_id in sorted(by_id):
                pending = by_id[entry_id]
                yield (
                    b"XCLAIM",
                    key,
                    name,
                    consumer.name,
                    b"0",
                    format_id(entry_id),
                    b"TIME",
                    b"%d" % pending.delivered_ms,
                    b"RETRYCOUNT",
                    b"%d" % pending.deliveries,
                    b"JUSTID",
                    b"FORCE",
                )
