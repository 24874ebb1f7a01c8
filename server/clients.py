"""Every connected session, and what the server does to sessions as such: limits, pausing, closing.

Owns the table of clients by id and the rules of `client-output-buffer-limit`, `maxclients` and CLIENT PAUSE. Must not
know sockets: it dooms a session, the reactor closes the connection.
"""

from __future__ import annotations

from time import monotonic

from server import admission
from server.session import DOOMED, PAUSED, REPLY_ON, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Sequence

    from server.config.configuration import Config
    from server.services import Services
    from server.timers import Timer

INFINITE = 1 << 63
REPLY_PEAK_MS = 5000  # as in Redis
NOTED_OUTPUT = 16 * 1024  # bytes; from here on `maxmemory-clients` wants to know
SOFT_CHECK_S = 1.0
ATTACK_LOG_INTERVAL_MS = 60_000


class Clients:
    """Sessions by id, in the order they came."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.by_id: Dict[int, Session] = {}
        self.next_id = 3  # as in Redis, where scripts and functions have clients of their own before anybody comes
        self.held: Dict[Session, Sequence[bytes]] = {}  # paused sessions and the vector each was about to run
        self.pause_ends_ms = 0
        self.pause_timer: Optional[Timer] = None
        self.peak = 0
        self.judged_from = INFINITE  # the smallest output that a limit could concern
        self.grown: Optional[Dict[Session, None]] = None  # who has much to read, while `maxmemory-clients` is set
        self.reply_peak_ms = REPLY_PEAK_MS  # DEBUG REPLYBUFFER: see client_description
        self.reply_buffers_shrink = True
        self.over_soft: Dict[Session, None] = {}  # clients past a soft limit, looked at each second
        self.soft_timer: Optional[Timer] = None
        self.attack_logged_ms = 0
        # Services that keep something of a session drop it here: its connection is closed, or it sent RESET.
        self.on_forget: List[Callable[[Session], None]] = []

    def __len__(self) -> int:
        return len(self.by_id)

    def __iter__(self):
        return iter(self.by_id.values())

    def new(self) -> Session:
        """A session of its own id, as yet unknown to CLIENT LIST (`admit` makes it known)."""
        session = Session(self.next_id, self.services)
        self.next_id += 1
        return session

    def admit(self, session: Session) -> None:
        self.by_id[session.id] = session
        if len(self.by_id) > self.peak:
            self.peak = len(self.by_id)

    def remove(self, session: Session) -> None:
        """The session's connection is closed: leave nothing of it behind."""
        if self.by_id.pop(session.id, None) is None:
            return  # killed earlier in this turn
        self.held.pop(session, None)
        self.over_soft.pop(session, None)
        self.services.blocking.forget(session)
        self.forget(session)

    def kill(self, session: Session) -> None:
        """Close a client now: nothing that happens later in this turn may find or serve it."""
        session.doom()
        self.remove(session)

    def reset(self, session: Session) -> None:
        """Bring a session back to the state of a new one."""
        self.forget(session)
        session.transaction = None
        session.set_mode(admission.IN_MULTI | admission.NO_TOUCH, False)
        session.speak(2)
        session.db = self.services.keyspace.databases[0]
        session.name = b""
        session.no_evict = False
        session.reply_mode = REPLY_ON
        self.services.accounts.greet(session)

    def abort_cross_protocol(self, session: Session) -> None:
        """Close a client that speaks HTTP before a line of its request's body is run; at most one log line a minute."""
        session.doom()
        now_ms = self.services.keyspace.clock.now_ms
        if now_ms - self.attack_logged_ms >= ATTACK_LOG_INTERVAL_MS:
            self.attack_logged_ms = now_ms
            self.services.log.warning(
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. "
                "This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis "
                "instance. Connection from %s aborted." % session.address.decode("latin-1")
            )

    def forget(self, session: Session) -> None:
        """Have every service drop what it keeps of a session."""
        for call in self.on_forget:
            call(session)

    # Output limits ---------------------------------------------------------------------------------------------

    def follow_output_limits(self, config: Config) -> None:
        """Know from how much output on a client has to be judged."""
        classes = config.client_output_buffer_limit.values()
        self.judged_from = min([limit for limits in classes for limit in limits[:2] if limit], default=INFINITE)
        if self.grown is not None:
            self.judged_from = min(self.judged_from, NOTED_OUTPUT)

    def judge_output(self, session: Session) -> None:
        """Doom a client that lets more output wait than its class allows: at once, or for too long."""
        if self.grown is not None:
            self.grown[session] = None
        hard, soft, seconds = self.services.config.client_output_buffer_limit[session.kind]
        waiting = session.out_bytes
        if session.kind == b"replica" and session.extra is not None:
            # Not the snapshot; and less than the backlog is held for it anyway.
            waiting = session.extra.waiting_bytes()
            hard = max(hard, self.services.config.repl_backlog_size) if hard else 0
            soft = max(soft, self.services.config.repl_backlog_size) if soft else 0
        now_ms = self.services.keyspace.clock.now_ms
        if hard and waiting >= hard:
            pass
        elif soft and waiting >= soft:
            if not session.soft_limit_since_ms:
                session.soft_limit_since_ms = now_ms
                self.over_soft[session] = None
                if self.soft_timer is None:
                    self.soft_timer = self.services.timers.at(monotonic() + SOFT_CHECK_S, self.judge_soft)
                return
            if now_ms - session.soft_limit_since_ms <= seconds * 1000:
                return
        else:
            session.soft_limit_since_ms = 0
            self.over_soft.pop(session, None)
            return
        self.end_for_output(session, waiting)

    def ends_for(self, session: Session, more: int) -> bool:
        """Doom a client that could not take so many bytes more; True if so. Spares the work of making them."""
        hard = self.services.config.client_output_buffer_limit[session.kind][0]
        if not hard or session.out_bytes + more < hard:
            return False
        self.end_for_output(session, session.out_bytes + more)
        return True

    def end_for_output(self, session: Session, waiting: int) -> None:
        if not session.halted & DOOMED:
            self.services.stats.output_limit_disconnections += 1
            self.services.log.warning(
                "Client id=%d addr=%s name=%s omem=%d scheduled to be closed ASAP "
                "for overcoming of output buffer limits."
                % (session.id, session.address.decode("latin-1"), session.name.decode("latin-1"), waiting)
            )
            session.doom()

    def judge_soft(self) -> None:
        """Judge again who was past a soft limit: a client that reads nothing makes nothing happen by itself."""
        self.soft_timer = None
        for session in list(self.over_soft):
            self.judge_output(session)
            if session.halted & DOOMED or not session.soft_limit_since_ms:
                self.over_soft.pop(session, None)
        if self.over_soft:
            self.soft_timer = self.services.timers.at(monotonic() + SOFT_CHECK_S, self.judge_soft)

    # Pausing ---------------------------------------------------------------------------------------------------

    def is_held(self, session: Session) -> bool:
        """Whether CLIENT PAUSE concerns this session; links to replicas go on, a master's stream waits by itself."""
        return session.kind not in (b"replica", b"master")

    def hold(self, session: Session, argv: Sequence[bytes]) -> None:
        """Keep the vector that a paused session was about to run."""
        self.held[session] = argv

    def resume_held(self) -> None:
        """The pause is over: every held session goes on with the vector it was about to run."""
        held, self.held = self.held, {}
        for session, argv in held.items():
            session.halted &= ~PAUSED
            rest = session.pending
            session.pending = iter([argv]) if rest is None else iter([argv] + list(rest))
            self.services.resumed.append(session)

    def pause(self, until_ms: int, everything: bool) -> None:
        """Hold writes, or everything, until a wall-clock time; a running pause is only ever tightened."""
        dispatch = self.services.dispatch
        self.pause_ends_ms = max(until_ms, self.pause_ends_ms)
        dispatch.mode |= admission.PAUSED_ALL if everything else admission.PAUSED_WRITES
        self.services.keyspace.keeps_lapsed = True  # a pause is for a stable data set: nothing expires meanwhile
        if self.pause_timer is not None:
            self.pause_timer.cancel()
        remaining_s = (self.pause_ends_ms - self.services.keyspace.clock.now_ms) / 1000.0
        self.pause_timer = self.services.timers.at(monotonic() + remaining_s, self.unpause)

    def unpause(self) -> None:
        """End a pause, in time or early; nothing happens where there is none."""
        if not self.pause_ends_ms:
            return
        self.pause_ends_ms = 0
        if self.pause_timer is not None:
            self.pause_timer.cancel()
            self.pause_timer = None
        services = self.services
        services.dispatch.mode &= ~(admission.PAUSED_ALL | admission.PAUSED_WRITES)
        services.keyspace.keeps_lapsed = bool(
            services.config.replicaof or services.dispatch.mode & admission.LOADING_DATA
        )
        self.resume_held()
        for session in self.of_kind(b"master"):
            if session.halted & PAUSED:
                session.halted &= ~PAUSED
                services.timers.at(monotonic(), session.extra.go_on)  # not within the command that ends the pause

    def of_kind(self, kind: bytes) -> List[Session]:
        return [session for session in self.by_id.values() if session.kind == kind]
