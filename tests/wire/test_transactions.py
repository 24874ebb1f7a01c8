"""MULTI and EXEC as a client sees them."""

from __future__ import annotations

import pytest

from tests.harness.wire import encode_all, plain

EXEC_WITH_ARGUMENTS = b"EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"


def error(wire, *command) -> bytes:
    kind, text = wire.command(*command)
    assert kind == b"-"
    return text


def test_what_no_transaction_takes_is_refused_before_any_other_reason(wire):
    wire.command("CONFIG", "SET", "maxmemory", "1")
    wire.command("ACL", "SETUSER", "default", "-shutdown")
    wire.command("MULTI")
    assert wire.ask("SHUTDOWN") == b"-ERR Command not allowed inside a transaction"
    wire.command("DISCARD")
    assert wire.ask("SHUTDOWN") == b"-NOPERM User default has no permissions to run the 'shutdown' command"
    wire.command("ACL", "SETUSER", "default", "+@all")
    wire.command("CONFIG", "SET", "maxmemory", "0")


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


def test_replies_in_exec_are_in_the_protocol_of_their_turn(wire):
    wire.command("HSET", "h", "f", "v")
    for command in ("MULTI",), ("HGETALL", "h"), ("HELLO", "3"), ("HGETALL", "h"):
        wire.command(*command)
    kinds = [reply[0] for reply in wire.command("EXEC")[1]]
    assert kinds == [b"*", b"%", b"%"]


def test_transactions_in_one_packet_answer_like_those_sent_one_by_one(server, wire):
    words = "multi,set k 1,get k,exec,multi,incr n,incr,exec,multi,nosuch,exec,multi x,multi,multi,ping,exec,multi,"
    words += "discard,exec,multi,client getname,incr n,exec,multi,exec,MULTI,watch k,GET k,exec,multi,incr n,quit"
    commands = [[word.encode() for word in command.split()] for command in words.split(",")]
    wire.send(encode_all(commands))
    at_once = wire.read_until_closed()
    with server.wire() as other:
        other.command("DEL", "n")
        one_by_one = b"".join([other.pipeline([command])[0] for command in commands])
    assert at_once == one_by_one


WATCHING_WHAT_IS_OVER = [
    ([], [b"PONG"]),
    (["EXISTS x"], [b"PONG"]),
    (["FLUSHALL"], [b"PONG"]),
    (["SELECT 1", "SET x v PX 1", "DEBUG SLEEP 0.002", "SWAPDB 0 1"], [b"PONG"]),
    (["SET x w"], None),
    (["SELECT 1", "SET x w", "SWAPDB 0 1"], None),
]


