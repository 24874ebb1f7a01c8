#!/usr/bin/env python3
"""Compare what INFO calls `used_memory` with what the process really grew by, for many keys of each type.

    python3 scripts/bench_memory.py [--keys 1000000] [--only strings,hashes] [--server 'COMMAND']

Each data set is loaded into a server of its own. `used_memory` is what `maxmemory` goes by: where it says less than the
process takes, a server grows past its limit; where it says more, keys go without need. Exit code 1 if one of the data
sets is off by more than 15 %.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.harness.processes import Server, own_command
from tests.harness.wire import encode

TOLERANCE = 0.15
BATCH = 500  # commands sent together
# Keys that are made and deleted before: what is loaded and cached once is no growth. No more of them than the process
# may keep as free memory without being noticed.
WARM_UP = 200


def numbered(name: str, number: int, count: int, size: int) -> list[bytes]:
    return [b"%b:%d:%d:%b" % (name.encode(), number, element, b"x" * size) for element in range(count)]


def pairs(number: int, count: int, size: int) -> list[bytes]:
    return [word for field in numbered("f", number, count, 0) for word in (field, b"v%d" % number + b"x" * size)]


def scored(number: int, count: int, size: int) -> list[bytes]:
    return [word for at, member in enumerate(numbered("m", number, count, size)) for word in (b"%d.5" % at, member)]


def entries(number: int, count: int, size: int) -> list[bytes]:
    key = b"key:%d" % number
    return [b"".join([encode("XADD", key, "*", "field", b"%d" % number + b"x" * size) for _ in range(count)])]


# By name: a share of the number of keys (large ones are fewer), and what makes the key of a number.
DATA_SETS = {
    "integers": (1, lambda n: encode("SET", b"key:%d" % n, n)),
    "strings": (1, lambda n: encode("SET", b"key:%d" % n, b"value:%d" % n)),
    "strings of 100": (1, lambda n: encode("SET", b"key:%d" % n, b"v" * 100)),
    "strings of 2000": (10, lambda n: encode("SET", b"key:%d" % n, b"v" * 2000)),
    "strings of 20000": (100, lambda n: encode("SET", b"key:%d" % n, b"v" * 20000)),
    "strings with a deadline": (1, lambda n: encode("SET", b"key:%d" % n, b"value:%d" % n, "EX", 9000 + n % 5000)),
    "hashes": (1, lambda n: encode("HSET", b"key:%d" % n, *pairs(n, 2, 0))),
    "hashes of 200": (50, lambda n: encode("HSET", b"key:%d" % n, *pairs(n, 200, 20))),
    "hashes of long values": (20, lambda n: encode("HSET", b"key:%d" % n, *pairs(n, 5, 1000))),
    "lists": (1, lambda n: encode("RPUSH", b"key:%d" % n, *numbered("e", n, 3, 0))),
    "lists of 500": (50, lambda n: encode("RPUSH", b"key:%d" % n, *numbered("e", n, 500, 20))),
    "sets": (1, lambda n: encode("SADD", b"key:%d" % n, *numbered("m", n, 3, 0))),
    "sets of integers": (1, lambda n: encode("SADD", b"key:%d" % n, *range(n, n + 5))),
    "sets of 500": (50, lambda n: encode("SADD", b"key:%d" % n, *numbered("m", n, 500, 20))),
    "sorted sets": (1, lambda n: encode("ZADD", b"key:%d" % n, *scored(n, 3, 0))),
    "sorted sets of 500": (50, lambda n: encode("ZADD", b"key:%d" % n, *scored(n, 500, 20))),
    "streams": (1, lambda n: entries(n, 1, 0)[0]),
    "streams of 200": (50, lambda n: entries(n, 200, 50)[0]),
}


def resident(server: Server) -> int:
    status = Path("/proc/%d/status" % server.pid).read_text()
    return int(status.split("VmRSS:")[1].split()[0]) << 10


def used(wire) -> int:
    return int(wire.ask("INFO", "memory").split(b"used_memory:")[1].split(b"\r\n")[0])


def growth(command: list[str], keys: int, make) -> tuple[int, int]:
    """By how much the process and `used_memory` grow when so many keys are loaded."""
    with Server(command, ["--save", ""]) as server, server.wire(120) as wire:

        def load(first: int, last: int) -> None:
            for start in range(first, last, BATCH):
                batch = b"".join([make(number) for number in range(start, min(last, start + BATCH))])
                wire.socket.sendall(batch + encode("ECHO", "the end"))
                seen = b""
                while not seen.endswith(b"$7\r\nthe end\r\n"):
                    seen = seen[-20:] + wire.socket.recv(1 << 20)

        load(0, min(WARM_UP, keys // 50))
        wire.command("FLUSHALL")
        wire.command("MEMORY", "PURGE")
        before = resident(server), used(wire)
        load(0, keys)
        return resident(server) - before[0], used(wire) - before[1]


def main() -> int:
    parser = argparse.ArgumentParser(description="used_memory beside resident memory; exit code 1 if 15 % apart.")
    parser.add_argument("--keys", type=int, default=1_000_000, help="small ones; large ones are fewer in proportion")
    parser.add_argument("--only", default="", help="names of data sets, separated by commas")
    parser.add_argument("--server", default="", help="a command that starts another server")
    chosen = parser.parse_args()
    command = shlex.split(chosen.server) if chosen.server else own_command()
    only = [name for name in chosen.only.split(",") if name]
    code = 0
    for name, (share, make) in DATA_SETS.items():
        if only and name not in only:
            continue
        keys = max(1, chosen.keys // share)
        real, said = growth(command, keys, make)
        off = said / real - 1.0
        if abs(off) > TOLERANCE:
            code = 1
        print(
            "%-24s %8d keys: process +%5.0f MB, used_memory +%5.0f MB, %+5.1f %%, %5.0f bytes a key"
            % (name, keys, real / 1e6, said / 1e6, off * 100.0, real / keys),
            flush=True,
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
