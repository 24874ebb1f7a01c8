"""Clients that wait for lists: who is served, by what, in which order, and what ends the wait."""

from __future__ import annotations

import time

import pytest

from tests.harness.wire import encode, plain

PATIENCE_S = 5.0


def answer(wire):
    """What a waiting client was told at last."""
    return plain(wire.read())


def blocked_clients(wire) -> int:
    for line in wire.ask("INFO", "clients").split(b"\r\n"):
        if line.startswith(b"blocked_clients:"):
            return int(line.partition(b":")[2])
    raise AssertionError("INFO does not tell how many clients are blocked")


def until_blocked(wire, count: int) -> None:
    """Return once `count` clients wait; the order of calls is the order of arrival."""
    deadline = time.monotonic() + PATIENCE_S
    while blocked_clients(wire) != count:
        assert time.monotonic() < deadline, f"{blocked_clients(wire)} clients wait, not {count}"


@pytest.fixture
def waiting(server, wire):
    """A function: waiting("BLPOP", "key", 0) is a new connection that waits in this command."""
    opened = []

    def start(*command, protocol=2, select=None):
        waiter = server.wire(protocol=protocol)
        opened.append(waiter)
        if select is not None:
            waiter.ask("SELECT", select)
        before = blocked_clients(wire)
        waiter.send(encode(*command))
        until_blocked(wire, before + 1)
        return waiter

    yield start
    for waiter in opened:
        waiter.close()
    until_blocked(wire, 0)


# Whom and when -------------------------------------------------------------------------------------------------


def test_who_came_first_is_served_first(wire, waiting):
    first, second, third = (waiting("BLPOP", "k", 0) for _ in range(3))
    assert wire.ask("RPUSH", "k", "a", "b") == 2
    assert answer(first) == [b"k", b"a"]
    assert answer(second) == [b"k", b"b"]
    third.expect_silence()
    wire.ask("RPUSH", "k", "c")
    assert answer(third) == [b"k", b"c"]


def test_first_come_holds_across_different_commands(wire, waiting):
    pops = [waiting("BRPOP", "k", 0), waiting("BLMPOP", 0, 1, "k", "LEFT", "COUNT", 2), waiting("BLPOP", "k", 0)]
    wire.ask("RPUSH", "k", "a", "b", "c", "d")
    assert [answer(waiter) for waiter in pops] == [[b"k", b"d"], [b"k", [b"a", b"b"]], [b"k", b"c"]]
    assert wire.ask("EXISTS", "k") == 0


def test_a_key_is_looked_at_in_the_order_of_the_arguments(wire, waiting):
    waiter = waiting("BLPOP", "one", "two", "three", 0)
    wire.pipeline([[b"MULTI"], [b"RPUSH", b"three", b"c"], [b"RPUSH", b"two", b"b"], [b"EXEC"]])
    assert answer(waiter) == [b"two", b"b"]
    assert wire.ask("LRANGE", "three", 0, -1) == [b"c"]


def test_a_key_named_twice_is_waited_for_once(wire, waiting):
    waiter = waiting("BLPOP", "k", "k", 0)
    wire.ask("RPUSH", "k", "a", "b")
    assert answer(waiter) == [b"k", b"a"]
    waiter.expect_silence()
    assert wire.ask("LLEN", "k") == 1


def test_who_is_served_by_one_key_no_longer_waits_for_the_other(wire, waiting):
    waiter = waiting("BLPOP", "one", "two", 0)
    wire.ask("RPUSH", "one", "a")
    assert answer(waiter) == [b"one", b"a"]
    wire.ask("RPUSH", "two", "b")
    waiter.expect_silence()
    assert wire.ask("LLEN", "two") == 1


