"""From a stream to its bytes in a snapshot; the layout is described in `load_stream`.

Deleted entries are not written: a node is rebuilt from those it still has, under the reference it had.
"""

from __future__ import annotations

from struct import Struct

from storage.rdb import layout, listpack
from storage.rdb.load_stream import HIGHEST, ID_BYTES, SAME_FIELDS
from storage.rdb.spelling import encode_length, encode_string
from storage.types.stream_id import MAX_HALF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.types.consumer_group import ConsumerGroup
    from storage.types.stream import Stream
    from storage.types.stream_node import Entries, Node

SIGNED_64 = Struct("<q")


def save_stream(stream: Stream, kind: int, compressing: bool) -> Iterator[bytes]:
    """The bytes of a stream as the second or third generation, a node or a group at a time."""
    log = stream.log
    yield encode_length(log.node_count())
    for node in log.nodes():
        reference = node.first_id.to_bytes(ID_BYTES, "big")
        yield encode_length(ID_BYTES) + reference + encode_string(_pack_node(node, log.entries_of(node)), compressing)

    def pair(entry_id: int) -> bytes:
        return encode_length(entry_id >> 64) + encode_length(entry_id & MAX_HALF)

    first_id = next((log.entries_of(node)[0][0] for node in log.nodes()), 0)
    yield b"".join(
        (
            encode_length(len(stream)),
            pair(stream.last_id),
            pair(first_id),
            pair(stream.max_deleted_id),
            encode_length(stream.entries_added),
            encode_length(len(stream.groups)),
        )
    )
    for name, group in stream.groups.items():
        yield encode_string(name, compressing) + pair(group.last_id) + encode_length(group.entries_read & MAX_HALF)
        yield from _pending(group)
        yield encode_length(len(group.consumers))
        for consumer in group.consumers.values():
            pieces = [encode_string(consumer.name, compressing), SIGNED_64.pack(consumer.seen_ms)]
            if kind >= layout.STREAM_3:
                pieces.append(SIGNED_64.pack(consumer.active_ms))
            pieces.append(encode_length(len(consumer.pending)))
            pieces.extend(entry_id.to_bytes(ID_BYTES, "big") for entry_id in sorted(consumer.pending.by_id))
            yield b"".join(pieces)


def _pending(group: ConsumerGroup) -> Iterator[bytes]:
    by_id = group.pending.by_id
    yield encode_length(len(by_id))
    for entry_id in sorted(by_id):
        pending = by_id[entry_id]
        yield b"".join(
            (
                entry_id.to_bytes(ID_BYTES, "big"),
                SIGNED_64.pack(pending.delivered_ms),
                encode_length(pending.deliveries),
            )
        )


def _difference(number: int) -> int:
    """A difference of unsigned 64-bit halves as the signed number that wraps to it."""
    number &= MAX_HALF
    return number - (1 << 64) if number >= HIGHEST else number


def _pack_node(node: Node, entries: Entries) -> bytes:
    """The listpack of a node's live entries."""
    integer = listpack.encode_integer
    text = listpack.encode_entry
    ids, _, bodies = entries
    fields = node.fields
    width = len(fields)
    high, low = node.first_id >> 64, node.first_id & MAX_HALF
    packed = [integer(len(ids)), integer(0), integer(width)]
    packed += [text(field) for field in fields]
    packed.append(integer(0))
    plain, same = integer(0), integer(SAME_FIELDS)
    same_steps = integer(width + 3)
    for entry_id, body in zip(ids, bodies):
        is_same = len(body) == 2 * width and body[::2] == fields
        packed.append(same if is_same else plain)
        packed.append(integer(_difference((entry_id >> 64) - high)))
        packed.append(integer(_difference((entry_id & MAX_HALF) - low)))
        if is_same:
            packed += [text(value) for value in body[1::2]]
            packed.append(same_steps)
        else:
            packed.append(integer(len(body) // 2))
            packed += [text(value) for value in body]
            packed.append(integer(len(body) + 4))
    return listpack.assemble(packed)
