"""The clients: what each does and which promise it holds the server to.

Owns the roles. A role makes its decisions from `rng` alone, so that a seed repeats them. When a connection is lost
`recover` finds out what became of the commands under way: each may have been executed or not, and what was
acknowledged must be there. A client that was killed comes back with the next generation under new names, because
the server may still read what the dead one had sent.

Shared keys, checked by `promises.py`: bank:<n>; counter:shared, counter:mine; queue:jobs, queue:taken:<slot>,
queue:produced, queue:done:<producer>; stream:jobs, stream:produced, stream:seen:<producer>, stream:done:<producer>.
"""

from __future__ import annotations

import heapq
import random
import time

from soak.links import Refusal, Violation
from soak.model import canonical, choose, expected, observe
from soak.role import Role, readable, shown

ACCOUNTS = 20
OPENING_BALANCE = 1000
MAX_BACKLOG = 500  # jobs waiting, past which producers rest
GRACE_S = 0.050  # how long after its deadline a key may still be seen


class Mixed(Role):
    """Commands of every type on keys of its own: each reply is the model's."""

    name = "mixed"
    KEYS = 18

    def setup(self) -> None:
        self.keys = [f"mixed:{self.identity}:{number}".encode() for number in range(self.KEYS)]
        self.model: dict = {}
        self.pending: list = []
        self.ask("DEL", *[f"mixed:{name}:{number}" for name in self.past_identities for number in range(self.KEYS)])

    def step(self) -> None:
        rng = self.rng
        dice = rng.random()
        count = 1 if dice < 0.6 else rng.randrange(2, 30)
        as_transaction = dice > 0.85
        if dice < 0.02:
            return self.verify(rng.choice(self.keys))
        values = dict(self.model)
        states = [values]
        batch = []
        for _ in range(count):
            key, operation = choose(rng, self.keys, values.get)
            reply, value = expected(operation, values.get(key))
            values = dict(values)
            values[key] = value
            states.append(values)
            batch.append((operation[0], reply))
            self.decide(operation[0])
        self.pending = [states[0], states[-1]] if as_transaction else states
        commands = [argv for argv, _ in batch]
        if as_transaction:
            replies = self.transaction(*commands)
            if replies is None or len(replies) != count:
                raise Violation(f"EXEC of {count} commands without WATCH answers {replies!r}")
        elif count == 1:
            replies = [self.link.call(*commands[0])]
            self.note(commands[0], replies[0])
        else:
            replies = self.link.pipeline(commands)
        for index, ((argv, wanted), reply) in enumerate(zip(batch, replies)):
            if canonical(argv, reply) != wanted:
                before = states[index].get(argv[1])
                raise Violation(
                    f"{readable(argv)} answers {shown(canonical(argv, reply))}, the model says {shown(wanted)}; "
                    f"the key was {shown(before)}"
                )
        self.model = states[-1]
        self.pending = []

    def verify(self, key: bytes) -> None:
        value = observe(self.ask, key)
        if value != self.model.get(key):
            raise Violation(f"{key.decode()} is {shown(value)}, the model says {shown(self.model.get(key))}")

    def recover(self) -> None:
        if not self.pending:
            for key in self.keys:
                self.verify(key)
            return
        observed = {key: observe(self.ask, key) for key in self.keys}
        for state in self.pending:
            if all(state.get(key) == value for key, value in observed.items()):
                self.model = state
                self.pending = []
                return
        wrong = [key for key, value in observed.items() if all(state.get(key) != value for state in self.pending)]
        key = (wrong or self.keys)[0]
        raise Violation(
            f"after a lost connection the keys are in none of the {len(self.pending)} states the commands under way "
            f"lead through; {key.decode()} is {shown(observed[key])}, was {shown(self.pending[0].get(key))}"
        )


class Counter(Role):
    """Increments of a counter shared by all: nothing is lost, nothing counted twice, it never goes back."""

    name = "counter"

    def setup(self) -> None:
        self.mine = 0
        self.shared = 0

    def step(self) -> None:
        by = self.rng.randrange(1, 10)
        self.decide(by)
        self.under_way = by
        shared, mine = self.transaction(
            ("INCRBY", "counter:shared", by), ("HINCRBY", "counter:mine", self.identity, by)
        )
        self.mine += by
        if mine != self.mine:
            raise Violation(f"added {self.mine} to counter:mine {self.identity}, which is {mine}")
        if shared <= self.shared:
            raise Violation(f"counter:shared went from {self.shared} to {shared} by an increment of {by}")
        self.shared = shared
        self.under_way = 0

    def recover(self) -> None:
        mine = int(self.ask("HGET", "counter:mine", self.identity) or 0)
        if mine not in (self.mine, self.mine + self.under_way):
            raise Violation(
                f"{self.mine} were acknowledged and {self.under_way} under way; counter:mine {self.identity} is {mine}"
            )
        self.mine = mine
        self.under_way = 0


