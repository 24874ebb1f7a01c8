"""What the loop promises: nobody starves, nobody is stalled, an idle server sleeps."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from tests.harness.wire import encode, encode_all

LINUX = sys.platform.startswith("linux")


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not LINUX, reason="reads the process's account under /proc")
def test_a_thousand_idle_connections_use_no_cpu_worth_naming(start_server):
    server = start_server("--save", "")
    wires = [server.wire() for _ in range(1000)]
    try:
        for wire in wires[::100]:
            assert wire.ask("PING") == b"PONG"
        before = cpu_seconds(server.pid)
        time.sleep(1)  # the claim is about time that passes
        assert cpu_seconds(server.pid) - before < 0.015  # it is counted in hundredths
    finally:
        for wire in wires:
            wire.close()


def test_a_pipeliner_without_end_does_not_starve_another_client(server):
    stop = threading.Event()
    batch = encode_all([(b"SET", b"k%d" % i, b"v" * 20) for i in range(2000)])

    def pipeline() -> None:
        with server.wire() as wire:
            while not stop.is_set():
                wire.send(batch)
                wire.read_many_raw(2000)

    threads = [threading.Thread(target=pipeline) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        with server.wire() as wire:
            slowest = 0.0
            for _ in range(60):
                start = time.perf_counter()
                assert wire.ask("PING") == b"PONG"
                slowest = max(slowest, time.perf_counter() - start)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert slowest < 1.0


@pytest.mark.skipif(not LINUX, reason="reads the process's memory under /proc")
def test_asking_for_a_large_value_ten_thousand_times_in_one_packet_stops_at_the_limit(start_server):
    server = start_server("--save", "", "--client-output-buffer-limit", "normal 20mb 0 0")
    with server.wire() as wire:
        wire.command("SET", "big", "x" * 1_000_000)
        before = resident_bytes(server.pid)
        with server.wire() as greedy:
            greedy.send(encode("GET", "big") * 10_000)
            greedy.read_until_closed()
        assert resident_bytes(server.pid) - before < 100_000_000
        assert wire.ask("PING") == b"PONG"


def test_pipelining_ten_thousand_commands_before_reading_a_reply_does_not_deadlock(wire):
    count = 10_000
    sender = threading.Thread(target=wire.send, args=(encode("ECHO", "y" * 1000) * count, 60))
    sender.start()
    replies = wire.read_many_raw(count, 60)
    sender.join()
    assert set(replies) == {b"$1000\r\n" + b"y" * 1000 + b"\r\n"}


def test_keys_that_fall_due_together_do_not_stall_other_clients(server, wire):
    wire.command("DEBUG", "SET-ACTIVE-EXPIRE", 0)  # until all are set
    for start in range(0, 50_000, 5000):
        wire.pipeline([(b"SET", b"key:%d" % number, b"v", b"PX", b"1") for number in range(start, start + 5000)])
    wire.command("SET", "stays", "v")
    slowest = 0.0
    with server.wire() as other:
        assert other.ask("DBSIZE") == 50_001
        wire.send(encode("DEBUG", "SET-ACTIVE-EXPIRE", 1))
        ends_s = time.monotonic() + 10
        while True:
            start = time.perf_counter()
            assert other.ask("GET", "stays") == b"v"
            slowest = max(slowest, time.perf_counter() - start)
            if other.ask("DBSIZE") == 1:
                break
            assert time.monotonic() < ends_s
        assert wire.read() == (b"+", b"OK")
    assert slowest < 0.25


def test_what_was_sent_before_a_half_close_is_answered(server):
    with server.wire() as wire:
        wire.send(encode("INCR", "n") * 3000)
        wire.socket.shutdown(1)
        data = wire.read_until_closed()
    assert data.endswith(b":3000\r\n")


def test_a_flood_of_connections_that_come_and_go_leaves_the_server_well(server, wire):
    for round_ in range(300):
        other = server.wire()
        if round_ % 3 == 0:
            other.send(b"*3\r\n$3\r\nSET\r\n$1000\r\nhalf")
        elif round_ % 3 == 1:
            other.send(encode("PING"))
        other.close()
    assert wire.ask("PING") == b"PONG"
