#!/usr/bin/env python3
"""Put a server under a crowd of clients that mean harm or know no better, and see what is left of them.

    python3 scripts/hostile.py [--connections 20000] [--rate 500] [--seed 1] [--server 'COMMAND']

They come at a rate and go at random, in all the ways there are: with half a command sent, a byte a second, with huge
declared lengths before and after logging in, nested arrays, random bytes, replies never read, waiting for keys and
messages that never come. A few clients that mean well ask all the while: alone, beside a crowd that means no harm, and
under the attack.

Three promises are kept: the memory in use afterwards is within 10 % of what it was before, the log takes at most ten
lines a second, and the 99th percentile of the others' waiting is at most twice what it is beside a crowd of the same
rate that means no harm. Exit code 1 if one is broken.
"""

from __future__ import annotations

import argparse
import random
import select
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.harness.processes import Server, own_command
from tests.harness.wire import encode

PASSWORD = "pw"
AT_ONCE = 500  # connections that are open together
DRIBBLERS = 50  # of them send a byte a second
WELL_MEANING = 4
PAUSE_S = 0.005  # between two questions of one who means well
QUIET_S = 10.0
SETTLE_S = 20.0
MEMORY_SHARE, LOG_LINES_A_SECOND, SLOWER = 1.1, 10, 2.0
RESET = b"\x01\0\0\0\0\0\0\0"  # SO_LINGER of nothing: close with a reset
LOGIN = encode("AUTH", PASSWORD)
MISCHIEF = [
    b"",
    b"*3\r\n$3\r\nSET\r\n$5\r\nhalf",
    b"*1000000\r\n$3\r\nGET\r\n",
    b"*2147483647\r\n",
    b"*2\r\n$3\r\nGET\r\n$536870912\r\n" + b"x" * 5000,
    b"*3\r\n" * 500,
    b"*1\r\n*1\r\n$-1\r\n%2\r\n~3\r\n",
    b"*1\r\n$99999999999999999999\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"x" * 70_000,
    b"MULTI\r\n" + b"SET k v\r\n" * 300,
    b"SUBSCRIBE a b c\r\nPSUBSCRIBE d*\r\n",
    b"BLPOP nothing 0\r\n",
    b"WATCH a b c d\r\nMULTI\r\n",
    b"CLIENT TRACKING ON BCAST\r\n",
    b"GET big\r\n" * 50,
]


def harmless(chance: random.Random) -> bytes:
    """What a client sends that means no harm."""
    return chance.choice((LOGIN + b"PING\r\n", LOGIN + b"GET k\r\n", LOGIN + b"SET k2 v\r\n"))


def mischief(chance: random.Random) -> bytes:
    """What one of those sends that do."""
    if chance.random() < 0.5:
        return LOGIN + mischief_of_anybody(chance)
    return mischief_of_anybody(chance)


def mischief_of_anybody(chance: random.Random) -> bytes:
    known = chance.randrange(len(MISCHIEF) + 2)
    return MISCHIEF[known] if known < len(MISCHIEF) else chance.randbytes(3000)


class Crowd:
    """Hostile connections to one server: each turn some come, some go, and some send another byte."""

    def __init__(self, address, chance: random.Random, at_once: int = AT_ONCE, speech=mischief) -> None:
        self.address = address
        self.speech = speech
        self.chance = chance
        self.at_once = at_once
        self.open: list[socket.socket] = []
        self.dribblers: list[tuple[socket.socket, bytes]] = []
        self.next_byte_s = 0.0
        self.refused = 0

    def come(self, count: int) -> None:
        for _ in range(count):
            try:
                sock = socket.create_connection(self.address, 10)
            except OSError:
                self.refused += 1
                continue
            sock.setblocking(False)
            data = self.speech(self.chance)
            if len(self.dribblers) < DRIBBLERS:
                self.dribblers.append((sock, data))
                continue
            try:
                sock.send(data)
            except OSError:
                pass
            self.open.append(sock)
            if len(self.open) >= self.at_once:
                self.go(self.open.pop(self.chance.randrange(len(self.open))))

    def dribble(self) -> None:
        """Another byte of each; who has said all of it goes."""
        if time.monotonic() < self.next_byte_s:
            return
        self.next_byte_s = time.monotonic() + 1.0
        left = []
        for sock, data in self.dribblers:
            try:
                sock.send(data[:1])
            except OSError:
                data = b""
            if len(data) > 1 and self.chance.random() > 0.02:
                left.append((sock, data[1:]))
            else:
                self.go(sock)
        self.dribblers = left

    def go(self, sock: socket.socket) -> None:
        if self.chance.random() < 0.3:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()

    def disperse(self) -> None:
        """All go."""
        for sock in [*self.open, *[sock for sock, _ in self.dribblers]]:
            self.go(sock)
        self.open.clear()
        self.dribblers.clear()


def come_and_go(address: tuple[str, int], connections: int, rate: float, seed: int, speech) -> None:
    """A crowd's process: so many connections at this rate, none open at the end."""
    crowd = Crowd(address, random.Random(seed), speech=speech)
    began_s = time.monotonic()
    come = 0
    while come < connections:
        due = min(connections, int((time.monotonic() - began_s) * rate))
        crowd.come(due - come)
        come = max(come, due)
        crowd.dribble()
        time.sleep(0.002)
    crowd.disperse()
    took_s = time.monotonic() - began_s
    print("%d %s connections in %.1f s" % (connections - crowd.refused, speech.__name__, took_s), flush=True)


