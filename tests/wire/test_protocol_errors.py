"""Input that is no request, or comes in the worst way: Redis's own words, then the end, and nobody else notices."""

from __future__ import annotations

import random

import pytest

from tests.harness.wire import encode

PROTOCOL = b"-ERR Protocol error: %b\r\n"

BROKEN = [
    (b'set x "abc\r\n', b"unbalanced quotes in request"),
    (b"set x 'abc\\'\r\n", b"unbalanced quotes in request"),
    (b'set x "a"b\r\n', b"unbalanced quotes in request"),
    (b"x" * 70_000, b"too big inline request"),
    (b"*a\r\n", b"invalid multibulk length"),
    (b"*\r\n", b"invalid multibulk length"),
    (b"*+1\r\n", b"invalid multibulk length"),
    (b"*01\r\n", b"invalid multibulk length"),
    (b"*2147483648\r\n", b"invalid multibulk length"),
    (b"*" + b"1" * 70_000, b"too big mbulk count string"),
    (b"*1\r\nfoo\r\n", b"expected '$', got 'f'"),
    (b"*1\r\n:4\r\n", b"expected '$', got ':'"),
    (b"*1\r\n$-1\r\n", b"invalid bulk length"),
    (b"*1\r\n$a\r\n", b"invalid bulk length"),
    (b"*1\r\n$04\r\nPING\r\n", b"invalid bulk length"),
    (b"*1\r\n$536870913\r\n", b"invalid bulk length"),
    (b"*1\r\n$" + b"1" * 70_000, b"too big bulk count string"),
]
IDS = [reason.decode().replace(" ", "_") + str(place) for place, (_, reason) in enumerate(BROKEN)]


@pytest.mark.parametrize("data, reason", BROKEN, ids=IDS)
def test_broken_input_gets_redis_s_words_after_earlier_answers_then_the_end(server, wire, data, reason):
    with server.wire() as other:
        wire.send(encode("PING") + data)
        assert wire.read_until_closed() == b"+PONG\r\n" + PROTOCOL % reason
        assert other.ask("PING") == b"PONG"


@pytest.mark.parametrize("data, reason", BROKEN, ids=IDS)
def test_a_real_server_says_the_same_of_broken_input(real_server, data, reason):
    with real_server.wire() as wire:
        wire.send(encode("PING") + data)
        assert wire.read_until_closed() == b"+PONG\r\n" + PROTOCOL % reason


@pytest.mark.parametrize("data", [b"*0\r\n", b"*-5\r\n", b"\r\n", b"   \r\n", b"\n"])
def test_an_empty_request_is_no_request(wire, data):
    wire.send(data + encode("PING"))
    assert wire.read_raw() == b"+PONG\r\n"
    wire.expect_silence()


def test_an_unknown_command_between_two_of_a_kind_leaves_both_as_they_are(wire):
    wire.command("SET", "k", "v")
    wire.send(encode("GET", "k") + encode("NOSUCH") + encode("GET") + encode("GET", "k"))
    first, unknown, arity, last = wire.read_many_raw(4)
    assert first == last == b"$1\r\nv\r\n"
    assert unknown.startswith(b"-ERR unknown command 'NOSUCH'")
    assert arity == b"-ERR wrong number of arguments for 'get' command\r\n"


def test_what_follows_broken_input_is_never_run(server, wire):
    wire.send(b"*1\r\n:4\r\n" + encode("SET", "k", "v"))
    wire.read_until_closed()
    with server.wire() as other:
        assert other.ask("EXISTS", "k") == 0


def test_commands_one_byte_at_a_time_are_the_same_commands(wire):
    data = encode("SET", "k", b"a\r\nb") + b"get k\r\n" + encode("STRLEN", "k") + b'echo "x\\r\\n"\n'
    wire.send_slowly(data)
    assert wire.read_many_raw(4) == [b"+OK\r\n", b"$4\r\na\r\nb\r\n", b":4\r\n", b"$3\r\nx\r\n\r\n"]


def test_commands_in_pieces_of_any_size_are_the_same_commands(server):
    random_pieces = random.Random(7)
    values = [random_pieces.choice((b"", b"\r\n", b"*1\r\n$4\r\nPING\r\n", b"$5\r\n", b"v" * 300)) for _ in range(120)]
    data = b"".join(encode("ECHO", value) for value in values)
    expected = b"".join(b"$%d\r\n%b\r\n" % (len(value), value) for value in values)
    for pieces in (2, 3, 7, 64, 1000):
        with server.wire() as wire:
            wire.send_slowly(data, pieces)
            assert wire.read_exactly(len(expected)) == expected


def test_a_value_that_looks_like_commands_is_data(server, wire):
    evil = encode("SET", "owned", "1") + b"\r\nSET owned 1\r\n"
    assert wire.ask("SET", "k", evil) == b"OK"
    assert wire.ask("GET", "k") == evil
    assert wire.ask("EXISTS", "owned") == 0


def test_a_large_value_in_small_pieces_arrives_whole(wire):
    value = bytes(range(256)) * 16_384  # 4 MB
    request = encode("SET", "big", value)
    for at in range(0, len(request), 1024):
        wire.send(request[at : at + 1024])
    assert wire.read_raw() == b"+OK\r\n"
    assert wire.ask("GET", "big") == value


def test_whoever_declares_much_and_sends_nothing_gets_no_memory(server):
    def resident_kb() -> int:
        with open("/proc/%d/status" % server.pid) as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    before = resident_kb()
    wires = [server.wire() for _ in range(20)]
    for wire in wires:
        wire.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nbegin")
        wire.expect_silence(0.01)
    assert resident_kb() - before < 20_000
    for wire in wires:
        wire.close()


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1\r\n", b"Host: localhost\r\n"])
def test_http_ends_the_connection_before_a_line_of_its_body_is_run(start_server, line):
    server = start_server()
    with server.wire() as wire:
        wire.send(line + b"SET owned 1\r\n")
        assert wire.read_until_closed() == b""
    with server.wire() as other:
        assert other.ask("EXISTS", "owned") == 0
    server.wait_for_log("Possible SECURITY ATTACK detected")


def test_the_log_names_who_was_cut_off_and_shows_what_could_not_be_read(start_server):
    server = start_server("--loglevel", "verbose", "--save", "")
    for sent in (b"*1\r\n$x\r\n", b"*2\r\n$3\r\nGET\r\n:1\r\n", b"\"" + b"x" * 70_000):
        with server.wire() as wire:
            wire.send(sent)
            wire.read_until_closed()
    log = server.log()
    assert "Protocol error (invalid bulk length) from client: id=" in log
    assert ". Query buffer during protocol error: '$x..'\n" in log
    assert "Protocol error (expected $ but got something else)" in log
    assert "xxx' (... more 69873 bytes ...) 'xxx" in log
