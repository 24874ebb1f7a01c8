"""What a client's TCP socket is set to, whether its listener passes that on or not."""

from __future__ import annotations

import socket

import pytest

from server import socket_options
from server.app import Application
from server.config.command_line import configure
from server.log import Log

KEEPALIVE_S = 77


@pytest.fixture(params=["inherited", "not inherited"])
def app(request, tmp_path, monkeypatch):
    if request.param == "not inherited":
        apply = socket_options.apply

        def apply_to_clients(sock, keepalive_s):
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                apply(sock, keepalive_s)

        monkeypatch.setattr(socket_options, "apply", apply_to_clients)
    with socket.socket() as listening:  # bound before, as by whoever embeds the server: the port is ours
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        listening.setblocking(False)
        port = listening.getsockname()[1]
        options = ["--port", str(port), "--save", "", "--dir", str(tmp_path), "--tcp-keepalive", str(KEEPALIVE_S)]
        app = Application(configure(options), Log("nothing"))
        app.listening.bound_before = [listening]
        app.listening.open()
        yield app
        app.close()


def accepted(app) -> socket.socket:
    """The server's end of a new connection; the client's is closed."""
    with socket.create_connection(("127.0.0.1", app.config.port)):
        app.reactor.turn(0.5)
    return list(app.services.clients)[-1].connection.socket


def test_each_socket_has_the_options_of_the_time_it_came(app):
    for seconds in (KEEPALIVE_S, KEEPALIVE_S, 300, 0, 60):
        if seconds != app.config.tcp_keepalive:
            app.config.set([(b"tcp-keepalive", b"%d" % seconds)])
        assert socket_options.are_set(accepted(app), seconds)


def test_a_socket_that_lacks_one_option_is_told_apart():
    with socket.socket() as sock:
        for seconds in (0, 60):
            socket_options.apply(sock, seconds)
            assert socket_options.are_set(sock, seconds)
            for level, name, value in socket_options.options(seconds):
                sock.setsockopt(level, name, 0 if value == 1 else 1 if value == 0 else value + 1)
                assert not socket_options.are_set(sock, seconds)
                sock.setsockopt(level, name, value)


def test_macos_has_another_name_for_the_time_before_the_first_probe(monkeypatch):
    monkeypatch.delattr(socket, "TCP_KEEPIDLE", raising=False)
    monkeypatch.setattr(socket, "TCP_KEEPALIVE", 0x10, raising=False)
    assert (socket.IPPROTO_TCP, 0x10, KEEPALIVE_S) in socket_options.options(KEEPALIVE_S)
