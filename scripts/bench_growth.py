#!/usr/bin/env python3
"""Show how commands slow down as their collection grows.

    python3 scripts/bench_growth.py [--sizes 1000,10000,100000,1000000] [--tests zadd,lindex] [--redis]

For each command and size: fill one key, then send random instances of the command in pipelines and divide the
server's processor time (wall time where the platform does not tell) by their number. The last column is the slope
on a doubly logarithmic scale: 0 is constant, about 0.1 is logarithmic over this range, 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.bench import pin, processor_seconds  # noqa: E402
from tests.harness import processes  # noqa: E402
from tests.harness.wire import Wire, encode_all  # noqa: E402

FILL_BATCH = 500
SAMPLE_COMMANDS = 4000
BATCH_COMMANDS = 200
ROUNDS = 3

Command = list


def member(number: int) -> bytes:
    return b"member:%09d" % number


def zadd(size: int) -> list[Command]:
    return [[b"ZADD", b"z", b"%d" % random.randrange(size), member(random.randrange(size))]]


def zrank(size: int) -> list[Command]:
    return [[b"ZRANK", b"z", member(random.randrange(size))]]


def zrangebyscore(size: int) -> list[Command]:
    start = random.randrange(size)
    return [[b"ZRANGEBYSCORE", b"z", b"%d" % start, b"%d" % (start + 10), b"LIMIT", b"0", b"10"]]


def lpush_rpop(size: int) -> list[Command]:
    return [[b"LPUSH", b"l", b"x"], [b"RPOP", b"l"]]


def lindex(size: int) -> list[Command]:
    return [[b"LINDEX", b"l", b"%d" % random.randrange(size)]]


def spop(size: int) -> list[Command]:
    return [[b"SPOP", b"s"], [b"SADD", b"s", member(random.randrange(size))]]


def srandmember(size: int) -> list[Command]:
    return [[b"SRANDMEMBER", b"s"]]


def hrandfield(size: int) -> list[Command]:
    return [[b"HRANDFIELD", b"h"]]


def sinter(size: int) -> list[Command]:
    return [[b"SINTER", b"s", b"few"]]


def scan(name: bytes, key: bytes) -> Callable[[int], list[Command]]:
    # Cursors are the server's own; the first call of a scan is the one that must not depend on the size.
    return lambda size: [[name, key, b"0", b"COUNT", b"10"]]


TESTS: dict[str, Callable[[int], list[Command]]] = {
    "zadd": zadd,
    "zrank": zrank,
    "zrangebyscore": zrangebyscore,
    "lpush_rpop": lpush_rpop,
    "lindex": lindex,
    "spop": spop,
    "srandmember": srandmember,
    "hrandfield": hrandfield,
    "sinter": sinter,
    "sscan": scan(b"SSCAN", b"s"),
    "hscan": scan(b"HSCAN", b"h"),
    "zscan": scan(b"ZSCAN", b"z"),
}
FILLS: dict[bytes, Callable[[range], Command]] = {
    b"z": lambda numbers: [b"ZADD", b"z", *[word for n in numbers for word in (b"%d" % n, member(n))]],
    b"l": lambda numbers: [b"RPUSH", b"l", *[member(n) for n in numbers]],
    b"s": lambda numbers: [b"SADD", b"s", *[member(n) for n in numbers]],
    b"h": lambda numbers: [b"HSET", b"h", *[word for n in numbers for word in (member(n), b"value")]],
}


def fill(wire: Wire, key: bytes, size: int) -> None:
    wire.command("FLUSHALL")
    for start in range(0, size, FILL_BATCH):
        wire.command(*FILLS[key](range(start, min(start + FILL_BATCH, size))))
    wire.command("SADD", "few", *[member(n * size // 10) for n in range(10)])


def key_of(test: str) -> bytes:
    command = TESTS[test](10)[0]
    return b"s" if command[0] == b"SINTER" else command[1]


def cost_us(server: processes.Server, wire: Wire, test: str, size: int) -> float:
    """Return microseconds per command: the least of a few rounds, as what disturbs only ever adds."""
    best = math.inf
    for _ in range(ROUNDS):
        commands = [command for _ in range(SAMPLE_COMMANDS) for command in TESTS[test](size)][:SAMPLE_COMMANDS]
        batches = [commands[at : at + BATCH_COMMANDS] for at in range(0, len(commands), BATCH_COMMANDS)]
        encoded = [encode_all(batch) for batch in batches]
        before, started = processor_seconds(server.pid), time.perf_counter()
        for batch, data in zip(batches, encoded):
            wire.send(data)
            replies = wire.read_many_raw(len(batch))
            if replies[0].startswith(b"-"):
                raise SystemExit(f"{test}: {replies[0]!r}")
        after, taken = processor_seconds(server.pid), time.perf_counter() - started
        spent = after - before if before is not None and after is not None else taken
        best = min(best, spent / len(commands) * 1e6)
    return best


def slope(sizes: list[int], costs: list[float]) -> float:
    xs = [math.log(size) for size in sizes]
    ys = [math.log(max(cost, 1e-9)) for cost in costs]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / spread if spread else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000,1000000")
    parser.add_argument("--tests", default=",".join(TESTS))
    parser.add_argument("--redis", action="store_true", help="measure a real redis-server instead")
    parser.add_argument("--python", help="interpreter for this server")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.python:
        os.environ["REDISELECT_PYTHON"] = options.python
    sizes = [int(size) for size in options.sizes.split(",")]
    tests = [test for test in options.tests.split(",") if test]
    random.seed(1)
    pin(0, 1)
    costs: dict[str, list[float]] = {test: [] for test in tests}
    start = processes.start_real if options.redis else processes.start_own
    with start("--save", "") as server:
        pin(server.pid, 0)
        with server.wire(timeout_s=120) as wire:
            for size in sizes:
                for key in sorted({key_of(test) for test in tests}):
                    fill(wire, key, size)
                    for test in tests:
                        if key_of(test) == key:
                            costs[test].append(cost_us(server, wire, test, size))
    print(f"{'us per command':16}" + "".join(f"{size:>12,}" for size in sizes) + f"{'slope':>8}")
    for test, values in costs.items():
        print(f"{test:16}" + "".join(f"{value:12.2f}" for value in values) + f"{slope(sizes, values):8.2f}")
    if options.json:
        options.json.write_text(json.dumps({"sizes": sizes, "us": costs}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
