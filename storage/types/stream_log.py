"""The entry log of a stream: nodes of neighbouring entries, closed ones packed into one bytes object each.

Owns the entries and nothing else: no last ID, no counters of the past, no groups.

Assumptions that shape it: entries are appended and read in order, most entries of a stream have the same
fields, and what is read was written lately or is near what was read before. So the newest node is open
(parallel lists of IDs, their texts and bodies); a node that is full is sealed with `marshal`, in columns and
without the field names if all its entries share them; a sealed node that is needed is opened again, and the
last few opened ones stay open.

Memory an entry in a log of 100,000 beside Redis 7.4's (MEMORY USAGE), on CPython 3.11: `k v` 50 bytes to 18;
`field value00001` 59 to 29; five fields with values of ten bytes 129 to 80. (The ID is there as a number and
as text, 19 and 20 bytes: reading formats and computes nothing.)

Node boundaries are Redis's: a node takes `max_entries` entries, deleted ones included, and none that would
bring it to `max_bytes` of its packed form (a listpack, whose size is computed, lazily, from the documented
encoding). Approximate trimming removes whole nodes, so the lengths it leaves are Redis's lengths.

Invariants (`_check`): live IDs ascend through the nodes; a node has at least one live entry; `first_ids[i]`
is the lowest ID node i ever had; only open nodes have lists, only sealed or unchanged ones have `packed`; the
last node is open.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from storage.types.stream_id import MAX_HALF, MAX_ID, format_id
from storage.types.stream_node import ENTRY_OVERHEAD, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from storage.types.stream_node import Body, Entries

OPEN_NODES = 2  # besides the newest: one for exact trimming at the head, one for the readers
EXACT_TREE_NODES = 2000
COMPACT_FLOOR = 64  # leading slots of removed nodes that are kept before the node lists are cut
MAX_NODE_BYTES = 1 << 30  # as in Redis, where 0 means this
# An entry beyond these has larger numbers than the bound of its size allows for, and is measured at once.
MEASURED_AHEAD = 256  # bytes: room for a few more entries
FAR = 1 << 31 << 64
HIGH_SEQUENCE = MAX_HALF ^ 0x7FFF
WIDE = 4000  # items whose numbers fit three bytes


class StreamLog:
    """Entries in the order of their IDs, see the module."""

    __slots__ = ("length", "_nodes", "_first_ids", "_head", "_open")

    def __init__(self) -> None:
        self.length = 0
        self._nodes: list[Node | None] = []
        self._first_ids: list[int] = []
        self._head = 0  # index of the first node: the slots before it are emptied, and cut off in bulk
        self._open: list[Node] = []  # opened besides the newest, least lately used first

    def append(self, entry_id: int, text: bytes, body: Body, max_entries: int, max_bytes: int) -> None:
        """Add an entry above all that are there; O(1) amortised.

        `body` alternates fields and values; the limits are those of a node, 0 means none.
        """
        nodes = self._nodes
        length = sum(map(len, body))
        if self._head < len(nodes):
            node = nodes[-1]
            assert node is not None
            if max_entries and node.slots >= max_entries:
                node = self._start_node(entry_id, body)
            else:
                bound = node.size
                if not 0 < max_bytes < MAX_NODE_BYTES:
                    max_bytes = MAX_NODE_BYTES
                if bound + length >= max_bytes:
                    node.measure(bound + length - max_bytes + MEASURED_AHEAD)
                    long_counts = (node.count > 127) + (node.slots - node.count > 127)
                    if node.size + long_counts + length >= max_bytes:
                        node = self._start_node(entry_id, body)
        else:
            node = self._start_node(entry_id, body)
        # The exact size costs 1.1 us an entry of two fields, its bound 0.2 us.
        if len(body) > 2:
            node.size += node.upper_bound(body, length)
        else:
            node.size += length + (2 if length < 64 else 10) * len(body) + ENTRY_OVERHEAD  # the same, inlined
        node.unmeasured += 1
        node.ids.append(entry_id)
        node.texts.append(text)
        node.bodies.append(body)
        node.last_id = entry_id
        node.count += 1
        node.slots += 1
        self.length += 1
        if entry_id - node.first_id >= FAR or (entry_id | node.first_id) & HIGH_SEQUENCE or len(body) > WIDE:
            node.measure()  # the bound does not hold

    def _start_node(self, entry_id: int, body: Body) -> Node:
        if self._head < len(self._nodes):
            last = self._nodes[-1]
            assert last is not None
            last.seal()
        node = Node(entry_id, body[::2])
        self._nodes.append(node)
        self._first_ids.append(entry_id)
        return node

    def load_node(self, entries: Entries, deleted: int, first_id: int, fields: Body, last_id: int) -> None:
        """Add a whole node above all that are there, as a snapshot has it.

        `deleted` is the number of entries it lost; `first_id`, `fields` are its first entry's, lost or not.
        """
        if self._head < len(self._nodes):
            last = self._nodes[-1]
            assert last is not None
            last.seal()
        if not deleted:
            # The entry that the node is named after may be gone without a trace; `first_id` looks only at the count.
            first_id = entries[0][0]
        node = Node(first_id, fields)
        node.ids, node.texts, node.bodies = entries
        node.count = len(node.ids)
        node.slots = node.count + deleted
        node.last_id = max(last_id, node.ids[-1])
        for entry_id, body in zip(node.ids, node.bodies):
            node.size += node.entry_size(entry_id, body)
        self._nodes.append(node)
        self._first_ids.append(first_id)
        self.length += node.count

    def nodes(self) -> Iterator[Node]:
        """Return the nodes in order, for a snapshot: see `Node.first_id`, `.fields`, `.slots`, `.unpack`."""
        for index in range(self._head, len(self._nodes)):
            node = self._nodes[index]
            assert node is not None
            yield node

    @staticmethod
    def entries_of(node: Node) -> Entries:
        """Return a node's live entries without changing what is open (a child process may call it)."""
        if node.ids:
            return node.ids, node.texts, node.bodies
        return node.unpack()

    def node_count(self) -> int:
        return len(self._nodes) - self._head

    def tree_size(self) -> int:
        """Return how many nodes Redis's radix tree needs for the nodes' first IDs, as XINFO STREAM reports.

        Exact up to some thousand nodes, 1 ms of work; above that, as many for each node as the newest have.
        Leaves, the places where two IDs part, and one for each run of bytes without a parting.
        """
        firsts = self._first_ids[max(self._head, len(self._first_ids) - EXACT_TREE_NODES) :]
        if not firsts:
            return 1
        size = len(firsts)
        partings: list[int] = []  # depths in bytes on the way to the last ID
        shared = [(128 - (one ^ other).bit_length()) // 8 for one, other in zip(firsts, firsts[1:])]
        for depth in [*shared, -1]:
            child = 16
            while partings and partings[-1] > depth:
                parting = partings.pop()
                size += 1 + (child - parting > 1)
                child = parting
            if depth < 0:
                size += child > 0
            else:
                size += child - depth > 1
                if not partings or partings[-1] < depth:
                    partings.append(depth)
        return size * self.node_count() // len(firsts)

    def copy(self) -> StreamLog:
        """Return an independent log; sealed nodes share their bytes."""
        other = StreamLog()
        other.length = self.length
        for node in self.nodes():
            twin = Node(node.first_id, node.fields)
            for name in ("last_id", "count", "slots", "size", "unmeasured"):
                setattr(twin, name, getattr(node, name))
            twin.ids, twin.texts, twin.bodies = node.ids[:], node.texts[:], node.bodies[:]
            twin.packed = node.packed
            other._nodes.append(twin)
            other._first_ids.append(node.first_id)
            if node is not self._nodes[-1]:
                twin.seal()
        return other

    def parts(self) -> list[Any]:
        """What a piecewise release has to empty, last one first."""
        return [self._nodes, self._first_ids]

    # Reading.

    def first_id(self) -> int:
        """Return the lowest live ID, 0 if there is none."""
        if not self.length:
            return 0
        node = self._nodes[self._head]
        assert node is not None
        if node.count == node.slots:
            return node.first_id
        self._enter(node)
        return node.ids[0]

    def lower_bound(self) -> int:
        """Return an ID that no live entry is below: the first the first node ever had, MAX_ID in an empty log."""
        return self._first_ids[self._head] if self._head < len(self._nodes) else MAX_ID

    def last_live_id(self) -> int:
        """Return the highest live ID, 0 if there is none."""
        node = self._nodes[-1] if self.length else None
        return node.ids[-1] if node is not None else 0

    def body(self, entry_id: int) -> Body | None:
        """Return the body of an entry, None if it is not there; O(log n), and a node opened at most."""
        found = self._locate(entry_id)
        return None if found is None else found[0].bodies[found[1]]

    def __contains__(self, entry_id: int) -> bool:
        return self._locate(entry_id) is not None

    def entries(self, start: int, end: int, count: int = -1) -> Entries:
        """Return IDs, texts and bodies of the first `count` entries from `start` to `end`.

        O(log n + returned), a negative count means all. The lists are the caller's.
        """
        index = self._index_from(start)
        nodes = self._nodes
        ids: list[int] = []
        texts: list[bytes] = []
        bodies: list[Body] = []
        while index < len(nodes):
            node = nodes[index]
            assert node is not None
            if node.first_id > end:
                break
            whole = start <= node.first_id and node.last_id <= end
            whole = whole and (count < 0 or node.count <= count - len(ids))
            if whole and not node.ids:
                # Passing through: what is read from end to end would only push out what is read in steps.
                some, their_texts, their_bodies = node.unpack()
            else:
                self._enter(node)
                some = node.ids
                low = 0 if start <= node.first_id else bisect_left(some, start)
                high = len(some) if node.last_id <= end else bisect_right(some, end)
                if 0 <= count < high - low + len(ids):
                    high = low + count - len(ids)
                some = some[low:high]
                their_texts = node.texts[low:high]
                their_bodies = node.bodies[low:high]
            if ids:
                ids += some
                texts += their_texts
                bodies += their_bodies
            else:
                ids, texts, bodies = some, their_texts, their_bodies
            index += 1
            if 0 <= count <= len(ids):
                break
        return ids, texts, bodies

    def entries_down(self, end: int, start: int, count: int = -1) -> Entries:
        """Return the last `count` entries from `start` to `end`, highest ID first; O(log n + returned)."""
        index = bisect_right(self._first_ids, end, self._head) - 1
        ids: list[int] = []
        texts: list[bytes] = []
        bodies: list[Body] = []
        while index >= self._head:
            node = self._nodes[index]
            assert node is not None
            if node.last_id < start:
                break
            self._enter(node)
            low = bisect_left(node.ids, start)
            high = bisect_right(node.ids, end)
            if 0 <= count < high - low + len(ids):
                low = high - (count - len(ids))
            ids += node.ids[low:high][::-1]
            texts += node.texts[low:high][::-1]
            bodies += node.bodies[low:high][::-1]
            index -= 1
            if 0 <= count <= len(ids):
                break
        return ids, texts, bodies

    def _index_from(self, start: int) -> int:
        """Return the index of the first node that may hold an ID at or above `start`."""
        index = bisect_right(self._first_ids, start, self._head) - 1
        if index < self._head:
            return self._head
        node = self._nodes[index]
        assert node is not None
        return index + 1 if node.last_id < start else index

    def _locate(self, entry_id: int) -> tuple[Node, int] | None:
        index = bisect_right(self._first_ids, entry_id, self._head) - 1
        if index < self._head:
            return None
        node = self._nodes[index]
        assert node is not None
        if entry_id > node.last_id:
            return None
        self._enter(node)
        place = bisect_left(node.ids, entry_id)
        if place == node.count or node.ids[place] != entry_id:
            return None
        return node, place

    def _enter(self, node: Node) -> None:
        """Open a node, and seal the one that was opened longest ago."""
        if node is self._nodes[-1]:
            if not node.ids:
                node.open()
            return
        warm = self._open
        if warm and warm[-1] is node:
            return
        if node in warm:
            warm.remove(node)
        elif len(warm) >= OPEN_NODES:
            self._close(warm.pop(0))
        warm.append(node)
        node.open()

    def _close(self, node: Node) -> None:
        if node is not self._nodes[-1]:  # it may have become the newest since
            node.seal()

    # Removing.

    def delete(self, entry_id: int) -> bool:
        """Remove one entry; its node loses a slot of a list, nothing else moves."""
        found = self._locate(entry_id)
        if found is None:
            return False
        node, place = found
        self._cut(node, place, place + 1)
        if not node.count:
            self._remove_node(bisect_left(self._first_ids, node.first_id, self._head))
        return True

    def _cut(self, node: Node, low: int, high: int) -> None:
        """Remove an open node's entries from place `low` to `high`; their slots and bytes stay taken."""
        if node is self._nodes[-1]:
            node.measure()
        else:
            # Measured if its bytes closed it. If its entries did, only a raised limit lets it grow again.
            node.unmeasured = 0
        del node.ids[low:high]
        del node.texts[low:high]
        del node.bodies[low:high]
        node.packed = None
        node.count -= high - low
        self.length -= high - low

    def _remove_node(self, index: int) -> None:
        """Forget a node; O(1) amortised at either end, elsewhere its successors' references move up."""
        nodes = self._nodes
        node = nodes[index]
        assert node is not None
        self.length -= node.count
        if node in self._open:
            self._open.remove(node)
        if index == self._head:
            nodes[index] = None
            self._head += 1
            if self._head > COMPACT_FLOOR and self._head * 2 > len(nodes):
                del nodes[: self._head]
                del self._first_ids[: self._head]
                self._head = 0
        else:
            del nodes[index]
            del self._first_ids[index]
        if self._head < len(nodes):
            last = nodes[-1]
            assert last is not None
            if last in self._open:
                self._open.remove(last)
            if not last.ids:
                last.open()
            last.packed = None  # it may grow again

    def trim_to_length(self, length: int, approximate: bool, limit: int) -> int:
        """Remove the oldest entries beyond `length`, see `_trim`."""
        removed = 0
        while self.length > length:
            node = self._nodes[self._head]
            assert node is not None
            if limit and removed + node.count > limit:
                break
            if self.length - node.count >= length:
                removed += node.count
                self._remove_node(self._head)
                continue
            if not approximate:
                excess = self.length - length
                self._enter(node)
                self._cut(node, 0, excess)
                removed += excess
            break
        return removed

    def trim_below(self, lowest_id: int, approximate: bool, limit: int) -> int:
        """Remove the entries with IDs below `lowest_id`, and return how many; O(removed).

        Approximate trimming removes whole nodes only. A limit (0: none) bounds the entries removed.
        """
        removed = 0
        while self.length:
            node = self._nodes[self._head]
            assert node is not None
            if limit and removed + node.count > limit:
                break
            if node.last_id < lowest_id:
                removed += node.count
                self._remove_node(self._head)
                continue
            if not approximate:
                self._enter(node)
                below = bisect_left(node.ids, lowest_id)
                if below == node.count:
                    removed += below  # its last ID belonged to an entry deleted before
                    self._remove_node(self._head)
                elif below:
                    self._cut(node, 0, below)
                    removed += below
            break
        return removed

    def _check(self) -> None:
        """Assert the invariants of the module's text. O(entries)."""
        assert len(self._nodes) == len(self._first_ids)
        assert all(node is None for node in self._nodes[: self._head])
        previous = -1
        total = 0
        for node, first_id in zip(self.nodes(), self._first_ids[self._head :]):
            assert node.first_id == first_id and previous < first_id
            ids, texts, bodies = self.entries_of(node)
            assert 0 < node.count == len(ids) == len(texts) == len(bodies) <= node.slots
            assert ids == sorted(set(ids)) and first_id <= ids[0] and ids[-1] <= node.last_id
            assert texts == [format_id(i) for i in ids]
            if node.packed is not None and node.ids:
                assert node.unpack() == (ids, texts, bodies)
            assert bool(node.ids) == (node in self._open or node is self._nodes[-1])
            newest = bodies[len(bodies) - node.unmeasured :]
            bounds = sum([node.upper_bound(body, sum(map(len, body))) for body in newest])
            exact = sum(node.entry_size(ids[i], bodies[i]) for i in range(-node.unmeasured, 0))
            assert exact <= bounds
            previous = node.last_id
            total += node.count
        assert total == self.length
        assert len(self._open) <= OPEN_NODES
