"""A second order of a set of keys: by a fixed hash, for cursors and for random choice.

Owns the structure behind SCAN, HSCAN, SSCAN, SPOP and, where `storage.entries` cannot help, random keys. Must not know
what the keys name: its owner reports every key that comes (`add`, absent before) and goes (`discard`).

A key's place is a pure function of the key: the top 48 bits of its hash (keyed SipHash, so no client can choose
places). A cursor is the next place to visit. Hence the guarantee without any bookkeeping of scans: a key that is
there from start to end of a scan is returned, exactly once, whatever is added, removed or resized meanwhile.
Cursors of an earlier process, or invented ones, are only other starting places.

The structure is extendible hashing on the top bits. `_directory` has 2**d slots; each slot refers to the page of the
keys whose top d bits are the slot's number; a page that needs fewer bits fills several neighbouring slots. The list
index is the signed hash shifted right, so that negative hashes find the upper half by Python's own negative
indexing. Keys inside a page are in no order; a scan that ends inside a page sorts it.

Invariants (`_check`): each key is in the page its hash names, once; a page of depth p fills exactly one aligned run
of 2**(d - p) slots; `_pages` lists each page once, at its `position`; `_at_depth` counts the pages of each depth.

Measured on CPython 3.11 with 100,000 (1,000,000) keys of 16 bytes: add 0.5 (0.9) us, discard 0.5 (1.4) us, random 0.6
(0.8) us, scan 0.7 us a key at COUNT 10 and 0.05 us at COUNT 1000, bulk build 0.01 (0.28) s; 11 bytes of memory a key
besides the keys. The growth is that of cache misses.
"""

from __future__ import annotations

from sys import hash_info
from time import perf_counter_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Protocol

    from storage.entries import Entries

    class RandomSource(Protocol):
        """Anything with `random.Random`'s first method; `_random.Random` will do."""

        def random(self) -> float: ...


HASH_BITS = hash_info.width
CURSOR_BITS = min(48, HASH_BITS)  # below 2**53: clients that keep numbers as doubles can hold a cursor
CURSOR_MASK = (1 << CURSOR_BITS) - 1
DROPPED_BITS = HASH_BITS - CURSOR_BITS

PAGE_KEYS = 64  # discard searches half a page; larger pages save little memory
MERGED_KEYS = 24  # far below PAGE_KEYS, or a key that comes and goes would split and merge each time
MERGE_BELOW = MERGED_KEYS // 2  # only a page as small as this asks for its neighbour's size
BULK_KEYS = 40  # most keys a page gets on average when built at once; few then exceed PAGE_KEYS
MAX_SLOTS_PER_PAGE = 16  # good hashes need 4 to 8; with bad ones a page grows instead of the directory
MIN_DEPTH = 1  # so that one page never holds both signs, and the order of hash() is the order of places
GROWS_FROM = 10_000  # keys; the index of fewer is made at once, in 4 ms
WHOLE_NS = 1 << 62  # a budget that nothing exceeds
SPARSE = 4  # slots per page at which the directory may halve


class _Page(list):  # type: ignore[type-arg]  # list[bytes] as a base costs an import of the generic machinery
    """The keys that share their top `depth` bits, and where the page stands in `_pages`."""

    __slots__ = ("depth", "position")

    depth: int
    position: int


