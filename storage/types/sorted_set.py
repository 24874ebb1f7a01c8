"""Sorted sets: members with scores, in order of (score, member).

Owns the order and everything asked by rank, score or name. Must not know argument vectors, replies or keys.

The scores are the dictionary itself. The order is a list of chunks of at most CHUNK_MAX entries, each chunk
two parallel lists, scores and members: finding a place is four bisections at C speed (the last entries of the
chunks, then one chunk), inserting moves half a chunk of pointers, and an entry costs 16 bytes and some slack
besides the dictionary where a tuple would cost 64 more. Ranks come from a Fenwick tree of the chunks' sizes,
built when a rank is first asked for and dropped when chunks split or join, once in some hundred changes.

The order is built when it is first needed: a set that only sees ZADD and ZSCORE is a dictionary. It is built
unasked when the set passes LAZY_MAX entries, so that no single read pays more than 0.5 ms for it.

Invariants (`_check`): `_members` is None (order not built) or holds every member once, in order, in chunks
that are not empty; `_scores` parallels it with the dictionary's scores; `_last_scores` and `_last_members`
hold each chunk's last entry; `_tree` is None or sums the sizes; `index`, once built, holds the members.

Measured on CPython 3.11 with random scores, in us a call (the last step is that of cache misses), and 17 bytes
an entry besides the dictionary's 52:

    entries              10^3    10^4    10^5    10^6
    add a new member     1.0     1.1     1.5     3.6
    move a member        1.8     2.0     3.4     7.8
    remove               1.0     1.1     1.6     5.0
    rank                 0.8     1.0     1.9     4.4
    ten from a score on  2.2     2.8     4.0     7.0
    count                1.3     1.5     2.0     4.8
    ten from a rank on   1.8     2.1     2.8     5.7
    pop_min              0.5     0.5     1.0     1.4
    grow, an entry       0.2     1.0     1.5     3.5
    build, an entry      0.1     0.5     1.2     2.8
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice

from storage.prefix_sums import adjust, find, prefix_sums, sum_before
from storage.scan_index import HashIndex, shuffled_head
from storage.types.bounds import LexRange, ScoreRange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Optional, Union

    from storage.limits import EncodingLimits
    from storage.scan_index import RandomSource

    Table = dict[bytes, float]
    Columns = tuple[list[bytes], list[float]]
    Bounds = Union[ScoreRange, LexRange]
else:
    Table = dict

LISTPACK = b"listpack"
SKIPLIST = b"skiplist"

LAZY_MAX = 1000
CHUNK_MAX = 1000  # 10^5 entries grow at 1.5 us each from 256 to 1000, 1.9 at 2000, 2.3 at 4000
CHUNK_FILL = 500  # entries a chunk gets when many are built at once
CHUNK_MIN = 125  # a smaller chunk joins a neighbour if together they leave room to grow
CHUNK_JOINED = 750
FEW_CHUNKS = 32  # lengths of fewer are added up, those of more come from the tree
ORDER_SAMPLE = 64  # entries in order that make it likely that all are

# What `add` did.
UNCHANGED = 0
CHANGED = 1
ADDED = 2


class SortedSet(Table):
    """A dictionary from member to score that also keeps its entries in order.

    Read scores with `get`, `in`, `len`; write only through the methods. Ranks count from 0, ranges of ranks are
    half open. n entries, k of them returned or removed.

    | operation                              | cost                                            |
    |----------------------------------------|-------------------------------------------------|
    | get, in, len                           | O(1)                                            |
    | add, remove                            | O(log n), O(1) while the order is not built     |
    | rank, interval, count                  | O(log n)                                        |
    | columns, select                        | O(log n + k), whatever the offset               |
    | remove_ranks, remove_range             | O(log n + k)                                    |
    | pop_min, pop_max                       | O(k)                                            |
    | random_member, sample, repeat          | O(log n) a member                               |
    | scan(cursor, count)                    | O(count), the first O(n)                        |
    | build                                  | O(n log n) at C speed, O(n) if ordered already  |

    log n: bisections at C speed and at most CHUNK_MAX pointers moved; one operation in some hundred splits or
    joins chunks and adds n / CHUNK_MAX steps.
    """

    __slots__ = ("encoding", "index", "_members", "_scores", "_last_members", "_last_scores", "_tree")

    type_name = b"zset"

    def __init__(self) -> None:
        self.encoding = LISTPACK
        self.index: Optional[HashIndex] = None
        self._members: Optional[list[list[bytes]]] = None
        self._scores: list[list[float]] = []
        self._last_members: list[bytes] = []
        self._last_scores: list[float] = []
        self._tree: Optional[list[int]] = None

    @classmethod
    def create(cls, size_hint: int, longest: int, limits: EncodingLimits) -> SortedSet:
        """Make an empty set that is about to get `size_hint` entries, the longest member of `longest` bytes.

        Redis chooses the first encoding by these, before it knows which of them are duplicates.
        """
        new = cls()
        if size_hint > limits.zset_max_listpack_entries or longest > limits.zset_max_listpack_value:
            new.encoding = SKIPLIST
        return new

    @classmethod
    def build(cls, table: Mapping[bytes, float], limits: EncodingLimits, were_packed: bool = False) -> SortedSet:
        """Make a set of all its entries at once. O(n log n) at C speed, O(n) if they come in order.

        Of entries that were packed only the number chooses the encoding.
        """
        new = cls.create(len(table), 0 if were_packed else max(map(len, table), default=0), limits)
        new.update(table)
        if new.encoding is LISTPACK and 0.0 in table.values():
            # There Redis keeps whole scores as integers: -0.0 becomes 0.0.
            for member, score in table.items():
                new[member] = score + 0.0
        if len(new) > LAZY_MAX:
            new._order()
        return new

    def encoding_name(self, limits: EncodingLimits) -> bytes:
        """What OBJECT ENCODING says."""
        return self.encoding

    def copy(self) -> SortedSet:
        """An independent set of the same entries and encoding. O(n)."""
        new = SortedSet()
        new.update(self)
        new.encoding = self.encoding
        if self._members is not None:
            new._members = [chunk[:] for chunk in self._members]
            new._scores = [chunk[:] for chunk in self._scores]
            new._last_members = self._last_members[:]
            new._last_scores = self._last_scores[:]
        return new

    # ----------------------------------------------------------------------------------------- entries

    def add(self, member: bytes, score: float, limits: EncodingLimits) -> int:
        """Set a member's score, which is not NaN: ADDED, CHANGED or UNCHANGED."""
        old = self.get(member)
        if old is None:
            if self.encoding is LISTPACK:
                if len(self) >= limits.zset_max_listpack_entries or len(member) > limits.zset_max_listpack_value:
                    self.encoding = SKIPLIST
                else:
                    score += 0.0  # see `build`
            self[member] = score
            if self._members is not None:
                self._insert(member, score)
            elif len(self) > LAZY_MAX:
                self._order()
            if self.index is not None:
                self.index.add(member)
            return ADDED
        if old == score:
            return UNCHANGED
        if self.encoding is LISTPACK:
            score += 0.0
        self[member] = score
        if self._members is not None:
            self._move(member, old, score)
        return CHANGED

    def remove(self, member: bytes) -> bool:
        """Take a member out; False if it is not there."""
        score = self.pop(member, None)
        if score is None:
            return False
        if self._members is not None:
            self._delete(*self._locate(member, score))
        if self.index is not None:
            self.index.discard(member)
        return True

    def remove_many(self, members: Iterable[bytes]) -> int:
        """Take members out; returns how many were there."""
        return sum(map(self.remove, members))

    # ------------------------------------------------------------------------------------------- ranks

    def rank(self, member: bytes, reverse: bool = False) -> Optional[int]:
        """How many entries stand before a member (after it if `reverse`); None if it is not there."""
        score = self.get(member)
        if score is None:
            return None
        chunk, place = self._locate(member, score)
        rank = self._before(chunk) + place
        return len(self) - 1 - rank if reverse else rank

    def interval(self, bounds: Bounds, reverse: bool = False) -> tuple[int, int]:
        """The ranks [start, stop), from the lowest, of the entries within bounds; start <= stop.

        `reverse` says that they will be walked from the highest down, which matters only to a LexRange of a
        small set with different scores (see `LexRange.walk`).
        """
        chunks = self._ordered()
        if not self:
            return 0, 0
        if isinstance(bounds, LexRange):
            if self.is_walked():
                return bounds.walk(self.columns(0, len(self))[0], reverse)
            start = self._lex_position(chunks, bounds.low_side, bounds.low, bounds.low_excluded)
            stop = self._lex_position(chunks, bounds.high_side, bounds.high, not bounds.high_excluded)
        else:
            chunk, start, count = self._span(bounds)
            start += self._before(chunk)
            stop = start + count
        return start, max(start, stop)

    def is_walked(self) -> bool:
        """Whether Redis looks at names one by one here: a small set of different scores. Not of an empty set."""
        return self.encoding is LISTPACK and bool(self._ordered()) and self._scores[0][0] != self._last_scores[-1]

    def count(self, bounds: Bounds) -> int:
        """How many entries are within bounds."""
        if bounds.__class__ is ScoreRange:
            return self._span(bounds)[2]
        start, stop = self.interval(bounds)
        return stop - start

    def range(self, start: int, stop: int, reverse: bool = False) -> list[bytes]:
        """The members that a client's inclusive range of ranks names, where -1 is the last one (ZRANGE)."""
        size = len(self)
        if start < 0:
            start = max(start + size, 0)
        stop += 1 if stop >= 0 else size + 1
        return self.members(start, stop if stop < size else size, reverse)

    def members(self, start: int, stop: int, reverse: bool = False) -> list[bytes]:
        """The first half of `columns`, for 0 <= start and stop <= len."""
        if start >= stop:
            return []
        chunks = self._ordered()
        if len(chunks) == 1 or (stop <= len(chunks[0]) and not reverse):
            # A small set, or the top of a large one: 0.6 -> 0.3 us.
            if not reverse:
                return chunks[0][start:stop]
            size = len(self)
            found = chunks[0][size - stop : size - start]
            found.reverse()
            return found
        return self.columns(start, stop, reverse)[0]

    def columns(self, start: int, stop: int, reverse: bool = False) -> Columns:
        """The members and scores of the ranks [start, stop), as two lists.

        With `reverse`, ranks count from the highest entry and the lists descend.
        """
        size = len(self)
        if reverse:
            start, stop = size - stop, size - start
        if start < 0:
            start = 0
        if stop > size:
            stop = size
        if start >= stop:
            return [], []
        chunks = self._ordered()
        if stop <= len(chunks[0]):  # as of a small set, or at the top of a large one
            members = chunks[0][start:stop]
            scores = self._scores[0][start:stop]
        else:
            members, scores = self._walk(*self._find(start), stop - start)
        if reverse:
            members.reverse()
            scores.reverse()
        return members, scores

    def select(self, bounds: Bounds, reverse: bool = False, offset: int = 0, count: int = -1) -> Columns:
        """The members and scores within bounds, as two lists: `count` (negative: all) from `offset` on."""
        if bounds.__class__ is ScoreRange and not reverse and not offset:
            # No rank is asked for: ten of 10,000, 2.3 -> 1.2 us.
            chunk, place, size = self._span(bounds)
            return self._walk(chunk, place, count if 0 <= count < size else size)
        if offset > 0 and isinstance(bounds, LexRange) and self and self.is_walked():
            start, stop = bounds.walk(self.columns(0, len(self))[0], reverse, offset)
            offset = 0
        else:
            start, stop = self.interval(bounds, reverse)
        if offset < 0 or offset >= stop - start:
            return [], []
        if reverse:
            start, stop = len(self) - stop, len(self) - start
        start += offset
        if 0 <= count < stop - start:
            stop = start + count
        return self.columns(start, stop, reverse)

    def between(self, low: float, high: float) -> Columns:
        """The members and scores with low <= score < high, as two lists."""
        chunks = self._ordered()
        if len(chunks) != 1:
            return self.select(ScoreRange(low, high, False, True))
        scores = self._scores[0]  # a small set: 1.9 -> 0.4 us
        start, stop = bisect_left(scores, low), bisect_left(scores, high)
        return chunks[0][start:stop], scores[start:stop]

    def remove_range(self, bounds: Bounds) -> int:
        """Take out what is within bounds; returns how many."""
        return self.remove_ranks(*self.interval(bounds))

    def remove_ranks(self, start: int, stop: int) -> int:
        """Take out the ranks [start, stop); returns how many."""
        members = self.columns(start, stop)[0]
        if members:
            self._cut(start, members)
        return len(members)

    def pop_min(self, count: int = 1) -> list[tuple[bytes, float]]:
        """Take out the lowest `count` entries, lowest first."""
        if count == 1 and self:
            return [self._pop(0, 0)]
        members, scores = self.columns(0, count)
        if members:
            self._cut(0, members)
        return list(zip(members, scores))

    def pop_max(self, count: int = 1) -> list[tuple[bytes, float]]:
        """Take out the highest `count` entries, highest first."""
        if count == 1 and self:
            chunks = self._ordered()
            return [self._pop(len(chunks) - 1, len(chunks[-1]) - 1)]
        members, scores = self.columns(0, count, True)
        if members:
            self._cut(len(self) - len(members), members)
        return list(zip(members, scores))

    def _pop(self, chunk: int, place: int) -> tuple[bytes, float]:
        # The general way takes 2.0 us for a single entry, this 0.5 us.
        member = self._ordered()[chunk][place]
        score = self.pop(member)
        self._delete(chunk, place)
        if self.index is not None:
            self.index.discard(member)
        return member, score

    def ascending(self) -> Iterator[tuple[bytes, float]]:
        """The (member, score) pairs, lowest first. The set must not change meanwhile."""
        for members, scores in zip(self._ordered(), self._scores):
            yield from zip(members, scores)

    def descending(self) -> Iterator[tuple[bytes, float]]:
        """The (member, score) pairs, highest first. The set must not change meanwhile."""
        for members, scores in zip(reversed(self._ordered()), reversed(self._scores)):
            yield from zip(reversed(members), reversed(scores))

    # ------------------------------------------------------------------------------- draws and cursors

    def random_member(self, rng: RandomSource) -> bytes:
        """A member, each equally likely. The set must not be empty."""
        rank = int(rng.random() * len(self))
        chunks = self._ordered()
        chunk, place = self._find(rank)
        return chunks[chunk][place]

    def repeat(self, count: int, rng: RandomSource) -> list[bytes]:
        """`count` members drawn one by one, so that one may come several times. The set must not be empty."""
        return [self.random_member(rng) for _ in range(count)]

    def sample(self, count: int, rng: RandomSource) -> list[bytes]:
        """`count` distinct members in random order; all of them, in order, if there are no more."""
        size = len(self)
        if count >= size:
            return self.columns(0, size)[0]
        if count * 3 > size:
            return shuffled_head(list(self), count, rng)
        chosen: dict[bytes, None] = {}
        while len(chosen) < count:
            chosen[self.random_member(rng)] = None
        return list(chosen)

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Visit about `count` members: the next cursor (0 at the end) and the members.

        A small set comes whole, in order. A large one in order of a hash, not of scores, so that a member whose
        score changes is neither missed nor repeated.
        """
        if self.encoding is LISTPACK:
            return 0, self.columns(0, len(self))[0]
        if self.index is None:
            if cursor == 0 and len(self) <= count:
                return 0, list(self)
            self.index = HashIndex(self)
        return self.index.scan(cursor, count)

    def parts(self) -> list[object]:
        """What a piecewise release has to empty, last one first."""
        index_parts = self.index.parts() if self.index is not None else ()
        return [self, *index_parts, *self._scores, *(self._members or ())]

    # ----------------------------------------------------------------------------------------- the order

    def _ordered(self) -> list[list[bytes]]:
        """The chunks of members, built if they are not yet; there may be none."""
        if self._members is None:
            self._order()
            assert self._members is not None
        return self._members

    def _order(self) -> None:
        sample = list(islice(self.values(), ORDER_SAMPLE))
        scores: list[float]
        if sample == sorted(sample) or sample == sorted(sample, reverse=True):
            # Perhaps all in order, as in a snapshot: sorting pairs finds that out, 0.5 s for 10^6 entries.
            pairs = sorted(zip(self.values(), self))
            members = [member for _, member in pairs]
            scores = [score for score, _ in pairs]
        else:
            # By member, then stably by score: 1.6 s for 10^6 entries where sorting pairs takes 2.1 s.
            members = sorted(self)
            members.sort(key=self.__getitem__)
            scores = list(map(self.__getitem__, members))
        starts = range(0, len(members), CHUNK_FILL)
        self._members = [members[start : start + CHUNK_FILL] for start in starts]
        self._scores = [scores[start : start + CHUNK_FILL] for start in starts]
        self._last_members = [chunk[-1] for chunk in self._members]
        self._last_scores = [chunk[-1] for chunk in self._scores]
        self._tree = None

    def _locate(self, member: bytes, score: float) -> tuple[int, int]:
        """The chunk and the place in it of an entry, or where it belongs. A last chunk is there."""
        chunks = self._ordered()
        last_scores = self._last_scores
        chunk = 0
        if len(last_scores) > 1:
            chunk = bisect_left(last_scores, score)
            if chunk < len(last_scores) and last_scores[chunk] == score:
                ties_end = bisect_right(last_scores, score, chunk)
                chunk = bisect_left(self._last_members, member, chunk, ties_end)
            if chunk == len(last_scores):
                chunk -= 1
        scores = self._scores[chunk]
        place = bisect_left(scores, score)
        if place < len(scores) and scores[place] == score:
            place = bisect_left(chunks[chunk], member, place, bisect_right(scores, score, place))
        return chunk, place

    def _insert(self, member: bytes, score: float) -> None:
        all_members = self._members
        assert all_members is not None
        if not all_members:
            self._order()
            return
        chunk, place = self._locate(member, score)
        members = all_members[chunk]
        scores = self._scores[chunk]
        members.insert(place, member)
        scores.insert(place, score)
        size = len(members)
        if place == size - 1:
            self._last_members[chunk] = member
            self._last_scores[chunk] = score
        if size > CHUNK_MAX:
            half = size // 2
            all_members.insert(chunk + 1, members[half:])
            self._scores.insert(chunk + 1, scores[half:])
            del members[half:]
            del scores[half:]
            self._last_members.insert(chunk, members[-1])
            self._last_scores.insert(chunk, scores[-1])
            self._tree = None
        elif self._tree is not None:
            adjust(self._tree, chunk, 1)

    def _move(self, member: bytes, old: float, score: float) -> None:
        """Bring an entry to the place of its new score."""
        chunk, place = self._locate(member, old)
        scores = self._scores[chunk]
        # A score often moves less than the distance to its neighbours: no need to take the entry out.
        if 0 < place < len(scores) - 1 and scores[place - 1] < score < scores[place + 1]:
            scores[place] = score
            return
        self._delete(chunk, place)
        self._insert(member, score)

    def _delete(self, chunk: int, place: int) -> None:
        all_members = self._members
        assert all_members is not None
        members = all_members[chunk]
        scores = self._scores[chunk]
        del members[place]
        del scores[place]
        if self._tree is not None:
            adjust(self._tree, chunk, -1)
        size = len(members)
        if place == size and size:
            self._last_members[chunk] = members[-1]
            self._last_scores[chunk] = scores[-1]
        if size < CHUNK_MIN:
            self._join(chunk)

    def _join(self, chunk: int) -> None:
        """Drop an empty chunk, or unite a small one with a neighbour unless that would be large."""
        all_members = self._members
        assert all_members is not None
        if all_members[chunk]:
            if len(all_members) == 1:
                return
            if chunk == len(all_members) - 1:
                chunk -= 1
            if len(all_members[chunk]) + len(all_members[chunk + 1]) > CHUNK_JOINED:
                return
            all_members[chunk + 1][:0] = all_members[chunk]
            self._scores[chunk + 1][:0] = self._scores[chunk]
        del all_members[chunk]
        del self._scores[chunk]
        del self._last_members[chunk]
        del self._last_scores[chunk]
        self._tree = None

    def _cut(self, start: int, members: list[bytes]) -> None:
        """Take out `members`, which stand at the ranks from `start` on."""
        size = len(self)
        chunks = self._ordered()
        left = len(members)
        # Not by the tree at either end: popping must not build it.
        if start == 0:
            chunk = place = 0
        elif start + left == size and left <= len(chunks[-1]):
            chunk = len(chunks) - 1
            place = len(chunks[chunk]) - left
        else:
            chunk, place = self._find(start)
        first = chunk
        while left:
            here = chunks[chunk][place : place + left]
            del chunks[chunk][place : place + left]
            del self._scores[chunk][place : place + left]
            left -= len(here)
            if chunks[chunk]:
                self._last_members[chunk] = chunks[chunk][-1]
                self._last_scores[chunk] = self._scores[chunk][-1]
            if self._tree is not None:
                adjust(self._tree, chunk, -len(here))
            chunk += 1
            place = 0
        stop = chunk
        # Whole chunks go at once: one by one, each would move those behind it.
        whole_first = first if not chunks[first] else first + 1
        whole_stop = stop if not chunks[stop - 1] else stop - 1
        if whole_first < whole_stop:
            del chunks[whole_first:whole_stop]
            del self._scores[whole_first:whole_stop]
            del self._last_members[whole_first:whole_stop]
            del self._last_scores[whole_first:whole_stop]
            self._tree = None
        for chunk in (whole_first, first):
            if chunk < len(chunks) and len(chunks[chunk]) < CHUNK_MIN:
                self._join(chunk)
        for member in members:
            del self[member]
        if self.index is not None:
            for member in members:
                self.index.discard(member)

    # -------------------------------------------------------------------------------------------- sums

    def _sums(self) -> list[int]:
        """The prefix sums of the chunks' sizes."""
        if self._tree is None:
            self._tree = prefix_sums(map(len, self._ordered()))
        return self._tree

    def _before(self, chunk: int) -> int:
        """How many entries stand in the chunks before this one."""
        return sum_before(self._sums(), chunk) if chunk else 0

    def _find(self, rank: int) -> tuple[int, int]:
        """The chunk and the place in it of a rank that exists."""
        chunks = self._ordered()
        if rank < len(chunks[0]):
            return 0, rank
        from_end = len(self) - rank
        if from_end <= len(chunks[-1]):
            return len(chunks) - 1, len(chunks[-1]) - from_end
        return find(self._sums(), rank)

    def _span(self, bounds: ScoreRange) -> tuple[int, int, int]:
        """The chunk and the place in it where a range of scores begins, and how many entries it has."""
        chunks, last_scores = self._ordered(), self._last_scores
        search = bisect_right if bounds.low_excluded else bisect_left
        first = search(last_scores, bounds.low) if len(chunks) > 1 else 0
        start = search(self._scores[first], bounds.low) if first < len(chunks) else 0
        search = bisect_left if bounds.high_excluded else bisect_right
        last = search(last_scores, bounds.high) if len(chunks) > 1 else 0
        stop = search(self._scores[last], bounds.high) if last < len(chunks) else 0
        if last < first:
            return first, start, 0
        if last > first:
            few = last - first < FEW_CHUNKS
            stop += sum(map(len, chunks[first:last])) if few else self._before(last) - self._before(first)
        return first, start, max(stop - start, 0)

    def _walk(self, chunk: int, place: int, count: int) -> Columns:
        """So many members and scores from a place on. They are there."""
        chunks = self._ordered()
        if not count:
            return [], []
        members = chunks[chunk][place : place + count]
        scores = self._scores[chunk][place : place + count]
        while len(members) < count:
            chunk += 1
            wanted = count - len(members)
            members += chunks[chunk][:wanted]
            scores += self._scores[chunk][:wanted]
        return members, scores

    def _lex_position(self, chunks: list[list[bytes]], side: int, member: bytes, after: bool) -> int:
        """How many members are lower (or the same, if `after`), taking the whole set as ordered by member."""
        if side:
            return 0 if side < 0 else len(self)
        search = bisect_right if after else bisect_left
        chunk = search(self._last_members, member)
        if chunk == len(chunks):
            return len(self)
        return self._before(chunk) + search(chunks[chunk], member)

    def _check(self) -> None:
        """Assert the invariants. O(n log n)."""
        if self.index is not None:
            self.index._check()
            assert sorted(self.index.scan(0, len(self) + 1)[1]) == sorted(self)
        chunks = self._members
        if chunks is None:
            assert len(self) <= LAZY_MAX
            return
        assert all(chunks) and all(len(chunk) <= CHUNK_MAX for chunk in chunks)
        assert list(map(len, chunks)) == list(map(len, self._scores))
        entries = [
            (score, member)
            for members, scores in zip(chunks, self._scores)
            for member, score in zip(members, scores)
        ]
        assert entries == sorted(zip(self.values(), self))
        assert self._last_members == [chunk[-1] for chunk in chunks]
        assert self._last_scores == [chunk[-1] for chunk in self._scores]
        if self._tree is not None:
            held, self._tree = self._tree, None
            assert held == self._sums()
