"""Freeing large containers a little at a time.

Dropping the last reference to a container of ten million objects stops the interpreter for a second. What FLUSHALL,
UNLINK, DEL and overwriting leave behind is buried here at once and drained in slices between units of work. Must not
know what the containers meant.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SMALL = 1024  # freeing this many elements at once costs less than keeping account of them
LARGE = 479  # bytes; a longer string is in a piece of malloc's memory, not in the interpreter's blocks
SLICE = 512  # elements freed between two looks at the clock, about 30 us


class Graveyard:
    """Containers on their way out. Bury O(1), drain O(elements freed)."""

    __slots__ = ("waiting", "freed", "buried", "buried_large", "buried_bytes", "buried_containers")

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.freed = 0  # values that count as freed in the background; counted by who knows what a value is
        # Values that were ever buried: all, large strings and their bytes, containers. See server.heap_guess.
        self.buried = 0
        self.buried_large = 0
        self.buried_bytes = 0
        self.buried_containers = 0

    def __len__(self) -> int:
        return len(self.waiting)

    def bury(self, value: Any) -> None:
        """Take the value of a key that is gone, and nobody else refers to. Small ones are simply dropped."""
        if value.__class__ is bytes or value.__class__ is bytearray:
            self.buried += 1
            size = len(value)
            if size > LARGE:
                self.buried_large += 1
                self.buried_bytes += size
        elif value is not None:
            self.buried += 1
            self.buried_containers += 1
            self.bury_table(value)

    def bury_table(self, table: Any) -> None:
        """`bury` for what is no key's value."""
        if len(table) > SMALL:
            parts = table.parts() if hasattr(table, "parts") else (table,)
            self.waiting.extend(parts)

    def drain(self, budget_ns: int) -> bool:
        """Free elements for about `budget_ns`; True when nothing is left."""
        deadline = perf_counter_ns() + budget_ns
        while self.waiting:
            container = self.waiting[-1]
            if isinstance(container, dict):
                pop: Any = container.popitem
            elif isinstance(container, (list, deque)):
                pop = container.pop
            else:
                self.waiting.pop()
                continue
            had_elements = bool(container)
            while container:
                for _ in range(min(SLICE, len(container))):
                    pop()
                if perf_counter_ns() > deadline:
                    return False
            if had_elements and perf_counter_ns() > deadline - budget_ns // 2:
                return False  # giving back the table of a million keys takes 2 to 4 ms: in a slice of its own
            self.waiting.pop()
            del container, pop  # the last references
            if perf_counter_ns() > deadline:
                return not self.waiting
        return True
