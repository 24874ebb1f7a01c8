"""Sets as clients see them."""

from __future__ import annotations

import pytest

from tests.harness.events import heard
from tests.harness.wire import encode

WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = b"-ERR syntax error"
NOT_AN_INTEGER = b"-ERR value is not an integer or out of range"
NOT_POSITIVE = b"-ERR value is out of range, must be positive"


@pytest.fixture
def two_sets(wire):
    wire.ask("SADD", "s", *"abcd")
    wire.ask("SADD", "t", *"cdef")
    return wire


def members(wire, key):
    return b"".join(sorted(wire.ask("SMEMBERS", key))).decode()


@pytest.mark.parametrize(
    "command, reply, s, t",
    [
        ("SADD s a x x", 1, "abcdx", "cdef"),
        ("SADD s a", 0, "abcd", "cdef"),
        ("SREM s a z", 1, "bcd", "cdef"),
        ("SREM s a b c d", 4, "", "cdef"),
        ("SMOVE s t a", 1, "bcd", "acdef"),
        ("SMOVE s t c", 1, "abd", "cdef"),
        ("SMOVE s t z", 0, "abcd", "cdef"),
        ("SMOVE s s a", 1, "abcd", "cdef"),
        ("SMOVE none s a", 0, "abcd", "cdef"),
        ("SINTERSTORE t s t", 2, "abcd", "cd"),
        ("SUNIONSTORE t s t", 6, "abcd", "abcdef"),
        ("SDIFFSTORE t s t", 2, "abcd", "ab"),
        ("SINTERSTORE t s none", 0, "abcd", ""),
        ("SDIFFSTORE t none s", 0, "abcd", ""),
    ],
)
def test_editing_answers_and_leaves(two_sets, command, reply, s, t):
    assert two_sets.ask(*command.split()) == reply
    assert (members(two_sets, "s"), members(two_sets, "t")) == (s, t)
    assert (two_sets.ask("EXISTS", "s"), two_sets.ask("EXISTS", "t")) == (bool(s), bool(t))


@pytest.mark.parametrize(
    "command, reply",
    [
        ("SCARD s", 4),
        ("SISMEMBER s a", 1),
        ("SISMEMBER none a", 0),
        ("SMISMEMBER s a z d", [1, 0, 1]),
        ("SMISMEMBER none a z", [0, 0]),
        ("SINTER s t", [b"c", b"d"]),
        ("SINTER s none", []),
        ("SDIFF s t", [b"a", b"b"]),
        ("SDIFF none s", []),
        ("SUNION t none", [b"c", b"d", b"e", b"f"]),
        ("SINTERCARD 2 s t", 2),
        ("SINTERCARD 2 s t LIMIT 1", 1),
        ("SINTERCARD 2 s t LIMIT 0", 2),
        ("SSCAN s 0", [b"0", [b"a", b"b", b"c", b"d"]]),
        ("SSCAN s 0 MATCH [ab]", [b"0", [b"a", b"b"]]),
        ("SSCAN none 0 NONSENSE", [b"0", []]),
        ("SRANDMEMBER s 9", [b"a", b"b", b"c", b"d"]),
        ("SRANDMEMBER s 0", []),
        ("SRANDMEMBER none", None),
        ("SRANDMEMBER none 2", []),
        ("SPOP none", None),
        ("SPOP s 0", []),
    ],
)
def test_reading_answers(two_sets, command, reply):
    assert two_sets.ask(*command.split()) == reply


@pytest.mark.parametrize(
    "command, error",
    [
        ("SPOP s 1 2", SYNTAX),
        ("SPOP none -1", NOT_POSITIVE),
        ("SPOP s abc", NOT_POSITIVE),
        ("SRANDMEMBER s 1 2", SYNTAX),
        ("SRANDMEMBER s abc", NOT_AN_INTEGER),
        ("SINTERCARD 0 s", b"-ERR numkeys should be greater than 0"),
        ("SINTERCARD abc s", b"-ERR numkeys should be greater than 0"),
        ("SINTERCARD 2 s", b"-ERR Number of keys can't be greater than number of args"),
        ("SINTERCARD 1 s LIMIT -1", b"-ERR LIMIT can't be negative"),
        ("SINTERCARD 1 s LIMIT abc", b"-ERR LIMIT can't be negative"),
        ("SINTERCARD 1 s LIMIT", SYNTAX),
        ("SINTERCARD 1 s t LIMIT 1", SYNTAX),
        ("SSCAN s abc", b"-ERR invalid cursor"),
        ("SADD str x", WRONG_TYPE),
        ("SREM str x", WRONG_TYPE),
        ("SMOVE str s x", WRONG_TYPE),
        ("SMOVE s str a", WRONG_TYPE),
        ("SPOP str", WRONG_TYPE),
        ("SPOP str 1", WRONG_TYPE),
        ("SRANDMEMBER str", WRONG_TYPE),
        ("SMEMBERS str", WRONG_TYPE),
        ("SINTER none str", WRONG_TYPE),
        ("SUNION s str", WRONG_TYPE),
        ("SDIFF none str", WRONG_TYPE),
        ("SINTERSTORE t none str", WRONG_TYPE),
        ("SINTERCARD 2 none str", WRONG_TYPE),
    ],
)
def test_a_refused_command_changes_nothing(two_sets, command, error):
    two_sets.ask("SET", "str", "v")
    assert two_sets.ask(*command.split()) == error
    assert (members(two_sets, "s"), members(two_sets, "t")) == ("abcd", "cdef")
    assert two_sets.ask("GET", "str") == b"v"


