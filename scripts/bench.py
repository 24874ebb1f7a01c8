#!/usr/bin/env python3
"""Measure this server beside a real one, in alternating rounds of one run.

    python3 scripts/bench.py [--tests set,get] [--depths 1,16] [--rounds 3] [--python pypy3] [--json FILE]
    python3 scripts/bench.py --also pypy3 --plot FILE.svg       this server on two interpreters, and a picture of it
    python3 scripts/bench.py --publish      what the README shows: picture, table, setting; on an idle machine
    python3 scripts/bench.py --startup      time from starting the process to its first PONG
    python3 scripts/bench.py --memory       resident bytes per key and per idle connection

Drives both servers with redis-benchmark, or with a client of its own where there is none (then p50 and p99 are of
whole pipelines). One pinned core for the server and another for the client, where the platform can. Prints, for
each test and pipeline depth, medians over the rounds: requests/s, their ratio to Redis, the server's CPU
microseconds per request from the scheduler's own accounting, and latencies. On a busy machine requests/s flatter
the slower server; the CPU ratio does not. Without a redis-server only this server is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import bench_plot  # noqa: E402
from tests.harness import processes  # noqa: E402
from tests.harness.wire import Wire, encode, plain  # noqa: E402

# Read once: pinning this process narrows what it is told later.
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
CLIENTS = 50
KEYSPACE = 100_000
PING = encode("PING")
# redis-benchmark's own names, and what its own client sends for those that the fallback knows.
FALLBACK = {
    "ping": ("PING",),
    "set": ("SET", "key:{r}", "xxx"),
    "get": ("GET", "key:{r}"),
    "incr": ("INCR", "counter:{r}"),
    "mset": ("MSET", *[word for n in range(10) for word in (f"key:{n}:{{r}}", "xxx")]),
    "lpush": ("LPUSH", "mylist", "xxx"),
    "rpush": ("RPUSH", "mylist", "xxx"),
    "lpop": ("LPOP", "mylist"),
    "rpop": ("RPOP", "mylist"),
    "sadd": ("SADD", "myset", "element:{r}"),
    "hset": ("HSET", "myhash", "element:{r}", "xxx"),
    "spop": ("SPOP", "myset"),
    "zadd": ("ZADD", "myzset", "{r}", "element:{r}"),
    "zpopmin": ("ZPOPMIN", "myzset"),
}
ALIASES = {"ping": "ping_mbulk"}
# Tests that redis-benchmark does not have: a command of ours, sent with its help.
CUSTOM = {
    "xadd": ("XADD", "mystream", "*", "field", "value"),
    "publish": ("PUBLISH", "channel", "xxx"),
    "zrank": ("ZRANK", "myzset", "element:__rand_int__"),
    "setex": ("SETEX", "key:__rand_int__", "1000", "xxx"),
    "append": ("APPEND", "key:__rand_int__", "x"),
    "exists": ("EXISTS", "key:__rand_int__"),
}
REQUESTS = {1: 60_000, 16: 200_000}
SLOW_TESTS = {"lrange_100": 8, "lrange_300": 16, "lrange_500": 24, "lrange_600": 30, "mset": 3}
DEFAULT_TESTS = "set,get,incr,mset,ping"
PUBLISHED_TESTS = "set,get,incr,lpush,hset,sadd,zadd"
WARM_UP_REQUESTS = 100_000  # until a just-in-time compiler has seen the loop


class NotServed(Exception):
    """A server refused the commands of a test."""


def processor_seconds(pid: int) -> float | None:
    """Return the processor time a process has used, to the nanosecond where the scheduler tells."""
    try:
        # Threads are summed: everysec fsyncs in one of its own.
        total = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e9
    except OSError:
        pass
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def resident_bytes(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def pin(pid: int, core: int) -> None:
    """Put a process on one of the cores this one may use; nothing where the platform cannot."""
    if len(CORES) > 1:
        os.sched_setaffinity(pid, {CORES[core]})


def run_redis_benchmark(binary: str, port: int, test: str, depth: int, requests: int) -> dict[str, float]:
    """Return requests/s, p50_ms and p99_ms."""
    base = [binary, "-p", str(port), "-c", str(CLIENTS), "-n", str(requests), "-P", str(depth), "-r", str(KEYSPACE)]
    command = [*base, "--csv"]
    command += list(CUSTOM[test]) if test in CUSTOM else ["-t", ALIASES.get(test, test)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    output = done.stdout
    if done.returncode or "Error from server" in output + done.stderr:
        raise NotServed((output + done.stderr).strip().splitlines()[-1])
    rows = [line.split('","') for line in output.splitlines() if line.startswith('"')]
    header = [name.strip('"') for name in rows[0]]
    # LRANGE tests fill their list first, and report that as a row of its own.
    values = [value.strip('"') for value in rows[-1]]
    row = dict(zip(header, values))
    return {
        "rps": float(row["rps"]),
        "p50_ms": float(row.get("p50_latency_ms", 0)),
        "p99_ms": float(row.get("p99_latency_ms", 0)),
        "fill": float(len(rows) > 2),
    }


def run_own_client(port: int, test: str, depth: int, requests: int) -> dict[str, float]:
    """Do what redis-benchmark does, with blocking sockets in turn: slower, but it needs nothing."""
    template = FALLBACK[test]
    wires = [Wire(("127.0.0.1", port)) for _ in range(CLIENTS)]
    batches = []
    for number in range(CLIENTS):
        parts = []
        for at in range(depth):
            word = f"{(number * 7919 + at * 104729) % KEYSPACE:012d}"
            parts.append(encode(*[arg.replace("{r}", word) for arg in template]))
        batches.append(b"".join(parts))
    waits = []
    started = time.perf_counter()
    done = 0
    while done < requests:
        sent = []
        for wire, batch in zip(wires, batches):
            sent.append(time.perf_counter())
            wire.send(batch)
        for wire, at in zip(wires, sent):
            wire.read_many_raw(depth)
            waits.append(time.perf_counter() - at)
        done += CLIENTS * depth
    taken = time.perf_counter() - started
    for wire in wires:
        wire.close()
    waits.sort()
    return {
        "rps": done / taken,
        "p50_ms": waits[len(waits) // 2] * 1000,
        "p99_ms": waits[len(waits) * 99 // 100] * 1000,
        "fill": 0.0,
    }


def prepare(server: processes.Server, test: str, requests: int) -> None:
    """Empty the server and give tests that take elements away something to take."""
    with server.wire(timeout_s=120) as wire:
        wire.command("FLUSHALL")
        fill = {
            "lpop": ("RPUSH", "mylist"),
            "rpop": ("RPUSH", "mylist"),
            "spop": ("SADD", "myset"),
            "zpopmin": ("ZADD", "myzset"),
            "zrank": ("ZADD", "myzset"),
        }.get(test)
        if test == "get":
            for at in range(0, KEYSPACE, 1000):
                wire.command("MSET", *[word for n in range(at, at + 1000) for word in (f"key:{n:012d}", "xxx")])
        elif fill is not None:
            total = KEYSPACE if test == "zrank" else requests
            for at in range(0, total, 1000):
                names = [f"element:{n:012d}" for n in range(at, min(at + 1000, total))]
                if fill[0] == "ZADD":
                    wire.command(*fill, *[word for n, name in enumerate(names) for word in (at + n, name)])
                else:
                    wire.command(*fill, *names)


def measure(server: processes.Server, test: str, depth: int, requests: int) -> dict[str, float]:
    prepare(server, test, requests)
    binary = shutil.which("redis-benchmark")
    before = processor_seconds(server.pid)
    if binary:
        result = run_redis_benchmark(binary, server.port, test, depth, requests)
    else:
        result = run_own_client(server.port, test, depth, requests)
    after = processor_seconds(server.pid)
    # With a fill that redis-benchmark made itself the processor time is not of this test alone.
    if before is not None and after is not None:
        result["cpu_us"] = (after - before) / requests * 1e6
    return result


def median_of(rounds: list[dict[str, float]], field: str) -> float | None:
    values = [entry[field] for entry in rounds if field in entry]
    return statistics.median(values) if values else None


def start_pair(options: argparse.Namespace) -> dict[str, processes.Server]:
    if options.python:
        os.environ["REDISELECT_PYTHON"] = options.python
    if options.own:
        os.environ["REDISELECT_SERVER"] = options.own
    servers = {"own": processes.start_own("--save", "", "--appendonly", "no")}
    if options.also:
        before = os.environ.get("REDISELECT_PYTHON")
        os.environ["REDISELECT_PYTHON"] = options.also
        servers["also"] = processes.start_own("--save", "", "--appendonly", "no")
        os.environ.pop("REDISELECT_PYTHON")
        if before:
            os.environ["REDISELECT_PYTHON"] = before
    if processes.real_binary():
        servers["redis"] = processes.start_real("--appendonly", "no")
    for server in servers.values():
        pin(server.pid, 0)
    return servers


def measure_rounds(
    servers: dict[str, processes.Server], test: str, depth: int, requests: int, count: int
) -> dict[str, list[dict[str, float]]]:
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    for number in range(count):
        # Who goes first changes, so that a machine that warms up or slows down favours nobody.
        for name in list(servers) if number % 2 else list(servers)[::-1]:
            rounds[name].append(measure(servers[name], test, depth, requests))
    return rounds


def labels_of(servers: dict[str, processes.Server]) -> dict[str, str]:
    """What each server calls itself."""
    found = {}
    for name, server in servers.items():
        with server.wire() as wire:
            text = plain(wire.command("INFO", "server")).decode()
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        found[name] = "Redis " + fields["redis_version"]
        if name != "redis":
            program = "import platform as p; print(p.python_implementation(), p.python_version())"
            version = subprocess.run([server.command[0], "-c", program], capture_output=True, text=True).stdout.strip()
            found[name] = "rediselect" + (f" on {version}" if version else "")
    return found


def describe_machine() -> dict[str, object]:
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        processor = models[0] if models else processor
    except OSError:
        pass
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return {"processor": processor, "system": system, "cores": os.cpu_count(), "load": load}


def bench(options: argparse.Namespace) -> dict[str, object]:
    servers = start_pair(options)
    results: list[dict[str, object]] = []
    driver = f"redis-benchmark -c {CLIENTS} -r {KEYSPACE}" if shutil.which("redis-benchmark") else "own client"
    head = {"kind": "throughput", "labels": labels_of(servers), "rounds": options.rounds, "driver": driver}
    for server in servers.values():
        measure(server, "set", 16, WARM_UP_REQUESTS)
    print(
        f"{'test':12} {'P':>3} {'own req/s':>10} {'redis':>10} {'ratio':>6} {'own us':>7} {'redis':>7} {'ratio':>6}"
        f" {'p50 ms':>7} {'redis':>6} {'p99 ms':>7} {'redis':>6}"
    )
    try:
        for depth in options.depths:
            for test in options.tests:
                requests = options.requests or REQUESTS.get(depth, 200_000)
                requests = max(1000, requests // SLOW_TESTS.get(test, 1))
                try:
                    rounds = measure_rounds(servers, test, depth, requests, options.rounds)
                except NotServed as error:
                    print(f"{test:12} {depth:3} not served: {error}", flush=True)
                    results.append({"test": test, "depth": depth, "not_served": str(error)})
                    continue
                results.append(report(test, depth, requests, rounds))
    finally:
        for server in servers.values():
            server.stop()
    return {**head, "results": results}


def report(test: str, depth: int, requests: int, rounds: dict[str, list[dict[str, float]]]) -> dict[str, object]:
    entry: dict[str, object] = {"test": test, "depth": depth, "requests": requests, "rounds": rounds}
    medians = {
        name: {field: median_of(measured, field) for field in ("rps", "cpu_us", "p50_ms", "p99_ms")}
        for name, measured in rounds.items()
    }
    entry["medians"] = medians
    real = medians.get("redis", {})

    def ratio(above: float | None, below: float | None) -> float | None:
        return above / below if above and below else None

    def text(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    for name, own in medians.items():
        if name == "redis":
            continue
        # Redis's time over ours: above is better for both ratios.
        ratios = {"rps": ratio(own["rps"], real.get("rps")), "cpu": ratio(real.get("cpu_us"), own["cpu_us"])}
        if name == "own":
            entry["ratio_rps"], entry["ratio_cpu"] = ratios["rps"], ratios["cpu"]
        print(
            f"{test if name == 'own' else '  ' + name:12} {depth:3} {text(own['rps'], 0):>10} "
            f"{text(real.get('rps'), 0):>10} {text(ratios['rps'], 2):>6} {text(own['cpu_us'], 2):>7} "
            f"{text(real.get('cpu_us'), 2):>7} {text(ratios['cpu'], 2):>6} {text(own['p50_ms'], 2):>7} "
            f"{text(real.get('p50_ms'), 2):>6} {text(own['p99_ms'], 2):>7} {text(real.get('p99_ms'), 2):>6}",
            flush=True,
        )
    return entry


def first_pong_seconds(command: list[str], arguments: list[str]) -> float:
    """Return the time from starting a process to its first PONG."""
    port = processes.free_port()
    # With its compiled modules cached, as an installed server runs.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPATH"] = str(ROOT)
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--port", str(port), "--save", "", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env=env,
    )  # fmt: skip
    try:
        while time.perf_counter() - started < 30 and process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as sock:
                    sock.sendall(PING)
                    if sock.recv(64).startswith(b"+PONG"):
                        return time.perf_counter() - started
            except OSError:
                time.sleep(0.0005)
        raise SystemExit(f"{' '.join(command)} did not answer")
    finally:
        process.kill()
        process.wait()


def bench_startup(options: argparse.Namespace) -> dict[str, object]:
    commands = {"own": processes.own_command()}
    if processes.real_binary():
        commands["redis"] = [processes.real_binary() or ""]
    commands["bare interpreter"] = []
    times: dict[str, list[float]] = {name: [] for name in commands}
    first_pong_seconds(commands["own"], [])  # writes the compiled modules
    for _ in range(max(options.rounds, 5)):
        for name, command in commands.items():
            if command:
                times[name].append(first_pong_seconds(command, []))
            else:
                started = time.perf_counter()
                subprocess.run([commands["own"][0], "-c", "pass"], cwd=ROOT)
                times[name].append(time.perf_counter() - started)
    print(f"{'start-up':18} {'median ms':>10} {'least':>8}")
    for name, values in times.items():
        print(f"{name:18} {statistics.median(values) * 1000:10.1f} {min(values) * 1000:8.1f}")
    return {"kind": "startup", "seconds": times}


def bench_memory(options: argparse.Namespace) -> dict[str, object]:
    servers = start_pair(options)
    found: dict[str, dict[str, float]] = {}
    try:
        for name, server in servers.items():
            found[name] = {}
            before = resident_bytes(server.pid) or 0
            wires = [server.wire() for _ in range(options.connections)]
            for wire in wires:
                wire.command("PING")
            connected = resident_bytes(server.pid) or 0
            found[name]["bytes_per_connection"] = (connected - before) / options.connections
            for wire in wires:
                wire.close()
            with server.wire(timeout_s=120) as wire:
                # The closed connections' memory must not be counted again as the keys'.
                deadline = time.monotonic() + 5
                while b"connected_clients:1\r" not in plain(wire.command("INFO", "clients")):
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.01)
                before = resident_bytes(server.pid) or 0
                for at in range(0, options.keys, 500):
                    commands = [(b"SET", b"k%015d" % number, b"v%015d" % number) for number in range(at, at + 500)]
                    wire.pipeline(commands)
                found[name]["bytes_per_key"] = ((resident_bytes(server.pid) or 0) - before) / options.keys
    finally:
        for server in servers.values():
            server.stop()
    print(f"{'memory':8} {'bytes/key':>10} {'bytes/idle connection':>22}")
    for name, values in found.items():
        print(f"{name:8} {values['bytes_per_key']:10.1f} {values['bytes_per_connection']:22.0f}")
    if "redis" in found:
        print(f"{'ratio':8} {found['own']['bytes_per_key'] / found['redis']['bytes_per_key']:10.2f}")
    return {"kind": "memory", "keys": options.keys, "connections": options.connections, "found": found}


def comma_list(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=comma_list, default=comma_list(DEFAULT_TESTS), help="redis-benchmark's names")
    parser.add_argument("--depths", type=lambda text: [int(word) for word in comma_list(text)], default=[1, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, help="for each measurement (default: by depth)")
    parser.add_argument("--python", help="interpreter for this server")
    parser.add_argument("--own", help="command to measure in place of this server")
    parser.add_argument("--also", help="another interpreter to measure this server on, in the same run")
    parser.add_argument("--plot", type=Path, help="where to draw the rates, as SVG")
    parser.add_argument(
        "--publish", action="store_true", help=f"measure {PUBLISHED_TESTS} and write README.md and scripts/bench.svg"
    )
    parser.add_argument("--json", type=Path, help="where to store every round (default: bench-results/)")
    parser.add_argument("--startup", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--keys", type=int, default=1_000_000, help="for --memory")
    parser.add_argument("--connections", type=int, default=500, help="for --memory")
    options = parser.parse_args()
    if options.python:
        os.environ["REDISELECT_PYTHON"] = options.python
    if options.own:
        os.environ["REDISELECT_SERVER"] = options.own
    if options.publish:
        options.tests = comma_list(PUBLISHED_TESTS)
        options.also = options.also or shutil.which("pypy3")
    # The client's core, redis-benchmark included; servers are moved to the other one after they start.
    pin(0, 1)
    if options.startup:
        result = bench_startup(options)
    elif options.memory:
        result = bench_memory(options)
    else:
        result = bench(options)
    result["command"] = processes.own_command()
    result["machine"] = describe_machine()
    result["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    path = options.json or ROOT / "bench-results" / f"{result['kind']}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"every round is in {path}")
    if options.plot:
        options.plot.write_text(bench_plot.draw(result), encoding="utf-8")
    if options.publish:
        bench_plot.publish(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
