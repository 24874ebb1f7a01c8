"""Sorted sets against a naive model, and the claims the model cannot state."""

from __future__ import annotations

import random

import pytest

from storage.limits import EncodingLimits
from storage.types.bounds import LexRange, ScoreRange
from storage.types.sorted_set import ADDED, CHANGED, LAZY_MAX, UNCHANGED, SortedSet

INF = float("inf")


class Model:
    """The same answers by sorting everything each time."""

    def __init__(self):
        self.scores = {}

    def ordered(self):
        return sorted(self.scores.items(), key=lambda pair: (pair[1], pair[0]))

    def within(self, bounds, reverse=False):
        pairs = self.ordered()
        if isinstance(bounds, ScoreRange):
            found = [pair for pair in pairs if pair[1] in bounds]
        else:
            found = [pair for pair in pairs if pair[0] in bounds]
        return found[::-1] if reverse else found


def pairs_of(columns):
    return list(zip(*columns))


def filled(count, limits, score=float):
    zset = SortedSet()
    for number in range(count):
        zset.add(b"member:%06d" % number, score(number), limits)
    return zset


@pytest.fixture
def limits():
    return EncodingLimits()


def test_entries_come_by_score_then_by_bytes_of_the_member(limits):
    zset = SortedSet()
    for member in (b"b", b"a", b"ab", b"\xff", b"\x00", b"", b"aa"):
        zset.add(member, 1.0, limits)
    zset.add(b"zz", -INF, limits)
    zset.add(b"AA", INF, limits)
    assert [member for member, _ in zset.ascending()] == [
        b"zz", b"", b"\x00", b"a", b"aa", b"ab", b"b", b"\xff", b"AA",
    ]  # fmt: skip
    assert list(zset.descending()) == list(zset.ascending())[::-1]


def test_negative_zero_ties_with_zero(limits):
    limits.zset_max_listpack_entries = 0
    zset = SortedSet()
    zset.add(b"b", -0.0, limits)
    zset.add(b"a", 0.0, limits)
    assert zset.rank(b"a") == 0
    assert zset.add(b"b", 0.0, limits) == UNCHANGED
    assert str(zset[b"b"]) == "-0.0"


def test_negative_zero_becomes_zero_in_a_listpack_only(limits):
    small = SortedSet.build({b"a": -0.0}, limits)
    assert str(small[b"a"]) == "0.0"
    small.add(b"b", -0.0, limits)
    assert str(small[b"b"]) == "0.0"
    limits.zset_max_listpack_entries = 0
    assert str(SortedSet.build({b"a": -0.0}, limits)[b"a"]) == "-0.0"


def test_add_says_what_it_did(limits):
    zset = SortedSet()
    assert zset.add(b"a", 1.0, limits) == ADDED
    assert zset.add(b"a", 1.0, limits) == UNCHANGED
    assert zset.add(b"a", 2.0, limits) == CHANGED
    assert zset.remove(b"a")
    assert not zset.remove(b"a")
    assert zset.add(b"a", 2.0, limits) == ADDED
    zset._check()


def test_a_listpack_becomes_a_skiplist_by_entries_and_never_goes_back(limits):
    zset = filled(128, limits)
    assert zset.encoding_name(limits) == b"listpack"
    zset.add(b"member:000000", 5.0, limits)
    assert zset.encoding_name(limits) == b"listpack"
    zset.add(b"one more", 5.0, limits)
    assert zset.encoding_name(limits) == b"skiplist"
    zset.remove_ranks(0, 120)
    assert zset.encoding_name(limits) == b"skiplist"


def test_a_listpack_becomes_a_skiplist_by_length_of_a_member(limits):
    zset = SortedSet()
    zset.add(b"x" * 64, 1.0, limits)
    assert zset.encoding_name(limits) == b"listpack"
    zset.add(b"x" * 65, 1.0, limits)
    assert zset.encoding_name(limits) == b"skiplist"
    assert SortedSet.build({b"x" * 65: 1.0}, limits).encoding_name(limits) == b"skiplist"
    assert SortedSet.create(129, 1, limits).encoding_name(limits) == b"skiplist"
    assert SortedSet.create(128, 64, limits).encoding_name(limits) == b"listpack"


def test_the_order_is_not_built_before_it_is_needed_nor_left_for_a_large_set(limits):
    zset = filled(LAZY_MAX, limits)
    assert zset._members is None
    zset.add(b"one more", 0.5, limits)
    assert zset._members is not None
    assert zset.rank(b"one more") == 1
    zset._check()


def test_ranks_count_from_either_end(limits):
    zset = filled(5000, limits)
    assert zset.rank(b"member:001234") == 1234
    assert zset.rank(b"member:001234", True) == 5000 - 1 - 1234
    assert zset.rank(b"nobody") is None
    assert pairs_of(zset.columns(0, 2)) == [(b"member:000000", 0.0), (b"member:000001", 1.0)]
    assert pairs_of(zset.columns(0, 2, True)) == [(b"member:004999", 4999.0), (b"member:004998", 4998.0)]
    assert pairs_of(zset.columns(4999, 9000)) == [(b"member:004999", 4999.0)]
    assert pairs_of(zset.columns(3, 3)) == pairs_of(zset.columns(6000, 7000)) == []