def test_a_list_that_exists_is_not_waited_for(wire):
    wire.ask("RPUSH", "k", *"abcdefgh")
    assert wire.ask("BLPOP", "none", "k", 0) == [b"k", b"a"]
    assert wire.ask("BRPOP", "none", "k", 0) == [b"k", b"h"]
    assert wire.ask("BLMPOP", 0, 2, "none", "k", "RIGHT", "COUNT", 2) == [b"k", [b"g", b"f"]]
    assert wire.ask("BLMOVE", "k", "other", "LEFT", "LEFT", 0) == b"b"
    assert wire.ask("BRPOPLPUSH", "k", "other", 0) == b"e"
    assert wire.ask("LRANGE", "other", 0, -1) == [b"e", b"b"]


def test_the_pusher_is_told_the_length_before_waiters_are_served(wire, waiting):
    waiter = waiting("BLPOP", "k", 0)
    assert wire.ask("RPUSH", "k", "a") == 1
    assert answer(waiter) == [b"k", b"a"]


def test_what_a_waiter_sent_meanwhile_runs_after_it_is_served(wire, waiting):
    waiter = waiting("BLPOP", "k", 0)
    waiter.send(encode("PING") + encode("LLEN", "k"))
    waiter.expect_silence()
    wire.ask("RPUSH", "k", "a", "b")
    assert [answer(waiter) for _ in range(3)] == [[b"k", b"a"], b"PONG", 1]


# What wakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "commands",
    [
        ["LPUSH k x"],
        ["RPUSH src x", "RENAME src k"],
        ["RPUSH src x", "RENAMENX src k"],
        ["RPUSH src x", "COPY src k"],
        ["RPUSH src x", "LMOVE src k LEFT LEFT"],
        ["RPUSH src x", "RPOPLPUSH src k"],
        ["MULTI", "RPUSH k y x", "LPOP k", "EXEC"],
        ["SELECT 1", "RPUSH k x", "SWAPDB 0 1"],
        ["SELECT 1", "RPUSH k x", "MOVE k 0"],
    ],
    ids=lambda commands: commands[-2] if commands[-1] == "EXEC" else commands[-1].split()[0],
)
def test_a_waiter_is_woken_by_whatever_makes_the_key_a_list(wire, waiting, commands):
    waiter = waiting("BLPOP", "k", 0)
    for command in commands:
        reply = wire.ask(*command.split())
        assert not isinstance(reply, bytes) or not reply.startswith(b"-"), (command, reply)
    assert answer(waiter) == [b"k", b"x"]
    wire.ask("SELECT", 0)
    assert wire.ask("EXISTS", "k") == 0


def test_sort_with_store_wakes_a_waiter(wire, waiting):
    waiter = waiting("BLPOP", "k", 0)
    wire.ask("RPUSH", "src", 3, 1, 2)
    assert wire.ask("SORT", "src", "STORE", "k") == 3
    assert answer(waiter) == [b"k", b"1"]


def test_restore_wakes_a_waiter(wire, waiting):
    wire.ask("RPUSH", "src", "x")
    payload = wire.ask("DUMP", "src")
    waiter = waiting("BLPOP", "k", 0)
    assert wire.ask("RESTORE", "k", 0, payload) == b"OK"
    assert answer(waiter) == [b"k", b"x"]


def test_a_transaction_that_takes_back_what_it_pushed_wakes_nobody(wire, waiting):
    waiter = waiting("BLPOP", "k", 0)
    wire.pipeline([[b"MULTI"], [b"RPUSH", b"k", b"x"], [b"DEL", b"k"], [b"EXEC"]])
    waiter.expect_silence()
    wire.ask("RPUSH", "k", "y")
    assert answer(waiter) == [b"k", b"y"]


def test_a_waiter_waits_in_its_own_database_only(wire, waiting):
    waiter = waiting("BLPOP", "k", 0, select=3)
    wire.ask("RPUSH", "k", "elsewhere")
    waiter.expect_silence()
    wire.ask("SELECT", 3)
    wire.ask("RPUSH", "k", "here")
    assert answer(waiter) == [b"k", b"here"]


def test_a_key_of_another_type_keeps_waiters_waiting(wire, waiting):
    waiter = waiting("BLPOP", "k", 0)
    for command in ("SET k v", "SADD s a", "RENAME s k", "HSET h f v", "COPY h k REPLACE"):
        wire.ask(*command.split())
    waiter.expect_silence()
    wire.ask("DEL", "k")
    wire.ask("RPUSH", "k", "x")
    assert answer(waiter) == [b"k", b"x"]