class WellMeaning:
    """Some clients that ask, wait for the answer, and pause."""

    def __init__(self, server: Server) -> None:
        self.wires = [server.wire() for _ in range(WELL_MEANING)]
        for wire in self.wires:
            wire.command("AUTH", PASSWORD)

    def ask_until(self, is_over) -> list[float]:
        """Ask until then; how long each answer took, in seconds."""
        waits = []
        question, answer = encode("GET", "k"), b"$1\r\nv\r\n"
        poller = select.poll()
        asked: dict[int, tuple[socket.socket, float]] = {}
        due = [(time.monotonic(), wire.socket) for wire in self.wires]
        for wire in self.wires:
            poller.register(wire.socket, select.POLLIN)
        while due or asked:
            now_s = time.monotonic()
            if is_over():
                due = []
            while due and due[0][0] <= now_s:
                _, sock = due.pop(0)
                asked[sock.fileno()] = (sock, time.perf_counter())
                sock.sendall(question)
            for descriptor, _ in poller.poll(1):
                sock, began_s = asked.pop(descriptor)
                waits.append(time.perf_counter() - began_s)
                if sock.recv(100) != answer:
                    raise AssertionError("another answer than the value")
                due.append((time.monotonic() + PAUSE_S, sock))
        return sorted(waits)


def percentile(waits: list[float], share: float) -> float:
    """In milliseconds."""
    return waits[int(len(waits) * share)] * 1000.0


def memory(wire) -> tuple[int, int]:
    """Bytes in use, and resident, of the server's process."""
    about = dict(line.split(b":", 1) for line in wire.ask("INFO", "memory").split(b"\r\n") if b":" in line)
    return int(about[b"used_memory"]), int(about[b"used_memory_rss"])


def wait_until_alone(wire) -> None:
    """Nobody is connected but those who mean well."""
    ends_s = time.monotonic() + SETTLE_S
    while wire.ask("CLIENT", "LIST").count(b"\n") > 1 + WELL_MEANING:
        if time.monotonic() > ends_s:
            raise AssertionError("clients that are gone are still there")
        time.sleep(0.05)


def visit(server: Server, kind: str, connections: int, rate: float, seed: int, others: WellMeaning) -> list[float]:
    """Let a crowd come and go; what the others waited meanwhile."""
    command = [sys.executable, __file__, "--crowd", kind, str(server.port), "--seed", str(seed), "--rate", str(rate)]
    with subprocess.Popen([*command, "--connections", str(connections)]) as process:
        waits = others.ask_until(lambda: process.poll() is not None)
    return waits


def run(command: list[str], connections: int, rate: float, seed: int) -> int:
    with Server(command, ["--requirepass", PASSWORD, "--save", ""]) as server:
        others = WellMeaning(server)
        with server.wire() as wire:
            wire.command("AUTH", PASSWORD)
            wire.command("SET", "k", "v")
            wire.command("SET", "big", b"x" * 20_000)
            visit(server, "hostile", connections // 10, rate, seed + 1, others)  # what is cached once is there now
            ends_s = time.monotonic() + QUIET_S
            alone = others.ask_until(lambda: time.monotonic() > ends_s)
            in_company = visit(server, "harmless", connections // 4, rate, seed, others)
            wait_until_alone(wire)
            before, lines, began_s = memory(wire), server.log().count("\n"), time.monotonic()
            under_attack = visit(server, "hostile", connections, rate, seed, others)
            took_s = time.monotonic() - began_s
            wait_until_alone(wire)
            after = memory(wire)
            errors = b"unexpected_error_replies:0\r\n" not in wire.ask("INFO", "stats")
        log = server.log()
        lines = log.count("\n") - lines
        broken = []
        if after[0] > before[0] * MEMORY_SHARE:
            broken.append("memory")
        if lines > LOG_LINES_A_SECOND * took_s:
            broken.append("log")
        if percentile(under_attack, 0.99) > SLOWER * percentile(in_company, 0.99):
            broken.append("waiting")
        if errors or "Traceback" in log or "Fault" in log:
            broken.append("faults")
        print("used memory %d -> %d bytes" % (before[0], after[0]))
        print("resident %d -> %d kB" % (before[1] >> 10, after[1] >> 10))
        print("%d lines in the log, %.1f a second" % (lines, lines / took_s))
        for name, waits in (("alone", alone), ("in company", in_company), ("under attack", under_attack)):
            figures = [percentile(waits, share) for share in (0.5, 0.99, 0.999)]
            print("waiting %s: p50 %.2f, p99 %.2f, p99.9 %.2f ms" % (name, *figures))
        print("broken with seed %d: %s" % (seed, ", ".join(broken)) if broken else "all promises kept")
        return 1 if broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Hostile clients by the thousand; exit code 1 for a broken promise.")
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=500.0, help="connections a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", default="", help="a command that starts another server")
    parser.add_argument("--crowd", nargs=2, help=argparse.SUPPRESS)  # the kind and the port: see `visit`
    chosen = parser.parse_args()
    if chosen.crowd:
        speech = {"hostile": mischief, "harmless": harmless}[chosen.crowd[0]]
        come_and_go(("127.0.0.1", int(chosen.crowd[1])), chosen.connections, chosen.rate, chosen.seed, speech)
        return 0
    command = shlex.split(chosen.server) if chosen.server else own_command()
    return run(command, chosen.connections, chosen.rate, chosen.seed)


if __name__ == "__main__":
    sys.exit(main())
