"""Sets: members, the name of their encoding, and the algebra over several sets.

Owns one set and the pure functions over sets. Must not know keys, databases or replies; randomness comes as
an argument.

The table is the same whatever the encoding is called, a dictionary in order of insertion: that is the order
clients see of a listpack. An intset is seen in numeric order, so it is put into that order when somebody
looks and it has grown since (`members`); iterating the object itself does not promise it.

Invariants: `encoding` is exactly one of INTSET, LISTPACK, HASHTABLE (tested with `is`); in an INTSET each
member is a canonical 64 bit decimal; `is_unsorted` is false only if an INTSET's table is in numeric order.
"""

from __future__ import annotations

from itertools import chain, filterfalse, islice, takewhile

from storage.numeric import is_integer, parse_int
from storage.types.indexed import HOLES_FLOOR, SMALL, IndexedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from storage.entries import Entries
    from storage.limits import EncodingLimits
    from storage.scan_index import RandomSource

INTSET = b"intset"
LISTPACK = b"listpack"
HASHTABLE = b"hashtable"

PRESENT = b""  # the table's value for every member
SORTED = 512  # the default of set-max-intset-entries; a larger result has no order
REBUILD_SHARE = 5  # as in Redis: SPOP that takes five times what it leaves makes a new set of what is left


class Set(IndexedDict):
    """Distinct members.

    Test membership with `in`, count with `len`, list with `members()`; change it through these methods only.

    | operation                             | cost                                        |
    |---------------------------------------|---------------------------------------------|
    | in, len                               | O(1), dict's own                            |
    | add, remove                           | O(1)                                        |
    | add_many, remove_many                 | O(arguments)                                |
    | random_key, sample_keys, repeat_keys, pop_random, pop_many | O(1) a member          |
    | scan                                  | O(count)                                    |
    | members                               | O(n); a changed intset O(n log n), n <= 512 |
    | copy                                  | O(n)                                        |

    Measured on CPython 3.11: add 0.14 us where the table's own assignment takes 0.06.
    """

    __slots__ = ("encoding", "is_unsorted")

    type_name = b"set"

    def __init__(self) -> None:
        self.index = None
        self.holes = 0
        self.encoding = INTSET
        self.is_unsorted = False

    @classmethod
    def build(cls, members: Iterable[bytes], limits: EncodingLimits, encoding: bytes | None = None) -> Set:
        """Make a set of all its members at once; repeated ones count once. O(n) at C speed when large.

        The encoding is the one Redis reaches by adding them one after the other, or the one given (one of
        this module's objects), which must be able to hold them.
        """
        new = cls()
        new.update(dict.fromkeys(members, PRESENT))
        if encoding is None:
            encoding = HASHTABLE
            if len(new) <= limits.set_max_intset_entries and all(map(is_integer, new)):
                encoding = INTSET
            elif (
                len(new) <= limits.set_max_listpack_entries
                and max(map(len, new), default=0) <= limits.set_max_listpack_value
            ):
                encoding = LISTPACK
        new.encoding = encoding
        new.is_unsorted = encoding is INTSET
        return new

    def encoding_name(self, limits: EncodingLimits) -> bytes:
        """What OBJECT ENCODING says."""
        return self.encoding

    def members(self) -> list[bytes]:
        """The members in the order clients see."""
        if self.is_unsorted:
            self.sort_integers()
        return list(self)

    def sort_integers(self) -> None:
        """Put an intset's table into numeric order."""
        ordered = dict.fromkeys(sorted(self, key=int), PRESENT)
        self.clear()
        self.update(ordered)
        self.holes = 0
        self.is_unsorted = False

    # ------------------------------------------------------------------------------------------ members

    def add(self, member: bytes, limits: EncodingLimits) -> bool:
        """Add a member; True if it is new."""
        if member in self:
            return False
        if self.encoding is not HASHTABLE:
            self.admit(member, limits)
        self[member] = PRESENT
        if self.index is not None:
            self.index.add(member)
        return True

    def add_many(self, members: Sequence[bytes], limits: EncodingLimits) -> int:
        """Add members, at least one; returns how many are new."""
        count = len(members)
        if count == 1:
            return 1 if self.add(members[0], limits) else 0
        # As in Redis, the number of arguments decides beforehand, however often a member is repeated.
        if self.encoding is HASHTABLE:
            pass
        elif not self:
            if not is_integer(members[0]) or count > limits.set_max_intset_entries:
                self.encoding = LISTPACK if count <= limits.set_max_listpack_entries else HASHTABLE
        elif count > (
            limits.set_max_intset_entries if self.encoding is INTSET else limits.set_max_listpack_entries
        ):
            self.encoding = HASHTABLE
        size = len(self)
        if self.encoding is HASHTABLE and self.index is None:
            self.is_unsorted = False
            self.update(dict.fromkeys(members, PRESENT))
        else:
            for member in members:
                self.add(member, limits)
        return len(self) - size

    def admit(self, member: bytes, limits: EncodingLimits) -> None:
        """Choose the encoding that can also hold a new member."""
        size = len(self)
        if self.encoding is INTSET:
            if is_integer(member):
                if size < limits.set_max_intset_entries:
                    self.is_unsorted = True
                elif not size and limits.set_max_listpack_entries and len(member) <= limits.set_max_listpack_value:
                    self.encoding = LISTPACK  # a limit of 0: the first member finds no intset to begin with
                else:
                    self.encoding = HASHTABLE
                    self.is_unsorted = False
                return
            if self.is_unsorted:
                self.sort_integers()
            # 64 bit decimals fit any sensible limit, but the limit may be set below their length.
            longest = max(map(len, self), default=0)
            self.encoding = LISTPACK if longest <= limits.set_max_listpack_value else HASHTABLE
        if size >= limits.set_max_listpack_entries or len(member) > limits.set_max_listpack_value:
            self.encoding = HASHTABLE

    def remove(self, member: bytes) -> bool:
        """Take a member out; True if it was there."""
        if member not in self:
            return False
        del self[member]
        self.note_removed([member])
        return True

    def remove_many(self, members: Iterable[bytes]) -> int:
        """Take members out; returns how many were there."""
        return len(self.forget(members))

    def pop_random(self, rng: RandomSource, entries: Entries | None = None) -> bytes:
        """Take out one member, each equally likely. The set must not be empty."""
        if len(self) <= SMALL and self.index is None:
            member = self.random_key(rng)
        elif self.still_lacks_index(entries):
            member = self.draw(rng, entries)
        else:
            member = self.key_index().pop(rng)  # which is in step then
            del self[member]
            self.holes += 1
            if self.holes > 3 * len(self) + HOLES_FLOOR:
                self.compact()
            return member
        del self[member]
        self.note_removed([member])
        return member

    def pop_many(
        self, count: int, rng: RandomSource, limits: EncodingLimits, entries: Entries | None = None
    ) -> list[bytes]:
        """Take out `count` random members, or all.

        What is left of a much larger hashtable becomes a listpack if it fits, even if it is all integers: so
        Redis.
        """
        taken = self.sample_keys(count, rng, entries)
        left = len(self) - len(taken)
        if self.encoding is HASHTABLE and left * REBUILD_SHARE <= len(taken):
            gone = set(taken)
            rest = list(filterfalse(gone.__contains__, self))
            self.clear()
            self.update(dict.fromkeys(rest, PRESENT))
            self.index = None
            self.holes = 0
            if (
                left <= limits.set_max_listpack_entries
                and max(map(len, rest), default=0) <= limits.set_max_listpack_value
            ):
                self.encoding = LISTPACK
        else:
            self.forget(taken)
        return taken

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Visit about `count` members: the next cursor (0 at the end) and the members.

        A small set comes whole.
        """
        if self.encoding is HASHTABLE:
            return self.scan_table(cursor, count)
        return 0, self.members()

    def copy(self) -> Set:
        """An independent set of the same members and encoding. O(n)."""
        new = Set()
        new.update(self)
        new.encoding = self.encoding
        new.is_unsorted = self.is_unsorted
        return new

    def _check(self) -> None:
        """Assert the invariants of the module's docstring. O(n log n)."""
        IndexedDict._check(self)
        assert all(value is PRESENT for value in self.values())
        assert self.encoding in (INTSET, LISTPACK, HASHTABLE)
        if self.encoding is INTSET:
            numbers = [parse_int(member) for member in self]
            assert self.is_unsorted or numbers == sorted(numbers)
        else:
            assert not self.is_unsorted


