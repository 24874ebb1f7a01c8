from __future__ import annotations

import random

import pytest

from storage.limits import EncodingLimits
from storage.packed_sizes import packed_size
from storage.types.list import List


@pytest.fixture
def limits():
    return EncodingLimits()


def filled(count, limits):
    return List.build([b"%d" % number for number in range(count)], limits)


def test_pushes_and_pops_work_on_both_ends(limits):
    value = List()
    value.push_right([b"c", b"d"], limits)
    value.push_left([b"b", b"a"], limits)
    assert list(value) == [b"a", b"b", b"c", b"d"]
    assert value.pop_right_many(2) == [b"d", b"c"]
    assert value.pop_left_many(5) == [b"a", b"b"]
    assert len(value) == 0


@pytest.mark.parametrize("size", [0, 1, 5, 700, 3000])
def test_ranges_agree_with_slices_from_either_end(size, limits):
    value = filled(size, limits)
    model = list(value)
    rng = random.Random(size)
    bounds = [0, 1, -1, 2, -2, size, -size, size - 1, size + 1, -size - 1, 10**18, -(10**18)]
    bounds += [rng.randrange(-size - 2, size + 2) for _ in range(20)]
    for start in bounds:
        for stop in bounds:
            low = max(start + size, 0) if start < 0 else start
            high = stop + size if stop < 0 else stop
            assert value.range(start, stop) == model[low : max(high + 1, 0)]
    assert list(value) == model


def test_replace_accepts_negative_indexes_and_refuses_missing_ones(limits):
    value = filled(3, limits)
    value.replace(-1, b"z", limits)
    value.replace(0, b"a", limits)
    assert list(value) == [b"a", b"1", b"z"]
    for index in (3, -4):
        with pytest.raises(IndexError):
            value.replace(index, b"x", limits)
    assert list(value) == [b"a", b"1", b"z"]


def test_an_edit_that_finds_no_place_has_chosen_the_encoding_all_the_same(limits):
    limits.list_max_listpack_size = 4
    for edit in (
        lambda value: value.insert_beside(b"nowhere", b"x", False, limits),
        lambda value: pytest.raises(IndexError, value.replace, 4, b"x", limits),
    ):
        value = filled(4, limits)
        assert value.encoding_name(limits) == b"listpack"
        edit(value)
        assert len(value) == 4 and value.encoding_name(limits) == b"quicklist"


def test_insert_beside_finds_the_first_pivot_only(limits):
    value = List([b"a", b"b", b"a"])
    assert value.insert_beside(b"a", b"x", False, limits)
    assert value.insert_beside(b"a", b"y", True, limits)
    assert not value.insert_beside(b"q", b"z", True, limits)
    assert list(value) == [b"x", b"a", b"y", b"b", b"a"]


def naive_positions(elements, element, rank, count, maxlen):
    indexes = list(range(len(elements)))
    if rank < 0:
        indexes.reverse()
    if maxlen:
        indexes = indexes[:maxlen]
    matches = [index for index in indexes if elements[index] == element][abs(rank) - 1 :]
    return matches[:count] if count else matches


def naive_remove(elements, element, count):
    indexes = naive_positions(elements, element, -1 if count < 0 else 1, abs(count), 0)
    return [other for index, other in enumerate(elements) if index not in set(indexes)], len(indexes)


@pytest.mark.parametrize("seed", range(4))
def test_every_operation_agrees_with_a_plain_list(seed, limits):
    rng = random.Random(seed)
    limits.list_max_listpack_size = rng.choice([-2, -1, 5, 40])
    value = List()
    model = []
    letters = [bytes([letter]) * rng.choice([1, 1, 60, 300]) for letter in b"abcdefgh"]
    for _ in range(4000):
        action = rng.randrange(10)
        some = [rng.choice(letters) for _ in range(rng.choice([1, 1, 2, 9]))]
        start, stop = rng.randrange(-70, 70), rng.randrange(-70, 70)
        if action == 0:
            value.push_left(some, limits)
            model[:0] = some[::-1]
        elif action in (1, 2):
            value.push_right(some, limits)
            model += some
        elif action == 3:
            assert value.pop_left_many(start % 3) == model[: start % 3]
            model = model[start % 3 :]
        elif action == 4 and model:
            assert value.pop() == model.pop()
        elif action == 5:
            found = value.insert_beside(some[0], b"new", start % 2 == 1, limits)
            assert found == (some[0] in model)
            if found:
                model.insert(model.index(some[0]) + start % 2, b"new")
        elif action == 6:
            count = rng.choice([0, 1, -1, 2, -2, 3, -3, 50, -50])
            kept, removed = naive_remove(model, some[0], count)
            assert value.remove_equal(some[0], count) == removed
            model = kept
        elif action == 7 and rng.random() < 0.2:
            value.trim(start, stop)
            size = len(model)
            low = max(start + size, 0) if start < 0 else start
            model = model[low : max((stop + size if stop < 0 else stop) + 1, 0)]
        elif action == 8:
            for _ in range(3):
                rank = rng.choice([1, -1, 2, -2, 5, -5])
                count, maxlen = rng.choice([0, 1, 2, 100]), rng.choice([0, 1, 10, 1000])
                expected = naive_positions(model, some[0], rank, count, maxlen)
                assert value.positions(some[0], rank, count, maxlen) == expected
        elif model:
            index = rng.randrange(-len(model), len(model))
            value.replace(index, some[0], limits)
            model[index] = some[0]
            assert value[index] == some[0]
        assert list(value) == model
        value._check()
        if rng.random() < 0.1:
            value.encoding_name(limits)
            value._check()


