"""What the commands of sorted sets and SORT state about keys, and what they send on to replicas and the log."""

from __future__ import annotations

import pytest

from server.commands import sorted_set_algebra as algebra
from server.commands import sorted_set_pops as pops
from server.commands import sorted_set_ranges as ranges
from server.commands import sorted_sets, sorting
from storage.types.list import List
from storage.types.sorted_set import SortedSet
from tests.harness.handlers import Desk


@pytest.fixture
def desk():
    made = Desk()
    assert made.run(sorted_sets.zadd, "ZADD", "z", "1", "a", "2", "b", "3", "c") == 3
    return made


HANDLERS = {
    "ZADD": sorted_sets.zadd,
    "ZINCRBY": sorted_sets.zincrby,
    "ZREM": sorted_sets.zrem,
    "ZREMRANGEBYRANK": ranges.zremrangebyrank,
    "ZREMRANGEBYSCORE": ranges.zremrangebyscore,
    "ZREMRANGEBYLEX": ranges.zremrangebylex,
    "ZRANGESTORE": ranges.zrangestore,
    "ZUNIONSTORE": algebra.zunionstore,
    "ZINTERSTORE": algebra.zinterstore,
    "ZDIFFSTORE": algebra.zdiffstore,
    "ZPOPMIN": pops.zpopmin,
    "ZPOPMAX": pops.zpopmax,
    "ZMPOP": pops.zmpop,
    "BZPOPMIN": pops.bzpopmin,
    "BZPOPMAX": pops.bzpopmax,
    "BZMPOP": pops.bzmpop,
    "SORT": sorting.sort,
}


def run(desk, words: str):
    argv = words.split()
    return desk.run(HANDLERS[argv[0]], *argv)


@pytest.mark.parametrize(
    "words, events",
    [
        ("ZADD z 1 a", []),
        ("ZADD z 1 a 5 b 6 new", [(b"z", b"zadd", 2)]),
        ("ZADD z NX 9 a", []),
        ("ZADD z INCR 1 a", [(b"z", b"zincr", 1)]),
        ("ZINCRBY z 1 new", [(b"z", b"zincr", 1)]),
        ("ZINCRBY z 0 a", []),
        ("ZREM z a x b", [(b"z", b"zrem", 2)]),
        ("ZREM z x", []),
        ("ZREM z a b c", [(b"z", b"zrem", 3), (b"z", b"del", 0)]),
        ("ZREMRANGEBYRANK z 0 1", [(b"z", b"zremrangebyrank", 2)]),
        ("ZREMRANGEBYSCORE z 0 9", [(b"z", b"zremrangebyscore", 3), (b"z", b"del", 0)]),
        ("ZREMRANGEBYLEX z - [a", [(b"z", b"zremrangebylex", 1)]),
        ("ZREMRANGEBYLEX z [x +", []),
        ("ZRANGESTORE d z 0 -1", [(b"d", b"zrangestore", 1)]),
        ("ZRANGESTORE z z 7 8", [(b"z", b"del", 1)]),
        ("ZRANGESTORE d z 7 8", []),
        ("ZUNIONSTORE d 1 z", [(b"d", b"zunionstore", 1)]),
        ("ZINTERSTORE d 1 z", [(b"d", b"zinterstore", 1)]),
        ("ZDIFFSTORE d 1 z", [(b"d", b"zdiffstore", 1)]),
        ("ZDIFFSTORE z 2 z z", [(b"z", b"del", 1)]),
        ("ZPOPMIN z 2", [(b"z", b"zpopmin", 2)]),
        ("ZPOPMAX z 9", [(b"z", b"zpopmax", 3), (b"z", b"del", 0)]),
        ("ZPOPMAX z 0", []),
        ("ZMPOP 1 z MIN", [(b"z", b"zpopmin", 1)]),
        ("BZPOPMAX z 0", [(b"z", b"zpopmax", 1)]),
        ("SORT z ALPHA STORE d", [(b"d", b"sortstore", 3)]),
        ("SORT none STORE z", [(b"z", b"del", 1)]),
    ],
)
def test_a_change_is_stated_with_its_event_and_count(desk, words, events):
    run(desk, words)
    assert desk.events == events


@pytest.mark.parametrize(
    "words, sent",
    [
        ("ZADD z INCR 1 a", None),
        ("ZINCRBY z 1 a", None),
        ("ZPOPMIN z 2", None),
        ("ZMPOP 2 none z MIN", [(b"ZPOPMIN", b"z", b"1")]),
        ("ZMPOP 1 z MAX COUNT 9", [(b"ZPOPMAX", b"z", b"3")]),
        ("ZMPOP 1 none MAX", None),
        ("BZPOPMIN none z 0", [(b"ZPOPMIN", b"z")]),
        ("BZPOPMAX z 0", [(b"ZPOPMAX", b"z")]),
        ("BZMPOP 0 1 z MIN COUNT 2", [(b"ZPOPMIN", b"z", b"2")]),
        ("SORT z BY nosort STORE d", None),
    ],
)
def test_a_pop_is_sent_on_as_that_of_the_key_it_took_from(desk, words, sent):
    run(desk, words)
    assert desk.propagated == sent


@pytest.mark.parametrize("words", ["BZPOPMIN p q 1.5", "BZPOPMAX p q 1.5", "BZMPOP 1.5 2 p q MIN"])
def test_a_blocking_pop_that_finds_nothing_waits_for_its_keys(desk, words):
    block = run(desk, words)
    assert list(block.keys) == [b"p", b"q"]
    assert (block.timeout_ms, block.kind) == (1500, SortedSet)
    assert desk.events == [] and desk.propagated is None


def test_a_failed_increment_has_stated_nothing(desk):
    run(desk, "ZADD z inf a")
    assert run(desk, "ZINCRBY z -inf a") == b"ERR resulting score is not a number (NaN)"
    assert desk.events == []


def test_stored_values_are_fresh_and_well_formed(desk):
    run(desk, "ZRANGESTORE d z 0 -1")
    run(desk, "SORT z ALPHA STORE l")
    stored = desk.db.peek(b"d")
    assert stored.__class__ is SortedSet and stored is not desk.db.peek(b"z")
    stored._check()
    assert desk.db.peek(b"l").__class__ is List
