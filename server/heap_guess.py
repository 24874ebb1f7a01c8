"""How long malloc would take to say what it has handed out, and about what it would say.

glibc walks over each of its free pieces to answer, 150 to 200 ns each: when 300,000 of a million large values were
deleted that is 40 ms, and nobody is served meanwhile. So it is asked only when that will probably be short. How many
free pieces there were is part of each answer; since then the graveyard has counted large values that went, samples tell
how large a share of those that were overwritten was, and new ones fill gaps. Pieces whose neighbour is free join: r of
n values removed at random leave r (1 - r / n) pieces, and none when all are gone.

While it would take long, the bytes are followed from the last exact figure on: tables of keys by their size, strings
that went exactly, new keys by what commands brought (where a limit has them looked at; else by the mean). What that
misses (strings overwritten by longer ones, containers that grow) is seen by samples: they pull the figure towards what
they find, the more slowly the more the sizes differ, so that it stays within some percent of the truth also if one key
of a hundred is a thousand times as large as the others.

Must not know sockets, clients or the allocators themselves: that is `server.memory_meter`.
"""

from __future__ import annotations

from storage.sizes import BLOCK_MAX, CHUNK_BYTES, STRING_BYTES, outside_blocks
from storage.types.hash import Hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence, Tuple

    from storage.database import Database
    from storage.keyspace import Keyspace
    from storage.scan_index import RandomSource

MAX_WALK_NS = 1_000_000  # it may take twice as long as predicted, and others may wait for two turns of it
PIECE_NS = 170
PIECE_NS_RANGE = (150, 500)  # what a machine may have measured for one piece; else something else took the time
MEASURED_PIECES = 3000  # fewer tell nothing about the time for one
MISCELLANEOUS = 2000  # pieces between which no value stands
FILLED = 0.5  # free pieces for each new large value; a larger piece than it needs leaves a smaller one
CHURNED = 8  # values of all sizes that overwrite each other leave one free piece for so many
EMPTY_HEAP_BYTES = 5 << 20  # what the interpreter itself takes from malloc
FEW = 300  # large pieces: what malloc has handed out is tables, and what does not belong to keys

SAMPLING_NS = 200_000  # for one sample, in the mean: some 2 us of work, a hundredth of the time
SELDOM = 8  # as many samples while malloc can be asked: only the share of large values matters then
MIN_SAMPLES, MAX_SAMPLES = 16, 400
MIN_TRUST = 1000  # less is known than so many samples tell: as many as can be had at once
TOLERANCE = 0.02  # of the mean over the samples that count; the first ones tell too little of how much they differ
MIN_WINDOW, MAX_WINDOW = 8192, 65_536  # how many of the last samples count, unless much has changed
LEAST_LARGE = 0.05  # of the changes that nobody explains, as long as samples show fewer large values
FEW_ELEMENTS, DRAWN_ELEMENTS = 6, 3  # of a container
REACH = 8192  # elements of a list of which some are drawn
TRIES = 2  # for a sample as a rule


