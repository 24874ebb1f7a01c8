"""How much memory a key and its value would take in Redis: MEMORY USAGE, DEBUG OBJECT's neighbours.

Computed from the layout of Redis 7.4's own structures and the size classes of its allocator, so that the figure a
user knows from there (56 for a three-letter string, 72 bytes an element of a big hash) is the figure here. This
process needs more for small values and about the same for large ones; what it takes in total is INFO's
`used_memory`. Packed forms are computed, larger ones are sampled as in Redis: the mean of the first `samples` elements
stands for all (0: every element counts).
"""

from __future__ import annotations

from itertools import islice

from storage.numeric import format_float
from storage.packed_sizes import FRAME_BYTES, packed_size
from storage.types import byte_strings
from storage.types.hash import HASHTABLE, Hash
from storage.types.hash import LISTPACKEX as HASH_LISTPACKEX
from storage.types.list import List, node_limits
from storage.types.set import INTSET, Set
from storage.types.set import LISTPACK as SET_LISTPACK
from storage.types.sorted_set import LISTPACK as ZSET_LISTPACK
from storage.types.sorted_set import SortedSet
from storage.types.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Sequence

    from storage.limits import EncodingLimits

OBJECT_BYTES = 16
ENTRY_BYTES = 24  # of a hash table
TABLE_BYTES = 56  # a hash table without slots
SLOT_BYTES = 8
LISTPACKEX_BYTES = 32  # what knows the earliest deadline
INTSET_HEADER = 8
QUICKLIST_BYTES = 40
QUICKLIST_NODE_BYTES = 32
SORTED_SET_BYTES = 16
SKIPLIST_HEAD_BYTES = 640
SKIPLIST_NODE_BYTES = 46  # the mean over the heights of nodes
STREAM_BYTES = 488
STREAM_NODE_BYTES = 96  # its place in the tree
STREAM_NODE_ROOM = 4096  # allocated for the last node in advance
GROUP_BYTES, CONSUMER_BYTES, PENDING_BYTES = 650, 650, 130
DEFAULT_SAMPLES = 5
BLOCK_MAX = 512  # what is larger comes from malloc
STRING_BYTES = 33  # of bytes besides what they contain
CHUNK_BYTES = 16  # malloc's own, with what it rounds up
LIST_BLOCK_BYTES = 528  # of a deque: 64 elements and two links


def size_class(size: int) -> int:
    """What the allocator hands out for `size` bytes: steps of 8 up to 64, 16 up to 128, then four a doubling."""
    if size <= 64:
        return max(8, (size + 7) & ~7)
    step = max(16, 1 << ((size - 1).bit_length() - 3))
    return (size + step - 1) // step * step


def text_size(length: int) -> int:
    """A string of this length with its header and the byte that ends it, as allocated."""
    header = 1 if length < 32 else 3 if length < 256 else 5 if length < 65536 else 9
    return size_class(header + length + 1)


def table_size(count: int) -> int:
    """A hash table with the slots for `count` entries, without these."""
    return TABLE_BYTES + SLOT_BYTES * table_slots(count)


def table_slots(count: int) -> int:
    return max(4, 1 << (count - 1).bit_length()) if count else 0


def mean_of(sizes: Iterable[int], count: int, samples: int) -> int:
    """The sum of all `count` sizes, estimated from the first `samples` of them (0: exact)."""
    seen = list(islice(sizes, samples) if samples else sizes)
    return sum(seen) * count // len(seen) if seen else 0


def outside_blocks(value: Any, draw: Callable[[Any], Sequence[bytes]]) -> tuple[int, int]:
    """The bytes of a value that CPython takes from malloc, not from its own small blocks, and in how many pieces. O(1).

    Tables and long strings; of the elements of a container the few that `draw` has chosen stand for all.
    """
    if value.__class__ is bytes:
        size = len(value) + STRING_BYTES
        return (size + CHUNK_BYTES, 1) if size > BLOCK_MAX else (0, 0)
    size = value.__sizeof__()
    pieces = 1
    if isinstance(value, List):
        size -= List.__basicsize__  # the rest is blocks of elements, each in a piece of its own
        pieces = size // LIST_BLOCK_BYTES
    elif isinstance(value, Stream):
        nodes = list(islice(value.log.nodes(), DEFAULT_SAMPLES))
        large = [size for node in nodes for size in node.piece_sizes() if size > BLOCK_MAX]
        count = value.log.node_count()
        pieces = len(large) * count // len(nodes) if nodes else 0
        size = sum(large) * count // len(nodes) if nodes else 0
    held = size + pieces * CHUNK_BYTES if size > BLOCK_MAX else 0
    if not held:
        pieces = 0
    if isinstance(value, (List, Set, Hash, SortedSet)):
        few = draw(value)
        large = [len(element) + STRING_BYTES for element in few if len(element) + STRING_BYTES > BLOCK_MAX]
        if large:
            held += (sum(large) + len(large) * CHUNK_BYTES) * len(value) // len(few)
            pieces += len(large) * len(value) // len(few)
    return held, pieces


