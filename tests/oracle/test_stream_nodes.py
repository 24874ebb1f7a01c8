"""A stream's nodes end where Redis's do, so that approximate trimming leaves the lengths its users know."""

from __future__ import annotations

import random

import pytest

from tests.harness.wire import plain

SHAPES = {
    "small": lambda rng: [b"f", b"%d" % rng.randrange(100)],
    "same fields": lambda rng: [
        b"sensor",
        b"%d" % rng.randrange(10**6),
        b"temperature",
        b"%.3f" % rng.uniform(-40, 40),
    ],
    "numbers of all sizes": lambda rng: [
        b"n",
        b"%d" % (rng.choice((1, -1)) * rng.randrange(1 << rng.randrange(1, 63))),
    ],
    "long values": lambda rng: [b"payload", rng.randbytes(rng.randrange(0, 600))],
    "mixed": lambda rng: [
        item
        for _ in range(rng.randrange(1, 6))
        for item in (rng.choice((b"a", b"b", b"long field name " * 5)), rng.randbytes(rng.randrange(0, 90)))
    ],
    "huge": lambda rng: [b"blob", b"x" * rng.choice((10, 2000, 4090, 5000))],
}


def both(servers, *command):
    replies = [plain(wire.command(*command)) for wire in servers]
    assert replies[0] == replies[1], command
    return replies[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("limits", [(100, 4096), (7, 4096), (100, 500), (0, 1000), (300, 0)])
def test_trimming_by_whole_nodes_leaves_the_same_entries(shape, limits, real_server, server):
    rng = random.Random(shape)
    with real_server.wire() as real, server.wire() as own:
        servers = (real, own)
        for name, limit in zip(("entries", "bytes"), limits):
            both(servers, "CONFIG", "SET", f"stream-node-max-{name}", limit)
        try:
            milliseconds = rng.choice((1, 1_700_000_000_000))
            for step in range(12):
                for _ in range(60):
                    milliseconds += rng.choice((0, 1, 1, 5, 300, 70_000, 10**7))
                    body = SHAPES[shape](rng)
                    sequence = rng.choice((0, 1, 5)) if rng.random() < 0.1 else "*"
                    for wire in servers:
                        wire.command("XADD", "s", f"{milliseconds}-{sequence}", *body)
                both(servers, "XINFO", "STREAM", "s")
                ids = [entry[0] for entry in both(servers, "XRANGE", "s", "-", "+")]
                if rng.random() < 0.7:
                    both(servers, "XDEL", "s", *rng.sample(ids, min(len(ids), rng.randrange(1, 60))))
                if rng.random() < 0.2:
                    both(servers, "XDEL", "s", *ids[-rng.randrange(1, 30) :])
                both(servers, "XTRIM", "s", "MAXLEN", "~", rng.randrange(len(ids) // 2, len(ids) + 1))
                both(servers, "XTRIM", "s", "MINID", "~", rng.choice(ids[: len(ids) // 2]))
                if step % 3 == 2:
                    both(servers, "XTRIM", "s", "MAXLEN", rng.randrange(len(ids) // 3, len(ids)))
                both(servers, "XINFO", "STREAM", "s")
        finally:
            both(servers, "CONFIG", "SET", "stream-node-max-entries", 100)
            both(servers, "CONFIG", "SET", "stream-node-max-bytes", 4096)
