from __future__ import annotations

import random

import pytest

from storage.limits import EncodingLimits
from storage.numeric import is_integer
from storage.types.set import (
    Set,
    difference,
    intersection,
    stored_difference,
    union,
)


@pytest.fixture
def limits():
    return EncodingLimits()


def integers(count, start=0):
    return [b"%d" % number for number in range(start, start + count)]


def words(count, start=0):
    return [b"m%d" % number for number in range(start, start + count)]


def made_of(members, limits):
    """One SADD after the other."""
    value = Set()
    for member in members:
        value.add(member, limits)
    return value


def test_an_intset_is_seen_in_numeric_order_and_keeps_it_when_it_becomes_a_listpack(limits):
    value = made_of([b"3", b"-5", b"20", b"1"], limits)
    assert value.encoding_name(limits) == b"intset"
    assert value.members() == [b"-5", b"1", b"3", b"20"]
    value.add(b"0", limits)
    value.add_many([b"a", b"2"], limits)
    assert value.encoding_name(limits) == b"listpack"
    assert value.members() == [b"-5", b"0", b"1", b"3", b"20", b"a", b"2"]


def test_results_are_in_the_order_of_a_set_that_is_built_of_them(limits):
    one, other = made_of([b"29", b"4"], limits), made_of([b"10", b"a", b"7", b"5"], limits)
    assert union([one, made_of([b"10", b"-1"], limits)]) == [b"-1", b"4", b"10", b"29"]
    assert union([one, None, other]) == [b"4", b"10", b"29", b"a", b"7", b"5"]
    listed = made_of([b"34", b"20", b"aa", b"4"], limits)
    listed.remove(b"aa")
    listed.add(b"3", limits)
    assert listed.members() == [b"20", b"34", b"4", b"3"]
    assert difference([listed, one]) == [b"3", b"20", b"34"]


@pytest.mark.parametrize("member", [b"01", b"+1", b" 1", b"1.0", b"", b"-0", b"-", b"9223372036854775808"])
def test_only_canonical_64_bit_decimals_are_integers(member, limits):
    assert not is_integer(member)
    assert made_of([b"1", member], limits).encoding_name(limits) == b"listpack"
    assert is_integer(b"-9223372036854775808") and is_integer(b"0")


def test_encodings_follow_the_number_and_length_of_members(limits):
    def name(members):
        return made_of(members, limits).encoding_name(limits)

    assert name(integers(512)) == b"intset"
    assert name(integers(513)) == b"hashtable"
    assert name(words(128)) == b"listpack"
    assert name(words(129)) == b"hashtable"
    assert name([b"x" * 64]) == b"listpack"
    assert name([b"x" * 65]) == b"hashtable"
    assert name([*integers(127), b"a"]) == b"listpack"
    assert name([*integers(128), b"a"]) == b"hashtable"
    assert name([b"1", b"x" * 65]) == b"hashtable"


def test_the_number_of_arguments_decides_even_if_they_repeat(limits):
    def name(first, then=()):
        value = Set()
        value.add_many(first, limits)
        if then:
            value.add_many(then, limits)
        value._check()
        return value.encoding_name(limits)

    assert name([b"1"] * 512) == b"intset"
    assert name([b"1"] * 513) == b"hashtable"
    assert name([b"a"] * 128) == b"listpack"
    assert name([b"a"] * 129) == b"hashtable"
    assert name([b"a"], [b"a"] * 129) == b"hashtable"
    assert name([b"1"], [b"1"] * 129) == b"intset"
    limits.set_max_intset_entries = 4
    assert name([b"1"] * 5) == b"listpack"


def test_an_encoding_never_goes_back_when_members_leave(limits):
    value = made_of(words(129), limits)
    assert value.remove_many(words(128)) == 128
    assert value.encoding_name(limits) == b"hashtable"
    assert value.members() == [b"m128"]
    value = made_of([b"a", b"1"], limits)
    assert value.remove(b"a") and not value.remove(b"a")
    assert value.encoding_name(limits) == b"listpack"


def test_spop_of_nearly_everything_encodes_the_rest_anew(limits):
    rng = random.Random(1)
    for members, count, expected in (
        (words(300), 295, b"listpack"),
        (words(300), 250, b"listpack"),
        (words(300), 249, b"hashtable"),
        (integers(600), 590, b"listpack"),
        (integers(300), 290, b"intset"),
    ):
        value = Set.build(members, limits)
        taken = value.pop_many(count, rng, limits)
        assert len(set(taken)) == count
        assert sorted(taken + value.members()) == sorted(members)
        assert value.encoding_name(limits) == expected
        value._check()


def test_popping_more_than_there_are_takes_everything(limits):
    value = made_of(words(5), limits)
    assert sorted(value.pop_many(9, random.Random(1), limits)) == words(5)
    assert len(value) == 0
    value._check()


