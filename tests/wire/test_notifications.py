"""Keyspace notifications over the wire: the setting, and events that time alone brings; the rest is in tests/oracle."""

from __future__ import annotations

import pytest

from tests.harness.wire import plain


@pytest.fixture
def listener(server):
    """Hears every notification of this server, which is silent again afterwards."""
    with server.wire() as wire:
        wire.command("CONFIG", "SET", "notify-keyspace-events", "KEA")
        wire.command("PSUBSCRIBE", "__key*__:*")
        yield wire
    with server.wire() as wire:
        wire.command("CONFIG", "SET", "notify-keyspace-events", "")


def heard(wire) -> list[bytes]:
    return plain(wire.read())[2:]


@pytest.mark.parametrize("given, shown", [("KEA", b"AKE"), ("nmxK", b"xnKm"), ("g$lshzxet", b"g$lshzxet"), ("", b"")])
def test_the_setting_is_shown_in_one_order(start_server, given, shown):
    server = start_server("--notify-keyspace-events", given)
    with server.wire() as wire:
        assert wire.ask("CONFIG", "GET", "notify-keyspace-events") == [b"notify-keyspace-events", shown]


def test_a_key_that_nobody_asks_for_is_announced_when_it_expires(listener, wire):
    wire.command("SET", "k", "v", "PX", "20")
    assert [heard(listener)[1] for _ in range(4)] == [b"set", b"k", b"expire", b"k"]
    assert heard(listener) == [b"__keyspace@0__:k", b"expired"]
    assert heard(listener) == [b"__keyevent@0__:expired", b"k"]


def test_the_last_field_that_expires_takes_its_hash_along(listener, wire):
    wire.command("HSET", "h", "f", "v")
    wire.command("HPEXPIRE", "h", "20", "FIELDS", "1", "f")
    events = [heard(listener)[1] for _ in range(8)][::2]
    assert events == [b"hset", b"hexpire", b"hexpired", b"del"]


def test_an_event_names_its_database(listener, wire):
    wire.command("SELECT", "9")
    wire.command("SET", "k", "v")
    assert heard(listener)[0] == b"__keyspace@9__:k"


def test_a_setting_that_names_no_place_announces_nothing(listener, wire):
    wire.command("CONFIG", "SET", "notify-keyspace-events", "A")
    wire.command("SET", "k", "v")
    listener.expect_silence()


def test_who_subscribes_inside_a_transaction_hears_of_its_later_commands(server):
    with server.wire(protocol=3) as wire:
        wire.ask("CONFIG", "SET", "notify-keyspace-events", "KEA")
        for command in (["MULTI"], ["SUBSCRIBE", "__keyevent@0__:set"], ["SET", "k", "v"]):
            wire.ask(*command)
        wire.command("EXEC")
        message = wire.read_raw()
        wire.ask("CONFIG", "SET", "notify-keyspace-events", "")
    assert message == b">3\r\n$7\r\nmessage\r\n$18\r\n__keyevent@0__:set\r\n$1\r\nk\r\n"


def test_notifications_that_nobody_can_hear_are_heard_by_the_first_subscriber_at_once(server):
    with server.wire() as wire, server.wire() as late:
        wire.ask("CONFIG", "SET", "notify-keyspace-events", "KEA")
        wire.ask("SET", "k", "v")
        late.ask("SUBSCRIBE", "__keyevent@0__:set")
        wire.ask("SET", "k", "w")
        assert late.read_raw().endswith(b"$18\r\n__keyevent@0__:set\r\n$1\r\nk\r\n")
        wire.ask("CONFIG", "SET", "notify-keyspace-events", "")
