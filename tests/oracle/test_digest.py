"""DEBUG DIGEST: the same writes on this server and on a real one end in the same digest."""

from __future__ import annotations

import random

import pytest

from tests.harness.wire import plain

WRITES = 1500
KEYS = 60


def writes(rng: random.Random, count: int, kinds):
    """Commands whose effect does not depend on chance or time; a key keeps to its type by its name."""
    for number in range(count):
        kind = rng.choice(kinds)
        key = "%s:%d" % (kind, rng.randrange(KEYS // len(kinds)))
        word = rng.choice(("a", "bb", "12", "-7", "x" * 70, "\xff\0\r\n", "value:%d" % rng.randrange(300)))
        if rng.random() < 0.06:
            yield rng.choice((["EXPIRE", key, 10_000], ["PERSIST", key], ["DEL", key]))
        elif kind == "string":
            yield rng.choice(
                (["SET", key, word], ["APPEND", key, word], ["SETRANGE", key, 5, word], ["SETBIT", key, 9, 1])
            )
        elif kind == "list":
            yield rng.choice((["RPUSH", key, word, "x"], ["LPUSH", key, word], ["LPOP", key], ["LTRIM", key, 0, 300]))
        elif kind == "set":
            yield rng.choice((["SADD", key, word, rng.randrange(200)], ["SREM", key, word]))
        elif kind == "zset":
            # Real servers of different versions print other scores in different ways.
            score = rng.choice((rng.randrange(-1000, 100_000), rng.randrange(4000) / 4, "inf", "-inf"))
            yield rng.choice((["ZADD", key, score, word], ["ZADD", key, score, f"m{number}"], ["ZREM", key, word]))
        elif kind == "hash":
            yield rng.choice((["HSET", key, word, number], ["HSET", key, f"f{number}", word], ["HDEL", key, word]))
        else:
            yield rng.choice(
                (
                    ["XADD", key, f"{number + 1}-1", "field", word, "other", number],
                    ["XADD", key, f"{number + 1}-5", word, number],
                    ["XDEL", key, f"{rng.randrange(number + 1)}-1"],
                    ["XTRIM", key, "MAXLEN", rng.randrange(50)],
                )
            )


@pytest.mark.parametrize("kind", ["string", "list", "set", "zset", "hash", "stream"])
def test_equal_writes_of_one_type_end_in_equal_digests(kind, server, real_server):
    compare(server, real_server, random.Random(kind), [kind], WRITES // 3)


@pytest.mark.parametrize("seed", range(3))
def test_equal_writes_to_several_databases_end_in_one_digest(seed, server, real_server):
    compare(server, real_server, random.Random(seed), ["string", "list", "set", "zset", "hash", "stream"], WRITES)


def compare(server, real_server, rng, kinds, count):
    with server.wire() as own, real_server.wire() as real:
        for place, command in enumerate(writes(rng, count, kinds)):
            if place % 100 == 0:
                number = rng.randrange(4)
                for wire in (own, real):
                    wire.command("SELECT", number)
            replies = [plain(wire.command(*command)) for wire in (own, real)]
            assert replies[0] == replies[1], command
            if place % 50 == 49:
                values = [plain(wire.command("DEBUG", "DIGEST-VALUE", command[1])) for wire in (own, real)]
                assert values[0] == values[1], command
        digests = [plain(wire.command("DEBUG", "DIGEST")) for wire in (own, real)]
        assert digests[0] == digests[1]
        assert digests[0] != b"0" * 40
