"""Deadlines of keys: the EXPIRE family, TTL and its relatives, PERSIST.

What is logged is an absolute time, or DEL where it has come already. The grammar of times is `deadline_arguments`.
"""

from __future__ import annotations

from server.deadline_arguments import any_deadline
from server.key_runs import expire_run
from server.keyspecs import ACCESS, RO, RW, UPDATE, one_key
from server.read_runs import pttl_run, ttl_run
from server.registry import FAST, READONLY, WRITE, Group
from storage import events
from storage.deadlines import in_seconds
from storage.errors import CommandError
from storage.text import c_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

    from server.session import Session

    Argv = Sequence[bytes]

generic = Group("generic")

MS_PER_S = 1000
NO_KEY, NO_DEADLINE = -2, -1


class Conditions:
    """NX, XX, GT and LT of the EXPIRE family."""

    __slots__ = ("absent", "present", "later", "earlier")

    def __init__(self, arguments: Sequence[bytes]) -> None:
        options = {argument.upper() for argument in arguments}
        for argument in arguments:
            if argument.upper() not in (b"NX", b"XX", b"GT", b"LT"):
                raise CommandError(b"ERR Unsupported option %b" % c_text(argument))
        self.absent = b"NX" in options
        self.present = b"XX" in options
        self.later = b"GT" in options
        self.earlier = b"LT" in options
        if self.absent and len(options) > 1:
            raise CommandError(b"ERR NX and XX, GT or LT options at the same time are not compatible")
        if self.later and self.earlier:
            raise CommandError(b"ERR GT and LT options at the same time are not compatible")

    def allow(self, current_ms: int | None, deadline_ms: int) -> bool:
        """Whether the deadline may change; a key without one counts as living for ever."""
        if current_ms is None:
            return not (self.present or self.later)
        return not (
            self.absent or (self.later and deadline_ms <= current_ms) or (self.earlier and deadline_ms >= current_ms)
        )


def expire_key(ctx: Session, argv: Argv, unit_ms: int, is_relative: bool, command: bytes) -> int:
    """Set a deadline; one that has passed already deletes the key."""
    conditions = Conditions(argv[3:]) if len(argv) > 3 else None
    deadline_ms = any_deadline(argv[2], unit_ms, is_relative, ctx.now_ms, command)
    db, key = ctx.db, argv[1]
    if db.find(key) is None:
        return 0
    if conditions is not None and not conditions.allow(db.deadline_ms(key), deadline_ms):
        return 0
    if deadline_ms <= ctx.now_ms and not ctx.keyspace.keeps_lapsed:
        db.delete(key)
        ctx.propagate_as(b"DEL", key)
        return 1
    db.set_deadline(key, deadline_ms)
    db.changed(key, events.EXPIRE, 1)
    if ctx.keyspace.recording and (is_relative or unit_ms != 1):
        ctx.propagate_as(b"PEXPIREAT", key, b"%d" % deadline_ms, *argv[3:])
    return 1


@generic.command(
    "EXPIRE",
    arity=-3,
    flags=WRITE | FAST,
    keys=one_key(RW | UPDATE),
    since="1.0.0",
    complexity="O(1)",
    history=(("7.0.0", "NX, XX, GT and LT."),),
    syntax="key seconds [NX | XX | GT | LT]@7.0.0",
    together=expire_run,
)
def expire(ctx: Session, argv: Argv) -> int:
    """Let a key expire after so many seconds."""
    return expire_key(ctx, argv, MS_PER_S, True, b"expire")


@generic.command(
    "PEXPIRE",
    arity=-3,
    flags=WRITE | FAST,
    keys=one_key(RW | UPDATE),
    since="2.6.0",
    complexity="O(1)",
    history=(("7.0.0", "NX, XX, GT and LT."),),
    syntax="key milliseconds [NX | XX | GT | LT]@7.0.0",
)
def pexpire(ctx: Session, argv: Argv) -> int:
    """Let a key expire after so many milliseconds."""
    return expire_key(ctx, argv, 1, True, b"pexpire")


@generic.command(
    "EXPIREAT",
    arity=-3,
    flags=WRITE | FAST,
    keys=one_key(RW | UPDATE),
    since="1.2.0",
    complexity="O(1)",
    history=(("7.0.0", "NX, XX, GT and LT."),),
    syntax="key unix-time-seconds [NX | XX | GT | LT]@7.0.0",
)
def expireat(ctx: Session, argv: Argv) -> int:
    """Let a key expire at a Unix time in seconds."""
    return expire_key(ctx, argv, MS_PER_S, False, b"expireat")


@generic.command(
    "PEXPIREAT",
    arity=-3,
    flags=WRITE | FAST,
    keys=one_key(RW | UPDATE),
    since="2.6.0",
    complexity="O(1)",
    history=(("7.0.0", "NX, XX, GT and LT."),),
    syntax="key unix-time-milliseconds [NX | XX | GT | LT]@7.0.0",
)
def pexpireat(ctx: Session, argv: Argv) -> int:
    """Let a key expire at a Unix time in milliseconds."""
    return expire_key(ctx, argv, 1, False, b"pexpireat")


@generic.command(
    "PERSIST",
    arity=2,
    flags=WRITE | FAST,
    keys=one_key(RW | UPDATE),
    since="2.2.0",
    complexity="O(1)",
    syntax="key",
)
def persist(ctx: Session, argv: Argv) -> int:
    """Remove the deadline of a key."""
    db, key = ctx.db, argv[1]
    if db.find(key) is None or not db.clear_deadline(key):
        return 0
    db.changed(key, events.PERSIST, 1)
    return 1


def deadline_of(ctx: Session, key: bytes) -> int:
    """When a key expires in milliseconds, or why that cannot be said."""
    if ctx.db.view(key) is None:
        return NO_KEY
    deadline_ms = ctx.db.deadline_ms(key)
    return NO_DEADLINE if deadline_ms is None else deadline_ms


def remaining_ms(ctx: Session, key: bytes) -> int:
    deadline_ms = deadline_of(ctx, key)
    return deadline_ms if deadline_ms < 0 else max(0, deadline_ms - ctx.now_ms)


@generic.command(
    "TTL",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="1.0.0",
    complexity="O(1)",
    history=(("2.8.0", "Answers -2 for a missing key."),),
    tips=("nondeterministic_output",),
    syntax="key",
    together=ttl_run,
)
def ttl(ctx: Session, argv: Argv) -> int:
    """Tell in how many seconds a key expires."""
    return in_seconds(remaining_ms(ctx, argv[1]))


@generic.command(
    "PTTL",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="2.6.0",
    complexity="O(1)",
    history=(("2.8.0", "Answers -2 for a missing key."),),
    tips=("nondeterministic_output",),
    syntax="key",
    together=pttl_run,
)
def pttl(ctx: Session, argv: Argv) -> int:
    """Tell in how many milliseconds a key expires."""
    return remaining_ms(ctx, argv[1])


@generic.command(
    "EXPIRETIME",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="7.0.0",
    complexity="O(1)",
    syntax="key",
)
def expiretime(ctx: Session, argv: Argv) -> int:
    """Tell at which Unix time in seconds a key expires."""
    return in_seconds(deadline_of(ctx, argv[1]))


@generic.command(
    "PEXPIRETIME",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="7.0.0",
    complexity="O(1)",
    syntax="key",
)
def pexpiretime(ctx: Session, argv: Argv) -> int:
    """Tell at which Unix time in milliseconds a key expires."""
    return deadline_of(ctx, argv[1])
