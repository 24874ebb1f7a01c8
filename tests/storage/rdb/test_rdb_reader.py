from __future__ import annotations

import struct
from pathlib import Path

import pytest

from storage.limits import EncodingLimits
from storage.rdb import listpack, lzf
from storage.rdb.corrupt import CorruptData
from storage.rdb.reader import Reader, Sink, module_name
from tests.data.make_snapshots import FAR_MS
from tests.storage.rdb.collecting import plain, read
from tests.storage.rdb.old_forms import intset, key, length, snapshot, text, ziplist, zipmap

DATA = Path(__file__).parents[2] / "data"
INFINITY = float("inf")


def value_of(kind, value, **options):
    (loaded,) = read(snapshot(key(kind, b"k", value), **options)).values.values()
    return plain(loaded)


def lzf_text(data):
    packed = lzf.compress(data)
    return b"\xc3" + length(len(packed)) + length(len(data)) + packed


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (text(b""), b""),
        (text(b"abc"), b"abc"),
        (text(b"x" * 63), b"x" * 63),
        (text(b"x" * 64), b"x" * 64),
        (text(b"x" * 20000), b"x" * 20000),
        (b"\x81" + struct.pack(">Q", 3) + b"abc", b"abc"),
        (b"\xc0\x80", b"-128"),
        (b"\xc0\x7f", b"127"),
        (b"\xc1" + struct.pack("<h", -32768), b"-32768"),
        (b"\xc2" + struct.pack("<i", 1 << 30), b"1073741824"),
        (lzf_text(b"abc" * 1000), b"abc" * 1000),
    ],
)
def test_a_string_is_read_in_every_encoding_and_as_a_key(encoded, value):
    # Twice: the first of three records takes the quick way, the last the careful one.
    records = [key(0, b"%d" % number, encoded) for number in range(3)]
    assert set(read(snapshot(*records)).values.values()) == {value}
    assert read(snapshot(b"\0" + encoded + text(b"v"))).values == {(0, value): b"v"}


@pytest.mark.parametrize(
    ("kind", "encoded", "value"),
    [
        (1, length(3) + text(b"a") + b"\xc0\x05" + text(b""), [b"a", b"5", b""]),
        (2, length(2) + text(b"a") + b"\xc0\x05", {b"a", b"5"}),
        (
            3,
            length(3) + text(b"a") + b"\x031.5" + text(b"b") + b"\xff" + text(b"c") + b"\xfe",
            [(b"b", -INFINITY), (b"a", 1.5), (b"c", INFINITY)],
        ),
        (4, length(2) + text(b"f") + text(b"v") + text(b"g") + b"\xc0\x01", ({b"f": b"v", b"g": b"1"}, {})),
        (5, length(1) + text(b"a") + struct.pack("<d", 0.1), [(b"a", 0.1)]),
        (9, text(zipmap([(b"f", b"v", 0), (b"g", b"w", 2)])), ({b"f": b"v", b"g": b"w"}, {})),
        (10, text(ziplist([b"a", 1, -40000])), [b"a", b"1", b"-40000"]),
        (11, text(intset(4, [-1, 70000])), {b"-1", b"70000"}),
        (12, text(ziplist([b"a", 1, b"b", b"2.5"])), [(b"a", 1.0), (b"b", 2.5)]),
        (13, text(ziplist([b"f", b"v", b"g", 7])), ({b"f": b"v", b"g": b"7"}, {})),
        (13, lzf_text(ziplist([b"f", b"v" * 50, b"g", 7])), ({b"f": b"v" * 50, b"g": b"7"}, {})),
        (14, length(2) + text(ziplist([b"a", 1])) + text(ziplist([b"b"])), [b"a", b"1", b"b"]),
        (16, text(listpack.encode([b"f", b"1"])), ({b"f": b"1"}, {})),
        (17, text(listpack.encode([b"a", b"-inf", b"b", b"3"])), [(b"a", -INFINITY), (b"b", 3.0)]),
        (18, length(2) + b"\x02" + text(listpack.encode([b"a", b"1"])) + b"\x01" + text(b"big"), [b"a", b"1", b"big"]),
        (20, text(listpack.encode([b"a", b"1"])), {b"a", b"1"}),
        (22, length(2) + length(0) + text(b"f") + text(b"v") + length(5000) + text(b"g") + text(b"w"),
         ({b"f": b"v", b"g": b"w"}, {b"g": 5000})),
        (23, text(listpack.encode([b"g", b"w", b"5000", b"f", b"v", b"0"])),
         ({b"f": b"v", b"g": b"w"}, {b"g": 5000})),
        (24, struct.pack("<Q", 9000) + length(3) + length(0) + text(b"f") + text(b"v") + length(1) + text(b"g")
         + text(b"w") + length(11) + text(b"h") + text(b"x"),
         ({b"f": b"v", b"g": b"w", b"h": b"x"}, {b"g": 9000, b"h": 9010})),
        (25, struct.pack("<Q", 5000) + text(listpack.encode([b"g", b"w", b"5000", b"f", b"v", b"0"])),
         ({b"f": b"v", b"g": b"w"}, {b"g": 5000})),
    ],
)  # fmt: skip
def test_every_form_of_a_container_is_read(kind, encoded, value):
    assert value_of(kind, encoded) == value


