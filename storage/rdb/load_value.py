"""From the bytes of one snapshot value to a value of the keyspace, for every type a Redis since 2.6 has written.

Owns the layout of each type and what makes one invalid. The encoding a value gets here follows the current limits,
not the file's. Must not know keys, deadlines of keys, or files.

A loader is a generator that waits for bytes (see `Source`). None stands for a container without elements.
"""

from __future__ import annotations

from operator import ne

from storage.numeric import parse_float
from storage.rdb import intset, layout, listpack, ziplist, zipmap
from storage.rdb.corrupt import CorruptData
from storage.rdb.load_stream import load_stream
from storage.types.hash import Hash
from storage.types.list import List
from storage.types.set import HASHTABLE, INTSET, LISTPACK, Set
from storage.types.sorted_set import SortedSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from storage.limits import EncodingLimits
    from storage.rdb.source import Source, Steps

    Decoder = Callable[[bytes], list[bytes]]
    Builder = Callable[[list[bytes], EncodingLimits], Any]

INFINITY = float("inf")
MAX_DEADLINE_MS = (1 << 48) - 2  # of a hash field, as in Redis


def _integers_as_text(data: bytes) -> list[bytes]:
    return [b"%d" % number for number in intset.decode(data)]


# What a packed string that is damaged, or holds an element twice, is called.
PACKED_NAMES = {
    layout.HASH_ZIPMAP: "Zipmap",
    layout.LIST_ZIPLIST: "List ziplist",
    layout.SET_INTSET: "Intset",
    layout.ZSET_ZIPLIST: "Zset ziplist",
    layout.HASH_ZIPLIST: "Hash ziplist",
    layout.HASH_LISTPACK: "Hash listpack",
    layout.ZSET_LISTPACK: "Zset listpack",
    layout.SET_LISTPACK: "Set listpack",
    layout.LIST_QUICKLIST: "Ziplist",
    layout.LIST_QUICKLIST_2: "Listpack",
    layout.HASH_LISTPACK_DEADLINES: "Hash listpack",
    layout.HASH_LISTPACK_DEADLINES_PRE_RELEASE: "Hash listpack",
}
DAMAGED = "%s integrity check failed."

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
PLAIN_SCORES = b"0123456789.-+"  # what scores made of are read alike by Python and C,
MAX_PLAIN_SCORE = 25  # and if not longer, never overflow


def load_value(source: Source, kind: int, limits: EncodingLimits, version: int) -> Steps[Any]:
    """Read a value of the type `kind`; None if it is an empty container. Raises CorruptData."""
    if kind == layout.STRING:
        return (yield from source.text())
    if kind in DECODERS:
        items = yield from _unpack(source, kind, DECODERS[kind])
    elif kind in (layout.LIST, layout.SET):
        items = yield from source.texts((yield from source.number()))
    elif kind == layout.HASH:
        items = yield from source.texts(2 * (yield from source.number()))
    elif kind in (layout.ZSET, layout.ZSET_2):
        members, scores = yield from _read_scores(source, kind)
        try:
            return _sorted_set(members, scores, limits) if members else None
        except CorruptData as error:
            raise source.fail(error.reason) from None
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
        if kind == layout.HASH_ZIPMAP:
            raise source.fail(DAMAGED % PACKED_NAMES[kind])  # there never was an empty one
        return None
    try:
        return BUILDERS[kind](items, limits)
    except CorruptData as error:
        raise source.fail(DAMAGED % PACKED_NAMES[kind] if kind in DECODERS else error.reason) from None


def unpack_value(kind: int, data: bytes, limits: EncodingLimits) -> Any:
    """The value of a type of DECODERS, or of a list's only node, from its packed string. Raises CorruptData."""
    items = DECODERS[kind](data) if kind in DECODERS else listpack.decode(data)
    return BUILDERS[kind](items, limits) if items else None


def _unpack(source: Source, kind: int, decode: Decoder) -> Steps[list[bytes]]:
    """A packed string's elements. An error's place counts as if it were not compressed, but is never beyond it."""
    begin = source.offset()
    data = yield from source.text()
    try:
        return decode(data)
    except CorruptData as error:
        raise CorruptData(DAMAGED % PACKED_NAMES[kind], min(begin + error.offset, source.offset())) from None


def _build_packed_set(items: list[bytes], limits: EncodingLimits) -> Set:
    """As in Redis they stay packed: that all are integers makes no intset of them."""
    encoding = LISTPACK if len(items) <= limits.set_max_listpack_entries else HASHTABLE
    return _build_set(items, limits, encoding)


def _build_set(items: list[bytes], limits: EncodingLimits, encoding: bytes | None = None) -> Set:
    value = Set.build(items, limits, encoding)
    if len(value) != len(items):
        raise CorruptData("Duplicate set members detected", 0)
    return value


def _build_unpacked_set(items: list[bytes], limits: EncodingLimits) -> Set:
    """As in Redis more than an intset may hold are a table from the start."""
    return _build_set(items, limits, HASHTABLE if len(items) > limits.set_max_intset_entries else None)


