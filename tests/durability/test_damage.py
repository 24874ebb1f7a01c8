"""Files cut or changed at every place end in a clean load or a clean refusal, through the loader, in process."""

from __future__ import annotations

import io
import random

import pytest

from server.app import Application
from server.config.configuration import Config
from server.loading import LoadFailure, Sink
from server.log import WARNING, Log
from storage.aof.records import encode_record
from storage.rdb.writer import SnapshotWriter

COMMANDS = [
    (b"SELECT", b"0"),
    (b"SET", b"a", b"1"),
    (b"MULTI",),
    (b"INCR", b"a"),
    (b"RPUSH", b"l", b"x", b"y"),
    (b"EXEC",),
    (b"HSET", b"h", b"f", b"v"),
    (b"SELECT", b"3"),
    (b"ZADD", b"z", b"1.5", b"m"),
    (b"XADD", b"s", b"1-1", b"f", b"v"),
    (b"PEXPIREAT", b"s", b"99999999999999"),
    (b"SADD", b"set", b"1", b"2", b"three"),
]
CORRUPTIONS = 10_000


@pytest.fixture
def services(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config()
    log = Log()
    log.threshold = WARNING + 1
    return Application(config, log).services


def contents(services) -> dict:
    """Every value by database and key, as a snapshot spells it."""
    from storage.rdb import payload

    limits = services.keyspace.limits
    return {
        (db.number, key): (payload.dump(value, limits, 12), db.deadline_ms(key))
        for db in services.keyspace.databases
        for key, value in db.data.items()
    }


def empty(services) -> None:
    for db in services.keyspace.databases:
        db.flush()


def load_log(services, path, cuts: bool = True) -> dict:
    empty(services)
    services.loader.begin(path.stat().st_size)
    try:
        services.loader.load_log_file(str(path).encode(), True, cuts)
    finally:
        services.loader.end()
    return contents(services)


def load_snapshot(services, data: bytes) -> dict:
    empty(services)
    loader = services.loader
    loader.begin(len(data))
    try:
        loader.read_snapshot(io.BytesIO(data), len(data), "a file", Sink(loader, drops_lapsed=True))
    finally:
        loader.end()
    return contents(services)


def test_a_log_cut_at_any_byte_loads_what_was_whole_and_is_cut_there(services, tmp_path):
    records = [encode_record(command) for command in COMMANDS]
    data = b"".join(records)
    path = tmp_path / "log.aof"
    # What must be there after each whole unit: a transaction counts when its EXEC does.
    states = {0: {}}
    ends = [sum(map(len, records[: count + 1])) for count in range(len(records))]
    for count, end in enumerate(ends):
        if 2 <= count < 5:
            continue
        path.write_bytes(data[:end])
        states[end] = load_log(services, path)
    assert states[ends[-1]] != states[ends[-2]] and len(states[ends[-1]]) == 6
    for length in range(len(data)):
        path.write_bytes(data[:length])
        whole = max(end for end in states if end <= length)
        assert load_log(services, path) == states[whole], length
        assert path.stat().st_size == whole


def test_a_log_that_must_not_be_cut_is_refused_with_the_offset_and_left_alone(services, tmp_path):
    data = b"".join(map(encode_record, COMMANDS))
    path = tmp_path / "log.aof"
    whole = data.rindex(b"*5\r\n$4\r\nSADD")
    path.write_bytes(data[:-3])
    with pytest.raises(LoadFailure, match=f"up to offset {whole}. .*\nUnexpected end of file reading the append"):
        load_log(services, path, cuts=False)
    assert path.read_bytes() == data[:-3]


def test_a_log_with_any_byte_changed_is_loaded_or_refused(services, tmp_path):
    rng = random.Random(5)
    data = b"".join(map(encode_record, COMMANDS))
    path = tmp_path / "log.aof"
    refused = 0
    for _ in range(CORRUPTIONS // 5):
        broken = bytearray(data)
        at = rng.randrange(len(broken))
        broken[at] = rng.randrange(256)
        path.write_bytes(broken)
        try:
            load_log(services, path)
        except LoadFailure as failure:
            refused += 1
            assert str(path) in failure.lines[0]
    assert refused > 500


@pytest.fixture
def snapshot(services, tmp_path) -> bytes:
    path = tmp_path / "log.aof"
    path.write_bytes(b"".join(map(encode_record, COMMANDS)))
    load_log(services, path)
    writer = SnapshotWriter(services.keyspace.limits)
    return b"".join(writer.pieces(services.keyspace.databases, [(b"redis-ver", b"7.4.1")]))


def test_a_snapshot_cut_at_any_byte_is_refused(services, snapshot):
    whole = load_snapshot(services, snapshot)
    assert len(whole) == 6
    for length in range(len(snapshot)):
        with pytest.raises(LoadFailure):
            load_snapshot(services, snapshot[:length])


def test_a_snapshot_with_any_byte_changed_is_refused_or_is_the_same(services, snapshot):
    rng = random.Random(6)
    whole = load_snapshot(services, snapshot)
    for _ in range(CORRUPTIONS):
        broken = bytearray(snapshot)
        at = rng.randrange(len(broken))
        broken[at] ^= 1 << rng.randrange(8)
        try:
            assert load_snapshot(services, bytes(broken)) == whole
        except LoadFailure:
            pass
