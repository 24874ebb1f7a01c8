"""Consumer groups: what was delivered to whom and not yet acknowledged.

Owns a group's position, its consumers and its pending entries list. Must not know the entries themselves: a
caller asks the log whether an entry still exists and tells the group.

A pending entry is one object reached from two lists, the group's and its consumer's. A list is a dict by ID
for acknowledging, the most frequent thing, and beside it the sorted IDs in chunks for walking. Acknowledging
leaves its ID in the chunks; walking skips it and cleans up what it meets, and the chunks are rebuilt when
more than half is stale. So acknowledging 100 entries costs 35 us instead of 115, and every walk stays
O(log n + returned) amortised.

Invariants (`_check`): every live ID is in exactly one chunk; chunks ascend; the group's list is the disjoint
union of its consumers' lists, sharing the entries.
"""

from __future__ import annotations

from bisect import bisect_left

from storage.types.stream_id import MAX_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

CHUNK_IDS = 1024  # an insertion into the middle moves half a chunk of references
STALE_FLOOR = 256  # stale IDs that are always tolerated, so that small lists are not rebuilt all the time
UNKNOWN = -1  # entries_read of a group whose position in the stream's history cannot be told


class Pending:
    """A delivered entry that waits for its acknowledgement."""

    __slots__ = ("consumer", "delivered_ms", "deliveries")

    def __init__(self, consumer: Consumer, delivered_ms: int, deliveries: int) -> None:
        self.consumer = consumer
        self.delivered_ms = delivered_ms
        self.deliveries = deliveries


class PendingList:
    """Pending entries by ID, in the order of IDs; see the module."""

    __slots__ = ("by_id", "_chunks", "_stored")

    def __init__(self) -> None:
        self.by_id: dict[int, Pending] = {}
        self._chunks: list[list[int]] = []  # none is empty
        self._stored = 0  # IDs in the chunks, stale ones included

    def __len__(self) -> int:
        return len(self.by_id)

    def add(self, entry_id: int, pending: Pending) -> None:
        """Add or replace an entry; O(1) amortised above all others, else O(log n) and part of a chunk."""
        known = len(self.by_id)
        self.by_id[entry_id] = pending
        if len(self.by_id) == known:
            return
        chunks = self._chunks
        if not chunks:
            chunks.append([entry_id])
        elif entry_id > chunks[-1][-1]:
            if len(chunks[-1]) < CHUNK_IDS:
                chunks[-1].append(entry_id)
            else:
                chunks.append([entry_id])
        else:
            index = self._chunk_from(entry_id)
            chunk = chunks[index]
            place = bisect_left(chunk, entry_id)
            if chunk[place] == entry_id:
                return  # acknowledged before, and its ID not yet swept
            chunk.insert(place, entry_id)
            if len(chunk) >= 2 * CHUNK_IDS:
                chunks[index : index + 1] = [chunk[:CHUNK_IDS], chunk[CHUNK_IDS:]]
        self._stored += 1

    def add_run(self, ids: Sequence[int], pending: Sequence[Pending]) -> None:
        """Add ascending entries that are above all others. O(number)."""
        if not ids:
            return
        if len(ids) == 1:  # as who waits for the next one gets it: 0.75 -> 0.35 us
            self.add(ids[0], pending[0])
            return
        chunks = self._chunks
        if chunks and ids[0] <= chunks[-1][-1]:
            for entry_id, one in zip(ids, pending):
                self.add(entry_id, one)
            return
        self.by_id.update(zip(ids, pending))
        self._stored += len(ids)
        if chunks and len(chunks[-1]) + len(ids) <= CHUNK_IDS:
            chunks[-1] += ids
        else:
            chunks.extend(list(ids[i : i + CHUNK_IDS]) for i in range(0, len(ids), CHUNK_IDS))

    def remove(self, entry_id: int) -> Pending | None:
        """Remove an entry and return it, None if there is none; O(1) amortised."""
        pending = self.by_id.pop(entry_id, None)
        if pending is not None and self._stored > 2 * len(self.by_id) + STALE_FLOOR:
            self._rebuild()
        return pending

    def _rebuild(self) -> None:
        ids = sorted(self.by_id)
        self._chunks = [ids[i : i + CHUNK_IDS] for i in range(0, len(ids), CHUNK_IDS)]
        self._stored = len(ids)

    def _chunk_from(self, start: int) -> int:
        """Return the index of the first chunk whose last ID is at or above `start`."""
        chunks = self._chunks
        low, high = 0, len(chunks)
        while low < high:
            middle = (low + high) >> 1
            if chunks[middle][-1] < start:
                low = middle + 1
            else:
                high = middle
        return low

    def walk(self, start: int = 0, end: int = MAX_ID) -> Iterator[int]:
        """Yield the IDs from `start` to `end`. Entries may be removed meanwhile, not added."""
        by_id = self.by_id
        chunks = self._chunks
        index = self._chunk_from(start)
        while index < len(chunks):
            chunk = chunks[index]
            if self._stored > len(by_id) and (len(chunk) > 1 or chunk[0] not in by_id):
                live = [entry_id for entry_id in chunk if entry_id in by_id]
                if len(live) < len(chunk) and chunks is self._chunks:
                    self._stored -= len(chunk) - len(live)
                    if not live:
                        del chunks[index]
                        continue
                    chunks[index] = chunk = live
            for place in range(bisect_left(chunk, start), len(chunk)):
                entry_id = chunk[place]
                if entry_id > end:
                    return
                if entry_id in by_id:
                    yield entry_id
            index += 1

    def first(self) -> int:
        """Return the lowest ID, 0 if the list is empty."""
        return next(self.walk(), 0)

    def last(self) -> int:
        """Return the highest ID, 0 if the list is empty; sweeps stale IDs off the end."""
        chunks = self._chunks
        while chunks:
            chunk = chunks[-1]
            while chunk and chunk[-1] not in self.by_id:
                chunk.pop()
                self._stored -= 1
            if chunk:
                return chunk[-1]
            chunks.pop()
        return 0

    def parts(self) -> list[Any]:
        """What a piecewise release has to empty."""
        return [self.by_id, self._chunks]

    def _check(self) -> None:
        stored = [entry_id for chunk in self._chunks for entry_id in chunk]
        assert stored == sorted(set(stored)) and all(self._chunks)
        assert len(stored) == self._stored
        assert set(self.by_id) <= set(stored)
        assert len(stored) <= 2 * len(self.by_id) + STALE_FLOOR + 1


