"""Random entries of a dictionary, and walks over it in pieces."""

from __future__ import annotations

import random

import pytest

from storage.clock import ManualClock
from storage.entries import Entries, is_as_assumed
from storage.keyspace import Keyspace


@pytest.fixture
def entries():
    entries = Entries()
    if not entries.can_jump:
        pytest.skip("this interpreter's dictionaries cannot be entered in the middle")
    return entries


def chi_square(draw, keys, draws=20_000) -> float:
    """How far so many draws are from the same chance for each of the keys, in standard deviations."""
    counts = dict.fromkeys(keys, 0)
    for _ in range(draws):
        counts[draw()] += 1
    expected = draws / len(counts)
    distance = sum((count - expected) ** 2 / expected for count in counts.values())
    freedom = len(counts) - 1
    return (distance - freedom) / (2 * freedom) ** 0.5


def test_each_key_has_the_same_chance_also_those_behind_gaps(entries):
    table = {b"%d" % number: None for number in range(1000)}
    for number in [*range(100, 400), *range(401, 1000, 3)]:
        del table[b"%d" % number]
    chance = random.Random(3)
    assert abs(chi_square(lambda: entries.random(table, chance), table)) < 5


def test_random_keys_of_a_database_are_fair_with_and_without_an_index():
    space = Keyspace(1, ManualClock())
    db = space.databases[0]
    for number in range(500):
        db.put(b"%d" % number, b"v")
    for number in range(0, 500, 2):
        db.remove(b"%d" % number)
    chance = random.Random(4)
    assert abs(chi_square(lambda: db.random_key(chance), db.data)) < 5
    assert abs(chi_square(lambda: db.pick(chance), db.data)) < 5
    db.key_index()
    assert abs(chi_square(lambda: db.random_key(chance), db.data)) < 5
    db.remove(b"1")
    db._check()


def test_an_empty_table_has_no_random_key(entries):
    assert entries.random({}, random.Random(1)) is None
    table = {b"%d" % number: None for number in range(100)}
    table.clear()
    assert entries.random(table, random.Random(1)) is None


def test_few_keys_among_many_gaps_are_told_and_drawn_by_index(entries):
    space = Keyspace(1, ManualClock())
    db = space.databases[0]
    for number in range(50_000):
        db.put(b"%d" % number, b"v")
    assert not entries.is_sparse(db.data)
    for number in range(49_999):
        db.remove(b"%d" % number)
    assert entries.is_sparse(db.data)
    assert db.pick(random.Random(1)) == db.random_key(random.Random(1)) == b"49999"
    assert db.index is not None


def test_a_walk_comes_to_every_key_once_with_and_without_jumps():
    table = {b"%d" % number: None for number in range(3000)}
    for number in range(0, 3000, 7):
        del table[b"%d" % number]
    without = Entries()
    without._is_tried = True
    for entries in (Entries(), without):
        keys = [key for piece in entries.walk(table) for key in piece]
        assert len(keys) == len(table) and set(keys) == set(table)


def test_a_walk_without_jumps_is_fair_from_its_first_pieces_on():
    table = {b"%d" % number: None for number in range(100_000)}
    without = Entries()
    without._is_tried = True
    walk = without.walk(table)
    first = [int(key) for _ in range(4) for key in next(walk)]
    assert 0.4 < sum(number < 50_000 for number in first) / len(first) < 0.6


def test_an_interpreter_with_other_places_is_found_out():
    def by_halves(table, place):
        keys = list(table)
        return (keys[place // 2], place + 2) if place // 2 < len(keys) else None

    def without_gaps(table, place):
        keys = list(table)
        return (keys[place], place + 1) if place < len(keys) else None

    assert not is_as_assumed(by_halves)
    assert not is_as_assumed(without_gaps)
    assert not is_as_assumed(lambda table, place: None)
