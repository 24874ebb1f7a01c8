"""The master's stream: bytes to commands, run in order, with the exact offset of what has been applied.

Commands are cut out of the stream by the splitting parser where it recognises them, else one by one by the parser
here, which knows where each ends. A transaction counts when it is whole: until its EXEC has run, its bytes are neither
counted nor passed on to replicas of this server, so a link that breaks in the middle resumes before it.

The session of the link is refused nothing, answers nothing, and sees keys whose time has come, since only its master
deletes them.
"""

from __future__ import annotations

from time import perf_counter_ns

from protocol.parser import split_run
from protocol.reply import ErrorReply
from server import admission
from server.propagated_errors import REPLICA_TO_MASTER, report
from server.registry import MAY_REPLICATE, WRITE
from server.session import PAUSED
from storage.aof.records import encode_record
from storage.errors import CommandError
from storage.text import UnbalancedQuotes, split_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Sequence, Tuple

    from server.registry import CommandSpec
    from server.replication.feed import Feed
    from server.services import Services
    from server.session import Session

    Vector = Sequence[bytes]

SPLIT_BYTES = 64 * 1024
PAUSES = admission.PAUSED_ALL | admission.PAUSED_WRITES
BUDGET_NS = 8_000_000
SPECIAL = frozenset((b"multi", b"exec", b"discard", b"replconf"))


class BrokenStream(Exception):
    """The master sent what is no command."""


class Commands:
    """Bytes in any split; whole commands out, with the number of bytes they took."""

    __slots__ = ("buffer", "_at", "_missing", "_arguments", "_length", "_needed")

    def __init__(self) -> None:
        self.buffer = bytearray()  # begins at a command
        self._forget()

    def _forget(self) -> None:
        self._at = 0  # where the command under way has been read to
        self._missing = 0
        self._arguments: List[bytes] = []
        self._length = -1  # of the string under way
        self._needed = 0  # no use in looking before that many bytes are there

    def feed(self, data: bytes) -> None:
        self.buffer += data

    def take(self) -> tuple[List[Vector], bytes]:
        """Some whole commands and the bytes they are made of, in canonical spelling if there is more than one."""
        buffer = self.buffer
        if not buffer or len(buffer) < self._needed:
            return [], b""
        if not self._at:
            chunk = bytes(memoryview(buffer)[:SPLIT_BYTES])
            vectors, used = split_run(chunk)
            if used:
                del buffer[:used]
                return list(vectors), chunk[:used]
        vector = self._step()
        if vector is None:
            return [], b""
        raw = bytes(memoryview(buffer)[: self._at])
        del buffer[: self._at]
        self._forget()
        return [vector], raw

    def _line(self) -> Optional[bytes]:
        """The line at `_at`, without its end."""
        end = self.buffer.find(b"\n", self._at)
        if end < 0:
            if len(self.buffer) - self._at > SPLIT_BYTES:
                raise BrokenStream("a line without an end")
            return None
        line = bytes(self.buffer[self._at : end])
        self._at = end + 1
        return line[:-1] if line.endswith(b"\r") else line

    def _step(self) -> Optional[Vector]:
        """Read on in the command under way; None if more has to come, an empty one for an empty line."""
        buffer = self.buffer
        if not self._missing:
            line = self._line()
            if line is None:
                return None
            if line[:1] != b"*":
                try:
                    return split_arguments(line)
                except UnbalancedQuotes:
                    raise BrokenStream("unbalanced quotes") from None
            self._missing = number(line)
            if self._missing <= 0:
                self._missing = 0
                return ()
        while self._missing:
            if self._length < 0:
                line = self._line()
                if line is None:
                    return None
                if line[:1] != b"$":
                    raise BrokenStream("expected '$', got %r" % line[:1])
                self._length = number(line)
                if self._length < 0:
                    raise BrokenStream("a negative length")
            end = self._at + self._length
            if len(buffer) < end + 2:
                self._needed = end + 2
                return None
            self._arguments.append(bytes(memoryview(buffer)[self._at : end]))
            self._at = end + 2
            self._length = -1
            self._missing -= 1
        return self._arguments


def number(line: bytes) -> int:
    try:
        return int(line[1:])
    except ValueError:
        raise BrokenStream("%r is no length" % line[:32]) from None


