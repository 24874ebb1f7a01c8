"""The keyspace: all databases, the seam for changes, and what they count together.

Owns the list of changes of the unit of work under way, the switch between counting and recording them, and the
statistics that belong to keys. Storage states facts here and has no callbacks: dispatch reads `changes` after each
command. Must not know who listens.
"""

from __future__ import annotations

from itertools import repeat
from time import perf_counter_ns

from storage.clock import Clock
from storage.database import Database
from storage.deadlines import NEVER_MS, Alarm
from storage.entries import Entries
from storage.events import FLUSHED, SWAPPED
from storage.lazyfree import Graveyard
from storage.limits import EncodingLimits
from storage.types.list import List

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Container, Iterable, Optional, Sequence, Tuple

    from storage.events import Event

    Change = Tuple[Database, Optional[bytes], Event, int]
    Seam = Callable[[Optional[bytes], Event, int], None]
    Places = Sequence[Container[Tuple[int, bytes]]]  # databases' numbers with keys of theirs

PARTS = ("data", "deadlines", "lapses", "field_deadlines", "access", "index")  # what a database's contents are
EXPIRY_STEPS = 16  # keys expired between two looks at the clock, about 50 us
ELEMENT_BYTES = 64  # in a container, where the interpreter does not say


class Keyspace:
    """Databases 0 to n-1 with one clock and one record of changes."""

    __slots__ = (
        "clock",
        "limits",
        "databases",
        "graveyard",
        "entries",
        "grows_indexes",
        "unseen_bytes",
        "alarm",
        "changes",
        "dirty",
        "recording",
        "places",
        "expired_fields_log",
        "hits",
        "misses",
        "expired_keys",
        "expired_fields",
        "evicted_keys",
        "expiry_ns",
        "expiry_cuts",
        "hears_misses",
        "hears_new",
        "keeps_lapsed",
        "hides_lapsed",
        "ends_lapsed",
        "active_expiry",
        "new_access",
        "stamps_since_s",
        "_recorders",
        "_pickers",
    )

    def __init__(self, databases: int = 16, clock: Clock | None = None, limits: EncodingLimits | None = None) -> None:
        self.clock = clock or Clock()
        self.limits = limits or EncodingLimits()
        self.graveyard = Graveyard()
        self.entries = Entries()
        self.grows_indexes = False  # some database's index is being made: see `grow_indexes`
        self.unseen_bytes = 0  # by which values grew beyond what arguments show; reset by who keeps a limit
        self.alarm = Alarm()
        self.changes: list[Change] = []
        self.expired_fields_log: list[tuple[Database, bytes, list[bytes]]] = []
        self.dirty = 0  # changes since the last snapshot
        self.recording = False  # each change is recorded
        self.places: Places | None = None  # else only those of keys found in one of these
        self.hits = 0
        self.misses = 0
        self.expired_keys = 0
        self.expired_fields = 0
        self.evicted_keys = 0
        self.expiry_ns = 0  # time that the active cycle took
        self.expiry_cuts = 0  # how often its budget ended it
        self.hears_misses = False
        self.hears_new = False
        self.keeps_lapsed = False  # a replica, and a server that loads, delete nothing by themselves
        self.hides_lapsed = True
        self.ends_lapsed = False  # but for who is about to write to them: a replica that takes writes
        self.active_expiry = True
        self.new_access: Callable[[], dict[bytes, int]] = dict  # see storage.eviction
        self.stamps_since_s = 0  # of keys without a stamp of their own
        self.databases = [Database(number, self, self.clock) for number in range(databases)]
        self._recorders: list[Seam] = []  # of each database, once they are wanted
        self._pickers: list[Seam] = []
        self.record(False)

    # The seam --------------------------------------------------------------------------------------------------

    def record(self, recording: bool, places: Places | None = None) -> None:
        """Switch between counting changes and recording each, or those of the keys in `places`. Only between two units
        of work.
        """
        was_picking = self.places is not None and not self.recording
        self.recording = recording
        self.places = places
        if was_picking and places is not None and not recording:
            return
        seams: Iterable[Seam]
        if recording:
            seams = self._recorders = self._recorders or list(map(self.recorder, self.databases))
        elif places is not None:
            seams = self._pickers = self._pickers or list(map(self.picker, self.databases))
        else:
            seams = repeat(self.count)
        # Made once: WATCH, GET and a transaction, 22 -> 17 us of processor time.
        for db, seam in zip(self.databases, seams):
            db.changed = seam

    def count(self, key: bytes | None, event: Event, count: int) -> None:
        """The seam while nobody listens."""
        self.dirty += count

    def recorder(self, db: Database) -> Seam:
        """The seam while somebody listens: an entry of `changes` for each call."""
        append = self.changes.append

        def record(key: bytes | None, event: Event, count: int) -> None:
            append((db, key, event, count))

        return record

    def picker(self, db: Database) -> Seam:
        """The seam while all who listen wait for certain keys: a worker's queue must not slow down other writes."""
        append = self.changes.append
        number = db.number

        def pick(key: bytes | None, event: Event, count: int) -> None:
            if key is not None:
                place = (number, key)
                for table in self.places or ():
                    if place in table:
                        break
                else:
                    self.dirty += count
                    return
            append((db, key, event, count))

        return pick

    def note_expired_fields(self, db: Database, key: bytes, fields: list[bytes]) -> None:
        """Keep which fields of a hash expired, for the operation that propagates it."""
        if self.recording:
            self.expired_fields_log.append((db, key, fields))

    # Whole databases -------------------------------------------------------------------------------------------

    def flush(self, number: int | None = None) -> int:
        """Empty one database or all. O(databases); memory is freed in slices. Returns how many keys went."""
        total = 0
        for db in self.databases if number is None else [self.databases[number]]:
            gone = db.flush()
            total += gone
            db.changed(None, FLUSHED, gone)
        return total

    def swap(self, first: int, second: int) -> None:
        """Exchange the contents of two databases. O(1); clients stay with their number."""
        one, other = self.databases[first], self.databases[second]
        for part in PARTS:
            ours, theirs = getattr(one, part), getattr(other, part)
            setattr(one, part, theirs)
            setattr(other, part, ours)
        one.changed(None, SWAPPED, 1)
        other.changed(None, SWAPPED, 0)

    def beside(self) -> Keyspace:
        """An empty keyspace of the same shape, to be filled while this one is read."""
        return Keyspace(len(self.databases), self.clock, self.limits)

    def take_over(self, other: Keyspace) -> None:
        """Have the contents of another keyspace, made by `beside`, which must not be used any more. O(databases)."""
        for db, source in zip(self.databases, other.databases):
            for part in PARTS:
                setattr(db, part, getattr(source, part))
            db.deadlines.alarm = db.field_deadlines.alarm = self.alarm
        self.alarm.due_ms = self.next_deadline_ms()
        self.grows_indexes |= other.grows_indexes

    def note_made(self, value: Any) -> None:
        """A value was made from others: its size is noted for who keeps a limit on memory."""
        try:
            self.unseen_bytes += value.__sizeof__()
        except AttributeError:  # PyPy tells no sizes
            self.unseen_bytes += len(value) * (1 if isinstance(value, (bytes, bytearray)) else ELEMENT_BYTES)

    def measure_lists(self) -> None:
        """After a change of list-max-listpack-size: lists that were packed under the old one look again. O(keys)."""
        for db in self.databases:
            for value in db.data.values():
                if value.__class__ is List:
                    value.forget_room()

    def grow_indexes(self, budget_ns: int) -> bool:
        """Go on with the indexes of databases for about this long; True when all are whole."""
        ends_ns = perf_counter_ns() + budget_ns
        for db in self.databases:
            if not db.grow_index(ends_ns - perf_counter_ns()):
                return False
        self.grows_indexes = False
        return True

    def __len__(self) -> int:
        return sum(map(len, self.databases))

    # Time ------------------------------------------------------------------------------------------------------

    def next_deadline_ms(self) -> int:
        """The earliest deadline of any key or field, or NEVER_MS. O(databases)."""
        earliest = NEVER_MS
        for db in self.databases:
            for deadlines in (db.deadlines, db.field_deadlines):
                if deadlines.live:
                    next_ms = deadlines.next_ms()
                    if next_ms is not None and next_ms < earliest:
                        earliest = next_ms
        return earliest

    def expire_due(self, budget_ns: int) -> bool:
        """Delete what is due for about `budget_ns`; False if it was cut short and should be called again soon.

        Costs one comparison while nothing is due.
        """
        now_ms = self.clock.now_ms
        if now_ms < self.alarm.due_ms or self.keeps_lapsed or not self.active_expiry:
            return True
        started_ns = perf_counter_ns()
        is_done = self._expire_all(now_ms, started_ns + budget_ns)
        self.expiry_ns += perf_counter_ns() - started_ns
        if not is_done:
            self.expiry_cuts += 1
        return is_done

    def _expire_all(self, now_ms: int, stop_ns: int) -> bool:
        for db in self.databases:
            if db.deadlines.live and not self._expire_keys(db, now_ms, stop_ns):
                return False
            if db.field_deadlines.live and not self._expire_hashes(db, now_ms, stop_ns):
                return False
        self.alarm.due_ms = self.next_deadline_ms()
        return True

    def _expire_keys(self, db: Database, now_ms: int, stop_ns: int) -> bool:
        while True:
            due = db.deadlines.take_due(now_ms, EXPIRY_STEPS)
            for key in due:
                db.expire(key)
            if len(due) < EXPIRY_STEPS:
                return True
            if perf_counter_ns() > stop_ns:
                return False

    def _expire_hashes(self, db: Database, now_ms: int, stop_ns: int) -> bool:
        while True:
            key = db.field_deadlines.next_due(now_ms)
            if key is None:
                return True
            db.expire_fields(key)
            if perf_counter_ns() > stop_ns:
                return False

    def _check(self) -> None:
        for db in self.databases:
            db._check()
