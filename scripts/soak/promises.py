"""What holds for all clients together: checked while they run, on the server and on its replica, and at the end.

Owns the shared keys' beginnings and their checks; the keys are those of `roles.py`.
"""

from __future__ import annotations

import time

from soak.links import Lost, Meter, RawLink, Refusal, Violation
from soak.role import Role
from soak.roles import ACCOUNTS, OPENING_BALANCE, check_total

QUIET_S = 20.0  # what dead clients had sent is executed by then
CATCH_UP_S = 60.0


def ask(link, *argv):
    reply = link.call(*argv)
    if isinstance(reply, Refusal):
        raise Violation(f"{argv} answers {reply!r}")
    return reply


def prepare(port: int) -> None:
    """Make the shared keys."""
    link = RawLink(port, Meter())
    ask(link, "MSET", *[part for n in range(ACCOUNTS) for part in (f"bank:{n}", OPENING_BALANCE)])
    ask(link, "XGROUP", "CREATE", "stream:jobs", "workers", "0", "MKSTREAM")
    link.close()


class Auditor(Role):
    """Looks at the shared keys in transactions: the bank's total, and the counter against its parts."""

    name = "auditor"
    may_use_library = False

    def step(self) -> None:
        commands = [("MGET", *[f"bank:{n}" for n in range(ACCOUNTS)]), ("GET", "counter:shared"),
                    ("HVALS", "counter:mine")]  # fmt: skip
        replies = self.link.pipeline([("MULTI",), *commands, ("EXEC",)])
        if isinstance(replies[-1], list):
            self.check(*replies[-1])
        elif not self.may_refuse(replies):
            raise Violation(f"a transaction that reads answers {replies!r}")
        time.sleep(0.02)

    def may_refuse(self, replies) -> bool:
        return False

    def check(self, balances, shared, parts) -> None:
        check_total(balances)
        if int(shared or 0) != sum(map(int, parts)):
            raise Violation(f"counter:shared is {shared!r}, its parts add up to {sum(map(int, parts))}")


class ReplicaAuditor(Auditor):
    """The same on the replica, which shows either nothing yet or a whole state."""

    name = "replica-auditor"

    def may_refuse(self, replies) -> bool:
        # Loading what the master sent.
        return any(isinstance(r, Refusal) and r.text.startswith((b"LOADING", b"MASTERDOWN")) for r in replies)

    def check(self, balances, shared, parts) -> None:
        if any(balance is not None for balance in balances):
            super().check(balances, shared, parts)


def wait_until_quiet(link) -> None:
    """Wait until the server has noticed that all clients are gone and has executed what they had sent."""
    deadline = time.monotonic() + QUIET_S
    while True:
        others = [line for line in ask(link, "CLIENT", "LIST").decode().splitlines() if " flags=S " not in line]
        if len(others) <= 1:
            return
        if time.monotonic() > deadline:
            raise Violation(f"{QUIET_S:.0f} s later {len(others) - 1} ended clients have connections: {others[:2]}")
        time.sleep(0.05)


def check_at_the_end(port: int) -> list[str]:
    """Check the shared keys; return what was counted."""
    link = RawLink(port, Meter())
    wait_until_quiet(link)
    check_total(ask(link, "MGET", *[f"bank:{n}" for n in range(ACCOUNTS)]))
    counted = int(ask(link, "GET", "counter:shared") or 0)
    parts = sum(map(int, ask(link, "HVALS", "counter:mine")))
    if counted != parts:
        raise Violation(f"counter:shared is {counted}, its parts add up to {parts}")
    facts = [f"counted {counted}", check_queue(link), check_stream(link)]
    link.close()
    return facts


def pairs(flat) -> dict:
    return {name.decode(): int(number) for name, number in zip(flat[::2], flat[1::2])}