class Bank(Role):
    """Transfers under WATCH and MULTI: the total never changes and no account is overdrawn."""

    name = "bank"

    def step(self) -> None:
        rng = self.rng
        first, second = rng.sample(range(ACCOUNTS), 2)
        amount = rng.randrange(1, 300)
        looks_at_all = rng.random() < 0.1
        self.decide((first, second, amount))
        source, target = f"bank:{first}", f"bank:{second}"
        self.ask("WATCH", source, target)
        balances = self.ask("MGET", source, target)
        if None in balances:
            raise Violation(f"an account is gone: {source} and {target} are {shown(balances)}")
        have, there = map(int, balances)
        if have < amount:
            self.ask("UNWATCH")
            return
        replies = self.transaction(("DECRBY", source, amount), ("INCRBY", target, amount))
        if replies is not None and replies != [have - amount, there + amount]:
            raise Violation(
                f"read {have} and {there} under WATCH; a transfer of {amount} was executed and left {replies}: "
                "somebody wrote between"
            )
        if looks_at_all:
            check_total(self.transaction(("MGET", *[f"bank:{number}" for number in range(ACCOUNTS)]))[0])


def check_total(balances) -> None:
    amounts = [int(balance or 0) for balance in balances]
    if sum(amounts) != ACCOUNTS * OPENING_BALANCE or min(amounts) < 0:
        raise Violation(f"the bank's total is {sum(amounts)}, not {ACCOUNTS * OPENING_BALANCE}: {amounts}")


class Queue(Role):
    """Jobs through BLMOVE: each finished exactly once, also when its worker was killed with it in hand."""

    name = "queue"

    def setup(self) -> None:
        self.produced = 0
        self.taken = f"queue:taken:{self.slot}"
        self.finish_leftovers()

    def step(self) -> None:
        dice = self.rng.random()
        if dice < 0.3:
            for _ in range(self.rng.randrange(1, 6)):
                self.produce()
        elif dice < 0.98:
            job = self.link.call("BLMOVE", "queue:jobs", self.taken, "RIGHT", "LEFT", "0.2", blocking=True)
            self.note(("BLMOVE",), job)
            if isinstance(job, Refusal):
                raise Violation(f"BLMOVE answers {job!r}")
            if job is not None:
                self.finish(job)
        else:
            self.finish_leftovers()

    def produce(self) -> None:
        job = f"{self.identity}:{self.produced}"
        waiting, produced = self.transaction(
            ("LPUSH", "queue:jobs", job), ("HINCRBY", "queue:produced", self.identity, 1)
        )
        self.produced += 1
        if produced != self.produced:
            raise Violation(f"produced {self.produced} jobs as {self.identity}, queue:produced says {produced}")
        if waiting > MAX_BACKLOG:
            time.sleep(0.01)

    def finish(self, job: bytes) -> None:
        producer, number = job.decode().split(":")
        removed, was_done = self.transaction(
            ("LREM", self.taken, -1, job), ("SETBIT", f"queue:done:{producer}", number, 1)
        )
        if removed + was_done != 1:
            raise Violation(f"job {job.decode()}: removed {removed} times from {self.taken}, done before: {was_done}")

    def finish_leftovers(self) -> None:
        for job in self.ask("LRANGE", self.taken, 0, -1):
            self.finish(job)

    def recover(self) -> None:
        produced = int(self.ask("HGET", "queue:produced", self.identity) or 0)
        if produced not in (self.produced, self.produced + 1):
            raise Violation(f"{self.produced} jobs of {self.identity} acknowledged, queue:produced says {produced}")
        self.produced = produced
        self.finish_leftovers()


