"""What of a unit of work goes to the log and the replicas, and in which form.

Collects operations while a unit runs and hands them to the sinks when it ends: `(database number, vector)` pairs,
wrapped in MULTI and EXEC when there is more than one. Nothing random or relative to now may pass: a handler that needs
another form than its own vector has said so with `ctx.propagate_as`. A sink is an object with `feed(number, argv)`,
which adds SELECT itself, the `database` that its stream is in, and a `scope`, which says what it is to
`redis.set_repl`. Must not know files or links.
"""

from __future__ import annotations

from server.registry import TOUCHES_ARBITRARY_KEYS
from storage.events import EXPIRED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence, Tuple

    from server.dispatch import Dispatcher
    from server.session import Session
    from storage.database import Database
    from storage.events import Event

    Operation = Tuple[int, Sequence[bytes]]


class Moment:
    """A turn in which something was propagated, and how long the stream and the log were at its end.

    Clients remember the one of their last write, so that WAIT can tell for what it waits, and no offset has to be known
    after each command.
    """

    __slots__ = ("stream", "log")

    def __init__(self) -> None:
        self.stream = self.log = -1  # bytes; not known before the turn ends


TO_LOG, TO_REPLICAS, EVERYWHERE = 1, 2, 3  # the numbers that scripts know


class Propagation:
    """The operations of the unit under way, and who receives them."""

    __slots__ = ("dispatch", "sinks", "operations", "scope", "narrowed", "moment", "is_moment_used")

    def __init__(self, dispatch: Dispatcher) -> None:
        self.dispatch = dispatch
        self.sinks: List[Any] = []
        self.operations: List[Operation] = []
        self.scope = EVERYWHERE  # of the commands that run now: a script may choose
        self.narrowed: Dict[int, int] = {}  # place in `operations` to scope, where that is not everywhere
        self.moment = Moment()
        self.is_moment_used = False

    def own_deletion(self, db: Database, key: bytes | None, event: Event) -> None:
        """A key that expired or was evicted is deleted downstream by an operation of its own."""
        if key is not None and self.sinks:
            config = self.dispatch.services.config
            is_lazy = config.lazyfree_lazy_expire if event is EXPIRED else config.lazyfree_lazy_eviction
            self.operations.append((db.number, (b"UNLINK" if is_lazy else b"DEL", key)))

    def collect(self, session: Session | None, argv: Sequence[bytes] | None, dirty: int) -> None:
        """Take the operation of the command just run: its vector, or what the handler said instead."""
        keyspace = self.dispatch.keyspace
        if keyspace.expired_fields_log:
            if self.sinks:
                for db, key, fields in keyspace.expired_fields_log:
                    self.operations += [(db.number, (b"HDEL", key, field)) for field in fields]
            keyspace.expired_fields_log.clear()
        if session is None or argv is None:
            return
        instead, session.propagation = session.propagation, None
        if not self.sinks:
            return
        count = len(self.operations)
        if instead is not None:
            for vector in instead:
                self.operations.append((session.db.number, vector))
        elif dirty:
            self.operations.append((session.db.number, argv))
        if self.scope != EVERYWHERE:
            self.narrow(count)
        if self.operations:
            self.note_writer(session)

    def add_all(self, number: int, vectors: Sequence[Sequence[bytes]]) -> None:
        """Take the operations of neighbours in a transaction, each its own vector, in place of `collect`."""
        if self.sinks:
            self.operations += [(number, vector) for vector in vectors]

    def add_for_replicas(self, number: int, argv: Sequence[bytes]) -> None:
        if self.is_heard(self.scope & TO_REPLICAS):
            self.narrowed[len(self.operations)] = TO_REPLICAS
            self.operations.append((number, argv))

    def is_heard(self, scope: int) -> bool:
        """Whether there is a sink in this scope; what none hears makes no transaction of the operation beside it."""
        return any(sink.scope & scope for sink in self.sinks)

    def narrow(self, since: int) -> None:
        """Send the operations from this place on where the script said; what expired meanwhile goes everywhere."""
        if self.is_heard(self.scope):
            self.narrowed.update(dict.fromkeys(range(since, len(self.operations)), self.scope))
        else:
            del self.operations[since:]

    def forget(self) -> None:
        """What the unit under way has done shall be as if it had not been."""
        self.operations.clear()
        self.narrowed.clear()

    def note_writer(self, session: Session) -> None:
        """Something was propagated on behalf of this client."""
        session.wrote = self.moment
        self.is_moment_used = True

    def end_moment(self, stream: int, log: int) -> None:
        """The turn is over, and this is how long the stream and the log are."""
        self.moment.stream = stream
        self.moment.log = log
        self.moment = Moment()
        self.is_moment_used = False

    def lone_run(self, number: int) -> List[Any] | None:
        """The list that takes the operations on one database, if there is only one sink and it has such, else None.

        Good until anything else is propagated.
        """
        if len(self.sinks) == 1 and not self.operations and hasattr(self.sinks[0], "run_of"):
            return self.sinks[0].run_of(number)
        return None

    def replace(self, number: int, vectors: List[Sequence[bytes]], source: bytes) -> None:
        """Let the log have the bytes that a batch came as, if all of it goes to the log and nothing between.

        The parser vouches for these bytes: they are in the log's own form, so 0.17 us each of encoding are spared, and
        the vectors need not be kept until the end of the turn.
        """
        run = self.lone_run(number)
        count = len(vectors)
        if run is not None and run[-count:] == vectors:
            del run[-count:]
            self.add_source(run, source, count)

    def add_source(self, run: List[Any], source: bytes, count: int) -> None:
        """Add to a `lone_run` the bytes that so many operations came as."""
        run.append(source)
        self.dispatch.services.replication.note_logged(count - 1)  # it will be taken for one

    def flush(self, are_related: bool = True) -> None:
        """Hand the unit's operations to every sink, as one transaction unless they have nothing to do with one another:
        deletions of keys and fields whose time came, or that SCAN and its like happened to meet.
        """
        operations = self.operations
        if not operations or self.dispatch.depth:
            return
        self.operations = []
        current = self.dispatch.current
        if current is not None:
            self.note_writer(current)
            if current.command is not None and current.command.flags & TOUCHES_ARBITRARY_KEYS:
                are_related = False
        if len(operations) == 1 and not self.narrowed:
            # One operation, as of most commands: SETEX with a log, a twentieth.
            number, vector = operations[0]
            for sink in self.sinks:
                sink.feed(number, vector)
            return
        wrapped = len(operations) > 1 and are_related
        narrowed, self.narrowed = self.narrowed, {}
        numbers, vectors = zip(*operations)
        is_alike = wrapped and not narrowed and numbers.count(numbers[0]) == len(numbers)
        for sink in self.sinks:
            if is_alike and sink.database == numbers[0] and hasattr(sink, "run_of"):
                run = sink.run_of(numbers[0])  # As below: a transaction of three with a log, 3.0 -> 1.5 us.
                run += ((b"MULTI",), *vectors, (b"EXEC",))
                continue
            if wrapped:
                sink.feed(sink.database, (b"MULTI",))  # SELECT stands within, as in Redis
            if narrowed:
                kept = [pair for at, pair in enumerate(operations) if narrowed.get(at, EVERYWHERE) & sink.scope]
            else:
                kept = operations
            for number, vector in kept:
                sink.feed(number, vector)
            if wrapped:
                sink.feed(sink.database, (b"EXEC",))