def test_a_store_replaces_whatever_was_there(two_sets):
    two_sets.ask("SET", "d", "v", "EX", 1000)
    assert two_sets.ask("SUNIONSTORE", "d", "s") == 4
    assert members(two_sets, "d") == "abcd"
    assert two_sets.ask("TTL", "d") == -1


@pytest.mark.parametrize("size, count", [(1, 1), (3, 2), (200, 10), (200, 190), (1000, 1000)])
def test_spop_takes_distinct_members_that_were_there(wire, size, count):
    there = {b"m%d" % number for number in range(size)}
    wire.ask("SADD", "s", *there)
    taken = wire.ask("SPOP", "s", count)
    assert len(taken) == len(set(taken)) == count
    assert set(taken) | set(wire.ask("SMEMBERS", "s")) == there
    assert wire.ask("SCARD", "s") == size - count


@pytest.mark.parametrize("size", [5, 500])
def test_random_members_are_distinct_only_for_a_positive_count(wire, size):
    there = {b"m%d" % number for number in range(size)}
    wire.ask("SADD", "s", *there)
    distinct = wire.ask("SRANDMEMBER", "s", size - 1)
    assert len(distinct) == len(set(distinct)) == size - 1 and set(distinct) <= there
    repeated = wire.ask("SRANDMEMBER", "s", -3 * size)
    assert len(repeated) == 3 * size and set(repeated) <= there
    assert wire.ask("SRANDMEMBER", "s") in there
    assert wire.ask("SCARD", "s") == size


@pytest.mark.parametrize("command", ["SMEMBERS s", "SUNION s", "SINTER s s", "SDIFF s none", "SPOP s 1"])
def test_sets_are_sets_in_resp3(wire, wire3, command):
    for connection, reply in ((wire, b"*1\r\n$1\r\na\r\n"), (wire3, b"~1\r\n$1\r\na\r\n")):
        connection.ask("SADD", "s", "a")
        connection.send(encode(*command.split()))
        assert connection.read_raw() == reply


def test_random_members_are_an_array_in_resp3(wire3):
    wire3.ask("SADD", "s", "a")
    wire3.send(encode("SRANDMEMBER", "s", 1))
    assert wire3.read_raw() == b"*1\r\n$1\r\na\r\n"


def test_encoding_follows_the_members(wire):
    wire.ask("SADD", "s", *range(512))
    assert wire.ask("OBJECT", "ENCODING", "s") == b"intset"
    assert wire.ask("SMEMBERS", "s") == [b"%d" % number for number in range(512)]
    wire.ask("SADD", "s", 512)
    assert wire.ask("OBJECT", "ENCODING", "s") == b"hashtable"
    wire.ask("SADD", "t", 1, 2)
    wire.ask("SADD", "t", "a")
    assert wire.ask("OBJECT", "ENCODING", "t") == b"listpack"
    wire.ask("SADD", "t", "a" * 65)
    assert wire.ask("OBJECT", "ENCODING", "t") == b"hashtable"


def test_a_set_may_never_be_an_intset(wire):
    try:
        wire.ask("CONFIG", "SET", "set-max-intset-entries", 0)
        wire.ask("SADD", "s", 1)
        assert wire.ask("OBJECT", "ENCODING", "s") == b"listpack"
    finally:
        wire.ask("CONFIG", "SET", "set-max-intset-entries", 512)


@pytest.mark.parametrize(
    "before, command, events",
    [
        ("", "SADD s a b", "sadd s"),
        ("SADD s a", "SADD s a", ""),
        ("SADD s a", "SREM s a b", "srem s, del s"),
        ("SADD s a", "SREM s b", ""),
        ("SADD s a", "SMOVE s t a", "srem s, del s, sadd t"),
        ("SADD s a", "SMOVE s s a", ""),
        ("SADD s a", "SPOP s", "spop s, del s"),
        ("SADD s a b c", "SPOP s 2", "spop s"),
        ("SADD s a b c", "SPOP s 3", "spop s, del s"),
        ("SADD s a", "SUNIONSTORE d s", "sunionstore d"),
        ("SADD s a", "SINTERSTORE d s s", "sinterstore d"),
        ("SADD s a", "SDIFFSTORE d s none", "sdiffstore d"),
        ("SADD s a", "SDIFFSTORE s s s", "del s"),
        ("SADD s a", "SINTERSTORE none s none", ""),
    ],
)
def test_events(server, wire, before, command, events):
    assert heard(server, wire, before, command) == events