def test_an_empty_set_answers_everything_with_nothing(limits):
    zset = SortedSet()
    everything = ScoreRange(-INF, INF)
    assert zset.count(everything) == zset.count(LexRange.parse(b"-", b"+")) == 0
    assert zset.select(everything) == ([], [])
    assert zset.pop_min() == zset.pop_max(3) == []
    assert zset.remove_range(everything) == 0
    assert zset.scan(0, 10) == (0, [])
    assert list(zset.ascending()) == list(zset.descending()) == []


def test_a_set_emptied_by_pops_can_be_filled_again(limits):
    zset = filled(1500, limits)
    assert len(zset.pop_max(2000)) == 1500
    assert not zset
    zset._check()
    zset.add(b"a", 1.0, limits)
    zset._check()
    assert zset.pop_min() == [(b"a", 1.0)]


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (b"1", b"3", 3),
        (b"(1", b"3", 2),
        (b"(1", b"(3", 1),
        (b"-inf", b"+inf", 5),
        (b"(-inf", b"(inf", 5),
        (b"3", b"1", 0),
        (b"(2", b"(2", 0),
        (b"2", b"(2", 0),
        (b"1.5", b"0x2", 1),
    ],
)
def test_score_bounds_include_or_exclude_their_ends(limits, low, high, expected):
    zset = filled(5, limits)
    assert zset.count(ScoreRange.parse(low, high)) == expected


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (b"-", b"+", 4),
        (b"+", b"-", 0),
        (b"[b", b"[c", 2),
        (b"(b", b"[c", 1),
        (b"(b", b"(c", 0),
        (b"[", b"+", 4),
        (b"[bb", b"+", 2),
        (b"-", b"-", 0),
        (b"+", b"+", 0),
    ],
)
@pytest.mark.parametrize("entries", [0, 128])
def test_lex_bounds_include_or_exclude_their_ends(limits, entries, low, high, expected):
    limits.zset_max_listpack_entries = entries
    zset = SortedSet.build(dict.fromkeys((b"a", b"b", b"c", b"d"), 0.0), limits)
    assert zset.count(LexRange.parse(low, high)) == expected


@pytest.mark.parametrize("text", [b"", b"a", b"+a", b"-a", b"1"])
def test_what_is_no_lex_bound_is_refused(text):
    with pytest.raises(ValueError):
        LexRange.parse(text, b"+")
    with pytest.raises(ValueError):
        LexRange.parse(b"-", text)


def test_a_lex_range_over_different_scores_walks_a_small_set_from_its_end(limits):
    zset = SortedSet.build({b"c": 1.0, b"a": 2.0, b"d": 3.0, b"b": 4.0}, limits)
    assert zset.select(LexRange.parse(b"[b", b"[c"))[0] == [b"c", b"a"]
    assert zset.select(LexRange.parse(b"[b", b"[c"), True)[0] == [b"b", b"d"]


def test_an_offset_does_not_skip_the_first_member_found_beyond_the_far_bound(limits):
    zset = SortedSet.build({b"10": 0.0, b"c": 1.0, b"d": 2.0, b"aa": 3.0}, limits)
    assert zset.select(LexRange.parse(b"[3", b"[b"), offset=2) == ([], [])
    assert zset.select(LexRange.parse(b"[b", b"[c"), True, offset=2) == ([], [])


def test_select_skips_and_limits_in_both_directions(limits):
    zset = filled(3000, limits)
    bounds = ScoreRange(10.0, 2000.0)
    assert zset.select(bounds, False, 5, 2)[1] == [15.0, 16.0]
    assert zset.select(bounds, True, 5, 2)[1] == [1995.0, 1994.0]
    assert zset.select(bounds, False, 1990, -1)[1] == [2000.0]
    assert zset.select(bounds, False, 1991, -1) == ([], [])
    assert zset.select(bounds, False, -1, 2) == ([], [])
    assert zset.select(bounds, False, 0, 0) == ([], [])


def test_single_pops_empty_a_set_from_both_ends_in_order(limits):
    zset = filled(2600, limits)
    zset.scan(0, 1)
    for step in range(1300):
        assert zset.pop_min() == [(b"member:%06d" % step, float(step))]
        assert zset.pop_max() == [(b"member:%06d" % (2599 - step), float(2599 - step))]
        if step % 100 == 0:
            assert zset.rank(b"member:001300") == 1300 - step - 1
            zset._check()
    assert not zset
    zset._check()


def test_a_copy_is_independent(limits):
    zset = filled(2500, limits)
    other = zset.copy()
    other.remove_ranks(100, 2000)
    other.add(b"new", -1.0, limits)
    zset._check()
    other._check()
    assert (len(zset), len(other)) == (2500, 601)
    assert other.encoding_name(limits) == b"skiplist"


