#!/usr/bin/env python3
"""Put a server under concurrent clients, faults and time, and hold it to what it promises.

    python3 scripts/soak.py [--seconds N] [--clients N] [--seed N] [--report FILE] [--without NAME[,NAME]]
                            [--server 'COMMAND'] [--operations N] [--idle N] [--steady PERCENT]

Starts the server (this one, or COMMAND: `--server redis-server` puts a real one under the same stress) on a loopback
port with its log flushed at each write, and N processes as clients, each with a model of what it owns:
mixed, counter, bank, queue, stream, pubsub, expiring, scan, pipeline. Meanwhile: idle, slow-readers, saves, rewrites,
config, client-kill, kill-clients, stop-clients, crash (kill -9 of the server and a new start), replica (attached and
cut). `--without` takes the names of both.

Exit status 1 with the seed and the violation at the first promise that is broken, 2 if the script itself failed. The
same seed makes the same decisions in each client; how they interleave is the machine's. Everything ends after
--seconds, or when each client has sent --operations commands, and all that was started is ended.
"""

from __future__ import annotations

import argparse
import os
import random
import selectors
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

try:
    import resource
except ImportError:
    sys.exit("soak.py forks its clients and stops them by signals: it needs Linux, macOS or another Unix")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soak import chaos, promises, report, roles  # noqa: E402
from soak.links import Lost, Meter, RawLink, Violation  # noqa: E402
from soak.processes import Player  # noqa: E402

from tests.harness.processes import Server, StartFailure, own_command  # noqa: E402

# Below the ports that outgoing connections get: a client that connects while the server is dead could otherwise
# be given its port, and connect to itself.
PORTS = range(12_000, 30_000)
START_PATIENCE_S = 120.0
END_PATIENCE_S = 90.0
DIRECTOR_FAULTS = ("kill-clients", "stop-clients", "crash", "replica")
PAUSES_S = {"kill-clients": (0.5, 2.0), "stop-clients": (0.5, 2.0), "crash": (4.0, 9.0), "replica": (1.5, 4.0)}
EXTRA_DESCRIPTORS = 500


