from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from storage.clock import ManualClock
from storage.keyspace import Keyspace
from storage.limits import EncodingLimits
from storage.rdb import payload
from storage.rdb.corrupt import CorruptData
from storage.rdb.crc64 import crc64
from storage.rdb.save_value import save_value
from storage.rdb.spelling import encode_length, encode_string
from storage.rdb.writer import SnapshotWriter, aux_fields, needed_version
from storage.types.hash import Hash
from storage.types.list import List
from storage.types.set import HASHTABLE, Set
from storage.types.sorted_set import SortedSet
from storage.types.stream import Stream
from tests.data.make_snapshots import FAR_MS
from tests.storage.rdb.collecting import plain, read

DATA = Path(__file__).parents[2] / "data"
LIMITS = EncodingLimits()


def texts(count, start=0):
    return [b"element:%d" % number for number in range(start, start + count)]


def made_stream(entries=5):
    stream = Stream()
    for number in range(1, entries + 1):
        body = (b"f", b"v%d" % number, b"g", b"%d" % number) if number % 3 else (b"other", b"x")
        stream.add(number << 64 | number, body, LIMITS)
    return stream


def grouped_stream():
    stream = made_stream(250)
    stream.delete(2 << 64 | 2)
    from storage.types.consumer_group import ConsumerGroup

    group = stream.groups[b"group"] = ConsumerGroup(5 << 64 | 5, 5)
    stream.groups[b"unknown"] = ConsumerGroup(0, -1)
    alice = group.add_consumer(b"alice", 1000)
    alice.active_ms = 1001
    group.add_consumer(b"bob", 2000)
    group.deliver([1 << 64 | 1, 5 << 64 | 5], alice, 1500)
    return stream


def deadlines_hash(count):
    value = Hash.build({b"f%d" % number: b"v" for number in range(count)}, LIMITS)
    value.set_deadline(b"f1", FAR_MS + 7)
    value.set_deadline(b"f2", FAR_MS)
    return value


# name: (value, type in version 10, type in version 11)
VALUES = {
    "empty string": (b"", 0, 0),
    "string": (b"some text", 0, 0),
    "integer string": (b"-2000000000", 0, 0),
    "edited string": (bytearray(b"edited" * 30), 0, 0),
    "long string": (bytes(range(256)) * 300, 0, 0),
    "small list": (List.build([b"a", b"1", b""], LIMITS), 18, 18),
    "large list": (List.build(texts(5000), LIMITS), 18, 18),
    "list of large elements": (List.build([b"a", b"b" * 9000, b"c", b"d" * 8000, b"e" * 8000], LIMITS), 18, 18),
    "integers": (Set.build([b"3", b"-70000", b"5"], LIMITS), 11, 11),
    "small set": (Set.build([b"a", b"1"], LIMITS), 2, 20),
    "large set": (Set.build(texts(3000), LIMITS), 2, 2),
    "small sorted set": (SortedSet.build({b"a": 1.0, b"b": float("-inf"), b"c": 0.1}, LIMITS), 17, 17),
    "large sorted set": (SortedSet.build({text: 1 / (1 + n) for n, text in enumerate(texts(3000))}, LIMITS), 5, 5),
    "small hash": (Hash.build({b"f": b"v", b"": b"1"}, LIMITS), 16, 16),
    "large hash": (Hash.build(dict.fromkeys(texts(3000), b"v"), LIMITS), 4, 4),
    "small hash with deadlines": (deadlines_hash(3), 25, 25),
    "large hash with deadlines": (deadlines_hash(1000), 24, 24),
    "stream": (grouped_stream(), 19, 21),
    "empty stream": (Stream(), 19, 21),
}


def keyspace_of(values, db=0):
    space = Keyspace(16, ManualClock(1_000_000))
    for key, value in values.items():
        space.databases[db].put(key, value)
        if isinstance(value, Hash):
            space.databases[db].track_fields(key, value)
    return space


def written(space, aux=(), functions=(), age=None, **options):
    return b"".join(SnapshotWriter(LIMITS, **options).pieces(space.databases, aux, functions, age))


@pytest.mark.parametrize("compressing", [False, True])
@pytest.mark.parametrize("version", [10, 11, 12])
def test_every_value_comes_back_as_it_was(version, compressing):
    values = {name.encode(): value for name, (value, _, _) in VALUES.items()}
    sink = read(written(keyspace_of(values), version=version, compressing=compressing))
    assert sink.version == version
    for name, value in values.items():
        expected = plain(value)
        if name == b"stream" and version == 10:
            # Version 10 knows no active time: a consumer counts as active when it was last seen.
            consumers = expected[4][b"group"][2]
            for consumer, (seen_ms, _, pending) in consumers.items():
                consumers[consumer] = seen_ms, seen_ms, pending
        assert plain(sink.values[0, name]) == expected, name


@pytest.mark.parametrize("name", VALUES)
def test_a_value_takes_the_compact_type_its_version_knows(name):
    value, in_10, in_11 = VALUES[name]
    assert save_value(value, 10, LIMITS, True)[0] == in_10
    assert save_value(value, 11, LIMITS, True)[0] == in_11


