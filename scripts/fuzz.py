#!/usr/bin/env python3
"""Throw random input at a server and look for faults: a traceback in the log, an internal error, a server that is gone.

    python3 scripts/fuzz.py [--seconds 60] [--inputs 0] [--seed 1] [--clients 8]
    python3 scripts/fuzz.py --atheris [--seconds 60]

Half of the inputs are commands made from the server's own table of commands: the right number of arguments or nearly,
words of the grammar, keys that hold every type, numbers at their limits, deep MULTI, scripts, users, settings, payloads
of RESTORE with a few bytes changed and their checksum put right. The other half are bytes: RESP with wrong lengths,
nested arrays, inline text, pieces of valid commands cut and mixed. All of it is pipelined in batches over several
connections; some are dropped in the middle, some end with half a command. One input is one command or one run of
garbage. The seed, and how many inputs were tried, is printed; the same seed makes the same inputs, which client of
several sends them depends on time.

With --atheris the package of that name, where it can be installed, follows which code an input reaches and looks for
inputs that reach more: a server inside this process, one connection for each input.

Left out are only commands that end or pause the server, or reach out of it: SHUTDOWN, REPLICAOF, MIGRATE, CLIENT PAUSE,
DEBUG, FAILOVER, and writes to files.
"""

from __future__ import annotations

import argparse
import random
import select
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from storage.rdb.crc64 import crc64
from tests.harness.processes import Server, own_command
from tests.harness.wire import Closed, encode

