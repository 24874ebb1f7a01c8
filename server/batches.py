"""What a client sent in one packet, run as a whole where nobody can tell: runs of one command, packets of different
commands that come again and again, and transactions.

Owns what may be done once for several vectors, and when that is the same as running them one by one, which is always
the alternative. Nothing here refuses a command: whatever is not plainly in order is left, untouched, to
`Dispatcher.run` and its gate. Must not know what a command means.
"""

from __future__ import annotations

from itertools import chain, groupby, islice, repeat
from time import perf_counter_ns

from protocol.encoder import encode_run, error_line
from protocol.parser import Run
from protocol.patterns import Patterned, Patterns
from protocol.reply import NO_REPLY, NULL_ARRAY, OK, Block, Constant
from server.admission import IN_MULTI, MEMORY_LIMITED, MONITORED, NO_TOUCH, RESTRICTED, TRACKING
from server.dispatch import (
    BUDGET_NS,
    BULK_LINES,
    CLOCK_GRAIN_NS,
    COUNTED_REPLY,
    CRLF,
    INT_LINES,
    INTERNAL_ERROR,
    LONG_NS,
    SMALL_INTS,
    YIELD_BYTES,
    discard,
)
from server.plans import Plans
from server.registry import SWELLS, WRITE
from server.session import CLOSING, DOOMED, REPLY_OFF, REPLY_ON
from storage.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, List, Sequence, Tuple

    from protocol.parser import Vectors
    from server.dispatch import Dispatcher
    from server.plans import Plan
    from server.registry import CommandSpec
    from server.session import Session
    from server.transactions import Transaction

    Vector = Sequence[bytes]
    Part = Tuple[CommandSpec, List[Vector]]  # neighbours of one command in a transaction
    Append = Callable[[bytes], None]

MIN_TOGETHER = 3  # from here on the columns of a transaction's neighbours pay
ONE_BY_ONE = RESTRICTED | NO_TOUCH | MONITORED | TRACKING  # in a transaction: each command is asked about or shown


def columns_of(spec: CommandSpec, vectors: Sequence[Vector]) -> Sequence[Sequence[bytes]] | None:
    """The columns of vectors that `spec` accepts, unless one has more arguments than it needs."""
    width = abs(spec.arity)
    return list(zip(*vectors)) if sum(map(len, vectors)) == width * len(vectors) else None