def _build_intset(items: list[bytes], limits: EncodingLimits) -> Set:
    """They were integers, all different."""
    return Set.build(items, limits, INTSET if len(items) <= limits.set_max_intset_entries else HASHTABLE)


def _build_hash(items: list[bytes], limits: EncodingLimits, were_packed: bool = False) -> Hash:
    if len(items) & 1:
        raise CorruptData("Hash field without a value", 0)
    value = Hash.of_pairs(items, limits, were_packed)
    if len(value) * 2 != len(items):
        raise CorruptData("Hash with dup elements", 0)
    return value


def _build_packed_hash(items: list[bytes], limits: EncodingLimits) -> Hash:
    return _build_hash(items, limits, True)


def _build_packed_sorted_set(items: list[bytes], limits: EncodingLimits) -> SortedSet:
    if len(items) & 1:
        raise CorruptData("Sorted set member without a score", 0)
    return _sorted_set(items[::2], _scores(items[1::2]), limits, True)


def _sorted_set(
    members: list[bytes], scores: list[float], limits: EncodingLimits, were_packed: bool = False
) -> SortedSet:
    table = dict(zip(members, scores))
    if len(table) != len(members):
        raise CorruptData("Zset has duplicate elements", 0)
    if any(map(ne, scores, scores)):
        raise CorruptData("Zset with NAN score detected", 0)
    return SortedSet.build(table, limits, were_packed)


def _scores(texts: list[bytes]) -> list[float]:
    try:
        if max(map(len, texts)) <= MAX_PLAIN_SCORE and not b"".join(texts).translate(None, PLAIN_SCORES):
            return list(map(float, texts))
        return list(map(parse_float, texts))
    except ValueError:
        raise CorruptData("Sorted set score is not a number", 0) from None


# From the strings of a container, at least one, to the container.
BUILDERS: dict[int, Builder] = {
    layout.LIST: List.build,
    layout.LIST_ZIPLIST: List.build,
    layout.LIST_QUICKLIST: List.build,
    layout.LIST_QUICKLIST_2: List.build,
    layout.SET: _build_unpacked_set,
    layout.SET_INTSET: _build_intset,
    layout.SET_LISTPACK: _build_packed_set,
    layout.HASH: _build_hash,
    layout.HASH_ZIPMAP: _build_hash,
    layout.HASH_ZIPLIST: _build_packed_hash,
    layout.HASH_LISTPACK: _build_packed_hash,
    layout.ZSET_ZIPLIST: _build_packed_sorted_set,
    layout.ZSET_LISTPACK: _build_packed_sorted_set,
}


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
                try:
                    score = parse_float((yield from source.raw(size)))
                except ValueError:
                    raise source.fail("Sorted set score is not a number") from None
        members.append(member)
        scores.append(score)
    return members, scores


def _read_quicklist(source: Source, kind: int) -> Steps[list[bytes]]:
    items: list[bytes] = []
    for _ in range((yield from source.number())):
        if kind == layout.LIST_QUICKLIST:
            items += yield from _unpack(source, kind, ziplist.decode)
            continue
        container = yield from source.number()
        if container == layout.NODE_PACKED:
            items += yield from _unpack(source, kind, listpack.decode)
        elif container == layout.NODE_PLAIN:
            element = yield from source.text()
            if not element:
                raise source.fail("Empty quicklist node")  # only a large element has a node of its own
            items.append(element)
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
        items = yield from _unpack(source, kind, listpack.decode)
        if len(items) % 3:
            raise source.fail("Hash field without a value or a deadline")
        count = len(items) // 3
        table = dict(zip(items[::3], items[1::3]))
        # Last first: among equal deadlines the packed order has the latest set one first.
        next_ms = MAX_DEADLINE_MS
        for index in range(count - 1, -1, -1):
            text = items[3 * index + 2]
            if text != b"0":
                if not text.isdigit() or len(text) > 15 or int(text) > next_ms:
                    raise source.fail(DAMAGED % PACKED_NAMES[kind])
                next_ms = int(text)
                deadlines[items[3 * index]] = next_ms
            elif deadlines:
                raise source.fail(DAMAGED % PACKED_NAMES[kind])  # those without a deadline come last
    else:
        count = yield from source.number()
        for index in range(count):
            deadline_ms = yield from source.number()
            field, value = yield from source.texts(2)
            if deadline_ms:
                if earliest:
                    deadline_ms += earliest - 1
                if deadline_ms > MAX_DEADLINE_MS:
                    raise source.fail(f"invalid expireAt time: {deadline_ms}")
                deadlines[field] = deadline_ms
            table[field] = value
            if len(table) <= index:
                raise source.fail("Hash with dup elements")
    if len(table) != count:
        raise source.fail("Hash with dup elements")
    if not table:
        return None
    loaded = Hash.build(table, limits, deadlines, kind == layout.HASH_LISTPACK_DEADLINES)
    if kind >= layout.HASH_DEADLINES:
        loaded.expect_deadlines()
    return loaded


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
            raise source.fail("Hash with dup elements")
    return Hash.build(table, limits, deadlines) if table else None
