"""MULTI and EXEC as a client sees them."""

from __future__ import annotations

from tests.harness.wire import plain

EXEC_WITH_ARGUMENTS = b"EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"


def error(wire, *command) -> bytes:
    kind, text = wire.command(*command)
    assert kind == b"-"
    return text


def test_an_exec_with_arguments_ends_the_transaction(wire):
    wire.command("MULTI")
    wire.command("SET", "k", "v")
    assert error(wire, "EXEC", "now") == EXEC_WITH_ARGUMENTS
    assert plain(wire.command("GET", "k")) is None
    assert error(wire, "EXEC") == b"ERR EXEC without MULTI"


def test_an_exec_with_arguments_is_aborted_even_without_a_transaction(wire):
    assert error(wire, "EXEC", "now") == EXEC_WITH_ARGUMENTS


def test_an_exec_with_arguments_forgets_the_watched_keys(wire):
    wire.command("WATCH", "k")
    error(wire, "EXEC", "now")
    wire.command("SET", "k", "v")
    wire.command("MULTI")
    wire.command("GET", "k")
    assert plain(wire.command("EXEC")) == [b"v"]


def test_only_shard_channels_cannot_be_listened_to_from_a_transaction(wire):
    wire.command("MULTI")
    wire.command("SSUBSCRIBE", "shard")
    wire.command("SUBSCRIBE", "channel")
    assert plain(wire.command("EXEC")) == [
        b"-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
        [b"subscribe", b"channel", 1],
    ]
