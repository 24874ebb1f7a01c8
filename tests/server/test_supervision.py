"""What the process that watches over a server is told."""

from __future__ import annotations

import os
import signal
import socket
import tempfile

import pytest

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="supervisors listen on unix sockets")


@pytest.fixture
def manager():
    """A socket as systemd's: `manager.told(3)` are the next messages."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        path = os.path.join(folder, "notify")
        sock.bind(path)
        yield sock, path


def messages(sock: socket.socket, count: int) -> list[str]:
    return [sock.recv(4096).decode() for _ in range(count)]


def test_systemd_is_told_of_loading_readiness_and_the_end(start_server, manager):
    sock, path = manager
    server = start_server("--supervised", "systemd", "--save", "", env={"NOTIFY_SOCKET": path})
    loading, ready = messages(sock, 2)
    assert loading.startswith("STATUS=Redis is loading")
    assert "READY=1" not in loading
    assert ready == "STATUS=Ready to accept connections\nREADY=1\n"
    server.signal(signal.SIGTERM)
    assert messages(sock, 1) == ["STOPPING=1\n"]
    assert server.wait() == 0


def test_an_abstract_address_and_auto(start_server):
    name = "rediselect-test-%d" % os.getpid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind("\0" + name)
        except OSError:
            pytest.skip("no abstract names here")
        sock.settimeout(20)
        start_server("--supervised", "auto", "--save", "", env={"NOTIFY_SOCKET": "@" + name})
        assert "READY=1\n" in messages(sock, 2)[1]


def test_a_server_under_a_supervisor_does_not_become_a_daemon(start_server, manager):
    sock, path = manager
    server = start_server("--supervised", "systemd", "--daemonize", "yes", "--save", "", env={"NOTIFY_SOCKET": path})
    messages(sock, 2)
    with server.wire() as wire:
        assert b"process_id:%d\r\n" % server.pid in wire.ask("INFO", "server")


def test_a_supervisor_that_is_asked_for_and_absent_is_a_warning(start_server):
    server = start_server("--supervised", "systemd", "--save", "")
    assert "NOTIFY_SOCKET is not in the environment" in server.log()


def test_nobody_is_told_unless_asked(start_server, manager):
    sock, path = manager
    server = start_server("--save", "", env={"NOTIFY_SOCKET": path})
    server.stop()
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(10)
