from __future__ import annotations

import random

import pytest

from storage import scan_index
from storage.entries import Entries
from storage.scan_index import CURSOR_MASK, PAGE_KEYS, GrowingIndex, HashIndex, shuffled_head


def whole_scan(index, count=10, between=lambda: None):
    """Every key a scan returns, with what `between` does after each call."""
    found = []
    cursor = 0
    while True:
        cursor, keys = index.scan(cursor, count)
        found += keys
        if cursor == 0:
            return found
        between()


def numbered(count, prefix=b"key:"):
    return [prefix + b"%d" % number for number in range(count)]


def place(key):
    return (hash(key) >> scan_index.DROPPED_BITS) & CURSOR_MASK


@pytest.mark.parametrize("size", [0, 1, 2, PAGE_KEYS, 1000, 5000])
def test_a_scan_returns_each_key_once_in_order_of_place(size):
    keys = numbered(size)
    for index in (HashIndex(keys), HashIndex(iter(keys)), HashIndex()):
        if not len(index):
            for key in keys:
                index.add(key)
        index._check()
        assert len(index) == size
        for count in (1, 10, 1000):
            found = whole_scan(index, count)
            assert sorted(found) == sorted(keys)
            # Order by place is only promised between calls, not inside one.
            if count == 1:
                assert found == sorted(keys, key=place)


def test_a_call_returns_no_more_than_count_keys_of_different_places():
    index = HashIndex(numbered(3000))
    cursor = 0
    while True:
        cursor, found = index.scan(cursor, 7)
        assert len(found) <= 7
        if not cursor:
            break
        assert len(found) == 7


@pytest.mark.parametrize("cursor", [1, CURSOR_MASK, CURSOR_MASK + 1, 2**63, 2**64 - 1])
def test_any_unsigned_cursor_is_a_place_to_go_on_from(cursor):
    keys = numbered(500)
    index = HashIndex(keys)
    following, found = index.scan(cursor, 10_000)
    assert following == 0
    assert sorted(found) == sorted(key for key in keys if place(key) >= cursor)


def test_keys_of_one_place_are_returned_together():
    class Twin(bytes):
        def __hash__(self):
            return 5 << 40

    twins = [Twin(b"%d" % number) for number in range(200)]
    others = numbered(500)
    index = HashIndex(others)
    for twin in twins:
        index.add(twin)
    index._check()
    cursor = 0
    while True:
        cursor, found = index.scan(cursor, 10)
        among = [key for key in found if isinstance(key, Twin)]
        assert len(among) in (0, len(twins))
        if not cursor:
            break
    rng = random.Random(3)
    drawn = [index.random(rng) for _ in range(3000)]
    assert 600 < sum(isinstance(key, Twin) for key in drawn) < 1100  # 200 of 700: 857
    # Equal hashes must not double the directory for ever.
    assert len(index._directory) <= 32 * len(index._pages)
    for twin in twins:
        index.discard(twin)
    index._check()
    assert sorted(whole_scan(index)) == sorted(others)


def test_discarding_an_absent_key_changes_nothing():
    index = HashIndex([b"a"])
    index.discard(b"b")
    index.discard(b"a")
    index.discard(b"a")
    assert len(index) == 0
    with pytest.raises(KeyError):
        index.random(random.Random(1))


@pytest.mark.parametrize("seed", range(6))
def test_what_stays_during_a_scan_is_returned_once_whatever_comes_and_goes(seed):
    rng = random.Random(seed)
    stable = numbered(rng.choice([3, 100, 700]), b"stable:")
    index = HashIndex(stable)
    passing = set()
    serial = 0

    def mutate():
        nonlocal serial
        mood = rng.random()
        if mood < 0.15:  # a flood: the directory doubles
            for _ in range(rng.randrange(600)):
                serial += 1
                key = b"passing:%d" % serial
                passing.add(key)
                index.add(key)
        elif mood < 0.3:  # an ebb: pages merge, the directory halves
            for key in list(passing)[: rng.randrange(len(passing) + 1)]:
                passing.remove(key)
                index.discard(key)
        index._check()

    for _ in range(3):
        found = whole_scan(index, rng.choice([5, 40]), mutate)
        for key in stable:
            assert found.count(key) == 1
        assert len(set(found)) == len(found)
    assert sorted(whole_scan(index)) == sorted(stable + list(passing))


