"""MONITOR: who sees what, and what it costs when nobody looks; the lines themselves stand in tests/oracle."""

from __future__ import annotations

import re
import time

from tests.harness.wire import encode

LINE = re.compile(rb'(\d+)\.(\d{6}) \[0 (127\.0\.0\.1:\d+)\] "SET" "k" "v"')


def test_a_line_has_the_time_and_the_address(server, wire):
    with server.wire() as monitor:
        assert monitor.ask("MONITOR") == b"OK"
        wire.command("SET", "k", "v")
        kind, text = monitor.read()
    seconds, _, address = LINE.fullmatch(text).groups()
    assert kind == b"+"
    assert abs(int(seconds) - time.time()) < 5
    assert address == b"%s:%d" % (wire.socket.getsockname()[0].encode(), wire.socket.getsockname()[1])


def test_a_line_is_one_line_of_printable_ascii_whatever_was_sent(server, wire):
    with server.wire() as monitor:
        monitor.command("MONITOR")
        wire.command("SET", b'\r\n\t\a\b\\"\x00\x7f\xff', "x")
        text = monitor.read()[1]
    assert text.endswith(rb'"SET" "\r\n\t\a\b\\\"\x00\x7f\xff" "x"')


def test_monitors_of_every_kind_see_the_same(server, wire):
    with server.wire() as plain_one, server.wire(protocol=3) as new_one:
        plain_one.command("MONITOR")
        new_one.command("MONITOR")
        wire.command("SET", "k", "v")
        assert plain_one.read() == new_one.read()


def test_client_list_marks_a_monitor_until_it_resets(server, wire):
    with server.wire() as monitor:
        monitor.command("MONITOR")
        number = [line for line in wire.ask("CLIENT", "LIST").split(b"\n") if b" flags=O " in line]
        assert len(number) == 1
        monitor.command("RESET")
        assert b" flags=O " not in wire.ask("CLIENT", "LIST")
        assert monitor.ask("GET", "k") is None  # an ordinary client again


def test_a_monitor_that_goes_leaves_nothing_behind(server, wire):
    with server.wire() as monitor:
        monitor.command("MONITOR")
        monitor.send(encode("QUIT"))
        assert monitor.read_until_closed() == b"+OK\r\n"
    for _ in range(50):
        assert wire.ask("SET", "k", "v") == b"OK"
    assert b" flags=O " not in wire.ask("CLIENT", "LIST")


def test_redis_py_monitors(client):
    with client.monitor() as monitor:
        client.set("k", "v")
        commands = []
        while not any(command.startswith("SET") for command in commands):
            commands.append(monitor.next_command()["command"])


def test_monitors_see_an_exec_that_was_refused(server, wire):
    with server.wire() as monitor:
        monitor.command("MONITOR")
        wire.command("MULTI")
        assert wire.ask("EXEC", "x").startswith(b"-EXECABORT")
        wire.command("PING")
        seen = [monitor.read()[1].split(b"] ")[1] for _ in range(3)]
    assert [line.lower() for line in seen] == [b'"multi"', b'"exec" "x"', b'"ping"']
