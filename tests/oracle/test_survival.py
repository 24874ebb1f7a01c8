"""What commands did survives: a snapshot, the log, a rewritten log and a replica hold what the server holds.

Generated commands, half of them in transactions and some in scripts, then DEBUG DIGEST beside DEBUG DIGEST. What is
about to expire is given no deadline first, so that nothing depends on how long a comparison takes.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.harness import processes
from tests.harness.replication import info, until
from tests.harness.wire import encode
from tests.oracle.generators import GROUPS, Generator

COMMANDS = 1000
NEAR_MS = 600_000
DATABASES = (0, 1, 2, 15)  # those that generators select
# They speak about the connection, not about data, or end what the test stands on.
LEFT_OUT = frozenset(
    b"FLUSHALL DEBUG SHUTDOWN MULTI EXEC DISCARD WATCH RESET QUIT SUBSCRIBE PSUBSCRIBE SSUBSCRIBE HELLO CLIENT WAIT "
    b"WAITAOF MONITOR CONFIG".split()
)
BLOCKING = frozenset(b"BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP XREAD XREADGROUP".split())
FAR_MS = 9_000_000_000_000
# What chance seldom puts together: commands whose effect has to be told in other words than their own.
RARE = [
    ["HSET", "h", "f", "1", "g", "2"],
    ["HPEXPIREAT", "h", FAR_MS, "FIELDS", "2", "f", "g"],
    ["HINCRBYFLOAT", "h", "f", "0.5"],
    ["HINCRBY", "h", "g", "1"],
    ["SET", "s", "1", "PXAT", FAR_MS],
    ["INCRBYFLOAT", "s", "0.1"],
    ["COPY", "h", "h", "DB", "1"],
    ["MOVE", "s", "1"],
    ["SWAPDB", "1", "2"],
    ["EVAL", "redis.call('SPOP', KEYS[1]) return redis.call('SRANDMEMBER', KEYS[1])", "1", "set"],
]
DUE = [
    ["DEBUG", "SET-ACTIVE-EXPIRE", "0"],
    ["RPUSH", "list", "1", "2", "3"],
    ["HSET", "w1", "f", "9", "g", "1"],
    ["HSET", "w2", "f", "8", "g", "2"],
    ["SET", "w3", "7", "PX", "1"],
    ["HPEXPIRE", "w1", "1", "FIELDS", "1", "f"],
]
SORTS = [
    ["SORT", "list", "BY", "w*->f", "GET", "#", "GET", "w*->f", "GET", "w*", "STORE", "sorted"],
    ["DEBUG", "SET-ACTIVE-EXPIRE", "1"],
]
ANY_COMMAND = b"return redis.pcall(unpack(ARGV))"


@pytest.fixture(scope="module", params=["yes", "no"])
def pair(request, tmp_path_factory):
    """A server with a log whose base is a snapshot or commands, and its replica, which packs other values."""
    common = ("--save", "", "--enable-debug-command", "yes")
    master_options = (*common, "--appendonly", "yes", "--appendfsync", "no", "--aof-use-rdb-preamble", request.param)
    replica_options = (*common, "--hash-max-listpack-entries", 2, "--set-max-intset-entries", 2)
    folders = [tmp_path_factory.mktemp(name) for name in ("master", "replica")]
    with processes.start_own(*master_options, "--repl-diskless-sync-delay", 0, directory=folders[0]) as master:
        with processes.start_own(*replica_options, directory=folders[1]) as replica:
            with replica.wire() as wire:
                wire.command("REPLICAOF", "127.0.0.1", master.port)
                until(lambda: info(wire)["master_link_status"] == "up")
            yield master, replica


def batches(group: str):
    """Lists of commands to send at once, the same for the same group."""
    random = Random(group)
    commands = [argv for argv in Generator(group, "survival").take(COMMANDS) if argv[0].upper() not in LEFT_OUT]
    while commands:
        batch, commands = commands[:8], commands[8:]
        batch = [[b"EVAL", ANY_COMMAND, b"0", *argv] if random.random() < 0.1 else argv for argv in batch]
        if random.random() < 0.5 or any(argv[0].upper() in BLOCKING for argv in batch):
            batch = [[b"MULTI"], *batch, [b"EXEC"]]
        yield batch


def settle_deadlines(wire) -> None:
    """Take away the deadlines that could come before the test has ended, and what is due already."""
    for number in DATABASES:
        wire.ask("SELECT", number)
        for key in wire.ask("KEYS", "*"):
            if 0 <= wire.ask("PTTL", key) < NEAR_MS:
                wire.ask("PERSIST", key)
            if wire.ask("TYPE", key) != b"hash":
                continue
            fields = wire.ask("HKEYS", key)
            times = wire.ask("HPTTL", key, "FIELDS", len(fields), *fields) if fields else []
            for field, left_ms in zip(fields, times):
                if left_ms == -2:
                    wire.ask("HDEL", key, field)
                elif 0 <= left_ms < NEAR_MS:
                    wire.ask("HPERSIST", key, "FIELDS", 1, field)
    wire.ask("SELECT", 0)


def compare(master, wire, other) -> None:
    """Every other place where the data set of `master` is kept holds the same."""
    settle_deadlines(wire)
    digest = wire.ask("DEBUG", "DIGEST")
    assert digest != b"0" * 40
    offset = int(info(wire)["master_repl_offset"])
    until(lambda: int(info(other)["slave_repl_offset"]) >= offset, "the replica has heard everything")
    assert other.ask("DEBUG", "DIGEST") == digest, "the replica"
    assert wire.ask("DEBUG", "LOADAOF") == b"OK", master.log()
    assert wire.ask("DEBUG", "DIGEST") == digest, "the log"
    assert wire.ask("DEBUG", "RELOAD") == b"OK", master.log()
    assert wire.ask("DEBUG", "DIGEST") == digest, "the snapshot"
    wire.ask("BGREWRITEAOF")
    until(
        lambda: {"0"} == {info(wire, "persistence")[f"aof_rewrite_{word}"] for word in ("in_progress", "scheduled")},
        "the log is rewritten",
    )
    assert wire.ask("DEBUG", "LOADAOF") == b"OK", master.log()
    assert wire.ask("DEBUG", "DIGEST") == digest, "the rewritten log"
    until(lambda: info(other)["master_link_status"] == "up", "the replica is back")


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in ("connection", "introspection")])
def test_what_commands_did_is_the_same_in_snapshot_log_and_replica(group, pair):
    master, replica = pair
    with master.wire() as wire, replica.wire() as other:
        wire.ask("FLUSHALL")
        for batch in batches(group):
            wire.send(b"".join(encode(*argv) for argv in batch))
            wire.read_many_raw(len(batch))
        compare(master, wire, other)


def test_what_is_told_in_other_words_is_the_same_in_snapshot_log_and_replica(pair):
    master, replica = pair
    with master.wire() as wire, replica.wire() as other:
        wire.ask("FLUSHALL")
        wire.ask("SADD", "set", *range(20))
        for argv in RARE:
            kind, reply = wire.command(*argv)
            assert kind != b"-" or b"pip install lupa" in reply, argv
        compare(master, wire, other)


def test_a_sort_by_fields_and_keys_that_are_due_is_the_same_in_log_and_replica(pair):
    master, replica = pair
    with master.wire() as wire, replica.wire() as other:
        wire.ask("FLUSHALL")
        for argv in DUE:
            assert wire.command(*argv)[0] != b"-", argv
        until(lambda: wire.ask("HPTTL", "w1", "FIELDS", 1, "f") == [-2], "the field is due, and so is the key")
        for argv in SORTS:
            assert wire.command(*argv)[0] != b"-", argv
        assert wire.ask("LRANGE", "sorted", 0, -1) == [b"1", b"", b"", b"3", b"", b"", b"2", b"8", b""]
        compare(master, wire, other)
