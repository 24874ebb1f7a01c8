"""A min-heap of deadlines beside the dictionary that holds the truth.

`live[key]` is the deadline of a key. The heap holds deadlines, each once as a rule, and `buckets` the keys of each: a
heap of integers is popped eight times faster than one of (deadline, key) pairs (1 instead of 8 us with a million
entries), and keys that fall due in the same second share a thousand deadlines. A deadline whose last key has left
stays in the heap, is skipped when it is popped, and the heap is rebuilt when such stale ones outnumber the others; so
memory follows the number of keys that have deadlines, however often they are renewed.

Must not know what a key is the name of: databases use it for keys and for hashes with field deadlines, hashes for
their fields.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Dict, Union

    Bucket = Union[bytes, Dict[bytes, None]]  # one key, or several

STALE_FLOOR = 64  # rebuilding a heap smaller than this saves nothing
NEVER_MS = 1 << 63


def in_seconds(ms: int) -> int:
    """Milliseconds in seconds, as TTL rounds them; what is negative is no time."""
    return ms if ms < 0 else (ms + 500) // 1000


class Alarm:
    """A lower bound of many deadlines, so that asking whether anything is due costs one comparison."""

    __slots__ = ("due_ms",)

    def __init__(self) -> None:
        self.due_ms = NEVER_MS


class Deadlines:
    """Deadlines in milliseconds by key. Set O(log n), discard O(1), next and take amortised O(log n)."""

    __slots__ = ("live", "heap", "buckets", "alarm")

    def __init__(self, alarm: Alarm | None = None) -> None:
        self.alarm = alarm or Alarm()
        self.live: dict[bytes, int] = {}
        self.heap: list[int] = []
        self.buckets: dict[int, Bucket] = {}

    def __len__(self) -> int:
        return len(self.live)

    def set(self, key: bytes, deadline_ms: int) -> None:
        """Give `key` a deadline, instead of the one it may have."""
        live = self.live
        old_ms = live.get(key)
        if old_ms is not None:
            if old_ms == deadline_ms:
                return
            self._leave(key, old_ms)
        live[key] = deadline_ms
        self._enter(key, deadline_ms)
        if deadline_ms < self.alarm.due_ms:
            self.alarm.due_ms = deadline_ms

    def set_all(self, keys: Sequence[bytes], deadline_ms: int) -> None:
        """`set` for several keys, which then are due together."""
        live = self.live
        for key in live.keys() & keys:
            self._leave(key, live.pop(key))
        live.update(dict.fromkeys(keys, deadline_ms))
        self._enter(keys[0], deadline_ms)
        bucket = self.buckets[deadline_ms]
        together = dict.fromkeys(keys)
        if bucket.__class__ is dict:
            bucket.update(together)
        elif len(together) > 1:
            self.buckets[deadline_ms] = together
        if deadline_ms < self.alarm.due_ms:
            self.alarm.due_ms = deadline_ms

    def discard(self, key: bytes) -> bool:
        """Forget the deadline of `key`. True if there was one."""
        old_ms = self.live.pop(key, None)
        if old_ms is None:
            return False
        self._leave(key, old_ms)
        return True

    def _enter(self, key: bytes, deadline_ms: int) -> None:
        bucket = self.buckets.get(deadline_ms)
        if bucket is None:
            self.buckets[deadline_ms] = key
            heappush(self.heap, deadline_ms)
        elif bucket.__class__ is dict:
            bucket[key] = None
        else:
            self.buckets[deadline_ms] = {bucket: None, key: None}  # type: ignore[dict-item]

    def _leave(self, key: bytes, deadline_ms: int) -> None:
        buckets = self.buckets
        bucket = buckets.get(deadline_ms)
        if bucket.__class__ is dict:
            bucket.pop(key, None)
            if bucket:
                return
            del buckets[deadline_ms]
        elif bucket == key:
            del buckets[deadline_ms]
        else:
            return  # `take_due` has taken it out already
        if len(self.heap) > 2 * len(buckets) + STALE_FLOOR:
            self.heap = list(buckets)
            heapify(self.heap)

    def rebuild(self) -> None:
        """Make heap and buckets anew from `live`. O(n)."""
        self.heap = []
        self.buckets = {}
        for key, deadline_ms in self.live.items():
            self._enter(key, deadline_ms)

    def next_ms(self) -> int | None:
        """The earliest deadline, or None."""
        heap, buckets = self.heap, self.buckets
        while heap:
            if heap[0] in buckets:
                return heap[0]
            heappop(heap)
        return None

    def next_due(self, now_ms: int) -> bytes | None:
        """A key with the earliest deadline if that has come; it stays until `discard`."""
        deadline_ms = self.next_ms()
        if deadline_ms is None or deadline_ms > now_ms:
            return None
        bucket = self.buckets[deadline_ms]
        if bucket.__class__ is not dict:
            return bucket  # type: ignore[return-value]
        key, _ = bucket.popitem()
        bucket[key] = None
        return key

    def take_due(self, now_ms: int, count: int) -> list[bytes]:
        """Up to `count` keys whose deadline has come, the earliest first; the caller discards each of them at once."""
        taken: list[bytes] = []
        heap, buckets = self.heap, self.buckets
        while heap and heap[0] <= now_ms and len(taken) < count:
            bucket = buckets.get(heap[0])
            if bucket.__class__ is dict:
                # popitem() alone takes the last entry without looking over those that went before.
                while bucket and len(taken) < count:
                    taken.append(bucket.popitem()[0])
                if bucket:
                    break
            elif bucket is not None:
                taken.append(bucket)  # type: ignore[arg-type]
            buckets.pop(heappop(heap), None)
        return taken

    def parts(self) -> list[Any]:
        """The large objects it consists of: what a slow, piecewise release has to empty, and who wants their sizes."""
        return [self.live, self.heap, self.buckets]

    def clear(self) -> None:
        self.live.clear()
        self.heap.clear()
        self.buckets.clear()

    def _check(self) -> None:
        """Assert that each live key is in the bucket of its deadline, each bucket in the heap, and nothing else."""
        held = {}
        for deadline_ms, bucket in self.buckets.items():
            assert bucket
            for key in bucket if isinstance(bucket, dict) else (bucket,):
                held[key] = deadline_ms
        assert held == self.live
        assert set(self.buckets) <= set(self.heap)
        assert all(self.heap[(i - 1) // 2] <= self.heap[i] for i in range(1, len(self.heap)))
        assert len(self.heap) <= 2 * len(self.buckets) + STALE_FLOOR + 1