def stream_node(reference, entries, deleted=()):
    """A node: each entry is (milliseconds and sequence less the reference, body, whether the fields are the node's)."""
    fields = [field for field, _ in entries[0][1]]
    items = [b"%d" % (len(entries) - len(deleted)), b"%d" % len(deleted), b"%d" % len(fields), *fields, b"0"]
    for number, ((ms, seq), body, same) in enumerate(entries):
        flags = (2 if same else 0) | (1 if number in deleted else 0)
        items += [b"%d" % flags, b"%d" % ms, b"%d" % seq]
        if same:
            items += [value for _, value in body]
            items.append(b"%d" % (3 + len(body)))
        else:
            items.append(b"%d" % len(body))
            items += [part for pair in body for part in pair]
            items.append(b"%d" % (4 + 2 * len(body)))
    return text(struct.pack(">QQ", *reference)) + text(listpack.encode(items))


@pytest.mark.parametrize("kind", [15, 19, 21])
def test_a_stream_of_each_generation_is_read_with_its_groups(kind):
    node = stream_node(
        (5, 10),
        [((0, 0), [(b"f", b"v")], True), ((0, 1), [(b"f", b"gone")], True), ((2, -10), [(b"g", b"1")], False)],
        deleted={1},
    )
    data = length(1) + node + length(2) + length(7) + length(0)
    if kind > 15:
        data += length(5) + length(10) + length(5) + length(11) + length(9)
    data += length(1) + text(b"group") + length(5) + length(10)
    if kind > 15:
        data += length(4)
    data += length(1) + struct.pack(">QQ", 5, 10) + struct.pack("<q", 777) + length(3)
    data += length(1) + text(b"alice") + struct.pack("<q", 888)
    if kind == 21:
        data += struct.pack("<q", 999)
    data += length(1) + struct.pack(">QQ", 5, 10)
    entries, last_id, max_deleted, added, groups = value_of(kind, data)
    first = 5 << 64 | 10
    assert entries == [(first, (b"f", b"v")), (7 << 64, (b"g", b"1"))]
    assert last_id == 7 << 64
    assert (max_deleted, added) == ((0, 2) if kind == 15 else (5 << 64 | 11, 9))
    read_so_far = {15: 1, 19: 4, 21: 4}[kind]
    active = 999 if kind == 21 else 888
    assert groups == {b"group": (first, read_so_far, {b"alice": (888, active, [(first, 777, 3)])})}


