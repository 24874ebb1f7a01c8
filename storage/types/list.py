"""Lists: a deque, and the name Redis 7.4 would give its encoding.

Owns one list. Must not know keys, databases or replies.

A client sees "listpack" while all elements fit one packed block (list-max-listpack-size) and "quicklist"
after that, until they shrink below half of it. Redis counts bytes at every step; here pushing to a large list
costs one comparison more than the deque's own work, and popping nothing at all:

- `watch_below` is a length. Only a push onto a list shorter than that looks at sizes. Pops need no look:
  between two pushes a list is smallest just before the second.
- A listpack watches always, but only takes an upper bound of each push's size from `room`, and measures when
  that is used up. (Under a limit that counts elements there is never room: that limit is not the default.) A
  quicklist watches below three quarters of the length at which it was last measured.
- OBJECT ENCODING measures.

The name differs from Redis's in two cases, both of a quicklist on its way down: Redis stays with "quicklist"
while the few elements left happen to lie in two nodes, and here a list of very uneven elements that shrank
and grew again unseen stays "quicklist".

Invariants: a listpack of b packed bytes has b + room <= the limit it was last measured by; a quicklist has no
room.
"""

from __future__ import annotations

from _operator import indexOf
from itertools import islice, repeat

from storage.numeric import wrap_int32
from storage.packed_sizes import FRAME_BYTES, packed_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable, Sequence

    from storage.limits import EncodingLimits

    Elements = deque[bytes]
else:
    from _collections import deque as Elements  # `collections` itself takes start-up time

LISTPACK = b"listpack"
QUICKLIST = b"quicklist"

ALWAYS = 1 << 62  # longer than any list
SIZE_CLASSES = (4096, 8192, 16384, 32768, 65536)  # list-max-listpack-size -1 to -5
SAFE_BYTES = 8192  # what a node may hold however many elements are allowed
PACKED_ENTRY = 10  # at most, besides the element: up to 5 bytes of header and 5 of back-length
NO_ROOM = -1
ROTATE_FROM = 256  # from an end; nearer, stepping over elements costs no more than turning the deque twice


def node_limits(list_max_listpack_size: int) -> tuple[int, int]:
    """The bytes and the elements that one block may hold, from the configured value."""
    if list_max_listpack_size < 0:
        return SIZE_CLASSES[min(-list_max_listpack_size, len(SIZE_CLASSES)) - 1], ALWAYS
    return SAFE_BYTES, max(list_max_listpack_size, 1)


