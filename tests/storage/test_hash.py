from __future__ import annotations

import random

import pytest

from storage.limits import EncodingLimits
from storage.types.hash import Hash


@pytest.fixture
def limits():
    return EncodingLimits()


def made_of(items, limits):
    value = Hash()
    for field, content in items.items():
        value.put(field, content, limits)
    return value


def numbered(count):
    return {b"f%d" % number: b"v%d" % number for number in range(count)}


def test_put_tells_new_fields_from_old_ones_and_keeps_the_order_of_insertion(limits):
    value = Hash()
    assert value.put(b"b", b"1", limits) is True
    assert value.put_pairs([b"a", b"1", b"b", b"2", b"c", b"3", b"c", b"4"], limits) == 2
    assert value.put(b"b", b"5", limits) is False
    assert list(value.items()) == [(b"b", b"5"), (b"a", b"1"), (b"c", b"4")]
    assert value.remove_many([b"a", b"x", b"a"]) == 1
    assert value.remove(b"b") and not value.remove(b"b")
    assert dict(value) == {b"c": b"4"}


def test_encodings_follow_the_number_of_fields_and_the_lengths(limits):
    value = made_of(numbered(512), limits)
    assert value.encoding_name(limits) == b"listpack"
    value.put(b"f1", b"again", limits)
    assert value.encoding_name(limits) == b"listpack"
    value.put(b"one more", b"", limits)
    assert value.encoding_name(limits) == b"hashtable"
    value.remove_many(numbered(512))
    assert value.encoding_name(limits) == b"hashtable"
    for field, content in ((b"x" * 65, b""), (b"f", b"x" * 65)):
        for pairs in ([field, content], [b"a", b"b", field, content]):
            value = Hash()
            value.put_pairs(pairs, limits)
            assert value.encoding_name(limits) == b"hashtable"
    value = Hash()
    value.put_pairs([b"x" * 64, b"y" * 64], limits)
    value.edit(b"n", b"1", limits)
    assert value.encoding_name(limits) == b"listpack"
    value.edit(b"n", b"1" * 65, limits)
    assert value.encoding_name(limits) == b"hashtable"


def test_the_number_of_arguments_decides_even_if_fields_repeat(limits):
    value = Hash()
    value.put_pairs([b"f", b"v"] * 512, limits)
    assert value.encoding_name(limits) == b"listpack"
    value.put_pairs([b"f", b"v"] * 513, limits)
    assert value.encoding_name(limits) == b"hashtable"


def test_build_makes_what_single_puts_make(limits):
    for items in (numbered(512), numbered(513), {b"x" * 65: b""}, {b"": b"x" * 65}, {}):
        built, put = Hash.build(items, limits), made_of(items, limits)
        assert dict(built) == dict(put)
        assert built.encoding_name(limits) == put.encoding_name(limits)
        built._check()


# ---------------------------------------------------------------------------------------------- deadlines


def test_hexpire_answers_as_redis_does(limits):
    value = made_of({b"a": b"1"}, limits)
    assert value.set_deadline(b"q", 100, now_ms=50) == -2
    assert value.encoding_name(limits) == b"listpackex"
    for condition in (b"XX", b"GT"):
        assert value.set_deadline(b"a", 100, condition, 50) == 0
    assert value.set_deadline(b"a", 100, b"LT", 50) == 1
    assert value.set_deadline(b"a", 100, b"LT", 50) == 0
    assert value.set_deadline(b"a", 100, b"GT", 50) == 0
    assert value.set_deadline(b"a", 101, b"NX", 50) == 0
    assert value.set_deadline(b"a", 101, b"GT", 50) == 1
    assert value.set_deadline(b"a", 99, b"XX", 50) == 1
    assert value.deadline_of(b"a") == 99
    assert value.set_deadline(b"a", 40, b"GT", 50) == 0
    assert value.set_deadline(b"a", 50, None, 50) == 2
    assert len(value) == 0
    value._check()


def test_a_past_deadline_is_kept_where_nothing_may_expire(limits):
    value = made_of({b"a": b"1"}, limits)
    assert value.set_deadline(b"a", 1) == 1
    assert value.is_due(1) and not value.is_due(0)
    assert b"a" in value


