"""The event loop: wait, read all, run all, write all.

A hand-written reactor over `selectors`. Each turn waits for the next timer at most, reads once from every ready
connection, runs what they sent, does what must happen before sleeping in one documented order, writes each output once
and closes doomed connections. System calls stand together and the interpreter's work stands together: read, run and
write connection by connection costs 30 % at a pipeline depth of 16.

Writability is armed only for leftovers of a write; nothing else ever calls `selector.modify`. An error on one
connection ends that connection, never the loop; one that belongs to no connection is logged, and the loop goes on.
"""

from __future__ import annotations

from time import monotonic, perf_counter_ns

from server.dispatch import CLOCK_GRAIN_NS
from server.polling import READ, WRITE, Poller
from server.session import DOOMED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List

    from server.connection import Connection
    from server.services import Services

TURN_BUDGET_NS = 10_000_000  # a turn's running phase; what is left rotates to the front of the next turn
# Active expiry, a turn; freeing, a turn. A request may have to wait for one slice before it is read and for another one
# before it is answered.
EXPIRY_BUDGET_NS = 2_000_000
FREEING_BUDGET_NS = 1_000_000
FREEING_BUDGET_NS_BESIDE_EXPIRY = 500_000
MAX_WAIT_S = 3600.0
FAULT_PAUSE_S = 1.0  # until a timer that has failed is tried again, and between two faults in the log


