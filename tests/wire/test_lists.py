"""Lists as clients see them."""

from __future__ import annotations

import pytest

from tests.harness.events import heard
from tests.harness.wire import encode

WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = b"-ERR syntax error"
NOT_AN_INTEGER = b"-ERR value is not an integer or out of range"


@pytest.fixture
def letters(wire):
    wire.ask("RPUSH", "l", *"abcabc")
    return wire


def elements(wire, key="l"):
    return b"".join(wire.ask("LRANGE", key, 0, -1)).decode()


@pytest.mark.parametrize(
    "command, reply, left",
    [
        ("RPUSH l x y", 8, "abcabcxy"),
        ("LPUSH l x y", 8, "yxabcabc"),
        ("RPUSHX l x", 7, "abcabcx"),
        ("LPUSHX l x", 7, "xabcabc"),
        ("LPUSHX none x", 0, "abcabc"),
        ("LINSERT l BEFORE b x", 7, "axbcabc"),
        ("LINSERT l after b x", 7, "abxcabc"),
        ("LINSERT l AFTER z x", -1, "abcabc"),
        ("LINSERT none AFTER z x", 0, "abcabc"),
        ("LSET l 1 x", b"OK", "axcabc"),
        ("LSET l -1 x", b"OK", "abcabx"),
        ("LSET l 4294967297 x", b"OK", "axcabc"),
        ("LSET l -9223372036854775807 x", b"OK", "axcabc"),
        ("LPOP l", b"a", "bcabc"),
        ("RPOP l", b"c", "abcab"),
        ("LPOP l 2", [b"a", b"b"], "cabc"),
        ("RPOP l 2", [b"c", b"b"], "abca"),
        ("RPOP l 99", [b"c", b"b", b"a", b"c", b"b", b"a"], ""),
        ("LPOP l 0", [], "abcabc"),
        ("LREM l 0 b", 2, "acac"),
        ("LREM l 1 b", 1, "acabc"),
        ("LREM l -1 b", 1, "abcac"),
        ("LREM l 5 z", 0, "abcabc"),
        ("LTRIM l 1 -2", b"OK", "bcab"),
        ("LTRIM l 4 2", b"OK", ""),
        ("LTRIM l -100 100", b"OK", "abcabc"),
        ("LMOVE l l LEFT RIGHT", b"a", "bcabca"),
        ("RPOPLPUSH l l", b"c", "cabcab"),
        ("LMPOP 2 none l RIGHT COUNT 2", [b"l", [b"c", b"b"]], "abca"),
    ],
)
def test_editing_answers_and_leaves(letters, command, reply, left):
    assert letters.ask(*command.split()) == reply
    assert elements(letters) == left
    assert letters.ask("EXISTS", "l") == bool(left)


@pytest.mark.parametrize(
    "command, reply",
    [
        ("LLEN l", 6),
        ("LRANGE l 1 3", [b"b", b"c", b"a"]),
        ("LRANGE l -2 -1", [b"b", b"c"]),
        ("LRANGE l 5 2", []),
        ("LRANGE l -9223372036854775808 9223372036854775807", [b"a", b"b", b"c"] * 2),
        ("LINDEX l -1", b"c"),
        ("LINDEX l 6", None),
        ("LINDEX l -9223372036854775808", None),
        ("LINDEX none abc", None),
        ("LPOS l b", 1),
        ("LPOS l b RANK 2", 4),
        ("LPOS l b RANK -1", 4),
        ("LPOS l b RANK 3", None),
        ("LPOS l b COUNT 0", [1, 4]),
        ("LPOS l b COUNT 0 RANK -1", [4, 1]),
        ("LPOS l b COUNT 1 MAXLEN 1", []),
        ("LPOS l b RANK 9223372036854775807 COUNT 9223372036854775807", []),
        ("LPOS none b", None),
        ("LPOS none b COUNT 1", []),
    ],
)
def test_reading_answers(letters, command, reply):
    assert letters.ask(*command.split()) == reply


