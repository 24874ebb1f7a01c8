"""Killing a server under writers, again and again, and judging what is there afterwards.

Owns the writers, the moment of the kill and the verdict. Each writer appends numbers to a list and sets a key for each,
one request after the other, and knows what it sent and what was acknowledged: with `always` everything acknowledged
must be there, nothing may be there that was not sent, and no list may have a hole. Must not know pytest:
`scripts/crash.py` uses it too.
"""

from __future__ import annotations

import random
import threading
import time

from tests.harness.processes import Server, start_own
from tests.harness.wire import encode, parse

WRITERS = 16
PIPELINE = 4


class Loss(AssertionError):
    """Data is missing, or was never sent."""


class Writer(threading.Thread):
    """One client that writes until its connection ends."""

    def __init__(self, server: Server, name: str) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.name = name
        self.sent = 0
        self.acknowledged: list[float] = []  # when each number was
        self.fault: Exception | None = None  # anything but the end of the connection

    def run(self) -> None:
        try:
            with self.server.wire(timeout_s=20) as wire:
                while True:
                    count = random.randint(1, PIPELINE)
                    first = self.sent
                    self.sent += count
                    batch = b"".join(
                        encode("RPUSH", f"{self.name}:list", number) + encode("SET", f"{self.name}:{number}", number)
                        for number in range(first, first + count)
                    )
                    wire.send(batch)
                    for _ in range(count):
                        for _ in range(2):
                            kind, text = parse(wire.read_raw())
                            if kind == b"-":
                                raise Loss(f"refused: {text!r}")
                        self.acknowledged.append(time.monotonic())
        except OSError:
            pass  # the server is dead, as it should be
        except Exception as error:
            self.fault = error


def verify(server: Server, writers: list[Writer], killed_s: float, grace_s: float) -> int:
    """Compare what is there with what was acknowledged up to `grace_s` before the kill; return the number of keys."""
    keys = 0
    with server.wire() as wire:
        for writer in writers:
            promised = sum(1 for at in writer.acknowledged if at <= killed_s - grace_s) if grace_s else len(
                writer.acknowledged
            )
            items = [int(text) for _, text in wire.command("LRANGE", f"{writer.name}:list", 0, -1)[1]]
            if items != list(range(len(items))):
                raise Loss(f"{writer.name}: the list has a hole")
            if not promised <= len(items) <= writer.sent:
                raise Loss(f"{writer.name}: {len(items)} numbers, {promised} promised, {writer.sent} sent")
            keys += bool(items)
            if not writer.sent:
                continue
            names = [f"{writer.name}:{number}" for number in range(writer.sent)]
            values = [text for _, text in wire.command("MGET", *names)[1]]
            for number, text in enumerate(values):
                if text is None:
                    if number < promised:
                        raise Loss(f"{writer.name}:{number} was acknowledged and is gone")
                elif int(text) != number:
                    raise Loss(f"{writer.name}:{number} is {text!r}")
                else:
                    keys += 1
    return keys


def crash(
    rounds: int,
    policy: str = "always",
    seed: int = 1,
    options: tuple[str, ...] = (),
    during: tuple[str, ...] = (),
    grace_s: float = 0.0,
    report=lambda text: None,
    longest_s: float = 0.4,
) -> int:
    """Kill a server `rounds` times; return how many writes were acknowledged. Raises Loss.

    `during`: commands of which one is sent shortly before each kill, such as BGREWRITEAOF.
    """
    rng = random.Random(seed)
    total = 0
    known = 0  # keys of the rounds before
    with start_own("--appendonly", "yes", "--appendfsync", policy, "--save", "", *options) as server:
        for number in range(rounds):
            writers = [Writer(server, f"r{number}w{index}") for index in range(WRITERS)]
            for writer in writers:
                writer.start()
            time.sleep(rng.uniform(0.05, longest_s))
            if during:
                with server.wire() as wire:
                    wire.command(*rng.choice(during).split())
                time.sleep(rng.uniform(0.0, 0.03))
            killed_s = time.monotonic()
            server.kill()
            for writer in writers:
                writer.join(20)
                if writer.is_alive() or writer.fault is not None:
                    raise Loss(f"{writer.name}: {writer.fault or 'hangs'}")
            server.start()
            keys = verify(server, writers, killed_s, grace_s)
            with server.wire() as wire:
                size = int(wire.command("DBSIZE")[1])
            if size != known + keys:
                raise Loss(f"round {number}: {size} keys, {known + keys} expected")
            known = size
            acknowledged = sum(len(writer.acknowledged) for writer in writers)
            total += acknowledged
            report(f"round {number + 1}: {acknowledged} acknowledged, {size} keys in all")
    if total < rounds * WRITERS:
        raise Loss(f"only {total} writes were acknowledged in {rounds} rounds: nothing was tested")
    return total
