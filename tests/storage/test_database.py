"""Keys, deadlines and the seam for changes, with a clock that moves when told to."""

from __future__ import annotations

import itertools
import random

import pytest

from storage import events, lazyfree
from storage.clock import ManualClock
from storage.deadlines import STALE_FLOOR, Deadlines
from storage.errors import WrongType
from storage.keyspace import Keyspace
from storage.types.consumer_group import ConsumerGroup
from storage.types.hash import Hash
from storage.types.stream import Stream

AMPLE_NS = 10**10


@pytest.fixture
def space():
    return Keyspace(4, ManualClock())


def test_a_key_is_there_until_its_deadline_and_gone_at_it(space):
    db = space.databases[0]
    db.put(b"k", b"v")
    db.set_deadline(b"k", space.clock.now_ms + 100)
    space.clock.advance(99)
    assert db.read(b"k") == b"v"
    space.clock.advance(1)
    assert db.read(b"k") is None
    assert space.expired_keys == 1
    assert len(db) == 0
    space._check()


def test_a_replica_hides_what_has_lapsed_and_keeps_it(space):
    db = space.databases[0]
    db.put(b"k", b"v")
    db.set_deadline(b"k", space.clock.now_ms + 1)
    space.clock.advance(5)
    space.keeps_lapsed = True
    assert db.read(b"k") is None
    assert len(db) == 1
    space.hides_lapsed = False
    assert db.read(b"k") == b"v"
    assert space.expire_due(AMPLE_NS)
    assert len(db) == 1


def test_overwriting_drops_the_deadline_and_rebinding_keeps_it(space):
    db = space.databases[0]
    db.put(b"k", b"v")
    db.set_deadline(b"k", space.clock.now_ms + 100)
    db.rebind(b"k", b"w")
    assert db.deadline_ms(b"k") == space.clock.now_ms + 100
    db.put(b"k", b"x")
    assert db.deadline_ms(b"k") is None


def test_renewing_a_deadline_a_million_times_leaves_memory_flat():
    deadlines = Deadlines()
    for i in range(1_000_000):
        deadlines.set(b"k", i)
    assert len(deadlines.heap) <= 2 + STALE_FLOOR + 1
    assert deadlines.next_ms() == 999_999


@pytest.mark.parametrize("seed", range(5))
def test_deadlines_agree_with_a_plain_dictionary(seed):
    rng = random.Random(seed)
    deadlines, model = Deadlines(), {}
    for step in range(3000):
        key = b"%d" % rng.randrange(50)
        if rng.random() < 0.6:
            model[key] = rng.randrange(1000)
            deadlines.set(key, model[key])
        elif rng.random() < 0.3:
            keys = [b"%d" % rng.randrange(50) for _ in range(rng.randrange(1, 5))]
            model.update(dict.fromkeys(keys, rng.randrange(1000)))
            deadlines.set_all(keys, model[keys[0]])
        elif rng.random() < 0.7:
            assert deadlines.discard(key) == (model.pop(key, None) is not None)
        else:
            now = rng.randrange(1000)
            due = deadlines.next_due(now)
            expected = min(model.values(), default=None)
            assert (due is None) == (expected is None or expected > now)
            if due is not None:
                assert model[due] == expected
        if step % 100 == 0:
            deadlines._check()
    assert deadlines.next_ms() == min(model.values(), default=None)


def test_the_cycle_deletes_what_is_due_and_nothing_else(space):
    for number, db in enumerate(space.databases):
        for i in range(100):
            db.put(b"%d" % i, b"v")
            db.set_deadline(b"%d" % i, space.clock.now_ms + i * 10 + number)
    space.clock.advance(500)
    assert space.expire_due(AMPLE_NS)
    assert [len(db) for db in space.databases] == [49, 50, 50, 50]
    assert space.alarm.due_ms == space.next_deadline_ms() == space.clock.now_ms + 1
    space._check()


def test_several_pairs_are_bound_at_once_unless_something_else_has_to_follow(space):
    db = space.databases[0]
    assert db.put_at_once([b"a", b"b", b"a"], [b"1", b"2", b"3"])
    assert dict(db.data) == {b"a": b"3", b"b": b"2"} and set(db.access) == {b"a", b"b"}
    db.key_index()
    db.set_deadline(b"a", space.clock.now_ms + 10)
    assert db.put_at_once([b"a", b"c", b"c"], [b"4", b"5", b"6"])
    assert db.peek(b"a") == b"4" and not db.lapses
    db.set_deadline(b"a", space.clock.now_ms + 10)
    space.clock.advance(10)
    assert not db.put_at_once([b"b", b"a"], [b"7", b"8"])
    assert db.data[b"b"] == b"2"
    space._check()


def test_the_cycle_stops_at_its_budget_and_says_so(space):
    db = space.databases[0]
    for i in range(5000):
        db.put(b"%d" % i, b"v")
        db.set_deadline(b"%d" % i, space.clock.now_ms + 1)
    space.clock.advance(1)
    assert not space.expire_due(0)
    assert 0 < len(db) < 5000
    while not space.expire_due(1_000_000):
        pass
    assert len(db) == 0


