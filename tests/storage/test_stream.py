"""The stream type: IDs, the log against a naive list, groups against naive dictionaries."""

from __future__ import annotations

import random
import sys
import tracemalloc

import pytest

from storage.limits import EncodingLimits
from storage.packed_sizes import packed_size
from storage.types.consumer_group import CHUNK_IDS, UNKNOWN, ConsumerGroup, PendingList
from storage.types.stream import Stream
from storage.types.stream_id import MAX_ID, format_id, parse_bound, parse_id, parse_partial

SEEDS = range(12)


def limits(entries: int = 100, size: int = 4096) -> EncodingLimits:
    result = EncodingLimits()
    result.stream_node_max_entries = entries
    result.stream_node_max_bytes = size
    return result


def ms(milliseconds: int, sequence: int = 0) -> int:
    return milliseconds << 64 | sequence


def filled(count: int, node_entries: int = 100) -> Stream:
    stream = Stream()
    for i in range(1, count + 1):
        stream.add(ms(i), (b"f", b"%d" % i), limits(node_entries))
    return stream


# IDs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0),
        (b"5", ms(5)),
        (b"5-3", ms(5, 3)),
        (b"18446744073709551615-18446744073709551615", MAX_ID),
        (b"005-1", ms(5, 1)),
        (b" 5-+7", ms(5, 7)),
        (b"5--07", ms(5, 2**64 - 7)),
        (b"5-1\x00junk", ms(5, 1)),
    ],
)
def test_an_id_is_read_with_the_leniency_of_redis(text: bytes, value: int) -> None:
    assert parse_id(text) == value


@pytest.mark.parametrize(
    "text",
    [b"", b"-", b"+", b"-5", b"5-", b"5-1-2", b"5-*", b"x", b"5--7", b"18446744073709551616", b"5-1 ", b"1" * 128],
)
def test_what_is_no_id_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_id(text)


def test_a_missing_sequence_is_the_callers() -> None:
    assert parse_id(b"7", 9) == ms(7, 9)
    assert parse_bound(b"-") == 0
    assert parse_bound(b"+") == MAX_ID
    assert parse_partial(b"7-*") == (ms(7), False)
    assert parse_partial(b"7-*\0 and more") == (ms(7), False)
    assert parse_partial(b"7\0-*") == (ms(7), True)
    assert parse_partial(b"7-1") == (ms(7, 1), True)


def test_the_next_id_counts_up_when_the_clock_stands_and_ends_at_the_last() -> None:
    stream = Stream()
    stream.last_id = ms(10, 4)
    assert stream.next_id(9) == ms(10, 5)
    assert stream.next_id(11) == ms(11)
    stream.last_id = ms(10, 2**64 - 1)
    assert stream.next_id(10) == ms(11)
    assert stream.next_id_within(10) is None
    assert stream.next_id_within(11) == ms(11)
    stream.last_id = MAX_ID
    assert stream.next_id(10) is None


