"""The first SCAN of many keys, in process: who waits for the index, and who does not."""

from __future__ import annotations

import socket

import pytest

from server import admission, index_growth
from server.app import Application
from server.config.command_line import configure
from server.log import Log
from storage.entries import BATCH
from storage.scan_index import GROWS_FROM, HashIndex
from storage.types.hash import Hash
from storage.types.set import Set
from tests.harness.wire import encode

KEYS = GROWS_FROM + 2000
TURNS = KEYS // BATCH


@pytest.fixture
def app(tmp_path, monkeypatch):
    # One batch of keys a turn, however fast the machine is.
    monkeypatch.setattr(index_growth, "GROWING_NS", 0)
    monkeypatch.setattr(index_growth, "GROWING_NS_WHILE_WAITING", 0)
    config = configure(["--port", "0", "--save", "", "--unixsocket", str(tmp_path / "socket")])
    app = Application(config, Log("nothing"))
    app.listening.open()
    fill(app)
    yield app
    app.close()


def fill(app, number: int = 0) -> None:
    for key in range(KEYS):
        app.services.keyspace.databases[number].put(b"key:%d" % key, b"v")


@pytest.fixture
def connect(app):
    opened = []

    def open_one() -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(app.config.unixsocket)
        app.reactor.turn(0.1)
        opened.append(client)
        return client

    yield open_one
    for client in opened:
        client.close()


def answer(app, client: socket.socket, *words: str) -> bytes:
    client.sendall(encode(*words))
    return read(app, client)


def read(app, client: socket.socket, end: bytes = b"\r\n") -> bytes:
    """What comes, up to `end`. A turn that was long, on a busy machine, leaves a client or its bytes to the next."""
    data = b""
    app.reactor.turn(0.1)
    while not data.endswith(end):
        while is_silent(client):
            app.reactor.turn(0.1)
        data += client.recv(1 << 20)
    return data


