"""The loop itself, in process: what a fault in one connection means for the others."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from time import monotonic

import pytest

from server import dispatch, reactor
from server.app import Application
from server.config.command_line import configure
from server.log import Log
from server.polling import MAX_EVENTS, READ, Poller
from server.reactor import FAULT_PAUSE_S


@pytest.fixture
def app(tmp_path, monkeypatch):
    # Whoever is heard in a turn is served in it, however busy the machine is.
    monkeypatch.setattr(reactor, "TURN_BUDGET_NS", 10**12)
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


def fail(*_):
    raise OSError("too many open files")


def ask(app, client) -> bytes:
    client.sendall(b"PING\r\n")
    app.reactor.turn(0.1)
    return client.recv(100)


def test_a_timer_that_fails_is_tried_again_and_the_others_run(app):
    calls = []

    def fail_once():
        calls.append("first")
        if len(calls) == 1:
            fail()

    now_s = monotonic()
    app.services.timers.at(now_s, fail_once)
    app.services.timers.at(now_s, lambda: calls.append("other"))
    app.services.timers.run_due(now_s)
    assert calls == ["first", "other"]
    app.services.timers.run_due(monotonic() + FAULT_PAUSE_S)
    assert calls == ["first", "other", "first"]
    assert app.services.stats.unexpected_errors == 1


def test_a_step_before_sleeping_that_fails_keeps_nobody_from_being_answered(app):
    app.reactor.before_sleep = [fail, *app.reactor.before_sleep]
    with connect(app) as client:
        assert ask(app, client) == b"+PONG\r\n"
    assert app.services.stats.unexpected_errors > 0


def test_a_watched_socket_that_fails_does_not_end_the_turn(app):
    ours, theirs = socket.socketpair()
    with ours, theirs, connect(app) as client:
        app.reactor.watch(ours, fail)
        theirs.send(b"x")
        assert ask(app, client) == b"+PONG\r\n"
        app.reactor.unwatch(ours)


def test_the_loop_goes_on_after_a_turn_that_failed_and_sends_what_it_left(app, monkeypatch):
    messages = []

    class Heard(Log):
        def warning(self, text: str) -> None:
            messages.append(text)

    app.services.log = Heard("nothing")
    write_all, turns = app.reactor.write_all, []

    def fail_first(ready):
        turns.append(1)
        if len(turns) <= 2:
            fail()
        if len(turns) == 4:
            app.reactor.stop()
        write_all(ready)

    def tick() -> None:  # so that there is another turn, and one more, however long one takes
        app.services.timers.at(monotonic() + 0.001, tick)

    with connect(app) as client:
        client.sendall(b"PING\r\n")
        monkeypatch.setattr(app.reactor, "write_all", fail_first)
        tick()
        app.reactor.run()
        assert client.recv(100) == b"+PONG\r\n"
    assert len(messages) == 1 and "too many open files" in messages[0]  # two faults, one entry


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


@pytest.mark.parametrize("most", [10, 3])
def test_no_turn_lets_more_clients_in_than_max_new_connections_per_cycle(app, most):
    app.config.max_new_connections_per_cycle = most
    with ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(app.config.unixsocket)
        counts = [0]
        while counts[-1] < 40:
            app.reactor.turn(0.1)
            counts.append(len(app.services.clients))
        assert max(after - before for before, after in zip(counts, counts[1:])) == most


def test_who_has_connected_is_there_for_those_who_ask_behind_it(app):
    with connect(app) as inside, ExitStack() as stack:
        for _ in range(5):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(app.config.unixsocket)
        inside.sendall(b"CLIENT LIST\r\n")
        app.reactor.turn(0.1)
        assert inside.recv(10_000).count(b"\nid=") == 6


def test_what_a_new_client_has_sent_already_needs_no_waiting_for(app):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(app.config.unixsocket)
        client.sendall(b"PING\r\n")
        app.reactor.turn(0.1)
        assert not app.reactor.wait_s()
        app.reactor.turn(0.0)
        assert client.recv(100) == b"+PONG\r\n"
