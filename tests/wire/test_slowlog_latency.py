"""The slow log and the latency monitor."""

from __future__ import annotations

import re
import time

import pytest

from tests.harness.replication import until
from tests.harness.wire import encode, plain


@pytest.fixture
def watched(restored):
    """A connection to a server that logs every command and notes each millisecond."""
    with restored.wire() as wire:
        wire.server = restored
        wire.command("CONFIG", "SET", "slowlog-log-slower-than", "0")
        yield wire


def logged(wire) -> list[list[bytes]]:
    return [entry[3] for entry in reversed(wire.ask("SLOWLOG", "GET", "-1"))]


def test_an_entry_tells_number_time_duration_vector_address_and_name(watched):
    watched.command("CLIENT", "SETNAME", "me")
    watched.command("SLOWLOG", "RESET")
    watched.command("DEBUG", "SLEEP", "0.02")
    newest, before = watched.ask("SLOWLOG", "GET")
    number, seconds, duration, vector, address, name = newest
    assert vector == [b"DEBUG", b"SLEEP", b"0.02"]
    assert before[3] == [b"SLOWLOG", b"RESET"] and before[0] == number - 1
    assert abs(seconds - time.time()) < 5
    assert 20_000 <= duration < 1_000_000
    assert address == b"%s:%d" % (watched.socket.getsockname()[0].encode(), watched.socket.getsockname()[1])
    assert name == b"me"


def test_what_forking_and_the_log_cost_is_noted(start_server):
    server = start_server("--save", "", "--appendonly", "yes", "--latency-monitor-threshold", "1")
    with server.wire() as wire:
        wire.command("DEBUG", "AOF-FLUSH-SLEEP", "2000")
        wire.command("BGREWRITEAOF")
        server.wait_for_log("Background AOF rewrite finished successfully")
        events = {event[0] for event in wire.ask("LATENCY", "LATEST")}
        assert b"aof-write" not in events  # the pause is not the disk's
        assert b"fork" in events or int(wire.ask("INFO", "stats").split(b"latest_fork_usec:")[1].split()[0]) < 1000


def test_a_transfer_to_another_server_is_logged_with_what_it_took(watched):
    watched.command("SET", "k", "v")
    watched.command("SLOWLOG", "RESET")
    watched.command("MIGRATE", "127.0.0.1", 1, "k", 0, 100, "AUTH", "secret")
    newest = watched.ask("SLOWLOG", "GET", 1)[0]
    assert newest[3] == [b"MIGRATE", b"127.0.0.1", b"1", b"k", b"0", b"100", b"AUTH", b"(redacted)"]
    assert newest[2] > 0


def test_a_transaction_in_one_packet_is_logged_from_its_multi_on(watched):
    watched.command("SLOWLOG", "RESET")
    watched.pipeline([[b"MULTI"], [b"SET", b"k", b"v"], [b"EXEC"]])
    assert [b"MULTI"] in logged(watched)


def test_long_vectors_and_long_arguments_are_cut_and_say_so(watched):
    watched.command("SLOWLOG", "RESET")
    watched.command("DEL", *["k%d" % number for number in range(40)])
    watched.command("SET", "k", "v" * 129)
    watched.command("SET", "k", "v" * 128)
    _, many, long, fits = logged(watched)
    assert len(many) == 32 and many[-1] == b"... (10 more arguments)"
    assert long[2] == b"v" * 128 + b"... (1 more bytes)"
    assert fits[2] == b"v" * 128


def test_secrets_are_not_logged(watched):
    watched.command("SLOWLOG", "RESET")
    watched.command("AUTH", "default", "secret")
    watched.command("HELLO", "2", "AUTH", "default", "secret")
    watched.command("CONFIG", "SET", "masterauth", "secret", "maxmemory-samples", "6")
    watched.command("ACL", "GETUSER", "secret")
    assert logged(watched)[1:] == [
        [b"AUTH", b"(redacted)", b"(redacted)"],
        [b"HELLO", b"2", b"AUTH", b"(redacted)", b"(redacted)"],
        [b"CONFIG", b"SET", b"masterauth", b"(redacted)", b"maxmemory-samples", b"6"],
        [b"ACL", b"GETUSER", b"(redacted)"],
    ]


def test_a_transaction_is_logged_by_its_commands(watched):
    watched.command("SLOWLOG", "RESET")
    for command in (("MULTI",), ("SET", "k", "1"), ("INCR", "k"), ("EXEC",)):
        watched.command(*command)
    assert logged(watched)[1:] == [[b"MULTI"], [b"SET", b"k", b"1"], [b"INCR", b"k"]]


def test_a_command_that_waited_is_logged_once_without_its_waiting(watched):
    watched.command("SLOWLOG", "RESET")
    watched.command("BLPOP", "q", "0.05")
    newest, _ = watched.ask("SLOWLOG", "GET")
    assert newest[3] == [b"BLPOP", b"q", b"0.05"] and newest[2] < 40_000
    watched.command("XREAD", "BLOCK", "1", "STREAMS", "s", "$")
    assert logged(watched)[-1] == [b"XREAD", b"BLOCK", b"1", b"STREAMS", b"s", b"$"]


def test_a_command_that_waited_is_logged_when_it_is_served(watched):
    with watched.server.wire() as waiter:
        waiter.send(encode("BLPOP", "q", "0"))
        until(lambda: b"blocked_clients:1" in watched.ask("INFO", "clients"))
        watched.command("SLOWLOG", "RESET")
        watched.command("RPUSH", "q", "x")
        assert plain(waiter.read()) == [b"q", b"x"]
    assert logged(watched)[1:] == [[b"RPUSH", b"q", b"x"], [b"BLPOP", b"q", b"0"]]


