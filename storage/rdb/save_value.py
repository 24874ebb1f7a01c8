"""From a value of the keyspace to its bytes in a snapshot.

Owns the choice of the type of each value: packed where the encoding clients see is packed, and only what a reader of
the wanted version knows. Must not know keys or files.

A large value comes in pieces, so that a child that saves it needs no second copy of it.
"""

from __future__ import annotations

from itertools import chain
from struct import Struct

from storage.numeric import format_float
from storage.rdb import intset, layout, listpack
from storage.rdb.save_stream import save_stream
from storage.rdb.spelling import LENGTHS, encode_length, encode_string
from storage.types import hash as hashes
from storage.types import set as sets
from storage.types.list import node_limits
from storage.types.sorted_set import SortedSet
from storage.types.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from storage.limits import EncodingLimits
    from storage.types.list import List

    Saved = tuple[int, Iterable[bytes]]

PIECE_STRINGS = 1024
WHOLE_LIMIT = 1 << 53  # beyond, not every whole number is a double
DOUBLE = Struct("<d")
UNSIGNED_64 = Struct("<Q")


def save_value(
    value: Any, version: int, limits: EncodingLimits, compressing: bool, known: listpack.KnownEntries | None = None
) -> Saved:
    """The type of a value and its bytes in pieces, for readers of that version of the format.

    Who saves many values hands over `known`, in which the fields of hashes are kept.
    """
    kind = value.__class__
    if kind is bytes or kind is bytearray:
        return layout.STRING, (encode_string(value, compressing),)
    if kind is hashes.Hash:
        return _save_hash(value, version, compressing, known)
    if kind is sets.Set:
        return _save_set(value, version, compressing)
    if kind is SortedSet:
        return _save_sorted_set(value, limits, compressing)
    if kind is Stream:
        generation = layout.STREAM_3 if version >= layout.SET_PACKED_SINCE else layout.STREAM_2
        return generation, save_stream(value, generation, compressing)
    return layout.LIST_QUICKLIST_2, _list_nodes(value, limits, compressing)


def _strings(count: int, texts: Iterable[bytes], compressing: bool) -> Iterator[bytes]:
    """A count, then strings."""
    pieces = [encode_length(count)]
    append = pieces.append
    for text in texts:
        append(encode_string(text, compressing))
        if len(pieces) >= PIECE_STRINGS:
            yield b"".join(pieces)
            pieces.clear()
    yield b"".join(pieces)


def _list_nodes(value: List, limits: EncodingLimits, compressing: bool) -> Iterator[bytes]:
    """The nodes of a list: as many neighbours packed together as the limit allows, large elements alone."""
    max_bytes, max_count = node_limits(limits.list_max_listpack_size)
    encode_entry = listpack.encode_entry
    nodes: list[bytes] = []
    entries: list[bytes] = []
    size = listpack.EMPTY_BYTES

    def close() -> None:
        if entries:
            nodes.append(b"\x02" + encode_string(listpack.assemble(entries), compressing))
            entries.clear()

    # The count comes first, so a list of several nodes is cut before it is sent; its nodes are the compact form.
    for element in value:
        if len(element) > max_bytes:
            close()
            size = listpack.EMPTY_BYTES
            nodes.append(b"\x01" + encode_string(element, compressing))
            continue
        entry = encode_entry(element)
        size += len(entry)
        if size > max_bytes or len(entries) >= max_count:
            close()
            size = listpack.EMPTY_BYTES + len(entry)
        entries.append(entry)
    close()
    yield encode_length(len(nodes))
    yield from nodes


def _save_set(value: sets.Set, version: int, compressing: bool) -> Saved:
    if value.encoding is sets.INTSET:
        return layout.SET_INTSET, (encode_string(intset.encode(map(int, value)), compressing),)
    if value.encoding is sets.LISTPACK and version >= layout.SET_PACKED_SINCE:
        return layout.SET_LISTPACK, (encode_string(listpack.encode(value), compressing),)
    return layout.SET, _strings(len(value), value, compressing)


def _save_hash(
    value: hashes.Hash, version: int, compressing: bool, known: listpack.KnownEntries | None
) -> Saved:
    deadlines = None if value.deadlines is None else value.deadlines.live
    if value.encoding is hashes.HASHTABLE:
        if deadlines:
            return layout.HASH_DEADLINES, _fields_with_deadlines(value, deadlines, compressing)
        return layout.HASH, _strings(len(value), chain.from_iterable(value.items()), compressing)
    # A listpackex is loaded as one, whatever became of its deadlines.
    if deadlines or (value.encoding is hashes.LISTPACKEX and version >= layout.FIELD_DEADLINES_SINCE):
        deadlines = deadlines or {}
        get = deadlines.get
        items: list[bytes] = []
        for field, text in value.in_order().items():
            items += (field, text, b"%d" % get(field, 0))
        blob = encode_string(listpack.encode(items), compressing)
        earliest = min(deadlines.values(), default=0)
        return layout.HASH_LISTPACK_DEADLINES, (UNSIGNED_64.pack(earliest), blob)
    entries = [b""] * (2 * len(value))
    entries[::2] = listpack.encode_entries(value) if known is None else map(known.__getitem__, value)
    entries[1::2] = listpack.encode_entries(value.values())
    return layout.HASH_LISTPACK, (encode_string(listpack.assemble(entries), compressing),)


def _fields_with_deadlines(value: hashes.Hash, deadlines: dict[bytes, int], compressing: bool) -> Iterator[bytes]:
    earliest = min(deadlines.values())
    pieces = [UNSIGNED_64.pack(earliest), encode_length(len(value))]
    for field, text in value.items():
        deadline_ms = deadlines.get(field)
        pieces.append(LENGTHS[0] if deadline_ms is None else encode_length(deadline_ms - earliest + 1))
        pieces.append(encode_string(field, compressing))
        pieces.append(encode_string(text, compressing))
        if len(pieces) >= PIECE_STRINGS:
            yield b"".join(pieces)
            pieces.clear()
    yield b"".join(pieces)


def _save_sorted_set(value: SortedSet, limits: EncodingLimits, compressing: bool) -> Saved:
    if value.encoding_name(limits) == b"listpack":
        entries: list[bytes] = []
        for member, score in value.ascending():
            entries.append(listpack.encode_entry(member))
            # Whole scores stand here as integers, -0.0 as 0. Without a detour by way of text: 0.7 -> 0.2 us.
            if -WHOLE_LIMIT < score < WHOLE_LIMIT and score.is_integer():
                entries.append(listpack.encode_integer(int(score)))
            else:
                entries.append(listpack.encode_entry(format_float(score)))
        return layout.ZSET_LISTPACK, (encode_string(listpack.assemble(entries), compressing),)
    return layout.ZSET_2, _members_with_scores(value, compressing)


def _members_with_scores(value: SortedSet, compressing: bool) -> Iterator[bytes]:
    """Highest score first, as Redis writes them: a skip list is quickest to rebuild from its tail."""
    pieces = [encode_length(len(value))]
    pack = DOUBLE.pack
    for member, score in value.descending():
        pieces.append(encode_string(member, compressing))
        pieces.append(pack(score))
        if len(pieces) >= PIECE_STRINGS:
            yield b"".join(pieces)
            pieces.clear()
    yield b"".join(pieces)