def test_opcodes_between_keys_reach_the_sink_or_are_skipped():
    module = b"\xf7" + b"\x81" + struct.pack(">Q", 0) + b"\x02\x01"
    module += b"\x02" + length(70) + b"\x01\x05" + b"\x03" + b"\0" * 4
    module += b"\x04" + b"\0" * 8 + b"\x05" + text(b"x") + b"\0"
    sink = read(
        snapshot(
            b"\xfa" + text(b"redis-ver") + text(b"7.4.1"),
            b"\xfa" + text(b"ctime") + b"\xc2" + struct.pack("<i", 1700000000),
            b"\xf5" + text(b"#!lua name=x\n"),
            module,
            b"\xfe" + length(0) + b"\xfb" + length(3) + length(1),
            b"\xf4" + length(1) + length(2) + length(3),
            b"\xfc" + struct.pack("<q", FAR_MS) + key(0, b"a", text(b"1")),
            b"\xfd" + struct.pack("<i", 1000) + key(0, b"b", text(b"2")),
            b"\xf8" + length(500) + key(0, b"c", text(b"3")),
            b"\xf9\x07" + key(0, b"d", text(b"4")),
            b"\xfe" + length(300) + key(0, b"a", text(b"5")),
            version=12,
        )
    )
    assert sink.version == 12
    assert sink.facts == {b"redis-ver": b"7.4.1", b"ctime": b"1700000000"}
    assert sink.functions == [b"#!lua name=x\n"]
    assert sink.modules == ["AAAAAAAAA"]
    assert sink.hints == {0: (3, 1)}
    assert sink.values == {
        (0, b"a"): b"1", (0, b"b"): b"2", (0, b"c"): b"3", (0, b"d"): b"4", (300, b"a"): b"5",
    }  # fmt: skip
    assert sink.deadlines == {(0, b"a"): FAR_MS, (0, b"b"): 1000000}
    assert sink.ages == {(0, b"c"): (500, None), (0, b"d"): (None, 7)}


def test_a_module_has_its_name_in_its_number():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    number = 0
    for letter in "ReJSON-RL":
        number = number << 6 | letters.index(letter)
    assert module_name(number << 10 | 3) == "ReJSON-RL"


@pytest.mark.parametrize("version", [1, 4, 5, 9, 12])
def test_versions_up_to_12_are_read_with_a_checksum_from_5_on(version):
    assert read(snapshot(key(0, b"k", text(b"v")), version=version)).values == {(0, b"k"): b"v"}


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (b"REDIS0013\xff", 5, "Can't handle RDB format version 13"),
        (b"REDIS0000\xff", 5, "Can't handle RDB format version 0"),
        (b"REDIS00x1\xff", 0, "Wrong signature trying to load DB from file"),
        (b"*1\r\n$4\r\nPING", 0, "Wrong signature trying to load DB from file"),
        (b"VALKEY081\xff", 5, "Can't handle RDB format version 81"),
        (snapshot(b"\xf6"), 10, "Pre-release function format not supported"),
        (snapshot(b"\x20"), 9, "Unknown RDB opcode or type 32"),
        (snapshot(key(7, b"k", b"")), 12, "The value needs a module"),
        (snapshot(key(4, b"k", length(2) + text(b"f") + text(b"v") + text(b"f") + text(b"w"))), 21, "Hash with dup"),
        (snapshot(key(2, b"k", length(2) + text(b"f") + text(b"f"))), 17, "Duplicate set members"),
        (snapshot(key(5, b"k", length(1) + text(b"f") + struct.pack("<d", float("nan")))), 23, "NAN"),
        (snapshot(key(16, b"k", text(listpack.encode([b"f"])))), 23, "Hash listpack integrity check failed"),
        (snapshot(key(0, b"k", b"\xc4")), 12, "Unknown RDB string encoding type 4"),
        (snapshot(key(1, b"k", b"\xc0")), 12, "Unknown length encoding"),
        (snapshot(b"\xfe" + length(16)), 11, "more than 16 databases"),
    ],
)
def test_a_refusal_says_why_and_where(data, offset, reason):
    with pytest.raises(CorruptData) as caught:
        read(data, max_databases=16)
    assert reason in caught.value.reason
    assert caught.value.offset == offset


def test_a_wrong_checksum_is_refused_unless_nobody_checks_and_0_is_none():
    record = key(0, b"k", text(b"v"))
    with pytest.raises(CorruptData, match="Wrong RDB checksum"):
        read(snapshot(record, checksum=1))
    assert read(snapshot(record, checksum=1), checking=False).values
    assert read(snapshot(record, checksum=0)).values


def test_a_length_of_petabytes_is_a_truncated_file_and_takes_no_memory():
    for kind in (0, 1, 2, 4, 5, 14, 15, 18, 24):
        claim = b"\x81" + struct.pack(">Q", 1 << 60)
        with pytest.raises(CorruptData, match="Unexpected EOF"):
            read(b"REDIS0012" + key(kind, b"k", (b"\0" * 8 if kind == 24 else b"") + claim + b"\x01"))