class Group(Role):
    """A stream group: each entry delivered as new to one consumer only, acknowledged once, claimed when left behind."""

    name = "stream"

    def setup(self) -> None:
        self.produced = 0
        self.last_new = (0, 0)

    def step(self) -> None:
        dice = self.rng.random()
        consumer = f"c{self.slot}"
        if dice < 0.35:
            for _ in range(self.rng.randrange(1, 8)):
                self.produce()
        elif dice < 0.9:
            found = self.link.call(
                "XREADGROUP", "GROUP", "workers", consumer, "COUNT", self.rng.randrange(1, 12), "BLOCK", 200,
                "STREAMS", "stream:jobs", ">", blocking=True,
            )  # fmt: skip
            self.note(("XREADGROUP",), found)
            if isinstance(found, Refusal):
                raise Violation(f"XREADGROUP answers {found!r}")
            for identifier, fields in found[0][1] if found else ():
                self.take(identifier, fields)
        else:
            cursor, claimed, _ = self.ask("XAUTOCLAIM", "stream:jobs", "workers", consumer, 500, "0", "COUNT", 20)[:3]
            for identifier, fields in claimed:
                self.finish(identifier, fields)

    def produce(self) -> None:
        identifier, produced, waiting = self.transaction(
            ("XADD", "stream:jobs", "*", "producer", self.identity, "number", self.produced),
            ("HINCRBY", "stream:produced", self.identity, 1),
            ("XLEN", "stream:jobs"),
        )
        self.produced += 1
        if produced != self.produced:
            raise Violation(f"added {self.produced} entries as {self.identity}, stream:produced says {produced}")
        if waiting > MAX_BACKLOG:
            time.sleep(0.01)

    def take(self, identifier: bytes, fields: list) -> None:
        milliseconds, sequence = (int(part) for part in identifier.split(b"-"))
        if (milliseconds, sequence) <= self.last_new:
            raise Violation(f"XREADGROUP > gave {identifier.decode()} after {self.last_new}")
        self.last_new = (milliseconds, sequence)
        if self.ask("SETBIT", b"stream:seen:" + fields[1], fields[3], 1):
            raise Violation(f"XREADGROUP > gave {identifier.decode()} {fields}, which somebody had got as new")
        self.finish(identifier, fields)

    def finish(self, identifier: bytes, fields: list) -> None:
        acknowledged, deleted, was_done = self.transaction(
            ("XACK", "stream:jobs", "workers", identifier),
            ("XDEL", "stream:jobs", identifier),
            ("SETBIT", b"stream:done:" + fields[1], fields[3], 1),
        )
        if not acknowledged == deleted == 1 - was_done:
            raise Violation(
                f"entry {identifier.decode()} {fields}: XACK {acknowledged}, XDEL {deleted}, done before: {was_done}"
            )

    def recover(self) -> None:
        produced = int(self.ask("HGET", "stream:produced", self.identity) or 0)
        if produced not in (self.produced, self.produced + 1):
            raise Violation(f"{self.produced} entries of {self.identity} acknowledged, stream:produced says {produced}")
        self.produced = produced


class PubSub(Role):
    """Publishes numbers and reads everybody's: no gap, no repetition, no reordering while a connection lasts."""

    name = "pubsub"

    def connect(self) -> None:
        super().connect()
        self.subscriber = self.open(raw=True)
        by_pattern = self.slot % 3 == 0
        self.subscriber.send(b"PSUBSCRIBE news:*\r\n" if by_pattern else b"SUBSCRIBE news:all\r\n")
        confirmation = self.subscriber.read()
        if confirmation[2] != 1:
            raise Violation(f"a subscription is confirmed by {confirmation!r}")
        self.epoch = getattr(self, "epoch", 0) + 1
        self.published = 0
        self.heard: dict = {}

    def step(self) -> None:
        count = self.rng.randrange(1, 20)
        me = f"{self.slot}.{self.generation}".encode()
        padding = b"." * self.rng.randrange(0, 200)
        commands = []
        for _ in range(count):
            text = b"%b %d %d %b" % (me, self.epoch, self.published, padding)
            commands.append(("PUBLISH", "news:all", text))
            self.published += 1
        replies = self.link.pipeline(commands)
        self.note(("PUBLISH", "news:all", commands[-1][2]), replies[-1])
        if not all(isinstance(reply, int) for reply in replies):
            raise Violation(f"PUBLISH answers {shown(replies)}")
        last = self.published - 1
        while self.heard.get((me, self.epoch), -1) < last:
            self.hear()
        self.tick()

    def hear(self) -> None:
        message = self.subscriber.read()
        if not isinstance(message, list) or message[0] not in (b"message", b"pmessage"):
            raise Violation(f"a subscriber was sent {message!r}")
        publisher, epoch, number, _ = message[-1].split(b" ", 3)
        source, value = (publisher, int(epoch)), int(number)
        last = self.heard.get(source)
        if last is None:
            # Subscribed in the middle of this publisher's numbers, unless an earlier epoch was heard: then from 0.
            if value != 0 and (publisher, int(epoch) - 1) in self.heard:
                raise Violation(f"the first number of {publisher.decode()} in epoch {int(epoch)} is {value}, not 0")
        elif value != last + 1:
            raise Violation(f"{publisher.decode()} published {value} after {last} in epoch {int(epoch)}: a gap")
        self.heard[source] = value


