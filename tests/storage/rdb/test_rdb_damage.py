"""Snapshots that were cut or changed end in a clean load or in CorruptData; with a checksum none is believed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from storage.rdb.corrupt import CorruptData
from tests.storage.rdb.collecting import read
from tests.storage.rdb.old_forms import intset, key, length, snapshot, text, ziplist, zipmap

DATA = Path(__file__).parents[2] / "data"
CORRUPTIONS = 10_000

OLD_FORMS = snapshot(
    b"\xfa" + text(b"redis-ver") + text(b"2.6.0"),
    b"\xfe\0",
    key(9, b"zipmap", text(zipmap([(b"f", b"v", 0), (b"g", b"w", 2)]))),
    key(10, b"list", text(ziplist([b"a", 1, -40000, 1 << 40, b"x" * 70]))),
    key(12, b"zset", text(ziplist([b"a", 1, b"b", b"2.5"]))),
    key(13, b"hash", text(ziplist([b"f", b"v"]))),
    key(14, b"quicklist", length(2) + text(ziplist([b"a", 1])) + text(ziplist([b"b"]))),
    key(3, b"scores", length(2) + text(b"a") + b"\x031.5" + text(b"b") + b"\xff"),
    key(11, b"intset", text(intset(8, [1 << 40]))),
    b"\xfd\0\0\0\1" + key(0, b"k", text(b"v")),
)


def samples():
    yield "old forms", OLD_FORMS
    for name in ("redis-7.0.rdb", "redis-7.4.rdb", "valkey-9.1.rdb"):
        yield name, (DATA / name).read_bytes()


SAMPLES = dict(samples())


@pytest.mark.parametrize("name", SAMPLES)
def test_a_snapshot_cut_at_any_byte_is_refused_with_its_length(name):
    data = SAMPLES[name]
    read(data)
    for size in range(len(data)):
        with pytest.raises(CorruptData) as caught:
            read(data[:size])
        assert caught.value.offset <= size


@pytest.mark.parametrize("name", SAMPLES)
def test_no_changed_byte_passes_where_a_checksum_is_checked(name):
    data = SAMPLES[name]
    rng = random.Random(name)
    for _ in range(CORRUPTIONS // 4):
        damaged = bytearray(data)
        at = rng.randrange(len(data))
        damaged[at] ^= rng.randrange(1, 256)
        # The version decides whether there is a checksum at all: 1 to 4 have none.
        if 5 <= at < 9:
            continue
        with pytest.raises(CorruptData):
            read(bytes(damaged))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_changed_byte_that_nobody_checks_ends_in_a_load_or_a_refusal(name):
    data = SAMPLES[name]
    rng = random.Random(name)
    loaded = 0
    for _ in range(CORRUPTIONS // 4):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        try:
            sink = read(bytes(damaged), checking=False)
        except CorruptData as error:
            assert 0 <= error.offset <= len(data)
        else:
            loaded += 1
            for value in sink.values.values():
                assert value is not None
    assert 0 < loaded < CORRUPTIONS // 4


def test_bytes_at_random_are_refused():
    rng = random.Random(3)
    for _ in range(300):
        noise = bytes(rng.randrange(256) for _ in range(rng.randrange(60)))
        with pytest.raises(CorruptData):
            read(b"REDIS0011" + noise)
