"""The slow log: the latest commands that took `slowlog-log-slower-than` microseconds or more.

Owns the entries, newest first, with long vectors cut; secrets are left out (server.redaction). Must not know replies.
"""

from __future__ import annotations

from collections import deque

from server.redaction import redacted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Deque, List, Sequence

    from server.services import Services
    from server.session import Session

MAX_ARGUMENTS = 32
MAX_BYTES = 128  # of one argument


class Entry:
    """One slow command. `duration_us` is what it ran, without its client's waiting."""

    __slots__ = ("number", "time_s", "duration_us", "argv", "address", "name")

    def __init__(self, number: int, time_s: int, duration_us: int, argv: List[bytes], session: Session) -> None:
        self.number = number
        self.time_s = time_s
        self.duration_us = duration_us
        self.argv = argv
        self.address = session.address
        self.name = session.name


class SlowLog:
    """At most `slowlog-max-len` entries; a smaller limit holds from the next one on, as in Redis.

    Adding is O(1); numbers grow from 0 and survive a reset.
    """

    def __init__(self, services: Services) -> None:
        self.services = services
        self.entries: Deque[Entry] = deque()
        self.next_number = 0

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, session: Session, argv: Sequence[bytes], duration_us: int) -> None:
        config = self.services.config
        if not config.slowlog_max_len:
            return
        shown = cut(redacted(argv, config))
        time_s = self.services.keyspace.clock.now_ms // 1000
        self.entries.appendleft(Entry(self.next_number, time_s, duration_us, shown, session))
        self.next_number += 1
        while len(self.entries) > config.slowlog_max_len:
            self.entries.pop()


def cut(argv: Sequence[bytes]) -> List[bytes]:
    """The vector as an entry keeps it: at most 32 arguments of at most 128 bytes, saying what is left out."""
    count = len(argv)
    if count > MAX_ARGUMENTS:
        argv = argv[: MAX_ARGUMENTS - 1]
    # bytes(): the log must not keep a large buffer alive for the sake of a slice.
    shown = [
        bytes(word)
        if len(word) <= MAX_BYTES
        else bytes(word[:MAX_BYTES]) + b"... (%d more bytes)" % (len(word) - MAX_BYTES)
        for word in argv
    ]
    if count > MAX_ARGUMENTS:
        shown.append(b"... (%d more arguments)" % (count - MAX_ARGUMENTS + 1))
    return shown