class HeapGuess:
    """Follows the large values of a keyspace by what others have counted anyway. `follow` before the rest."""

    def __init__(self, keyspace: Keyspace, rng: RandomSource) -> None:
        self.keyspace = keyspace
        self.rng = rng
        self.other = float(EMPTY_HEAP_BYTES)  # what belongs to no key
        self.values = 0.0  # bytes of values outside the interpreter's blocks
        self.trust = 0.0  # how many samples these figures are worth
        self.squares = 0.0  # the sum of their squares
        self.pieces = 0.0  # in how many pieces of malloc's they stand
        self.large_share = 0.0  # of the keys: those whose values have any
        self.container_bytes = 0.0  # of a container, in the mean
        self.container_pieces = 0.0
        self.containers_seen = 0
        self.free_pieces = 0  # at the last walk
        self.freed_pieces = 0.0  # since
        self.overwritten = 0  # since then; or elements of containers, which nobody tells apart
        self.piece_ns = float(PIECE_NS)
        self.sampled_ns = 0
        self.arriving = 0  # brought by the command that is being judged
        # Brought by commands since the last look.
        self.commands = 0
        self.large_bytes = 0
        self.large_arguments = 0
        # Counters at the last look.
        self.count = 0
        self.dirty = 0
        self.buried = 0
        self.buried_large = 0
        self.buried_bytes = 0
        self.buried_containers = 0

    # What is known anyway --------------------------------------------------------------------------------------

    def note_written(self, argv: Sequence[bytes], total: int) -> None:
        """A command that may bring values is about to run; its arguments have so many bytes."""
        self.commands += 1
        if total > BLOCK_MAX:
            large = [size for size in map(len, argv) if size > BLOCK_MAX - STRING_BYTES]
            self.large_bytes += sum(large)
            self.large_arguments += len(large)

    def note_batch(self, commands: int, sizes: Sequence[int]) -> None:
        """`note_written` of several at once; all their arguments have these sizes."""
        self.commands += commands
        if max(sizes) > BLOCK_MAX - STRING_BYTES:
            large = [size for size in sizes if size > BLOCK_MAX - STRING_BYTES]
            self.large_bytes += sum(large)
            self.large_arguments += len(large)

    def follow(self, now_ns: int, can_be_asked: bool = True) -> None:
        """Take notice of what has happened since the last look. O(databases), and some samples now and then; more where
        malloc can never be asked.
        """
        self.count_changes()
        if not self.count:
            self.values = self.squares = self.pieces = self.trust = 0.0
            return
        wanted = (now_ns - self.sampled_ns) // SAMPLING_NS
        if self.trust < MIN_TRUST:
            wanted = MAX_SAMPLES
        elif can_be_asked and self.walk_ns() <= MAX_WALK_NS:
            wanted //= SELDOM
        if wanted >= MIN_SAMPLES:
            self.sampled_ns = now_ns
            self.take_samples(min(wanted, MAX_SAMPLES))

    def count_changes(self) -> None:
        """Values that came and went since the last look, by counters."""
        keyspace = self.keyspace
        graveyard = keyspace.graveyard
        before, self.count = self.count, len(keyspace)
        changes = keyspace.dirty - self.dirty
        if changes < 0:  # a save has reset it
            changes = keyspace.dirty
        gone = graveyard.buried - self.buried
        containers = graveyard.buried_containers - self.buried_containers
        large = graveyard.buried_large - self.buried_large
        freed = large + containers * self.container_pieces
        held = graveyard.buried_bytes - self.buried_bytes + large * (STRING_BYTES + CHUNK_BYTES)
        came = self.count - before + gone
        mean = 1.0 / before if before else 0.0
        overwritten = max(0, changes - max(0, came) - gone)
        known = 1.0 - overwritten * mean * max(LEAST_LARGE, self.large_share)  # what share of the figures still holds
        if came < 0:
            # Whole databases went: like the others, as far as anybody knows.
            left = max(0.0, 1.0 + came * mean)
            self.values *= left
            self.squares *= left
            self.pieces *= left
        elif self.commands:
            share = min(1.0, came / self.commands)  # the others have overwritten something: samples will see it
            self.values += (self.large_bytes + self.large_arguments * (STRING_BYTES + CHUNK_BYTES)) * share
            self.pieces += self.large_arguments * share
            freed -= self.large_arguments * share * FILLED
        else:
            known *= before / (before + came) if came else 1.0
            freed -= came * mean * self.pieces * FILLED
            self.values += came * mean * self.values
            self.pieces += came * mean * self.pieces
        self.values = max(0.0, self.values - held - containers * self.container_bytes)
        self.pieces = max(0.0, self.pieces - large - containers * self.container_pieces)
        self.freed_pieces = max(-float(self.free_pieces), self.freed_pieces + freed)
        self.overwritten += overwritten
        if known < 1.0:
            self.trust = min(self.trust, self.window()) * max(0.0, known)
        self.dirty = keyspace.dirty
        self.buried, self.buried_containers = graveyard.buried, graveyard.buried_containers
        self.buried_large, self.buried_bytes = graveyard.buried_large, graveyard.buried_bytes
        self.commands = self.large_bytes = self.large_arguments = 0

    # Samples ---------------------------------------------------------------------------------------------------

    def take_samples(self, wanted: int) -> None:
        """Look at about so many keys, and correct the figures by what they show."""
        values = squares = pieces = large = 0.0
        seen = 0
        containers: List[Tuple[int, int]] = []
        for db in self.keyspace.databases:
            keys = self.sample(db, max(MIN_SAMPLES // 2, wanted * len(db.data) // self.count)) if db.data else ()
            if not keys:
                continue
            sizes = [outside_blocks(db.data[key], self.draw) for key in keys]
            weight = len(db.data) / len(keys)  # for how many keys one stands
            values += sum([size for size, _ in sizes]) * weight
            squares += sum([size * size for size, _ in sizes]) * weight
            pieces += sum([count for _, count in sizes]) * weight
            large += sum([1 for size, _ in sizes if size]) * weight
            seen += len(keys)
            containers += [size for key, size in zip(keys, sizes) if not isinstance(db.data[key], (bytes, bytearray))]
        if not seen:
            return
        # Before the squares are known: a sample that is far above the others must not count less for that.
        window = self.window()
        worth = self.trust + seen
        share = seen / min(worth, MIN_WINDOW)
        self.squares += (squares - self.squares) * seen / min(worth, MAX_WINDOW)
        self.pieces += (pieces - self.pieces) * share
        self.large_share += (large / self.count - self.large_share) * share
        self.note_containers(containers, share)
        self.trust = min(worth, max(window, seen))
        self.values += (values - self.values) * seen / self.trust

    def sample(self, db: Database, wanted: int) -> List[bytes]:
        """Some keys of a database at random, fewer where finding one takes many tries."""
        table = db.data
        if db.index is not None and not db.has_growing_index():
            index, rng = db.index, self.rng
            return [index.random(rng) for _ in range(wanted)]
        entries = self.keyspace.entries
        tries = entries.tries(table)
        wanted = max(MIN_SAMPLES // 2, int(wanted * TRIES / max(TRIES, tries)))
        found = [entries.random(table, self.rng) for _ in range(wanted)]
        return [key for key in found if key is not None]

    def draw(self, value: Any) -> List[bytes]:
        """Some elements of a container at random, all of a small one."""
        is_hash = isinstance(value, Hash)
        count = len(value)
        if count <= FEW_ELEMENTS:
            return list(value.values() if is_hash else value)
        rng = self.rng
        if not isinstance(value, dict):
            near = min(count, REACH)  # from either end: walking to the middle of ten million takes 0.2 ms
            return [value[int(rng.random() * near) - near // 2] for _ in range(DRAWN_ELEMENTS)]
        random = self.keyspace.entries.random
        found = [key for key in [random(value, rng) for _ in range(DRAWN_ELEMENTS)] if key is not None]
        return [value[key] for key in found] if is_hash else found

    def note_containers(self, sizes: List[Tuple[int, int]], share: float) -> None:
        """What one that is deleted takes with it, in the mean."""
        if sizes:
            self.containers_seen += len(sizes)
            share = max(share, len(sizes) / self.containers_seen)
            self.container_bytes += (sum([size for size, _ in sizes]) / len(sizes) - self.container_bytes) * share
            self.container_pieces += (sum([count for _, count in sizes]) / len(sizes) - self.container_pieces) * share

    def window(self) -> float:
        """How many of the last samples have to count, so that their mean is within the tolerance."""
        spread = self.count * self.squares / (self.values * self.values) - 1.0 if self.values else 0.0
        return min(MAX_WINDOW, max(MIN_WINDOW, spread / (TOLERANCE * TOLERANCE)))

    # Malloc ----------------------------------------------------------------------------------------------------

    def walk_ns(self) -> float:
        """How long asking malloc would probably take."""
        pieces = self.pieces
        freed = self.freed_pieces
        if freed > 0 and not self.keyspace.graveyard.waiting:
            freed *= pieces / (pieces + freed)  # the others joined a free neighbour
        free = self.free_pieces + freed + min(self.overwritten * self.large_share, pieces / CHURNED)
        if not self.keyspace.graveyard.waiting:
            free = min(free, pieces + MISCELLANEOUS)  # something stands between any two of them
        return free * self.piece_ns

    def learn(self, total: int, free_pieces: int, took_ns: int) -> None:
        """Malloc was asked: it has handed out so many bytes, and has so many free pieces."""
        if free_pieces >= MEASURED_PIECES:
            shortest, longest = PIECE_NS_RANGE
            self.piece_ns = min(longest, max(shortest, took_ns / free_pieces))
        self.free_pieces = free_pieces
        self.freed_pieces = 0.0
        self.overwritten = 0
        rest = total - self.table_bytes()
        if self.pieces < FEW:
            self.other = max(0.0, rest - self.values)
        else:
            self.values = max(0.0, rest - self.other)
        self.trust = MAX_WINDOW

    def heap_bytes(self) -> int:
        """About what malloc would say."""
        return int(self.other + self.values) + self.table_bytes()

    def table_bytes(self) -> int:
        """The tables of the databases, as far as they are not in the interpreter's blocks. O(databases)."""
        total = 0
        for db in self.keyspace.databases:
            if db.data:
                for table in db.tables():
                    size = table.__sizeof__()
                    if size > BLOCK_MAX:
                        total += size
        return total
