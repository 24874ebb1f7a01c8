"""Client tracking: which clients may keep which keys in a cache of their own, and telling them when a key changes.

In the default mode a client's reads are remembered (`table`: key to client ids) until the key changes, in broadcasting
mode a client names prefixes and hears of every key that begins with one, once for all commands of a turn. Listens to
the seam only while some client tracks. Owns the tables and the frames of the messages; must not know commands.

Keys are remembered without their database, as in Redis: a change in any of them counts. An id stays in the table when
its client stops tracking or goes away; it is met, and skipped, when the key changes.
"""

from __future__ import annotations

from bisect import bisect_right
from time import monotonic

from protocol.encoder import RESP2
from protocol.reply import Push
from server import admission
from storage.errors import CommandError
from storage.events import EVICTED, EXPIRED, FLUSHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence

    from server.config.configuration import Config
    from server.registry import CommandSpec
    from server.services import Services
    from server.session import Session
    from server.timers import Timer
    from storage.database import Database
    from storage.events import Event

    Holders = Dict[int, None]

CHANNEL = b"__redis__:invalidate"
EVICTIONS = 100  # keys dropped at once when the table is over its limit, times the turns it has been
SHRINK_EVERY_S = 0.01  # from one such drop to the next, when the limit was lowered; Redis looks with every command


