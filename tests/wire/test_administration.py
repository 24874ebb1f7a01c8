"""Commands of operators: emptying and swapping databases, the end of the process, memory, modules."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from tests.harness import processes
from tests.harness.wire import Closed, plain

pytestmark = pytest.mark.wire

NOT_ALLOWED = (
    b'-ERR %b command not allowed. If the %b option is set to "local", you can run it from a local connection, '
    b"otherwise you need to set this option in the configuration file, and then restart the server."
)


def ask(wire, *command):
    return plain(wire.command(*command))


def test_flushdb_empties_one_database_and_flushall_every_one(wire):
    for number in (0, 3):
        ask(wire, "SELECT", number)
        ask(wire, "SET", "key", "value")
    assert ask(wire, "FLUSHDB", "ASYNC") == b"OK"
    assert ask(wire, "DBSIZE") == 0
    ask(wire, "SELECT", 0)
    assert ask(wire, "DBSIZE") == 1
    assert ask(wire, "FLUSHALL", "sync") == b"OK"
    assert ask(wire, "DBSIZE") == 0


@pytest.mark.parametrize("name", ["FLUSHDB", "FLUSHALL"])
def test_flushing_takes_async_or_sync_and_nothing_else(wire, name):
    ask(wire, "SET", "key", "value")
    assert ask(wire, name, "NOW") == b"-ERR syntax error"
    assert ask(wire, name, "ASYNC", "SYNC") == b"-ERR syntax error"
    assert ask(wire, "DBSIZE") == 1


def test_keys_that_a_flush_takes_count_as_freed_lazily(start_server):
    server = start_server("--save", "", "--enable-debug-command", "yes")
    with server.wire() as wire:
        for command in ("FLUSHALL", "FLUSHDB"):
            wire.command("DEBUG", "POPULATE", "2000")
            wire.command("CONFIG", "RESETSTAT")
            before = int(re.search(rb"lazyfreed_objects:(\d+)", wire.ask("INFO", "memory"))[1])
            wire.command(command)
            while b"lazyfree_pending_objects:0" not in wire.ask("INFO", "memory"):
                pass
            assert int(re.search(rb"lazyfreed_objects:(\d+)", wire.ask("INFO", "memory"))[1]) - before == 2000


def test_swapdb_exchanges_contents_under_connected_clients(server, wire):
    ask(wire, "SET", "key", "of 0", "EX", 100)
    with server.wire() as other:
        ask(other, "SELECT", 1)
        assert ask(wire, "SWAPDB", 0, 1) == b"OK"
        assert ask(other, "GET", "key") == b"of 0"
        assert ask(other, "TTL", "key") in (99, 100)
        assert ask(wire, "GET", "key") is None


def test_swapdb_judges_both_numbers(wire):
    assert ask(wire, "SWAPDB", "a", 1) == b"-ERR invalid first DB index"
    assert ask(wire, "SWAPDB", 1, "b") == b"-ERR invalid second DB index"
    assert ask(wire, "SWAPDB", 0, 16) == b"-ERR DB index is out of range"
    assert ask(wire, "SWAPDB", -1, 0) == b"-ERR DB index is out of range"


def test_time_is_the_clock_in_seconds_and_microseconds(wire):
    before = time.time()
    seconds, microseconds = (int(part) for part in ask(wire, "TIME"))
    assert before - 0.001 <= seconds + microseconds / 1e6 <= time.time()


def test_lastsave_is_the_start_of_a_server_that_never_saved(wire):
    assert time.time() - 3600 < ask(wire, "LASTSAVE") <= time.time()


def test_lolwut_tells_the_version_and_draws_on_request(wire):
    assert ask(wire, "LOLWUT") == b"Redis ver. 7.4.1\n"
    drawing = ask(wire, "LOLWUT", "VERSION", 5, 40, 10)
    assert drawing.endswith(b"Redis ver. 7.4.1\n")
    assert drawing.count(b"\n") > 10
    assert max(map(len, drawing.splitlines()[:10])) <= 40
    assert ask(wire, "LOLWUT", "VERSION", "x") == b"-ERR value is not an integer or out of range"


# The end ---------------------------------------------------------------------------------------------------------


def test_shutdown_ends_the_process_with_0_and_answers_nobody(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        with pytest.raises(Closed):
            wire.command("SHUTDOWN", "NOSAVE")
    assert server.wait() == 0
    assert "User requested shutdown..." in server.log()
    assert "ready to exit, bye bye" in server.log()


@pytest.mark.parametrize("words", [("SAVE", "NOSAVE"), ("ABORT", "NOW"), ("FORCE", "ABORT"), ("PLEASE",)])
def test_shutdown_refuses_words_that_contradict(wire, words):
    assert ask(wire, "SHUTDOWN", *words) == b"-ERR syntax error"


def test_there_is_no_shutdown_to_abort(wire):
    assert ask(wire, "SHUTDOWN", "ABORT") == b"-ERR No shutdown in progress."


@pytest.mark.skipif(os.name == "nt", reason="no such signals there")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_ends_the_process_with_0(start_server, number):
    server = start_server("--save", "")
    server.signal(number)
    assert server.wait() == 0
    assert "bye bye" in server.log()


# Memory ----------------------------------------------------------------------------------------------------------


def test_memory_usage_is_what_redis_would_take(wire):
    ask(wire, "SET", "foo", "bar")
    ask(wire, "SET", "number", 12)
    ask(wire, "HSET", "h", "a", "b")
    ask(wire, "RPUSH", "l", "a", "b", "c")
    assert ask(wire, "MEMORY", "USAGE", "foo") == 56
    assert ask(wire, "MEMORY", "USAGE", "number") == 48
    assert ask(wire, "MEMORY", "USAGE", "h") == 64
    assert ask(wire, "MEMORY", "USAGE", "l") == 64
    assert ask(wire, "MEMORY", "USAGE", "nothing") is None
    ask(wire, "DEBUG", "SET-ACTIVE-EXPIRE", 0)
    ask(wire, "SET", "foo", "bar", "PX", 1)
    ask(wire, "DEBUG", "SLEEP", "0.002")
    assert ask(wire, "MEMORY", "USAGE", "foo") is not None  # as in Redis it does not look at the time
    ask(wire, "DEBUG", "SET-ACTIVE-EXPIRE", 1)


def test_memory_usage_of_a_sampled_value_is_near_the_exact_one(wire):
    for number in range(2000):
        ask(wire, "HSET", "h", f"field:{number:05d}", "v" * 20)
    sampled = ask(wire, "MEMORY", "USAGE", "h")
    exact = ask(wire, "MEMORY", "USAGE", "h", "SAMPLES", 0)
    assert exact * 0.9 < sampled < exact * 1.1
    assert 2000 * 50 < exact < 2000 * 200


def test_memory_usage_judges_its_samples(wire):
    ask(wire, "SET", "foo", "bar")
    assert ask(wire, "MEMORY", "USAGE", "foo", "SAMPLES") == b"-ERR syntax error"
    assert ask(wire, "MEMORY", "USAGE", "foo", "SAMPLES", -1) == b"-ERR syntax error"
    assert ask(wire, "MEMORY", "USAGE", "foo", "SAMPLES", "x") == b"-ERR value is not an integer or out of range"
    assert ask(wire, "MEMORY", "USAGE", "foo", "EXACTLY", 1) == b"-ERR syntax error"


def test_memory_usage_leaves_no_trace(wire):
    ask(wire, "SET", "foo", "bar")
    before = ask(wire, "INFO", "stats")
    ask(wire, "MEMORY", "USAGE", "foo")
    ask(wire, "MEMORY", "USAGE", "nothing")
    after = ask(wire, "INFO", "stats")
    assert hits_of(before) == hits_of(after)


def hits_of(text):
    return [line for line in text.splitlines() if line.startswith(b"keyspace_")]


def test_memory_stats_adds_up(wire3):
    ask(wire3, "SET", "key", "value", "EX", 100)
    stats = dict(ask(wire3, "MEMORY", "STATS"))
    assert stats[b"keys.count"] == 1
    assert stats[b"total.allocated"] >= stats[b"startup.allocated"] > 0
    assert stats[b"peak.allocated"] >= stats[b"total.allocated"]
    assert stats[b"dataset.bytes"] + stats[b"overhead.total"] == stats[b"total.allocated"]
    assert dict(stats[b"db.0"])[b"overhead.hashtable.expires"] > 0


def test_memory_has_a_doctor_and_a_purge(wire):
    assert ask(wire, "MEMORY", "PURGE") == b"OK"
    assert b"nothing" in ask(wire, "MEMORY", "DOCTOR")
    assert b"in use: " in ask(wire, "MEMORY", "MALLOC-STATS")


# Modules ---------------------------------------------------------------------------------------------------------


def test_there_are_no_modules_and_loading_one_is_not_allowed(wire):
    assert ask(wire, "MODULE", "LIST") == []
    refusal = NOT_ALLOWED % (b"MODULE", b"enable-module-command")
    for words in (("LOAD", "x.so"), ("LOADEX", "x.so"), ("UNLOAD", "x")):
        assert ask(wire, "MODULE", *words) == refusal


def test_a_module_cannot_be_loaded_even_where_it_is_allowed(start_server):
    server = start_server("--enable-module-command", "local")
    with server.wire() as wire:
        loaded = ask(wire, "MODULE", "LOAD", "/x.so")
        assert loaded == b"-ERR Error loading the extension. Please check the server logs."
        assert ask(wire, "MODULE", "UNLOAD", "x") == b"-ERR Error unloading module: no such module with that name"
    assert "/x.so" in server.log()


def test_a_server_that_would_listen_nowhere_does_not_start(tmp_path):
    server = processes.Server(processes.own_command(), ("--port", "0"), directory=tmp_path, wait=False)
    assert server.wait() == 1
    assert "Configured to not listen anywhere, exiting." in server.log()


def test_what_is_removed_and_who_leaves_is_in_the_log(start_server, tmp_path):
    files = [tmp_path / "pid", tmp_path / "socket"]
    server = start_server("--loglevel", "verbose", "--pidfile", files[0], "--unixsocket", files[1])
    server.wire().close()
    server.wait_for_log("Client closed connection id=")
    assert all(path.exists() for path in files)
    server.stop()
    assert not any(path.exists() for path in files)
    order = [server.log().index(line) for line in ("Removing the pid file.", "Removing the unix socket", "bye bye")]
    assert order == sorted(order)


@pytest.mark.skipif(not os.path.exists("/proc/self/oom_score_adj"), reason="only Linux has such a score")
def test_the_system_s_score_follows_the_configuration_the_role_and_the_child(start_server):
    server = start_server("--save", "", "--rdb-key-save-delay", "100000", "--oom-score-adj-values", "11 22 33")

    def score(pid) -> int:
        with open(f"/proc/{pid}/oom_score_adj") as file:
            return int(file.read())

    first = score(server.pid)
    with server.wire() as wire:
        wire.command("CONFIG", "SET", "oom-score-adj", "yes")
        assert score(server.pid) == first + 11
        wire.command("CONFIG", "SET", "oom-score-adj", "absolute")
        assert score(server.pid) == 11
        wire.command("REPLICAOF", "127.0.0.1", "1")
        assert score(server.pid) == 22
        wire.command("REPLICAOF", "NO", "ONE")
        for number in range(30):
            wire.command("SET", "k%d" % number, "v")
        wire.command("BGSAVE")
        child = re.search(r"started by pid (\d+)", server.wait_for_log("Background saving started by pid")).group(1)
        deadline = time.monotonic() + 5
        while score(child) != 33 and time.monotonic() < deadline:
            pass
        assert (score(server.pid), score(child)) == (11, 33)
        wire.command("CONFIG", "SET", "oom-score-adj", "no")
        assert score(server.pid) == first
