"""The one source of time for the keyspace.

Owns the wall clock in milliseconds as a plain attribute. `now_ms` moves only when somebody calls `refresh`, which
dispatch does between units of work: inside one (a command, an EXEC, a script) time stands still, so that a key cannot
expire between two commands of a transaction. Must not know who waits for what.
"""

from __future__ import annotations

from time import time_ns

NS_PER_MS = 1_000_000


class Clock:
    """Wall time in milliseconds since the epoch, frozen between two calls of `refresh`."""

    __slots__ = ("now_ms", "access_stamp")

    def __init__(self) -> None:
        self.now_ms = time_ns() // NS_PER_MS
        self.access_stamp = self.now_ms // 1000  # one int object shared by every key touched in that second

    def refresh(self) -> int:
        """Move `now_ms` to the present and return it."""
        now_ms = time_ns() // NS_PER_MS
        if now_ms != self.now_ms:
            self.now_ms = now_ms
            stamp = now_ms // 1000
            if stamp != self.access_stamp:
                self.access_stamp = stamp
        return now_ms


class ManualClock(Clock):
    """A clock for tests: it moves when told to."""

    __slots__ = ()

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = now_ms
        self.access_stamp = now_ms // 1000

    def refresh(self) -> int:
        return self.now_ms

    def advance(self, ms: int) -> None:
        """Move time forward (or back) by `ms` milliseconds."""
        self.now_ms += ms
        self.access_stamp = self.now_ms // 1000