def test_where_the_files_size_is_known_a_wrong_length_is_noticed_where_it_stands():
    sink = Sink()
    data = b"REDIS0010" + key(0, b"k", length(5000)) + b"x" * 100
    reader = Reader(sink, EncodingLimits(), size=len(data) + 4000)
    with pytest.raises(CorruptData, match="Unexpected EOF") as caught:
        reader.feed(data)
    assert caught.value.offset == 12
    whole = snapshot(key(0, b"k", text(b"x" * 5000)))
    reader = Reader(sink, EncodingLimits(), size=len(whole))
    assert [reader.feed(whole[start : start + 100]) for start in range(0, len(whole), 100)][-1]


def test_an_empty_container_is_skipped_and_told():
    packed = text(listpack.encode([]))
    sink = read(snapshot(key(4, b"hash", length(0)), key(16, b"packed", packed), key(0, b"k", b"\1v")))
    assert sink.empty == [(0, b"hash"), (0, b"packed")]
    assert sink.values == {(0, b"k"): b"v"}


def test_what_follows_a_snapshot_is_handed_back():
    reader = Reader(Sink(), EncodingLimits())
    data = snapshot(key(0, b"k", text(b"v")))
    assert not reader.feed(data[:-1])
    assert reader.feed(data[-1:] + b"*1\r\n")
    assert reader.feed(b"$4\r\n")
    assert reader.rest() == b"*1\r\n$4\r\n"


@pytest.mark.parametrize("name", ["redis-7.0.rdb", "redis-7.4.rdb", "valkey-9.1.rdb"])
def test_a_real_servers_snapshot_is_read_whole(name):
    data = (DATA / name).read_bytes()
    sink = read(data)
    values = sink.plain()
    assert values[0, b"string:int8"] == b"-7"
    assert values[0, b"string:int64"] == b"9000000000"
    assert values[0, b"string:lzf"] == b"abc" * 100
    assert sink.deadlines == {(0, b"string:deadline"): FAR_MS}
    assert values[0, b"list:small"] == [b"a", b"1", b"-5000", b"70000", b"9000000000", b"b" * 70]
    assert values[0, b"list:nodes"] == [b"%05d" % number * 20 for number in range(90)]
    assert values[0, b"list:plain"] == [b"a", b"b" * 9000, b"c"]
    assert values[0, b"set:int64"] == {b"-1", b"1099511627776"}
    assert values[0, b"set:small"] == {b"a", b"b", b"1"}
    assert values[0, b"zset:small"] == [(b"a", -INFINITY), (b"b", 0.1), (b"c", 3.0), (b"d", INFINITY)]
    assert values[0, b"zset:skiplist"] == [(b"a" * 65, -INFINITY), (b"b", 0.1), (b"c", 3.0)]
    assert values[0, b"hash:small"] == ({b"f": b"v", b"1": b"2", b"": b""}, {})
    assert values[3, b"elsewhere"] == b"3"
    entries, last_id, max_deleted, added, groups = values[0, b"stream"]
    assert [body for _, body in entries] == [
        (b"f", b"v", b"g", b"1"), (b"other", b"x"), (b"f", b"y", b"g", b"3"),
    ]  # fmt: skip
    assert (last_id, max_deleted, added) == (6 << 64, 1 << 64 | 2, 4)
    (group,) = groups.values()
    assert group[0] == 5 << 64
    assert [pending[0] for pending in group[2][b"alice"][2]] == [1 << 64 | 1, 5 << 64]
    assert group[2][b"bob"][2] == []
    assert values[0, b"stream:empty"][0] == []
    if name != "redis-7.0.rdb":
        assert values[0, b"hash:packed-deadlines"] == (
            {b"f": b"v", b"g": b"w", b"h": b"x"}, {b"f": FAR_MS, b"h": FAR_MS},
        )  # fmt: skip
        assert values[0, b"hash:deadlines"][1] == {b"f": FAR_MS, b"g": FAR_MS + 5000}
    if name.startswith("redis"):
        assert len(sink.functions) == 1


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_pieces_of_any_size_give_the_same(piece):
    data = (DATA / "redis-7.4.rdb").read_bytes()
    assert read(data, piece).plain() == read(data).plain()


def test_reading_dribbled_input_is_not_quadratic():
    import time

    data = snapshot(key(0, b"k", text(b"x" * 300000)))
    start = time.perf_counter()
    assert read(data, 64).values
    assert time.perf_counter() - start < 2