@pytest.mark.parametrize("between, answer", WATCHING_WHAT_IS_OVER)
def test_a_key_whose_time_was_over_when_it_was_watched_was_not_there(wire, between, answer):
    wire.ask("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    wire.send(encode_all([[b"SET", b"x", b"v", b"PX", b"1"], [b"DEBUG", b"SLEEP", b"0.002"], [b"WATCH", b"x"]]))
    wire.read_many_raw(3)
    for command in between:
        wire.ask(*command.split())
    wire.ask("MULTI")
    wire.ask("PING")
    reply = plain(wire.command("EXEC"))
    wire.ask("DEBUG", "SET-ACTIVE-EXPIRE", "1")
    assert reply == answer


def test_a_reload_breaks_the_watch_of_a_key_that_is_there(wire):
    wire.ask("SET", "x", "v")
    wire.ask("WATCH", "x")
    wire.ask("DEBUG", "RELOAD")
    wire.ask("MULTI")
    assert plain(wire.command("EXEC")) is None


def test_a_transaction_between_two_runs_of_one_command_ends_the_first(start_server):
    server = start_server("--save", "", "--appendonly", "yes", "--appendfsync", "always")
    with server.wire() as wire:
        words = "set k 1,multi x,set k 2,multi,incr k,get k,exec,set k 5,multi,set k 6,exec,set k 7"
        commands = [[word.encode() for word in command.split()] for command in words.split(",")]
        assert wire.pipeline(commands)[6] == b"*2\r\n:3\r\n$1\r\n3\r\n"
        stats = wire.ask("INFO", "commandstats")
        assert b"cmdstat_set:calls=5," in stats and b"cmdstat_exec:calls=2," in stats
        assert b"cmdstat_multi:calls=2," in stats and b"rejected_calls=1" in stats
        wire.command("CONFIG", "SET", "slowlog-log-slower-than", "0")
        wire.command("SLOWLOG", "RESET")
        wire.pipeline(commands[3:7])
        logged = [entry[3][0] for entry in reversed(wire.ask("SLOWLOG", "GET"))]
        assert logged == [b"SLOWLOG", b"multi", b"incr", b"get"]
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("GET", "k") == b"8"


NEIGHBOURS = "multi,set a 1,set b 2,set c 3,set a 4,get a,get b,get c,get x,sadd s m,sadd s m,sadd s n,incr a,incr b,"
NEIGHBOURS += "incr a,hset h f 1,hset h f 2,hset h g 3,set a 1 keepttl,incr s,rpush l 1,rpush l 2,rpush l 3,rpush l 4 5"


@pytest.mark.parametrize("resp", [2, 3])
def test_neighbours_of_one_command_in_a_transaction_answer_and_are_logged_as_one_by_one(start_server, resp):
    server = start_server("--save", "", "--appendonly", "yes", "--appendfsync", "always")
    commands = [[word.encode() for word in command.split()] for command in NEIGHBOURS.split(",")]
    commands.append([b"exec"])
    outcomes = []
    with server.wire() as wire:
        wire.command("HELLO", resp)
        for packets in ([[command] for command in commands], [commands]):
            wire.command("FLUSHALL")
            wire.command("RPUSH", "l", "0")
            replies = [reply for packet in packets for reply in wire.pipeline(packet)]
            outcomes.append([replies, wire.ask("DEBUG", "DIGEST")])
        assert outcomes[0] == outcomes[1]
        spoiled = wire.pipeline([*commands[:-1], [b"hset", b"h", b"f"], [b"exec"]])
        assert spoiled[-1].startswith(b"-EXECABORT")
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("DEBUG", "DIGEST") == outcomes[1][1]


def test_a_watched_key_that_changed_loses_a_transaction_that_comes_in_one_packet(server, wire):
    transaction = [[b"MULTI"], [b"SET", b"k", b"1"], [b"EXEC"]]
    wire.pipeline([*transaction, [b"WATCH", b"k"]])
    with server.wire() as other:
        other.command("SET", "k", "2")
    replies = wire.pipeline([*transaction, [b"GET", b"k"], *transaction, [b"GET", b"k"]])
    assert replies[2:4] == [b"*-1\r\n", b"$1\r\n2\r\n"]
    assert replies[6:] == [b"*1\r\n+OK\r\n", b"$1\r\n1\r\n"]


def test_a_watch_that_was_broken_holds_no_keys_any_more(server, wire):
    with server.wire() as watcher:
        number = watcher.ask("CLIENT", "ID")

        def shown():
            line = wire.ask("CLIENT", "LIST", "ID", number)
            counted = wire.ask("INFO", "clients")
            return b" watch=0 " in line, b"watching_clients:0\r" in counted and b"total_watched_keys:0\r" in counted

        watcher.command("WATCH", "x", "y")
        assert shown() == (False, False)
        wire.command("SET", "x", "1")
        assert shown() == (True, True)
        watcher.command("WATCH", "z")
        assert shown() == (True, True)
        watcher.command("MULTI")
        assert watcher.ask("EXEC") is None


def test_nothing_more_is_queued_once_a_transaction_is_spoiled(wire):
    wire.command("MULTI")
    wire.command("GET")
    assert wire.ask("SET", "k", "v") == b"QUEUED"
    assert wire.ask("EXEC").startswith(b"-EXECABORT")


def test_who_asks_for_silence_or_ends_itself_in_a_transaction_hears_no_more_of_it(server):
    def send(*lines):
        wire.send(encode_all([line.encode().split() for line in lines]))

    with server.wire() as wire:
        send("MULTI", "CLIENT REPLY OFF", "GET k", "EXEC", "CLIENT REPLY ON")
        assert wire.read_to(b"*2\r\n+OK\r\n").count(b"+QUEUED\r\n") == 2
        number = wire.ask("CLIENT", "ID")
        send("MULTI", "SET own 1", f"CLIENT KILL ID {number} SKIPME no", "SET own 2", "EXEC", "SET own 3")
        assert wire.read_until_closed().endswith(b"*3\r\n+OK\r\n:1\r\n")
    with server.wire() as wire:
        assert wire.ask("GET", "own") == b"2"