def test_build_takes_entries_in_any_order(limits):
    rng = random.Random(3)
    entries = [(b"%d" % rng.randrange(10**9), float(rng.randrange(50))) for _ in range(3000)]
    for order in (entries, sorted(entries, key=lambda e: e[1]), sorted(entries, key=lambda e: -e[1])):
        zset = SortedSet.build(dict(order), limits)
        zset._check()
        assert dict(zset) == dict(order)


def test_members_present_throughout_a_scan_are_returned_though_their_scores_move(limits):
    rng = random.Random(7)
    zset = filled(1200, limits)
    steady = set(list(zset)[:600])
    found = []
    cursor = 0
    while True:
        cursor, members = zset.scan(cursor, 10)
        found += members
        if not cursor:
            break
        for _ in range(20):
            zset.add(rng.choice(sorted(steady)[:50]), rng.random() * 5000, limits)
            zset.remove(b"member:%06d" % rng.randrange(600, 1200))
            zset.add(b"fresh:%d" % rng.randrange(5000), rng.random(), limits)
        zset.pop_min(2) if min(zset, key=zset.get) not in steady else None
        zset._check()
        steady &= set(zset)
    assert steady <= set(found)
    assert len(steady) > 400
    assert len(set(found)) == len(found)


def test_a_small_set_is_scanned_whole_whatever_the_count(limits):
    zset = filled(100, limits)
    assert zset.scan(0, 1) == (0, [member for member, _ in zset.ascending()])


def test_draws_reach_every_member_about_equally(limits):
    rng = random.Random(11)
    zset = filled(1100, limits)
    drawn = zset.repeat(22000, rng)
    counts = dict.fromkeys(zset, 0)
    for member in drawn:
        counts[member] += 1
    assert 1 <= min(counts.values()) and max(counts.values()) < 50


@pytest.mark.parametrize("count", [1, 10, 500, 1100, 5000])
def test_a_sample_is_distinct(limits, count):
    zset = filled(1100, limits)
    sample = zset.sample(count, random.Random(5))
    assert len(sample) == len(set(sample)) == min(count, 1100)
    assert set(sample) <= set(zset)


def test_parts_cover_everything_a_release_has_to_empty(limits):
    zset = filled(2000, limits)
    zset.scan(0, 5)
    for part in zset.parts():
        part.clear()
    assert not zset
    assert not any(zset._members) and not any(zset._scores)


@pytest.mark.parametrize("seed, tied", [(1, False), (2, True), (3, False)])
def test_thousands_of_operations_agree_with_a_naive_model(limits, seed, tied):
    rng = random.Random(seed)
    zset = SortedSet()
    model = Model()

    def score():
        return float(rng.randrange(3)) if tied else rng.choice((rng.uniform(-50, 50), float(rng.randrange(20))))

    def member():
        return b"%d" % rng.randrange(4000)

    def bounds():
        if tied and rng.random() < 0.5 and len(set(model.scores.values())) <= 1:
            low, high = sorted((member(), member()))
            return LexRange.parse(rng.choice((b"[", b"(")) + low, rng.choice((b"[", b"(")) + high)
        low, high = sorted((score(), score()))
        return ScoreRange(low, high, rng.random() < 0.5, rng.random() < 0.5)

    for step in range(60):
        growing = (step // 10) % 2 == 0
        for _ in range(150 if growing else 30):
            name, value = member(), score()
            zset.add(name, value, limits)
            model.scores[name] = value
        for _ in range(20 if growing else 100):
            name = member()
            assert zset.remove(name) == (model.scores.pop(name, None) is not None)
        pairs = model.ordered()
        size = len(pairs)
        assert len(zset) == size
        if step % 3 == 0:
            for name in rng.sample(sorted(model.scores), min(5, size)):
                assert zset.rank(name) == pairs.index((name, model.scores[name]))
        start, stop = sorted((rng.randrange(size + 1), rng.randrange(size + 1)))
        assert pairs_of(zset.columns(start, stop)) == pairs[start:stop]
        assert pairs_of(zset.columns(start, stop, True)) == pairs[::-1][start:stop]
        wanted = bounds()
        assert zset.count(wanted) == len(model.within(wanted))
        for reverse in (False, True):
            found = model.within(wanted, reverse)
            assert pairs_of(zset.select(wanted, reverse)) == found
            assert pairs_of(zset.select(wanted, reverse, 3, 7)) == found[3:10]
        action = rng.randrange(6)
        gone = []
        if action == 0:
            gone = pairs[: rng.randrange(200)]
            assert zset.pop_min(len(gone)) == gone
        elif action == 1:
            gone = pairs[::-1][: rng.randrange(200)]
            assert zset.pop_max(len(gone)) == gone
        elif action == 2 and not growing:
            gone = pairs[start:stop]
            assert zset.remove_ranks(start, stop) == len(gone)
        elif action == 3:
            wanted = ScoreRange(0.0, 1.0, True, True)
            gone = model.within(wanted)
            assert zset.remove_range(wanted) == len(gone)
        for name, _ in gone:
            del model.scores[name]
        if step == 20:
            zset.scan(0, 1)
        zset._check()
    assert list(zset.ascending()) == model.ordered()