def test_a_key_of_another_type_does_not_hide_the_other_keys(wire, waiting):
    waiter = waiting("BLPOP", "one", "two", 0)
    wire.pipeline([[b"MULTI"], [b"SET", b"one", b"v"], [b"RPUSH", b"two", b"x"], [b"EXEC"]])
    # Run again, it meets the string first, as it would have in the beginning.
    assert answer(waiter) == b"-WRONGTYPE Operation against a key holding the wrong kind of value"
    assert wire.ask("LLEN", "two") == 1


def test_the_wrong_type_is_refused_at_once(wire):
    wire.ask("SET", "s", "v")
    wrong = b"-WRONGTYPE Operation against a key holding the wrong kind of value"
    assert wire.ask("BLPOP", "none", "s", 0) == wrong
    assert wire.ask("BLMPOP", 0, 2, "none", "s", "LEFT") == wrong
    assert wire.ask("BLMOVE", "s", "none", "LEFT", "LEFT", 0) == wrong
    assert wire.ask("BRPOPLPUSH", "s", "none", 0) == wrong


# Moving --------------------------------------------------------------------------------------------------------


def test_a_chain_of_moves_hands_one_element_through(wire, waiting):
    last = waiting("BLPOP", "c", 0)
    middle = waiting("BLMOVE", "b", "c", "LEFT", "RIGHT", 0)
    first = waiting("BRPOPLPUSH", "a", "b", 0)
    assert wire.ask("RPUSH", "a", "x") == 1
    assert [answer(first), answer(middle), answer(last)] == [b"x", b"x", [b"c", b"x"]]
    assert wire.ask("EXISTS", "a", "b", "c") == 0


def test_a_circle_of_moves_ends(wire, waiting):
    there = waiting("BLMOVE", "a", "b", "LEFT", "RIGHT", 0)
    back = waiting("BLMOVE", "b", "a", "LEFT", "RIGHT", 0)
    wire.ask("RPUSH", "a", "x")
    assert [answer(there), answer(back)] == [b"x", b"x"]
    assert wire.ask("LRANGE", "a", 0, -1) == [b"x"]


def test_a_move_onto_the_same_list_serves_who_comes_next(wire, waiting):
    mover = waiting("BLMOVE", "k", "k", "LEFT", "RIGHT", 0)
    popper = waiting("BLPOP", "k", 0)
    wire.ask("RPUSH", "k", "x")
    assert answer(mover) == b"x"
    assert answer(popper) == [b"k", b"x"]


def test_a_move_to_the_wrong_type_fails_when_it_is_served_and_the_next_one_gets_the_element(wire, waiting):
    wire.ask("SET", "string", "v")
    mover = waiting("BLMOVE", "k", "string", "LEFT", "RIGHT", 0)
    popper = waiting("BLPOP", "k", 0)
    wire.ask("RPUSH", "k", "x")
    assert answer(mover) == b"-WRONGTYPE Operation against a key holding the wrong kind of value"
    assert answer(popper) == [b"k", b"x"]
    assert wire.ask("GET", "string") == b"v"


# What ends the wait --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol, null", [(2, b"*-1\r\n"), (3, b"_\r\n")])
@pytest.mark.parametrize(
    "command",
    ["BLPOP k other 0.02", "BRPOP k 0.02", "BLMPOP 0.02 1 k LEFT", "BLMOVE k d LEFT RIGHT 0.02", "BRPOPLPUSH k d 0.02"],
)
def test_a_fraction_of_a_second_is_waited_for(server, command, protocol, null):
    with server.wire(protocol=protocol) as wire:
        started = time.monotonic()
        wire.send(encode(*command.split()))
        assert wire.read_raw() == null
        assert 0.02 <= time.monotonic() - started < PATIENCE_S


def test_who_timed_out_takes_nothing_later(wire):
    assert wire.ask("BLPOP", "k", "0.01") is None
    assert wire.ask("RPUSH", "k", "x") == 1
    assert wire.ask("LRANGE", "k", 0, -1) == [b"x"]