def test_fields_expire_and_an_emptied_hash_goes_with_them(space):
    db = space.databases[0]
    value = Hash()
    value.put(b"a", b"1", space.limits)
    value.put(b"b", b"2", space.limits)
    db.put(b"h", value)
    value.set_deadline(b"a", space.clock.now_ms + 10)
    value.set_deadline(b"b", space.clock.now_ms + 20)
    db.track_fields(b"h", value)
    space.clock.advance(10)
    assert space.expire_due(AMPLE_NS)
    assert list(value) == [b"b"]
    space.clock.advance(10)
    assert space.expire_due(AMPLE_NS)
    assert db.peek(b"h") is None
    assert space.expired_fields == 2
    space._check()


def test_changes_are_only_counted_until_somebody_listens(space):
    db = space.databases[0]
    db.put(b"k", b"v")
    db.changed(b"k", events.SET, 1)
    assert space.changes == [] and space.dirty == 1
    space.record(True)
    db.put(b"k", b"w")
    db.changed(b"k", events.SET, 1)
    assert space.changes == [(db, b"k", events.SET, 1)]
    assert space.dirty == 1


def test_expiry_goes_through_the_same_seam(space):
    db = space.databases[2]
    space.record(True)
    db.put(b"k", b"v")
    db.set_deadline(b"k", space.clock.now_ms)
    assert db.read(b"k") is None
    assert space.changes == [(db, b"k", events.EXPIRED, 0)]


def test_swapping_exchanges_everything_and_keeps_the_numbers(space):
    one, other = space.databases[0], space.databases[1]
    one.put(b"k", b"v")
    one.set_deadline(b"k", space.clock.now_ms + 50)
    one.key_index()
    space.swap(0, 1)
    assert (one.number, other.number) == (0, 1)
    assert one.peek(b"k") is None and other.peek(b"k") == b"v"
    space.clock.advance(50)
    assert space.expire_due(AMPLE_NS)
    assert len(other) == 0
    space._check()


def test_flushing_forgets_at_once_and_frees_in_slices(space):
    db = space.databases[0]
    for i in range(20_000):
        db.put(b"%d" % i, b"v")
    assert space.flush() == 20_000
    assert len(db) == 0 and db.peek(b"1") is None
    assert len(space.graveyard) > 0
    while not space.graveyard.drain(100_000):
        pass
    assert len(space.graveyard) == 0


def test_nothing_large_is_freed_at_once_with_what_refers_to_it(space):
    """Deadlines of keys and of fields, what a stream's groups have pending."""
    db = space.databases[0]
    value = Hash()
    for i in range(2000):
        db.put(b"%d" % i, b"v")
        db.set_deadline(b"%d" % i, space.clock.now_ms + i)
        value.put(b"%d" % i, b"v", space.limits)
        value.set_deadline(b"%d" % i, space.clock.now_ms + i)
    stream = Stream()
    stream.groups[b"g"] = group = ConsumerGroup(0)
    consumer = group.add_consumer(b"c", 0)
    for i in range(1, 2001):
        stream.add(i, (b"k", b"v"), space.limits)
        group.load_pending(i, consumer, 0, 1)
    held = [*db.deadlines.parts(), *value.deadlines.parts(), group.pending.by_id, consumer.pending.by_id]
    assert min(map(len, held)) == 2000
    space.flush()
    space.graveyard.bury(value)
    space.graveyard.bury(stream)
    del value, stream, group, consumer
    while not space.graveyard.drain(100_000):
        pass
    assert not any(held)


def test_the_table_of_many_freed_elements_is_given_back_in_a_slice_of_its_own(space, monkeypatch):
    ticks = itertools.count(0, 1000)
    monkeypatch.setattr(lazyfree, "perf_counter_ns", lambda: next(ticks))
    table = dict.fromkeys(range(10 * lazyfree.SLICE))
    space.graveyard.bury(table)
    # Each look at the clock takes a microsecond; the last element goes after half of the budget.
    assert not space.graveyard.drain(15_000)
    assert space.graveyard.waiting == [{}]
    assert space.graveyard.drain(15_000) and not space.graveyard.waiting
    space.graveyard.waiting.append({})
    space.graveyard.drain(0)
    assert not space.graveyard.waiting


def test_a_typed_lookup_refuses_another_type(space):
    db = space.databases[0]
    db.put(b"h", Hash())
    with pytest.raises(WrongType):
        db.read_string(b"h")
    db.put(b"s", b"v")
    with pytest.raises(WrongType):
        db.read_as(b"s", Hash)


@pytest.mark.parametrize("seed", range(3))
def test_random_work_keeps_the_invariants(space, seed):
    rng = random.Random(seed)
    for step in range(4000):
        db = space.databases[rng.randrange(4)]
        key = b"%d" % rng.randrange(60)
        action = rng.randrange(9)
        if action < 3:
            if rng.random() < 0.3:
                db.put_until(key, b"%d" % step, space.clock.now_ms + rng.randrange(1, 50))
                assert db.deadline_ms(key) > space.clock.now_ms
            else:
                db.put(key, b"%d" % step)
        elif action == 3 and db.peek(key) is not None:
            db.set_deadline(key, space.clock.now_ms + rng.randrange(-5, 50))
        elif action == 4:
            db.clear_deadline(key)
        elif action == 5:
            db.delete(key)
        elif action == 6:
            space.clock.advance(rng.randrange(5))
            space.expire_due(AMPLE_NS)
        elif action == 7:
            db.random_key(rng)
        elif rng.random() < 0.05:
            space.flush(db.number)
        elif rng.random() < 0.1:
            space.swap(rng.randrange(4), rng.randrange(4))
        if step % 200 == 0:
            space._check()
    space._check()
