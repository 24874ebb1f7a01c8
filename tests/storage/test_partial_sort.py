from __future__ import annotations

import random

from storage import partial_sort
from storage.partial_sort import first_in_order


def first_item(pair):
    return pair[0]


def test_the_first_of_distinct_entries_are_those_of_a_sort():
    source = random.Random(1)
    for length in (0, 1, 5, 30, 200):
        entries = [(source.random(), number) for number in range(length)]
        for descending in (False, True):
            for count in (1, 3, length // 2 + 1, length + 5):
                expected = sorted(entries, reverse=descending)[:count]
                assert first_in_order(list(entries), count, first_item, descending) == expected


def test_the_keys_of_entries_with_ties_are_those_of_a_sort():
    source = random.Random(2)
    for length in (7, 40, 41, 300):
        entries = [(source.randrange(6), number) for number in range(length)]
        for count in (1, 6, length - 1):
            found = first_in_order(list(entries), count, first_item, False)
            assert list(map(first_item, found)) == sorted(map(first_item, entries))[:count]
            assert len(set(found)) == count


def test_equal_entries_come_in_their_old_order_when_all_are_wanted():
    entries = [(1, number) for number in range(100)]
    assert first_in_order(list(entries), 100, first_item, True) == entries


def test_ties_stand_where_a_real_server_leaves_them():
    # GEOSEARCH ... COUNT 5 over twelve members at one position, from a real 7.4.
    entries = [(0, number) for number in range(12)]
    assert [number for _, number in first_in_order(entries, 5, first_item, False)] == [11, 1, 2, 3, 4]


def test_input_that_defeats_the_choice_of_pivots_is_still_sorted(monkeypatch):
    monkeypatch.setattr(partial_sort, "DEPTH_PER_BIT", 0)
    source = random.Random(3)
    entries = [(source.randrange(50), number) for number in range(1000)]
    found = first_in_order(list(entries), 400, first_item, False)
    assert list(map(first_item, found)) == sorted(map(first_item, entries))[:400]
