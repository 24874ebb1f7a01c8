"""Plays on a stage: several connections take turns on one server, and everything that each of them reads is kept.

A play is text with a line for each turn: `name: COMMAND argument ...`, where a name that ends in 3 speaks RESP3 and
arguments are split as a shell does. `{id:name}` is the number of a connection. A `~` after the name says that the
command will block: its answer comes in a later turn. `name: !CLOSE` ends a connection. After each turn every connection
that can asks PING, whose answer comes behind everything that the turn caused.
"""

from __future__ import annotations

import re
import shlex

from tests.harness.processes import Server
from tests.harness.wire import Wire, encode, plain

END = b"end of turn"
MONITORED = re.compile(rb"^\d+\.\d{6} \[(\d+) ([^\]]*)\]")
NUMBERED = frozenset(("GETREDIR", "TRACKINGINFO"))  # subcommands of CLIENT that tell a connection's number


class Stage:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.wires: dict[str, Wire] = {}
        self.names_by_number: dict[int, bytes] = {}
        self.names_by_address: dict[bytes, bytes] = {}
        self.in_multi: set[str] = set()
        self.blocked: set[str] = set()
        self.numbers: dict[str, int] = {}
        self.only_pushes = False

    def close(self) -> None:
        for wire in self.wires.values():
            wire.close()

    def enter(self, name: str) -> None:
        wire = self.wires[name] = self.server.wire(protocol=3 if name.endswith("3") else 2)
        number = self.numbers[name] = wire.ask("CLIENT", "ID")
        self.names_by_number[number] = name.encode()
        host, port = wire.socket.getsockname()
        self.names_by_address[b"%s:%d" % (host.encode(), port)] = name.encode()

    def play(self, text: str) -> list[tuple[str, dict[str, list]]]:
        """Each turn with what every connection read in it."""
        lines = [
            line.strip() for line in text.strip().splitlines() if line.strip() and not line.strip().startswith("#")
        ]
        for name in dict.fromkeys(line.split(":", 1)[0].rstrip("~") for line in lines):
            self.enter(name)
        return [(line, self.turn(line)) for line in lines]

    def turn(self, line: str) -> dict[str, list]:
        name, _, rest = line.partition(":")
        is_blocking = name.endswith("~")
        name = name.rstrip("~")
        words = shlex.split(re.sub(r"\{id:(\w+)\}", lambda found: str(self.numbers[found[1]]), rest))
        verb = words[0].upper()
        if verb == "!CLOSE":
            self.wires.pop(name).close()
            return self.collect(None, words)
        self.wires[name].send(encode(*words))
        if verb == "MULTI":
            self.in_multi.add(name)
        elif verb in ("EXEC", "DISCARD", "RESET"):
            self.in_multi.discard(name)
        self.only_pushes = verb.endswith("SUBSCRIBE")  # no reply but its confirmations
        if is_blocking:
            self.blocked.add(name)
        return self.collect(name, words)

    def collect(self, actor: str | None, words: list[str]) -> dict[str, list]:
        heard = {}
        # The actor first: its answers show that the command was run, so the others' pushes are on their way.
        for name in sorted(self.wires, key=lambda other: (other != actor, other)):
            frames = self.read_one(name, name == actor)
            if frames:
                heard[name] = [self.anonymous(frame, words) for frame in frames]
        return heard

    def read_one(self, name: str, is_actor: bool) -> list:
        wire = self.wires[name]
        if name in self.blocked:
            if is_actor:
                return []
            # Nothing can be asked of it; an answer ends its waiting.
            frames = []
            try:
                while True:
                    frames.append(wire.read(timeout_s=0.02))
            except TimeoutError:
                pass
            if any(frame[0] != b">" for frame in frames):
                self.blocked.discard(name)
            return [plain(frame) for frame in frames]
        if name in self.in_multi:
            return [wire.read()] if is_actor else []
        frames = []
        if is_actor:
            # Its reply first: a PING in the same packet is answered before what the end of the loop's turn brings.
            while True:
                frame = wire.read()
                frames.append(plain(frame))
                if frame[0] != b">" or self.only_pushes:
                    break
        wire.send(encode("PING", END))
        while True:
            frame = plain(wire.read())
            if frame == END or frame == [b"pong", END]:
                return frames
            frames.append(frame)

    def anonymous(self, frame, words: list[str]):
        """A frame without what belongs to this one server: times, numbers of connections, addresses."""
        if isinstance(frame, bytes):
            found = MONITORED.match(frame)
            if found:
                origin = self.names_by_address.get(found[2], found[2])
                return b"TIME [%b %b]" % (found[1], origin) + frame[found.end() :]
            return frame
        if words[0].upper() == "HELLO" and isinstance(frame, list) and len(frame) > 6:
            return "a greeting"
        is_numbered = len(words) > 1 and words[1].upper() in NUMBERED
        if is_numbered and isinstance(frame, int):
            return self.names_by_number.get(frame, frame)
        if words[0].upper() == "PUBSUB" and isinstance(frame, list) and "CHANNELS" in words[1].upper():
            return sorted(frame)  # a hash table's order
        if is_numbered and frame and isinstance(frame[0], tuple):
            return [
                (key, self.names_by_number.get(value, value)) if key == b"redirect" else (key, value)
                for key, value in frame
            ]
        if isinstance(frame, list) and (is_numbered or frame[:1] == [b"tracking-redir-broken"]):
            return [self.names_by_number.get(item, item) if isinstance(item, int) else item for item in frame]
        return frame


def compare(play: str, real: Server, own: Server, in_any_order: bool = False) -> str:
    """The first turn in which a connection reads something else, as text; empty if there is none.

    `in_any_order` is for real servers before 7.2, which sent messages to oneself before the reply.
    """
    acts = []
    for server in (real, own):
        stage = Stage(server)
        try:
            acts.append(stage.play(play))
        finally:
            stage.close()
    for number, ((line, theirs), (_, ours)) in enumerate(zip(*acts), 1):
        for name in sorted({*theirs, *ours}):
            pair = theirs.get(name), ours.get(name)
            if in_any_order and None not in pair:
                pair = sorted(pair[0], key=repr), sorted(pair[1], key=repr)
            if pair[0] != pair[1]:
                return (
                    f"after turn {number}, {line!r}, {name} reads\n  from the real server {theirs.get(name)}\n"
                    f"  from this one        {ours.get(name)}"
                )
    return ""
