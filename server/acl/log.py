"""The log of refusals: who was denied what, with repetitions counted instead of listed.

Owns grouping and length; ACL LOG prints it. Times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Deque

GROUPING_MS = 60_000  # the same refusal within this time of the last one is counted there
GROUPING_DEPTH = 10  # as in Redis: only the newest entries are compared


class Entry:
    """One kind of refusal of one user."""

    __slots__ = ("number", "reason", "context", "subject", "username", "client", "count", "created_ms", "updated_ms")

    def __init__(
        self, number: int, reason: bytes, context: bytes, subject: bytes, username: bytes, client: bytes, now_ms: int
    ) -> None:
        self.number = number
        self.reason = reason  # command, key, channel or auth
        self.context = context  # toplevel, multi or lua
        self.subject = subject
        self.username = username
        self.client = client
        self.count = 1
        self.created_ms = self.updated_ms = now_ms


class RefusalLog:
    """Newest first."""

    __slots__ = ("entries", "next_number")

    def __init__(self) -> None:
        self.entries: Deque[Entry] = deque()
        self.next_number = 0

    def add(
        self, reason: bytes, context: bytes, subject: bytes, username: bytes, client: bytes, now_ms: int, length: int
    ) -> None:
        """Note a refusal; `length` is how many entries there may be."""
        if length <= 0:
            self.entries.clear()
            return
        for place, entry in enumerate(self.entries):
            if place >= GROUPING_DEPTH:
                break
            same = (entry.reason, entry.context, entry.subject, entry.username)
            if same == (reason, context, subject, username) and abs(now_ms - entry.updated_ms) <= GROUPING_MS:
                entry.count += 1
                entry.updated_ms = now_ms
                entry.client = client
                del self.entries[place]
                self.entries.appendleft(entry)
                return
        self.entries.appendleft(Entry(self.next_number, reason, context, subject, username, client, now_ms))
        self.next_number += 1
        self.trim(length)

    def trim(self, length: int) -> None:
        while len(self.entries) > length:
            self.entries.pop()

    def clear(self) -> None:
        self.entries.clear()
