"""`maxmemory`: what happens when memory is short.

Owns the limit: how much is used, giving up keys until it is kept, and refusing commands that would need more. Which key
is given up is `storage.eviction`; how memory is measured is `server.memory_meter`. Without a limit nothing here runs:
`admission.MEMORY_LIMITED` is not set.

Measuring takes up to 0.5 ms with a million keys, so not every command is preceded by it. Between two
measurements what the commands bring is added to the last one, generously; when the sum passes the limit, or a tenth of
a second is over, it is measured again. When keys have to go, a little more goes than must (a thousandth of the limit),
so that at the limit, too, one measurement serves hundreds of writes.

A command never waits longer than EVICTION_NS for keys to go: the rest goes at the end of each turn.
"""

from __future__ import annotations

from itertools import chain, islice
from time import perf_counter_ns

from protocol.parser import Run
from server import admission
from server.heap_guess import HeapGuess
from storage.errors import OUT_OF_MEMORY, CommandError
from storage.events import EVICTED
from storage.eviction import Chooser, use_frequencies, use_times

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence

    from protocol.parser import Vectors
    from server.config.configuration import Config
    from server.reactor import Reactor
    from server.registry import CommandSpec
    from server.services import Services
    from server.session import Session
    from storage.database import Database

MAX_EVICTION_NS = 4_000_000  # together with the last key it stays below 5 ms
EVICTION_NS_A_STEP = 50_000  # as in Redis: maxmemory-eviction-tenacity 10 is 0.5 ms, more grows by 15 % a step
MEASURE_EVERY_NS = 100_000_000
ARGUMENT_BYTES = 120  # a key of its own: the object, its entries in three tables, and their growth
SLACK_SHARE = 1000
MIN_SLACK_BYTES = 16 * 1024
FRESH_NS = 5_000_000  # so long a measurement holds while much has to go
MAX_BATCH = 64  # keys given up between two measurements
FEW_KEYS = 128  # are estimated one by one: 0.1 ms for strings, 1.5 ms for packed hashes
KEPT, UNDER_WAY, EXHAUSTED = 0, 1, 2