@pytest.mark.parametrize("name", VALUES)
def test_a_dumped_value_is_restored(name):
    value = VALUES[name][0]
    again = payload.restore(payload.dump(value, LIMITS, 11), LIMITS)
    assert again.__class__ is (bytes if isinstance(value, bytearray) else value.__class__)
    assert plain(again) == plain(value)


def test_list_nodes_respect_the_configured_limit():
    limits = EncodingLimits()
    limits.list_max_listpack_size = 2
    value = List.build([b"a", b"b", b"c", b"d" * 9000, b"e"], limits)
    data = b"".join(save_value(value, 10, limits, False)[1])
    assert data[0] == 4  # a b, c, d alone, e
    limits.list_max_listpack_size = -1
    data = b"".join(save_value(List.build(texts(1000), limits), 10, limits, False)[1])
    assert data[0] == 1000 * 14 // 4096 + 1


def test_lengths_have_four_widths():
    assert [encode_length(n) for n in (0, 63)] == [b"\0", b"\x3f"]
    assert [encode_length(n) for n in (64, 16383)] == [b"\x40\x40", b"\x7f\xff"]
    assert [encode_length(n) for n in (16384, (1 << 32) - 1)] == [b"\x80\0\0\x40\0", b"\x80" + b"\xff" * 4]
    assert encode_length(1 << 32) == b"\x81\0\0\0\1\0\0\0\0"


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        (b"127", b"\xc0\x7f"),
        (b"-129", b"\xc1\x7f\xff"),
        (b"32768", b"\xc2\x00\x80\x00\x00"),
        (b"2147483648", b"\x0a2147483648"),
        (b"007", b"\x03007"),
        (b"-0", b"\x02-0"),
        (b"+1", b"\x02+1"),
        (b"", b"\0"),
    ],
)
def test_strings_that_read_as_32_bit_integers_are_stored_as_such(text, encoded):
    assert encode_string(text, True) == encoded


def test_compression_can_be_turned_off_and_leaves_20_bytes_alone():
    assert encode_string(b"a" * 21, True)[0] == 0xC3
    assert encode_string(b"a" * 20, True) == b"\x14" + b"a" * 20
    assert encode_string(b"a" * 21, False) == b"\x15" + b"a" * 21


def test_facts_functions_deadlines_and_ages_are_written():
    space = keyspace_of({b"a": b"1", b"key:of:some:length": b"a value without pattern"})
    space.databases[0].set_deadline(b"a", FAR_MS)
    space.databases[5].put(b"other", b"x")
    facts = aux_fields(b"7.4.1", 1700000000, 12345, True, (5, b"a" * 40, 987))
    ages = {b"a": (77, None), b"other": (None, 200)}
    sink = read(
        written(space, facts, [b"#!lua name=x"], lambda db, key: ages.get(key, (None, None)))
    )
    assert list(sink.facts.items()) == facts
    assert [name for name, _ in facts] == [
        b"redis-ver", b"redis-bits", b"ctime", b"used-mem", b"repl-stream-db", b"repl-id", b"repl-offset", b"aof-base",
    ]  # fmt: skip
    assert sink.functions == [b"#!lua name=x"]
    assert sink.hints == {0: (2, 1), 5: (1, 0)}
    assert sink.deadlines == {(0, b"a"): FAR_MS}
    assert sink.ages == {(0, b"a"): (77, None), (5, b"other"): (None, 200)}
    assert sink.values[5, b"other"] == b"x"


def test_version_12_is_written_only_for_deadlines_of_fields():
    space = keyspace_of({b"a": Hash.build({b"f": b"v"}, LIMITS)})
    assert needed_version(space.databases) == 10
    assert needed_version(space.databases, 11) == 11
    space = keyspace_of({b"a": deadlines_hash(3)})
    assert needed_version(space.databases, 11) == 12
    assert payload.dump(deadlines_hash(3), LIMITS)[-10:-8] == b"\x0c\0"
    assert payload.dump(b"x", LIMITS)[-10:-8] == b"\x0a\0"
    assert payload.dump(b"x", LIMITS, 11)[-10:-8] == b"\x0b\0"


@pytest.mark.parametrize("most, encoding", [(128, b"listpack"), (2, b"hashtable")])
def test_a_packed_set_of_integers_stays_packed_if_it_fits(most, encoding):
    value = Set.build([b"a", b"1", b"2", b"3"], LIMITS)
    value.remove(b"a")
    limits = EncodingLimits()
    limits.set_max_listpack_entries = most
    assert payload.restore(payload.dump(value, LIMITS, 11), limits).encoding_name(limits) == encoding


