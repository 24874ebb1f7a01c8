"""Clients that wait for a key: first come, first served, for each key.

A blocking handler that finds nothing answers `Block`; the session waits here, and when one of its keys changes its
command is simply run again. If that blocks again, it keeps its place. Owns the queues and their timers; must not know
what a command waits for beyond the class of value that could serve it.

A waiter stands in the queue of each of its keys. `note` collects the touched keys that somebody waits for, dispatch
calls `serve_ready` when the unit that touched them has ended. Ten thousand waiters cost an unrelated command one
dictionary lookup for each changed key.
"""

from __future__ import annotations

from time import monotonic

from protocol.reply import Block, ErrorReply
from server.admission import (
    DISK_FAILED,
    MEMORY_LIMITED,
    MONITORED,
    NEEDS_AUTH,
    READ_ONLY_REPLICA,
    RESTRICTED,
    STALE_DATA,
    TOO_FEW_REPLICAS,
)
from server.session import BLOCKED, DOOMED
from storage.errors import UNBLOCKED, CommandError
from storage.events import FLUSHED, SWAPPED

# What may have come about while a client waited, and refuses its command when a key would serve it.
REFUSES = NEEDS_AUTH | RESTRICTED | MEMORY_LIMITED | DISK_FAILED | TOO_FEW_REPLICAS | READ_ONLY_REPLICA | STALE_DATA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

    from server.registry import CommandSpec
    from server.services import Services
    from server.session import Session
    from server.timers import Timer
    from storage.database import Database
    from storage.events import Event

    Place = Tuple[int, bytes]  # database number, key


class Waiter:
    """One blocked session: what it asked for, what it runs again and where it stands."""

    __slots__ = ("session", "spec", "asked", "argv", "block", "places", "timer", "since_s")

    def __init__(self, session: Session, spec: CommandSpec, argv: Sequence[bytes], block: Block) -> None:
        self.session = session
        self.spec = spec
        self.asked = argv
        self.argv = block.again or argv
        self.block = block
        number = session.db.number
        self.places: List[Place] = [(number, key) for key in dict.fromkeys(block.keys)]
        self.timer: Optional[Timer] = None
        self.since_s = monotonic()