def test_deleting_in_scan_order_keeps_random_cheap_and_memory_in_proportion():
    index = HashIndex(numbered(20_000))
    draws = 0

    class Counting:
        def random(self):
            nonlocal draws
            draws += 1
            return rng.random()

    rng = random.Random(5)
    cursor = 0
    while len(index) > 100:
        cursor, found = index.scan(cursor, 500)
        for key in found[: len(index) - 100]:
            index.discard(key)
    index._check()
    for _ in range(100):
        index.random(Counting())
    assert draws < 1000
    for key in whole_scan(index):
        index.discard(key)
    index._check()
    assert len(index._directory) <= 8


def test_random_and_sample_choose_every_key_equally():
    keys = numbered(400)
    index = HashIndex(keys[:100])
    for key in keys[100:]:
        index.add(key)
    rng = random.Random(11)
    for draw in (lambda: [index.random(rng)], lambda: index.sample(5, rng), lambda: index.sample(300, rng)):
        counts = dict.fromkeys(keys, 0)
        drawn = 0
        while drawn < 40_000:
            for key in draw():
                counts[key] += 1
                drawn += 1
        expected = drawn / len(keys)
        chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
        assert chi_square < 550  # 399 degrees of freedom: beyond 5 standard deviations


def test_a_sample_is_distinct_and_never_larger_than_the_index():
    index = HashIndex(numbered(50))
    rng = random.Random(2)
    for count in (0, 1, 16, 17, 49, 50, 51, 1000):
        found = index.sample(count, rng)
        assert len(found) == len(set(found)) == min(count, 50)
    assert sorted(shuffled_head(numbered(9), 9, rng)) == sorted(numbered(9))


def test_adding_and_discarding_agree_with_a_set_step_by_step():
    rng = random.Random(9)
    index = HashIndex()
    model = set()
    for step in range(30_000):
        key = b"%d" % rng.randrange(3000)
        if key in model:
            model.remove(key)
            index.discard(key)
        else:
            model.add(key)
            index.add(key)
        if step % 1500 == 0:
            index._check()
            assert sorted(whole_scan(index, 100)) == sorted(model)


@pytest.mark.parametrize("size", [1, 5, 100, 5000])
def test_popping_takes_each_key_once_and_keeps_the_index_in_order(size):
    keys = {b"k%d" % number for number in range(size)}
    index = HashIndex(keys)
    rng = random.Random(size)
    taken = []
    while len(index):
        taken.append(index.pop(rng))
        if len(index) % 97 == 0:
            index._check()
            assert set(index.scan(0, size)[1]) == keys - set(taken)
    assert len(taken) == size and set(taken) == keys
    with pytest.raises(KeyError):
        index.pop(rng)


def test_popping_chooses_every_key_equally():
    counts: dict[bytes, int] = {}
    rng = random.Random(8)
    for _ in range(300):
        index = HashIndex(b"k%d" % number for number in range(200))
        for _ in range(20):
            key = index.pop(rng)
            counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 200
    assert 10 <= min(counts.values()) and max(counts.values()) <= 60  # 30 on average


@pytest.mark.parametrize("can_jump", [True, False])
@pytest.mark.parametrize("reach", [25_000, 200_000])
def test_a_growing_index_ends_with_the_keys_that_are_there_whatever_came_and_went_meanwhile(reach, can_jump):
    chance = random.Random(5)
    table = dict.fromkeys(sorted(numbered(20_000)))
    entries = Entries()
    if not can_jump:
        entries._is_tried = True
    index = GrowingIndex(table, entries)
    grown = False
    while not grown:
        grown = index.grow(0)
        # With the longer reach nearly all come, and the table is laid out anew while it is walked over.
        for number in chance.sample(range(reach), reach // 1000):
            key = b"key:%d" % number
            if key in table:
                del table[key]
                index.discard(key)
            else:
                table[key] = None
                index.add(key)
        assert index.random(chance) in table
    index = HashIndex.like(index)
    index._check()
    assert sorted(index.scan(0, 1 << 30)[1]) == sorted(table)


def test_a_growing_index_walks_again_when_the_table_was_laid_out_anew_behind_its_back():
    table = dict.fromkeys(numbered(3000))
    index = GrowingIndex(table, Entries())
    for number in range(500):
        del table[b"key:%d" % number]
        index.discard(b"key:%d" % number)
    while len(index) < 1000:
        assert not index.grow(0)
    for number in range(20_000):  # the gap in front is closed: all move by 500 places
        key = b"new:%d" % number
        table[key] = None
        index.add(key)
        del table[key]
        index.discard(key)
    while not index.grow(0):
        pass
    assert sorted(HashIndex.like(index).scan(0, 1 << 30)[1]) == sorted(table)
