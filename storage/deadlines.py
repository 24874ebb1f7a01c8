"""A min-heap of deadlines beside the dictionary that holds the truth.

`live[key]` is the deadline of a key; the heap holds `(deadline_ms, key)` in order of time and may hold stale entries:
a deadline that was changed or removed leaves one behind, which is skipped when it is popped. The heap is rebuilt when
stale entries outnumber the live ones, so its memory follows the number of keys that have deadlines, however often
they are renewed. Must not know what a key is the name of: databases use it for keys and for hashes with field
deadlines, hashes for their fields.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

STALE_FLOOR = 64  # rebuilding a heap smaller than this saves nothing
NEVER_MS = 1 << 63


class Alarm:
    """A lower bound of many deadlines, so that asking whether anything is due costs one comparison."""

    __slots__ = ("due_ms",)

    def __init__(self) -> None:
        self.due_ms = NEVER_MS


class Deadlines:
    """Deadlines in milliseconds by key. Set O(log n), discard O(1), next and pop amortised O(log n)."""

    __slots__ = ("live", "heap", "alarm")

    def __init__(self, alarm: Alarm | None = None) -> None:
        self.alarm = alarm or Alarm()
        self.live: dict[bytes, int] = {}
        self.heap: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self.live)

    def set(self, key: bytes, deadline_ms: int) -> None:
        """Give `key` a deadline, instead of the one it may have."""
        live = self.live
        if live.get(key) == deadline_ms:
            return
        live[key] = deadline_ms
        if deadline_ms < self.alarm.due_ms:
            self.alarm.due_ms = deadline_ms
        heap = self.heap
        if len(heap) > 2 * len(live) + STALE_FLOOR:
            self.rebuild()
        else:
            heappush(heap, (deadline_ms, key))

    def discard(self, key: bytes) -> bool:
        """Forget the deadline of `key`; its heap entry goes stale. True if there was one."""
        if self.live.pop(key, None) is None:
            return False
        if not self.live:
            self.heap.clear()
        elif len(self.heap) > 2 * len(self.live) + STALE_FLOOR:
            self.rebuild()
        return True

    def rebuild(self) -> None:
        """Drop every stale entry. O(n)."""
        self.heap = [(deadline_ms, key) for key, deadline_ms in self.live.items()]
        heapify(self.heap)

    def next_ms(self) -> int | None:
        """The earliest deadline, or None."""
        heap, live = self.heap, self.live
        while heap:
            deadline_ms, key = heap[0]
            if live.get(key) == deadline_ms:
                return deadline_ms
            heappop(heap)
        return None

    def next_due(self, now_ms: int) -> bytes | None:
        """The key with the earliest deadline if that has come; it stays until `discard`."""
        heap, live = self.heap, self.live
        while heap:
            deadline_ms, key = heap[0]
            if deadline_ms > now_ms:
                return None
            if live.get(key) == deadline_ms:
                return key
            heappop(heap)
        return None

    def clear(self) -> None:
        self.live.clear()
        self.heap.clear()

    def _check(self) -> None:
        """Assert that each live deadline has its heap entry and the heap is in order."""
        entries = set(self.heap)
        assert all((deadline_ms, key) in entries for key, deadline_ms in self.live.items())
        assert all(self.heap[(i - 1) // 2] <= self.heap[i] for i in range(1, len(self.heap)))
        assert len(self.heap) <= 2 * len(self.live) + STALE_FLOOR + 1