def test_deadlines_can_be_asked_for_and_cleared(limits):
    value = made_of({b"a": b"1", b"b": b"2"}, limits)
    assert value.deadline_of(b"q") == value.clear_deadline(b"q") == -2
    assert value.deadline_of(b"a") == value.clear_deadline(b"a") == -1
    assert value.next_deadline() is None
    value.set_deadline(b"a", 100)
    value.set_deadline(b"b", 90)
    assert value.next_deadline() == 90
    assert value.clear_deadline(b"b") == 1
    assert value.next_deadline() == 100
    assert value.clear_deadline(b"a") == 1
    assert value.next_deadline() is None
    assert value.encoding_name(limits) == b"listpackex"


def test_setting_a_field_clears_its_deadline_and_editing_keeps_it(limits):
    value = made_of({b"a": b"1", b"b": b"2"}, limits)
    value.set_deadline(b"a", 100)
    value.set_deadline(b"b", 100)
    value.edit(b"a", b"2", limits)
    value.put_pairs([b"b", b"3", b"c", b"4"], limits)
    assert value.deadline_of(b"a") == 100
    assert value.deadline_of(b"b") == -1
    assert value[b"b"] == b"3"


def test_removing_a_field_forgets_its_deadline(limits):
    value = made_of({b"a": b"1", b"b": b"2"}, limits)
    value.set_deadline(b"a", 100)
    value.set_deadline(b"b", 100)
    value.remove(b"a")
    value.remove_many([b"b"])
    value.put_pairs([b"a", b"1", b"b", b"2"], limits)
    assert value.pop_due(1000) == []
    assert value.next_deadline() is None


def test_a_small_hash_with_deadlines_is_seen_in_their_order(limits):
    value = made_of({b"a": b"1", b"b": b"2", b"c": b"3", b"d": b"4"}, limits)
    assert value.in_order() is value
    value.set_deadline(b"c", 1000)
    value.set_deadline(b"d", 500)
    assert list(value.in_order()) == [b"d", b"c", b"a", b"b"]
    value.put(b"c", b"x", limits)
    assert list(value.in_order()) == [b"d", b"a", b"b", b"c"]
    value.put(b"a", b"x", limits)
    assert list(value.in_order()) == [b"d", b"a", b"b", b"c"]
    value.set_deadline(b"b", 500)  # the latest of two equal deadlines comes first
    assert list(value.in_order().items()) == [(b"b", b"2"), (b"d", b"4"), (b"a", b"x"), (b"c", b"x")]
    value.clear_deadline(b"d")
    assert list(value.in_order()) == [b"b", b"a", b"c", b"d"]
    value.put(b"e", b"x", limits)
    assert value.scan(9, 1) == (0, [b"b", b"a", b"c", b"d", b"e"])
    value._check()


@pytest.mark.parametrize("size, first", [(5, b"f2"), (600, b"f0")])
def test_of_fields_due_together_the_packed_ones_go_last_first_and_those_of_a_table_in_order(limits, size, first):
    value = made_of(numbered(size), limits)
    for number in range(3):
        value.set_deadline(b"f%d" % number, 20)
    value.set_deadline(b"f3", 10)
    due = value.pop_due(30)
    assert due[:2] == [b"f3", first]
    assert due[1:] == sorted(due[1:], reverse=size == 5)
    value._check()


def test_due_fields_are_popped_earliest_first_and_once(limits):
    value = made_of(numbered(5), limits)
    for number, deadline_ms in enumerate((30, 10, 20, 40)):
        value.set_deadline(b"f%d" % number, deadline_ms)
    value.set_deadline(b"f0", 5)
    value.set_deadline(b"f0", 30)
    assert value.pop_due(9) == []
    assert value.pop_due(30) == [b"f1", b"f2", b"f0"]
    assert value.pop_due(30) == []
    assert set(value) == {b"f3", b"f4"}
    value._check()


