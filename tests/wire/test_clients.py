"""CLIENT: looking at clients, closing them, silencing, pausing and unblocking them."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from tests.harness.wire import Closed, Timeout, encode, plain

FIELDS = (
    "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp "
    "obl oll omem tot-mem events cmd user redir resp lib-name lib-ver"
).split()
SPECIAL = b"cannot contain spaces, newlines or special characters."


def fields_of(line: bytes) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in line.decode().strip().split(" "))


def number_of(wire) -> int:
    return wire.ask("CLIENT", "ID")


# Looking -------------------------------------------------------------------------------------------------------


def test_client_info_has_redis_s_fields_in_redis_s_order(wire):
    wire.command("SELECT", "3")
    wire.command("CLIENT", "SETNAME", "me")
    wire.command("CLIENT", "SETINFO", "LIB-NAME", "lib")
    wire.command("CLIENT", "SETINFO", "lib-ver", "1.2")
    line = wire.ask("CLIENT", "INFO")
    fields = fields_of(line)
    assert list(fields) == FIELDS
    host, port = wire.socket.getsockname()
    assert fields["addr"] == f"{host}:{port}"
    assert fields["laddr"] == "%s:%d" % wire.socket.getpeername()
    expected = {
        "name": "me", "db": "3", "flags": "N", "sub": "0", "multi": "-1", "qbuf": "26", "argv-mem": "10", "obl": "0",
        "omem": "0", "events": "r", "cmd": "client|info", "user": "default", "redir": "-1", "resp": "2",
        "lib-name": "lib", "lib-ver": "1.2", "age": "0", "idle": "0",
    }  # fmt: skip
    assert {name: fields[name] for name in expected} == expected
    assert int(fields["fd"]) > 2 and int(fields["tot-mem"]) > 0


def test_a_line_shows_what_was_queued_and_that_the_last_command_was_unknown(server, wire):
    with server.wire() as other:
        number = number_of(other)
        other.command("MULTI")
        other.command("SET", "key", "value")
        fields = fields_of(wire.ask("CLIENT", "LIST", "ID", number))
        assert (fields["multi"], fields["multi-mem"], fields["cmd"]) == ("1", str(11 + 3 * 8), "set")
        other.command("NONSENSE")
        assert fields_of(wire.ask("CLIENT", "LIST", "ID", number))["cmd"] == "NULL"


def test_client_list_is_verbatim_text_in_resp3(wire3):
    kind, content = wire3.command("CLIENT", "LIST")
    assert kind == b"=" and content.startswith(b"txt:id=") and content.endswith(b"\n")


def test_client_list_tells_what_others_are_doing(server, wire):
    with server.wire() as waiting, server.wire() as queueing, server.wire() as listening:
        numbers = [number_of(other) for other in (waiting, queueing, listening)]
        waiting.send(encode("BLPOP", "nothing", "0"))
        for words in (["WATCH", "a", "b"], ["MULTI"], ["SET", "k", "123456"]):
            queueing.command(*words)
        listening.command("SUBSCRIBE", "c")
        listening.command("PSUBSCRIBE", "p*")
        while b"flags=b" not in wire.ask("CLIENT", "LIST", "ID", numbers[0]):
            pass
        lines = wire.ask("CLIENT", "LIST", "ID", *numbers).splitlines()
        first, second, third = map(fields_of, lines)
        assert (first["flags"], first["cmd"]) == ("b", "blpop")
        assert (second["flags"], second["multi"], second["watch"]) == ("x", "1", "2")
        assert int(second["multi-mem"]) >= len("SETk123456")
        assert (third["flags"], third["sub"], third["psub"]) == ("P", "1", "1")
        assert fields_of(wire.ask("CLIENT", "LIST", "TYPE", "pubsub"))["id"] == str(numbers[2])


def test_idle_seconds_count_from_the_last_command_however_long_the_server_slept(start_server):
    server = start_server()
    with server.wire() as early, server.wire() as late:
        number_of(early)
        number = number_of(late)
        late.expect_silence(1.1)
        late.command("PING")
        lines = {fields["id"]: fields for fields in map(fields_of, early.ask("CLIENT", "LIST").splitlines())}
        assert lines[str(number)]["idle"] == "0"
        assert int(lines[str(number)]["age"]) >= 1


@pytest.mark.parametrize(
    "words, answer",
    [
        (["SETNAME", "a b"], b"-ERR Client names " + SPECIAL),
        (["SETNAME", "a\n"], b"-ERR Client names " + SPECIAL),
        (["SETNAME", "\x7f"], b"-ERR Client names " + SPECIAL),
        (["SETINFO", "Lib-Name", "a b"], b"-ERR Lib-Name " + SPECIAL),
        (["SETINFO", "junk", "x"], b"-ERR Unrecognized option 'junk'"),
        (["LIST", "ID", "x"], b"-ERR Invalid client ID"),
        (["LIST", "ID"], b"-ERR syntax error"),
        (["LIST", "TYPE", "junk"], b"-ERR Unknown client type 'junk'"),
        (["LIST", "TYPE", "normal", "more"], b"-ERR syntax error"),
        (["REPLY", "junk"], b"-ERR syntax error"),
        (["NO-EVICT", "junk"], b"-ERR syntax error"),
        (["NO-TOUCH", "junk"], b"-ERR syntax error"),
        (["PAUSE", "x"], b"-ERR timeout is not an integer or out of range"),
        (["PAUSE", "-1"], b"-ERR timeout is negative"),
        (["PAUSE", "1", "junk"], b"-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        (["UNBLOCK", "x"], b"-ERR value is not an integer or out of range"),
        (["UNBLOCK", "1", "junk"], b"-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        (["KILL", "1.2.3.4:5"], b"-ERR No such client"),
        (["KILL", "ID", "0"], b"-ERR client-id should be greater than 0"),
        (["KILL", "TYPE", "junk"], b"-ERR Unknown client type 'junk'"),
        (["KILL", "USER", "nobody"], b"-ERR No such user 'nobody'"),
        (["KILL", "SKIPME", "junk"], b"-ERR syntax error"),
        (["KILL", "MAXAGE", "x"], b"-ERR maxage is not an integer or out of range"),
        (["KILL", "MAXAGE", "0"], b"-ERR maxage should be greater than 0"),
        (["KILL", "ID", "1", "TYPE"], b"-ERR syntax error"),
        (["KILL", "JUNK", "1"], b"-ERR syntax error"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_client_refuses_in_redis_s_words(wire, words, answer):
    assert wire.ask("CLIENT", *words) == answer


def test_tracking_reports_of_a_client_that_is_not_tracked(wire, wire3):
    assert wire.ask("CLIENT", "GETREDIR") == -1
    assert wire.ask("CLIENT", "TRACKINGINFO") == [b"flags", [b"off"], b"redirect", -1, b"prefixes", []]
    assert wire3.command("CLIENT", "TRACKINGINFO")[0] == b"%"


# Closing -------------------------------------------------------------------------------------------------------


def is_closed(wire) -> bool:
    try:
        wire.ask("PING")
    except Closed:
        return True
    return False


def test_kill_by_address_closes_that_one(server, wire):
    with server.wire() as victim, server.wire() as bystander:
        address = "%s:%d" % victim.socket.getsockname()
        assert wire.ask("CLIENT", "KILL", address) == b"OK"
        assert is_closed(victim)
        assert not is_closed(bystander)
        assert wire.ask("CLIENT", "KILL", address) == b"-ERR No such client"


def test_kill_filters_must_all_hold(server, wire):
    with server.wire() as first, server.wire() as second:
        number = number_of(first)
        address = "%s:%d" % second.socket.getsockname()
        assert wire.ask("CLIENT", "KILL", "ID", number, "ADDR", address) == 0
        assert wire.ask("CLIENT", "KILL", "ID", number, "TYPE", "pubsub") == 0
        assert wire.ask("CLIENT", "KILL", "ID", number, "MAXAGE", "1000") == 0
        assert wire.ask("CLIENT", "KILL", "ID", number, "USER", "default", "TYPE", "normal") == 1
        assert is_closed(first) and not is_closed(second)


def test_kill_spares_the_caller_unless_told_otherwise_and_answers_it_first(start_server):
    server = start_server()
    with server.wire() as caller, server.wire() as other:
        number_of(other)
        laddr = "127.0.0.1:%d" % server.port
        assert caller.ask("CLIENT", "KILL", "LADDR", laddr) == 1
        assert is_closed(other)
        caller.send(encode("CLIENT", "KILL", "LADDR", laddr, "SKIPME", "no") + encode("SET", "after", "1"))
        assert caller.read_until_closed() == b":1\r\n"
    with server.wire() as late:
        assert late.ask("EXISTS", "after") == 0


def test_a_client_killed_with_commands_waiting_runs_none_of_them(server, wire):
    """It is held in mid-batch by a pause; killed meanwhile, the rest of its batch is dropped."""
    with server.wire() as victim:
        number = number_of(victim)
        wire.command("CLIENT", "PAUSE", "10000", "WRITE")
        victim.send(encode("PING") + encode("SET", "k", "1") + encode("SET", "k", "2"))
        assert victim.read_raw() == b"+PONG\r\n"
        assert wire.ask("CLIENT", "KILL", "ID", number) == 1
        assert victim.read_until_closed() == b""
        assert wire.ask("CLIENT", "UNPAUSE") == b"OK"
        assert wire.ask("EXISTS", "k") == 0


def test_a_killed_waiter_takes_nothing_from_its_list(server, wire):
    with server.wire() as waiting:
        number = number_of(waiting)
        waiting.send(encode("BLPOP", "queue", "0"))
        while b"flags=b" not in wire.ask("CLIENT", "LIST", "ID", number):
            pass
        name = b"%d" % number
        replies = wire.pipeline(
            [[b"CLIENT", b"KILL", b"ID", name], [b"RPUSH", b"queue", b"x"], [b"CLIENT", b"LIST", b"ID", name]]
        )
        assert replies == [b":1\r\n", b":1\r\n", b"$0\r\n\r\n"]
        assert wire.ask("LLEN", "queue") == 1


def test_redis_py_reads_the_list_and_kills_by_number(server, client):
    with server.wire() as victim:
        number = number_of(victim)
        ids = [entry["id"] for entry in client.client_list()]
        assert str(number) in ids
        assert client.client_kill_filter(_id=str(number)) == 1
        assert is_closed(victim)


def test_what_waits_behind_a_command_counts_as_unread(server, wire):
    wire.send(encode("CLIENT", "INFO") + encode("PING") * 5)
    assert b" qbuf=%d " % (len(encode("CLIENT", "INFO")) + 5 * len(encode("PING"))) in plain(wire.read())
    assert [wire.read_raw() for _ in range(5)] == [b"+PONG\r\n"] * 5
    with server.wire() as waiting:
        number = waiting.ask("CLIENT", "ID")
        waiting.send(encode("BLPOP", "nothing", "0") + encode("PING") * 2)
        while b" flags=b " not in wire.ask("CLIENT", "LIST", "ID", number):
            pass
        assert b" qbuf=%d " % (2 * len(encode("PING"))) in wire.ask("CLIENT", "LIST", "ID", number)


# Silence -------------------------------------------------------------------------------------------------------


def test_reply_off_silences_results_and_errors_until_on(wire):
    commands = ["CLIENT REPLY OFF", "SET k 1", "NOSUCH", "GET", "LLEN k", "CLIENT REPLY ON", "GET k"]
    wire.send(b"".join([encode(*command.split()) for command in commands]))
    assert wire.read_many_raw(2) == [b"+OK\r\n", b"$1\r\n1\r\n"]


def test_a_transaction_is_heard_from_reply_on_on(wire):
    commands = ["CLIENT REPLY OFF", "MULTI", "ECHO x", "CLIENT REPLY ON", "PING", "EXEC", "ECHO y"]
    wire.send(b"".join([encode(*command.split()) for command in commands]))
    assert wire.read_many_raw(3) == [b"+OK\r\n", b"+PONG\r\n", b"$1\r\ny\r\n"]
    commands = ["MULTI", "CLIENT REPLY OFF", "CLIENT REPLY ON", "EXEC"]
    wire.send(b"".join([encode(*command.split()) for command in commands]))
    assert wire.read_many_raw(3) == [b"+OK\r\n", b"+QUEUED\r\n", b"+QUEUED\r\n"]
    assert wire.read_exactly(9) == b"*2\r\n+OK\r\n"


def test_reply_skip_silences_a_command_that_waited(wire):
    wire.send(encode("CLIENT", "REPLY", "SKIP") + encode("BLPOP", "none", "0.01") + encode("ECHO", "heard"))
    assert wire.read_raw() == b"$5\r\nheard\r\n"


@pytest.mark.parametrize("silenced", [["PING"], ["NOSUCH"], ["GET"], ["LLEN", "text"]], ids=" ".join)
def test_reply_skip_silences_exactly_one_command_whatever_becomes_of_it(wire, silenced):
    wire.command("SET", "text", "1")
    wire.send(encode("CLIENT", "REPLY", "SKIP") + encode(*silenced) + encode("ECHO", "heard"))
    assert wire.read_raw() == b"$5\r\nheard\r\n"


# Pausing and unblocking ----------------------------------------------------------------------------------------


def test_a_pause_of_writes_holds_writes_and_lets_reads_pass(server, wire):
    with server.wire() as writer:
        assert wire.ask("CLIENT", "PAUSE", "100000", "WRITE") == b"OK"
        writer.send(encode("SET", "k", "1") + encode("GET", "k"))
        writer.expect_silence()
        assert wire.ask("GET", "k") is None
        assert wire.ask("CLIENT", "UNPAUSE") == b"OK"
        assert writer.read_many_raw(2) == [b"+OK\r\n", b"$1\r\n1\r\n"]


def test_a_pause_of_everything_ends_when_its_time_is_up(server, wire):
    started = time.monotonic()
    assert wire.ask("CLIENT", "PAUSE", "300") == b"OK"
    assert wire.ask("PING") == b"PONG"
    assert time.monotonic() - started > 0.25
    started = time.monotonic()
    assert wire.ask("CLIENT", "PAUSE", "0") == b"OK"
    assert wire.ask("PING") == b"PONG"
    assert time.monotonic() - started < 0.25


def test_nothing_expires_in_a_pause_though_no_lapsed_key_is_seen(server, wire):
    wire.command("SET", "k", "1", "PX", "60")
    wire.command("CLIENT", "PAUSE", "100000", "WRITE")
    wire.expect_silence(0.15)
    assert wire.ask("GET", "k") is None
    assert wire.ask("DBSIZE") == 1
    wire.command("CLIENT", "UNPAUSE")
    assert wire.ask("GET", "k") is None
    assert wire.ask("DBSIZE") == 0


def test_a_waiter_is_unblocked_as_by_its_timeout_or_with_an_error(server, wire):
    with server.wire() as waiting:
        number = number_of(waiting)
        assert wire.ask("CLIENT", "UNBLOCK", number) == 0
        unblocked = b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"
        for reason, answer in ((["TIMEOUT"], b"*-1\r\n"), (["ERROR"], unblocked)):
            waiting.send(encode("BLPOP", "nothing", "0"))
            while wire.ask("CLIENT", "UNBLOCK", number, *reason) == 0:
                pass
            assert waiting.read_raw() == answer
        with pytest.raises(Timeout):
            waiting.read_raw(0.02)


def test_no_touch_leaves_the_access_time_as_it_was(server, wire):
    with server.wire() as quiet:
        quiet.command("CLIENT", "NO-TOUCH", "ON")
        wire.command("SET", "k", "1")
        wire.expect_silence(1.2)
        assert quiet.ask("GET", "k") == b"1"
        quiet.command("MULTI")
        quiet.command("GET", "k")
        assert quiet.ask("EXEC") == [b"1"]
        assert wire.ask("OBJECT", "IDLETIME", "k") >= 1
        assert wire.ask("GET", "k") == b"1"
        assert wire.ask("OBJECT", "IDLETIME", "k") == 0


@pytest.mark.parametrize("resp", [2, 3])
def test_with_no_touch_a_command_that_answers_null_runs_once(server, resp):
    with server.wire(protocol=resp) as wire:
        wire.command("DEL", "once", "list")
        wire.command("CLIENT", "NO-TOUCH", "ON")
        assert wire.ask("GETSET", "once", "first") is None
        assert wire.ask("SET", "once", "second", "XX", "GET") == b"first"
        assert wire.ask("SET", "list", "x", "GET") is None
        wire.send(encode("LPOP", "nothing"))
        assert wire.read_raw() == (b"$-1\r\n" if resp == 2 else b"_\r\n")


def test_who_is_held_by_a_pause_counts_as_blocked(server, wire):
    wire.command("CLIENT", "PAUSE", "100000", "WRITE")
    try:
        with server.wire() as writer:
            writer.command("CLIENT", "SETNAME", "held")
            writer.send(encode("SET", "k", "v"))
            while b"blocked_clients:1\r\n" not in wire.ask("INFO", "clients"):
                pass
            (line,) = [line for line in wire.ask("CLIENT", "LIST").split(b"\n") if b"name=held" in line]
            assert b" flags=b " in line and b" cmd=set " in line
            wire.command("CLIENT", "UNPAUSE")
            assert plain(writer.read()) == b"OK"
            assert b"blocked_clients:0\r\n" in wire.ask("INFO", "clients")
    finally:
        wire.command("CLIENT", "UNPAUSE")


def test_a_reply_past_the_hard_limit_closes_its_client_although_the_socket_would_take_it(start_server):
    server = start_server("--save", "", "--client-output-buffer-limit", "normal 100000 0 0")
    with server.wire() as wire, server.wire() as reader:
        wire.command("SET", "big", "x" * 300_000)
        reader.send(encode("GET", "big"))
        with pytest.raises((Closed, OSError)):
            reader.read()
        assert b"client_output_buffer_limit_disconnections:1\r\n" in wire.ask("INFO", "stats")
        assert "scheduled to be closed ASAP for overcoming of output buffer limits" in server.log()


def test_short_replies_that_nobody_reads_count_for_the_hard_limit(start_server):
    server = start_server("--save", "", "--client-output-buffer-limit", "normal 2mb 0 0")
    with server.wire() as wire, server.wire() as deaf:
        wire.command("SET", "k", "v" * 400)
        with suppress(OSError):  # it may be closed before it has said all
            for _ in range(100):  # 20 MB of replies: sockets take some megabytes
                deaf.send((encode("GET", "k") + encode("PING")) * 500)
        server.wait_for_log("scheduled to be closed ASAP for overcoming of output buffer limits")
        assert b"client_output_buffer_limit_disconnections:1\r\n" in wire.ask("INFO", "stats")


@pytest.mark.parametrize("fill", [("SADD", "k", "a"), ("HSET", "k", "a", "1"), ("ZADD", "k", "1", "a")])
def test_who_draws_more_than_its_output_may_hold_is_closed_before_the_drawing(start_server, fill):
    server = start_server("--save", "", "--client-output-buffer-limit", "normal 100000 0 0")
    draw = {"SADD": "SRANDMEMBER", "HSET": "HRANDFIELD", "ZADD": "ZRANDMEMBER"}[fill[0]]
    with server.wire() as wire, server.wire() as greedy:
        wire.command(*fill)
        greedy.send(encode(draw, "k", "-999999999"))
        assert greedy.read_until_closed() == b""
        assert len(wire.ask(draw, "k", "-1000")) == 1000
        wire.command("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")
        assert wire.ask(draw, "k", "-999999999") == b"-ERR value is out of range"