class Blocking:
    """The queues of waiters. Joining and leaving are O(keys of the command)."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.queues: Dict[Place, Dict[Waiter, None]] = {}  # dictionaries keep the order of arrival
        self.places = self.queues  # what `note` wants to hear of
        self.ready: Dict[Place, None] = {}  # touched keys with waiters, in the order they were touched
        self.waiters: Dict[Session, Waiter] = {}

    def __len__(self) -> int:
        return len(self.waiters)

    def wait(self, session: Session, spec: CommandSpec, argv: Sequence[bytes], block: Block) -> None:
        """Let a session wait; it runs nothing more until it is served, times out or is unblocked."""
        waiter = Waiter(session, spec, argv, block)
        if not self.waiters:
            self.services.dispatch.listen(self)
        self.waiters[session] = waiter
        session.waiter = waiter
        session.halted |= BLOCKED
        for place in waiter.places:
            self.queues.setdefault(place, {})[waiter] = None
        if block.timeout_ms:
            waiter.timer = self.services.timers.at(
                waiter.since_s + block.timeout_ms / 1000.0, lambda: self.time_out(waiter)
            )

    def release(self, waiter: Waiter) -> None:
        """Take a waiter out of every queue; the caller has answered it, or it is gone."""
        session = waiter.session
        if self.waiters.pop(session, None) is None:
            return
        for place in waiter.places:
            queue = self.queues[place]
            queue.pop(waiter, None)
            if not queue:
                del self.queues[place]
        if waiter.timer is not None:
            waiter.timer.cancel()
        session.waiter = None
        session.halted &= ~BLOCKED
        if not self.waiters:
            self.services.dispatch.unlisten(self)
        if not session.halted & DOOMED:
            self.services.resumed.append(session)

    def time_out(self, waiter: Waiter) -> None:
        """Answer a waiter whose time is up."""
        if self.waiters.get(waiter.session) is waiter:
            self.answer(waiter, waiter.block.on_timeout)

    def answer(self, waiter: Waiter, reply: Any, took_ns: int = 0) -> None:
        """End a wait without running the command again. It counts as called only now, as in Redis.

        `took_ns` is what it has worked, if it did not only wait.
        """
        self.release(waiter)
        self.services.stats.of(waiter.spec).count(1, took_ns)
        waiter.session.emit(reply)
        dispatch = self.services.dispatch
        if took_ns > dispatch.slow_floor_ns and dispatch.observe_slow is not None:
            dispatch.observe_slow(waiter.session, waiter.spec, waiter.asked, took_ns)

    def unblock(self, session: Session, with_error: bool) -> bool:
        """CLIENT UNBLOCK: as if its time were up, or with an error. False if it does not wait for keys."""
        waiter = self.waiters.get(session)
        if waiter is None:
            return False
        self.refuse(waiter, UNBLOCKED) if with_error else self.time_out(waiter)
        return True

    def refuse(self, waiter: Waiter, text: bytes, took_ns: int = 0) -> None:
        """Answer a waiter with an error. The command that did that failed, too, in Redis's way of counting errors."""
        stats = self.services.stats
        stats.of(waiter.spec).failed += 1
        cause = self.services.dispatch.current
        if cause is not None and cause.command is not None:
            stats.of(cause.command).failed += 1
        stats.count_error(text)
        self.answer(waiter, ErrorReply(text), took_ns)

    def forget(self, session: Session) -> None:
        """The session is being closed."""
        waiter = self.waiters.get(session)
        if waiter is not None:
            session.halted |= DOOMED
            self.release(waiter)

    # Waking ----------------------------------------------------------------------------------------------------

    def note(self, db: Database, key: bytes | None, event: Event, session: Session | None) -> None:
        """A key changed: remember it if somebody waits for it."""
        if key is not None:
            place = (db.number, key)
            if place in self.queues and event.wakes:
                self.ready[place] = None
        elif event is FLUSHED or event is SWAPPED:
            number = db.number
            for place in self.queues:
                if place[0] == number:
                    self.ready[place] = None

    def serve_ready(self) -> None:
        """Run the waiters of the touched keys again, in the order of the keys and of their arrival.

        Serving one may touch further keys (BLMOVE); they join the end of `ready` and are served by the next call.
        """
        ready, self.ready = self.ready, {}
        for place in ready:
            queue = self.queues.get(place)
            if queue:
                self.serve(place, list(queue))

    def refusal_of(self, waiter: Waiter) -> bytes | None:
        """Why a waiter's command may not run any more: rights and conditions may have changed while it waited."""
        dispatch = self.services.dispatch
        mode = waiter.spec.trips & (dispatch.mode | waiter.session.mode) & REFUSES
        if mode:
            try:
                dispatch.gate.judge(waiter.session, waiter.spec, waiter.argv, mode)
            except CommandError as error:
                return error.text
        return None

    def serve(self, place: Place, waiters: List[Waiter]) -> None:
        """Run the commands of those who wait for one key, as long as it holds what they wait for."""
        number, key = place
        dispatch = self.services.dispatch
        db = self.services.keyspace.databases[number]
        queue = self.queues[place]
        for waiter in waiters:
            if waiter not in queue:
                continue  # a waiter served before it may have ended it
            kind = db.peek(key).__class__
            if kind is not waiter.block.kind and not waiter.block.wakes_on_loss:
                if kind is type(None) and not any(other.block.wakes_on_loss for other in waiters):
                    return  # the key is used up: nobody behind can be served either
                continue
            session = waiter.session
            # Pushes to itself follow its reply; monitors saw the command when it came.
            current, dispatch.current = dispatch.current, session
            monitored, dispatch.mode = dispatch.mode & MONITORED, dispatch.mode & ~MONITORED
            session.halted &= ~BLOCKED  # who looks at commands that ran must not take it for one that waits
            refusal = self.refusal_of(waiter)
            reply = dispatch.call(session, waiter.spec, waiter.argv) if refusal is None else None
            if reply.__class__ is Block:
                session.halted |= BLOCKED
            dispatch.current = current
            dispatch.mode |= monitored
            if refusal is not None:
                self.release(waiter)
                self.services.stats.of(waiter.spec).rejected += 1
                self.services.stats.count_error(refusal)
                session.emit_error(refusal)
                continue
            if reply.__class__ is Block:
                continue
            self.release(waiter)
            session.emit(reply)
            dispatch.propagation.flush()