def pick_port(rng: random.Random) -> int:
    while True:
        port = rng.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def resident_mb(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


class Director:
    """Starts everything, takes the reports, makes the faults that need a process in hand, and ends everything."""

    def __init__(self, options) -> None:
        self.options = options
        self.without = {name for text in options.without for name in text.split(",") if name}
        known = {*roles.ROLES, *chaos.FAULTS, *DIRECTOR_FAULTS}
        if self.without - known:
            raise SystemExit(f"no such name: {', '.join(sorted(self.without - known))}; there are {sorted(known)}")
        self.rng = random.Random(f"{options.seed}:director")
        self.command = shlex.split(options.server) if options.server else own_command()
        self.directory = Path(tempfile.mkdtemp(prefix="soak-"))
        self.players: list[Player] = []
        self.selector = selectors.DefaultSelector()
        self.server: Server | None = None
        self.replica: Server | None = None
        self.link: RawLink | None = None
        self.samples: list = []
        self.interval: dict = {}
        self.interval_commands = 0
        self.interval_longest_s = 0.0
        self.totals: dict = {}
        self.fault_counts: dict = {}
        self.decisions: dict = {}
        self.errors = 0
        self.facts: list[str] = []
        self.log_at: dict = {}

    # Starting

    def server_options(self) -> list:
        always = "crash" not in self.without
        options = ["--save", "", "--appendonly", "yes", "--appendfsync", "always" if always else "everysec"]
        options += ["--maxclients", self.options.idle + self.options.clients * 3 + EXTRA_DESCRIPTORS]
        return [*options, "--enable-debug-command", "local", "--repl-diskless-sync-delay", "0"]

    def start(self) -> None:
        self.started = time.monotonic()
        directory = self.directory / "server"
        directory.mkdir()
        port = pick_port(random.Random())
        self.server = Server(self.command, ["--port", port, *self.server_options()], directory=directory)
        promises.prepare(port)
        self.started = time.monotonic()
        self.end_at = self.started + self.options.seconds
        wanted = [role for name, role in roles.ROLES.items() if name not in self.without]
        for slot in range(self.options.clients if wanted else 0):
            self.play(wanted[slot % len(wanted)], slot, 1)
        self.play(promises.Auditor, 0, 1)
        for name, fault in chaos.FAULTS.items():
            if name not in self.without:
                fault_class = fault
                if name == "idle":
                    fault_class = type("Idle", (chaos.Idle,), {"connections": self.options.idle})
                self.play(fault_class, 0, 1)
        now = time.monotonic()
        self.due = {name: now + self.pause(name) / 2 for name in DIRECTOR_FAULTS if name not in self.without}
        if "replica" in self.due:
            self.due["replica"] = now + 0.5

    def pause(self, name: str) -> float:
        return self.rng.uniform(*PAUSES_S[name])

    def play(self, role_class, slot: int, generation: int, port: int = 0) -> None:
        role = role_class(port or self.server.port, self.options.seed, slot, generation)
        others = [player.pipe for player in self.players if not player.has_ended]
        operations = self.options.operations if role.name in roles.ROLES else 0
        player = Player(role, self.end_at, operations, others)
        self.players.append(player)
        self.selector.register(player.pipe, selectors.EVENT_READ, player)

    # Running

    def run(self) -> None:
        next_sample = self.started + 1
        makers = {"kill-clients": self.kill_clients, "stop-clients": self.stop_clients, "crash": self.crash,
                  "replica": self.cut_replica}  # fmt: skip
        while True:
            now = time.monotonic()
            if now >= self.end_at or not any(p.name in roles.ROLES and not p.has_ended for p in self.players):
                break
            self.take_reports(min(0.1, max(0.0, next_sample - now)))
            self.watch_servers()
            now = time.monotonic()
            if now >= next_sample:
                self.sample(now)
                next_sample = now + 1
            for name, at in list(self.due.items()):
                if now >= at:
                    makers[name]()
                    self.due[name] = time.monotonic() + self.pause(name)
        self.finish()

    def take_reports(self, timeout_s: float) -> None:
        for key, _ in self.selector.select(timeout_s):
            player = key.data
            messages = player.read()
            for message in messages:
                self.take(player, message)
            if player.has_ended:
                self.selector.unregister(key.fileobj)

    def take(self, player: Player, message: dict) -> None:
        who = f"{player.name} {player.slot}, generation {player.generation}"
        if "broken" in message:
            raise RuntimeError(f"{who}:\n{message['broken']}")
        if "violation" in message:
            recent = "\n    ".join(message["recent"])
            raise Violation(f"{who}: {message['violation']}\nits last commands:\n    {recent}")
        player.reported_end = "ended" in message
        self.errors += message["lost"]
        if player.name in chaos.FAULTS:
            self.fault_counts[player.name] = message["done"]
        if player.name not in roles.ROLES:
            return
        self.interval_commands += message["commands"]
        self.interval_longest_s = max(self.interval_longest_s, message["longest_s"])
        total = self.totals.setdefault(player.name, {"commands": 0, "lost": 0, "longest_s": 0.0, "latencies": {}})
        total["commands"] += message["commands"]
        total["lost"] += message["lost"]
        total["longest_s"] = max(total["longest_s"], message["longest_s"])
        for index, count in message["latencies"].items():
            for histogram in (self.interval, total["latencies"]):
                histogram[int(index)] = histogram.get(int(index), 0) + count
        if player.generation == 1:
            self.decisions[f"{player.name}:{player.slot}"] = message["decisions"]

    def watch_servers(self) -> None:
        """Look for a server that died by itself, and for tracebacks in what it has logged since."""
        for server in (self.server, self.replica):
            if server is None:
                continue
            if not server.is_alive():
                raise Violation(f"a server ended by itself, exit {server.process.returncode}: {server.describe()}")
            try:
                size = server.log_path.stat().st_size
            except OSError:
                continue
            at = self.log_at.get(server.log_path, 0)
            if size > at:
                with open(server.log_path, "rb") as log:
                    log.seek(max(0, at - 100))
                    text = log.read()
                for sign in (b"Traceback (most recent call last)", b"crashed by signal", b"Error trying to save"):
                    if sign in text:
                        found = text[max(0, text.index(sign) - 300) :][:3000].decode(errors="replace")
                        raise Violation(f"the server's log has a line it should not have:\n{found}")
                self.log_at[server.log_path] = size

    def ask_server(self, *argv):
        """Return a reply, or None while the server is away."""
        try:
            if self.link is None:
                self.link = RawLink(self.server.port, Meter())
            return self.link.call(*argv)
        except Lost:
            self.link = None
            return None

    def sample(self, now: float) -> None:
        fields = {}
        reply = self.ask_server("INFO", "clients")
        if isinstance(reply, bytes):
            fields = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
        at_s = now - self.started
        elapsed = at_s - (self.samples[-1].at_s if self.samples else 0)
        sample = report.Sample(
            at_s, self.interval_commands / elapsed, report.percentile(self.interval, 0.5),
            report.percentile(self.interval, 0.99), self.interval_longest_s * 1000, resident_mb(self.server.pid),
            int(fields.get("connected_clients", 0)), int(fields.get("blocked_clients", 0)), self.errors,
        )  # fmt: skip
        self.samples.append(sample)
        self.interval, self.interval_commands, self.interval_longest_s = {}, 0, 0.0
        print(report.live_line(sample), flush=True)

    # Faults

    def count(self, name: str) -> None:
        self.fault_counts[name] = self.fault_counts.get(name, 0) + 1

    def living(self) -> list:
        return [player for player in self.players if player.name in roles.ROLES and not player.has_ended]

    def kill_clients(self) -> None:
        """Kill a client wherever it is; the next generation takes its place."""
        for player in self.rng.sample(self.living(), min(len(self.living()), 1 + self.options.clients // 50)):
            self.selector.unregister(player.pipe)
            player.end()
            self.players.remove(player)
            self.play(roles.ROLES[player.name], player.slot, player.generation + 1)
            self.count("kill-clients")

    def stop_clients(self) -> None:
        """SIGCONT those that were stopped the last time, and SIGSTOP others."""
        for player in self.living():
            if player.is_stopped:
                player.signal(signal.SIGCONT)
                player.is_stopped = False
        for player in self.rng.sample(self.living(), min(len(self.living()), 1 + self.options.clients // 20)):
            player.signal(signal.SIGSTOP)
            player.is_stopped = True
            self.count("stop-clients")

    def crash(self) -> None:
        """kill -9 the server, and start it again on its files."""
        if self.ask_server("PING") != b"PONG":
            return
        self.server.kill()
        self.link = None
        self.server.start(wait=False)
        self.count("crash")

    def replica_command(self) -> list:
        return ["--port", pick_port(random.Random()), "--replicaof", "127.0.0.1", self.server.port,
                *self.server_options(), "--appendonly", "no"]  # fmt: skip

    def cut_replica(self) -> None:
        if self.replica is None:
            directory = self.directory / "replica"
            directory.mkdir()
            self.replica = Server(self.command, self.replica_command(), directory=directory, wait=False)
            self.play(promises.ReplicaAuditor, 0, 1, self.replica.port)
            return
        way = self.rng.choice(("cut", "cut", "stop", "kill"))
        if way == "cut":
            self.ask_server("CLIENT", "KILL", "TYPE", "replica")
        elif way == "stop":
            self.replica.signal(signal.SIGSTOP)
            time.sleep(0.3)
            self.replica.signal(signal.SIGCONT)
        else:
            self.replica.kill()
            self.replica.start(wait=False)
        self.count("replica")

    # Ending

    def finish(self) -> None:
        for player in self.players:
            if not player.has_ended and player.is_stopped:
                player.signal(signal.SIGCONT)
        self.end_at = min(self.end_at, time.monotonic())
        deadline = time.monotonic() + END_PATIENCE_S
        is_early = self.end_at < self.started + self.options.seconds
        while True:
            left = [p for p in self.players if not p.has_ended and not (is_early and p.name not in roles.ROLES)]
            if not left:
                break
            if time.monotonic() > deadline:
                names = ", ".join(f"{player.name} {player.slot}" for player in left)
                raise Violation(f"{len(left)} clients wait for replies {END_PATIENCE_S:.0f} s after the end: {names}")
            self.take_reports(0.1)
            self.watch_servers()
        for player in self.players:
            player.end()
            if not is_early and not player.reported_end:
                raise RuntimeError(f"{player.name} {player.slot} ended without saying so")
        if self.link is not None:
            self.link.close()
            self.link = None
        self.server.wait_until_ready(START_PATIENCE_S)
        self.facts += promises.check_at_the_end(self.server.port)
        if self.replica is not None:
            self.replica.wait_until_ready(START_PATIENCE_S)
            self.facts.append(promises.check_replica(self.server.port, self.replica.port))
        self.watch_servers()

    def stop(self) -> None:
        """End all that was started, by process id."""
        for player in self.players:
            player.end()
        for server in (self.replica, self.server):
            if server is not None:
                if server.is_alive():
                    server.signal(signal.SIGCONT)
                server.kill()
        if not self.options.keep:
            shutil.rmtree(self.directory, ignore_errors=True)


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description="Concurrency stress with faults; see the head of this file.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=18)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", metavar="FILE", help="write the report as an HTML page")
    parser.add_argument("--without", action="append", default=[], metavar="NAME[,NAME]", help="roles and faults")
    parser.add_argument("--server", metavar="COMMAND", help="another server, for instance redis-server")
    parser.add_argument("--operations", type=int, default=0, help="end when each client has sent so many commands")
    parser.add_argument("--idle", type=int, default=chaos.IDLE_CONNECTIONS, help="how many connections idle")
    parser.add_argument("--steady", type=float, metavar="PERCENT",
                        help="fail if resident memory grows by more from the middle third to the last")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the server's directory and name it")
    return parser.parse_args(argv)


def main() -> int:
    options = parse_arguments()
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = options.idle + options.clients * 4 + EXTRA_DESCRIPTORS
    if limit < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(most, needed)))
    director = Director(options)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    status, verdict = 0, "every promise held"
    try:
        try:
            director.start()
            director.run()
            drift = report.steadiness(director.samples)
            if drift is not None:
                director.facts.append(f"resident memory in the last third: {drift:+.1f} % of the middle third's")
                if options.steady is not None and drift > options.steady:
                    raise Violation(f"resident memory grew by {drift:.1f} %, more than {options.steady} %")
        except (Violation, StartFailure) as violation:
            status, verdict = 1, f"VIOLATION: {violation}"
        finally:
            director.stop()
    except RuntimeError as error:
        status, verdict = 2, f"the script failed: {error}"
    print_report(director, status, verdict)
    return status


def print_report(director: Director, status: int, verdict: str) -> None:
    options = director.options
    title = f"soak: {' '.join(director.command[-2:])}, seed {options.seed}, {options.clients} clients"
    again = f"python3 scripts/soak.py --seed {options.seed} --clients {options.clients} --seconds {options.seconds:g}"
    again += "".join(f" --without {names}" for names in options.without)
    again += f" --server {shlex.quote(options.server)}" if options.server else ""
    wanted = [name for name in roles.ROLES if name not in director.without]
    table_rows = []
    for index, name in enumerate(wanted):
        total = director.totals.get(name)
        if total:
            count = (options.clients - index + len(wanted) - 1) // len(wanted)
            table_rows.append((
                name, count, total["commands"], f"{report.percentile(total['latencies'], 0.5):.2f}",
                f"{report.percentile(total['latencies'], 0.99):.2f}", f"{total['longest_s'] * 1000:.1f}", total["lost"],
            ))  # fmt: skip
    seconds = time.monotonic() - director.started
    commands = sum(total["commands"] for total in director.totals.values())
    facts = [f"{commands} commands in {seconds:.1f} s, {director.errors} connections lost on purpose or by faults"]
    facts.append("faults: " + (", ".join(f"{n} {c}" for n, c in sorted(director.fault_counts.items())) or "none"))
    facts += director.facts
    decisions = 0
    for name in sorted(director.decisions):
        decisions = (decisions * 31 + director.decisions[name]) % (1 << 32)
    facts.append(f"first decisions: {decisions:08x}")
    if status:
        verdict += f"\nagain: {again}"
    if options.keep:
        facts.append(f"files: {director.directory}")
    print(f"\n{title}\n{report.table(table_rows)}")
    print("\n".join(facts))
    print(verdict, flush=True)
    if options.report:
        Path(options.report).write_text(report.page(title, verdict, facts, table_rows, director.samples), "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
