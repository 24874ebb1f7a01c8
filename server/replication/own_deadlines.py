"""Deadlines of keys that clients of a writable replica gave them: no master will delete those keys.

A listener of changes while the replica may be written. Looks ten times a second, as long as there is such a key; the
deadlines themselves stand in the databases, so a key that was changed since is judged by what it is now.
"""

from __future__ import annotations

from time import monotonic

from storage.events import FLUSHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Tuple

    from server.services import Services
    from server.session import Session
    from server.timers import Timer
    from storage.database import Database
    from storage.events import Event

LOOK_S = 0.1


class OwnDeadlines:
    """The keys, by database."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.keys: Dict[Tuple[Database, bytes], None] = {}
        self.timer: Optional[Timer] = None

    def note(self, db: Database, key: Optional[bytes], event: Event, session: Optional[Session]) -> None:
        """A change: remember the key if a client, not the master, left it with a deadline."""
        if key is None:
            if event is FLUSHED and self.keys:
                self.keys = {place: None for place in self.keys if place[0] is not db}
            return
        if session is None or session.kind == b"master" or db.deadline_ms(key) is None:
            return
        self.keys[db, key] = None
        if self.timer is None:
            self.timer = self.services.timers.at(monotonic() + LOOK_S, self.look)

    def look(self) -> None:
        """Delete what is due."""
        self.timer = None
        now_ms = self.services.keyspace.clock.now_ms
        for db, key in list(self.keys):
            deadline_ms = db.deadline_ms(key)
            if deadline_ms is None:
                del self.keys[db, key]
            elif deadline_ms <= now_ms:
                del self.keys[db, key]
                db.expire(key)
        if self.services.keyspace.changes:
            self.services.dispatch.settle_alone()
        if self.keys:
            self.timer = self.services.timers.at(monotonic() + LOOK_S, self.look)

    def clear(self) -> None:
        """The data set is another one, or the server a master again."""
        self.keys.clear()
