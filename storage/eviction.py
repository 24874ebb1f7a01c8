"""Which key to give up when memory is short: samples, scores and the counters of the LFU policies.

Owns the choice, not the deletion and not the limit. As in Redis a few keys are sampled at a time and the best of them
stand in a small pool, which comes close to the exact order of the whole keyspace without keeping one. The LFU scale is
Redis's: a byte that grows by chance, the less the higher it is, and falls with every `lfu-decay-time` minutes.

Samples are entries of the tables at random places (`storage.entries`), or come from the index that SCAN uses where that
cannot be had. Deadlines are a heap already: `volatile-ttl` takes its first key exactly.
"""

from __future__ import annotations

from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from storage.clock import Clock
    from storage.database import Database
    from storage.keyspace import Keyspace
    from storage.scan_index import RandomSource

POOL_KEYS = 16
TRIES_A_SAMPLE = 4  # looks among all keys for one with a deadline, before the deadlines themselves are asked
BUCKET_KEYS = 16  # of one deadline that many keys share, the first ones stand for all
FIRST_COUNT = 5  # what a new key counts, so that it is not given up before it could be used again
MAX_COUNT = 255
MINUTES_MASK = 0xFFFF


class Frequencies(dict):  # type: ignore[type-arg]  # dict[bytes, int] as a base costs an import of the generic machinery
    """Access stamps under the LFU policies: minutes << 8 | count, in the place of seconds.

    A database writes `access[key] = clock.access_stamp` at each use; here that very object means "used once more", and
    any other number is stored as it is. So the other policies pay nothing for this one.
    """

    __slots__ = ("clock", "rng", "log_factor", "decay_minutes", "begun")

    def __init__(self, clock: Clock, rng: RandomSource, log_factor: int, decay_minutes: int) -> None:
        self.clock = clock
        self.rng = rng
        self.log_factor = log_factor
        self.decay_minutes = decay_minutes
        # Keys that were there before were never used: Redis reads their time of use as a count, and lets it decay.
        self.begun = (clock.access_stamp // 60 & MINUTES_MASK) << 8

    def __setitem__(self, key: bytes, stamp: int) -> None:
        if stamp is self.clock.access_stamp:
            minutes = stamp // 60 & MINUTES_MASK
            if key in self:
                count = self.count_of(key)
                if count < MAX_COUNT:
                    above = max(0, count - FIRST_COUNT)
                    if self.rng.random() < 1.0 / (above * self.log_factor + 1):
                        count += 1
            else:
                count = FIRST_COUNT
            stamp = minutes << 8 | count
        dict.__setitem__(self, key, stamp)

    def count_of(self, key: bytes) -> int:
        """How often the key is used, on the logarithmic scale, as of now."""
        stamp = self.get(key, self.begun)
        count: int = stamp & MAX_COUNT
        if self.decay_minutes:
            elapsed = ((self.clock.access_stamp // 60) - (stamp >> 8)) & MINUTES_MASK
            count -= min(count, elapsed // self.decay_minutes)
        return count


def use_frequencies(space: Keyspace, rng: RandomSource, log_factor: int, decay_minutes: int) -> None:
    """Count uses from now on; a key that is there begins at nothing, and like a new one when it is used."""

    def fresh() -> Frequencies:
        return Frequencies(space.clock, rng, log_factor, decay_minutes)

    space.new_access = fresh
    for db in space.databases:
        if db.access.__class__ is Frequencies:
            db.access.log_factor, db.access.decay_minutes = log_factor, decay_minutes
        else:
            space.graveyard.bury_table(db.access)
            db.access = fresh()


def use_times(space: Keyspace) -> None:
    """Keep the second of the last use from now on; every key was used now, if uses were counted until now."""
    space.new_access = dict
    for db in space.databases:
        if db.access.__class__ is Frequencies:
            space.graveyard.bury_table(db.access)
            db.access = {}
            space.stamps_since_s = space.clock.access_stamp


class Chooser:
    """Chooses keys by one of the policies."""

    __slots__ = ("space", "rng", "samples", "order", "only_volatile", "pool", "turn")

    def __init__(self, space: Keyspace, rng: RandomSource) -> None:
        self.space = space
        self.rng = rng
        self.samples = 5
        self.order = "lru"
        self.only_volatile = False
        self.pool: list[tuple[int, int, bytes]] = []  # best last: score, database, key
        self.turn = 0  # random policies visit one database after the other

    def follow(self, policy: str, samples: int) -> None:
        """Obey a policy by its name in the configuration."""
        kind, _, self.order = policy.partition("-")
        self.only_volatile = kind == "volatile"
        self.samples = samples
        self.pool.clear()

    def candidates(self, db: Database) -> int:
        """How many keys of a database may be given up."""
        return len(db.lapses) if self.only_volatile else len(db.data)

    def choose(self) -> tuple[Database, bytes] | None:
        """The next key to give up, or None if there is none. O(samples x databases in use)."""
        if self.order == "random":
            return self._choose_randomly()
        if self.order == "ttl":
            return self._choose_nearest_deadline()
        return self._choose_from_pool()

    def _choose_randomly(self) -> tuple[Database, bytes] | None:
        databases = self.space.databases
        for _ in databases:
            db = databases[self.turn % len(databases)]
            self.turn += 1
            if self.candidates(db):
                found = self.sample(db, 1)
                if found:
                    return db, found[0]
        return None

    def _choose_nearest_deadline(self) -> tuple[Database, bytes] | None:
        best: tuple[int, Database] | None = None
        for db in self.space.databases:
            if db.lapses:
                deadline_ms = db.deadlines.next_ms()
                if deadline_ms is not None and (best is None or deadline_ms < best[0]):
                    best = deadline_ms, db
        if best is None:
            return None
        deadline_ms, db = best
        bucket = db.deadlines.buckets[deadline_ms]
        if bucket.__class__ is dict:
            # The last one: taking the first of a dictionary again and again walks over those that went before.
            key = bucket.popitem()[0]
            bucket[key] = None
            return db, key
        return db, bucket  # type: ignore[return-value]

    def _choose_from_pool(self) -> tuple[Database, bytes] | None:
        pool, databases = self.pool, self.space.databases
        while True:
            offered = False
            for db in databases:
                if self.candidates(db):
                    offered = True
                    for key in self.sample(db, self.samples):
                        entry = (self.score(db, key), db.number, key)
                        if entry not in pool:
                            pool.append(entry)
            pool.sort()
            del pool[:-POOL_KEYS]
            while pool:
                _, number, key = pool.pop()
                db = databases[number]
                if key in (db.lapses if self.only_volatile else db.data):
                    return db, key
            if not offered:
                return None

    def score(self, db: Database, key: bytes) -> int:
        """The more, the better a key can be done without: seconds of idleness, or rareness of use."""
        if db.access.__class__ is Frequencies:
            return MAX_COUNT - db.access.count_of(key)
        return self.space.clock.access_stamp - db.access.get(key, self.space.stamps_since_s)

    def sample(self, db: Database, count: int) -> list[bytes]:
        """Some keys that may be given up, at least one if there is one."""
        rng = self.rng
        if not self.only_volatile:
            return [db.pick(rng) for _ in range(count)]
        lapses = db.lapses
        found: list[bytes] = []
        entries = self.space.entries
        if entries.can_jump and not entries.is_sparse(lapses):
            for _ in range(count):
                volatile = entries.random(lapses, rng)
                if volatile is not None:
                    found.append(volatile)
            if found:
                return found
        for _ in range(count * TRIES_A_SAMPLE):
            key = db.pick(rng)
            if key in lapses:
                found.append(key)
                if len(found) == count:
                    return found
        heap, buckets = db.deadlines.heap, db.deadlines.buckets
        for _ in range(count * TRIES_A_SAMPLE):
            bucket = buckets.get(heap[int(rng.random() * len(heap))]) if heap else None
            if bucket.__class__ is dict:
                keys = list(islice(bucket, BUCKET_KEYS))
                found.append(keys[int(rng.random() * len(keys))])
            elif bucket is not None:
                found.append(bucket)  # type: ignore[arg-type]
            if len(found) >= count:
                break
        return found or list(islice(lapses, 1))
