"""Prefix sums of a list of counts that change: a Fenwick tree in a plain list.

Owns the arithmetic only. Entry i of a tree (i >= 1) sums the (i & -i) counts that end with count i - 1; entry 0
is not used. Functions rather than a class: an instance per set would cost more than the tree of a small one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def prefix_sums(counts: Iterable[int]) -> list[int]:
    """Make the tree of some counts. O(n)."""
    tree = [0]
    tree += counts
    size = len(tree)
    for i in range(1, size):
        above = i + (i & -i)
        if above < size:
            tree[above] += tree[i]
    return tree


def adjust(tree: list[int], index: int, change: int) -> None:
    """Add to one count. O(log n)."""
    size = len(tree)
    index += 1
    while index < size:
        tree[index] += change
        index += index & -index


def sum_before(tree: list[int], index: int) -> int:
    """The sum of the counts before `index`. O(log n)."""
    total = 0
    while index:
        total += tree[index]
        index &= index - 1
    return total


def find(tree: list[int], offset: int) -> tuple[int, int]:
    """The count that covers an offset below the total, and the offset within it. O(log n)."""
    size = len(tree)
    index = 0
    step = 1 << (size.bit_length() - 1)
    while step:
        ahead = index + step
        if ahead < size and tree[ahead] <= offset:
            index = ahead
            offset -= tree[ahead]
        step >>= 1
    return index, offset