LEFT_OUT = set(
    """shutdown replicaof slaveof migrate debug failover psync sync replconf monitor bgsave save bgrewriteaof module
    restore-asking config|rewrite config|resetstat client|pause acl|load acl|save cluster script|debug
    pfselftest""".split()
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
BLOCKING = set(b"blpop brpop blmove brpoplpush blmpop bzpopmin bzpopmax bzmpop".split())
RULES = """on off nopass >pw <pw #00 resetpass +@all -@all +get -set +@read -@write +config|get -debug allkeys ~k* %R~a*
%W~b* %RW~c* resetkeys allchannels &ch* resetchannels reset clearselectors (+get (+set ~x) ) sanitize-payload
skip-sanitize-payload +select|1 ~ %R %RW~ -@nothing +@ !zz""".split()
SETTINGS = {
    "hash-max-listpack-entries": "0 1 128", "hash-max-listpack-value": "0 4 64", "set-max-intset-entries": "0 512",
    "zset-max-listpack-entries": "0 128", "list-max-listpack-size": "-2 -1 1 128", "stream-node-max-entries": "0 1 100",
    "maxmemory-policy": "allkeys-lru allkeys-lfu volatile-ttl allkeys-random noeviction", "maxmemory-samples": "1 5 64",
    "notify-keyspace-events": "KEA AKEgx x zz", "slowlog-log-slower-than": "0 -1 10000", "hz": "1 10 500",
    "latency-monitor-threshold": "0 1", "lazyfree-lazy-user-del": "yes no maybe", "proto-max-bulk-len": "1mb 512mb",
    "client-query-buffer-limit": "1mb 1gb", "tracking-table-max-keys": "1 1000000", "lua-time-limit": "100 5000",
    "client-output-buffer-limit": "normal pubsub 32mb", "acllog-max-len": "0 128", "save": "x 900",
    "maxmemory-clients": "0 64mb 7%",
}  # fmt: skip
SCRIPTS = [
    b"return redis.call('GET',KEYS[1])", b"return {KEYS,ARGV}", b"return redis.pcall(unpack(ARGV))", b"return 1.5",
    b"return cjson.decode(ARGV[1])", b"return {cmsgpack.unpack(ARGV[1])}", b"return {struct.unpack(ARGV[1],ARGV[2])}",
    b"return cjson.encode(ARGV)", b"redis.setresp(3); return {map={a=1},double=2.5}", b"error({err='x'})", b"x=1",
    b"return string.format(ARGV[1],ARGV[2])", b"return redis.sha1hex(ARGV[1])", b"return string.rep(ARGV[1],9)",
    b"#!lua name=l\nredis.register_function('f',function(k,a) return redis.pcall(unpack(a)) end)", b"#!lua flags=x\n",
]  # fmt: skip
SETUP = [
    "SET str hello", "SET num 10", "RPUSH list a b c 1 2 3", "HSET hash a 1 b 2 field value", "SADD set a b c 1 2",
    "ZADD zset 1 a 2 b 3 c", "XADD stream 1-1 f v", "XADD stream 5-5 f v", "XGROUP CREATE stream g 0",
    "PFADD hll a b c",
]  # fmt: skip
PREPARED = b"".join([encode(*line.split()) for line in SETUP])
POOL = 4096  # words made in advance, and this many replaced with each batch
FRESH = 16
CHECK_EVERY_S = 1.0
END_TIMEOUT_S = 10.0  # for a server to close what its client has ended


def commands_of(server: Server) -> list[tuple]:
    """Every command and subcommand that may be tried: its arity and its words."""
    with server.wire() as wire:
        rows = wire.ask("COMMAND")
    found = []
    for name, arity, *_, subcommands in rows:
        if name.decode() in LEFT_OUT:
            continue
        found.append((arity, name))
        for sub in subcommands:
            if sub[0].decode() not in LEFT_OUT:
                found.append((sub[1], *sub[0].split(b"|")))
    return found


def payloads_of(server: Server) -> list[bytes]:
    """What DUMP says of a key of each type."""
    with server.wire() as wire:
        for line in SETUP:
            wire.command(*line.split())
        for number in range(300):
            for words in ("RPUSH %s %d", "SADD %s m%d", "HSET %s f%d v", "XADD %s * f%d v", "ZADD %s %d m"):
                wire.command(*(words % ("{t}" + words.split()[0], number)).split())
        return [payload for key in wire.ask("KEYS", "*") if (payload := wire.ask("DUMP", key))]


class Inputs:
    """Makes them; one random source for all.

    Most words come from a pool that is encoded already and renewed bit by bit: a server that is kept busy finds more.
    """

    def __init__(self, seed: int, commands: list[tuple], payloads: list[bytes]) -> None:
        self.chance = random.Random(seed)
        rows = [(arity, encode(*name).partition(b"\r\n")[2], name) for arity, *name in commands]
        # What lists everything, or a millisecond's work, comes once in a while.
        self.commands = [row for row in rows for _ in range(1 if row[2][0] == b"command" or row[2][-1] in RARE else 8)]
        self.payloads = payloads
        self.pool = [encode_word(self.word()) for _ in range(POOL)]
        self.keys = [encode_word(key) for key in KEYS]
        self.special = {
            b"acl|setuser": self.user_rules, b"acl|deluser": self.user, b"auth": self.login, b"hello": self.greeting,
            b"config|set": self.setting, b"client|kill": self.victim, b"client|reply": self.silence,
            b"restore": self.restored, b"wait": self.brief_wait, b"waitaof": self.brief_wait, b"eval": self.script,
            b"eval_ro": self.script, b"script|load": self.source, b"function|load": self.source, b"fcall": self.call,
            b"fcall_ro": self.call, b"xread": self.reading,
        }  # fmt: skip

    def pick(self, text: str) -> bytes:
        return self.chance.choice(text.split()).encode()

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

    def words(self, most: int) -> list[bytes]:
        return [self.word() for _ in range(self.chance.randrange(most + 1))]

    # Commands whose arguments would never be right by chance, or must not be any ---------------------------------

    def user(self) -> list[bytes]:
        return [self.pick("u1 u2 u3")]

    def user_rules(self) -> list[bytes]:
        return [*self.user(), *[self.chance.choice(RULES).encode() for _ in range(self.chance.randrange(8))]]

    def login(self) -> list[bytes]:
        return [self.pick("u1 u2 default default"), self.pick("pw xx")]

    def greeting(self) -> list[bytes]:
        words = [self.pick("2 3 3 4 x")]
        return words + ([b"AUTH", *self.login()] if self.chance.random() < 0.3 else [b"SETNAME", b"n"])

    def setting(self) -> list[bytes]:
        words = []
        for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
            name = self.chance.choice(list(SETTINGS))
            words += [name.encode(), self.pick(SETTINGS[name])]
        return words

    def victim(self) -> list[bytes]:
        return [self.pick("ID USER TYPE ADDR"), self.pick("99999999 u1 pubsub 1.1.1.1:1 -1"), *self.words(1)]

    def silence(self) -> list[bytes]:
        return [self.pick("ON ON OFF SKIP")]

    def brief_wait(self) -> list[bytes]:
        return [self.pick("0 0 -1 1"), self.pick("0 1"), *[b"1"] * self.chance.randrange(2)]

    def reading(self) -> list[bytes]:
        words = [b"BLOCK", b"1"] if self.chance.random() < 0.5 else []
        return [*words, b"STREAMS", b"stream", self.pick("$ 0 + 1-1")]

    def source(self) -> list[bytes]:
        text = bytearray(self.chance.choice(SCRIPTS))
        if self.chance.random() < 0.2:
            text[self.chance.randrange(len(text))] = self.chance.randrange(256)
        return [bytes(text)]

    def script(self) -> list[bytes]:
        inner = [self.chance.choice(self.commands)[2][0], *self.words(3)]
        return [*self.source(), self.pick("0 0 1 2 -1"), *(inner if self.chance.random() < 0.7 else self.words(3))]

    def call(self) -> list[bytes]:
        return [b"f", self.pick("0 1"), *self.words(4)]

    def restored(self) -> list[bytes]:
        body = bytearray(self.chance.choice(self.payloads)[:-8])
        for _ in range(self.chance.choice((0, 1, 1, 2, 5))):
            place = self.chance.randrange(len(body) or 1)
            kind = self.chance.random()
            if kind < 0.7 and body:
                body[place] = self.chance.choice((self.chance.randrange(256), 0, 255, body[place] ^ 1))
            elif kind < 0.85:
                del body[place : place + self.chance.randrange(1, 5)]
            else:
                body[place:place] = self.chance.randbytes(2)
        return [self.chance.choice(KEYS), b"0", bytes(body) + crc64(body).to_bytes(8, "little"), b"REPLACE"]

    # One input -----------------------------------------------------------------------------------------------------

    def command(self) -> bytes:
        chance = self.chance
        arity, spelled, name = chance.choice(self.commands)
        special = self.special.get(b"|".join(name))
        if special is not None and (name[0] in GUARDED or chance.random() < 0.8):
            return encode(*name, *special())
        least = abs(arity) - len(name)
        luck = chance.random()
        count = least + int(luck * 100 % 6) if arity < 0 else least
        if luck < 0.05:
            count = max(0, count + chance.choice((-1, 1, 30)))
        words = chance.choices(self.pool, k=count)
        if name[0] in BLOCKING and count > 1:
            words[0 if name[0].endswith(b"mpop") else -1] = b"$5\r\n0.001\r\n"
        elif count and luck < 0.7:
            words[0] = chance.choice(self.keys)
        return b"*%d\r\n%b%b" % (len(name) + count, spelled, b"".join(words))

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

    def batch(self) -> tuple[bytes, int, bool]:
        """What one client sends at once, how many inputs that is, and whether there is garbage in it."""
        chance = self.chance
        for place in chance.choices(range(POOL), k=FRESH):
            self.pool[place] = encode_word(self.word())
        wild = chance.random() < 0.5
        if wild:
            made = [self.garbage() if chance.random() < 0.3 else self.command() for _ in range(chance.randrange(1, 40))]
        else:
            made = [self.command() for _ in range(chance.randrange(1, 400))]
        return PREPARED + b"".join(made), len(made), wild


RARE = {b"help", b"purge", b"doctor", b"histogram"}
GUARDED = {b"config", b"client", b"wait", b"waitaof", b"acl", b"auth", b"hello"}  # never with words made by chance


def encode_word(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


class Client:
    """One connection: sends a batch, reads what comes, and goes on, ends or drops as chance has it."""

    def __init__(self, server: Server, inputs: Inputs) -> None:
        self.server = server
        self.inputs = inputs
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(self.server.address, 10)
        self.socket.setblocking(False)
        self.left = memoryview(b"")
        self.ends_s = 0.0  # by when the server must have closed, once this side has ended

    def start(self) -> int:
        """Take the next batch; returns how many inputs it has."""
        data, count, wild = self.inputs.batch()
        luck = self.inputs.chance.random()
        self.drops = luck < 0.05
        # After garbage what follows may be taken for a payload: nothing would be tried any more.
        self.is_last = wild or luck < 0.3
        self.left = memoryview(data)
        return count

    def write(self) -> None:
        """Send some; after the last byte, end or drop."""
        try:
            self.left = self.left[self.socket.send(self.left) :]
            if not self.left:
                if self.drops:
                    raise ConnectionError
                if self.is_last:
                    self.socket.shutdown(socket.SHUT_WR)
                    self.ends_s = time.monotonic() + END_TIMEOUT_S
        except BlockingIOError:
            pass
        except OSError:
            self.reconnect()

    def read(self) -> None:
        try:
            if not self.socket.recv(1 << 18):
                self.reconnect()
        except BlockingIOError:
            pass
        except OSError:
            self.reconnect()

    def reconnect(self) -> None:
        self.socket.close()
        self.connect()


def drive(clients: list[Client], timeout_s: float = 0.1) -> int:
    """One turn of all clients; returns how many inputs were begun."""
    begun = 0
    poller = select.poll()
    by_descriptor = {}
    for client in clients:
        if not client.left and not client.ends_s:
            begun += client.start()
        by_descriptor[client.socket.fileno()] = client
        poller.register(client.socket, select.POLLIN | (select.POLLOUT if client.left else 0))
    for descriptor, events in poller.poll(timeout_s * 1000):
        client = by_descriptor[descriptor]
        if events & ~select.POLLOUT:
            client.read()
        if events & select.POLLOUT and client.left:
            client.write()
    return begun


class Watch:
    """Looks for faults of one server; reads of its log only what is new."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.read_to = 0

    def faults(self, clients: list[Client]) -> str:
        """What is wrong, or nothing."""
        server = self.server
        if not server.is_alive():
            return "the server is gone"
        with open(server.log_path, "rb") as log:
            log.seek(self.read_to)
            text = log.read()
            self.read_to += len(text)
        if b"Traceback" in text or b"Fault in" in text or b"Fault while" in text:
            return "a traceback in the log"
        now_s = time.monotonic()
        if any(client.ends_s and client.ends_s < now_s for client in clients):
            return "a client that has ended its side is not closed"
        for _ in range(3):
            try:
                with server.wire() as wire:
                    about = wire.ask("INFO", "stats")
                    break
            except (Closed, ConnectionError):
                continue  # killed by one of the inputs
        else:
            return "INFO is not answered"
        return "" if b"\r\nunexpected_error_replies:0\r\n" in about else "unexpected error replies"


def run(seconds: float, most: int, seed: int, clients: int) -> int:
    options = ["--save", "", "--maxmemory", "300mb", "--maxmemory-policy", "allkeys-random"]
    with Server(own_command(), options) as server:
        inputs = Inputs(seed, commands_of(server), payloads_of(server))
        open_clients = [Client(server, inputs) for _ in range(clients)]
        watch = Watch(server)
        ends_s = time.monotonic() + seconds
        check_s = time.monotonic() + CHECK_EVERY_S
        tried = 0
        wrong = ""
        try:
            while not wrong and time.monotonic() < ends_s and (not most or tried < most):
                tried += drive(open_clients)
                if time.monotonic() > check_s:
                    wrong = watch.faults(open_clients)
                    check_s = time.monotonic() + CHECK_EVERY_S
            wrong = wrong or watch.faults(open_clients)
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
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--atheris", action="store_true", help="guided by coverage, by the package atheris")
    chosen = parser.parse_args()
    if chosen.atheris:
        sys.modules.setdefault("scripts.fuzz", sys.modules[__name__])  # whose words these are
        from scripts.fuzz_guided import run_guided

        return run_guided(chosen.seconds, chosen.inputs, chosen.seed)
    return run(chosen.seconds, chosen.inputs, chosen.seed, chosen.clients)


if __name__ == "__main__":
    sys.exit(main())
