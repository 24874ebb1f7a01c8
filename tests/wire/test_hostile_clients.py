"""Clients that mean harm or know no better: whatever they send and however they go, nothing of them stays."""

from __future__ import annotations

import random
import socket
import time

from scripts.hostile import PASSWORD, Crowd

CONNECTIONS = 1500  # scripts/hostile.py does it with 20,000
AT_ONCE = 150
LOG_LINES_A_SECOND = 10


def field(wire, section: str, name: str) -> int:
    return int(wire.ask("INFO", section).split(b"\r\n%b:" % name.encode())[1].split(b"\r\n")[0])


def one_round(server, chance: random.Random, count: int) -> None:
    """Connect, misbehave, and go away in all the ways there are."""
    crowd = Crowd(server.address, chance, AT_ONCE)
    for _ in range(count):
        crowd.come(1)
        crowd.dribble()
    crowd.disperse()


def wait_until_alone(wire) -> None:
    ends_s = time.monotonic() + 20
    while field(wire, "clients", "connected_clients") > 1:
        assert time.monotonic() < ends_s, "clients that are gone are still there"


def test_a_crowd_of_broken_clients_leaves_neither_memory_nor_lines_behind(start_server):
    server = start_server("--requirepass", PASSWORD)
    chance = random.Random(11)
    with server.wire() as wire:
        wire.command("AUTH", PASSWORD)
        wire.command("SET", "big", b"x" * 20_000)
        one_round(server, chance, CONNECTIONS)  # what is loaded, cached or laid out once is there from now on
        wait_until_alone(wire)
        before = field(wire, "memory", "used_memory")
        lines = server.log_path.read_bytes().count(b"\n")
        started_s = time.monotonic()
        one_round(server, chance, CONNECTIONS)
        wait_until_alone(wire)
        took_s = time.monotonic() - started_s
        assert field(wire, "memory", "used_memory") < 1.1 * before
        assert field(wire, "stats", "unexpected_error_replies") == 0
        for name in ("blocked_clients", "pubsub_clients", "watching_clients", "total_blocking_keys"):
            assert field(wire, "clients", name) == 0
    log = server.log_path.read_bytes()
    assert log.count(b"\n") - lines <= LOG_LINES_A_SECOND * max(1.0, took_s)
    assert b"Traceback" not in log


def test_a_byte_a_time_from_many_holds_up_nobody(start_server):
    server = start_server()
    vector = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"
    slow = [socket.create_connection(server.address, 10) for _ in range(100)]
    with server.wire() as wire:
        for at in range(len(vector)):
            for sock in slow:
                sock.sendall(vector[at : at + 1])
            assert wire.ask("PING") == b"PONG"
        for sock in slow:
            assert sock.recv(10) == b"+OK\r\n"
            sock.close()


def test_before_logging_in_nobody_makes_the_server_hold_megabytes(start_server):
    server = start_server("--requirepass", "pw")
    with server.wire() as wire:
        wire.command("AUTH", "pw")
        before = field(wire, "memory", "used_memory")
        hostile = [socket.create_connection(server.address, 10) for _ in range(50)]
        for sock in hostile:
            sock.sendall(b"*2\r\n$4\r\nAUTH\r\n$100000000\r\n")
            assert sock.recv(1000) == b"-ERR Protocol error: unauthenticated bulk length\r\n"
            sock.close()
        assert field(wire, "memory", "used_memory") < before + 2_000_000
