"""The ordered checks of a command whose `trips` met a condition that holds.

Everything here is off the hot path. The order is Redis's, because the first refusal is what the client reads:
authentication, what no transaction takes, permission, memory, disk, replicas, read-only, subscribed, stale, loading,
busy, paused, MULTI. A new condition adds a bit to server.admission and a method here. Services put their own checks
into the slots below.
"""

from __future__ import annotations

from protocol.reply import NULL, QUEUED, ErrorReply
from server import admission as when
from server import registry as declared
from server.session import PAUSED
from storage.errors import (
    BUSY_SCRIPT,
    LOADING,
    MASTER_DOWN,
    NO_AUTH,
    NO_REPLICAS,
    READ_ONLY,
    CommandError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Sequence

    from protocol.parser import Vectors
    from server.dispatch import Dispatcher
    from server.registry import CommandSpec
    from server.services import Services
    from server.session import Session

ASIDE = object()  # the vector was kept for later; the session is halted

RUNS_IN_MULTI = frozenset((b"exec", b"discard", b"multi", b"watch", b"quit", b"reset"))
RUNS_SUBSCRIBED = frozenset(
    (
        b"ping",
        b"subscribe",
        b"ssubscribe",
        b"psubscribe",
        b"unsubscribe",
        b"sunsubscribe",
        b"punsubscribe",
        b"quit",
        b"reset",
    )
)

# With NO-TOUCH: the one that touches all the same, and those that run others, of which each is asked for itself.
TOUCHES = frozenset((b"touch", b"exec", b"eval", b"eval_ro", b"evalsha", b"evalsha_ro", b"fcall", b"fcall_ro"))
# What a replica may say once it is one. MONITOR is heard and changes nothing.
RUNS_ON_LINK = frozenset((b"replconf", b"psync", b"sync", b"monitor"))


class Gate:
    """Admits, refuses (CommandError), answers in the command's stead, or puts a vector aside."""

    def __init__(self, dispatch: Dispatcher, services: Services) -> None:
        self.dispatch = dispatch
        self.services = services
        self.check_permission: Optional[Callable[[Session, CommandSpec, Sequence[bytes]], None]] = None
        self.check_memory: Optional[Callable[[Session, CommandSpec, Sequence[bytes]], None]] = None
        self.has_room: Optional[Callable[[Vectors], bool]] = None  # `check_memory` of a batch that needs none
        self.evict_clients: Optional[Callable[[Session, Sequence[bytes]], bool]] = None
        self.await_index: Optional[Callable[[Session, CommandSpec, Sequence[bytes]], bool]] = None
        self.disk_refusal: Callable[[], bytes] = lambda: b"MISCONF Errors writing to disk."
        self.busy_refusal = BUSY_SCRIPT  # which of its two wordings, while a script runs on
        self.feed_monitors: Optional[Callable[[Session, Sequence[bytes]], None]] = None
        self.note_tracked: Optional[Callable[[Session, CommandSpec, Sequence[bytes]], None]] = None

    def admit(self, session: Session, spec: CommandSpec, argv: Sequence[bytes], tripped: int) -> Any:
        """None to run it; ASIDE; or the reply to give instead of running it. `tripped` may be stale: see below."""
        mode = self.trips_of(session, spec, argv) & (self.dispatch.mode | session.mode)
        if not mode or (mode == when.IN_MULTI and spec.name in RUNS_IN_MULTI):
            return None
        return self.judge(session, spec, argv, mode)

    def trips_of(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> int:
        """What may refuse a vector: EXEC for what it runs, EVAL and FCALL for what the flags of their script say."""
        if spec.flags & declared.RUNS_SCRIPT:
            return self.services.scripting.trips_of(spec, argv)
        if spec.name == b"exec" and session.transaction is not None:
            return spec.trips | session.transaction.trips
        return spec.trips

    def judge(self, session: Session, spec: CommandSpec, argv: Sequence[bytes], mode: int) -> Any:
        """The ordered checks themselves."""
        if session.mode & when.IS_MASTER:
            return None
        if mode & when.GUARDED:
            self.check_protected(session, spec)
        if mode & when.NEEDS_AUTH:
            raise CommandError(NO_AUTH)
        if mode & when.IN_MULTI and spec.flags & declared.NO_MULTI:
            raise CommandError(b"ERR Command not allowed inside a transaction")
        if mode & when.RESTRICTED and self.check_permission is not None:
            self.check_permission(session, spec, argv)
        if mode & when.CLIENTS_LIMITED and self.evict_clients is not None and self.evict_clients(session, argv):
            return ASIDE
        if mode & when.MEMORY_LIMITED and self.check_memory is not None:
            self.check_memory(session, spec, argv)
        if mode & when.DISK_FAILED:
            raise CommandError(self.disk_refusal())
        if mode & when.TOO_FEW_REPLICAS:
            raise CommandError(NO_REPLICAS)
        if mode & when.READ_ONLY_REPLICA:
            raise CommandError(READ_ONLY)
        if mode & when.SUBSCRIBED and spec.name not in RUNS_SUBSCRIBED:
            raise CommandError(
                b"ERR Can't execute '%b': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
                b"in this context" % spec.name
            )
        if mode & when.STALE_DATA:
            raise CommandError(MASTER_DOWN)
        if mode & (when.LOADING_DATA | when.LOADING_ASIDE):
            raise CommandError(LOADING)
        if mode & when.BUSY:
            raise CommandError(self.busy_refusal)
        if mode & when.IS_REPLICA and spec.flags & (declared.WRITE | declared.READONLY | declared.MAY_REPLICATE):
            raise CommandError(b"ERR Replica can't interact with the keyspace")
        if session.kind == b"replica" and spec.name not in RUNS_ON_LINK:
            return self.services.replication.primary.reject_reply(session, spec.name)
        if mode & (when.PAUSED_ALL | when.PAUSED_WRITES) and self.services.clients.is_held(session):
            session.halted |= PAUSED
            self.services.clients.hold(session, argv)
            return ASIDE
        if mode & when.IN_MULTI and spec.name not in RUNS_IN_MULTI:
            session.transaction.queue(spec, argv, self.trips_of(session, spec, argv))
            return QUEUED
        if mode & when.NEEDS_INDEX and self.await_index is not None and self.await_index(session, spec, argv):
            return ASIDE
        if mode & when.NO_TOUCH and spec.name not in TOUCHES:
            return self.run_untouched(session, spec, argv)
        return None

    def check_protected(self, session: Session, spec: CommandSpec) -> None:
        """Refuse DEBUG and MODULE where their switch in the configuration does not allow this client."""
        from server.locality import guard

        config = self.services.config
        if spec.name.startswith(b"module"):
            guard(session, b"MODULE", b"enable-module-command", config.enable_module_command)
        else:
            guard(session, b"DEBUG", b"enable-debug-command", config.enable_debug_command)

    def abort(self, session: Session, argv: Sequence[bytes], text: bytes) -> bytes:
        """An EXEC was refused, for whatever reason: end its transaction and return what to tell the client."""
        if self.dispatch.mode & when.MONITORED and self.feed_monitors is not None:
            self.feed_monitors(session, argv)  # monitors saw the MULTI: now they see its end
        session.transaction = None
        session.set_mode(when.IN_MULTI, False)
        self.services.watching.forget(session)
        return b"EXECABORT Transaction discarded because of: " + bare(text)

    def refusal_in_exec(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> ErrorReply | None:
        """Permissions may have changed since a command was queued; everything else was judged for the whole EXEC."""
        if session.mode & when.RESTRICTED:
            text = self.services.accounts.refusal_of_queued(session, spec, argv)
            if text is not None:
                return ErrorReply(text)
        return None

    def tell(self, reader: Session, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> None:
        """A command has run: show it to monitors, remember the keys that `reader` (whose request it serves) read."""
        if self.dispatch.mode & when.MONITORED and self.feed_monitors is not None:
            if not spec.flags & (declared.SKIP_MONITOR | declared.ADMIN):
                self.feed_monitors(session, argv)
        if reader.mode & when.TRACKING and self.note_tracked is not None and spec.flags & declared.READONLY:
            self.note_tracked(reader, spec, argv)

    def after(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> None:
        """`tell` of a client's own command, at whose end CLIENT CACHING ends too."""
        self.tell(session, session, spec, argv)
        if session.mode & when.CACHING:
            self.end_caching(session, spec)

    def end_caching(self, session: Session, spec: CommandSpec | None) -> None:
        """CLIENT CACHING is about the next command, a refused one too, or about the transaction that it begins."""
        if session.mode & when.IN_MULTI:
            return
        if spec is None or spec.parent is None or spec.parent.name != b"client":
            session.mode &= ~when.CACHING

    def untouched(self, spec: CommandSpec) -> Any:
        """A handler that runs a command and puts back the access stamps of its keys."""

        def handler(session: Session, argv: Sequence[bytes]) -> Any:
            access = session.db.access
            before = [(argv[at], access.get(argv[at])) for at, _ in spec.keys_of(argv) if at < len(argv)]
            try:
                return spec.handler(session, argv)  # type: ignore[misc]
            finally:
                for key, stamp in before:
                    if stamp is not None and key in access:
                        access[key] = stamp

        return handler

    def run_untouched(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> Any:
        """Run a command here, since `run` knows nothing of NO_TOUCH."""
        reply = self.dispatch.call(session, spec, argv)
        if session.mode & when.CACHING:
            self.end_caching(session, spec)
        return NULL if reply is None else reply  # None would have it run a second time


def bare(text: bytes) -> bytes:
    """An error text without a plain ERR in front, to stand inside another one."""
    return text[4:] if text.startswith(b"ERR ") else text
