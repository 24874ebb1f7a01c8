"""From the bytes of one snapshot value to a value of the keyspace, for every type a Redis since 2.6 has written.

Owns the layout of each type and what makes one invalid. The encoding a value gets here follows the current limits,
not the file's. Must not know keys, deadlines of keys, or files.

A loader is a generator that waits for bytes (see `Source`). None stands for a container without elements.
"""

from __future__ import annotations

from storage.numeric import parse_float
from storage.rdb import intset, layout, listpack, ziplist, zipmap
from storage.rdb.corrupt import CorruptData
from storage.rdb.load_stream import load_stream
from storage.types.hash import Hash
from storage.types.list import List
from storage.types.set import Set
from storage.types.sorted_set import SortedSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from storage.limits import EncodingLimits
    from storage.rdb.source import Source, Steps

    Decoder = Callable[[bytes], list[bytes]]

INFINITY = float("inf")
MAX_DEADLINE_MS = (1 << 48) - 2  # of a hash field, as in Redis


def _integers_as_text(data: bytes) -> list[bytes]:
    return [b"%d" % number for number in intset.decode(data)]


# Types that are one packed string.
DECODERS: dict[int, Decoder] = {
    layout.HASH_ZIPMAP: zipmap.decode,
    layout.LIST_ZIPLIST: ziplist.decode,
    layout.SET_INTSET: _integers_as_text,
    layout.ZSET_ZIPLIST: ziplist.decode,
    layout.HASH_ZIPLIST: ziplist.decode,
    layout.HASH_LISTPACK: listpack.decode,
    layout.ZSET_LISTPACK: listpack.decode,
    layout.SET_LISTPACK: listpack.decode,
}
LISTS = (layout.LIST, layout.LIST_ZIPLIST, layout.LIST_QUICKLIST, layout.LIST_QUICKLIST_2)
SETS = (layout.SET, layout.SET_INTSET, layout.SET_LISTPACK)
HASHES = (layout.HASH, layout.HASH_ZIPMAP, layout.HASH_ZIPLIST, layout.HASH_LISTPACK)


def load_value(source: Source, kind: int, limits: EncodingLimits, version: int) -> Steps[Any]:
    """Read a value of the type `kind`; None if it is an empty container. Raises CorruptData."""
    if kind == layout.STRING:
        return (yield from source.text())
    if kind in DECODERS:
        items = yield from _unpack(source, DECODERS[kind])
    elif kind in (layout.LIST, layout.SET):
        items = yield from source.texts((yield from source.number()))
    elif kind == layout.HASH:
        items = yield from source.texts(2 * (yield from source.number()))
    elif kind in (layout.ZSET, layout.ZSET_2):
        return _sorted_set(source, *(yield from _read_scores(source, kind)), limits)
    elif kind in (layout.LIST_QUICKLIST, layout.LIST_QUICKLIST_2):
        items = yield from _read_quicklist(source, kind)
    elif kind in (layout.STREAM, layout.STREAM_2, layout.STREAM_3):
        return (yield from load_stream(source, kind))
    elif version == layout.VALKEY_VERSION and kind >= layout.VALKEY_HASH_DEADLINES:
        if kind > layout.VALKEY_HASH_DEADLINES:
            raise source.fail(f"Unknown RDB encoding type {kind}")
        return (yield from _load_valkey_hash(source, limits))
    elif layout.HASH_DEADLINES_PRE_RELEASE <= kind <= layout.HASH_LISTPACK_DEADLINES:
        return (yield from _load_hash_with_deadlines(source, kind, limits))
    elif kind in (layout.MODULE, layout.MODULE_PRE_RELEASE):
        raise source.fail("The value needs a module, which this server does not have")
    else:
        raise source.fail(f"Unknown RDB encoding type {kind}")
    if not items:
        return None
    if kind in LISTS:
        return List.build(items, limits)
    if kind in SETS:
        value = Set.build(items, limits)
        if len(value) != len(items):
            raise source.fail("Duplicate set members detected")
        return value
    if kind in HASHES:
        return _hash(source, items, limits)
    if len(items) & 1:
        raise source.fail("Sorted set member without a score")
    return _sorted_set(source, items[::2], _scores(source, items[1::2]), limits)


def _unpack(source: Source, decode: Decoder) -> Steps[list[bytes]]:
    """A packed string's elements. An error's place counts as if it were not compressed, but is never beyond it."""
    begin = source.offset()
    data = yield from source.text()
    try:
        return decode(data)
    except CorruptData as error:
        raise CorruptData(error.reason, min(begin + error.offset, source.offset())) from None


def _hash(source: Source, items: list[bytes], limits: EncodingLimits) -> Hash:
    if len(items) & 1:
        raise source.fail("Hash field without a value")
    pairs = iter(items)
    table = dict(zip(pairs, pairs))
    if len(table) * 2 != len(items):
        raise source.fail("Duplicate hash fields detected")
    return Hash.build(table, limits)