class MemoryPolicy:
    """Keeps the limits of one server."""

    def __init__(self, services: Services, reactor: Reactor) -> None:
        from _random import Random

        self.services = services
        self.reactor = reactor
        self.keyspace = services.keyspace
        self.chooser = Chooser(services.keyspace, Random())
        self.guess = HeapGuess(services.keyspace, self.chooser.rng)
        self.limit = 0
        self.evicts = False
        self.used = 0  # at the last measurement, and what commands have brought since
        self.measured_ns = 0
        self.is_over = False  # keys still have to go
        self.over_since_ns = 0
        self.exceeded_ns = 0
        config = services.config
        for name in ("maxmemory", "maxmemory-policy", "maxmemory-samples", "lfu-log-factor", "lfu-decay-time"):
            config.on_change(name, self.follow)
        config.on_change("maxmemory", self.warn)
        about = services.info
        about.memory.estimate = self.formula
        about.memory.guess = self.guess
        about.provide("total_eviction_exceeded_time", lambda: (self.exceeded_ns + self.exceeding_ns()) // 1_000_000)
        about.provide("current_eviction_exceeded_time", lambda: self.exceeding_ns() // 1_000_000)
        about.on_reset.append(self.reset)
        self.follow(config)

    def reset(self) -> None:
        self.exceeded_ns = 0

    def exceeding_ns(self) -> int:
        return perf_counter_ns() - self.over_since_ns if self.over_since_ns else 0

    # Configuration ---------------------------------------------------------------------------------------------

    def follow(self, config: Config) -> Optional[str]:
        """The limit or the policy is another one."""
        self.limit = config.maxmemory
        policy = config.maxmemory_policy
        self.evicts = policy != "noeviction"
        self.chooser.follow(policy, config.maxmemory_samples)
        if "lfu" in policy:
            use_frequencies(self.keyspace, self.chooser.rng, config.lfu_log_factor, config.lfu_decay_time)
        else:
            use_times(self.keyspace)
        dispatch = self.services.dispatch
        if self.limit:
            dispatch.mode |= admission.MEMORY_LIMITED
            self.measured_ns = 0
            self.is_over = True  # look at the end of this turn
        else:
            dispatch.mode &= ~admission.MEMORY_LIMITED
            self.end_of_excess()
        steps = self.reactor.before_sleep
        if self.limit and self.before_sleeping not in steps:
            steps.insert(0, self.before_sleeping)
        return None

    def warn(self, config: Config) -> Optional[str]:
        """Say in the log that a new limit is reached already."""
        used = self.measure() if self.limit else 0
        if used > self.limit:
            self.services.log.warning(
                "WARNING: the new maxmemory value set via CONFIG SET (%d) is smaller than the current memory usage "
                "(%d). This will result in key eviction and/or the inability to accept new write commands depending on "
                "the maxmemory-policy." % (self.limit, used)
            )
        return None

    @property
    def budget_ns(self) -> int:
        """How long keys may be given up before something else has its turn."""
        tenacity = self.services.config.maxmemory_eviction_tenacity
        if tenacity <= 10:
            return EVICTION_NS_A_STEP * int(tenacity)
        return int(min(MAX_EVICTION_NS, 10 * EVICTION_NS_A_STEP * 1.15 ** (tenacity - 10)))

    # Commands --------------------------------------------------------------------------------------------------

    def check(self, session: Session, spec: CommandSpec, argv: Sequence[bytes]) -> None:
        """Make room for a command that may need some (denyoom; EXEC if it runs one), or refuse it."""
        if not self.applies():
            return
        total = sum(map(len, argv))
        self.note_unseen()
        before = self.used
        self.used += total + ARGUMENT_BYTES * len(argv)
        self.guess.note_written(argv, total)
        if spec.name == b"exec" and session.transaction is not None:
            for _, vector in session.transaction.vectors:
                total = sum(map(len, vector))
                self.used += total + ARGUMENT_BYTES * len(vector)
                self.guess.note_written(vector, total)
        if self.used > self.limit or perf_counter_ns() - self.measured_ns > MEASURE_EVERY_NS:
            self.guess.arriving = self.used - before
            verdict = self.make_room()
            self.guess.arriving = 0
            if verdict == EXHAUSTED:
                raise CommandError(OUT_OF_MEMORY)

    def has_room(self, vectors: Vectors) -> bool:
        """Whether all that a batch brings is known to fit, which is then noted; else `check` has to decide."""
        if not self.applies():
            return True
        columns = vectors.columns if vectors.__class__ is Run else vectors
        sizes = list(map(len, chain.from_iterable(columns)))
        brought = sum(sizes) + ARGUMENT_BYTES * len(sizes)
        self.note_unseen()
        if self.is_over or self.used + brought > self.limit:
            return False
        if perf_counter_ns() - self.measured_ns > MEASURE_EVERY_NS:
            return False
        self.used += brought
        self.guess.note_batch(len(vectors), sizes)
        return True

    def note_unseen(self) -> None:
        """What commands have made that was not in their arguments: SETRANGE far behind the end of a string, COPY."""
        space = self.keyspace
        if space.unseen_bytes:
            self.used += space.unseen_bytes
            space.unseen_bytes = 0

    def applies(self) -> bool:
        """Whether this server gives up keys by itself now: a replica leaves that to its master."""
        services = self.services
        config = services.config
        if config.replicaof and config.replica_ignore_maxmemory:
            return False
        return not services.dispatch.mode & admission.LOADING_DATA

    def measure(self) -> int:
        """How much is used now."""
        self.measured_ns = perf_counter_ns()
        self.keyspace.unseen_bytes = 0
        self.used = self.services.info.memory.used_bytes()
        return self.used

    def formula(self) -> int:
        """The keys by the sizes of Redis's own structures: where the interpreter cannot be asked."""
        from storage.sizes import usage

        total = self.guess.arriving  # the allocators would count it already
        for db in self.keyspace.databases:
            count = len(db.data)
            if count:
                if count <= FEW_KEYS:  # a single large one among them must not be overlooked
                    keys = list(db.data)
                elif db.index is not None or self.keyspace.entries.can_jump:
                    keys = [db.pick(self.chooser.rng) for _ in range(MAX_BATCH)]
                else:  # an index would slow down every command
                    keys = list(islice(db.data, MAX_BATCH))
                sizes = [usage(key, db.data[key], self.keyspace.limits) for key in keys]
                total += sum(sizes) * count // len(keys)
        return total

    def make_room(self) -> int:
        """Give up keys until the limit is kept, or the budget is spent, or none is left."""
        # What is known to be far above the limit is still above it, whatever has come and gone in these milliseconds.
        if not self.is_over or perf_counter_ns() - self.measured_ns > FRESH_NS or self.used <= self.limit:
            if self.measure() <= self.limit:
                self.end_of_excess()
                return KEPT
        if not self.over_since_ns:
            self.over_since_ns = perf_counter_ns()
        if self.services.dispatch.mode & (admission.PAUSED_ALL | admission.PAUSED_WRITES):
            return KEPT  # nothing changes while writes are paused
        graveyard = self.keyspace.graveyard
        ends_ns = perf_counter_ns() + self.budget_ns
        verdict = self.evict(ends_ns) if self.evicts else EXHAUSTED
        if verdict == EXHAUSTED and graveyard.waiting:
            graveyard.drain(max(0, ends_ns - perf_counter_ns()))
            verdict = UNDER_WAY if graveyard.waiting or self.measure() <= self.limit else EXHAUSTED
        self.is_over = verdict == UNDER_WAY
        if verdict == KEPT:
            self.end_of_excess()
        return verdict

    def evict(self, ends_ns: int) -> int:
        """The loop of `make_room`: batches of keys, each followed by a measurement."""
        goal = self.limit - max(MIN_SLACK_BYTES, self.limit // SLACK_SHARE)
        graveyard = self.keyspace.graveyard
        count = max(1, len(self.keyspace))
        mean = max(64, (self.used - self.services.info.memory.startup_bytes) // count)
        latency = self.services.latency
        began_ns = perf_counter_ns()
        verdict = UNDER_WAY
        while verdict == UNDER_WAY:
            batch = min(MAX_BATCH, 1 + (self.used - goal) // mean)
            given_up = 0
            for _ in range(batch):
                found = self.chooser.choose()
                if found is None:
                    verdict = EXHAUSTED
                    break
                self.give_up(*found)
                given_up += 1
                if perf_counter_ns() > ends_ns:
                    break
            self.services.dispatch.settle_alone()
            if graveyard.waiting:
                graveyard.drain(max(0, ends_ns - perf_counter_ns()))
            self.used -= given_up * mean // 2  # less than that, so that too much never goes unnoticed
            if self.used - goal > MAX_BATCH * mean and verdict == UNDER_WAY:
                if perf_counter_ns() > ends_ns:
                    break  # far from the goal: measuring takes as long as giving up some 50 keys
            elif self.measure() <= goal:
                verdict = KEPT
            elif perf_counter_ns() > ends_ns:
                break
        if verdict != KEPT and self.used <= self.limit:
            verdict = KEPT
        took_ms = (perf_counter_ns() - began_ns) // 1_000_000
        if latency.threshold_ms and took_ms >= latency.threshold_ms:
            latency.add(b"eviction-cycle", took_ms)
        return verdict

    def give_up(self, db: Database, key: bytes) -> None:
        """Delete one key for want of memory."""
        space = self.keyspace
        space.graveyard.bury(db.remove(key))
        space.evicted_keys += 1
        db.changed(key, EVICTED, 0)

    def end_of_excess(self) -> None:
        self.is_over = False
        if self.over_since_ns:
            self.exceeded_ns += perf_counter_ns() - self.over_since_ns
            self.over_since_ns = 0

    # The end of a turn -----------------------------------------------------------------------------------------

    def before_sleeping(self) -> None:
        """Go on giving up keys where a command left off."""
        if self.is_over and self.limit:
            if not self.applies():
                self.is_over = False
            elif self.make_room() == UNDER_WAY:
                self.reactor.has_more_to_do = True
