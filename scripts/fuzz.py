#!/usr/bin/env python3
"""Throw random input at a server and look for faults: a traceback in the log, an internal error, a server that is gone.

    python3 scripts/fuzz.py [--seconds 60] [--inputs 0] [--seed 1] [--clients 4]

Half of the inputs are commands made from the server's own table of commands: the right number of arguments or nearly,
words of the grammar, keys that hold every type, numbers at their limits, deep MULTI. The other half are bytes: RESP
with wrong lengths, nested arrays, inline text, pieces of valid commands cut and mixed. All of it is pipelined in
batches over several connections, some of which are dropped in the middle. One input is one command or one run of
garbage. The seed, and how many inputs were tried, is printed; with the same seed and one client the inputs are the
same.

Left out are only commands that end or pause the server, or reach out of it: SHUTDOWN, REPLICAOF, MIGRATE, CLIENT PAUSE,
DEBUG, FAILOVER, and writes to the configuration and to files.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.harness.processes import Server, own_command
from tests.harness.wire import encode

LEFT_OUT = set(
    """shutdown replicaof slaveof migrate debug failover psync sync replconf monitor bgsave save bgrewriteaof module
    restore-asking config|set config|rewrite client|pause client|kill client|no-evict client|reply acl|setuser
    acl|deluser acl|load acl|save cluster auth hello swapdb flushall flushdb wait waitaof script|debug""".split()
)
KEYS = [b"str", b"num", b"list", b"hash", b"set", b"zset", b"stream", b"hll", b"none", b"", b"bin\x00\r\n", b"{t}a"]
NUMBERS = """0 1 -1 2 3 10 -10 127 128 255 65535 65536 4294967296 2147483647 -2147483648 9223372036854775807
-9223372036854775808 9223372036854775808 1e400 -inf +inf nan 0.1 1e-300 0x10 007 1.5.2""".split()
WORDS = """GET SET INCRBY OVERFLOW WRAP SAT FAIL u8 i64 #1 ASC DESC ALPHA LIMIT BY STORE WITHSCORES WITHVALUES WITHCODE
MATCH COUNT TYPE NX XX GT LT CH INCR EX PX EXAT PXAT KEEPTTL PERSIST LEFT RIGHT BEFORE AFTER MIN MAX BYSCORE BYLEX REV
AGGREGATE SUM WEIGHTS STREAMS BLOCK GROUP NOACK MKSTREAM ENTRIESREAD MAXLEN MINID ~ = * $ > - + ( [ [a (a 0-0 0-1 5-5
IDX WITHMATCHLEN LEN FIELDS FROMMEMBER FROMLONLAT BYRADIUS BYBOX m km WITHDIST WITHHASH ANY STOREDIST REPLACE ABSTTL
IDLETIME FREQ RANK ID JUSTID FORCE HELP USAGE SAMPLES ENCODING FULL CONSUMERS GROUPS NUMKEYS member
field value""".split()
BLOCKING = set("blpop brpop blmove brpoplpush blmpop bzpopmin bzpopmax bzmpop".split())
SETUP = [
    "SET str hello", "SET num 10", "RPUSH list a b c 1 2 3", "HSET hash a 1 b 2 field value", "SADD set a b c 1 2",
    "ZADD zset 1 a 2 b 3 c", "XADD stream 1-1 f v", "XADD stream 5-5 f v", "XGROUP CREATE stream g 0",
    "PFADD hll a b c",
]  # fmt: skip


def commands_of(server: Server) -> list[tuple[bytes, ...]]:
    """Every command and subcommand that may be tried, as its words and its arity."""
    found = []
    with server.wire() as wire:
        for row in wire.ask("COMMAND"):
            name, arity, subcommands = row[0], row[1], row[9]
            if name.decode() in LEFT_OUT:
                continue
            found.append((arity, name))
            for sub in subcommands:
                if sub[0].decode() not in LEFT_OUT:
                    found.append((sub[1], *sub[0].split(b"|")))
    return found


class Inputs:
    """Makes them; one random source for all."""

    def __init__(self, seed: int, commands) -> None:
        self.chance = random.Random(seed)
        self.commands = commands

    def word(self) -> bytes:
        kind = self.chance.random()
        if kind < 0.4:
            return self.chance.choice(KEYS)
        if kind < 0.65:
            return self.chance.choice(NUMBERS).encode()
        if kind < 0.92:
            word = self.chance.choice(WORDS)
            return (word.lower() if self.chance.random() < 0.3 else word).encode()
        return self.chance.randbytes(self.chance.choice((1, 3, 20, 200, 5000)))

    def command(self) -> bytes:
        arity, *name = self.chance.choice(self.commands)
        least = abs(arity) - len(name)
        count = max(0, least + (self.chance.randrange(6) if arity < 0 else 0))
        if self.chance.random() < 0.05:
            count = max(0, count + self.chance.choice((-1, 1, 30)))
        words = [*name, *[self.word() for _ in range(count)]]
        if name[0].decode() in BLOCKING and len(words) > 2:
            words[-1 if not name[0].endswith(b"mpop") else 1] = b"0.001"
        elif count and self.chance.random() < 0.7:
            words[len(name)] = self.chance.choice(KEYS)
        return encode(*words)

    def garbage(self) -> bytes:
        kind = self.chance.randrange(8)
        if kind == 0:
            return self.chance.randbytes(self.chance.randrange(1, 200)) + b"\r\n"
        if kind == 1:
            return b"*%d\r\n$%d\r\nPING\r\n" % (self.chance.randrange(-3, 5), self.chance.randrange(-3, 9))
        if kind == 2:
            return b"*3\r\n" * self.chance.randrange(1, 30)
        if kind == 3:
            return b"*1\r\n$" + self.chance.choice(NUMBERS).encode() + b"\r\n"
        if kind == 4:
            return b"".join([self.word() + b" " for _ in range(self.chance.randrange(5))]) + b"\n"
        whole = bytearray(self.command())
        for _ in range(self.chance.randrange(1, 4)):
            place = self.chance.randrange(len(whole))
            if kind == 5:
                whole[place] = self.chance.randrange(256)
            elif kind == 6:
                del whole[place : place + self.chance.randrange(1, 9)]
                whole = whole or bytearray(b"\r\n")
            else:
                whole[place:place] = self.chance.randbytes(3)
        return bytes(whole)


class Client:
    """One connection that never waits for an answer longer than it must, and is made anew when it is closed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.socket = self.connect()

    def connect(self) -> socket.socket:
        sock = socket.create_connection(self.server.address, 10)
        sock.settimeout(0.02)
        return sock

    def send(self, data: bytes, drops: bool) -> None:
        try:
            self.socket.sendall(data)
            if drops:
                raise ConnectionError
            while self.socket.recv(1 << 18):
                pass
            raise ConnectionError
        except socket.timeout:
            pass
        except OSError:
            self.socket.close()
            self.socket = self.connect()


def faults(server: Server) -> str:
    """What is wrong with the server, or nothing."""
    if not server.is_alive():
        return "the server is gone"
    log = server.log_path.read_text(errors="replace")
    if "Traceback" in log or "Fault in" in log:
        return "a traceback in the log"
    with server.wire() as wire:
        about = wire.ask("INFO", "stats")
    if b"\r\nunexpected_error_replies:0\r\n" not in about:
        return "unexpected error replies"
    return ""


def run(seconds: float, most: int, seed: int, clients: int) -> int:
    options = ["--save", "", "--maxmemory", "300mb", "--maxmemory-policy", "allkeys-random"]
    with Server(own_command(), options) as server:
        inputs = Inputs(seed, commands_of(server))
        chance = inputs.chance
        open_clients = [Client(server) for _ in range(clients)]
        ends_s = time.monotonic() + seconds
        tried = 0
        wrong = ""
        while not wrong and time.monotonic() < ends_s and (not most or tried < most):
            batch = [encode(*line.split()) for line in SETUP]
            wild = chance.random() < 0.5
            count = chance.randrange(1, 40 if wild else 400)
            for _ in range(count):
                batch.append(inputs.garbage() if wild and chance.random() < 0.3 else inputs.command())
            tried += count
            chance.choice(open_clients).send(b"".join(batch), chance.random() < 0.05)
            if chance.random() < 0.02:
                wrong = faults(server)
        try:
            wrong = wrong or faults(server)
        except OSError as error:
            wrong = "no answer any more: %s" % error
        print("%d inputs tried with seed %d: %s" % (tried, seed, wrong or "no faults"))
        if wrong:
            print("".join(server.log_path.read_text(errors="replace").splitlines(True)[-60:]))
        return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Random input for a server; exit code 1 if it has a fault.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--inputs", type=int, default=0, help="at most this many (default: as many as time allows)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=4)
    chosen = parser.parse_args()
    return run(chosen.seconds, chosen.inputs, chosen.seed, chosen.clients)


if __name__ == "__main__":
    sys.exit(main())