def test_of_what_was_packed_only_the_number_of_elements_counts():
    limits = EncodingLimits()
    limits.hash_max_listpack_value = limits.zset_max_listpack_value = 1
    limits.set_max_intset_entries = 1
    packed = [Hash.of_pairs([b"field", b"value"], LIMITS), SortedSet.build({b"member": 1.0}, LIMITS)]
    for value in packed:
        assert payload.restore(payload.dump(value, LIMITS), limits).encoding_name(limits) == b"listpack"
    limits.hash_max_listpack_entries = limits.zset_max_listpack_entries = 0
    names = [payload.restore(payload.dump(value, LIMITS), limits).encoding_name(limits) for value in packed]
    assert names == [b"hashtable", b"skiplist"]
    table = Set.build([b"a", b"b"], LIMITS, HASHTABLE)
    assert payload.restore(payload.dump(table, LIMITS), limits).encoding_name(limits) == b"hashtable"
    assert payload.restore(payload.dump(table, LIMITS), LIMITS).encoding_name(LIMITS) == b"listpack"


def test_fields_whose_time_has_come_are_saved_while_they_are_there():
    value = deadlines_hash(3)
    assert len(value.without_due(FAR_MS + 10)) < 3
    assert plain(payload.restore(payload.dump(value, LIMITS), LIMITS)) == plain(deadlines_hash(3))


def test_without_a_checksum_the_footer_is_0():
    space = keyspace_of({b"a": b"1"})
    assert written(space, checking=False)[-8:] == bytes(8)
    assert written(space)[-8:] == struct.pack("<Q", crc64(written(space)[:-8])) != bytes(8)


def test_a_large_keyspace_comes_in_pieces_and_counts_its_keys():
    space = keyspace_of({b"key:%012d" % number: b"value:%012d" % number for number in range(20000)})
    space.databases[1].put(b"large", Set.build(texts(100000), LIMITS))
    writer = SnapshotWriter(LIMITS, compressing=False)
    sizes = []
    counts = []
    for piece in writer.pieces(space.databases):
        sizes.append(len(piece))
        counts.append(writer.keys_written)
    assert counts[-1] == 20001 and len(set(counts)) > 10
    assert max(sizes) < 300_000


def test_saving_reads_and_changes_nothing():
    values = {name.encode(): value for name, (value, _, _) in VALUES.items()}
    space = keyspace_of(values)
    before = {name: plain(value) for name, value in values.items()}
    assert written(space) == written(space)
    assert {name: plain(value) for name, value in values.items()} == before
    assert space.dirty == 0 and not space.changes


@pytest.mark.parametrize("name", ["redis-7.0.rdb", "redis-7.4.rdb", "valkey-9.1.rdb"])
def test_a_real_servers_snapshot_survives_being_written_again(name):
    first = read((DATA / name).read_bytes())
    space = Keyspace(16, ManualClock(1_000_000))
    for (db, key), value in first.values.items():
        space.databases[db].put(key, value)
    for (db, key), deadline_ms in first.deadlines.items():
        space.databases[db].set_deadline(key, deadline_ms)
    again = read(written(space, functions=first.functions, version=12))
    assert again.plain() == first.plain()
    assert again.deadlines == first.deadlines
    assert again.functions == first.functions


# Payloads ------------------------------------------------------------------------------------------------------


def signed(body, version=10):
    body += struct.pack("<H", version)
    return body + struct.pack("<Q", crc64(body))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        bytes(9),
        signed(b"\0\1v", 13),
        signed(b"\0\1v", 81),
        signed(b"\0\1v")[:-1] + b"\0",
        b"x" + signed(b"\0\1v"),
    ],
)
def test_a_payload_with_a_wrong_footer_is_told_apart(data):
    assert not payload.verify(data)
    with pytest.raises(payload.WrongFooter):
        payload.restore(data, LIMITS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\x0eabc",
        b"\x1a\1v",
        b"\xff",
        b"\4\0",
        b"\4\x81" + b"\xff" * 8,
        b"\x07\1v",
        b"\0\xc3\1\x81" + b"\x7f" * 8 + b"\0",
    ],
)
def test_a_payload_rightly_signed_around_nonsense_is_corrupt(body):
    with pytest.raises(CorruptData):
        payload.restore(signed(body), LIMITS)


def test_a_value_that_ends_before_the_footer_or_in_it_is_taken_as_in_redis():
    assert payload.restore(signed(b"\0\1vx"), LIMITS) == b"v"
    assert payload.restore(signed(b"\0\5abcd"), LIMITS)[:4] == b"abcd"


def test_redis_own_payload_of_a_string_is_ours():
    # What 7.0.15 answers to DUMP of the string 10.
    assert payload.restore(b"\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb", LIMITS) == b"10"
    assert payload.dump(b"10", LIMITS) == b"\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"


@pytest.mark.parametrize("name", VALUES)
def test_a_payload_with_any_byte_changed_and_signed_again_is_read_or_refused(name):
    value = VALUES[name][0]
    body = payload.dump(value, LIMITS, 11)[:-10]
    rng = random.Random(name)
    for _ in range(300):
        damaged = bytearray(body)
        if not damaged:
            continue
        for _ in range(rng.choice((1, 1, 2))):
            damaged[min(int(rng.expovariate(1 / 60)), len(damaged) - 1)] = rng.randrange(256)
        try:
            payload.restore(signed(bytes(damaged), 12), LIMITS)
        except CorruptData:
            pass