class Consumer:
    """A member of a group: when it was last seen, when it last got or claimed something (-1: never)."""

    __slots__ = ("name", "seen_ms", "active_ms", "pending")

    def __init__(self, name: bytes, now_ms: int) -> None:
        self.name = name
        self.seen_ms = now_ms
        self.active_ms = -1
        self.pending = PendingList()


class ConsumerGroup:
    """A position in a stream, and the entries delivered up to it that are pending."""

    __slots__ = ("last_id", "entries_read", "pending", "consumers")

    def __init__(self, last_id: int, entries_read: int = UNKNOWN) -> None:
        self.last_id = last_id
        self.entries_read = entries_read
        self.pending = PendingList()
        self.consumers: dict[bytes, Consumer] = {}

    def add_consumer(self, name: bytes, now_ms: int) -> Consumer:
        consumer = self.consumers[name] = Consumer(name, now_ms)
        return consumer

    def remove_consumer(self, name: bytes) -> int | None:
        """Remove a consumer with its pending entries; return their number, None if there is no consumer."""
        consumer = self.consumers.pop(name, None)
        if consumer is None:
            return None
        for entry_id in consumer.pending.by_id:
            self.pending.remove(entry_id)
        return len(consumer.pending)

    def sorted_consumers(self) -> list[Consumer]:
        """Return the consumers in the order of their names, as reports list them."""
        return [self.consumers[name] for name in sorted(self.consumers)]

    def deliver(self, ids: Sequence[int], consumer: Consumer, now_ms: int) -> None:
        """Make ascending entries pending for a consumer, as delivered for the first time."""
        known = self.pending.by_id
        if known:
            for entry_id in ids:
                if entry_id in known:  # the group's position was set back
                    pending = known[entry_id]
                    pending.consumer.pending.remove(entry_id)
        new = [Pending(consumer, now_ms, 1) for _ in ids]
        self.pending.add_run(ids, new)
        consumer.pending.add_run(ids, new)

    def load_pending(self, entry_id: int, consumer: Consumer, delivered_ms: int, deliveries: int) -> None:
        """Make one entry pending, as a snapshot has it."""
        pending = Pending(consumer, delivered_ms, deliveries)
        self.pending.add(entry_id, pending)
        consumer.pending.add(entry_id, pending)

    def acknowledge(self, entry_id: int) -> bool:
        """Forget a pending entry; False if it is not pending. O(1) amortised."""
        pending = self.pending.remove(entry_id)
        if pending is None:
            return False
        pending.consumer.pending.remove(entry_id)
        return True

    def claim(
        self,
        entry_id: int,
        consumer: Consumer,
        delivered_ms: int,
        deliveries: int | None,
        force: bool = False,
    ) -> Pending | None:
        """Make a pending entry a consumer's; with `force` also one that is not pending.

        `deliveries` None counts one more. Returns None if the entry is not pending.
        """
        pending = self.pending.by_id.get(entry_id)
        if pending is None:
            if not force:
                return None
            pending = Pending(consumer, delivered_ms, 1)
            self.pending.add(entry_id, pending)
            consumer.pending.add(entry_id, pending)
        elif pending.consumer is not consumer:
            pending.consumer.pending.remove(entry_id)
            consumer.pending.add(entry_id, pending)
            pending.consumer = consumer
        pending.delivered_ms = delivered_ms
        if deliveries is None:
            pending.deliveries += 1
        else:
            pending.deliveries = deliveries
        return pending

    def parts(self) -> list[Any]:
        """What a piecewise release has to empty."""
        lists = [self.pending, *[consumer.pending for consumer in self.consumers.values()]]
        return [part for pending in lists for part in pending.parts()]

    def copy(self) -> ConsumerGroup:
        """Return an independent group."""
        other = ConsumerGroup(self.last_id, self.entries_read)
        for consumer in self.consumers.values():
            twin = other.add_consumer(consumer.name, consumer.seen_ms)
            twin.active_ms = consumer.active_ms
            ids = list(consumer.pending.walk())
            originals = [consumer.pending.by_id[entry_id] for entry_id in ids]
            twin.pending.add_run(ids, [Pending(twin, one.delivered_ms, one.deliveries) for one in originals])
        for entry_id in self.pending.walk():
            owner = other.consumers[self.pending.by_id[entry_id].consumer.name]
            other.pending.add(entry_id, owner.pending.by_id[entry_id])
        return other

    def _check(self) -> None:
        """Assert the invariants of the module's text. O(pending entries)."""
        self.pending._check()
        total = 0
        for name, consumer in self.consumers.items():
            assert consumer.name == name
            consumer.pending._check()
            total += len(consumer.pending)
            for entry_id, pending in consumer.pending.by_id.items():
                assert pending.consumer is consumer and self.pending.by_id[entry_id] is pending
        assert total == len(self.pending)
