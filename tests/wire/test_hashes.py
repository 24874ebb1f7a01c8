"""Hashes and the deadlines of their fields, as clients see them."""

from __future__ import annotations

import pytest

from tests.harness.events import heard
from tests.harness.wire import encode

WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = b"-ERR syntax error"
NOT_AN_INTEGER = b"-ERR value is not an integer or out of range"
NO_FIELDS = b"-ERR Mandatory argument FIELDS is missing or not at the right position"
NUMFIELDS = b"-ERR Parameter `numFields` should be greater than 0"
COUNT_DIFFERS = b"-ERR The `numfields` parameter must match the number of arguments"
FAR_MS = 33177117420000


@pytest.fixture
def hash_of_three(wire):
    wire.ask("HSET", "h", "a", "1", "b", "2.5", "c", "x")
    return wire


@pytest.mark.parametrize(
    "command, reply, left",
    [
        ("HSET h a 9", 0, "a9 b2.5 cx"),
        ("HSET h d 4 a 2 d 5", 1, "a2 b2.5 cx d5"),
        ("HMSET h a 2 d 4", b"OK", "a2 b2.5 cx d4"),
        ("HSETNX h a 9", 0, "a1 b2.5 cx"),
        ("HSETNX h d 9", 1, "a1 b2.5 cx d9"),
        ("HDEL h a z a", 1, "b2.5 cx"),
        ("HDEL h a b c", 3, ""),
        ("HINCRBY h a -3", -2, "a-2 b2.5 cx"),
        ("HINCRBY h d 7", 7, "a1 b2.5 cx d7"),
        ("HINCRBYFLOAT h b 0.1", b"2.6", "a1 b2.6 cx"),
        ("HINCRBYFLOAT h a 1e2", b"101", "a101 b2.5 cx"),
        ("HINCRBYFLOAT h d -0.5", b"-0.5", "a1 b2.5 cx d-0.5"),
        ("HEXPIRE h 0 FIELDS 2 a z", [2, -2], "b2.5 cx"),
        ("HPEXPIREAT h 1 FIELDS 3 a b c", [2, 2, 2], ""),
    ],
)
def test_editing_answers_and_leaves(hash_of_three, command, reply, left):
    wire = hash_of_three
    assert wire.ask(*command.split()) == reply
    flat = wire.ask("HGETALL", "h")
    assert " ".join((a + b).decode() for a, b in zip(flat[::2], flat[1::2])) == left
    assert wire.ask("EXISTS", "h") == bool(left)


@pytest.mark.parametrize(
    "command, reply",
    [
        ("HGET h a", b"1"),
        ("HGET h z", None),
        ("HGET none a", None),
        ("HMGET h a z c", [b"1", None, b"x"]),
        ("HMGET none a b", [None, None]),
        ("HLEN h", 3),
        ("HSTRLEN h b", 3),
        ("HSTRLEN h z", 0),
        ("HEXISTS h a", 1),
        ("HEXISTS none a", 0),
        ("HKEYS h", [b"a", b"b", b"c"]),
        ("HVALS h", [b"1", b"2.5", b"x"]),
        ("HSCAN h 0", [b"0", [b"a", b"1", b"b", b"2.5", b"c", b"x"]]),
        ("HSCAN h 0 NOVALUES", [b"0", [b"a", b"b", b"c"]]),
        ("HSCAN h 0 MATCH [bc] COUNT 1 NOVALUES", [b"0", [b"b", b"c"]]),
        ("HSCAN none 0 NONSENSE", [b"0", []]),
        ("HRANDFIELD h 9", [b"a", b"b", b"c"]),
        ("HRANDFIELD h 0", []),
        ("HRANDFIELD none", None),
        ("HRANDFIELD none 3 WITHVALUES", []),
        ("HTTL h FIELDS 2 a z", [-1, -2]),
        ("HPEXPIRETIME none FIELDS 1 a", [-2]),
        ("HEXPIRE none 10 FIELDS 2 a b", [-2, -2]),
        ("HPERSIST h FIELDS 2 a z", [-1, -2]),
    ],
)
def test_reading_answers(hash_of_three, command, reply):
    assert hash_of_three.ask(*command.split()) == reply


