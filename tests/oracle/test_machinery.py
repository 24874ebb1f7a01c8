"""The comparison sees what differs, and forgives only what has no order, hangs on the clock or on chance."""

from __future__ import annotations

import pytest

from tests.oracle.comparison import same_answer
from tests.oracle.episodes import Pair, minimise, show
from tests.oracle.grammar import templates
from tests.oracle.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("command", "real", "own", "same"),
    [
        ("GET k", b"$1\r\na\r\n", b"$1\r\na\r\n", True),
        ("GET k", b"$1\r\na\r\n", b"+a\r\n", False),
        ("GET k", b"$-1\r\n", b"*-1\r\n", False),
        ("SMEMBERS k", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n", True),
        ("SMEMBERS k", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+a\r\n+a\r\n", False),
        ("SMEMBERS k", b"*0\r\n", b"~0\r\n", False),
        ("LRANGE k 0 -1", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n", False),
        ("HGETALL k", b"*4\r\n+a\r\n+1\r\n+b\r\n+2\r\n", b"*4\r\n+b\r\n+2\r\n+a\r\n+1\r\n", True),
        ("HGETALL k", b"*4\r\n+a\r\n+1\r\n+b\r\n+2\r\n", b"*4\r\n+a\r\n+2\r\n+b\r\n+1\r\n", False),
        ("TTL k", b":100\r\n", b":99\r\n", True),
        ("TTL k", b":100\r\n", b":90\r\n", False),
        ("TTL k", b":-1\r\n", b":-2\r\n", False),
        ("SRANDMEMBER k 2", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*2\r\n$1\r\nc\r\n$1\r\nd\r\n", True),
        ("SRANDMEMBER k 2", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*1\r\n$1\r\nc\r\n", False),
        ("SRANDMEMBER k x", b"-ERR a\r\n", b"-ERR b\r\n", False),
        ("SSCAN k 0", b"*2\r\n$1\r\n0\r\n*2\r\n+a\r\n+b\r\n", b"*2\r\n$1\r\n0\r\n*2\r\n+b\r\n+a\r\n", True),
        ("SORT k BY nosort", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n", True),
        ("SORT k", b"*2\r\n+a\r\n+b\r\n", b"*2\r\n+b\r\n+a\r\n", False),
    ],
)
def test_two_replies_are_judged(command, real, own, same):
    assert same_answer(command.encode().split(), real, own) is same


def test_a_template_makes_only_what_it_says():
    from random import Random

    (entry,) = templates("2 SET key value [NX|XX] (A|B C) [D]*")
    assert entry.weight == 2
    seen = set()
    for number in range(300):
        argv: list[bytes] = []
        entry.makers[0](Vocabulary(Random(number)), argv)
        assert argv[0] == b"SET"
        rest = argv[3:]
        if rest[0] in (b"NX", b"XX"):
            seen.add(rest.pop(0))
        assert rest.pop(0) in (b"A", b"B")
        if rest and rest[0] == b"C":
            rest.pop(0)
        assert set(rest) <= {b"D"} and len(rest) <= 4
    assert seen == {b"NX", b"XX"}


def test_an_unbalanced_template_is_refused():
    with pytest.raises((ValueError, IndexError)):
        templates("SET key [NX")


def test_a_difference_is_found_and_its_sequence_made_small(start_real):
    """Two real servers whose configuration differs: a list turns into another encoding at another length."""
    from tests.oracle.episodes import Failure

    pair = Pair(start_real(), start_real("--hash-max-listpack-entries", "3"))
    pair.reset(2)
    sequence = [[b"SET", b"k%d" % number, b"v"] for number in range(40)]
    sequence += [[b"HSET", b"h", b"%d" % number, b"v"] for number in range(10)]
    sequence += [[b"GET", b"k1"], [b"OBJECT", b"ENCODING", b"h"], [b"GET", b"k2"]]
    _, found = pair.run(sequence)
    index, argv, real, own = found
    assert argv == [b"OBJECT", b"ENCODING", b"h"]
    assert (real, own) == (b"$8\r\nlistpack\r\n", b"$9\r\nhashtable\r\n")
    failure = minimise(pair, Failure("g", "s", 2, index, argv, real, own, sequence[:index]))
    pair.close()
    assert [command[0] for command in failure.sequence] == [b"HSET"] * 4
    assert "OBJECT ENCODING h" in str(failure)


def test_a_command_is_shown_as_redis_cli_takes_it():
    assert show([b"SET", b"k", b"a\r\n\xff", b""]) == 'SET k "a\\r\\n\\xff" ""'