def test_each_waiter_has_its_own_timeout(wire, waiting):
    patient = waiting("BLPOP", "k", 0)
    hasty = waiting("BLPOP", "k", "0.03")
    assert answer(hasty) is None
    wire.ask("RPUSH", "k", "x")
    assert answer(patient) == [b"k", b"x"]


@pytest.mark.parametrize(
    "timeout, error",
    [
        ("-1", b"-ERR timeout is negative"),
        ("-0.5", b"-ERR timeout is negative"),
        ("-inf", b"-ERR timeout is negative"),
        ("inf", b"-ERR timeout is out of range"),
        ("1e300", b"-ERR timeout is out of range"),
        ("9223372036854775", b"-ERR timeout is out of range"),
        ("nan", b"-ERR timeout is not a float or out of range"),
        ("abc", b"-ERR timeout is not a float or out of range"),
        ("", b"-ERR timeout is not a float or out of range"),
        (" 1", b"-ERR timeout is not a float or out of range"),
        ("1e5000", b"-ERR timeout is not a float or out of range"),
    ],
)
def test_a_bad_timeout_is_refused_even_if_there_is_something_to_take(wire, timeout, error):
    wire.ask("RPUSH", "k", "x")
    for command in (
        ["BLPOP", "k", timeout],
        ["BRPOP", "none", timeout],
        ["BLMPOP", timeout, 1, "k", "LEFT"],
        ["BLMOVE", "k", "d", "LEFT", "LEFT", timeout],
        ["BRPOPLPUSH", "k", "d", timeout],
    ):
        assert wire.ask(*command) == error, command
    assert wire.ask("LRANGE", "k", 0, -1) == [b"x"]


def test_errors_are_found_in_order(wire):
    syntax = b"-ERR syntax error"
    assert wire.ask("BLMPOP", "abc", 0, "k", "LEFT") == b"-ERR numkeys should be greater than 0"
    assert wire.ask("BLMPOP", "abc", 1, "k", "UP") == syntax
    assert wire.ask("BLMPOP", "abc", 2, "k", "LEFT") == syntax
    assert wire.ask("BLMPOP", "abc", 1, "k", "LEFT", "COUNT", 0) == b"-ERR count should be greater than 0"
    assert wire.ask("BLMPOP", "abc", 1, "k", "LEFT", "COUNT", 1, "COUNT", 1) == syntax
    assert wire.ask("BLMPOP", "abc", 1, "k", "LEFT") == b"-ERR timeout is not a float or out of range"
    assert wire.ask("BLMOVE", "a", "b", "UP", "LEFT", "abc") == syntax
    assert wire.ask("BLMOVE", "a", "b", "LEFT", "LEFT", "abc") == b"-ERR timeout is not a float or out of range"


def test_client_unblock_ends_the_wait_as_if_time_were_up(server, wire):
    with server.wire() as waiter:
        number = waiter.ask("CLIENT", "ID")
        waiter.send(encode("BLPOP", "k", 0))
        until_blocked(wire, 1)
        assert wire.ask("CLIENT", "UNBLOCK", number) == 1
        assert waiter.read_raw() == b"*-1\r\n"
        assert wire.ask("CLIENT", "UNBLOCK", number) == 0
        assert waiter.ask("PING") == b"PONG"


def test_client_unblock_can_end_the_wait_with_an_error(server, wire):
    with server.wire() as waiter:
        number = waiter.ask("CLIENT", "ID")
        waiter.send(encode("BLMOVE", "k", "d", "LEFT", "LEFT", 0))
        until_blocked(wire, 1)
        wire.command("CONFIG", "RESETSTAT")
        assert wire.ask("CLIENT", "UNBLOCK", number, "ERROR") == 1
        assert answer(waiter) == b"-UNBLOCKED client unblocked via CLIENT UNBLOCK"
        assert wire.ask("INFO", "commandstats").count(b",failed_calls=1") == 2  # as in Redis: who did it failed, too
    assert wire.ask("RPUSH", "k", "x") == 1