class List(Elements):
    """Elements from left to right.

    `popleft()`, `pop()`, `len`, `list[index]`, iteration are the deque's own. Push with `push_left`,
    `push_right`. Indexes here are plain non-negative ones that exist; `resolve` maps a client's.

    | operation                     | cost                                                   |
    |-------------------------------|--------------------------------------------------------|
    | push_left, push_right         | O(arguments)                                           |
    | popleft, pop                  | O(1), deque's own                                      |
    | pop_left_many, pop_right_many | O(count)                                               |
    | self[index]                   | O(distance from the nearer end / 64)                   |
    | range(start, stop)            | O(elements returned + distance from the nearer end)    |
    | insert_beside, remove_equal   | O(n)                                                   |
    | positions                     | O(n), stops at the last one wanted                     |
    | trim                          | O(removed), at most O(n)                               |
    | encoding_name                 | O(1) for a long list, else O(n), n < 4096 elements or so |
    | copy                          | O(n)                                                   |

    Measured on CPython 3.11: push_right of one element 0.12 us (deque.extend 0.05), popleft 0.03 us as
    deque's.
    """

    __slots__ = ("is_quicklist", "watch_below", "room")

    type_name = b"list"

    def __init__(self, elements: Iterable[bytes] = ()) -> None:
        if elements:
            self.extend(elements)
        self.is_quicklist = False
        self.watch_below = ALWAYS
        self.room = 0

    @classmethod
    def build(cls, elements: Iterable[bytes], limits: EncodingLimits) -> List:
        """Make a list of all its elements at once, as a snapshot holds them. O(n)."""
        new = cls(elements)
        max_bytes, max_count = node_limits(limits.list_max_listpack_size)
        count = len(new)
        # The smallest entry takes 2 bytes: a long list need not be measured. Nor one that fits whatever its elements.
        if count > max_count or 2 * count > max_bytes:
            new.become_quicklist(count)
        elif sum(map(len, new)) + PACKED_ENTRY * count + FRAME_BYTES > max_bytes and new.measure() > max_bytes:
            new.become_quicklist(count)
        return new

    # ------------------------------------------------------------------------------------------ encoding

    def encoding_name(self, limits: EncodingLimits) -> bytes:
        """What OBJECT ENCODING says."""
        if self.is_quicklist:
            self.consider_shrinking(limits)
        return QUICKLIST if self.is_quicklist else LISTPACK

    def note_growth(self, elements: Sequence[bytes], limits: EncodingLimits) -> None:
        """Choose the encoding before `elements` are added; called while `room` does not suffice."""
        if self.is_quicklist:
            self.consider_shrinking(limits)
            if self.is_quicklist:
                return
        max_bytes, max_count = node_limits(limits.list_max_listpack_size)
        packed_bytes = self.measure()
        # Redis compares the packed bytes there are plus the bare bytes to come.
        added = sum(map(len, elements))
        if packed_bytes + added > max_bytes or len(self) + len(elements) > max_count:
            self.become_quicklist(len(self) + len(elements))
        elif max_count == ALWAYS:
            self.room = max_bytes - packed_bytes - added - PACKED_ENTRY * len(elements)

    def note_one(self, element: bytes, limits: EncodingLimits) -> None:
        """Choose the encoding before one element is added."""
        room = self.room - PACKED_ENTRY - len(element)
        if room < 0:
            self.note_growth((element,), limits)
        else:
            self.room = room

    def has_room(self, elements: Sequence[bytes]) -> bool:
        """Whether elements may be pushed one by one without a thought of the encoding; then their room is taken."""
        if len(self) < self.watch_below:
            room = self.room - PACKED_ENTRY * len(elements) - sum(map(len, elements))
            if room < 0:
                return False
            self.room = room
        return True

    def become_quicklist(self, length: int) -> None:
        self.is_quicklist = True
        self.watch_below = length * 3 // 4
        self.room = NO_ROOM

    def forget_room(self) -> None:
        """Measure at the next push: the limit that `room` was taken from is another one now."""
        if not self.is_quicklist:
            self.room = 0

    def consider_shrinking(self, limits: EncodingLimits) -> None:
        """Turn a quicklist back into a listpack if it fills no more than half of one."""
        max_bytes, max_count = node_limits(limits.list_max_listpack_size)
        if max_count == ALWAYS:
            max_bytes //= 2  # of a limit that counts elements it is only these that are halved
        length = len(self)
        # The smallest entry takes 2 bytes.
        if length * 2 <= max_bytes and length <= max_count // 2:
            if self.measure() <= max_bytes:
                self.is_quicklist = False
                self.watch_below = ALWAYS
                self.room = 0
                return
        self.watch_below = length * 3 // 4

    def measure(self) -> int:
        """The bytes of all elements in one listpack. O(n)."""
        return FRAME_BYTES + sum(map(packed_size, self))

    # ------------------------------------------------------------------------------------------ both ends

    def push_right(self, elements: Sequence[bytes], limits: EncodingLimits) -> None:
        """Append elements one after the other."""
        if len(self) < self.watch_below:
            # Inlined in both directions and for one element: 0.55 -> 0.25 us on a small list.
            count = len(elements)
            added = len(elements[0]) if count == 1 else sum(map(len, elements))
            room = self.room - PACKED_ENTRY * count - added
            if room < 0:
                self.note_growth(elements, limits)
            else:
                self.room = room
        self.extend(elements)

    def push_left(self, elements: Sequence[bytes], limits: EncodingLimits) -> None:
        """Put elements before the head one after the other: the last one becomes the head."""
        if len(self) < self.watch_below:
            # Inlined in both directions and for one element: 0.55 -> 0.25 us on a small list.
            count = len(elements)
            added = len(elements[0]) if count == 1 else sum(map(len, elements))
            room = self.room - PACKED_ENTRY * count - added
            if room < 0:
                self.note_growth(elements, limits)
            else:
                self.room = room
        self.extendleft(elements)

    def pop_left_many(self, count: int) -> list[bytes]:
        """Take up to `count` elements from the left, the head first."""
        pop = self.popleft
        return [pop() for _ in repeat(None, min(count, len(self)))]

    def pop_right_many(self, count: int) -> list[bytes]:
        """Take up to `count` elements from the right, the tail first."""
        pop = self.pop
        return [pop() for _ in repeat(None, min(count, len(self)))]

    # ------------------------------------------------------------------------------------------ positions

    def resolve(self, start: int, stop: int) -> tuple[int, int]:
        """A client's inclusive range, where -1 is the last element, as `start:stop` within the list."""
        length = len(self)
        if start < 0:
            start = max(start + length, 0)
        if stop < 0:
            stop += length
        stop = min(stop + 1, length)
        return (start, stop) if start < stop else (0, 0)

    def range(self, start: int, stop: int) -> list[bytes]:
        """The elements a client's inclusive range names (LRANGE)."""
        start, stop = self.resolve(start, stop)
        return self.section(start, stop)

    def section(self, start: int, stop: int) -> list[bytes]:
        """The elements [start:stop], walking from the nearer end."""
        length = len(self)
        if start == 0:
            return list(self) if stop == length else list(islice(self, stop))
        after = length - stop
        if min(start, after) < ROTATE_FROM:
            if start <= after:
                return list(islice(self, start, stop))
            found = list(islice(reversed(self), after, length - start))
            found.reverse()
            return found
        # Turning moves blocks of memory: 20 times as fast as stepping over the elements before `start`.
        if start <= after:
            self.rotate(-start)
            found = list(islice(self, stop - start))
            self.rotate(start)
        else:
            self.rotate(after)
            found = list(islice(reversed(self), stop - start))
            self.rotate(-after)
            found.reverse()
        return found

    def replace(self, index: int, element: bytes, limits: EncodingLimits) -> None:
        """Set the element at a client's index, of which 32 bits count. Raises IndexError if there is none."""
        index = wrap_int32(index)  # as in Redis, and for LSET alone: LINDEX finds nothing so far out
        if len(self) < self.watch_below:
            self.note_one(element, limits)  # as in Redis: the old element counts too, and even if there is none
        self[index] = element

    def insert_beside(self, pivot: bytes, element: bytes, after: bool, limits: EncodingLimits) -> bool:
        """Insert before or after the first `pivot`; False if there is none, but the encoding is chosen before that."""
        if len(self) < self.watch_below:
            self.note_one(element, limits)
        try:
            position = self.index(pivot)
        except ValueError:
            return False
        self.insert(position + after, element)
        return True

    def positions(self, element: bytes, rank: int = 1, count: int = 1, maxlen: int = 0) -> list[int]:
        """Where `element` is (LPOS): `count` matches, or all if 0, from the match number `rank` on.

        A negative rank searches from the right. At most `maxlen` elements are compared, unless that is 0. Indexes
        are from the left, in order of discovery.
        """
        length = len(self)
        if abs(rank) > length:
            return []
        count = min(count, length)  # a client may ask for more than islice can count
        source = iter(self) if rank > 0 else reversed(self)
        if maxlen:
            source = islice(source, maxlen)
        found: Iterable[int]
        if abs(rank) == count == 1:
            try:
                found = [indexOf(source, element)]
            except ValueError:
                return []
        else:
            matches = (offset for offset, other in enumerate(source) if other == element)
            first = abs(rank) - 1
            found = islice(matches, first, first + count if count else None)
        if rank > 0:
            return list(found)
        return [length - 1 - offset for offset in found]

    def remove_equal(self, element: bytes, count: int) -> int:
        """Remove the first `count` elements that are equal (LREM); returns how many there were.

        A negative count removes from the right, 0 removes all.
        """
        if abs(count) == 1:
            try:
                if count > 0:
                    self.remove(element)
                else:
                    del self[len(self) - 1 - indexOf(reversed(self), element)]
            except ValueError:
                return 0
            return 1
        matches = self.count(element)
        if not matches:
            return 0
        if count == 0 or abs(count) >= matches:
            kept = [other for other in self if other != element]
        else:
            # One pass: deleting from a deque one by one is O(n) each.
            kept = []
            left = matches = abs(count)
            for other in self if count > 0 else reversed(self):
                if left and other == element:
                    left -= 1
                else:
                    kept.append(other)
            if count < 0:
                kept.reverse()
        self.clear()
        self.extend(kept)
        return matches

    def trim(self, start: int, stop: int) -> None:
        """Keep only a client's inclusive range (LTRIM)."""
        start, stop = self.resolve(start, stop)
        length = len(self)
        removed = length - (stop - start)
        if removed > length // 2:
            kept = self.section(start, stop)
            self.clear()
            self.extend(kept)
            return
        for _ in repeat(None, length - stop):
            self.pop()
        for _ in repeat(None, start):
            self.popleft()

    def copy(self) -> List:
        """An independent list of the same elements and encoding. O(n)."""
        new = List(self)
        new.is_quicklist = self.is_quicklist
        new.watch_below = self.watch_below
        new.room = self.room
        return new

    def __copy__(self) -> List:
        return self.copy()

    def _check(self) -> None:
        """Assert what the bookkeeping promises. O(n)."""
        if self.is_quicklist:
            assert self.watch_below < ALWAYS
        else:
            assert self.watch_below == ALWAYS
            assert self.room <= 0 or self.measure() + self.room <= SIZE_CLASSES[-1]