def _sorted_set(
    source: Source, members: list[bytes], scores: list[float], limits: EncodingLimits
) -> Optional[SortedSet]:
    if not members:
        return None
    table = dict(zip(members, scores))
    if len(table) != len(members):
        raise source.fail("Zset has duplicate elements")
    for score in scores:
        if score != score:
            raise source.fail("Zset with NAN score detected")
    return SortedSet.build(table, limits)


def _scores(source: Source, texts: list[bytes]) -> list[float]:
    try:
        return [parse_float(text) for text in texts]
    except ValueError:
        raise source.fail("Sorted set score is not a number") from None


def _read_scores(source: Source, kind: int) -> Steps[tuple[list[bytes], list[float]]]:
    """Members each followed by its score, as text or as 8 bytes."""
    count = yield from source.number()
    members: list[bytes] = []
    scores: list[float] = []
    while len(members) < count:
        member = yield from source.text()
        if kind == layout.ZSET_2:
            while source.pos + 8 > len(source.buf):
                yield 8
            score = source.double()
        else:
            size = (yield from source.raw(1))[0]
            if size == layout.SCORE_INFINITE:
                score = INFINITY
            elif size == layout.SCORE_MINUS_INFINITE:
                score = -INFINITY
            elif size == layout.SCORE_NAN:
                raise source.fail("Zset with NAN score detected")
            else:
                score = _scores(source, [(yield from source.raw(size))])[0]
        members.append(member)
        scores.append(score)
    return members, scores


def _read_quicklist(source: Source, kind: int) -> Steps[list[bytes]]:
    items: list[bytes] = []
    for _ in range((yield from source.number())):
        if kind == layout.LIST_QUICKLIST:
            items += yield from _unpack(source, ziplist.decode)
            continue
        container = yield from source.number()
        if container == layout.NODE_PACKED:
            items += yield from _unpack(source, listpack.decode)
        elif container == layout.NODE_PLAIN:
            items.append((yield from source.text()))
        else:
            raise source.fail(f"Unknown quicklist node type {container}")
    return items


def _load_hash_with_deadlines(source: Source, kind: int, limits: EncodingLimits) -> Steps[Optional[Hash]]:
    """Fields with deadlines: packed in threes, or one by one with deadlines relative to the earliest."""
    earliest = 0
    if kind >= layout.HASH_DEADLINES:
        earliest = int.from_bytes((yield from source.raw(8)), "little")
    table: dict[bytes, bytes] = {}
    deadlines: dict[bytes, int] = {}
    if kind in (layout.HASH_LISTPACK_DEADLINES, layout.HASH_LISTPACK_DEADLINES_PRE_RELEASE):
        items = yield from _unpack(source, listpack.decode)
        if len(items) % 3:
            raise source.fail("Hash field without a value or a deadline")
        count = len(items) // 3
        table = dict(zip(items[::3], items[1::3]))
        # Last first: among equal deadlines the packed order has the latest set one first.
        for index in range(count - 1, -1, -1):
            text = items[3 * index + 2]
            if text != b"0":
                if not text.isdigit() or len(text) > 15 or int(text) > MAX_DEADLINE_MS:
                    raise source.fail("Invalid deadline of a hash field")
                deadlines[items[3 * index]] = int(text)
    else:
        count = yield from source.number()
        for index in range(count):
            deadline_ms = yield from source.number()
            field, value = yield from source.texts(2)
            if deadline_ms:
                if earliest:
                    deadline_ms += earliest - 1
                if deadline_ms > MAX_DEADLINE_MS:
                    raise source.fail("Invalid deadline of a hash field")
                deadlines[field] = deadline_ms
            table[field] = value
            if len(table) <= index:
                raise source.fail("Duplicate hash fields detected")
    if len(table) != count:
        raise source.fail("Duplicate hash fields detected")
    return Hash.build(table, limits, deadlines) if table else None


def _load_valkey_hash(source: Source, limits: EncodingLimits) -> Steps[Optional[Hash]]:
    """Fields, values and deadlines in milliseconds, -1 for none."""
    table: dict[bytes, bytes] = {}
    deadlines: dict[bytes, int] = {}
    for index in range((yield from source.number())):
        field, value = yield from source.texts(2)
        deadline_ms = int.from_bytes((yield from source.raw(8)), "little", signed=True)
        if deadline_ms >= 0:
            if deadline_ms > MAX_DEADLINE_MS:
                raise source.fail("Invalid deadline of a hash field")
            deadlines[field] = deadline_ms
        table[field] = value
        if len(table) <= index:
            raise source.fail("Duplicate hash fields detected")
    return Hash.build(table, limits, deadlines) if table else None