# The log -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (b"", 2),
        (b"127", 2),
        (b"128", 3),
        (b"-4096", 3),
        (b"4096", 4),
        (b"-32769", 5),
        (b"8388608", 6),
        (b"2147483648", 10),
        (b"9223372036854775808", 21),
        (b"007", 5),
        (b"-0", 4),
        (b"x" * 63, 65),
        (b"x" * 64, 67),
        (b"x" * 126, 130),
        (b"x" * 4095, 4099),
        (b"x" * 4096, 4103),
    ],
)
def test_the_packed_size_of_a_value_is_that_of_a_listpack(value: bytes, size: int) -> None:
    assert packed_size(value) == size


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="measures CPython's objects")
def test_a_small_entry_takes_at_most_eight_times_its_packed_bytes() -> None:
    count = 20_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        stream = Stream()
        for i in range(count):
            stream.add(ms(1_700_000_000_000 + i // 3, i % 3), (b"k", b"%d" % (i % 10)), limits())
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    for node in stream.log.nodes():
        node.open()
        node.measure()
    assert used < 8 * sum(node.size for node in stream.log.nodes())


def test_approximate_trimming_removes_whole_nodes_only() -> None:
    stream = filled(1050)
    assert stream.log.trim_to_length(1000, True, 0) == 0
    assert stream.log.trim_to_length(940, True, 0) == 100
    assert len(stream) == 950
    assert stream.log.trim_to_length(100, True, 250) == 200
    assert stream.log.trim_below(ms(500), True, 0) == 100
    assert len(stream) == 650
    stream._check()


def test_exact_trimming_leaves_exactly_what_was_asked() -> None:
    stream = filled(1050)
    assert stream.log.trim_to_length(7, False, 0) == 1043
    assert stream.log.first_id() == ms(1044)
    assert stream.log.trim_below(ms(1049), False, 0) == 5
    assert stream.log.entries(0, MAX_ID)[1] == [b"1049-0", b"1050-0"]
    assert stream.log.trim_to_length(0, False, 0) == 2
    assert stream.log.first_id() == 0
    stream._check()


def test_deleted_entries_keep_their_slots_in_a_node() -> None:
    stream = filled(10, node_entries=5)
    for i in (6, 7, 8):
        assert stream.delete(ms(i))
    stream.add(ms(11), (b"f", b"v"), limits(5))
    assert [node.slots for node in stream.log.nodes()] == [5, 5, 1]
    assert [node.count for node in stream.log.nodes()] == [5, 2, 1]


def test_deleting_the_newest_node_lets_the_one_before_grow() -> None:
    stream = filled(7, node_entries=6)
    assert stream.delete(ms(7))
    stream.add(ms(8), (b"f", b"v"), limits(7))
    assert [node.slots for node in stream.log.nodes()] == [7]
    stream._check()


def test_a_copy_is_independent() -> None:
    stream = filled(250)
    stream.groups[b"g"] = group = ConsumerGroup(0, 0)
    group.deliver([ms(1), ms(2)], group.add_consumer(b"c", 5), 6)
    twin = stream.copy()
    stream.delete(ms(100))
    stream.delete(ms(250))
    group.acknowledge(ms(1))
    twin._check()
    assert len(twin) == 250
    assert twin.log.entries(0, MAX_ID)[0] == [ms(i) for i in range(1, 251)]
    assert list(twin.groups[b"g"].pending.walk()) == [ms(1), ms(2)]


def test_nodes_saved_and_loaded_are_the_same_log() -> None:
    stream = filled(350)
    for i in (1, 2, 150, 350):
        stream.delete(ms(i))
    twin = Stream()
    for node in stream.log.nodes():
        entries = stream.log.entries_of(node)
        copies = (entries[0][:], entries[1][:], entries[2][:])
        twin.log.load_node(copies, node.slots - node.count, node.first_id, node.fields, node.last_id)
    twin.log._check()
    assert twin.log.entries(0, MAX_ID) == stream.log.entries(0, MAX_ID)
    assert twin.log.trim_to_length(300, True, 0) == stream.log.trim_to_length(300, True, 0)


def random_body(rng: random.Random) -> tuple[bytes, ...]:
    if rng.random() < 0.7:
        return (b"temperature", b"%d" % rng.randrange(100), b"unit", rng.choice([b"C", b"F"]))
    return tuple(rng.randbytes(rng.randrange(0, 40)) for _ in range(2 * rng.randrange(1, 5)))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_log_agrees_with_a_sorted_list_whatever_happens_to_it(seed: int) -> None:
    rng = random.Random(seed)
    stream = Stream()
    bounds = limits(rng.choice([1, 3, 10, 100]), rng.choice([0, 100, 500, 4096]))
    model: list[tuple[int, tuple[bytes, ...]]] = []
    for step in range(700):
        action = rng.random()
        if action < 0.5:
            for _ in range(rng.randrange(1, 6)):
                entry_id = stream.last_id + rng.choice([1, 2, 1 << 64, 5000 << 64])
                body = random_body(rng)
                stream.add(entry_id, body, bounds)
                model.append((entry_id, body))
        elif action < 0.7:
            target = rng.randrange(1, stream.last_id + 3)
            if model and rng.random() < 0.9:
                target = rng.choice(model)[0]
            if rng.random() < 0.3 and model:
                target = model[rng.choice([0, -1])][0]
            known = [entry for entry in model if entry[0] == target]
            assert stream.delete(target) == bool(known)
            model = [entry for entry in model if entry[0] != target]
        elif action < 0.75:
            keep = rng.randrange(0, len(model) + 2)
            removed = max(0, len(model) - keep)
            assert stream.log.trim_to_length(keep, False, 0) == removed
            model = model[removed:]
        elif action < 0.78:
            lowest = rng.choice(model)[0] if model else 5
            assert stream.log.trim_below(lowest, False, 0) == sum(entry[0] < lowest for entry in model)
            model = [entry for entry in model if entry[0] >= lowest]
        elif action < 0.82:
            keep = rng.randrange(0, len(model) + 2)
            removed = stream.log.trim_to_length(keep, True, 0)
            assert removed <= max(0, len(model) - keep)
            model = model[removed:]
        else:
            start, end = (rng.choice(model)[0] + rng.choice([-1, 0, 1]) if model else 1 for _ in range(2))
            count = rng.choice([-1, 0, 1, 3, 50])
            expected = [entry for entry in model if start <= entry[0] <= end]
            up = expected if count < 0 else expected[:count]
            down = expected[::-1] if count < 0 else expected[::-1][:count]
            ids, texts, bodies = stream.log.entries(start, end, count)
            assert list(zip(ids, bodies)) == up
            assert texts == [format_id(entry_id) for entry_id in ids]
            ids, texts, bodies = stream.log.entries_down(end, start, count)
            assert list(zip(ids, bodies)) == down
            assert stream.log.body(start) == dict(model).get(start)
        assert len(stream) == len(model)
        assert stream.log.first_id() == (model[0][0] if model else 0)
        if step % 10 == 0:
            stream._check()
    stream._check()


# Groups --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pending_list_walks_in_order_whatever_is_added_and_removed(seed: int) -> None:
    rng = random.Random(seed)
    group = ConsumerGroup(0)
    consumers = [group.add_consumer(b"%d" % i, 0) for i in range(3)]
    model: dict[int, int] = {}
    top = 0
    for step in range(500):
        action = rng.random()
        who = rng.randrange(3)
        if action < 0.3:
            ids = sorted({top + rng.randrange(1, 2000) for _ in range(rng.randrange(1, 200))})
            top = ids[-1]
            group.deliver(ids, consumers[who], step)
            model.update(dict.fromkeys(ids, who))
        elif action < 0.4 and top:
            ids = sorted({rng.randrange(1, top + 2) for _ in range(20)})
            group.deliver(ids, consumers[who], step)
            model.update(dict.fromkeys(ids, who))
        elif action < 0.75 and model:
            for entry_id in rng.sample(sorted(model), min(len(model), rng.choice([1, 50, 400]))):
                assert group.acknowledge(entry_id)
                del model[entry_id]
        elif action < 0.85 and model:
            entry_id = rng.choice(sorted(model))
            assert group.claim(entry_id, consumers[who], step, None) is not None
            model[entry_id] = who
        elif action < 0.9:
            entry_id = rng.randrange(1, top + 2)
            assert (group.claim(entry_id, consumers[who], step, 1) is not None) == (entry_id in model)
            assert group.claim(entry_id, consumers[who], step, 1, force=True) is not None
            model[entry_id] = who
        else:
            start = rng.randrange(0, top + 2)
            end = start + rng.randrange(0, 3000)
            assert list(group.pending.walk(start, end)) == [i for i in sorted(model) if start <= i <= end]
            mine = [i for i in sorted(model) if model[i] == who]
            assert list(consumers[who].pending.walk()) == mine
            assert group.pending.first() == min(model, default=0)
            assert group.pending.last() == max(model, default=0)
        if step % 20 == 0:
            group._check()
    group._check()
    held = len(consumers[0].pending)
    assert group.remove_consumer(b"0") == held
    assert group.remove_consumer(b"0") is None
    group._check()


def test_a_list_acknowledged_to_nothing_keeps_no_memory_of_it() -> None:
    pending = PendingList()
    group = ConsumerGroup(0)
    consumer = group.add_consumer(b"c", 0)
    group.deliver(list(range(1, 10 * CHUNK_IDS)), consumer, 0)
    for entry_id in range(1, 10 * CHUNK_IDS):
        group.acknowledge(entry_id)
    assert sum(map(len, group.pending._chunks)) < CHUNK_IDS
    assert len(pending) == 0


def test_a_first_delivery_takes_a_pending_entry_from_its_consumer() -> None:
    group = ConsumerGroup(0)
    first, second = group.add_consumer(b"a", 0), group.add_consumer(b"b", 0)
    group.deliver([1, 2, 3], first, 10)
    group.deliver([2, 3, 4], second, 20)
    assert list(first.pending.walk()) == [1]
    assert [second.pending.by_id[i].deliveries for i in (2, 3, 4)] == [1, 1, 1]
    group._check()


def test_the_lag_is_unknown_after_a_deletion_ahead_of_the_group() -> None:
    stream = filled(5)
    group = ConsumerGroup(0, 0)
    assert stream.lag(group) == 5
    assert stream.advance(group, [ms(1), ms(2)])
    assert (group.entries_read, stream.lag(group)) == (2, 3)
    stream.delete(ms(4))
    assert stream.lag(group) is None
    assert stream.advance(group, [ms(3)])
    assert group.entries_read == UNKNOWN
    assert stream.advance(group, [ms(5)])
    assert (group.entries_read, stream.lag(group)) == (5, 0)
    assert not stream.advance(group, [ms(3)])
