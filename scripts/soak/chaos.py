"""Faults that are clients: connections that idle or stop reading, saves and rewrites, settings, CLIENT KILL.

Faults that need a process in hand (signals, the server's death, the replica) are the director's.
"""

from __future__ import annotations

import time

from soak.links import Lost, RawLink, Refusal, Violation, encode
from soak.role import Role

IDLE_CONNECTIONS = 1000
UNREAD_BYTES = 4 * 1024 * 1024  # what the server has to keep for a connection that does not read


class Fault(Role):
    """A client that makes trouble; `done` counts how often."""

    may_use_library = False
    pause_s = (0.1, 0.5)

    def setup(self) -> None:
        self.done = getattr(self, "done", 0)

    def step(self) -> None:
        self.trouble()
        self.done += 1
        self.rest(self.rng.uniform(*self.pause_s))

    def rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.is_over():
            time.sleep(0.02)
            self.tick()

    def trouble(self) -> None:
        raise NotImplementedError


class Idle(Fault):
    """A thousand connections that do nothing, each answering when it is asked at last."""

    name = "idle"
    connections = IDLE_CONNECTIONS

    def trouble(self) -> None:
        while len(self.links) < self.connections + 1 and not self.is_over():
            self.links.append(RawLink(self.port, self.meter))
            if len(self.links) % 50 == 0:
                self.tick()
        for link in self.rng.sample(self.links[1:], min(20, len(self.links) - 1)):
            try:
                if self.ask("PING", link=link) != b"PONG":
                    raise Violation("PING on an idle connection is not answered by PONG")
            except Lost:
                link.close()
                self.links.remove(link)


class SlowReaders(Fault):
    """Asks for megabytes, does not read for a while, then finds every reply whole or just goes away."""

    name = "slow-readers"

    def trouble(self) -> None:
        size = self.rng.choice((1000, 20_000, 300_000))
        key = f"slow:{self.slot}"
        self.ask("SET", key, b"s" * size)
        count = UNREAD_BYTES // size
        reader = RawLink(self.port, self.meter)
        self.links.append(reader)
        reader.send(encode(("GET", key)) * min(count, 2000))
        self.rest(self.rng.uniform(0.2, 1.5))
        if self.rng.random() < 0.7:
            for number in range(min(count, 2000)):
                data = reader.read()
                if data != b"s" * size:
                    raise Violation(f"reply {number} of {count} is not the value of {size} bytes: {data[:40]!r}")
        self.links.remove(reader)
        reader.close()


class Saves(Fault):
    """BGSAVE in a loop."""

    name = "saves"
    pause_s = (0.2, 1.0)
    command: tuple = ("BGSAVE",)
    may_say = (b"ERR Background save already in progress", b"ERR Background append only file rewriting",
               b"ERR Another child process is active")  # fmt: skip

    def trouble(self) -> None:
        reply = self.link.call(*self.command)
        if isinstance(reply, Refusal) and not reply.text.startswith(self.may_say):
            raise Violation(f"{self.command[0]} answers {reply!r}")
        info = self.ask("INFO", "persistence").decode()
        for field in ("rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"):
            if f"{field}:ok" not in info:
                raise Violation(f"{field} is not ok:\n{info}")


class Rewrites(Saves):
    """BGREWRITEAOF in a loop."""

    name = "rewrites"
    command = ("BGREWRITEAOF",)


class Settings(Fault):
    """CONFIG SET of settings that change speed and encodings, never results."""

    name = "config"
    choices = (
        ("hz", "1", "10", "100"), ("hash-max-listpack-entries", "0", "8", "128", "512"),
        ("zset-max-listpack-entries", "0", "16", "128"), ("set-max-intset-entries", "4", "512"),
        ("list-max-listpack-size", "-2", "-5", "10"), ("activerehashing", "yes", "no"),
        ("slowlog-log-slower-than", "0", "10000", "-1"), ("slowlog-max-len", "10", "128"),
        ("latency-monitor-threshold", "0", "1"), ("stream-node-max-entries", "10", "100"),
        ("maxmemory", "0", "4gb"), ("timeout", "0", "300"), ("tcp-keepalive", "300", "60"),
        ("appendfsync", "always"), ("lazyfree-lazy-user-del", "yes", "no"), ("notify-keyspace-events", "", "KEA"),
    )  # fmt: skip

    def trouble(self) -> None:
        name, *values = self.rng.choice(self.choices)
        value = self.rng.choice(values)
        self.ask("CONFIG", "SET", name, value)
        self.ask("CONFIG", "GET", name)
        self.ask("SLOWLOG", "GET", 3)


class ClientKill(Fault):
    """CLIENT KILL of whoever comes, by ID."""

    name = "client-kill"

    def trouble(self) -> None:
        lines = self.ask("CLIENT", "LIST").decode().splitlines()
        ids = [line.split(" ")[0][3:] for line in lines if " name= " not in line and " flags=S" not in line]
        if ids:
            self.link.call("CLIENT", "KILL", "ID", self.rng.choice(ids))


FAULTS = {fault.name: fault for fault in (Idle, SlowReaders, Saves, Rewrites, Settings, ClientKill)}
