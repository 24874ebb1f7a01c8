"""Command handlers called directly: a session on a keyspace of its own, with recorded changes and no sockets.

Must not know what the commands do.
"""

from __future__ import annotations

from types import SimpleNamespace

from server.session import Session
from storage.clock import ManualClock
from storage.errors import CommandError
from storage.keyspace import Keyspace

PROTO_MAX_BULK_LEN = 512 * 1024 * 1024


class Desk:
    """Runs handlers; `events` and `propagated` tell what the last one changed and sent on."""

    def __init__(self) -> None:
        self.keyspace = Keyspace(1, ManualClock())
        self.keyspace.record(True)
        config = SimpleNamespace(proto_max_bulk_len=PROTO_MAX_BULK_LEN)
        self.session = Session(1, SimpleNamespace(keyspace=self.keyspace, config=config))
        self.db = self.keyspace.databases[0]
        self.events: list[tuple[bytes, bytes, int]] = []
        self.propagated: list[tuple[bytes, ...]] | None = None

    def run(self, handler, *words):
        """Call a handler with its words (text becomes bytes); returns its reply, or the text of its refusal."""
        argv = [word.encode() if isinstance(word, str) else word for word in words]
        self.keyspace.changes.clear()
        self.session.propagation = None
        try:
            return handler(self.session, argv)
        except CommandError as refusal:
            return refusal.text
        finally:
            self.events = [(key, event.name, count) for _, key, event, count in self.keyspace.changes]
            self.propagated = self.session.propagation