@pytest.mark.parametrize("size", [10, 5000])
def test_random_members_are_uniform_and_samples_distinct(size, limits):
    rng = random.Random(7)
    members = words(size)
    value = made_of(members, limits)
    assert len(set(value.sample_keys(7, rng))) == 7
    assert sorted(value.sample_keys(size * 2, rng)) == sorted(members)
    assert len(value.repeat_keys(size * 2, rng)) == size * 2
    low = set(members[: size // 2])
    for draw in (
        lambda: [value.random_key(rng)],
        lambda: value.sample_keys(4, rng),
        lambda: value.repeat_keys(9, rng),
    ):
        drawn = [member for _ in range(1000) for member in draw()]
        assert abs(sum(member in low for member in drawn) / len(drawn) - 0.5) < 0.08
    assert value.repeat_keys(3, rng) and Set().repeat_keys(3, rng) == []


def test_popping_one_by_one_empties_a_set_in_a_different_order_each_time(limits):
    rng = random.Random(3)
    orders = set()
    for _ in range(5):
        value = made_of(words(200), limits)
        order = tuple(value.pop_random(rng) for _ in range(200))
        assert len(value) == 0 and len(set(order)) == 200
        orders.add(order)
    assert len(orders) == 5


def test_small_sets_are_scanned_whole_whatever_the_cursor(limits):
    value = made_of([b"3", b"1"], limits)
    assert value.scan(0, 1) == value.scan(77, 1) == (0, [b"1", b"3"])


@pytest.mark.parametrize("seed", range(3))
def test_a_scan_returns_what_stays_although_the_set_grows_and_shrinks(seed, limits):
    rng = random.Random(seed)
    stable = words(300)
    value = Set.build(stable, limits)
    cursor, found, serial = 0, [], 0
    while True:
        cursor, some = value.scan(cursor, 10)
        found += some
        if cursor == 0:
            break
        for _ in range(rng.randrange(60)):
            serial += 1
            value.add(b"passing:%d" % serial, limits)
        for member in value.sample_keys(rng.randrange(40), rng):
            if member.startswith(b"passing"):
                value.remove(member)
    assert all(found.count(member) == 1 for member in stable)
    value._check()


def test_the_algebra_agrees_with_python_sets(limits):
    rng = random.Random(5)
    for _ in range(300):
        pool = integers(40) if rng.random() < 0.3 else words(rng.choice([10, 60, 400]))
        models = [set(rng.sample(pool, rng.randrange(len(pool)))) for _ in range(rng.randrange(1, 6))]
        if rng.random() < 0.1:
            models[-1] = models[0]
        values = [made_of(sorted(model), limits) if model else None for model in models]
        if models[-1] is models[0]:
            values[-1] = values[0]
        common = set.intersection(*models)
        result = intersection(values)
        assert set(result) == common and len(result) == len(common)
        limit = rng.randrange(1, 20)
        assert len(intersection(values, limit)) == min(limit, len(common))
        result = union(values)
        assert set(result) == set.union(*models) and len(result) == len(set(result))
        result = difference(values)
        assert set(result) == models[0].difference(*models[1:]) and len(result) == len(set(result))
        assert set(stored_difference(values, limits)) == set(result)


def test_results_of_the_algebra_are_independent_of_their_sources(limits):
    value = made_of(words(5), limits)
    for result in (intersection([value]), union([value]), difference([value])):
        result.clear()
        assert len(value) == 5


def test_stored_results_are_encoded_as_if_added_one_by_one(limits):
    table = made_of([*integers(200), b"a"], limits)
    table.remove(b"a")
    assert table.encoding_name(limits) == b"hashtable"
    assert Set.build(union([table]), limits).encoding_name(limits) == b"intset"
    big, small = Set.build(words(140), limits), Set.build(words(20), limits)
    assert stored_difference([big, small], limits).encoding_name(limits) == b"listpack"
    assert stored_difference([big, small, small, small], limits).encoding_name(limits) == b"hashtable"


@pytest.mark.parametrize("seed", range(4))
def test_every_change_agrees_with_a_python_set(seed, limits):
    rng = random.Random(seed)
    pool = integers(900) if seed % 2 else [*integers(100), *words(100), b"x" * 65]
    value, model = Set(), set()
    for step in range(4000):
        some = rng.choices(pool, k=rng.choice([1, 1, 1, 3, 30]))
        if rng.random() < (0.3 if step // 1000 % 2 else 0.7):
            assert value.add_many(some, limits) == len(set(some) - model)
            model.update(some)
        elif rng.random() < 0.8:
            assert value.remove_many(some) == len(set(some) & model)
            model.difference_update(some)
        elif model:
            taken = value.pop_many(rng.choice([1, 2, len(model) // 2]), rng, limits)
            assert set(taken) <= model
            model.difference_update(taken)
        if step % 50 == 0:
            value._check()
            assert len(value.members()) == len(model)
            assert set(value) == model
            if rng.random() < 0.1:
                value.scan(5, 1)
            elif rng.random() < 0.2:
                value, old = value.copy(), value
                old.add(b"of the original", limits)


def test_a_table_that_lost_its_members_is_walked_in_proportion_to_what_is_left(limits):
    value = Set.build(words(20_000), limits)
    value.remove_many(words(19_990))
    assert value.holes <= 3 * len(value) + 64
    assert value.members() == words(10, 19_990)
