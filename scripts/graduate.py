#!/usr/bin/env python3
"""Move a running data set to a real Redis or Valkey server, with a pause of writes and no downtime of reads.

    python3 scripts/graduate.py --from 127.0.0.1:6379 --to 10.0.0.5:6379 [--check] [--verify 1000|all]

Checks what the target could not take (its version, the snapshot's version, memory, databases, commands that are in
use), lets it replicate, and when it has caught up pauses writes, waits until offsets agree, compares keys on both
sides, promotes the target and makes this server its replica, so that clients which have not moved yet still read.
`--check` stops after the checks; `--stay-master` leaves this server's role alone. Whatever fails before the promotion
leaves this server serving as before. Exit code 0 if the target is the master now (or the checks found nothing).
"""

from __future__ import annotations

import argparse
import hashlib
import socket
import sys
import time

CONNECT_TIMEOUT_S = 10.0
PAUSE_MS = 60_000  # a limit: the pause ends with the promotion
POLL_S = 0.02
NEAR_BYTES = 64 * 1024  # writes are paused once no more than that is on its way
FIELD_DEADLINES_SINCE = (7, 4)


class Failed(Exception):
    """The move cannot go on; the text says why."""


class Refused(Exception):
    """A server answered with an error."""


class Client:
    """One connection in RESP2."""

    def __init__(self, address: str, password: str, user: str) -> None:
        host, _, port = address.rpartition(":")
        self.host, self.port = host.strip("[]") or "127.0.0.1", int(port)
        try:
            self.socket = socket.create_connection((self.host, self.port), CONNECT_TIMEOUT_S)
        except OSError as error:
            raise Failed(f"cannot connect to {address}: {error}") from None
        self.socket.settimeout(60.0)
        self.file = self.socket.makefile("rb")
        if password:
            self.ask("AUTH", *([user, password] if user else [password]))

    def ask(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
        self.socket.sendall(b"".join(parts))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line:
            raise Failed(f"{self.host}:{self.port} closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Refused(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.file.read(size + 2)[:-2]
        if kind == b"*":
            return [self.read_element() for _ in range(int(rest))]
        return rest

    def read_element(self):
        try:
            return self.read()
        except Refused as error:
            return error

    def info(self, section: str) -> dict[str, str]:
        lines = self.ask("INFO", section).decode("utf-8", "replace").split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)


def version_of(fields: dict[str, str]) -> tuple[int, ...]:
    text = fields.get("valkey_version") or fields.get("redis_version", "0")
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


def check(source: Client, target: Client, replaces: bool) -> list[str]:
    """Reasons why the target could not take this server's place."""
    found = []
    server = target.info("server")
    is_valkey = "valkey_version" in server
    version = version_of(server)
    print(f"target: {'Valkey' if is_valkey else 'Redis'} {'.'.join(map(str, version))}")
    if not is_valkey and version < (5,):
        found.append("the target is older than 5.0 and does not know REPLICAOF")
    if target.info("replication").get("role") != "master":
        found.append("the target is itself a replica")
    if target.info("cluster").get("cluster_enabled") == "1":
        found.append("the target is a cluster node, which follows no master outside: move to a single server first, "
                     "then import from there with redis-cli --cluster import")  # fmt: skip
    keys = sum(int(text.split(",")[0].partition("=")[2]) for text in target.info("keyspace").values() if "=" in text)
    if keys and not replaces:
        found.append(f"the target has {keys} keys, which would be lost (--replace accepts that)")
    keyspace = source.info("keyspace")
    if any("subexpiry=" in text and not text.endswith("subexpiry=0") for text in keyspace.values()):
        since = (9,) if is_valkey else FIELD_DEADLINES_SINCE
        if version < since or is_valkey:
            found.append("there are hash fields with deadlines, whose snapshot only Redis from 7.4 on reads")
    try:
        databases = int(target.ask("CONFIG", "GET", "databases")[1])
        used = [int(name[2:]) for name in keyspace if name.startswith("db") and name[2:].isdigit()]
        if used and max(used) >= databases:
            found.append(f"database {max(used)} is in use, the target has {databases}")
    except (Refused, IndexError):
        print("target: CONFIG is not allowed, its number of databases is not known")
    memory = target.info("memory")
    limit = int(memory.get("maxmemory", "0") or 0) or int(memory.get("total_system_memory", "0") or 0)
    needed = int(source.info("memory").get("used_memory_dataset", "0") or 0)
    if limit and needed > limit:
        found.append(f"about {needed >> 20} MB of data, the target may use {limit >> 20} MB")
    names = sorted({name[len("cmdstat_") :].split("|")[0] for name in source.info("commandstats")})
    if names:
        for name, known in zip(names, target.ask("COMMAND", "INFO", *names)):
            if not known:
                found.append(f"the command {name.upper()} is in use, the target does not know it")
    return found


def wait_for(check_once, what: str, timeout_s: float):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = check_once()
        if value is not None:
            return value
        time.sleep(POLL_S)
    raise Failed(f"waited {timeout_s:.0f} s in vain until {what}")


def behind(source: Client, target: Client):
    """Bytes that the target has not applied yet, or None while there is no link."""
    fields = target.info("replication")
    if fields.get("master_link_status") != "up":
        return None
    return int(source.info("replication")["master_repl_offset"]) - int(fields["slave_repl_offset"])


def digest(client: Client, key: bytes) -> str:
    """A hash of what a key holds, whatever its encoding."""
    kind = client.ask("TYPE", key)
    if kind == b"string":
        value = client.ask("GET", key)
    elif kind == b"list":
        value = client.ask("LRANGE", key, 0, -1)
    elif kind == b"set":
        value = sorted(client.ask("SMEMBERS", key))
    elif kind == b"zset":
        value = client.ask("ZRANGE", key, 0, -1, "WITHSCORES")
    elif kind == b"hash":
        flat = client.ask("HGETALL", key)
        value = sorted(zip(flat[::2], flat[1::2]))
    elif kind == b"stream":
        groups = client.ask("XINFO", "GROUPS", key)
        value = [client.ask("XRANGE", key, "-", "+"), [group[:8] for group in groups]]
    else:
        value = None
    # Deadlines in milliseconds, as far as both servers' clocks can be asked for them: from 7.0 on.
    try:
        deadline = client.ask("PEXPIRETIME", key)
    except Refused:
        deadline = None
    return hashlib.sha256(repr((kind, value, deadline)).encode()).hexdigest()


def compare(source: Client, target: Client, how_many: int) -> int:
    """Compare keys, all of them if `how_many` is 0; returns how many. Raises Failed at a difference."""
    compared = 0
    databases = [int(name[2:]) for name in source.info("keyspace") if name[2:].isdigit()]
    for number in databases:
        share = how_many // len(databases) if how_many else 0
        for client in (source, target):
            client.ask("SELECT", number)
        cursor = b"0"
        here = 0
        while True:
            cursor, keys = source.ask("SCAN", cursor, "COUNT", 500)
            for key in keys:
                if digest(source, key) != digest(target, key) and source.ask("EXISTS", key):
                    raise Failed(f"key {key!r} of database {number} differs")
                here += 1
                if share and here >= share:
                    break
            if cursor == b"0" or (share and here >= share):
                break
        compared += here
    for client in (source, target):
        client.ask("SELECT", 0)
    return compared


def move(source: Client, target: Client, options: argparse.Namespace) -> None:
    if options.password:
        target.ask("CONFIG", "SET", "masterauth", options.password)
        if options.user:
            target.ask("CONFIG", "SET", "masteruser", options.user)
    began = time.monotonic()
    target.ask("REPLICAOF", options.announce or source.host, source.port)
    is_paused = False
    try:
        wait_for(lambda: behind(source, target), "the target has the data", options.timeout)
        print(f"synchronised in {time.monotonic() - began:.1f} s")
        wait_for(
            lambda: True if (behind(source, target) or 0) <= NEAR_BYTES else None, "it has caught up", options.timeout
        )
        source.ask("CLIENT", "PAUSE", PAUSE_MS, "WRITE")
        is_paused = True
        paused = time.monotonic()
        wait_for(lambda: True if behind(source, target) == 0 else None, "offsets agree", PAUSE_MS / 2000)
        compared = compare(source, target, 0 if options.verify == "all" else int(options.verify))
        print(f"{compared} keys compared, all equal")
        if time.monotonic() - paused > PAUSE_MS / 1000 * 0.9:
            raise Failed("comparing took so long that the pause of writes is about to end: compare fewer keys")
    except (Failed, Refused):
        if is_paused:
            source.ask("CLIENT", "UNPAUSE")
        target.ask("REPLICAOF", "NO", "ONE")
        raise
    target.ask("REPLICAOF", "NO", "ONE")
    if not options.stay_master:
        if options.target_password:
            source.ask("CONFIG", "SET", "masterauth", options.target_password)
        source.ask("REPLICAOF", target.host, target.port)
    source.ask("CLIENT", "UNPAUSE")
    print(f"the target is the master; writes were paused for {(time.monotonic() - paused) * 1000:.0f} ms")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", default="127.0.0.1:6379", help="this server, HOST:PORT")
    parser.add_argument("--to", required=True, help="the real server, HOST:PORT")
    parser.add_argument("--announce", help="under which host the target reaches this server, if not that of --from")
    parser.add_argument("--user", default="", help="user on this server")
    parser.add_argument("--password", default="", help="password on this server")
    parser.add_argument("--target-user", default="", help="user on the target")
    parser.add_argument("--target-password", default="", help="password on the target")
    parser.add_argument("--check", action="store_true", help="only look for what stands in the way")
    parser.add_argument("--verify", default="1000", help="how many keys to compare while writes are paused, or all")
    parser.add_argument("--replace", action="store_true", help="the target's own data may be lost")
    parser.add_argument("--stay-master", action="store_true", help="do not make this server a replica afterwards")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds the target may take to synchronise")
    options = parser.parse_args(arguments)
    try:
        source = Client(options.source, options.password, options.user)
        target = Client(options.to, options.target_password, options.target_user)
        obstacles = check(source, target, options.replace)
        for text in obstacles:
            print(f"in the way: {text}", file=sys.stderr)
        if obstacles:
            return 1
        if options.check:
            print("nothing stands in the way")
            return 0
        move(source, target, options)
    except (Failed, Refused, OSError) as error:
        print(f"not moved: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