# ---------------------------------------------------------------------------------------------- algebra
#
# A missing key is None. Each result is a fresh list in the order Redis would build it for small sets, and
# `Set.build(result, limits)` is what the STORE variants keep (but see `stored_difference`).


def intersection(sets: Sequence[Set | None], limit: int = 0) -> list[bytes]:
    """Members of every set, at most `limit` of them unless that is 0.

    O(n * m) for m sets, of which n is the size of the smallest; each test at C speed, 0.04 us. Stops at
    `limit`.
    """
    present = [one for one in sets if one]
    if not present or len(present) < len(sets):
        return []
    present.sort(key=len)
    smallest = present[0]
    if smallest.is_unsorted:
        smallest.sort_integers()
    found: Iterator[bytes] = iter(smallest)
    for other in present[1:]:
        if other is not smallest:
            found = filter(other.__contains__, found)
    return list(islice(found, limit) if limit else found)


def union(sets: Sequence[Set | None]) -> list[bytes]:
    """Members of any set. O(total)."""
    members: dict[bytes, bytes] = {}
    for one in sets:
        if one:
            if one.is_unsorted:
                one.sort_integers()
            members.update(one)
    return as_built(list(members))


def difference(sets: Sequence[Set | None]) -> list[bytes]:
    """Members of the first set and of no other. O(n * m) or O(total), whichever is less."""
    first = sets[0]
    others = [one for one in sets[1:] if one]
    if not first or any(one is first for one in others):
        return []
    if first.is_unsorted:
        first.sort_integers()
    found: Iterator[bytes] = iter(first)
    if len(others) > 2 and sum(map(len, others)) < len(first) * (len(others) - 1):
        found = filterfalse(set(chain.from_iterable(others)).__contains__, found)
    else:
        others.sort(key=len, reverse=True)  # the largest first: it probably takes most away
        for other in others:
            found = filterfalse(other.__contains__, found)
    return as_built(list(found))


def as_built(members: list[bytes]) -> list[bytes]:
    """Put what comes before the first word in numeric order: Redis's result is an intset until then."""
    if members and len(members) <= SORTED and is_integer(members[0]):
        numbers = list(takewhile(is_integer, members))
        members[: len(numbers)] = sorted(numbers, key=int)
    return members


def stored_difference(sets: Sequence[Set | None], limits: EncodingLimits) -> Set:
    """The set SDIFFSTORE keeps.

    Where Redis finds it cheaper to copy the first set and remove from the copy, the encoding is that of the
    copy.
    """
    members = difference(sets)
    first = sets[0]
    sizes = [len(one) for one in sets if one is not None]
    if first and members and len(first) * len(sizes) // 2 > sum(sizes):
        return Set.build(members, limits, Set.build(first, limits).encoding)
    return Set.build(members, limits)
