"""The longest common subsequence by rows of bits agrees with the textbook table."""

from __future__ import annotations

import random

import pytest

from storage import lcs


def table_length(a: bytes, b: bytes) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        previous = 0
        for j, y in enumerate(b):
            previous, row[j + 1] = row[j + 1], previous + 1 if x == y else max(row[j + 1], row[j])
    return row[-1]


def is_subsequence(part: bytes, whole: bytes) -> bool:
    rest = iter(whole)
    return all(byte in rest for byte in part)


@pytest.mark.parametrize("seed", range(60))
def test_length_and_trace_agree_with_the_table(seed):
    rng = random.Random(seed)
    a, b = (bytes(rng.choice(b"abcd") for _ in range(rng.randrange(40))) for _ in range(2))
    found, matches = lcs.trace(a, b)
    assert lcs.length(a, b) == len(found) == table_length(a, b)
    assert is_subsequence(found, a) and is_subsequence(found, b)
    assert b"".join(a[first : last + 1] for first, last, _, _ in reversed(matches)) == found
    assert b"".join(b[first : last + 1] for _, _, first, last in reversed(matches)) == found


def test_the_known_example_of_the_documentation():
    found, matches = lcs.trace(b"ohmytext", b"mynewtext")
    assert found == b"mytext"
    assert matches == [(4, 7, 5, 8), (2, 3, 0, 1)]
