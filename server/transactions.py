"""Transactions: the vectors a client queues between MULTI and EXEC, and the keys it watches meanwhile.

Owns who watches what. A watched key that changes, in whatever way, breaks the watcher's next EXEC; the seam's changes
come in through `note`. Must not know how a queued command is run: EXEC's handler asks dispatch.
"""

from __future__ import annotations

from storage.events import EXPIRED, FLUSHED, SWAPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Sequence, Tuple

    from server.registry import CommandSpec
    from server.services import Services
    from server.session import Session
    from storage.database import Database
    from storage.events import Event

    Place = Tuple[int, bytes]


class Transaction:
    """What a session has queued since MULTI."""

    __slots__ = ("vectors", "trips", "is_spoiled", "_measured", "_arguments", "_bytes")

    def __init__(self) -> None:
        self.vectors: List[Tuple[CommandSpec, Sequence[bytes]]] = []
        self.trips = 0  # of all queued commands together: what refuses one of them refuses the EXEC
        self.is_spoiled = False  # a vector was refused, so EXEC will be
        self._measured = self._arguments = self._bytes = 0  # so many vectors have so many arguments and bytes

    def __len__(self) -> int:
        return len(self.vectors)

    def queue(self, spec: CommandSpec, argv: Sequence[bytes], trips: int) -> None:
        """Add a command and what trips it."""
        if not self.is_spoiled:  # what no EXEC will run takes no memory
            self.vectors.append((spec, argv))
            self.trips |= trips

    def measure(self) -> Tuple[int, int]:
        """How many arguments are queued, and how long they are together. O(1) for each over all calls."""
        for _, vector in self.vectors[self._measured :]:
            self._arguments += len(vector)
            self._bytes += sum(map(len, vector))
        self._measured = len(self.vectors)
        return self._arguments, self._bytes

    def spoil(self) -> None:
        self.is_spoiled = True


class Watched:
    """The keys of one watcher. `existed[place]` is whether the key was there when it began to watch."""

    __slots__ = ("existed", "is_broken")

    def __init__(self) -> None:
        self.existed: Dict[Place, bool] = {}
        self.is_broken = False


class Watching:
    """All watchers. Watching and changing a watched key are O(1) for each key and watcher."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.watchers: Dict[Place, Dict[Session, None]] = {}
        self.places = self.watchers  # what `note` wants to hear of

    def watch(self, session: Session, keys: Sequence[bytes]) -> None:
        """Break the session's next EXEC when one of `keys` changes from now on."""
        if session.watched is None:
            session.watched = Watched()
        elif session.watched.is_broken:
            return  # the EXEC is lost already
        if not self.watchers:
            self.services.dispatch.listen(self)
        db = session.db
        for key in keys:
            place = (db.number, key)
            if place not in session.watched.existed:
                session.watched.existed[place] = self.is_there(db, key)
                self.watchers.setdefault(place, {})[session] = None

    def is_there(self, db: Database, key: bytes) -> bool:
        """Whether a key exists for clients; one whose deadline has passed is left where it is."""
        deadline_ms = db.deadline_ms(key)
        return key in db.data and (deadline_ms is None or deadline_ms > db.clock.now_ms)

    def forget(self, session: Session) -> None:
        """Stop watching: EXEC, DISCARD, UNWATCH, RESET, or the client is gone."""
        if session.watched is None:
            return
        self.let_go(session)
        session.watched = None
        if not self.watchers:
            self.services.dispatch.unlisten(self)

    def let_go(self, session: Session) -> None:
        """Take a watcher from all its keys. It keeps listening: who is told of a change must not end that."""
        existed = session.watched.existed
        for place in existed:
            sessions = self.watchers[place]
            del sessions[session]
            if not sessions:
                del self.watchers[place]
        existed.clear()

    def is_broken(self, session: Session) -> bool:
        """Whether a watched key has changed, or has reached its deadline although nobody met it yet."""
        watched = session.watched
        if watched is None:
            return False
        if watched.is_broken:
            return True
        databases = self.services.keyspace.databases
        now_ms = self.services.keyspace.clock.now_ms
        for (number, key), existed in watched.existed.items():
            deadline_ms = databases[number].deadline_ms(key)
            if existed and deadline_ms is not None and deadline_ms <= now_ms:
                return True
        return False

    def end(self, session: Session) -> bool:
        """EXEC has come: stop watching, and say whether it is lost."""
        is_broken = self.is_broken(session)
        self.forget(session)
        return is_broken

    def note(self, db: Database, key: bytes | None, event: Event, session: Session | None) -> None:
        """A change, by whomever, also by the watcher itself."""
        if key is not None:
            if not event.touches:
                return
            place = (db.number, key)
            for watcher in list(self.watchers.get(place, ())):
                # The end of what was over before the watch began is no change.
                if event is not EXPIRED or watcher.watched.existed[place]:
                    watcher.watched.is_broken = True
                    self.let_go(watcher)
        elif event is FLUSHED or event is SWAPPED:
            # An unbroken watch means the key is as it was: what existed then is gone, and what a swap brings is new.
            for (number, name), sessions in self.watchers.items():
                if number == db.number:
                    for watcher in sessions:
                        if watcher.watched.existed[number, name] or self.is_there(db, name):
                            watcher.watched.is_broken = True
