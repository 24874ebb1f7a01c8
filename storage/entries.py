"""Any entry of a large dictionary without walking up to it: for random keys, and for a walk in pieces.

A dictionary keeps its entries in an array in the order of their coming; one that was removed leaves its place empty,
until the array is laid out anew. CPython's own function for walking over dictionaries takes the place to go on from as
a number, and finds the next key in constant time (0.3 us by way of ctypes, which takes 2 ms to load). So a key at a
random place is a fair choice among all keys, with nothing to keep beside the dictionary; and a list of a million keys,
during whose 10 to 20 ms nobody is served, is never needed.

That places are numbers of entries is no promise of the interpreter: it is tried out before the first use. Where it does
not hold, or there is no ctypes (PyPy), `can_jump` is False: who wants a key at random needs an index, and a walk begins
with a list of all keys. Must not know what the keys name.
"""

from __future__ import annotations

import sys
from struct import calcsize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Callable, List, Optional, Tuple

    from storage.scan_index import RandomSource

    Jump = Callable[[Mapping[bytes, Any], int], Optional[Tuple[bytes, int]]]
    Run = Callable[[Mapping[bytes, Any], int, int], Tuple[List[bytes], int]]

ENTRY_BYTES = 3 * calcsize("P")  # hash, key and value
SPARSE = 8  # times as many places as keys: most tries at random would be in vain
MAX_TRIES = 1000  # 0.5 ms; all are in vain where keys are so few among empty places that an index is made in no time
BATCH = 256  # keys of a walk that come together, about 100 us
STRANDS = 512  # where all keys are listed first, each 512th is taken, then those beside them: fair from the beginning


class Entries:
    """Knows how to find entries of dictionaries by their places, once somebody asks."""

    __slots__ = ("_jump", "_run", "_is_tried")

    def __init__(self) -> None:
        self._jump: Jump | None = None
        self._run: Run | None = None
        self._is_tried = False

    @property
    def can_jump(self) -> bool:
        if not self._is_tried:
            self.find_out()
        return self._jump is not None

    def find_out(self) -> None:
        """Try whether tables are laid out as this module assumes; the first to ask `can_jump` does it otherwise."""
        self._is_tried = True
        found = find_jump()
        if found is not None and is_as_assumed(found[0]):
            self._jump, self._run = found

    def tries(self, table: Mapping[bytes, Any]) -> float:
        """How many tries a random key takes, in the mean. O(1)."""
        return table.__sizeof__() / (ENTRY_BYTES * (len(table) + 1))

    def is_sparse(self, table: Mapping[bytes, Any]) -> bool:
        """Whether most places are empty, so that a key at random takes many tries. O(1)."""
        return self.tries(table) > SPARSE

    def random(self, table: Mapping[bytes, Any], rng: RandomSource) -> bytes | None:
        """One key, each equally likely; None if there is none, or none was found.

        Two tries as a rule, 1.5 us with a million keys; as many as there are places for each key if it is sparse.
        """
        jump = self._jump if self.can_jump else None
        if jump is not None and table:
            places = table.__sizeof__() // ENTRY_BYTES  # no fewer than there are; past the last one is a try in vain
            random = rng.random
            for _ in range(MAX_TRIES):
                place = int(random() * places)
                found = jump(table, place)
                # The next key after a gap would win more often than others.
                if found is not None and found[1] == place + 1:
                    return found[0]
        return None

    def walk(self, table: Mapping[bytes, Any]) -> Iterator[list[bytes]]:
        """The keys in pieces, while some come and go.

        May miss keys if the table is laid out anew meanwhile (they move to the front), and returns none twice that was
        not removed and added again. Starts with a list of all where there is no jumping.
        """
        run = self._run if self.can_jump else None
        if run is None:
            everything = list(table)
            for at in range(STRANDS):
                strand = everything[at::STRANDS]
                for start in range(0, len(strand), BATCH):
                    yield strand[start : start + BATCH]
            return
        place = 0
        while place >= 0:
            keys, place = run(table, place, BATCH)
            yield keys


def find_jump() -> tuple[Jump, Run] | None:
    """A function from a dictionary and a place to the first key from there on and the place behind it; and one that
    tells so many keys from a place on, and the place behind them or -1.
    """
    if sys.implementation.name != "cpython":
        return None
    try:
        import ctypes

        # An object of its own: others may have declared the arguments of the shared one differently.
        kind = ctypes.PYFUNCTYPE(
            ctypes.c_int, ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
        )
        step = kind(("PyDict_Next", ctypes.pythonapi))
    except (ImportError, AttributeError, OSError):
        return None
    after, key = ctypes.c_ssize_t(), ctypes.py_object()
    at_after, at_key = ctypes.addressof(after), ctypes.addressof(key)

    def jump(table: Mapping[bytes, Any], place: int) -> tuple[bytes, int] | None:
        after.value = place
        if step(table, at_after, at_key, None):
            return key.value, after.value
        return None

    def run(table: Mapping[bytes, Any], place: int, count: int) -> tuple[list[bytes], int]:
        after.value = place
        keys: list[bytes] = []
        for _ in range(count):
            if not step(table, at_after, at_key, None):
                return keys, -1
            keys.append(key.value)
        return keys, after.value

    return jump, run


def is_as_assumed(jump: Jump) -> bool:
    """Whether places are numbers of entries, gaps included, and a table's size tells how many there are at most."""
    try:
        table = {b"%d" % number: None for number in range(20)}
        for number in (3, 4, 11):
            del table[b"%d" % number]
        expected = [3, 4, 11]
        for place in range(20):
            following = place
            while following in expected:
                following += 1
            if jump(table, place) != (b"%d" % following, following + 1):
                return False
        return jump(table, 20) is None and table.__sizeof__() // ENTRY_BYTES >= 20
    except (TypeError, ValueError, OverflowError):
        return False