def is_silent(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        client.settimeout(5)
    return False


def turns_until_served(app) -> int:
    turns = 0
    while not app.reactor.wait_s():
        app.reactor.turn(0.0)
        turns += 1
    return turns


def sessions(app):
    return list(app.services.clients)


def test_the_first_scan_of_many_keys_waits_while_others_are_served_and_keeps_its_place_in_the_pipeline(app, connect):
    asking, other = connect(), connect()
    asking.sendall(encode("PING") + encode("SCAN", "0", "COUNT", str(2 * KEYS)) + encode("ECHO", "after"))
    assert read(app, asking) == b"+PONG\r\n"
    assert answer(app, other, "SET", "new", "v") == b"+OK\r\n"
    assert answer(app, other, "DEL", "key:1", "key:%d" % (KEYS - 1)) == b":2\r\n"
    assert answer(app, other, "CLIENT", "UNBLOCK", str(sessions(app)[0].id)) == b":0\r\n"
    assert b"blocked_clients:0\r\n" in answer(app, other, "INFO", "clients")
    assert answer(app, other, "CLIENT", "LIST").count(b" flags=U ") == 2
    assert is_silent(asking)
    assert turns_until_served(app) > TURNS // 2
    reply = read(app, asking, b"$5\r\nafter\r\n")
    assert reply.startswith(b"*2\r\n$1\r\n0\r\n*%d\r\n" % (KEYS - 1)) and b"\r\nnew\r\n" in reply
    # From now on nobody waits.
    before = app.services.stats.turns
    assert answer(app, asking, "SCAN", "0").startswith(b"*2\r\n")
    assert app.services.stats.turns - before < TURNS // 2


def test_random_keys_wait_for_no_index_where_entries_are_found_by_their_places(app, connect):
    if not app.services.keyspace.entries.can_jump:
        pytest.skip("this interpreter's dictionaries cannot be entered in the middle")
    assert answer(app, connect(), "RANDOMKEY").startswith(b"$")
    assert app.services.keyspace.databases[0].index is None


def test_random_keys_wait_for_the_index_where_there_is_no_other_way(app, connect):
    app.services.keyspace.entries._is_tried = True
    client = connect()
    client.sendall(encode("RANDOMKEY"))
    app.reactor.turn(0.1)
    assert is_silent(client)
    turns_until_served(app)
    assert client.recv(100).startswith(b"$")


def test_in_a_transaction_the_index_is_made_at_once(app, connect):
    client = connect()
    client.sendall(encode("MULTI") + encode("SCAN", "0", "COUNT", str(2 * KEYS)) + encode("EXEC"))
    app.reactor.turn(0.1)
    assert client.recv(1 << 20).startswith(b"+OK\r\n+QUEUED\r\n*1\r\n*2\r\n$1\r\n0\r\n*%d\r\n" % KEYS)


def test_few_keys_are_indexed_at_once(app, connect):
    client = connect()
    assert answer(app, client, "FLUSHALL") == b"+OK\r\n"
    answer(app, client, "SET", "k", "v")
    assert answer(app, client, "SCAN", "0") == b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"


def test_a_client_that_leaves_while_it_waits_leaves_nothing_behind(app, connect):
    leaving, killed, other = connect(), connect(), connect()
    killed_id = sessions(app)[1].id
    for client in (leaving, killed):
        client.sendall(encode("SCAN", "0"))
    app.reactor.turn(0.1)
    leaving.close()
    app.reactor.turn(0.1)
    assert answer(app, other, "CLIENT", "KILL", "ID", str(killed_id)) == b":1\r\n"
    assert len(sessions(app)) == 1
    turns_until_served(app)
    assert answer(app, other, "PING") == b"+PONG\r\n"


@pytest.mark.parametrize("deed", ["FLUSHALL", "SWAPDB 0 1", "SWAPDB 0 2"])
def test_who_waits_scans_what_its_database_holds_when_it_is_served(app, connect, deed):
    fill(app, 2)
    asking, other = connect(), connect()
    asking.sendall(encode("SCAN", "0", "COUNT", str(2 * KEYS)))
    app.reactor.turn(0.1)
    assert answer(app, other, *deed.split()) == b"+OK\r\n"
    turns_until_served(app)
    count = KEYS if deed.endswith("2") else 0
    assert asking.recv(1 << 20).startswith(b"*2\r\n$1\r\n0\r\n*%d\r\n" % count)
    app.services.keyspace._check()


def test_a_turn_of_making_the_index_ends_after_its_budget(app, connect):
    batches = []
    database = app.services.keyspace.databases[0]
    asking = connect()
    asking.sendall(encode("SCAN", "0"))
    app.reactor.turn(0.1)
    before = len(database.index)
    for _ in range(5):
        app.reactor.turn(0.0)
        batches.append(len(database.index) - before)
        before = len(database.index)
    assert set(batches) == {BATCH}


@pytest.mark.parametrize("name", ["HSCAN", "SSCAN"])
@pytest.mark.parametrize("deed", ["PING", "DEL", "SET"])
def test_the_first_scan_of_a_large_hash_or_set_waits_as_well(app, connect, name, deed):
    limits = app.services.keyspace.limits
    value = Hash() if name == "HSCAN" else Set()
    for number in range(KEYS):
        value.put(b"%d" % number, b"v", limits) if name == "HSCAN" else value.add(b"m%d" % number, limits)
    app.services.keyspace.databases[0].put(b"large", value)
    asking, other = connect(), connect()
    asking.sendall(encode(name, "large", "0", "COUNT", str(KEYS - 1)))
    app.reactor.turn(0.1)
    assert is_silent(asking)
    if deed == "DEL":
        assert answer(app, other, "DEL", "large") == b":1\r\n"
    elif deed == "SET":
        assert answer(app, other, "SET", "large", "v") == b"+OK\r\n"
    turns = turns_until_served(app)
    reply = asking.recv(1 << 20)
    if deed == "PING":
        assert turns > TURNS // 2 and reply.count(b"\r\n$") >= KEYS - 1
        value._check()
    else:
        assert reply.startswith(b"*2\r\n$1\r\n0\r\n*0\r\n" if deed == "DEL" else b"-WRONGTYPE")


def test_random_members_of_a_large_set_do_not_wait_for_its_index_which_each_of_them_carries_on(app, connect):
    if not app.services.keyspace.entries.can_jump:
        pytest.skip("this interpreter's dictionaries cannot be entered in the middle")
    client = connect()
    value = Set()
    value.add_many([b"m%d" % number for number in range(KEYS)], app.services.keyspace.limits)
    app.services.keyspace.databases[0].put(b"large", value)
    for line in ("SRANDMEMBER large", "SRANDMEMBER large 50", "SRANDMEMBER large -50", "SPOP large", "SPOP large 50"):
        assert answer(app, client, *line.split())[:1] in b"*$"
    assert 4 * BATCH < len(value.index) <= 5 * BATCH and len(value) == KEYS - 51
    for _ in range(TURNS):
        assert answer(app, client, "SRANDMEMBER", "large", "50").count(b"$") == 50
    assert value.index.__class__ is HashIndex
    value._check()


@pytest.mark.parametrize("line", ["HSCAN small 0 COUNT 1000", "SSCAN small 0 COUNT 1000"])
def test_what_a_scan_returns_whole_gets_no_index(app, connect, line):
    limits = app.services.keyspace.limits
    value = Hash() if line[0] == "H" else Set()
    for number in range(600):
        value.put(b"%d" % number, b"v", limits) if line[0] == "H" else value.add(b"m%d" % number, limits)
    app.services.keyspace.databases[0].put(b"small", value)
    assert answer(app, connect(), *line.split()).startswith(b"*2\r\n$1\r\n0\r\n")
    assert value.index is None


def test_who_waits_when_the_keys_are_loaded_anew_scans_what_was_loaded(app, connect):
    asking = connect()
    asking.sendall(encode("SCAN", "0"))
    app.reactor.turn(0.1)
    dispatch = app.services.dispatch
    dispatch.mode |= admission.LOADING_DATA
    for _ in range(2 * TURNS):
        app.reactor.turn(0.0)
    assert is_silent(asking)
    dispatch.mode &= ~admission.LOADING_DATA
    app.reactor.turn(0.1)
    turns_until_served(app)
    assert asking.recv(1 << 20).startswith(b"*2\r\n")