def test_the_log_keeps_the_newest_and_its_numbers_go_on(watched):
    watched.command("CONFIG", "SET", "slowlog-max-len", "3")
    for number in range(5):
        watched.command("ECHO", number)
    entries = watched.ask("SLOWLOG", "GET")
    assert [entry[3][1] for entry in entries] == [b"4", b"3", b"2"]
    watched.command("SLOWLOG", "RESET")
    assert watched.ask("SLOWLOG", "LEN") == 1  # the reset itself
    assert watched.ask("SLOWLOG", "GET", "1")[0][0] > entries[0][0]
    watched.command("CONFIG", "SET", "slowlog-max-len", "0")
    watched.command("PING")
    assert watched.ask("SLOWLOG", "LEN") == 3  # what is there stays until another entry comes
    watched.command("SLOWLOG", "RESET")
    assert watched.ask("SLOWLOG", "LEN") == 0


def test_a_negative_threshold_logs_nothing_and_a_high_one_what_is_slow(watched):
    watched.command("CONFIG", "SET", "slowlog-log-slower-than", "-1")
    watched.command("SLOWLOG", "RESET")
    watched.command("DEBUG", "SLEEP", "0.02")
    assert watched.ask("SLOWLOG", "LEN") == 0
    watched.command("CONFIG", "SET", "slowlog-log-slower-than", "15000")
    watched.command("PING")
    watched.command("DEBUG", "SLEEP", "0.02")
    assert logged(watched) == [[b"DEBUG", b"SLEEP", b"0.02"]]


# Latency -------------------------------------------------------------------------------------------------------


def test_slow_commands_are_samples_of_their_kind(watched):
    assert watched.ask("LATENCY", "LATEST") == []
    watched.command("CONFIG", "SET", "latency-monitor-threshold", "10")
    watched.command("DEBUG", "SLEEP", "0.03")
    ((event, seconds, latest, highest),) = watched.ask("LATENCY", "LATEST")
    assert event == b"command" and abs(seconds - time.time()) < 5 and 30 <= latest == highest
    assert watched.ask("LATENCY", "HISTORY", "command") == [[seconds, latest]]
    assert watched.ask("LATENCY", "HISTORY", "fast-command") == []
    graph = watched.ask("LATENCY", "GRAPH", "command").decode().split("\n")
    assert graph[0] == f"command - high {latest} ms, low {latest} ms (all time high {latest} ms)"
    assert graph[1] == "-" * 80
    assert watched.ask("LATENCY", "RESET", "nothing") == 0
    assert watched.ask("LATENCY", "RESET") == 1
    assert watched.ask("LATENCY", "GRAPH", "command") == b"-ERR No samples available for event 'command'"


def test_the_doctor_reports_each_event_and_says_what_may_help(watched):
    off = watched.ask("LATENCY", "DOCTOR")
    watched.command("CONFIG", "SET", "latency-monitor-threshold", "10")
    calm = watched.ask("LATENCY", "DOCTOR")
    watched.command("DEBUG", "SLEEP", "0.03")
    report = watched.ask("LATENCY", "DOCTOR").decode()
    assert b"latency-monitor-threshold" in off and len({off, calm, report.encode()}) == 3
    assert re.search(r"1\. command: 1 latency spikes \(average 3\dms, mean deviation 0ms, period .* sec\)", report)
    assert "SLOWLOG GET" in report
    with watched.server.wire(protocol=3) as wire:
        assert wire.command("LATENCY", "DOCTOR")[0] == b"="


def test_the_histogram_adds_up_calls_by_doubling_bounds(watched):
    for _ in range(10):
        watched.command("GET", "k")
    watched.command("OBJECT", "HELP")
    with watched.server.wire(protocol=3) as wire:
        kind, rows = wire.command("LATENCY", "HISTOGRAM", "get", "object", "nosuch", "lpush")
    assert kind == b"%"
    found = dict(plain((kind, rows)))
    assert list(found) == [b"get", b"object|help"]
    (calls, count), (word, steps) = found[b"get"]
    assert (calls, count, word) == (b"calls", 10, b"histogram_usec")
    bounds, counts = zip(*steps)
    assert set(bounds) <= {1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056, 2113, 4227, 8454, 16908, 33816, 67633}
    assert list(counts) == sorted(counts) and counts[-1] == 10
    flat = watched.ask("LATENCY", "HISTOGRAM", "get")
    assert flat[0] == b"get" and flat[1][0] == b"calls" and flat[1][2] == b"histogram_usec"


def test_an_expiry_that_takes_long_is_an_event(watched):
    watched.command("CONFIG", "SET", "latency-monitor-threshold", "1")
    watched.command("DEBUG", "SET-ACTIVE-EXPIRE", 0)  # all at once, after the last one is set
    watched.pipeline([[b"SET", b"k%d" % number, b"v", b"PX", b"1"] for number in range(20000)])
    watched.command("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    deadline = time.monotonic() + 10
    while b"expire-cycle" not in [event[0] for event in watched.ask("LATENCY", "LATEST")]:
        assert time.monotonic() < deadline


def test_the_command_that_lowers_the_threshold_is_judged_by_the_new_one(watched):
    watched.command("CONFIG", "SET", "slowlog-log-slower-than", "-1")
    watched.command("SLOWLOG", "RESET")
    watched.command("CONFIG", "SET", "slowlog-log-slower-than", "0")
    assert [entry[3][0] for entry in watched.ask("SLOWLOG", "GET")] == [b"CONFIG"]
