"""Runs of commands on two servers, the first difference in each, and a small sequence that shows it.

An episode starts on empty servers, sends its commands in pipelined batches, compares every reply and, at its
end, what the servers hold. It stops at its first difference, since what follows from one difference proves
nothing; the next episode starts empty again, so one fault does not hide another.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from tests.harness.processes import Server
from tests.harness.wire import BadReply, Closed, Timeout, Wire, encode, encode_all, plain
from tests.oracle.comparison import command_name, same_answer
from tests.oracle.differences import find_difference
from tests.oracle.generators import Generator

EPISODE_COMMANDS = 2000
BATCH_COMMANDS = 250
REPLY_TIMEOUT_S = 10.0
MINIMISE_S = 4.0
MINIMISE_RUNS = 400
MAX_REPORTS = 15
DATABASES = 3  # those that the vocabulary selects
NO_REPLY = b"-(no reply)\r\n"

READERS = {
    b"string": lambda key: [b"GET", key],
    b"list": lambda key: [b"LRANGE", key, b"0", b"-1"],
    b"hash": lambda key: [b"HGETALL", key],
    b"set": lambda key: [b"SMEMBERS", key],
    b"zset": lambda key: [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
    b"stream": lambda key: [b"XRANGE", key, b"-", b"+"],
}


class Failure(NamedTuple):
    """One difference, with what is needed to see it again."""

    group: str
    seed: str
    protocol: int
    index: int
    argv: list[bytes]
    real: bytes
    own: bytes
    sequence: list[list[bytes]]
    note: str = ""

    def signature(self) -> tuple:
        """What makes two failures the same fault, as far as one can tell from outside."""
        return (
            command_name(self.argv),
            self.real[:1],
            self.own[:1],
            _error_words(self.real),
        )
        _error_words(self.own)

    def __str__(self) -> str:
        lines = [
            f"{command_name(self.argv)} differs (group {self.group}, seed {self.seed}, RESP{self.protocol}, "
            f"command {self.index}){self.note}",
            f"  command: {show(self.argv)}",
            f"  real:    {self.real[:600]!r}",
            f"  own:     {self.own[:600]!r}",
            f"  after a sequence of {len(self.sequence)}" + (", its end:" if len(self.sequence) > 25 else ":"),
        ]
        lines += [f"    {show(argv)}" for argv in self.sequence[-25:]]
        return "\n".join(lines)


def _error_words(reply: bytes) -> bytes:
    return reply.split(b"'")[0] if reply.startswith(b"-") else b""


def _is_unknown(server: Server, name: str) -> bool:
    with server.wire() as wire:
        wire.send(encode(name, "nonsense"))
        return wire.read_raw().startswith(b"-ERR unknown command")


def show(argv: list[bytes]) -> str:
    """Write a command as redis-cli takes it."""
    words = []
    for arg in argv:
        text = repr(bytes(arg))[1:]
        words.append(text[1:-1] if text[1:-1].isalnum() or text[1:-1].replace("-", "").isalnum() else f'"{text[1:-1]}"')
    return " ".join(words)[:500]


class Result(NamedTuple):
    commands: int
    failures: list[Failure]
    repeated: int
    differences: dict[str, int]

    def __str__(self) -> str:
        known = ", ".join(f"{name} ({count})" for name, count in sorted(self.differences.items()))
        text = [str(failure) for failure in self.failures]
        text.append(
            f"{self.commands} commands compared, {len(self.failures)} differences"
            + (f" and {self.repeated} more of the same" if self.repeated else "")
            + (f"; changed since the real server's version: {known}" if known else "")
        )
        return "\n\n".join(text)


class Pair:
    """A real server and this one, driven together.

    `is_older` says that the real one predates 7.4, so that the table of differences applies.
    """

    def __init__(self, real: Server, own: Server) -> None:
        self.real = real
        self.own = own
        self.protocol = 2
        with real.wire() as wire:
            info = plain(wire.command("INFO", "server"))
            version = info.split(b"redis_version:")[1].split(b"\r\n")[0]
        self.is_older = tuple(map(int, version.split(b".")[:2])) < (7, 4)
        self.differences: dict[str, int] = {}
        self.wires: tuple[Wire, Wire] | None = None
        self._known: dict[str, bool] = {}

    def is_known(self, name: str) -> bool:
        """Tell whether both servers have a command of that name."""
        if not name.isupper():
            return True
        if name not in self._known:
            # With that argument nothing that the templates name does harm (without it SHUTDOWN would).
            self._known[name] = not any(_is_unknown(server, name) for server in (self.real, self.own))
        return self._known[name]

    def close(self) -> None:
        if self.wires:
            for wire in self.wires:
                wire.close()
        self.wires = None

    def restart_connections(self, protocol: int) -> None:
        self.close()
        if not self.own.is_alive():
            self.own.start()
        self.protocol = protocol
        self.wires = (self.real.wire(REPLY_TIMEOUT_S, protocol), self.own.wire(REPLY_TIMEOUT_S, protocol))

    def reset(self, protocol: int) -> None:
        """Empty both servers and give both new connections."""
        self.restart_connections(protocol)
        # What is past due goes when it is looked at, not when a timer finds it: DBSIZE would depend on the
        # moment.
        self.send([[b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0"], [b"FLUSHALL"]])
        # What was slow depends on the machine, and other tests were here before.
        self.send([[b"CONFIG", b"SET", b"slowlog-log-slower-than", b"60000000"], [b"SLOWLOG", b"RESET"]])

    def send(self, commands: list[list[bytes]]) -> list[tuple[bytes, bytes]]:
        """Send a batch to both servers and return the replies in pairs; what never came is NO_REPLY."""
        assert self.wires is not None
        data = encode_all(commands)
        replies = []
        for wire in self.wires:
            try:
                wire.send(data)
            except (Closed, Timeout, OSError):
                pass
        for wire in self.wires:
            got: list[bytes] = []
            try:
                for _ in commands:
                    got.append(wire.read_raw())
            except (Closed, Timeout, OSError):
                got += [NO_REPLY] * (len(commands) - len(got))
            except BadReply as error:
                got += [b"-(%s)\r\n" % str(error).encode()]
                got += [NO_REPLY] * (len(commands) - len(got))
            replies.append(got)
        return list(zip(*replies))

    def judge(self, argv: list[bytes], real: bytes, own: bytes) -> bool | None:
        """Tell whether two replies agree; None when they differ for a known reason that leaves traces."""
        if real == own and real is not NO_REPLY:
            return True
        try:
            if same_answer(argv, real, own):
                return True
        except (ValueError, IndexError, TypeError):
            return False
        if self.is_older:
            difference = find_difference(command_name(argv), argv, real, own)
            if difference is not None:
                self.differences[difference.name] = self.differences.get(difference.name, 0) + 1
                return None if difference.leaves_traces else True
        return False

    def run(self, commands: list[list[bytes]]):
        """Run commands until the first difference: (commands compared, None or (index, argv, real, own))."""
        for start in range(0, len(commands), BATCH_COMMANDS):
            batch = commands[start : start + BATCH_COMMANDS]
            for at, (argv, (real, own)) in enumerate(zip(batch, self.send(batch))):
                if real == own and real is not NO_REPLY:
                    continue
                verdict = self.judge(argv, real, own)
                if verdict is None:
                    return start + at + 1, "known"
                if not verdict:
                    return start + at + 1, (start + at, argv, real, own)
        return len(commands), None

    def state_commands(self) -> list[list[bytes]]:
        """Return commands that read everything the real server holds, in every database that may be used."""
        assert self.wires is not None
        real = self.wires[0]
        found: list[list[bytes]] = []
        for number in range(DATABASES):
            database = b"%d" % number
            real.command("SELECT", database)
            keys = sorted(plain(real.command("KEYS", "*")))
            found += [[b"SELECT", database], [b"KEYS", b"*"], [b"DBSIZE"]]
            for key in keys:
                kind = plain(real.command("TYPE", key))
                found += [[b"TYPE", key], [b"PTTL", key], [b"OBJECT", b"ENCODING", key]]
                if kind in READERS:
                    found.append(READERS[kind](key))
        return found


def episode(pair: Pair, group: str, seed: str, protocol: int, count: int) -> tuple[int, Failure | None]:
    """Run one episode: the number of commands compared and the difference, if there was one."""
    commands = Generator(group, seed, pair.is_known).take(count)
    if not commands:
        return 0, None
    pair.reset(protocol)
    compared, found = pair.run(commands)
    note = ""
    if found is None:
        state = pair.state_commands()
        compared_state, found = pair.run(state)
        if found is not None and found != "known":
            index, argv, real, own = found
            # The reader alone, in its database, is enough to see the difference again.
            selected = [command for command in state[: index + 1] if command[0] == b"SELECT"][-1]
            commands = [*commands, selected]
            found = (len(commands), argv, real, own)
            note = ", in the state at the end"
    if found is None or found == "known":
        return compared, None
    index, argv, real, own = found
    if not pair.own.is_alive():
        note += f", THE SERVER ENDED:\n{pair.own.log()[-1500:]}"
    failure = Failure(group, seed, protocol, index, argv, real, own, commands[:index], note)
    if NO_REPLY in (real, own):
        return compared, failure  # every attempt to make it smaller could cost a timeout
    return compared, minimise(pair, failure)


def minimise(pair: Pair, failure: Failure) -> Failure:
    """Drop what the difference does not need: halves first, single commands last, within a few seconds."""
    deadline = time.monotonic() + MINIMISE_S
    runs = 0
    best = failure

    def shows(sequence: list[list[bytes]]) -> Failure | None:
        nonlocal runs
        runs += 1
        pair.reset(failure.protocol)
        _, found = pair.run([*sequence, failure.argv])
        if found is None or found == "known":
            return None
        index, argv, real, own = found
        # Another difference on the way is as good, and shorter.
        return failure._replace(argv=argv, real=real, own=own, sequence=sequence[:index])

    own_log = pair.own.is_alive()
    words = set(failure.argv[1:])
    related = [argv for argv in failure.sequence if words & set(argv[1:]) or argv[0].upper() in (b"SELECT", b"SWAPDB")]
    for candidate in ([], related):
        shown = shows(candidate)
        if shown is not None:
            best = shown
            break
    size = max(1, len(best.sequence) // 2)
    while best.sequence and runs < MINIMISE_RUNS and time.monotonic() < deadline:
        at = len(best.sequence)
        shrunk = False
        while at > 0 and runs < MINIMISE_RUNS and time.monotonic() < deadline:
            start = max(0, at - size)
            shown = shows(best.sequence[:start] + best.sequence[at:])
            if shown is not None and len(shown.sequence) < len(best.sequence):
                best = shown
                shrunk = True
            at = min(start, len(best.sequence))
        if size == 1 and not shrunk:
            break
        size = max(1, size // 2)
    return best if own_log else failure


def run_group(
    pair: Pair, group: str, count: int, seed: int, max_reports: int = MAX_REPORTS, protocols=(2, 3)
) -> Result:
    """Run episodes of one group until `count` commands are compared or enough differences are found."""
    failures: dict[tuple, Failure] = {}
    repeated = 0
    compared = 0
    number = 0
    pair.differences = {}
    while compared < count and len(failures) < max_reports and repeated < max_reports * 10:
        protocol = protocols[number % len(protocols)]
        done, failure = episode(
            pair, group, f"{seed}:{group}:{number}", protocol, min(EPISODE_COMMANDS, count - compared)
        )
        if not done:
            break
        compared += done
        number += 1
        if failure is not None:
            if failure.signature() in failures:
                repeated += 1
            else:
                failures[failure.signature()] = failure
    pair.close()
    return Result(compared, list(failures.values()), repeated, dict(pair.differences))