class Applier:
    """Runs the commands of one link in its session."""

    __slots__ = (
        "services",
        "dispatch",
        "session",
        "feed",
        "commands",
        "on_getack",
        "_transaction",
        "_held",
        "_waiting",
    )

    def __init__(self, services: Services, session: Session, feed: Feed, on_getack: Any) -> None:
        self.services = services
        self.dispatch = services.dispatch
        self.session = session
        self.feed = feed
        self.on_getack = on_getack
        self.commands = Commands()
        self._transaction: Optional[List[Vector]] = None  # the commands since MULTI
        self._waiting: Optional[Tuple[List[Vector], bytes]] = None  # for the end of a CLIENT PAUSE
        self._held: List[bytes] = []  # their bytes

    def receive(self, data: bytes) -> None:
        self.commands.feed(data)

    def unapplied_bytes(self) -> int:
        waiting = len(self._waiting[1]) if self._waiting is not None else 0
        return len(self.commands.buffer) + waiting + sum(map(len, self._held))

    def run(self) -> bool:
        """Apply what is there for a while; False if something is left to do. Raises BrokenStream."""
        ends_ns = perf_counter_ns() + BUDGET_NS
        keyspace = self.services.keyspace
        # Only between units of others: what they may see does not change under them.
        hides, keyspace.hides_lapsed = keyspace.hides_lapsed, False
        try:
            while True:
                vectors, raw = self._waiting or self.commands.take()
                self._waiting = None
                if not vectors:
                    return True
                if self.dispatch.mode & PAUSES and self.is_held(vectors):
                    self._waiting = vectors, raw
                    self.session.halted |= PAUSED
                    return True
                self.apply(vectors, raw)
                if perf_counter_ns() > ends_ns:
                    return False
        finally:
            keyspace.hides_lapsed = hides

    def is_held(self, vectors: List[Vector]) -> bool:
        """Whether CLIENT PAUSE holds any of these commands: it holds the stream as it holds clients."""
        if self.dispatch.mode & admission.PAUSED_ALL:
            return True
        for argv in filter(None, vectors):
            try:
                spec = self.dispatch.spellings.get(argv[0]) or self.dispatch.resolve(argv)
            except CommandError:
                continue
            if spec.flags & (WRITE | MAY_REPLICATE):
                return True
        return False

    def apply(self, vectors: List[Vector], raw: bytes) -> None:
        """Run vectors that are spelled by `raw`, and count it as applied, as far as no transaction is open."""
        dispatch = self.dispatch
        spellings = dispatch.spellings
        done = first = 0  # bytes counted, and the first vector that is not
        for place, argv in enumerate(vectors):
            if not argv:
                continue
            spec = spellings.get(argv[0])
            if spec is None:
                try:
                    spec = dispatch.resolve(argv)
                except CommandError as error:
                    self.complain(argv[0], error.text)
                    continue
            if spec.name in SPECIAL:
                before = done + sum([len(encode_record(vector)) for vector in vectors[first:place]])
                after = before + len(encode_record(argv)) if len(vectors) > 1 else len(raw)
                started_ns = perf_counter_ns()
                self.run_special(spec, argv, raw[done:before], raw[before:after])
                dispatch.note_call(self.session, spec, argv, perf_counter_ns() - started_ns)
                done, first = after, place + 1
            elif self._transaction is not None:
                self._transaction.append(argv)
            else:
                self.run_one(spec, argv)
                dispatch.after_unit()
        if done < len(raw):
            self.count(raw[done:] if done else raw)

    def count(self, raw: bytes) -> None:
        if self._transaction is not None:
            self._held.append(raw)
        elif raw:
            self.feed.pass_on(raw)

    def run_special(self, spec: CommandSpec, argv: Vector, before: bytes, own: bytes) -> None:
        """What concerns offsets: the bounds of a transaction, and the request for an acknowledgement."""
        self.count(before)
        name = spec.name
        if name == b"multi":
            self._transaction = []
            self.count(own)
            return
        if name == b"replconf":
            if len(argv) > 1 and argv[1].lower() == b"getack":
                self.on_getack()
            self.count(own)
            return
        self.count(own)
        vectors, self._transaction = self._transaction, None
        if name == b"exec" and vectors:
            self.run_transaction(vectors)
        held, self._held = self._held, []
        self.count(b"".join(held))

    def run_transaction(self, vectors: List[Vector]) -> None:
        dispatch = self.dispatch
        dispatch.depth += 1
        try:
            for argv in vectors:
                try:
                    spec = dispatch.spellings.get(argv[0]) or dispatch.resolve(argv)
                except CommandError as error:
                    self.complain(argv[0], error.text)
                    continue
                self.run_one(spec, argv)
        finally:
            dispatch.depth -= 1
        dispatch.after_unit()

    def run_one(self, spec: CommandSpec, argv: Vector) -> None:
        session = self.session
        arity = spec.arity
        if len(argv) != arity and (arity > 0 or len(argv) < -arity):
            self.complain(argv[0], b"ERR wrong number of arguments")
            return
        session.command = spec
        reply = self.dispatch.call(session, spec, argv)
        if reply.__class__ is ErrorReply:
            self.complain(argv[0], reply.text)

    def complain(self, word: bytes, text: bytes) -> None:
        report(self.services, REPLICA_TO_MASTER, text, b"exec" if self.dispatch.depth else word)