def test_fields_whose_time_has_come_stay_until_they_are_taken_out(limits):
    value = Hash.build(numbered(600), limits)
    value.scan(0, 10)
    value.set_deadline(b"f1", 10)
    value.set_deadline(b"f2", 20)
    assert value.without_due(9) is value
    seen = value.without_due(15)
    assert b"f1" not in seen and b"f2" in seen
    seen._check()
    assert value.due_among([b"f2", b"f1", b"none", b"f1"], 15) == [b"f1"]
    assert value[b"f1"] == b"v1" and value.deadline_of(b"f1") == 10
    assert len(value.without_due(25)) == 598 and len(value) == 600
    assert value.remove_many([b"f1", b"f2"]) == 2
    assert value.without_due(100) is value
    value._check()


def test_renewing_deadlines_for_ever_takes_bounded_memory(limits):
    value = Hash.build(numbered(600), limits)
    for round_ in range(2000):
        value.set_deadline(b"f%d" % (round_ % 3), 10**6 + round_)
    assert len(value.deadlines.heap) < 200
    value._check()


def test_a_copy_shares_nothing(limits):
    value = made_of({b"a": b"1", b"b": b"2"}, limits)
    value.set_deadline(b"a", 10)
    other = value.copy()
    assert type(other) is Hash and other.encoding_name(limits) == b"listpackex"
    other.pop_due(10)
    other.put(b"b", b"3", limits)
    assert dict(value) == {b"a": b"1", b"b": b"2"}
    assert value.deadline_of(b"a") == 10
    value._check()
    other._check()


# ---------------------------------------------------------------------------------------------- scans, stress


@pytest.mark.parametrize("seed", range(3))
def test_a_scan_returns_what_stays_although_fields_come_go_and_expire(seed, limits):
    rng = random.Random(seed)
    value = Hash.build(numbered(800), limits)
    stable = set(value)
    found = []
    cursor = serial = 0
    while True:
        cursor, some = value.scan(cursor, 20)
        found += some
        if cursor == 0:
            break
        for _ in range(rng.randrange(80)):
            serial += 1
            field = b"passing:%d" % serial
            value.put(field, b"", limits)
            if rng.random() < 0.7:
                value.set_deadline(field, serial + 60)
        value.pop_due(serial)
    assert all(found.count(field) == 1 for field in stable)
    value._check()


@pytest.mark.parametrize("seed", range(4))
def test_every_change_agrees_with_plain_dictionaries(seed, limits):
    rng = random.Random(seed)
    fields = [b"f%d" % number for number in range(20 if seed % 2 else 700)]
    value, model, deadlines = Hash(), {}, {}
    now_ms = 1000
    for step in range(4000):
        action = rng.random()
        field = rng.choice(fields)
        if action < 0.3:
            some = rng.choices(fields, k=rng.choice([1, 1, 4]))
            pairs = [part for name in some for part in (name, b"%d" % step)]
            assert value.put_pairs(pairs, limits) == len(set(some) - model.keys())
            for name in some:
                model[name] = b"%d" % step
                deadlines.pop(name, None)
        elif action < 0.4:
            value.edit(field, b"edit", limits)
            model[field] = b"edit"
        elif action < 0.55:
            assert value.remove(field) == (model.pop(field, None) is not None)
            deadlines.pop(field, None)
        elif action < 0.8:
            deadline_ms = now_ms + rng.randrange(-5, 100)
            expected = -2 if field not in model else 2 if deadline_ms <= now_ms else 1
            assert value.set_deadline(field, deadline_ms, None, now_ms) == expected
            if expected == 2:
                del model[field]
                deadlines.pop(field, None)
            elif expected == 1:
                deadlines[field] = deadline_ms
        elif action < 0.85:
            expected = -2 if field not in model else 1 if deadlines.pop(field, None) else -1
            assert value.clear_deadline(field) == expected
        else:
            now_ms += rng.randrange(3)
            due = {name for name, deadline_ms in deadlines.items() if deadline_ms <= now_ms}
            assert value.is_due(now_ms) == bool(due)
            assert set(value.pop_due(now_ms)) == due
            for name in due:
                del model[name], deadlines[name]
        if step % 40 == 0:
            value._check()
            assert dict(value.in_order()) == model
            assert {name: value.deadline_of(name) for name in model} == {
                name: deadlines.get(name, -1) for name in model
            }
            if rng.random() < 0.2:
                value = value.copy()
            elif value and rng.random() < 0.2:
                assert set(value.sample_keys(3, rng)) <= model.keys()