class HashIndex:
    """Keys in order of a fixed hash.

    | operation          | cost                          |
    |--------------------|-------------------------------|
    | HashIndex(keys)    | O(n)                          |
    | add, discard       | O(1) amortised, a page at most |
    | scan(cursor, n)    | O(n)                          |
    | random, pop        | O(1) expected, uniform        |
    | sample(n)          | O(n) expected, distinct       |
    | len                | O(1)                          |

    Growth never moves more than one page of keys; doubling the directory copies n / 16 references at C speed.
    """

    __slots__ = ("_directory", "_depth", "_shift", "_pages", "_at_depth", "_widest", "_length")

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._directory: list[_Page] = []
        self._pages: list[_Page] = []
        self._at_depth: list[int] = []
        self.rebuild(keys)

    def __len__(self) -> int:
        return self._length

    def rebuild(self, keys: Iterable[bytes] = ()) -> None:
        """Hold exactly `keys`, which are distinct. O(n)."""
        if not hasattr(keys, "__len__"):
            keys = list(keys)
        count = len(keys)  # type: ignore[arg-type]
        depth = MIN_DEPTH
        while BULK_KEYS << depth < count:
            depth += 1
        self._depth = depth
        self._shift = shift = HASH_BITS - depth
        self._widest = PAGE_KEYS
        self._length = count
        directory: list[_Page] = []
        for position in range(1 << depth):
            page = _Page()
            page.depth = depth
            page.position = position
            directory.append(page)
        self._directory = directory
        self._pages = directory[:]
        self._at_depth = [0] * (HASH_BITS + 1)
        self._at_depth[depth] = len(directory)
        for key in keys:
            directory[hash(key) >> shift].append(key)
        for page in self._pages[:]:
            if len(page) > PAGE_KEYS:
                self._split(page)

    def add(self, key: bytes) -> None:
        """Enter a key that is not there."""
        page = self._directory[hash(key) >> self._shift]
        page.append(key)
        self._length += 1
        if len(page) > PAGE_KEYS:
            self._split(page)

    def discard(self, key: bytes) -> None:
        """Take a key out; nothing happens if it is not there."""
        page = self._directory[hash(key) >> self._shift]
        try:
            page.remove(key)
        except ValueError:
            return
        self._length -= 1
        if len(page) < MERGE_BELOW and page.depth > MIN_DEPTH:
            self._merge(page, (hash(key) >> self._shift) & (len(self._directory) - 1))

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Visit about `count` keys from place `cursor` on: the next cursor, 0 at the end, and the keys.

        Any cursor >= 0 will do. Keys of one place are returned together, and more than `count` only then.
        """
        found: list[bytes] = []
        if cursor > CURSOR_MASK:
            return 0, found
        directory = self._directory
        slots = len(directory)
        place_shift = CURSOR_BITS - self._depth
        slot = cursor >> place_shift
        while slot < slots:
            page = directory[slot]
            span = 1 << (self._depth - page.depth)
            slot &= -span
            if cursor <= slot << place_shift and len(found) + len(page) <= count:
                found += page
            else:
                page.sort(key=hash)
                previous = -1
                for key in page:
                    place = (hash(key) >> DROPPED_BITS) & CURSOR_MASK
                    if place >= cursor:
                        if len(found) >= count and place != previous:
                            return place, found
                        found.append(key)
                        previous = place
            slot += span
            if len(found) >= count:
                break
        return (slot << place_shift if slot < slots else 0), found

    def random(self, rng: RandomSource) -> bytes:
        """One key, each equally likely. Raises KeyError when there is none."""
        if not self._length:
            raise KeyError("no keys")
        pages = self._pages
        widest = self._widest
        draws = len(pages) * widest
        while True:
            # A page, then a place in it that may be empty: full pages win in proportion to their keys.
            position, offset = divmod(int(rng.random() * draws), widest)
            page = pages[position]
            if offset < len(page):
                key: bytes = page[offset]
                return key

    def pop(self, rng: RandomSource) -> bytes:
        """Take out one key, each equally likely; `random` and `discard` without the search. Raises KeyError."""
        if not self._length:
            raise KeyError("no keys")
        pages = self._pages
        widest = self._widest
        draws = len(pages) * widest
        random = rng.random
        while True:
            position, offset = divmod(int(random() * draws), widest)
            page = pages[position]
            if offset < len(page):
                break
        last = page.pop()
        if offset < len(page):
            key: bytes = page[offset]
            page[offset] = last  # a page is in no order
        else:
            key = last
        self._length -= 1
        if len(page) < MERGE_BELOW and page.depth > MIN_DEPTH:
            self._merge(page, (hash(key) >> self._shift) & (len(self._directory) - 1))
        return key

    def sample(self, count: int, rng: RandomSource) -> list[bytes]:
        """`count` distinct keys (all, if there are no more), every selection equally likely. O(count) expected."""
        length = self._length
        if count * 3 <= length:
            chosen: dict[bytes, None] = {}
            while len(chosen) < count:
                chosen[self.random(rng)] = None
            return list(chosen)
        keys = [key for page in self._pages for key in page]
        return shuffled_head(keys, min(count, length), rng)

    # ------------------------------------------------------------------------------------------ pages

    def _slot_of(self, page: _Page) -> int:
        """The first slot of a page that holds a key."""
        slot = (hash(page[0]) >> self._shift) & (len(self._directory) - 1)
        return slot & -(1 << (self._depth - page.depth))

    def _split(self, page: _Page) -> None:
        """Halve an overfull page by the next bit of its keys' hashes, until no half is overfull."""
        at_depth = self._at_depth
        overfull = [page]
        while overfull:
            page = overfull.pop()
            if page.depth == self._depth and not self._double():
                # Only keys with equal leading bits by the dozen come here. Keep `random` uniform over them.
                while self._widest < len(page):
                    self._widest *= 2
                continue
            first = self._slot_of(page)
            half = 1 << (self._depth - page.depth - 1)
            at_depth[page.depth] -= 1
            page.depth += 1
            at_depth[page.depth] += 2
            bit = HASH_BITS - page.depth
            upper = _Page([key for key in page if hash(key) >> bit & 1])
            page[:] = [key for key in page if not hash(key) >> bit & 1]
            upper.depth = page.depth
            upper.position = len(self._pages)
            self._pages.append(upper)
            self._directory[first + half : first + 2 * half] = [upper] * half
            for part in (page, upper):
                if len(part) > PAGE_KEYS:
                    overfull.append(part)

    def _double(self) -> bool:
        """Give the directory twice the slots; False if it is too large for its pages already."""
        directory = self._directory
        if 2 * len(directory) > MAX_SLOTS_PER_PAGE * len(self._pages) or self._depth >= CURSOR_BITS:
            return False
        doubled = directory * 2
        doubled[::2] = directory
        doubled[1::2] = directory
        self._directory = doubled
        self._depth += 1
        self._shift -= 1
        return True

    def _merge(self, page: _Page, slot: int) -> None:
        """Join a small page with its neighbour of the same parent while both together are small."""
        at_depth = self._at_depth
        directory = self._directory
        while page.depth > MIN_DEPTH:
            span = 1 << (self._depth - page.depth)
            first = slot & -span
            sibling = directory[first ^ span]
            if sibling.depth != page.depth or len(sibling) + len(page) > MERGED_KEYS:
                break
            page += sibling
            start = first ^ span
            directory[start : start + span] = [page] * span
            at_depth[page.depth] -= 2
            page.depth -= 1
            at_depth[page.depth] += 1
            last = self._pages.pop()
            if last is not sibling:
                last.position = sibling.position
                self._pages[last.position] = last
        while (
            not at_depth[self._depth]
            and self._depth > MIN_DEPTH
            and len(self._directory) > SPARSE * len(self._pages)
        ):
            self._directory = self._directory[::2]
            self._depth -= 1
            self._shift += 1

    def parts(self) -> list[list[_Page]]:
        """The lists that a slow, piecewise release has to empty, last one first. The index is unusable then."""
        return [self._pages, self._directory]

    @classmethod
    def like(cls, other: HashIndex) -> HashIndex:
        """The same index as an object of this class; the other one is unusable then."""
        index = cls.__new__(cls)
        for name in HashIndex.__slots__:
            setattr(index, name, getattr(other, name))
        return index

    def _check(self) -> None:
        """Assert the invariants of the module's docstring. O(n)."""
        directory, pages = self._directory, self._pages
        assert len(directory) == 1 << self._depth and self._shift == HASH_BITS - self._depth
        assert sum(map(len, pages)) == self._length
        assert len({id(page) for page in pages}) == len(pages)
        runs = []
        slot = 0
        while slot < len(directory):
            page = directory[slot]
            span = 1 << (self._depth - page.depth)
            assert slot % span == 0
            assert all(other is page for other in directory[slot : slot + span])
            assert pages[page.position] is page
            for key in page:
                assert (hash(key) >> self._shift) & (len(directory) - 1) & -span == slot
            assert len(set(page)) == len(page) <= self._widest
            runs.append(page.depth)
            slot += span
        assert len(runs) == len(pages)
        for depth, count in enumerate(self._at_depth):
            assert runs.count(depth) == count


