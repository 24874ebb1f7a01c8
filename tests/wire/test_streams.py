"""Streams as clients use them: redis-py, blocked readers, and workers that are killed."""

from __future__ import annotations

import random
import threading
import time

import pytest

from tests.harness.wire import encode, parse, plain

redis = pytest.importorskip("redis")

GONE = b"-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\r\n"
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
WAIT_FOR_GROUP = ("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
ENTRY_1 = b"*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"


def until_blocked(wire, count: int) -> None:
    """Return when so many clients wait in blocking commands."""
    deadline = time.monotonic() + 5
    while plain(wire.command("INFO", "clients")).count(b"blocked_clients:%d\r" % count) == 0:
        assert time.monotonic() < deadline, "no client blocks"
        time.sleep(0.002)


def ask(wire, *command) -> bytes:
    """Return the reply as it came."""
    wire.send(encode(*command))
    return wire.read_raw()


# Forms -----------------------------------------------------------------------------------------------------


def test_redis_py_reads_what_it_added(client):
    first = client.xadd("s", {"a": 1, "b": 2})
    second = client.xadd("s", {"c": 3})
    assert client.xlen("s") == 2
    assert client.xrange("s") == [(first, {b"a": b"1", b"b": b"2"}), (second, {b"c": b"3"})]
    assert client.xrevrange("s", count=1) == [(second, {b"c": b"3"})]
    assert client.xread({"s": first}) == [[b"s", [(second, {b"c": b"3"})]]]
    assert client.xinfo_stream("s")["last-generated-id"] == second
    assert client.xinfo_stream("s", full=True)["entries-added"] == 2


def test_redis_py_works_through_a_group(client):
    ids = [client.xadd("s", {"n": n}) for n in range(5)]
    assert client.xgroup_create("s", "g", id=0)
    assert [entry[0] for entry in client.xreadgroup("g", "c", {"s": ">"}, count=3)[0][1]] == ids[:3]
    assert client.xack("s", "g", ids[0], ids[3]) == 1
    assert client.xpending("s", "g")["consumers"] == [{"name": b"c", "pending": 2}]
    assert [entry[0] for entry in client.xclaim("s", "g", "d", 0, [ids[1]])] == [ids[1]]
    cursor, claimed, gone = client.xautoclaim("s", "g", "e", 0)
    assert (cursor, [entry[0] for entry in claimed], gone) == (b"0-0", ids[1:3], [])
    group = client.xinfo_groups("s")[0]
    assert (group["entries-read"], group["lag"], group["pending"]) == (3, 2, 2)
    assert {consumer["name"]: consumer["pending"] for consumer in client.xinfo_consumers("s", "g")} == {
        b"c": 0,
        b"d": 0,
        b"e": 2,
    }


def test_xread_is_a_map_in_resp3_and_pairs_in_resp2(server):
    with server.wire() as two, server.wire(protocol=3) as three:
        two.command("XADD", "s", "1-1", "a", "b")
        assert ask(two, "XREAD", "STREAMS", "s", "s", "0", "0") == b"*2\r\n" + b"*2\r\n$1\r\ns\r\n%b" % ENTRY_1 * 2
        assert ask(three, "XREAD", "STREAMS", "s", "s", "0", "0") == b"%2\r\n" + b"$1\r\ns\r\n%b" % ENTRY_1 * 2
        assert ask(two, "XREAD", "STREAMS", "s", "$") == b"*-1\r\n"
        assert ask(three, "XREAD", "STREAMS", "s", "$") == b"_\r\n"


def test_entries_of_different_shapes_come_as_they_were_added(wire):
    bodies = [[b"a", b"1"], [b"a", b"22"], [b"b", b"1", b"", b"\r\n"], [b"a", b"1", b"a", b"2"]]
    for number, body in enumerate(bodies, 1):
        wire.command("XADD", "s", f"{number}-1", *body)
    assert plain(wire.command("XRANGE", "s", "-", "+")) == [[b"%d-1" % n, body] for n, body in enumerate(bodies, 1)]


def test_xadd_refuses_in_its_order(wire):
    assert ask(wire, "XADD", "s", "MAXLEN", "x", "0-0", "a", "b").startswith(b"-ERR value is not an integer")
    assert ask(wire, "XADD", "s", "0-0", "a") == b"-ERR wrong number of arguments for 'xadd' command\r\n"
    assert ask(wire, "XADD", "s", "0-0", "a", "b") == (
        b"-ERR The ID specified in XADD must be greater than 0-0\r\n"
    )
    wire.command("SET", "s", "x")
    assert ask(wire, "XADD", "s", "0-*", "a", "b") == WRONG_TYPE
    wire.command("DEL", "s")
    assert ask(wire, "XADD", "s", "0-*", "a", "b") == b"$3\r\n0-1\r\n"
    assert ask(wire, "XADD", "s", "0-1", "a", "b") == (
        b"-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n"
    )


def test_a_container_alone_does_not_hide_its_subcommands_in_a_pipeline(wire):
    wire.send(encode("XINFO") + encode("XINFO", "STREAM", "s"))
    assert wire.read_raw() == b"-ERR wrong number of arguments for 'xinfo' command\r\n"
    assert wire.read_raw() == b"-ERR no such key\r\n"


def test_a_stream_that_lost_its_first_entry_knows_so_after_a_reload(wire):
    for entry_id in ("1-0", "2-1", "3-0"):
        wire.command("XADD", "s", entry_id, "field", "value")
    wire.command("XDEL", "s", "1-0")
    for _ in range(2):
        facts = wire.ask("XINFO", "STREAM", "s")
        assert facts[facts.index(b"recorded-first-entry-id") + 1] == b"2-1"
        wire.command("DEBUG", "RELOAD")


def test_an_emptied_stream_stays_with_its_last_id(wire):
    wire.command("XADD", "s", "5-5", "a", "b")
    assert ask(wire, "XDEL", "s", "5-5") == b":1\r\n"
    assert ask(wire, "EXISTS", "s") == b":1\r\n"
    assert ask(wire, "XADD", "s", "5-5", "a", "b").startswith(b"-ERR The ID specified in XADD is equal")
    assert ask(wire, "XADD", "s", "5-*", "a", "b") == b"$3\r\n5-6\r\n"


def test_a_refused_xclaim_changes_nothing_but_xack_counts_only_what_was_pending(wire):
    wire.command("XADD", "s", "1-1", "a", "b")
    wire.command("XGROUP", "CREATE", "s", "g", "0")
    wire.command("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    assert ask(wire, "XCLAIM", "s", "g", "d", "0", "1-1", "IDLE", "x").startswith(b"-ERR Invalid IDLE option")
    assert plain(wire.command("XPENDING", "s", "g"))[3] == [[b"c", b"1"]]
    assert ask(wire, "XACK", "s", "g", "1-1", "nonsense").startswith(b"-ERR Invalid stream ID")
    assert ask(wire, "XACK", "s", "g", "1-1", "1-1") == b":1\r\n"


# Blocking --------------------------------------------------------------------------------------------------


def test_dollar_means_the_end_when_the_reader_came(server, wire):
    wire.command("XADD", "s", "1-1", "a", "b")
    with server.wire() as reader:
        reader.send(encode("XREAD", "BLOCK", 0, "STREAMS", "s", "$"))
        until_blocked(wire, 1)
        wire.command("XADD", "s", "1-2", "c", "d")
        assert plain(parse(reader.read_raw()))[0][1] == [[b"1-2", [b"c", b"d"]]]


def test_all_readers_without_a_group_get_the_entry(server, wire):
    readers = [server.wire() for _ in range(3)]
    for reader in readers:
        reader.send(encode("XREAD", "BLOCK", 0, "STREAMS", "other", "s", "0", "0"))
    until_blocked(wire, 3)
    wire.command("XADD", "s", "1-1", "a", "b")
    for reader in readers:
        assert reader.read_raw() == b"*1\r\n*2\r\n$1\r\ns\r\n" + ENTRY_1
        reader.close()


def test_members_of_a_group_are_served_in_the_order_they_came(server, wire):
    wire.command("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    readers = [server.wire() for _ in range(4)]
    for number, reader in enumerate(readers):
        reader.send(encode("XREADGROUP", "GROUP", "g", f"c{number}", "BLOCK", 0, "STREAMS", "s", ">"))
        until_blocked(wire, number + 1)
    for number, reader in enumerate(readers):
        wire.command("XADD", "s", f"{number + 1}-1", "a", "b")
        assert plain(parse(reader.read_raw()))[0][1][0][0] == b"%d-1" % (number + 1)
        reader.close()
    until_blocked(wire, 0)


@pytest.mark.parametrize(
    ("commands", "answer"),
    [
        ([("DEL", "s")], GONE),
        ([("UNLINK", "s")], GONE),
        ([("XGROUP", "DESTROY", "s", "g")], GONE),
        ([("RENAME", "s", "t")], GONE),
        ([("SET", "s", "x")], WRONG_TYPE),
        ([("SET", "k", "x"), ("RENAME", "k", "s")], WRONG_TYPE),
        ([("XADD", "t", "1-1", "a", "b"), ("RENAME", "t", "s")], GONE),
        ([("PEXPIRE", "s", "1")], GONE),
        ([("FLUSHALL",)], GONE),
    ],
    ids=["deleted", "unlinked", "group destroyed", "renamed", "replaced", "renamed over by a string",
         "renamed over by a stream without the group", "expired", "flushed"],
)  # fmt: skip
def test_a_group_reader_is_told_that_its_group_is_gone(commands, answer, server, wire):
    wire.command("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    with server.wire() as reader:
        reader.send(encode(*WAIT_FOR_GROUP))
        until_blocked(wire, 1)
        for command in commands:
            wire.command(*command)
        assert reader.read_raw() == answer


def test_a_group_that_is_set_back_wakes_nobody_until_an_entry_comes(server, wire):
    wire.command("XADD", "s", "1-1", "a", "b")
    wire.command("XGROUP", "CREATE", "s", "g", "$")
    with server.wire() as reader:
        reader.send(encode(*WAIT_FOR_GROUP))
        until_blocked(wire, 1)
        wire.command("XGROUP", "SETID", "s", "g", "0")
        until_blocked(wire, 1)
        reader.expect_silence()
        wire.command("XADD", "s", "2-1", "a", "b")
        assert [entry[0] for entry in plain(parse(reader.read_raw()))[0][1]] == [b"1-1", b"2-1"]


def test_a_plain_reader_waits_on_when_its_key_is_deleted_or_replaced(server, wire):
    wire.command("XADD", "s", "5-1", "a", "b")
    with server.wire() as reader:
        reader.send(encode("XREAD", "BLOCK", 0, "STREAMS", "s", "0-0"))
        assert reader.read_raw()
        reader.send(encode("XREAD", "BLOCK", 0, "STREAMS", "s", "5-1"))
        until_blocked(wire, 1)
        wire.command("DEL", "s")
        wire.command("SET", "s", "x")
        wire.command("DEL", "s")
        wire.command("XADD", "s", "6-1", "a", "b")
        assert plain(parse(reader.read_raw()))[0][1][0][0] == b"6-1"


def test_time_runs_out_with_a_null_array(server):
    with server.wire() as two, server.wire(protocol=3) as three:
        assert ask(two, "XREAD", "BLOCK", 1, "STREAMS", "s", "$") == b"*-1\r\n"
        assert ask(three, "XREAD", "BLOCK", 1, "STREAMS", "s", "$") == b"_\r\n"


# Workers ---------------------------------------------------------------------------------------------------

PRODUCERS = 4
CONSUMERS = 8
ENTRIES_EACH = 150
KILLS = 12
IDLE_MS = 60  # after which the others take over a consumer's entries
WORKERS_DEADLINE_S = 60


class Killed(Exception):
    pass


class Workers:
    """Consumers that read, may be killed before they acknowledge, and claim what others left."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.lock = threading.Lock()
        self.acknowledged: dict[bytes, int] = {}
        self.doomed: set[str] = set()
        self.kills = 0
        self.produced = threading.Event()
        self.faults: list[BaseException] = []

    def produce(self, number: int) -> None:
        with redis.Redis(port=self.port, protocol=2) as client:
            for n in range(ENTRIES_EACH):
                client.xadd("jobs", {"producer": number, "n": n})

    def consume(self, name: str) -> None:
        """Be one consumer after the other: a killed one is replaced by another of a new name."""
        life = 0
        while not self.is_done():
            life += 1
            try:
                with redis.Redis(port=self.port, protocol=2) as client:
                    self.live(client, f"{name}-{life}")
            except Killed:
                continue
            except BaseException as fault:
                self.faults.append(fault)
                return

    def live(self, client, name: str) -> None:
        while not self.is_done():
            found = client.xreadgroup("g", name, {"jobs": ">"}, count=5, block=20)
            entries = found[0][1] if found else client.xautoclaim("jobs", "g", name, IDLE_MS, count=5)[1]
            for entry_id, _ in entries:
                with self.lock:
                    if name.split("-")[0] in self.doomed:
                        self.doomed.discard(name.split("-")[0])
                        self.kills += 1
                        raise Killed
                if client.xack("jobs", "g", entry_id):
                    with self.lock:
                        self.acknowledged[entry_id] = self.acknowledged.get(entry_id, 0) + 1

    def is_done(self) -> bool:
        with self.lock:
            return bool(self.faults) or len(self.acknowledged) == PRODUCERS * ENTRIES_EACH


def test_every_entry_is_acknowledged_exactly_once_though_workers_are_killed(server, client):
    rng = random.Random(4)
    client.xgroup_create("jobs", "g", id=0, mkstream=True)
    workers = Workers(server.port)
    workers.doomed = {f"c{n}" for n in range(CONSUMERS)}  # each dies with the first entries it gets
    threads = [threading.Thread(target=workers.produce, args=(n,), daemon=True) for n in range(PRODUCERS)]
    threads += [threading.Thread(target=workers.consume, args=(f"c{n}",), daemon=True) for n in range(CONSUMERS)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + WORKERS_DEADLINE_S
    while not workers.is_done() and time.monotonic() < deadline:
        with workers.lock:
            if workers.kills + len(workers.doomed) < KILLS:
                workers.doomed.add(f"c{rng.randrange(CONSUMERS)}")
        time.sleep(0.01)
    for thread in threads:
        thread.join(max(0.1, deadline - time.monotonic()))
    assert not workers.faults
    assert workers.kills, "nobody was killed: the test shows nothing"
    assert len(workers.acknowledged) == PRODUCERS * ENTRIES_EACH == client.xlen("jobs")
    assert set(workers.acknowledged.values()) == {1}
    assert client.xpending("jobs", "g")["pending"] == 0
    group = client.xinfo_groups("jobs")[0]
    assert (group["entries-read"], group["lag"]) == (PRODUCERS * ENTRIES_EACH, 0)
