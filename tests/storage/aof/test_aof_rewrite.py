from __future__ import annotations

import pytest

from storage.aof.records import LogReader
from storage.aof.rewrite import rebuild, rebuild_keyspace
from storage.clock import ManualClock
from storage.keyspace import Keyspace
from storage.limits import EncodingLimits
from storage.types.consumer_group import ConsumerGroup
from storage.types.hash import Hash
from storage.types.list import List
from storage.types.set import Set
from storage.types.sorted_set import SortedSet
from storage.types.stream import Stream
from tests.data.make_snapshots import FAR_MS

LIMITS = EncodingLimits()


def lines(value, deadline_ms=None):
    return [b" ".join(command) for command in rebuild(b"k", value, deadline_ms)]


@pytest.mark.parametrize(
    ("value", "commands"),
    [
        (b"v", [b"SET k v"]),
        (bytearray(b"edited"), [b"SET k edited"]),
        (List.build([b"a", b"1"], LIMITS), [b"RPUSH k a 1"]),
        (Set.build([b"a", b"b"], LIMITS), [b"SADD k a b"]),
        (SortedSet.build({b"a": 1.5, b"b": float("-inf"), b"c": 3.0}, LIMITS), [b"ZADD k -inf b 1.5 a 3 c"]),
        (Hash.build({b"f": b"v", b"g": b"w"}, LIMITS), [b"HMSET k f v g w"]),
    ],
)
def test_each_type_is_rebuilt_by_its_command(value, commands):
    assert lines(value) == commands
    assert lines(value, 5000) == [*commands, b"PEXPIREAT k 5000"]


@pytest.mark.parametrize(
    ("value", "width"),
    [
        (List.build([b"%d" % number for number in range(150)], LIMITS), 1),
        (Set.build([b"%d" % number for number in range(150)], LIMITS), 1),
        (SortedSet.build({b"%d" % number: float(number) for number in range(150)}, LIMITS), 2),
        (Hash.build({b"%d" % number: b"v" for number in range(150)}, LIMITS), 2),
    ],
)
def test_large_containers_take_commands_of_64_elements(value, width):
    commands = list(rebuild(b"k", value))
    assert [len(command) - 2 for command in commands] == [64 * width, 64 * width, 22 * width]
    if width == 1:
        assert [part for command in commands for part in command[2:]] == [b"%d" % number for number in range(150)]


def test_fields_get_their_deadlines_after_their_values():
    value = Hash.build({b"f": b"v", b"g": b"w", b"h": b"x"}, LIMITS, {b"f": FAR_MS, b"h": FAR_MS - 1})
    assert lines(value) == [
        b"HMSET k h x f v g w",
        b"HPEXPIREAT k %d FIELDS 1 f" % FAR_MS,
        b"HPEXPIREAT k %d FIELDS 1 h" % (FAR_MS - 1),
    ]


def test_a_stream_is_rebuilt_with_its_past_and_its_groups():
    stream = Stream()
    stream.add(1 << 64 | 1, (b"f", b"v"), LIMITS)
    stream.add(2 << 64, (b"g", b"w"), LIMITS)
    stream.delete(1 << 64 | 1)
    group = stream.groups[b"group"] = ConsumerGroup(2 << 64, 2)
    alice = group.add_consumer(b"alice", 100)
    group.deliver([2 << 64], alice, 777)
    assert lines(stream) == [
        b"XADD k 2-0 g w",
        b"XSETID k 2-0 ENTRIESADDED 2 MAXDELETEDID 1-1",
        b"XGROUP CREATE k group 2-0 ENTRIESREAD 2",
        b"XGROUP CREATECONSUMER k group alice",
        b"XCLAIM k group alice 0 2-0 TIME 777 RETRYCOUNT 1 JUSTID FORCE",
    ]


@pytest.mark.parametrize(("last_id", "made"), [(0, b"0-1"), (5 << 64 | 2, b"5-2")])
def test_an_empty_stream_is_made_by_an_entry_that_goes_at_once(last_id, made):
    stream = Stream()
    stream.last_id = last_id
    assert lines(stream)[0] == b"XADD k MAXLEN 0 %s x y" % made
    assert lines(stream)[1] == b"XSETID k %d-%d ENTRIESADDED 0 MAXDELETEDID 0-0" % (last_id >> 64, last_id & 0xFF)


def test_a_keyspace_is_rebuilt_database_by_database_with_functions_first():
    space = Keyspace(16, ManualClock(1_000_000))
    space.databases[0].put(b"a", b"1")
    space.databases[0].set_deadline(b"a", FAR_MS)
    space.databases[3].put(b"b", List.build([b"x" * 100] * 3000, LIMITS))
    space.databases[3].put(b"c", b"2")
    pieces = list(rebuild_keyspace(space.databases, [b"#!lua name=x"], 77))
    assert sum(keys for keys, _ in pieces) == 3
    assert len(pieces) > 2
    reader = LogReader()
    commands = [command for _, piece in pieces for command in reader.feed(piece)]
    assert not reader.is_truncated() and reader.second == 77
    assert commands[:4] == [
        [b"FUNCTION", b"LOAD", b"#!lua name=x"],
        [b"SELECT", b"0"],
        [b"SET", b"a", b"1"],
        [b"PEXPIREAT", b"a", b"%d" % FAR_MS],
    ]
    assert commands[4] == [b"SELECT", b"3"]
    assert sum(len(command) - 2 for command in commands if command[0] == b"RPUSH") == 3000
    assert commands[-1] == [b"SET", b"c", b"2"]


def test_an_empty_keyspace_is_an_empty_log():
    assert list(rebuild_keyspace(Keyspace(16, ManualClock(1)).databases)) == []
