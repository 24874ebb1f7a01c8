"""The loop itself, in process: what a fault in one connection means for the others."""

from __future__ import annotations

import socket

import pytest

from server import dispatch
from server.app import Application
from server.config.command_line import configure
from server.log import Log
from server.polling import MAX_EVENTS, READ, Poller


@pytest.fixture
def app(tmp_path):
    config = configure(["--port", "0", "--save", "", "--unixsocket", str(tmp_path / "socket")])
    app = Application(config, Log("nothing"))
    app.listening.open()
    yield app
    app.close()


def connect(app) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(app.config.unixsocket)
    app.reactor.turn(0.1)
    return client


def test_a_fault_while_one_client_is_served_ends_that_client_only(app, monkeypatch):
    with connect(app) as unlucky, connect(app) as other:
        first = next(iter(app.services.clients))
        run = app.services.dispatch.run

        def fail_for_first(session):
            if session is first:
                raise RuntimeError("a fault")
            return run(session)

        monkeypatch.setattr(app.services.dispatch, "run", fail_for_first)
        unlucky.sendall(b"PING\r\n")
        other.sendall(b"PING\r\n")
        app.reactor.turn(0.1)
        assert other.recv(100) == b"+PONG\r\n"
        assert unlucky.recv(100) == b""
        assert app.services.stats.unexpected_errors == 1


def test_an_idle_loop_waits_for_its_next_timer_and_no_less(app):
    with connect(app):
        app.reactor.turn(0.0)
        assert app.reactor.wait_s() > 60
        app.services.config.set([(b"timeout", b"30")])
        assert 25 < app.reactor.wait_s() <= 30.1
        app.services.config.set([(b"timeout", b"0")])
        assert app.reactor.wait_s() > 60


def test_a_client_is_closed_only_after_timeout_seconds_of_silence(app):
    with connect(app) as silent, connect(app) as talking:
        app.services.config.set([(b"timeout", b"1000")])
        for session in app.services.clients:
            session.used_ms -= 1_000_500
        talking.sendall(b"PING\r\n")
        app.reactor.turn(0.1)
        app.services.limits.close_idle()
        app.reactor.turn(0.0)
        assert talking.recv(100) == b"+PONG\r\n"
        assert silent.recv(100) == b""
        assert len(app.services.clients) == 1


@pytest.mark.parametrize("line", [b"nosuch\r\n", b"GET\r\n", b"*1\r\n$3\r\nGET\r\n", b"DEBUG SLEEP 0\r\n"])
def test_refused_commands_use_up_a_turn_like_others(app, monkeypatch, line):
    monkeypatch.setattr(dispatch, "BUDGET_NS", 0)
    with connect(app) as refused, connect(app) as other:
        refused.sendall(line * 3 + b"PING\r\n")
        other.sendall(b"PING\r\n")
        app.reactor.turn(0.1)
        assert other.recv(100) == b"+PONG\r\n"
        received = refused.recv(1000)
        assert received.count(b"-ERR") == 1
        for _ in range(5):
            app.reactor.turn(0.0)
        received += refused.recv(1000)
        assert received.count(b"-ERR") == 3 and received.endswith(b"\r\n+PONG\r\n")


def test_commands_of_who_leaves_no_stamps_use_up_a_turn_like_others(app, monkeypatch):
    with connect(app) as unseen, connect(app) as other:
        unseen.sendall(b"CLIENT NO-TOUCH ON\r\n")
        app.reactor.turn(0.1)
        assert unseen.recv(100) == b"+OK\r\n"
        monkeypatch.setattr(dispatch, "BUDGET_NS", 0)
        unseen.sendall(b"STRLEN k\r\n" * 3)
        other.sendall(b"PING\r\n")
        app.reactor.turn(0.1)
        assert other.recv(100) == b"+PONG\r\n"
        received = unseen.recv(100)
        assert received == b":0\r\n"
        for _ in range(4):
            app.reactor.turn(0.0)
        assert unseen.recv(100) == b":0\r\n" * 2


def test_a_turn_hears_some_of_a_crowd_and_the_next_turns_the_others():
    poller = Poller()
    if poller.epoll is None:
        pytest.skip("another selector")
    pairs = [socket.socketpair() for _ in range(2 * MAX_EVENTS + 10)]
    try:
        for number, (ours, theirs) in enumerate(pairs):
            poller.register(ours, READ, number)
            theirs.close()
        heard = [[target for target, _ in poller.poll(0)] for _ in range(3)]
        assert [len(targets) for targets in heard] == [MAX_EVENTS] * 3
        assert set().union(*heard) == set(range(len(pairs)))
    finally:
        poller.close()
        for ours, theirs in pairs:
            ours.close()
            theirs.close()
