"""A dictionary that can also be scanned and drawn from at random: what hashes and sets share.

Owns the second order of the keys (built at the first scan or draw that needs it, kept in step from then on)
and the compaction of a table that lost most of its entries. Must not know what the values mean.

Invariants: `index`, once built, holds exactly the keys; a walk over the table costs O(n), since entries that
were removed and not yet reused never outnumber 3 n + HOLES_FLOOR.
"""

from __future__ import annotations

from itertools import islice

from storage.scan_index import (
    GROWS_FROM,
    GrowingIndex,
    HashIndex,
    begun_index,
    grown_index,
    shuffled_head,
    whole_index,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from storage.entries import Entries
    from storage.scan_index import RandomSource

    Table = dict[bytes, bytes]
else:
    Table = dict

SMALL = 128  # up to here a draw walks the table, about 0.6 us, and needs no index
WHOLE_SHARE = 8  # a draw of more than an eighth of the keys lists them all rather than build an index
HOLES_FLOOR = 64


class IndexedDict(Table):
    """`dict` from bytes to bytes with scans and random keys.

    | operation                     | cost                                             |
    |-------------------------------|--------------------------------------------------|
    | dict's own reads              | O(1)                                             |
    | forget                        | O(1) amortised                                   |
    | random_key                    | O(1) expected; the first O(n) without `entries`  |
    | sample_keys, repeat_keys      | O(count) expected; the same                      |
    | scan_table(cursor, count)     | O(count); the first O(n)                         |
    """

    __slots__ = ("index", "holes")

    def __init__(self) -> None:
        self.index: HashIndex | None = None
        self.holes = 0

    def forget(self, keys: Iterable[bytes]) -> list[bytes]:
        """Remove `keys`; returns those that were there."""
        gone = []
        for key in keys:
            if key in self:
                del self[key]
                gone.append(key)
        if gone:
            self.note_removed(gone)
        return gone

    def note_removed(self, keys: list[bytes]) -> None:
        """Keep the books after `keys` were deleted from the table itself."""
        if self.index is not None:
            discard = self.index.discard
            for key in keys:
                discard(key)
        # A table keeps its size when entries go, and a walk visits every hole.
        self.holes += len(keys)
        if self.holes > 3 * len(self) + HOLES_FLOOR:
            self.compact()

    def compact(self) -> None:
        """Move the entries to a table of their size, in the same order. O(n)."""
        entries = dict(self)
        self.clear()
        self.update(entries)
        self.holes = 0

    def key_index(self) -> HashIndex:
        """The keys in the order of scans; built at the first call. O(n) then."""
        index = self.index
        if index.__class__ is not HashIndex:
            index = self.index = whole_index(index, self)
        return index

    def begin_index(self, entries: Entries) -> bool:
        """See to it that there will be an index; True if there is. That of many keys is made by `grow_index`."""
        if self.index is None:
            self.index = begun_index(self, entries)
        return self.index.__class__ is HashIndex

    def grow_index(self, budget_ns: int) -> bool:
        """Go on making the index for about this long; True if there is nothing to do any more."""
        self.index = grown_index(self.index, budget_ns)
        return self.index.__class__ is not GrowingIndex

    def still_lacks_index(self, entries: Entries | None) -> bool:
        """Whether keys are to be drawn by their places, as the index of so many takes long to make.

        Goes on with the index, 0.2 ms: once it is there a draw costs half as much.
        """
        if len(self) < GROWS_FROM or self.index.__class__ is HashIndex or entries is None or not entries.can_jump:
            return False
        self.begin_index(entries)
        return not self.grow_index(0)

    def draw(self, rng: RandomSource, entries: Entries | None) -> bytes:
        """A key by its place, each equally likely."""
        key = entries.random(self, rng) if entries is not None else None
        return self.key_index().random(rng) if key is None else key

    def random_key(self, rng: RandomSource, entries: Entries | None = None) -> bytes:
        """A key, each equally likely. The table must not be empty."""
        size = len(self)
        if size == 1:
            return next(iter(self))
        if self.index is None and size <= SMALL:
            return next(islice(self, int(rng.random() * size), None))
        return self.draw(rng, entries) if self.still_lacks_index(entries) else self.key_index().random(rng)

    def sample_keys(self, count: int, rng: RandomSource, entries: Entries | None = None) -> list[bytes]:
        """`count` distinct keys, or all of them, in random order."""
        size = len(self)
        if size <= SMALL or count * WHOLE_SHARE >= size:
            return shuffled_head(list(self), min(count, size), rng)
        if self.still_lacks_index(entries):
            chosen: dict[bytes, None] = {}
            while len(chosen) < count:
                chosen[self.draw(rng, entries)] = None
            return list(chosen)
        return self.key_index().sample(count, rng)

    def repeat_keys(self, count: int, rng: RandomSource, entries: Entries | None = None) -> list[bytes]:
        """`count` keys drawn one by one, so that one may come several times."""
        size = len(self)
        if size <= SMALL or count * WHOLE_SHARE >= size:
            keys = list(self)
            random = rng.random
            return [keys[int(random() * size)] for _ in range(count)] if keys else []
        if self.still_lacks_index(entries):
            return [self.draw(rng, entries) for _ in range(count)]
        index = self.key_index()
        return [index.random(rng) for _ in range(count)]

    def scan_table(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Visit about `count` keys: the next cursor (0 at the end) and the keys. See `HashIndex.scan`."""
        if cursor == 0 and self.index is None and len(self) <= count:
            return 0, list(self)
        return self.key_index().scan(cursor, count)

    def parts(self) -> list[Any]:
        """What a piecewise release has to empty, last one first."""
        return [self] if self.index is None else [self, *self.index.parts()]

    def _check(self) -> None:
        if self.index is not None and self.index.__class__ is HashIndex:
            self.index._check()
            assert len(self.index) == len(self)
            assert set(self.index.scan(0, len(self) + 1)[1]) == set(self)