def test_lpos_finds_the_last_match_first_with_a_negative_rank(limits):
    value = List([b"a", b"b", b"c", b"1", b"2", b"3", b"c", b"c"])
    assert value.positions(b"c", rank=-1) == [7]
    assert value.positions(b"c", rank=2, count=0) == [6, 7]
    assert value.positions(b"c", rank=-1, count=2) == [7, 6]
    assert value.positions(b"c", maxlen=2) == []


def test_packed_sizes_are_those_of_the_format():
    assert [packed_size(b"%d" % number) for number in (0, 127, 128, -1, 4095, -4096, 4096, 32767)] == [
        2, 2, 3, 3, 3, 3, 4, 4,
    ]
    assert [packed_size(b"%d" % number) for number in (32768, 2**23, -(2**31), 2**31, -(2**63))] == [5, 6, 6, 10, 10]
    assert packed_size(b"%d" % 2**63) == 19 + 2
    assert [packed_size(b"x" * length) for length in (0, 63, 64, 125, 126, 4095, 4096)] == [
        2, 65, 67, 128, 130, 4099, 4103,
    ]
    assert packed_size(b"007") == packed_size(b"-0 ") == packed_size(b"abc") == 5


def test_a_list_is_a_listpack_up_to_the_configured_bytes(limits):
    value = List()
    value.push_right([b"x" * 8185], limits)
    assert value.encoding_name(limits) == b"listpack"
    value = List()
    value.push_right([b"x" * 8186], limits)
    assert value.encoding_name(limits) == b"quicklist"


def test_a_positive_limit_counts_elements(limits):
    limits.list_max_listpack_size = 10
    value = List()
    for _ in range(10):
        value.push_right([b"x"], limits)
    assert value.encoding_name(limits) == b"listpack"
    value.push_left([b"x"], limits)
    assert value.encoding_name(limits) == b"quicklist"
    value.pop_left_many(5)
    assert value.encoding_name(limits) == b"quicklist"
    value.pop()
    assert value.encoding_name(limits) == b"listpack"
    large = List.build([b"y" * 3000] * 9, limits)
    large.pop_left_many(7)
    assert large.encoding_name(limits) == b"listpack"  # more than half of 8192 bytes: the limit is of elements


def test_a_quicklist_becomes_a_listpack_at_half_the_limit_and_not_before(limits):
    value = List.build([b"y" * 97] * 82, limits)  # 100 bytes an entry
    assert value.encoding_name(limits) == b"quicklist"
    value.push_right([b"y" * 97], limits)
    assert value.encoding_name(limits) == b"quicklist"
    value.pop_left_many(42)
    assert value.encoding_name(limits) == b"quicklist"
    value.pop()
    assert value.encoding_name(limits) == b"listpack"
    for _ in range(41):
        value.push_right([b"y" * 97], limits)
    assert value.encoding_name(limits) == b"listpack"
    value.push_right([b"y" * 97], limits)
    assert value.encoding_name(limits) == b"quicklist"


def test_shrinking_between_two_looks_is_noticed_at_the_next_push(limits):
    value = List.build([b"y" * 97] * 300, limits)
    value.pop_left_many(270)
    for _ in range(40):
        value.push_right([b"y" * 97], limits)
    assert value.encoding_name(limits) == b"listpack"


def test_a_queue_of_changing_length_is_rarely_measured(limits, monkeypatch):
    measured = 0
    plain = List.measure

    def counting(self):
        nonlocal measured
        measured += 1
        return plain(self)

    monkeypatch.setattr(List, "measure", counting)
    value = List()
    for number in range(5000):
        value.push_right([b"job:%d" % number], limits)
        if number % 100 > 50:
            value.pop_left_many(2)
    assert measured < 300


def test_a_copy_shares_nothing(limits):
    value = List.build([b"y" * 97] * 83, limits)
    other = value.copy()
    assert type(other) is List
    assert other.encoding_name(limits) == b"quicklist"
    other.pop_left_many(80)
    assert len(value) == 83
    assert value.encoding_name(limits) == b"quicklist"
    other._check()