@pytest.mark.parametrize(
    "command, error",
    [
        ("HSET h a", b"-ERR wrong number of arguments for 'hset' command"),
        ("HSET h a 1 b", b"-ERR wrong number of arguments for 'hset' command"),
        ("HMSET h a 1 b", b"-ERR wrong number of arguments for 'hmset' command"),
        ("HINCRBY h a 1.5", NOT_AN_INTEGER),
        ("HINCRBY s a 1.5", NOT_AN_INTEGER),
        ("HINCRBY h b 1", b"-ERR hash value is not an integer"),
        ("HINCRBY h a 9223372036854775807", b"-ERR increment or decrement would overflow"),
        ("HINCRBYFLOAT h a abc", b"-ERR value is not a valid float"),
        ("HINCRBYFLOAT s a inf", b"-ERR value is NaN or Infinity"),
        ("HINCRBYFLOAT h a nan", b"-ERR value is not a valid float"),
        ("HINCRBYFLOAT h c 1", b"-ERR hash value is not a float"),
        ("HRANDFIELD h abc", NOT_AN_INTEGER),
        ("HRANDFIELD h 1 VALUES", SYNTAX),
        ("HRANDFIELD h 1 WITHVALUES x", SYNTAX),
        ("HRANDFIELD h -9223372036854775807 WITHVALUES", b"-ERR value is out of range"),
        ("HSCAN h abc", b"-ERR invalid cursor"),
        ("HSCAN h 0 COUNT 0", SYNTAX),
        ("HEXPIRE none abc FIELDS 1 a", NOT_AN_INTEGER),
        ("HEXPIRE h -1 NOPE 1 a", b"-ERR invalid expire time, must be >= 0"),
        ("HEXPIRE h 9999999999999 NOPE 1 a", b"-ERR invalid expire time in 'hexpire' command"),
        ("HPEXPIREAT h 70368744177664 FIELDS 1 a", b"-ERR invalid expire time in 'hpexpireat' command"),
        ("HEXPIRE none 1 NOPE 1 a", NO_FIELDS),
        ("HEXPIRE h 1 NX XX FIELDS 1 a", NO_FIELDS),
        ("HEXPIRE h 1 FIELDS 0 a", NUMFIELDS),
        ("HEXPIRE h 1 FIELDS abc a", NUMFIELDS),
        ("HEXPIRE h 1 FIELDS 2 a", COUNT_DIFFERS),
        ("HEXPIRE h 1 NX FIELDS 1", COUNT_DIFFERS),
        ("HTTL none NOPE 1 a", NO_FIELDS),
        ("HTTL h FIELDS 0 a", b"-ERR Number of fields must be a positive integer"),
        ("HPERSIST h FIELDS 1 a b", COUNT_DIFFERS),
        ("HEXPIRE s abc NOPE 1 a", WRONG_TYPE),
        ("HTTL s NOPE 1 a", WRONG_TYPE),
        ("HSET s a 1", WRONG_TYPE),
        ("HSETNX s a 1", WRONG_TYPE),
        ("HDEL s a", WRONG_TYPE),
        ("HINCRBY s a 1", WRONG_TYPE),
        ("HGETALL s", WRONG_TYPE),
        ("HSCAN s 0", WRONG_TYPE),
    ],
)
def test_a_refused_command_changes_nothing(hash_of_three, command, error):
    wire = hash_of_three
    wire.ask("SET", "s", "v")
    assert wire.ask(*command.split()) == error
    assert wire.ask("HGETALL", "h") == [b"a", b"1", b"b", b"2.5", b"c", b"x"]
    assert wire.ask("GET", "s") == b"v"
    assert wire.ask("EXISTS", "none") == 0