class Expiring(Role):
    """Keys and fields with deadlines: there until then, gone at most 50 ms later."""

    name = "expiring"
    LIVE = 60

    def setup(self) -> None:
        self.deadlines: list = []
        self.made = 0
        # What is probed, and how often, depends on the time; what is made must not.
        self.probes = random.Random(self.rng.random())
        self.has_fields = b"hpexpireat" in str(self.link.call("COMMAND", "INFO", "HPEXPIREAT")).encode()

    def step(self) -> None:
        rng = self.probes
        if len(self.deadlines) < self.LIVE and rng.random() < 0.5:
            self.make()
        elif self.deadlines:
            index = 0 if rng.random() < 0.6 else rng.randrange(len(self.deadlines))
            deadline, key, kind = self.deadlines[index]
            self.probe(deadline, key, kind)
            if index == 0 and time.time() > deadline + GRACE_S:
                heapq.heappop(self.deadlines)

    def make(self) -> None:
        rng = self.rng
        key = f"expiring:{self.identity}:{self.made}"
        self.made += 1
        ahead_ms = int(10 ** rng.uniform(1.5, 3.6))
        deadline_ms = int(time.time() * 1000) + ahead_ms
        way = rng.randrange(5)
        self.decide((key, ahead_ms, way))
        if way == 0:
            self.ask("SET", key, "x", "PXAT", deadline_ms)
        elif way == 1:
            self.transaction(("SADD", key, "a", "b"), ("PEXPIREAT", key, deadline_ms))
        elif way == 2:
            self.transaction(("RPUSH", key, "a", "b"), ("PEXPIREAT", key, deadline_ms + 500),
                             ("PEXPIREAT", key, deadline_ms, "LT"))  # fmt: skip
        elif way == 3 and self.has_fields:
            self.transaction(("HSET", key, "f", "x", "g", "y"),
                             ("HPEXPIREAT", key, deadline_ms, "FIELDS", 1, "f"),
                             ("PEXPIREAT", key, deadline_ms + 10_000))  # fmt: skip
            heapq.heappush(self.deadlines, (deadline_ms / 1000, key, "field"))
            return
        else:
            self.transaction(("SET", key, "x"), ("EXPIREAT", key, deadline_ms // 1000 + 1))
            deadline_ms = (deadline_ms // 1000 + 1) * 1000
        heapq.heappush(self.deadlines, (deadline_ms / 1000, key, "key"))

    def probe(self, deadline: float, key: str, kind: str) -> None:
        if kind == "field":
            argv = self.probes.choice((("HGET", key, "f"), ("HEXISTS", key, "f")))
        else:
            argv = self.probes.choice((("EXISTS", key), ("TYPE", key), ("PTTL", key), ("DUMP", key)))
        before_ms = time.time() * 1000 - deadline * 1000
        reply = self.ask(*argv)
        after_ms = time.time() * 1000 - deadline * 1000
        is_there = reply not in (None, 0, b"none", -2)
        if is_there and before_ms > GRACE_S * 1000:
            raise Violation(f"{readable(argv)} answers {reply!r} {before_ms:.1f} ms after its deadline")
        if not is_there and after_ms < 0:
            raise Violation(f"{readable(argv)} answers {reply!r} {-after_ms:.1f} ms before its deadline")


class Scan(Role):
    """SCAN and its relatives: whatever is there from beginning to end is returned, whoever writes meanwhile."""

    name = "scan"
    STABLE = 120

    def setup(self) -> None:
        name = f"scan:{self.identity}"
        self.keys = {f"{name}:stable:{number}".encode() for number in range(self.STABLE)}
        self.churn = [f"{name}:churn:{number}".encode() for number in range(60)]
        self.members = {b"stable:%d" % number for number in range(self.STABLE * 3)}
        self.hash, self.set, self.zset = f"{name}:hash", f"{name}:set", f"{name}:zset"
        whole = sorted(self.keys) + self.churn + [key.encode() for key in (self.hash, self.set, self.zset)]
        parts = [key[len(name) :] for key in whole]
        self.ask("UNLINK", *[b"scan:%b%b" % (past.encode(), part) for past in self.past_identities for part in parts])
        self.ask("MSET", *[part for key in sorted(self.keys) for part in (key, b"x")])
        members = sorted(self.members)
        self.ask("HSET", self.hash, *[part for member in members for part in (member, b"x")])
        self.ask("SADD", self.set, *members)
        self.ask("ZADD", self.zset, *[part for score, member in enumerate(members) for part in (score, member)])

    def step(self) -> None:
        what = self.rng.choice(("SCAN", "SCAN", "HSCAN", "SSCAN", "ZSCAN"))
        key = {"SCAN": None, "HSCAN": self.hash, "SSCAN": self.set, "ZSCAN": self.zset}[what]
        wanted = self.keys if key is None else self.members
        found: set = set()
        cursor = b"0"
        steps = 0
        while True:
            count = self.rng.choice((10, 100, 500, 1000) if key is None else (5, 20, 100))
            argv = (what, *([] if key is None else [key]), cursor, "COUNT", count)
            cursor, page = self.ask(*argv)
            found.update(page if what in ("SCAN", "SSCAN") else page[::2])
            self.disturb(key)
            steps += 1
            self.tick()
            if cursor == b"0" or self.is_over():
                break
            if steps > 20_000:
                raise Violation(f"{what} does not come to an end in {steps} steps")
        if cursor == b"0" and wanted - found:
            missing = sorted(wanted - found)
            raise Violation(f"a full {what} of {steps} steps lacks {len(missing)} of {len(wanted)}: {missing[:5]}")
        allowed = wanted.union(self.churn) if key else None
        if allowed is not None and found - allowed:
            raise Violation(f"{what} returned what nobody put there: {sorted(found - allowed)[:5]}")

    def disturb(self, key) -> None:
        """Add and remove what is not stable, in bulk now and then so that tables grow and shrink."""
        names = self.rng.sample(self.churn, self.rng.choice((1, 3, 30)))
        is_there = self.rng.random() < 0.5
        if key is None:
            if is_there:
                self.ask("MSET", *[part for name in names for part in (name, b"y")])
            else:
                self.ask("UNLINK", *names)
        elif key is self.hash:
            self.ask(*(("HSET", key, *[p for n in names for p in (n, b"y")]) if is_there else ("HDEL", key, *names)))
        elif key is self.set:
            self.ask("SADD" if is_there else "SREM", key, *names)
        else:
            self.ask(*(("ZADD", key, *[p for n in names for p in (7, n)]) if is_there else ("ZREM", key, *names)))

    def recover(self) -> None:
        if self.ask("EXISTS", *sorted(self.keys)) != len(self.keys):
            raise Violation("keys that were acknowledged and never removed are gone")


class Deep(Role):
    """Pipelines up to 10,000 deep: every reply, in order."""

    name = "pipeline"

    def setup(self) -> None:
        self.key = f"pipeline:{self.identity}"
        self.ask("DEL", *[f"pipeline:{name}" for name in self.past_identities])
        self.value = 0
        self.under_way = 0

    def step(self) -> None:
        rng = self.rng
        depth = int(10 ** rng.uniform(0, 4))
        self.decide(depth)
        commands = []
        wanted = []
        value = self.value
        for number in range(depth):
            dice = rng.random()
            if dice < 0.5:
                value += 1
                commands.append(("INCR", self.key))
                wanted.append(value)
            elif dice < 0.8:
                text = b"%d" % number
                commands.append(("ECHO", text))
                wanted.append(text)
            else:
                commands.append(("GET", self.key))
                wanted.append(b"%d" % value if value else None)
        self.under_way = value - self.value
        replies = self.link.pipeline(commands)
        self.note(("a pipeline of", depth))
        if replies != wanted:
            index = next(i for i, pair in enumerate(zip(replies, wanted)) if pair[0] != pair[1])
            raise Violation(
                f"reply {index} of {depth} in a pipeline is {replies[index]!r}, not {wanted[index]!r} "
                f"({readable(commands[index])})"
            )
        self.value = value
        self.under_way = 0

    def recover(self) -> None:
        value = int(self.ask("GET", self.key) or 0)
        if not self.value <= value <= self.value + self.under_way:
            raise Violation(f"{self.key} is {value}; {self.value} acknowledged, {self.under_way} under way")
        self.value = value
        self.under_way = 0


ROLES = {role.name: role for role in (Mixed, Counter, Bank, Queue, Group, PubSub, Expiring, Scan, Deep)}