class Batches:
    """Runs batches for sessions, with the dispatcher's rules."""

    __slots__ = ("dispatch", "multi", "exec", "patterns", "plans")

    def __init__(self, dispatch: Dispatcher) -> None:
        self.dispatch = dispatch
        self.multi: Any = dispatch.registry.lookup(b"multi")
        self.exec: Any = dispatch.registry.lookup(b"exec")
        self.patterns = Patterns()  # of packets that come again: what parsers look for, and plans are made of
        self.plans = Plans(dispatch)

    # Runs of one command ---------------------------------------------------------------------------------------

    def run(self, session: Session, vectors: Vectors) -> bool:
        """Run a batch that the parser has just taken; as `Dispatcher.run` says, False if some of it is left."""
        dispatch = self.dispatch
        if not dispatch.mode & MEMORY_LIMITED or not self.has_room(session, vectors):
            return self.run_taken(session, vectors)
        # There is a limit, but this is known to stay below it: 16 SETs, 3.7 -> 1.3 us each.
        dispatch.mode &= ~MEMORY_LIMITED
        try:
            return self.run_taken(session, vectors)
        finally:
            dispatch.mode |= MEMORY_LIMITED

    def has_room(self, session: Session, vectors: Vectors) -> bool:
        """Whether memory needs no look before each command of a batch; only where none of them brings more than its
        vector, or could change the limit.
        """
        spec_of = self.dispatch.spellings.get
        words = vectors.columns[0] if vectors.__class__ is Run else [vector[0] for vector in vectors]
        brings = False
        for word in set(words):
            spec = spec_of(word)
            if spec is None or spec.flags & SWELLS or not (spec.is_plain or spec is self.multi or spec is self.exec):
                return False
            brings = brings or bool(spec.trips & MEMORY_LIMITED)
        has_room = self.dispatch.gate.has_room
        return brings and not session.mode & IN_MULTI and has_room is not None and has_room(vectors)

    def run_taken(self, session: Session, vectors: Vectors) -> bool:
        """`run` without regard to memory."""
        if vectors.__class__ is not Run:
            if vectors.__class__ is Patterned:
                plan = self.plans[vectors.pattern]
                if (
                    plan is not None
                    and not plan.trips & (self.dispatch.mode | session.mode)
                    and session.reply_mode == REPLY_ON
                    and self.dispatch.slow_floor_ns >= LONG_NS
                ):
                    return self.run_plan(session, vectors, plan)
            session.pending = iter(vectors)
            return self.dispatch.run(session)
        if self.run_columns(session, vectors):
            return True
        taken = list(vectors)
        session.pending = iter(taken)
        is_done = self.dispatch.run(session)
        if is_done and self.dispatch.keyspace.recording:
            self.dispatch.propagation.replace(session.db.number, taken, vectors.source)
        return is_done

    def run_columns(self, session: Session, batch: Run) -> bool:
        """Run a batch of one command as a whole; False, and nothing done, where its vectors must run one by one.

        What the loop of `run` does for each vector is done once: looking up, admission, clock, statistics. A pipeline
        of 16 GETs costs 0.6 of what it costs one by one.
        """
        dispatch = self.dispatch
        columns = batch.columns
        words = columns[0]
        spec = dispatch.spellings.get(words[0])
        if (
            spec is None
            or spec.together is None
            or len(columns) != abs(spec.arity)
            or spec.trips & (dispatch.mode | session.mode)
            or session.reply_mode != REPLY_ON
            or dispatch.slow_floor_ns < LONG_NS
            or words.count(words[0]) != len(words)
        ):
            return False
        log = None
        if spec.flags & WRITE:
            if dispatch.listeners and not self.is_unheard(session, columns[1]):
                return False
            if dispatch.keyspace.recording:
                log = dispatch.propagation.lone_run(session.db.number)
                if log is None:
                    return False
        stamp = perf_counter_ns()
        if stamp - dispatch.refreshed_ns > CLOCK_GRAIN_NS:
            dispatch.refreshed_ns = stamp
            dispatch.clock.refresh()
        replies = spec.together(session, columns)
        if replies is None:
            return False
        if log is not None and dispatch.changes:
            dispatch.keyspace.dirty += dispatch.changes.pop()[3]
            dispatch.propagation.add_source(log, batch.source, len(words))
            dispatch.propagation.note_writer(session)
        session.command = spec
        dispatch.put_out(session, encode_run(replies, session.encoders), session.out.append)
        dispatch.stats.commands[spec.id].count(len(words), perf_counter_ns() - stamp)
        return True

    # Packets of different commands ------------------------------------------------------------------------------

    def run_plan(self, session: Session, vectors: Patterned, plan: Plan) -> bool:
        """Run a batch whose plan suits; as `Dispatcher.run` says, False if some of it is left.

        The same as the loop there, without what the plan knows: SET, GET and INCR in turn, 0.95 -> 0.75 us each all
        told; a command of a transaction of three, 1.3 -> 0.8.
        """
        dispatch = self.dispatch
        keyspace = dispatch.keyspace
        changes = dispatch.changes
        append = session.out.append
        encoders = session.encoders
        slow_ns = dispatch.slow_floor_ns
        was_denying = session.denies_blocking
        is_heard = keyspace.recording or keyspace.places is not None
        number = session.db.number
        log: Any = dispatch.propagation.lone_run(number) if is_heard and not dispatch.listeners else None
        is_heard = is_heard or plan.publishes
        is_inside = False  # a transaction
        is_unlike = False  # what follows has to run one by one
        wrote = False
        pending: Any = iter(vectors)
        stamp = began = perf_counter_ns()
        turn_ends = stamp + BUDGET_NS
        if stamp - dispatch.refreshed_ns > CLOCK_GRAIN_NS:
            dispatch.refreshed_ns = stamp
            dispatch.clock.refresh()
        dispatch.current = dispatch.caller = session
        steps: Any = plan.steps
        if len(vectors) > plan.commands:  # the same again and again
            steps = chain.from_iterable(repeat(steps, len(vectors) // plan.commands))
        for (handler, counters, spec), argv in zip(steps, pending):
            if handler is None:
                if spec.__class__ is tuple:  # neighbours
                    spec, count = spec
                    alike = [argv, *islice(pending, count - 1)]
                    if not self.call_together(session, spec, alike, append, log, is_inside):
                        if not is_inside:
                            pending = chain(alike, pending)
                            is_unlike = True
                            break
                        self.call_parts(session, [(spec, alike)], append)
                    stamp = perf_counter_ns()
                    if session.halted:  # that was too much output
                        append = discard
                        if not is_inside:
                            break
                    continue
                if spec is not None:  # MULTI; EXEC will run whatever comes
                    if session.watched is not None:
                        if not self.end_watch(session):  # the loop of all commands knows what then
                            pending = chain((argv,), pending)
                            spec = self.multi
                            is_unlike = True
                            break
                        log = None if dispatch.listeners else dispatch.propagation.lone_run(number)
                    append(spec)
                    is_inside = session.denies_blocking = True
                    dispatch.depth += 1
                    began = stamp
                    stamp = perf_counter_ns()
                    elapsed = stamp - began
                    began = stamp
                else:
                    is_inside = False
                    session.denies_blocking = was_denying
                    dispatch.depth -= 1
                    if is_heard:
                        session.command = self.exec
                        dispatch.after_unit()
                        if log is not None:
                            log = dispatch.propagation.lone_run(number)
                    stamp = perf_counter_ns()
                    elapsed = stamp - began
                    if elapsed > slow_ns:
                        dispatch.note_long(session, self.exec, argv, elapsed)
                    if stamp > turn_ends or session.out_bytes > YIELD_BYTES or session.halted:
                        counters.count(1, elapsed)
                        spec = self.exec
                        break
                counters.calls += 1  # Inlined `count`, as below.
                counters.total_ns += elapsed
                counters.histogram[elapsed.bit_length()] += 1
                continue
            try:
                reply = handler(session, argv)
            except CommandError as error:
                counters.failed += 1
                dispatch.stats.count_error(error.text)
                append(error_line(error.text))
                reply = NO_REPLY
            except Exception:
                dispatch.report_crash(spec)
                append(error_line(INTERNAL_ERROR))
                reply = NO_REPLY
            if is_heard and (changes or session.propagation is not None):
                if log is not None and len(changes) == 1 and changes[0][3] and session.propagation is None:
                    # Only the log wants to know: `settle` inlined, 1.0 -> 0.2 us.
                    keyspace.dirty += changes.pop()[3]
                    if is_inside:
                        dispatch.propagation.operations.append((number, argv))
                    else:
                        log.append(argv)
                        wrote = True
                else:
                    session.command = spec
                    dispatch.settle(session, spec, argv)
                    if not is_inside:
                        dispatch.propagation.flush()
                        if log is not None:
                            log = dispatch.propagation.lone_run(number)
            if reply is OK:
                append(b"+OK\r\n")
            elif reply.__class__ is int:
                append(INT_LINES[reply] if 0 <= reply < SMALL_INTS else b":%d\r\n" % reply)
            elif reply.__class__ is bytes and len(reply) < COUNTED_REPLY:
                append(BULK_LINES[len(reply)] + reply + CRLF)
            else:
                if reply.__class__ is bytes:
                    dispatch.append_large(session, reply, append)
                elif reply.__class__ is Block:
                    append(dispatch.block(session, spec, argv, reply))
                    if session.waiter is not None:
                        counters.calls -= 1  # it counts when it is served
                else:
                    dispatch.put_out(session, encoders[reply.__class__](reply), append)
                if session.halted:  # it waits, or that was too much output
                    append = discard
                    is_heard = True  # so that somebody asks, below
            now = perf_counter_ns()
            elapsed = now - stamp
            stamp = now
            counters.calls += 1
            counters.total_ns += elapsed
            counters.histogram[elapsed.bit_length()] += 1
            if elapsed > slow_ns:
                if is_inside:
                    if dispatch.observe_slow is not None:
                        dispatch.observe_slow(session, spec, argv, elapsed)
                else:
                    dispatch.note_long(session, spec, argv, elapsed)
                    if now > turn_ends or session.out_bytes > YIELD_BYTES:
                        dispatch.end_of_turn_for(session)
                        break
            if is_heard and not is_inside:
                if session.halted:
                    dispatch.end_of_turn_for(session)
                    break
                if dispatch.deferred or dispatch.deferred_last or dispatch.services.blocking.ready:
                    dispatch.end_of_turn_for(session)
                    if session.halted:
                        break
        else:
            pending = None
        session.command = plan.last if pending is None else spec
        session.pending = pending
        dispatch.current = dispatch.caller = None
        if wrote:
            dispatch.propagation.note_writer(session)
        return dispatch.run(session) if is_unlike else pending is None

    def end_watch(self, session: Session) -> bool:
        """Watch no key any more, before a transaction that stands whole; False, and nothing done, if it is lost."""
        watching = self.dispatch.services.watching
        if watching.is_broken(session):
            return False
        watching.forget(session)
        self.dispatch.after_unit()
        return True

    def is_unheard(self, session: Session, keys: Sequence[bytes]) -> bool:
        """Whether all who listen wait for other keys: workers at their queues must not slow down everybody else."""
        dispatch = self.dispatch
        if dispatch.places is None or dispatch.places is not dispatch.keyspace.places:
            return False
        number = session.db.number
        return not any((number, key) in table for key in set(keys) for table in dispatch.places)

    # Transactions ----------------------------------------------------------------------------------------------

    def run_transactions(self, session: Session, pending: Iterator[Vector], turn_ends: int) -> Vector | None:
        """Run the transactions that stand whole in `pending`, from behind a MULTI that nothing refuses.

        Returns the first vector that is not done, after a transaction or inside the one that has only begun here, or
        None where nothing is left or the turn is over. Client libraries send MULTI and all up to EXEC in one packet:
        then nobody sees a state in between, and there is none.
        """
        dispatch = self.dispatch
        keyspace = dispatch.keyspace
        spec_of: Any = dispatch.spellings.get
        append = session.out.append
        done = multi_ns = exec_ns = 0
        stamp = perf_counter_ns()
        while True:
            began = stamp
            parts, count, trips, following = self.gather(pending, dispatch.mode | session.mode)
            started = perf_counter_ns()
            multi_ns += (started - began) // (count + 1)  # it and the queued were the same work
            last = self.exec if following is None else spec_of(following[0])
            trips = (trips | last.trips) & (dispatch.mode | session.mode) if last is self.exec else 1
            if trips or following is None or len(following) != 1:
                self.begin(session, parts)
                break
            append(b"+OK\r\n" + b"+QUEUED\r\n" * count)
            session.command = self.exec
            was_watching = session.watched is not None
            if was_watching and dispatch.services.watching.end(session):
                append(session.encoders[Constant](NULL_ARRAY))
            else:
                append(b"*%d\r\n" % count)
                self.call_parts(session, parts, append)
            stamp = perf_counter_ns()
            elapsed = stamp - started
            exec_ns += elapsed
            done += 1
            if elapsed > dispatch.slow_floor_ns:
                dispatch.note_long(session, self.exec, following, elapsed)
            if was_watching or dispatch.deferred or keyspace.recording or keyspace.places is not None:
                dispatch.after_unit()
            following = None
            if dispatch.is_turn_over(session, stamp, turn_ends):
                break
            following = next(pending, None)
            if following is None or len(following) != 1 or spec_of(following[0]) is not self.multi:
                break
        commands = dispatch.stats.commands
        if done:
            commands[self.exec.id].count(done, exec_ns)
        begun = done + (session.transaction is not None)
        commands[self.multi.id].count(begun, multi_ns)
        return following

    def gather(self, pending: Iterator[Vector], mode: int) -> Tuple[List[Part], int, int, Vector | None]:
        """Take from `pending` what would only be queued: its parts, how many vectors they have, what trips them all
        together, and the vector behind them.
        """
        spec_of: Any = self.dispatch.spellings.get
        parts: List[Part] = []
        vectors: List[Vector] = []
        word = None
        count = trips = arity = 0
        for vector in pending:
            length = len(vector)
            if vector[0] == word:
                if length != arity and (arity > 0 or length < -arity):
                    break
                vectors.append(vector)
            else:
                spec = spec_of(vector[0])
                if spec is None or not spec.is_plain or spec.trips & mode:
                    break
                arity = spec.arity
                if length != arity and (arity > 0 or length < -arity):
                    break
                word = vector[0]
                vectors = [vector]
                parts.append((spec, vectors))
                trips |= spec.trips
            count += 1
        else:
            return parts, count, trips, None
        return parts, count, trips, vector

    def begin(self, session: Session, parts: List[Part]) -> None:
        """MULTI as such, and what it has queued so far."""
        session.command = self.multi
        self.multi.handler(session, (b"MULTI",))
        lines = [b"+OK\r\n"]
        for spec, vectors in parts:
            for vector in vectors:
                session.transaction.queue(spec, vector, spec.trips)
            lines.append(b"+QUEUED\r\n" * len(vectors))
        session.out.append(b"".join(lines))

    def execute(self, session: Session, transaction: Transaction) -> Any:
        """EXEC of what was queued: its reply, or NO_REPLY to who has asked for silence."""
        vectors = transaction.vectors
        begins_silent = session.reply_mode != REPLY_ON
        lines = [] if begins_silent else [b"*%d\r\n" % len(vectors)]
        parts = [(spec, [argv for _, argv in pairs]) for spec, pairs in groupby(vectors, key=lambda pair: pair[0])]
        self.call_parts(session, parts, lines.append)
        encoded = b"".join(lines)
        if begins_silent:
            if encoded:  # of what followed a CLIENT REPLY ON; the batch would discard it
                session.send_encoded(encoded)
            return NO_REPLY
        return Constant("EXEC", encoded, encoded)

    def call_parts(self, session: Session, parts: Sequence[Part], append: Append) -> None:
        """Run the commands of a transaction and append their replies.

        Each reply is encoded as it comes: a HELLO among the commands changes the protocol of those behind it.
        """
        dispatch = self.dispatch
        changes = dispatch.changes
        slow_ns = dispatch.slow_floor_ns
        commands = dispatch.stats.commands
        encoders = session.encoders
        is_denied = False
        dispatch.depth += 1
        was_denying, session.denies_blocking = session.denies_blocking, True
        try:
            is_watched = self.is_watched(session)
            stamp = perf_counter_ns()
            for spec, vectors in parts:
                if is_watched or not spec.is_plain:
                    is_denied = self.call_each(session, spec, vectors, append)
                    # Only such commands change what holds for the next one: asked once for many parts, each of them
                    # costs 1.1 us less, with what else is done here once.
                    is_watched = self.is_watched(session)
                    encoders = session.encoders
                    stamp = perf_counter_ns()
                    continue
                is_denied = False
                if len(vectors) >= MIN_TOGETHER and self.call_together(session, spec, vectors, append, None, True):
                    is_watched = is_watched or session.halted != 0
                    stamp = perf_counter_ns()
                    continue
                handler: Any = spec.handler
                counters = commands[spec.id]
                start = stamp
                for argv in vectors:
                    try:
                        reply = handler(session, argv)
                    except CommandError as error:
                        counters.failed += 1
                        dispatch.stats.count_error(error.text)
                        append(error_line(error.text))
                        reply = NO_REPLY
                    except Exception:
                        dispatch.report_crash(spec)
                        append(error_line(INTERNAL_ERROR))
                        reply = NO_REPLY
                    if changes or session.propagation is not None:
                        dispatch.settle(session, spec, argv)
                    now = perf_counter_ns()
                    if now - stamp > slow_ns and dispatch.observe_slow is not None:
                        dispatch.observe_slow(session, spec, argv, now - stamp)
                    stamp = now
                    if reply is OK:
                        append(b"+OK\r\n")
                    elif reply.__class__ is int:
                        append(INT_LINES[reply] if 0 <= reply < SMALL_INTS else b":%d\r\n" % reply)
                    elif reply.__class__ is bytes and len(reply) < COUNTED_REPLY:
                        append(BULK_LINES[len(reply)] + reply + CRLF)
                    else:
                        dispatch.put_out(session, encoders[reply.__class__](reply), append)
                        is_watched = is_watched or session.halted != 0  # that may have been too much output
                elapsed = stamp - start
                calls = len(vectors)
                counters.calls += calls  # Inlined `count`.
                counters.total_ns += elapsed
                counters.histogram[(elapsed // calls).bit_length()] += calls
        finally:
            dispatch.depth -= 1
            session.denies_blocking = was_denying
        if is_denied:  # an error that belongs to no command that ran is EXEC's own
            commands[self.exec.id].failed += 1

    def is_watched(self, session: Session) -> bool:
        """Whether each command of a transaction is asked about, shown, or not heard."""
        mode = self.dispatch.mode | session.mode
        return mode & ONE_BY_ONE != 0 or session.reply_mode != REPLY_ON or session.halted != 0

    def call_together(
        self, session: Session, spec: CommandSpec, vectors: List[Vector], append: Append, log: Any, is_inside: bool
    ) -> bool:
        """`run_columns` for neighbours in a transaction, or elsewhere in a packet: then `log` is who else hears."""
        dispatch = self.dispatch
        if spec.together is None or dispatch.slow_floor_ns < LONG_NS:
            return False
        columns = columns_of(spec, vectors)
        if columns is None:
            return False
        if spec.flags & WRITE:
            if dispatch.listeners and not self.is_unheard(session, columns[1]):
                return False
            if not is_inside and log is None and dispatch.keyspace.recording:
                return False
        started = perf_counter_ns()
        replies = spec.together(session, columns)
        if replies is None:
            return False
        if dispatch.changes:
            dispatch.keyspace.dirty += dispatch.changes.pop()[3]
            if is_inside:
                dispatch.propagation.add_all(session.db.number, vectors)
            else:
                log += vectors
                dispatch.propagation.note_writer(session)
        dispatch.put_out(session, encode_run(replies, session.encoders), append)
        dispatch.stats.commands[spec.id].count(len(vectors), perf_counter_ns() - started)
        return True

    def call_each(self, session: Session, spec: CommandSpec, vectors: Sequence[Vector], append: Append) -> bool:
        """Run neighbours that must be looked at one by one; True if the last of them was denied."""
        dispatch = self.dispatch
        is_denied = False
        for argv in vectors:
            if session.mode & RESTRICTED:
                refusal = dispatch.gate.refusal_in_exec(session, spec, argv)
                if refusal is not None:
                    dispatch.stats.count_error(refusal.text)
                    append(error_line(refusal.text))
                    is_denied = True
                    continue
            is_denied = False
            # Who closed its own connection, or asked for silence, hears no more of this either, as in Redis.
            is_silent = session.reply_mode == REPLY_OFF or session.halted & (CLOSING | DOOMED)
            reply = dispatch.call(session, spec, argv, is_own=True)
            if not is_silent or (reply is OK and session.reply_mode == REPLY_ON and not session.halted):
                append(session.encoders[reply.__class__](reply))  # the second: CLIENT REPLY ON itself
        return is_denied
