"""The first few of many entries in order, with equal ones as Redis leaves them.

Redis sorts only the part of a result that it returns, by the quicksort of Bentley and McIlroy ("Engineering
a sort function", 1993) that leaves out partitions outside that part. It is not stable: which of several
entries with the same key come first follows from its swaps. Python's own sort decides everything else, and
does so ten times as fast.

Knows nothing of what is sorted.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

INSERTION_MAX = 6  # up to here entries are inserted one by one
MEDIAN_OF_THREE_MIN = 8
NINTHER_MIN = 41  # from here on the pivot is the median of three medians
DEPTH_PER_BIT = 4  # random entries need about two partitions in a row for each bit of their number


def first_in_order(entries: list[T], count: int, key: Callable[[T], float], descending: bool) -> list[T]:
    """Return the `count` first entries by key; `entries` is left in no particular order. O(n log n).

    Equal keys stand in their old order if all entries are asked for, else where the partial quicksort
    leaves them.
    """
    if count >= len(entries):
        return sorted(entries, key=key, reverse=descending)
    return partly_in_order(entries, count, key, descending)


def partly_in_order(entries: list[T], count: int, key: Callable[[T], float], descending: bool) -> list[T]:
    """`first_in_order` whose equal keys stand where the partial quicksort leaves them, even if all are asked for."""
    ordered = sorted(entries, key=key, reverse=descending)[: count + 1]
    keys = [key(entry) for entry in ordered]
    if all(one != other for one, other in zip(keys, keys[1:])):
        return ordered[:count]
    # Ties: the order of the equal ones, or which of them are among the first, depends on the algorithm.
    sign = -1.0 if descending else 1.0
    keyed = [(sign * key(entry), entry) for entry in entries]
    _sort_part(keyed, 0, len(keyed), count - 1, DEPTH_PER_BIT * len(keyed).bit_length())
    return [entry for _, entry in keyed[:count]]


def _key(pair: tuple[float, T]) -> float:
    return pair[0]


def _sort_part(keyed: list[tuple[float, T]], start: int, length: int, last: int, depth: int) -> None:
    """Sort keyed[start : start + length] as far as it concerns the places 0 to `last`."""
    while length > INSERTION_MAX:
        depth -= 1
        if depth < 0:
            # Positions made to defeat the choice of pivots would cost quadratic time and a deep recursion.
            keyed[start : start + length] = sorted(keyed[start : start + length], key=_key)
            return
        pivot_at = _choose_pivot(keyed, start, length)
        keyed[start], keyed[pivot_at] = keyed[pivot_at], keyed[start]
        pivot = keyed[start][0]
        # Equal entries gather at both ends, smaller ones left of `low`, larger ones right of `high`.
        equal_low = low = start + 1
        equal_high = high = start + length - 1
        while True:
            while low <= high and keyed[low][0] <= pivot:
                if keyed[low][0] == pivot:
                    keyed[equal_low], keyed[low] = keyed[low], keyed[equal_low]
                    equal_low += 1
                low += 1
            while low <= high and keyed[high][0] >= pivot:
                if keyed[high][0] == pivot:
                    keyed[equal_high], keyed[high] = keyed[high], keyed[equal_high]
                    equal_high -= 1
                high -= 1
            if low > high:
                break
            keyed[low], keyed[high] = keyed[high], keyed[low]
            low += 1
            high -= 1
        stop = start + length
        _exchange(keyed, start, low, min(equal_low - start, low - equal_low))
        _exchange(keyed, low, stop, min(equal_high - high, stop - equal_high - 1))
        smaller = low - equal_low
        if smaller > 1 and start <= last:
            _sort_part(keyed, start, smaller, last, depth)
        length = equal_high - high
        start = stop - length
        if length <= 1 or start > last:
            return
    for at in range(start + 1, start + length):
        while at > start and keyed[at - 1][0] > keyed[at][0]:
            keyed[at - 1], keyed[at] = keyed[at], keyed[at - 1]
            at -= 1


def _exchange(keyed: list[tuple[float, T]], start: int, stop: int, count: int) -> None:
    """Swap the `count` entries from `start` on with the `count` entries before `stop`."""
    for step in range(count):
        one, other = start + step, stop - count + step
        keyed[one], keyed[other] = keyed[other], keyed[one]


def _choose_pivot(keyed: list[tuple[float, T]], start: int, length: int) -> int:
    middle = start + length // 2
    if length < MEDIAN_OF_THREE_MIN:
        return middle
    first, last = start, start + length - 1
    if length >= NINTHER_MIN:
        step = length // 8
        first = _median(keyed, first, first + step, first + 2 * step)
        middle = _median(keyed, middle - step, middle, middle + step)
        last = _median(keyed, last - 2 * step, last - step, last)
    return _median(keyed, first, middle, last)


def _median(keyed: list[tuple[float, T]], a: int, b: int, c: int) -> int:
    if keyed[a][0] < keyed[b][0]:
        return b if keyed[b][0] < keyed[c][0] else c if keyed[a][0] < keyed[c][0] else a
    return b if keyed[b][0] > keyed[c][0] else a if keyed[a][0] < keyed[c][0] else c
