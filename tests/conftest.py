"""Fixtures: servers that end with the test that asked for them, whatever becomes of it.

server          this server, one process for the whole run, emptied before each test; for tests that only talk
restored        `server` with statistics and logs as new, whose settings and users are put back after the test
start_server    a function: start_server("--maxclients", 3) is a process of the test's own
wire            a raw connection to `server`; wire3 speaks RESP3
real_server     one real redis-server for the run, emptied before each test
start_real      a function, as start_server
client          redis-py on `server`, in RESP2

Where there is no real server, tests that need one are skipped, except with REDISELECT_CI=1, where they fail.
"""

from __future__ import annotations

import os

import pytest

from tests.harness import processes
from tests.harness.wire import Wire

IN_CI = os.environ.get("REDISELECT_CI") == "1"


def pytest_addoption(parser):
    group = parser.getgroup("oracle")
    group.addoption(
        "--oracle-commands",
        type=int,
        default=int(os.environ.get("REDISELECT_ORACLE_COMMANDS", "0")),
        help="commands to compare, over all groups (default: 20000; 200000 with REDISELECT_CI=1)",
    )
    group.addoption(
        "--oracle-seed",
        type=int,
        default=int(os.environ.get("REDISELECT_ORACLE_SEED", "1")),
        help="seed of the command sequences",
    )


def pytest_collection_modifyitems(items):
    for item in items:
        folder = item.path.parent.name
        if folder in ("wire", "oracle"):
            item.add_marker(folder)


def require_real_server() -> None:
    if processes.real_binary() is None:
        reason = "no redis-server on the path to compare with"
        if IN_CI:
            pytest.fail(f"{reason}, and REDISELECT_CI=1 does not let this pass unseen")
        pytest.skip(reason)


def empty(server: processes.Server) -> None:
    with server.wire() as wire:
        wire.command("FLUSHALL")


@pytest.fixture
def start_server(tmp_path_factory):
    """Start this server with the given options; every one started is ended after the test."""
    started = []

    def start(*args, **options):
        options.setdefault("directory", tmp_path_factory.mktemp("server"))
        server = processes.start_own(*args, **options)
        started.append(server)
        return server

    yield start
    processes.end_all(started)


@pytest.fixture
def start_real(tmp_path_factory):
    """Start a real server with the given options; every one started is ended after the test."""
    require_real_server()
    started = []

    def start(*args, **options):
        options.setdefault("directory", tmp_path_factory.mktemp("real"))
        server = processes.start_real(*args, **options)
        started.append(server)
        return server

    yield start
    processes.end_all(started)


@pytest.fixture(scope="session")
def _shared_server(tmp_path_factory):
    holder = {}

    def get():
        server = holder.get("server")
        if server is None or not server.is_alive():
            if server is not None:
                server.stop()
            server = holder["server"] = processes.start_own(
                "--save", "", "--enable-debug-command", "yes", directory=tmp_path_factory.mktemp("shared")
            )
        return server

    yield get
    if "server" in holder:
        holder["server"].stop()


@pytest.fixture
def server(_shared_server, request):
    """This server, empty. A test that ends it fails, and the next test gets a new one."""
    server = _shared_server()
    empty(server)
    yield server
    assert server.is_alive(), f"the server ended during {request.node.name}:\n{server.log()[-3000:]}"


def forget(wire: Wire) -> None:
    """Drop what the server counts and logs of commands."""
    for words in ("CONFIG RESETSTAT", "ACL LOG RESET", "SLOWLOG RESET", "LATENCY RESET"):
        wire.command(*words.split())


def settings(wire: Wire) -> dict[bytes, bytes]:
    found = wire.ask("CONFIG", "GET", "*")
    return dict(zip(found[::2], found[1::2]))


@pytest.fixture
def restored(server):
    """`server` for tests that change settings and users: a process of their own would take most of their time."""
    with server.wire() as wire:
        before = settings(wire)
        forget(wire)
    yield server
    with server.wire() as wire:
        users = wire.ask("ACL", "USERS")
        users.remove(b"default")
        if users:
            wire.command("ACL", "DELUSER", *users)
        changed = [name for name, value in settings(wire).items() if value != before[name]]
        if changed:
            words = [word for name in changed for word in (name, before[name])]
            assert wire.command("CONFIG", "SET", *words) == (b"+", b"OK")
        forget(wire)


@pytest.fixture(scope="session")
def _shared_real(tmp_path_factory):
    require_real_server()
    server = processes.start_real(directory=tmp_path_factory.mktemp("real"))
    yield server
    server.stop()


@pytest.fixture
def real_server(_shared_real):
    """A real redis-server, empty."""
    empty(_shared_real)
    return _shared_real


@pytest.fixture
def wire(server):
    with server.wire() as wire:
        yield wire


@pytest.fixture
def wire3(server):
    with server.wire(protocol=3) as wire:
        yield wire


@pytest.fixture
def client(server):
    redis = pytest.importorskip("redis")
    with redis.Redis(port=server.port, protocol=2) as client:
        yield client
