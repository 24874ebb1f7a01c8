#!/usr/bin/env python3
"""Hold thousands of connections open and measure the few that are active, here and at a real server in the same run.

    python3 scripts/bench_crowd.py [--connections 10000] [--active 100] [--seconds 5] [--rounds 3]

The idle connections of each server belong to a process of their own (this script again), and have each been served
once. The active ones send a GET or a SET, wait for the reply and send the next, from another process. Prints medians
over the rounds: requests/s, p50 and p99 with the crowd and without it. Raises the limit of file descriptors for the
servers and the crowds, which inherit it.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.harness import processes  # noqa: E402
from tests.harness.wire import Wire, encode  # noqa: E402

SPARE_DESCRIPTORS = 500
BATCH = 200  # connections made before they are served: a listener queues no more than 511


def raise_descriptor_limit(needed: int) -> None:
    """Let this process and its children open so many files, where the platform has such a limit."""
    try:
        import resource
    except ImportError:
        return
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(most, needed)))
    except (ValueError, OSError):
        raise SystemExit(f"{needed} files may not be open here, {most} at most: fewer --connections, please")


def drive(port: int, active: int, seconds: float) -> dict[str, float]:
    """Keep `active` connections busy with one request each under way; return requests/s, p50_ms and p99_ms."""
    requests = (encode("GET", "crowd"), encode("SET", "crowd", "x" * 16))
    selector = selectors.DefaultSelector()
    sent_at: dict[socket.socket, float] = {}
    counts: dict[socket.socket, int] = {}
    for _ in range(active):
        connection = socket.create_connection(("127.0.0.1", port), 30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        counts[connection] = 0
    clock = time.perf_counter
    waits: list[float] = []
    started = clock()
    for connection in counts:
        sent_at[connection] = clock()
        connection.sendall(requests[0])
    while clock() - started < seconds:
        for key, _ in selector.select(1.0):
            connection = key.fileobj
            if not connection.recv(4096).endswith(b"\r\n"):
                raise SystemExit("a reply came in pieces or not at all")
            now = clock()
            waits.append(now - sent_at[connection])
            counts[connection] += 1
            sent_at[connection] = now
            connection.sendall(requests[counts[connection] % 2])
    taken = clock() - started
    waits.sort()
    return {
        "rps": len(waits) / taken,
        "p50_ms": waits[len(waits) // 2] * 1000,
        "p99_ms": waits[len(waits) * 99 // 100] * 1000,
    }


def drive_apart(port: int, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--drive", str(port), "--active", str(options.active)]
    command += ["--seconds", str(options.seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=options.seconds * 10 + 60)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def hold(port: int, count: int) -> None:
    """Open `count` connections that have been answered once, say so, and keep them until standard input ends."""
    crowd: list[Wire] = []
    while len(crowd) < count:
        fresh = [Wire(("127.0.0.1", port), timeout_s=60) for _ in range(min(BATCH, count - len(crowd)))]
        for wire in fresh:
            wire.send(encode("PING"))
        for wire in fresh:
            wire.read_many_raw(1)
        crowd += fresh
    print("held", flush=True)
    sys.stdin.read()


def start_crowd(port: int, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--hold", str(port), "--connections", str(count)]
    crowd = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert crowd.stdout is not None
    if crowd.stdout.readline().strip() != b"held":
        crowd.kill()
        raise SystemExit(f"{count} connections could not be held")
    return crowd


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--active", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--drive", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--hold", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hold:
        hold(options.hold, options.connections)
        return 0
    if options.drive:
        print(json.dumps(drive(options.drive, options.active, options.seconds)))
        return 0
    raise_descriptor_limit(options.connections + SPARE_DESCRIPTORS)
    limit = ("--maxclients", str(options.connections + options.active + 50), "--save", "", "--appendonly", "no")
    servers = {"own": processes.start_own(*limit)}
    crowds: list[subprocess.Popen[bytes]] = []
    try:
        if processes.real_binary():
            servers["redis"] = processes.start_real(*limit)
        found: dict[tuple[str, str], list[dict[str, float]]] = {}
        for crowd_name in ("alone", f"{options.connections} idle"):
            if crowd_name != "alone":
                for server in servers.values():
                    crowds.append(start_crowd(server.port, options.connections - options.active))
            for number in range(options.rounds):
                # Who goes first changes, so that a machine that warms up or slows down favours nobody.
                for name in list(servers) if number % 2 else list(servers)[::-1]:
                    found.setdefault((crowd_name, name), []).append(drive_apart(servers[name].port, options))
        print(f"{options.active} active {'':14} {'server':8} {'req/s':>9} {'p50 ms':>8} {'p99 ms':>8}")
        for (crowd_name, name), rounds in found.items():
            rps, p50, p99 = (statistics.median(one[field] for one in rounds) for field in ("rps", "p50_ms", "p99_ms"))
            print(f"{crowd_name:24} {name:8} {rps:9.0f} {p50:8.2f} {p99:8.2f}")
    finally:
        for crowd in crowds:
            crowd.kill()
            crowd.wait()
        for server in servers.values():
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