@pytest.mark.parametrize(
    "command, replies",
    [
        ("HGETALL h", (b"*2\r\n$1\r\na\r\n$1\r\n1\r\n", b"%1\r\n$1\r\na\r\n$1\r\n1\r\n")),
        ("HGETALL none", (b"*0\r\n", b"%0\r\n")),
        ("HRANDFIELD h 1 WITHVALUES", (b"*2\r\n$1\r\na\r\n$1\r\n1\r\n", b"*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n")),
        ("HRANDFIELD none 1 WITHVALUES", (b"*0\r\n", b"*0\r\n")),
        ("HSCAN h 0", (b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n",) * 2),
    ],
)
def test_both_protocols(wire, wire3, command, replies):
    wire.ask("HSET", "h", "a", "1")
    for connection, reply in zip((wire, wire3), replies):
        connection.send(encode(*command.split()))
        assert connection.read_raw() == reply


def test_conditions_compare_with_the_deadline_there_is(hash_of_three):
    wire = hash_of_three

    def expire(at_ms, condition):
        return wire.ask("HPEXPIREAT", "h", at_ms, condition, "FIELDS", 1, "a")

    assert expire(FAR_MS, "XX") == expire(FAR_MS, "GT") == [0]
    assert expire(FAR_MS, "LT") == [1]
    assert expire(FAR_MS - 1, "NX") == expire(FAR_MS - 1, "GT") == expire(FAR_MS, "GT") == expire(FAR_MS, "LT") == [0]
    assert expire(FAR_MS + 1, "GT") == [1]
    assert expire(FAR_MS - 1, "xx") == [1]
    assert wire.ask("HPEXPIRETIME", "h", "FIELDS", 2, "a", "b") == [FAR_MS - 1, -1]
    assert wire.ask("HEXPIRETIME", "h", "FIELDS", 1, "a") == [FAR_MS // 1000]
    assert wire.ask("HPERSIST", "h", "FIELDS", 1, "a") == [1]
    assert wire.ask("HTTL", "h", "FIELDS", 1, "a") == [-1]


def test_setting_a_field_takes_its_deadline_away_and_counting_in_it_does_not(hash_of_three):
    wire = hash_of_three
    wire.ask("HPEXPIREAT", "h", FAR_MS, "FIELDS", 2, "a", "b")
    wire.ask("HINCRBY", "h", "a", 1)
    wire.ask("HINCRBYFLOAT", "h", "b", 1)
    assert wire.ask("HPEXPIRETIME", "h", "FIELDS", 2, "a", "b") == [FAR_MS, FAR_MS]
    wire.ask("HSET", "h", "a", 1)
    assert wire.ask("HPEXPIRETIME", "h", "FIELDS", 2, "a", "b") == [-1, FAR_MS]


def test_a_field_expires_by_itself_and_takes_the_hash_with_it(wire):
    wire.ask("HSET", "h", "f", "v")
    assert wire.ask("HPEXPIRE", "h", 1, "FIELDS", 1, "f") == [1]
    for _ in range(100_000):
        if not wire.ask("EXISTS", "h"):
            return
    raise AssertionError("nobody asks for the field, and it stays")


def test_encoding_follows_the_size_and_the_deadlines(wire):
    wire.ask("HSET", "h", "f", "v")
    assert wire.ask("OBJECT", "ENCODING", "h") == b"listpack"
    wire.ask("HEXPIRE", "h", 1000, "FIELDS", 1, "f")
    assert wire.ask("OBJECT", "ENCODING", "h") == b"listpackex"
    wire.ask("HSET", "h", "f", "v" * 65)
    assert wire.ask("OBJECT", "ENCODING", "h") == b"hashtable"


def test_a_listpackex_stays_one_on_its_way_to_another_server(wire):
    wire.ask("HSET", "h", "f", "v")
    wire.ask("HEXPIRE", "h", 1000, "FIELDS", 1, "f")
    wire.ask("HPERSIST", "h", "FIELDS", 1, "f")
    try:
        wire.ask("CONFIG", "SET", "rdb-target-version", 12)
        wire.ask("CONFIG", "SET", "hash-max-listpack-value", 0)  # of what was packed only the number counts
        wire.ask("RESTORE", "copy", 0, wire.ask("DUMP", "h"))
    finally:
        wire.ask("CONFIG", "SET", "rdb-target-version", 10, "hash-max-listpack-value", 64)
    assert wire.ask("OBJECT", "ENCODING", "copy") == b"listpackex"
    assert wire.ask("HGETALL", "copy") == [b"f", b"v"]
    wire.ask("RESTORE", "old", 0, wire.ask("DUMP", "h"))  # 7.0 and 7.2 know no such encoding
    assert wire.ask("OBJECT", "ENCODING", "old") == b"listpack"


@pytest.mark.parametrize(
    "before, command, events",
    [
        ("", "HSET h a 1 b 2", "hset h"),
        ("", "HSETNX h a 1", "hset h"),
        ("HSET h a 1", "HSETNX h a 1", ""),
        ("", "HINCRBY h a 1", "hincrby h"),
        ("", "HINCRBYFLOAT h a 1", "hincrbyfloat h"),
        ("HSET h a 1", "HDEL h a b", "hdel h, del h"),
        ("HSET h a 1", "HDEL h b", ""),
        ("HSET h a 1", "HEXPIRE h 100 FIELDS 1 a", "hexpire h"),
        ("HSET h a 1", "HEXPIRE h 100 XX FIELDS 1 a", ""),
        ("HSET h a 1 b 2", "HEXPIRE h 0 FIELDS 1 a", "hdel h"),
        ("HSET h a 1", "HEXPIRE h 0 FIELDS 1 a", "hdel h, del h"),
        ("HSET h a 1", "HPERSIST h FIELDS 1 a", ""),
    ],
)
def test_events(server, wire, before, command, events):
    assert heard(server, wire, before, command) == events