class Reactor:
    """One thread's loop. Registered objects are connections, or callables for anything else (listeners, wake-ups)."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.selector = Poller()
        self.timers = services.timers
        self.timers.on_fault = self.try_later
        self.leftovers: List[Connection] = []
        self.running: List[Connection] = []  # this turn's, while they run
        self.before_sleep: List[Callable[[], None]] = []  # in order; see server.app
        self.connection_class: Any = None  # set by server.app, so that the commonest case is one comparison
        self.on_close: Callable[[Connection], None] = lambda connection: None
        self.stopping = False
        self.has_more_to_do = False  # expiry or freeing was cut short: do not sleep
        self.fault_logged_s = -FAULT_PAUSE_S

    # Registration ----------------------------------------------------------------------------------------------

    def watch(self, sock: Any, call: Callable[[], None]) -> None:
        """Call back when a socket that is no client connection becomes readable."""
        self.selector.register(sock, READ, call)

    def unwatch(self, sock: Any) -> None:
        self.selector.unregister(sock)

    def add(self, connection: Connection) -> None:
        """Serve a new connection, first with what it has sent already: most speak at once, and need not be waited for.

        That runs in the next turn, behind what others have sent meanwhile: in one with accepting it, their 99th
        percentile was a fifth longer.
        """
        self.selector.register(connection.socket, READ, connection)
        if connection.receive():
            self.leftovers.append(connection)

    # The loop --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Turn until `stop`."""
        while not self.stopping:
            try:
                self.turn(self.wait_s())
            except Exception:
                self.note_fault("in a turn of the loop")
                self.take_up()

    def stop(self) -> None:
        self.stopping = True

    def wait_s(self) -> float:
        """How long a turn may wait: until the next timer or deadline, not at all if work is left."""
        services = self.services
        if self.leftovers or self.has_more_to_do or services.resumed or services.unsent:
            return 0.0
        wait = MAX_WAIT_S
        next_s = self.timers.next_s()
        if next_s is not None:
            wait = min(wait, next_s - monotonic())
        keyspace = services.keyspace
        if keyspace.active_expiry and not keyspace.keeps_lapsed:
            due_ms = keyspace.alarm.due_ms
            if due_ms < keyspace.clock.now_ms + wait * 1000.0:
                wait = min(wait, (due_ms - keyspace.clock.refresh()) / 1000.0 + 0.0005)
        return wait if wait > 0.0 else 0.0

    def turn(self, wait_s: float) -> None:
        """One turn of the loop."""
        events = self.selector.poll(wait_s)
        started_ns = perf_counter_ns()
        # A wait may have been long; what is read now is stamped with the time it ended.
        self.services.keyspace.clock.refresh()
        self.services.dispatch.refreshed_ns = started_ns
        ready = self.read_all(events)
        self.run_all(ready, started_ns)
        self.before_sleeping()
        self.write_all(ready)
        if self.services.doomed:
            self.close_doomed()
        stats = self.services.stats
        stats.turns += 1
        stats.reads += len(ready)
        elapsed_ns = perf_counter_ns() - started_ns
        stats.turns_ns += elapsed_ns
        if elapsed_ns > stats.longest_turn_ns:
            stats.longest_turn_ns = elapsed_ns

    def read_all(self, events: Any) -> List[Connection]:
        """Read once from each ready connection; those with leftovers come first and are not read again."""
        ready, self.leftovers = self.leftovers, []
        waiting = set(ready) if ready else None
        for target, mask in events:
            if target.__class__ is not self.connection_class:
                if callable(target):
                    try:
                        target()
                    except Exception:
                        self.note_fault("while a socket of the server's own was read")
                    continue
            if mask & WRITE and target.armed:
                self.services.unsent.append(target.session)
            if mask & READ and not (waiting is not None and target in waiting) and target.receive():
                ready.append(target)
        return ready

    def run_all(self, ready: List[Connection], started_ns: int) -> None:
        """Run each connection's input; past the budget the rest is left for the next turn."""
        ends_ns = started_ns + TURN_BUDGET_NS
        self.running = ready
        for place, connection in enumerate(ready):
            try:
                if not connection.run():
                    self.leftovers.append(connection)
            except Exception:
                self.end_faulty(connection)
            if perf_counter_ns() > ends_ns:
                # Newest last: whoever was cut short goes behind those that have not run at all.
                self.leftovers = ready[place + 1 :] + self.leftovers
                break

    def serve_others(self, client: Any) -> None:
        """Part of a turn from inside a command that runs on: whoever is not `client` is read, run and answered."""
        events = self.selector.poll(0.0)
        ready = self.read_all(events)
        waiting = set(ready)
        ready += [connection for connection in self.running if connection not in waiting]
        for connection in ready:
            if connection.session is client or connection.closed:
                continue
            try:
                if not connection.run():
                    self.leftovers.append(connection)
            except Exception:
                self.end_faulty(connection)
        self.write_all(ready)
        if self.services.doomed:
            self.close_doomed()

    def end_faulty(self, connection: Connection) -> None:
        """A fault of this program while it served a client: log it whole, end that client, serve the others."""
        import traceback

        services = self.services
        services.stats.unexpected_errors += 1
        services.log.warning("Fault while serving %r:\n%s" % (connection.session, traceback.format_exc()))
        services.dispatch.abandon()
        connection.session.doom()

    def note_fault(self, place: str) -> None:
        """A fault of this program that belongs to no client: log it whole, though not over and over, and live on."""
        import traceback

        services = self.services
        services.stats.unexpected_errors += 1
        now_s = monotonic()
        if now_s - self.fault_logged_s >= FAULT_PAUSE_S:
            self.fault_logged_s = now_s
            services.log.warning("Fault %s:\n%s" % (place, traceback.format_exc()))

    def try_later(self, call: Callable[[], None]) -> None:
        """A timer has failed, perhaps for want of descriptors: without it a service may come to a standstill."""
        self.note_fault("in a timer")
        self.timers.at(monotonic() + FAULT_PAUSE_S, call)

    def take_up(self) -> None:
        """After a turn that was not finished: nobody's reply stays unsent."""
        services = self.services
        services.dispatch.abandon()
        services.unsent += [session for session in services.clients if session.out]

    def before_sleeping(self) -> None:
        """Timers, expiry, woken clients, then the services' own steps: all before anything is written."""
        services = self.services
        now_ns = perf_counter_ns()
        if now_ns - services.dispatch.refreshed_ns > CLOCK_GRAIN_NS:
            services.dispatch.refreshed_ns = now_ns
            services.keyspace.clock.refresh()
        next_s = self.timers.next_s()
        if next_s is not None:
            now_s = monotonic()
            if next_s <= now_s:
                self.timers.run_due(now_s)
                services.dispatch.after_unit()
                services.stats.timers_ns += perf_counter_ns() - now_ns
        keyspace = services.keyspace
        if services.latency.threshold_ms:
            self.has_more_to_do = not services.latency.timed(b"expire-cycle", keyspace.expire_due, EXPIRY_BUDGET_NS)
        else:
            self.has_more_to_do = not keyspace.expire_due(EXPIRY_BUDGET_NS)
        if keyspace.changes:
            services.dispatch.settle_alone()
        if keyspace.graveyard.waiting:
            budget_ns = FREEING_BUDGET_NS_BESIDE_EXPIRY if self.has_more_to_do else FREEING_BUDGET_NS
            if not keyspace.graveyard.drain(budget_ns):
                self.has_more_to_do = True
        if services.resumed:
            self.run_resumed()
        for step in self.before_sleep:
            try:
                step()
            except Exception:
                self.note_fault("in what is done before sleeping")

    def run_resumed(self) -> None:
        """Go on with the input of clients that were blocked or paused a moment ago."""
        services = self.services
        resumed, services.resumed = services.resumed, []
        waiting = set(self.leftovers)
        for session in resumed:
            connection = session.connection
            if connection is None or connection.closed or session.halted or connection in waiting:
                continue
            try:
                if not connection.run():
                    self.leftovers.append(connection)
                    waiting.add(connection)
            except Exception:
                self.end_faulty(connection)
            if session.out:
                services.unsent.append(session)

    def write_all(self, ready: List[Connection]) -> None:
        """One write for each connection that has output.

        Pushes and messages go before the replies to those who caused them: who has read that its write is done may
        rely on everybody's invalidation being on its way.
        """
        written = 0
        unsent = self.services.unsent
        if unsent:
            self.services.unsent = []
            written += len(unsent)
            now_ms = self.services.keyspace.clock.now_ms
            for session in unsent:
                connection = session.connection
                if connection is None or connection.closed:
                    continue
                session.used_ms = now_ms  # being served is being used: a reader of much, a waiter that was woken
                try:
                    if connection.flush():
                        if connection.armed:
                            self.disarm(connection)
                    elif not connection.armed:
                        self.arm(connection)
                except Exception:
                    self.end_faulty(connection)
        for connection in ready:
            if connection.session.out:
                try:
                    if connection.armed:
                        connection.count_output()  # the short replies, too: no others are counted when they are made
                    else:
                        written += 1
                        if not connection.flush():
                            self.arm(connection)
                except Exception:
                    self.end_faulty(connection)
        self.services.stats.writes += written

    def arm(self, connection: Connection) -> None:
        connection.armed = True
        # After the peer's last byte its socket would report readable for ever.
        self.selector.modify(connection.socket, WRITE if connection.ended else READ | WRITE, connection)

    def disarm(self, connection: Connection) -> None:
        connection.armed = False
        if not connection.closed and not connection.ended:
            self.selector.modify(connection.socket, READ, connection)

    def close_doomed(self) -> None:
        """Close what was doomed in this turn."""
        while self.services.doomed:
            doomed, self.services.doomed = self.services.doomed, []
            for session in doomed:
                connection = session.connection
                if connection is None or connection.closed:
                    continue
                self.close(connection)
        self.leftovers = [connection for connection in self.leftovers if not connection.closed]

    def close(self, connection: Connection) -> None:
        """Forget a connection: unregister first, since a descriptor shared with a child still reports to epoll."""
        connection.session.halted |= DOOMED
        try:
            self.selector.unregister(connection.socket)
        except (KeyError, ValueError, OSError):
            pass
        self.on_close(connection)
        connection.close()