def usage(key: bytes, value: Any, limits: EncodingLimits, samples: int = DEFAULT_SAMPLES) -> int:
    """The bytes of a key with its value. O(samples) for large values, O(n) for packed ones."""
    return ENTRY_BYTES + text_size(len(key)) + value_size(value, limits, samples)


def value_size(value: Any, limits: EncodingLimits, samples: int) -> int:
    """The bytes of a value."""
    if isinstance(value, (bytes, bytearray)):
        encoding = byte_strings.encoding_name(value, limits)
        if encoding == byte_strings.INT:
            return OBJECT_BYTES
        if encoding == byte_strings.EMBSTR:
            return size_class(OBJECT_BYTES + 4 + len(value))
        return OBJECT_BYTES + text_size(len(value))
    if isinstance(value, List):
        return OBJECT_BYTES + _list_size(value, limits, samples)
    if isinstance(value, Set):
        return OBJECT_BYTES + _set_size(value, samples)
    if isinstance(value, Hash):
        return OBJECT_BYTES + _hash_size(value, samples)
    if isinstance(value, SortedSet):
        return OBJECT_BYTES + _sorted_set_size(value, samples)
    return OBJECT_BYTES + _stream_size(value, samples)


def _list_size(value: List, limits: EncodingLimits, samples: int) -> int:
    if value.encoding_name(limits) == b"listpack":
        return size_class(FRAME_BYTES + sum(map(packed_size, value)))
    # Redis samples whole blocks; 64 elements for each it would look at say the same.
    nodes, total = quicklist_nodes(value, limits, samples * 64)
    return QUICKLIST_BYTES + nodes * QUICKLIST_NODE_BYTES + total


def quicklist_nodes(value: List, limits: EncodingLimits, samples: int = 0) -> tuple[int, int]:
    """How many blocks a long list would fill, and their bytes. O(samples), O(n) without."""
    total = mean_of(map(packed_size, value), len(value), samples)
    max_bytes, max_count = node_limits(limits.list_max_listpack_size)
    nodes = max(1, -(-total // max_bytes), -(-len(value) // max_count))
    return nodes, total + nodes * FRAME_BYTES


def _set_size(value: Set, samples: int) -> int:
    if value.encoding is INTSET:
        largest = max((abs(int(member)) for member in value), default=0)
        width = 2 if largest < 1 << 15 else 4 if largest < 1 << 31 else 8
        return size_class(INTSET_HEADER + width * len(value))
    if value.encoding is SET_LISTPACK:
        return size_class(FRAME_BYTES + sum(map(packed_size, value)))
    members = (text_size(len(member)) + ENTRY_BYTES for member in value)
    return table_size(len(value)) + mean_of(members, len(value), samples)


def _hash_size(value: Hash, samples: int) -> int:
    if value.encoding is not HASHTABLE:
        size = FRAME_BYTES + sum(packed_size(field) + packed_size(text) for field, text in value.items())
        if value.encoding is HASH_LISTPACKEX:
            deadlines = value.deadlines.live if value.deadlines is not None else {}
            size += LISTPACKEX_BYTES + 2 * len(value) + 8 * len(deadlines)
        return size_class(size)
    pairs = (text_size(len(field)) + text_size(len(text)) + ENTRY_BYTES for field, text in value.items())
    return table_size(len(value)) + mean_of(pairs, len(value), samples)


def _sorted_set_size(value: SortedSet, samples: int) -> int:
    if value.encoding is ZSET_LISTPACK:
        scores = map(format_float, value.values())
        return size_class(FRAME_BYTES + sum(map(packed_size, value)) + sum(map(packed_size, scores)))
    members = (text_size(len(member)) + ENTRY_BYTES + SKIPLIST_NODE_BYTES for member in value)
    fixed = SORTED_SET_BYTES + SKIPLIST_HEAD_BYTES + table_size(len(value))
    return fixed + mean_of(members, len(value), samples)


def _stream_size(value: Stream, samples: int) -> int:
    log = value.log
    size = STREAM_BYTES
    nodes = log.node_count()
    if nodes:
        size += mean_of((node.size for node in log.nodes()), nodes, samples) + nodes * STREAM_NODE_BYTES
        size = max(size, STREAM_BYTES + STREAM_NODE_BYTES + STREAM_NODE_ROOM)
    for group in value.groups.values():
        size += GROUP_BYTES + CONSUMER_BYTES * len(group.consumers) + PENDING_BYTES * len(group.pending)
    return size
