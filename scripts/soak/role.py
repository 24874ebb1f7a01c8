"""What every client is: connections, steps, what to do when a connection is lost, and its recent history.

Owns the loop. Which commands are sent, and what they must answer, is a role's.
"""

from __future__ import annotations

import random
import time
import zlib
from collections import deque

from soak.links import LibraryLink, Lost, Meter, RawLink, Refusal, Violation, library_is_there

DECISIONS_SUMMED = 50  # commands whose checksum says whether two runs decided alike
HISTORY = 12
RECONNECT_S = 60.0
ATTEMPTS_REMEMBERED = 6


class Role:
    """One client. `step` is repeated; `Lost` out of it leads to new connections and `recover`."""

    name = ""
    may_use_library = True

    def __init__(self, port: int, seed: int, slot: int, generation: int) -> None:
        self.port = port
        self.slot = slot
        self.generation = generation
        self.attempt = 0
        self.rng = random.Random(f"{seed}:{self.name}:{slot}:{generation}")
        self.meter = Meter()
        self.history: deque = deque(maxlen=HISTORY)
        self.links: list = []
        self.uses_library = self.may_use_library and slot % 2 == 1 and library_is_there()
        self.is_over = lambda: False
        self.decided = 0
        self.decisions = 0

    @property
    def identity(self) -> str:
        """A name no client had before, to own keys by."""
        return f"{self.slot}.{self.generation}.{self.attempt}"

    @property
    def past_identities(self) -> list:
        """Names under which this slot may have left keys: the data set shall not grow with each client that dies."""
        before = [f"{self.slot}.{self.generation - 1}.{attempt}" for attempt in range(1, ATTEMPTS_REMEMBERED)]
        return before + [f"{self.slot}.{self.generation}.{attempt}" for attempt in range(1, self.attempt)]

    def open(self, raw: bool = False):
        """Return a new connection to a server that has loaded its data."""
        deadline = time.monotonic() + RECONNECT_S
        while True:
            try:
                link = (LibraryLink if self.uses_library and not raw else RawLink)(self.port, self.meter)
                self.links.append(link)
                reply = link.call("CLIENT", "SETNAME", f"{self.name}:{self.slot}")
                if reply != b"OK":
                    raise Violation(f"CLIENT SETNAME answers {reply!r}")
                while isinstance(reply := link.call("EXISTS", "loaded"), Refusal):
                    # SETNAME is served while loading, EXISTS is not.
                    if not reply.text.startswith((b"LOADING", b"MASTERDOWN")) or time.monotonic() > deadline:
                        raise Violation(f"EXISTS answers {reply!r}")
                    self.meter.refused -= 1
                    time.sleep(0.02)
                return link
            except Lost as error:
                if time.monotonic() > deadline:
                    raise Violation(f"no connection for {RECONNECT_S:.0f} s: {error}") from None
            time.sleep(0.02)

    def connect(self) -> None:
        self.link = self.open()

    def disconnect(self) -> None:
        for link in self.links:
            link.close()
        self.links.clear()

    def setup(self) -> None:
        """Make what the role owns, under `identity`; tried again with another one when the connection is lost."""

    def step(self) -> None:
        raise NotImplementedError

    def recover(self) -> None:
        """Find out what became of the commands under way."""

    def play(self, tick) -> None:
        """Do steps until it is over, calling `tick` after each."""
        self.tick = tick
        is_set_up = False
        needs_recovery = False
        while not self.is_over():
            try:
                if not self.links:
                    self.connect()
                if not is_set_up:
                    self.attempt += 1
                    self.setup()
                    is_set_up = True
                elif needs_recovery:
                    self.recover()
                    needs_recovery = False
                else:
                    self.step()
            except Lost:
                self.meter.lost += 1
                needs_recovery = is_set_up
                self.disconnect()
            tick()
        self.disconnect()

    def note(self, argv, reply=None) -> None:
        self.history.append((argv, reply))

    def ask(self, *argv, link=None, blocking: bool = False):
        """Send a command that must not be refused and return its reply."""
        reply = (link or self.link).call(*argv, blocking=blocking)
        self.note(argv, reply)
        if isinstance(reply, Refusal):
            raise Violation(f"{readable(argv)} answers {reply!r}")
        return reply

    def transaction(self, *commands) -> list:
        """Execute commands as one transaction, sent at once, and return their replies; None if it was not executed."""
        replies = self.link.pipeline([("MULTI",), *commands, ("EXEC",)])
        self.note(("MULTI", *[readable(argv) for argv in commands], "EXEC"), replies)
        queued = [b"QUEUED"] * len(commands)
        if replies[0] != b"OK" or replies[1:-1] != queued or isinstance(replies[-1], Refusal):
            raise Violation(f"a transaction of {[readable(argv) for argv in commands]} answers {replies!r}")
        return replies[-1]

    def decide(self, argv) -> None:
        """Take a decision into the checksum, if it is one of the first."""
        if self.decided < DECISIONS_SUMMED:
            self.decided += 1
            self.decisions = zlib.crc32(repr(argv).encode(), self.decisions)


def readable(argv, limit: int = 200) -> str:
    text = " ".join(arg.decode("latin-1") if isinstance(arg, bytes) else str(arg) for arg in argv)
    return repr(text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)")


def shown(value, limit: int = 600) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
