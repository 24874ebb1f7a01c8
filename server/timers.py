"""Calls that are due later, for the reactor's one thread.

Times are seconds of the monotonic clock, given by the caller, so tests use plain numbers. Cancelling is lazy: a
cancelled call stays in the heap until it is met, and the heap is rebuilt when cancelled ones outnumber the others.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional, Tuple

CANCELLED_FLOOR = 64


class Timer:
    """A call to come. `cancel` may be called at any time, also after it ran."""

    __slots__ = ("call", "queue")

    def __init__(self, call: Callable[[], None], queue: TimerQueue) -> None:
        self.call: Optional[Callable[[], None]] = call
        self.queue = queue

    def cancel(self) -> None:
        if self.call is not None:
            self.call = None
            self.queue.forget_one()


class TimerQueue:
    """A heap of timers. Adding O(log n), the time to the next O(1) amortised."""

    __slots__ = ("heap", "sequence", "cancelled", "on_fault")

    def __init__(self) -> None:
        self.heap: List[Tuple[float, int, Timer]] = []
        self.sequence = 0  # keeps timers of the same time in the order they were added
        self.cancelled = 0
        self.on_fault: Optional[Callable[[Callable[[], None]], None]] = None  # told of a call that has raised

    def __len__(self) -> int:
        return len(self.heap) - self.cancelled

    def at(self, when_s: float, call: Callable[[], None]) -> Timer:
        """Run `call` once the clock has reached `when_s`."""
        timer = Timer(call, self)
        self.sequence += 1
        heappush(self.heap, (when_s, self.sequence, timer))
        return timer

    def forget_one(self) -> None:
        self.cancelled += 1
        if self.cancelled > CANCELLED_FLOOR and self.cancelled * 2 > len(self.heap):
            self.heap = [entry for entry in self.heap if entry[2].call is not None]
            heapify(self.heap)
            self.cancelled = 0

    def next_s(self) -> float | None:
        """When the next timer is due, or None."""
        while self.heap:
            if self.heap[0][2].call is not None:
                return self.heap[0][0]
            heappop(self.heap)
            self.cancelled -= 1
        return None

    def run_due(self, now_s: float) -> int:
        """Run what is due; what these calls add is left for the next time. Returns how many ran."""
        due = []
        while self.heap and self.heap[0][0] <= now_s:
            timer = heappop(self.heap)[2]
            if timer.call is None:
                self.cancelled -= 1
            else:
                due.append(timer)
        for timer in due:
            call, timer.call = timer.call, None
            if call is None:
                self.cancelled -= 1  # cancelled by an earlier one of these calls
                continue
            try:
                call()
            except Exception:
                if self.on_fault is None:
                    raise
                self.on_fault(call)
        return len(due)