class GrowingIndex(HashIndex):
    """An index of a table's keys that are there already, made piece by piece while they come and go.

    Until `grow` has said True it holds only a part of them. Its owner reports what comes and goes from the beginning.
    """

    __slots__ = ("_table", "_entries", "_walk", "_touched", "_is_again")

    def __init__(self, table: Mapping[bytes, Any], entries: Entries) -> None:
        super().__init__()
        self._table = table
        self._entries = entries
        self._walk = entries.walk(table)
        self._touched: set[bytes] = set()  # what came or went meanwhile: the walk says nothing about it any more
        self._is_again = False

    def add(self, key: bytes) -> None:
        self._touched.add(key)
        super().add(key)

    def discard(self, key: bytes) -> None:
        self._touched.add(key)
        super().discard(key)

    def grow(self, budget_ns: int) -> bool:
        """Enter more keys for about this long; True when all are in. O(keys entered)."""
        ends_ns = perf_counter_ns() + budget_ns
        touched = self._touched
        while True:
            for keys in self._walk:
                directory, shift = self._directory, self._shift
                if touched:
                    keys = [key for key in keys if key not in touched]
                if self._is_again:
                    keys = [key for key in keys if key not in directory[hash(key) >> shift]]
                self._length += len(keys)
                for key in keys:
                    page = directory[hash(key) >> shift]
                    page.append(key)
                    if len(page) > PAGE_KEYS:
                        self._split(page)
                        directory, shift = self._directory, self._shift
                if perf_counter_ns() > ends_ns:
                    return False
            if len(self) >= len(self._table):
                return True
            # The table was laid out anew meanwhile, and the walk has missed some keys.
            self._is_again = True
            self._walk = self._entries.walk(self._table)


def begun_index(table: Mapping[bytes, Any], entries: Entries) -> HashIndex:
    """An index of the table's keys: whole if they are few, else one that `grown_index` makes. O(1)."""
    return HashIndex(table) if len(table) < GROWS_FROM else GrowingIndex(table, entries)


def grown_index(index: HashIndex | None, budget_ns: int) -> HashIndex | None:
    """What to keep in place of `index`, if there is one, after it has grown for about this long."""
    if index.__class__ is GrowingIndex and index.grow(budget_ns):
        return HashIndex.like(index)
    return index


def whole_index(index: HashIndex | None, table: Mapping[bytes, Any]) -> HashIndex:
    """What to keep in place of `index`, however much of it there is, as all of it is needed now. O(n)."""
    return HashIndex(table) if index is None else grown_index(index, WHOLE_NS)  # type: ignore[return-value]


def shuffled_head(keys: list[bytes], count: int, rng: RandomSource) -> list[bytes]:
    """The first `count` of a random permutation of `keys`, which is left in some other order. O(count)."""
    random = rng.random
    length = len(keys)
    for position in range(count):
        other = position + int(random() * (length - position))
        keys[position], keys[other] = keys[other], keys[position]
    return keys[:count]