class Tracking:
    """How one client tracks."""

    __slots__ = ("redirect", "is_broadcasting", "is_broken", "opts_in", "opts_out", "skips_own", "prefixes", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.redirect = 0  # the id of the client that is told instead, or 0
        self.is_broadcasting = False
        self.is_broken = False  # the redirection's client is gone
        self.opts_in = False
        self.opts_out = False
        self.skips_own = False
        self.prefixes: Dict[bytes, None] = {}

    @property
    def is_caching(self) -> bool:
        """Whether CLIENT CACHING was said about the command under way or the next one."""
        return bool(self.session.mode & admission.CACHING)

    def flag_names(self) -> List[bytes]:
        """The flags of CLIENT TRACKINGINFO."""
        names = [b"on"]
        if self.is_broadcasting:
            names.append(b"bcast")
        if self.opts_in:
            names.append(b"optin")
            if self.is_caching:
                names.append(b"caching-yes")
        if self.opts_out:
            names.append(b"optout")
            if self.is_caching:
                names.append(b"caching-no")
        if self.skips_own:
            names.append(b"noloop")
        if self.is_broken:
            names.append(b"broken_redirect")
        return names


class Prefix:
    """A prefix of broadcasting clients: who they are, and the keys that changed in this turn with who changed each."""

    __slots__ = ("sessions", "changed")

    def __init__(self) -> None:
        self.sessions: Dict[Session, None] = {}
        self.changed: Dict[bytes, Optional[Session]] = {}


class TrackingTable:
    """All tracking clients. Remembering is O(1) a key, a change O(holders of the key + prefixes)."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.table: Dict[bytes, Holders] = {}
        self.total_items = 0
        self.prefixes: Dict[bytes, Prefix] = {}
        self.sessions: Dict[Session, None] = {}
        self.after_notifications = Expirations(self)
        self.victims: List[bytes] = []  # oldest keys last, as they were when the list was made
        self.turns_over_limit = 0
        self.precedes_reply = False  # what is told now: of a flush its client waits for, of keys given up for a command
        self.shrinking: Optional[Timer] = None  # one chain of turns, however often the limit is set
        services.config.on_change("tracking-table-max-keys", self.follow)
        self.flushed_in = -1  # the batch of changes that was answered with one message for all databases

    @property
    def total_keys(self) -> int:
        return len(self.table)

    @property
    def total_prefixes(self) -> int:
        return len(self.prefixes)

    # Beginning and ending --------------------------------------------------------------------------------------

    def enable(self, session: Session, redirect: int, options: Sequence[bytes], prefixes: Sequence[bytes]) -> None:
        """Begin to track, or change how. `options` are those of CLIENT TRACKING, in capitals; they fit together."""
        tracking = session.tracking
        if tracking is None:
            tracking = session.tracking = Tracking(session)
            if not self.sessions:
                dispatch = self.services.dispatch
                dispatch.listen(self, first=True)
                dispatch.listen(self.after_notifications)
            self.sessions[session] = None
        tracking.is_broken = False
        tracking.redirect = redirect
        tracking.is_broadcasting = b"BCAST" in options
        tracking.opts_in = b"OPTIN" in options
        tracking.opts_out = b"OPTOUT" in options
        tracking.skips_own = b"NOLOOP" in options
        session.set_mode(admission.TRACKING, not tracking.is_broadcasting)
        if tracking.is_broadcasting:
            for prefix in prefixes or (b"",):
                tracking.prefixes[prefix] = None
                if prefix not in self.prefixes:
                    self.prefixes[prefix] = Prefix()
                self.prefixes[prefix].sessions[session] = None

    def forget(self, session: Session) -> None:
        """Stop tracking: it was turned off, RESET, or the client is gone."""
        tracking, session.tracking = session.tracking, None
        session.set_mode(admission.TRACKING | admission.CACHING, False)
        if tracking is None:
            return
        for name in tracking.prefixes:
            prefix = self.prefixes[name]
            del prefix.sessions[session]
            if not prefix.sessions:
                del self.prefixes[name]
        self.sessions.pop(session, None)
        if not self.sessions:
            self.services.dispatch.unlisten(self)
            self.services.dispatch.unlisten(self.after_notifications)
            self.table = {}  # from now on nobody sees the changes that would empty it
            self.total_items = 0

    def refuse_overlap(self, session: Session, prefixes: Sequence[bytes]) -> None:
        """A client's prefixes must not overlap: it would hear of a key twice."""
        own = sorted(session.tracking.prefixes) if session.tracking is not None else []
        found = first_overlap(prefixes)
        places = enumerate(prefixes) if own else ()
        for place, prefix in places:
            if found is not None and place > found[0]:
                break
            # They do not overlap each other: what this one begins with stands right before it, what it begins after it.
            at = bisect_right(own, prefix)
            for other in own[:1] + own[max(0, at - 1) : at + 1]:  # first comes the empty one that BCAST alone adds
                if prefix.startswith(other) or other.startswith(prefix):
                    raise overlap(prefix, b"an existing", other)
        if found is not None:
            raise overlap(prefixes[found[0]], b"another provided", prefixes[found[1]])

    # Remembering -----------------------------------------------------------------------------------------------

    def note_read(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> None:
        """A tracking client has read the keys of a vector (whether or not they are there)."""
        tracking = session.tracking
        if tracking is None or tracking.is_broadcasting:
            return
        if (tracking.opts_in and not tracking.is_caching) or (tracking.opts_out and tracking.is_caching):
            return
        number = session.id
        table = self.table
        for place, _ in spec.keys_of(argv):
            key = argv[place]
            holders = table.get(key)
            if holders is None:
                table[key] = {number: None}
                self.total_items += 1
            elif number not in holders:
                holders[number] = None
                self.total_items += 1
        limit = self.services.config.tracking_table_max_keys
        if limit and len(table) > limit:
            self.shrink(limit)

    def shrink(self, limit: int) -> None:
        """Invalidate keys to come back to the limit, more of them each time that it was not enough."""
        for _ in range(EVICTIONS * (self.turns_over_limit + 1)):
            if len(self.table) <= limit:
                self.turns_over_limit = 0
                return
            while True:
                if not self.victims:
                    self.victims = list(reversed(self.table))
                key = self.victims.pop()
                if key in self.table:
                    break
            self.invalidate(key)
        self.turns_over_limit = 0 if len(self.table) <= limit else self.turns_over_limit + 1

    # Telling ---------------------------------------------------------------------------------------------------

    def note(self, db: Database, key: bytes | None, event: Event, session: Session | None) -> None:
        """A change; one by expiry is told after its notification, by `after_notifications`."""
        if key is None:
            if event is FLUSHED and self.services.dispatch.settled != self.flushed_in:
                self.flushed_in = self.services.dispatch.settled
                self.invalidate_all()
        elif event is EVICTED:
            self.precedes_reply = True  # room is made before the command runs
            self.note_change(key, session)
            self.precedes_reply = False
        elif event is not EXPIRED and event.touches:
            self.note_change(key, session)

    def note_change(self, key: bytes, session: Session | None) -> None:
        if self.prefixes:
            for name, prefix in self.prefixes.items():
                if key.startswith(name):
                    prefix.changed[key] = session
        if key in self.table:
            self.invalidate(key)

    def invalidate(self, key: bytes) -> None:
        """Tell those who hold a key, and forget that they do."""
        holders = self.table.pop(key)
        self.total_items -= len(holders)
        by_id = self.services.clients.by_id
        current = self.services.dispatch.current
        for number in holders:
            session = by_id.get(number)
            if session is None or session.tracking is None or session.tracking.is_broadcasting:
                continue
            if session.tracking.skips_own and session is current:
                continue
            self.tell(session, [key])

    def invalidate_all(self) -> None:
        """A database was flushed: everything that anybody holds may be gone."""
        self.table = {}
        self.total_items = 0
        for session in self.sessions:
            self.tell(session, None)
        if self.precedes_reply:
            self.broadcast()  # Redis sleeps before it replies
            self.precedes_reply = False

    def follow(self, config: Config) -> None:
        """Obey another limit, once CONFIG SET is answered."""
        if self.shrinking is not None:
            self.shrinking.cancel()
        self.shrinking = self.services.timers.at(0.0, self.keep_to_limit)

    def keep_to_limit(self) -> None:
        """The limit may have been lowered: let go of keys, some at a time."""
        limit = self.services.config.tracking_table_max_keys
        if limit and len(self.table) > limit:
            self.shrink(limit)
            self.shrinking = self.services.timers.at(monotonic() + SHRINK_EVERY_S, self.keep_to_limit)

    def broadcast(self) -> None:
        """Before sleeping: tell broadcasting clients of the keys that changed in this turn."""
        if not self.prefixes:
            return
        for name in sorted(self.prefixes):
            prefix = self.prefixes[name]
            if not prefix.changed:
                continue
            changed, prefix.changed = prefix.changed, {}
            keys = sorted(changed)
            body = RESP2[list](keys)
            for session in list(prefix.sessions):
                if not session.tracking.skips_own:
                    self.tell(session, keys, body)
                else:
                    foreign = [key for key in keys if changed[key] is not session]
                    if foreign:
                        self.tell(session, foreign)

    def tell(self, session: Session, keys: Optional[List[bytes]], body: Optional[bytes] = None) -> None:
        """Send an invalidation to where a client wants it; `body` are the keys as an array where that is known."""
        target = session
        tracking = session.tracking
        if tracking.redirect:
            found = self.services.clients.by_id.get(tracking.redirect)
            if found is None:
                tracking.is_broken = True
                if session.resp == 3:
                    broken = Push([b"tracking-redir-broken", tracking.redirect])
                    self.send(session, session, session.encoders[Push](broken))
                return
            target = found
        if target.resp == 3:
            head = b">2\r\n$10\r\ninvalidate\r\n"
        elif target is not session and target.subscriptions is not None and len(target.subscriptions):
            head = b"*3\r\n$7\r\nmessage\r\n$%d\r\n%b\r\n" % (len(CHANNEL), CHANNEL)
        else:
            return  # RESP2 has no place for it among the replies
        if body is None:
            body = RESP2[list](keys) if keys is not None else target.encoders[type(None)](None)
        self.send(session, target, head + body)

    def send(self, session: Session, target: Session, data: bytes) -> None:
        """Send now; after the reply and after messages to the same client where it is the tracking client's command."""
        dispatch = self.services.dispatch
        if (session is not dispatch.current and target is not dispatch.current) or self.precedes_reply:
            target.send_encoded(data)
            return
        dispatch.deferred_last.append((target, data))


def overlap(prefix: bytes, kind: bytes, other: bytes) -> CommandError:
    return CommandError(
        b"ERR Prefix '%b' overlaps with %b prefix '%b'. Prefixes for a single client must not overlap."
        % (prefix, kind, other)
    )


def first_overlap(prefixes: Sequence[bytes]) -> Optional[tuple[int, int]]:
    """The places of the first of these words that overlaps a later one, and of the first such one. O(n log n).

    In their order each word comes after all that it begins with: these are kept, with the first place among them.
    """
    found: Optional[tuple[int, int]] = None
    chain: List[tuple[bytes, int]] = []
    for place in sorted(range(len(prefixes)), key=prefixes.__getitem__):
        word = prefixes[place]
        while chain and not word.startswith(chain[-1][0]):
            chain.pop()
        first = place
        if chain:
            first = chain[-1][1]
            pair = (min(first, place), max(first, place))
            if found is None or pair < found:
                found = pair
        chain.append((word, min(first, place)))
    return found


class Expirations:
    """The part of the table that is told last: an expired key is invalidated after its notification."""

    __slots__ = ("table",)

    def __init__(self, table: TrackingTable) -> None:
        self.table = table

    def note(self, db: Database, key: bytes | None, event: Event, session: Session | None) -> None:
        if event is EXPIRED and key is not None:
            self.table.note_change(key, None)