def all_keys(link, pattern: str) -> list:
    cursor, found = b"0", set()
    while True:
        cursor, page = ask(link, "SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
        found.update(page)
        if cursor == b"0":
            return sorted(found)


def check_queue(link) -> str:
    """Check that each job produced is done, or waits, or is in a worker's hand: one of them, once."""
    produced = pairs(ask(link, "HGETALL", "queue:produced"))
    left = ask(link, "LRANGE", "queue:jobs", 0, -1)
    for key in all_keys(link, "queue:taken:*"):
        left += ask(link, "LRANGE", key, 0, -1)
    if len(set(left)) != len(left):
        raise Violation(f"{len(left) - len(set(left))} jobs are in the queue twice")
    waiting: dict = {}
    for job in left:
        producer, number = job.decode().split(":")
        waiting[producer] = waiting.get(producer, 0) + 1
        if ask(link, "GETBIT", f"queue:done:{producer}", number):
            raise Violation(f"job {job.decode()} is done and still there")
    for producer, count in produced.items():
        done = ask(link, "BITCOUNT", f"queue:done:{producer}")
        if done + waiting.get(producer, 0) != count:
            raise Violation(f"{producer} produced {count} jobs: {done} are done and {waiting.get(producer, 0)} waiting")
    return f"{sum(produced.values())} jobs, {len(left)} of them left"


def check_stream(link) -> str:
    """Check that each entry produced is done or there, and that those delivered are somebody's."""
    produced = pairs(ask(link, "HGETALL", "stream:produced"))
    entries = ask(link, "XRANGE", "stream:jobs", "-", "+")
    left: dict = {}
    for _, fields in entries:
        left[fields[1].decode()] = left.get(fields[1].decode(), 0) + 1
    for producer, count in produced.items():
        done = ask(link, "BITCOUNT", f"stream:done:{producer}")
        if done + left.get(producer, 0) != count:
            raise Violation(f"{producer} added {count} entries: {done} are done and {left.get(producer, 0)} there")
    group = ask(link, "XINFO", "GROUPS", "stream:jobs")[0]
    last = tuple(int(part) for part in group[group.index(b"last-delivered-id") + 1].split(b"-"))
    pending = {entry[0] for entry in ask(link, "XPENDING", "stream:jobs", "workers", "-", "+", 1_000_000)}
    delivered = {i for i, _ in entries if tuple(int(part) for part in i.split(b"-")) <= last}
    if pending != delivered:
        raise Violation(
            f"{len(delivered - pending)} delivered entries are nobody's, "
            f"{len(pending - delivered)} pending ones are gone"
        )
    return f"{sum(produced.values())} entries, {len(entries)} of them left"


def check_replica(port: int, replica_port: int) -> str:
    """Check that the replica catches up and then holds the same data."""
    master, replica = RawLink(port, Meter()), RawLink(replica_port, Meter())
    deadline = time.monotonic() + CATCH_UP_S
    try:
        while True:
            replication = replica.call("INFO", "replication")
            if isinstance(replication, bytes) and b"master_link_status:up" in replication:
                if ask(master, "WAIT", 1, 1000) >= 1:
                    break
            if time.monotonic() > deadline:
                raise Violation(f"the replica has not caught up in {CATCH_UP_S:.0f} s: {replication!r}")
            time.sleep(0.05)
        while True:
            # A key that expires on one side only is a difference for a moment: the replica waits for the DEL.
            digests = [ask(link, "DEBUG", "DIGEST") for link in (master, replica)]
            if digests[0] == digests[1]:
                return f"the replica's data set has the same digest, {digests[0].decode()[:12]}"
            if time.monotonic() > deadline:
                raise Violation(f"master and replica differ: DEBUG DIGEST {digests}; {different_keys(master, replica)}")
            time.sleep(0.2)
    except Lost as error:
        raise Violation(f"a connection was closed while the replica caught up: {error}") from None
    finally:
        master.close()
        replica.close()


def different_keys(master, replica) -> str:
    different = []
    keys = sorted(set(all_keys(master, "*")) | set(all_keys(replica, "*")))
    for key in keys:
        values = [ask(link, "DEBUG", "DIGEST-VALUE", key)[0] for link in (master, replica)]
        if values[0] != values[1]:
            different.append(key.decode(errors="replace"))
    return f"{len(different)} of {len(keys)} keys differ: {different[:5]}"