@pytest.mark.parametrize(
    "command, error",
    [
        ("LINSERT none BESIDE a b", SYNTAX),
        ("LSET none abc x", b"-ERR no such key"),
        ("LSET l abc x", NOT_AN_INTEGER),
        ("LSET l 6 x", b"-ERR index out of range"),
        ("LSET l -7 x", b"-ERR index out of range"),
        ("LINDEX l abc", NOT_AN_INTEGER),
        ("LRANGE s abc 1", NOT_AN_INTEGER),
        ("LTRIM none 1 abc", NOT_AN_INTEGER),
        ("LPOP none abc", b"-ERR value is out of range, must be positive"),
        ("RPOP l -1", b"-ERR value is out of range, must be positive"),
        ("LPOP l 1 2", b"-ERR wrong number of arguments for 'lpop' command"),
        ("LREM l abc x", NOT_AN_INTEGER),
        ("LPOS l a RANK 0", None),
        ("LPOS l a COUNT -1", b"-ERR COUNT can't be negative"),
        ("LPOS l a COUNT abc", b"-ERR COUNT can't be negative"),
        ("LPOS l a MAXLEN -1", b"-ERR MAXLEN can't be negative"),
        ("LPOS l a RANK", SYNTAX),
        ("LPOS l a NOPE 1", SYNTAX),
        ("LMOVE l m UP DOWN", SYNTAX),
        ("LMPOP 0 l LEFT", b"-ERR numkeys should be greater than 0"),
        ("LMPOP abc l LEFT", b"-ERR numkeys should be greater than 0"),
        ("LMPOP 2 l LEFT", SYNTAX),
        ("LMPOP 1 l LEFT COUNT 0", b"-ERR count should be greater than 0"),
        ("LMPOP 1 l LEFT COUNT 1 COUNT 1", SYNTAX),
        ("LPUSH s x", WRONG_TYPE),
        ("LPUSHX s x", WRONG_TYPE),
        ("LPOP s", WRONG_TYPE),
        ("RPOP s 1", WRONG_TYPE),
        ("LINDEX s abc", WRONG_TYPE),
        ("LPOS s a", WRONG_TYPE),
        ("LMOVE s l LEFT LEFT", WRONG_TYPE),
        ("LMOVE l s LEFT LEFT", WRONG_TYPE),
        ("LMPOP 2 s l LEFT", WRONG_TYPE),
    ],
)
def test_a_refused_command_changes_nothing(letters, command, error):
    letters.ask("SET", "s", "v")
    reply = letters.ask(*command.split())
    assert reply == error if error else reply.startswith(b"-ERR RANK can't be zero: use 1 to start")
    assert elements(letters) == "abcabc"
    assert letters.ask("GET", "s") == b"v"


@pytest.mark.parametrize(
    "command, replies",
    [
        ("LPOP none", (b"$-1\r\n", b"_\r\n")),
        ("LPOP none 1", (b"*-1\r\n", b"_\r\n")),
        ("LMPOP 1 none LEFT", (b"*-1\r\n", b"_\r\n")),
        ("LMOVE none none LEFT LEFT", (b"$-1\r\n", b"_\r\n")),
        ("LPOS none x", (b"$-1\r\n", b"_\r\n")),
        ("LRANGE none 0 -1", (b"*0\r\n", b"*0\r\n")),
    ],
)
def test_nothing_there_has_its_own_null(wire, wire3, command, replies):
    for connection, reply in zip((wire, wire3), replies):
        connection.send(encode(*command.split()))
        assert connection.read_raw() == reply


def test_encoding_follows_the_size(wire):
    wire.ask("RPUSH", "l", "x")
    assert wire.ask("OBJECT", "ENCODING", "l") == b"listpack"
    wire.ask("RPUSH", "l", *["x" * 100] * 100)
    assert wire.ask("OBJECT", "ENCODING", "l") == b"quicklist"
    wire.ask("LTRIM", "l", 0, 3)
    assert wire.ask("OBJECT", "ENCODING", "l") == b"listpack"
    wire.ask("LSET", "l", 0, "x" * 9000)
    assert wire.ask("OBJECT", "ENCODING", "l") == b"quicklist"
    assert wire.ask("LRANGE", "l", 1, -1) == [b"x" * 100] * 3


@pytest.mark.parametrize(
    "command", ["LPUSH l a", "RPUSHX l a", "LMOVE l l LEFT RIGHT", "LINSERT l AFTER 9 a", "LSET l 0 a"]
)
def test_a_list_heeds_a_lowered_limit_when_it_is_written_to(server, wire, command):
    wire.ask("RPUSH", "l", 1, 2, 3, 4)
    try:
        wire.ask("CONFIG", "SET", "list-max-listpack-size", 2)
        assert wire.ask("OBJECT", "ENCODING", "l") == b"listpack"
        wire.ask(*command.split())
        assert wire.ask("OBJECT", "ENCODING", "l") == b"quicklist"
    finally:
        wire.ask("CONFIG", "SET", "list-max-listpack-size", -2)


@pytest.mark.parametrize(
    "before, command, events",
    [
        ("", "RPUSH l a b", "rpush l"),
        ("", "LPUSHX l a", ""),
        ("RPUSH l a", "LPOP l", "lpop l, del l"),
        ("RPUSH l a b", "LMOVE l m LEFT RIGHT", "rpush m, lpop l"),
        ("RPUSH l a", "RPOPLPUSH l m", "lpush m, rpop l, del l"),
        ("RPUSH l a", "LTRIM l 5 9", "ltrim l, del l"),
        ("RPUSH l a", "LTRIM l 0 -1", "ltrim l"),
        ("RPUSH l a", "LREM l 0 a", "lrem l, del l"),
        ("RPUSH l a", "LREM l 0 x", ""),
        ("RPUSH l a", "LINSERT l AFTER a b", "linsert l"),
        ("RPUSH l a", "LINSERT l AFTER x b", ""),
        ("RPUSH l a", "LSET l 0 b", "lset l"),
        ("RPUSH l a b", "LMPOP 1 l RIGHT COUNT 2", "rpop l, del l"),
        ("RPUSH l a b", "BLPOP l 0", "lpop l"),
    ],
)
def test_events(server, wire, before, command, events):
    assert heard(server, wire, before, command) == events