def test_keys_whose_loss_wakes_a_reader_are_counted_apart(server, wire):
    def counted() -> tuple[str, str]:
        lines = dict(line.split(":") for line in wire.ask("INFO", "clients").decode().split("\r\n") if ":" in line)
        return lines["total_blocking_keys"], lines["total_blocking_keys_on_nokey"]

    wire.command("XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM")
    with server.wire() as reader, server.wire() as popper:
        reader.send(encode("XREADGROUP", "GROUP", "group", "me", "BLOCK", 0, "STREAMS", "stream", ">"))
        popper.send(encode("BLPOP", "list", 0))
        until_blocked(wire, 2)
        assert counted() == ("2", "1")
        wire.command("DEL", "stream")
        assert answer(reader).startswith(b"-NOGROUP")
        assert counted() == ("1", "0")


def test_who_disconnects_while_waiting_takes_nothing(wire, waiting):
    gone, reset, third = (waiting("BLPOP", "k", 0) for _ in range(3))
    gone.close()
    until_blocked(wire, 2)
    reset.reset()
    until_blocked(wire, 1)
    wire.ask("RPUSH", "k", "x")
    assert answer(third) == [b"k", b"x"]


@pytest.mark.parametrize("protocol, replies", [(2, b"*3\r\n*-1\r\n$-1\r\n*-1\r\n"), (3, b"*3\r\n_\r\n_\r\n_\r\n")])
def test_nothing_blocks_inside_a_transaction(server, protocol, replies):
    with server.wire(protocol=protocol) as wire:
        wire.pipeline([[b"MULTI"], [b"BLPOP", b"k", b"0"]])
        wire.pipeline([[b"BLMOVE", b"k", b"d", b"LEFT", b"LEFT", b"0"], [b"BLMPOP", b"0", b"1", b"k", b"LEFT"]])
        wire.send(encode("EXEC"))
        assert wire.read_raw() == replies


def test_a_transaction_is_served_as_a_whole_before_waiters_are(wire, waiting):
    waiter = waiting("BLPOP", "k", 0)
    wire.pipeline([[b"MULTI"], [b"RPUSH", b"k", b"a"], [b"LLEN", b"k"], [b"RPUSH", b"k", b"b"]])
    assert wire.ask("EXEC") == [1, 1, 2]
    assert answer(waiter) == [b"k", b"a"]


def test_a_hundred_waiters_are_served_by_one_push_in_order_of_arrival(server, wire):
    waiters = [server.wire() for _ in range(100)]
    try:
        for number, waiter in enumerate(waiters):
            waiter.send(encode("BLPOP", "k", 0))
            until_blocked(wire, number + 1)
        wire.ask("RPUSH", "k", *range(100))
        assert [answer(waiter) for waiter in waiters] == [[b"k", b"%d" % number] for number in range(100)]
    finally:
        for waiter in waiters:
            waiter.close()


def test_who_loses_the_right_while_waiting_is_refused_when_the_key_comes_and_leaves_it_to_others(start_server):
    server = start_server()
    with server.wire() as admin, server.wire() as client, server.wire() as other:
        admin.command("ACL", "SETUSER", "u", "on", "nopass", "+@all", "~*")
        client.command("AUTH", "u", "")
        client.send(encode("BLPOP", "k", 0))
        until_blocked(admin, 1)
        other.send(encode("BLPOP", "k", 0))
        admin.command("ACL", "SETUSER", "u", "resetkeys")
        until_blocked(admin, 2)
        assert admin.ask("RPUSH", "k", "v") == 1
        assert client.read() == (b"-", b"NOPERM No permissions to access a key")
        assert other.read()[1] == [(b"$", b"k"), (b"$", b"v")]
        about = admin.ask("INFO", "everything")
        counted = about.split(b"cmdstat_blpop:")[1].split(b"\r\n")[0]
        assert counted.startswith(b"calls=1,") and counted.endswith(b"rejected_calls=1,failed_calls=0")
        assert b"errorstat_NOPERM:count=1\r\n" in about
