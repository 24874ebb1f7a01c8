"""Random data handed to a real server and back: as a snapshot, as a log, as payloads. What returns is what was sent."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from storage.aof.manifest import Manifest
from storage.aof.rewrite import rebuild_keyspace
from storage.clock import ManualClock
from storage.keyspace import Keyspace
from storage.limits import EncodingLimits
from storage.rdb import payload
from storage.rdb.writer import SnapshotWriter, aux_fields
from storage.types.consumer_group import ConsumerGroup
from storage.types.hash import Hash
from storage.types.list import List
from storage.types.set import Set
from storage.types.sorted_set import SortedSet
from storage.types.stream import Stream
from tests.data.make_snapshots import FAR_MS
from tests.storage.rdb.collecting import plain, read

LIMITS = EncodingLimits()


def random_text(rng):
    kind = rng.randrange(6)
    if kind == 0:
        return b"%d" % rng.choice((rng.randrange(-200, 200), rng.randrange(-(1 << 63), 1 << 63)))
    if kind == 1:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(100)))
    if kind == 2:
        return b"ab" * rng.randrange(400)
    if kind == 3:
        return b"%03d" % rng.randrange(100)
    return b"text:%d" % rng.randrange(100000)


def random_stream(rng):
    stream = Stream()
    entry_id = 0
    ids = []
    for _ in range(rng.choice((0, 1, 30, 300))):
        entry_id += rng.choice((1, 5, 1 << 64, 1 << 70))
        fields = (b"f", b"g") if rng.random() < 0.8 else (random_text(rng),)
        stream.add(entry_id, tuple(part for field in fields for part in (field, random_text(rng))), LIMITS)
        ids.append(entry_id)
    for gone in rng.sample(ids, len(ids) // 10):
        stream.delete(gone)
        ids.remove(gone)
    for number in range(rng.randrange(3)):
        group = stream.groups[b"group:%d" % number] = ConsumerGroup(entry_id, stream.distance_from_first(entry_id))
        for name in (b"alice", b"bob"):
            consumer = group.add_consumer(name, 1_700_000_000_000)
            consumer.active_ms = consumer.seen_ms  # version 10 has one time for both
            for one in ids:
                if one not in group.pending.by_id and rng.random() < 0.2:
                    group.load_pending(one, consumer, 1_700_000_000_000 + rng.randrange(1000), rng.randrange(1, 9))
    return stream


def random_value(rng):
    count = rng.choice((1, 3, 20, 200, 700))
    kind = rng.randrange(7)
    if kind == 0:
        return random_text(rng)
    if kind == 1:
        return List.build([random_text(rng) * rng.choice((1, 1, 1, 50)) for _ in range(count)], LIMITS)
    if kind == 2:
        return Set.build([random_text(rng) for _ in range(count)], LIMITS)
    if kind == 3:
        return Set.build([b"%d" % rng.randrange(-70000, 70000) for _ in range(count)], LIMITS)
    if kind == 4:
        scores = (0.1, -1e300, 3.0, float("inf"), float("-inf"), 5e-324, rng.random(), rng.randrange(1 << 60) * 1.0)
        return SortedSet.build({random_text(rng): rng.choice(scores) for _ in range(count)}, LIMITS)
    if kind == 5:
        return Hash.build({random_text(rng): random_text(rng) for _ in range(count)}, LIMITS)
    return random_stream(rng)


def random_keyspace(seed, keys=150):
    rng = random.Random(seed)
    space = Keyspace(16, ManualClock(1_000_000))
    for number in range(keys):
        db = space.databases[rng.choice((0, 0, 0, 5))]
        key = random_text(rng) + b":%d" % number
        db.put(key, random_value(rng))
        if rng.random() < 0.2:
            db.set_deadline(key, FAR_MS + rng.randrange(10000))
    return space


def contents(space):
    return {
        (db.number, key): (plain(value), db.lapses.get(key)) for db in space.databases for key, value in db.data.items()
    }


def contents_of_file(path):
    sink = read(path.read_bytes())
    return {place: (plain(value), sink.deadlines.get(place)) for place, value in sink.values.items()}


def without_consumers_times(found):
    """A log does not tell when a consumer was seen."""
    for value, _ in found.values():
        if isinstance(value, tuple) and len(value) == 5:
            for _, _, consumers in value[4].values():
                for name, (_, _, pending) in consumers.items():
                    consumers[name] = pending
    return found


@pytest.mark.parametrize("compressing", [True, False])
def test_a_snapshot_goes_to_a_real_server_and_comes_back(start_real, tmp_path, compressing):
    space = random_keyspace(1)
    path = tmp_path / "sent.rdb"
    writer = SnapshotWriter(LIMITS, compressing=compressing)
    path.write_bytes(b"".join(writer.pieces(space.databases, aux_fields(b"7.4.1", 1_700_000_000, 1))))
    if shutil.which("redis-check-rdb"):
        checked = subprocess.run(["redis-check-rdb", path], capture_output=True, text=True, timeout=60)
        assert "RDB looks OK" in checked.stdout, checked.stdout[-2000:]
    server = start_real("--dbfilename", "sent.rdb", directory=tmp_path)
    path.unlink()
    with server.wire() as wire:
        wire.command("SAVE")
    assert contents_of_file(path) == contents(space)


def test_a_log_goes_to_a_real_server_and_comes_back_as_a_snapshot(start_real, tmp_path):
    space = random_keyspace(2)
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    manifest = Manifest()
    base = manifest.replace_base(b"appendonly.aof", is_snapshot=False)
    (folder / base.name.decode()).write_bytes(b"".join(piece for _, piece in rebuild_keyspace(space.databases)))
    (folder / "appendonly.aof.manifest").write_bytes(manifest.format())
    server = start_real("--appendonly", "yes", "--dbfilename", "back.rdb", directory=tmp_path)
    with server.wire() as wire:
        wire.command("SAVE")
    sent = without_consumers_times(contents(space))
    assert without_consumers_times(contents_of_file(tmp_path / "back.rdb")) == sent


def test_payloads_go_to_a_real_server_and_come_back(real_server):
    rng = random.Random(3)
    with real_server.wire() as wire:
        for number in range(150):
            value = random_value(rng)
            key = b"key:%d" % number
            assert wire.command("RESTORE", key, 0, payload.dump(value, LIMITS)) == (b"+", b"OK")
            _, back = wire.command("DUMP", key)
            assert plain(payload.restore(back, LIMITS)) == plain(value)


def test_deadlines_of_fields_go_to_a_real_server_and_come_back(start_real, tmp_path):
    space = Keyspace(16, ManualClock(1_000_000))
    db = space.databases[0]
    for count in (1, 5, 700):
        fields = {b"field:%d" % number: b"v" for number in range(count)}
        deadlines = {field: FAR_MS + number % 3 for number, field in enumerate(fields) if number % 2 == 0}
        db.put(b"hash:%d" % count, Hash.build(fields, LIMITS, deadlines))
    path = tmp_path / "sent.rdb"
    server = start_real("--dbfilename", "sent.rdb", directory=tmp_path)
    with server.wire() as wire:
        if wire.command("COMMAND", "INFO", "HPEXPIREAT")[1][0][1] is None:
            pytest.skip("the real server knows no deadlines of fields")
        if b"valkey" in wire.command("INFO", "server")[1]:
            pytest.skip("Valkey has a type of its own for them")
        path.write_bytes(b"".join(SnapshotWriter(LIMITS, version=12).pieces(space.databases)))
        wire.command("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH")
        path.unlink()
        for key, value in db.data.items():
            assert wire.command("RESTORE", b"again:" + key, 0, payload.dump(value, LIMITS)) == (b"+", b"OK")
        wire.command("SAVE")
    sent = contents(space)
    sent.update({(number, b"again:" + key): value for (number, key), value in contents(space).items()})
    assert contents_of_file(path) == sent
