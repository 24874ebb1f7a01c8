"""A sink that keeps what it is told, and values in a form that compares."""

from __future__ import annotations

from storage.limits import EncodingLimits
from storage.rdb.corrupt import CorruptData
from storage.rdb.reader import Reader, Sink
from storage.types.hash import Hash
from storage.types.list import List
from storage.types.set import Set
from storage.types.sorted_set import SortedSet
from storage.types.stream import Stream


class Collected(Sink):
    def __init__(self):
        self.version = 0
        self.values = {}
        self.deadlines = {}
        self.ages = {}
        self.facts = {}
        self.functions = []
        self.hints = {}
        self.modules = []
        self.empty = []

    def header(self, version):
        self.version = version

    def aux(self, name, value):
        self.facts[name] = value

    def resize(self, db, keys, deadlines):
        self.hints[db] = keys, deadlines

    def function(self, source):
        self.functions.append(source)

    def module_aux(self, name):
        self.modules.append(name)

    def empty_key(self, db, key):
        self.empty.append((db, key))

    def entry(self, db, key, value, deadline_ms, idle_s, freq):
        if (db, key) in self.values:
            raise CorruptData("duplicated key", 0)
        self.values[db, key] = value
        if deadline_ms is not None:
            self.deadlines[db, key] = deadline_ms
        if idle_s is not None or freq is not None:
            self.ages[db, key] = idle_s, freq

    def plain(self):
        return {place: plain(value) for place, value in self.values.items()}


def read(data, piece=1 << 20, **options):
    """Everything in a snapshot, fed in pieces of the given size."""
    sink = Collected()
    reader = Reader(sink, EncodingLimits(), **options)
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
    reader.close()
    return sink


def plain(value):
    """What clients could tell about a value, as something that compares."""
    if isinstance(value, Stream):
        ids, _, bodies = value.log.entries(0, (1 << 128) - 1)
        groups = {
            name: (
                group.last_id,
                group.entries_read,
                {
                    consumer.name: (
                        consumer.seen_ms,
                        consumer.active_ms,
                        [(at, one.delivered_ms, one.deliveries) for at, one in consumer.pending.by_id.items()],
                    )
                    for consumer in group.consumers.values()
                },
            )
            for name, group in value.groups.items()
        }
        return list(zip(ids, bodies)), value.last_id, value.max_deleted_id, value.entries_added, groups
    if isinstance(value, Hash):
        return dict(value), dict(value.deadlines.live) if value.deadlines is not None else {}
    if isinstance(value, SortedSet):
        return list(value.ascending())
    if isinstance(value, Set):
        return set(value)
    if isinstance(value, List):
        return list(value)
    return bytes(value)
