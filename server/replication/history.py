"""Which history of changes this data set has, and how far it has come.

A history is named by a replication ID; an offset is its length in bytes. A server that is promoted begins a new one
and remembers the old ID as `previous_id`, valid below `previous_until`: whoever followed the old history up to there
may go on with the new one. The stream goes on in the database it was in, and does not name it again: a copy remembers
which, from whatever master it had the last byte. Must not know links or commands.
"""

from __future__ import annotations

import os

from server.replication.backlog import Backlog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

NO_ID = b"0" * 40


def new_id() -> bytes:
    return os.urandom(20).hex().encode()


class History:
    """`offset` may be ahead of the backlog by what the feed has not handed on in this turn."""

    __slots__ = ("id", "previous_id", "offset", "previous_until", "database", "backlog")

    def __init__(self, identity: bytes) -> None:
        self.id = identity
        self.previous_id = NO_ID
        self.offset = 0
        self.previous_until = -1
        self.database = 0  # that the master's stream was in when a link to it ended
        self.backlog: Optional[Backlog] = None

    def begin(self) -> None:
        """Become a history that nobody has a part of."""
        self.id = new_id()
        self.forget_previous()

    def forget_previous(self) -> None:
        self.previous_id = NO_ID
        self.previous_until = -1

    def branch(self, identity: bytes) -> None:
        """Go on under another ID; what happened so far is shared with whoever knows the old one."""
        self.previous_id = self.id
        self.previous_until = self.offset + 1
        self.id = identity

    def adopt(self, identity: bytes, offset: int, database: int) -> None:
        """Become a copy of the master's history."""
        self.id = identity
        self.offset = offset
        self.database = database
        self.forget_previous()
        self.backlog = None

    def open_backlog(self, size: int) -> None:
        if self.backlog is None:
            self.backlog = Backlog(size, self.offset)

    def includes(self, identity: bytes, offset: int) -> bool:
        """Whether a copy of `identity` that wants to go on at `offset` is a copy of this history."""
        return identity == self.id or (identity == self.previous_id and offset <= self.previous_until)
