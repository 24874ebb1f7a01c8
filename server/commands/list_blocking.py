"""The list commands that wait for an element where they find none.

Each one tries as its plain form would and answers `Block` otherwise; `server.blocking` runs it again when a key it
waits for becomes a list. What is logged is always the plain form.
"""

from __future__ import annotations

from protocol.reply import NULL_ARRAY, Block
from server.keyspecs import ACCESS, DELETE, INSERT, RW, key_range, numkeys, one_key
from server.list_ends import ENDS, is_left, move_one, pop_one, pop_several
from server.multipop_arguments import MultiPop
from server.registry import BLOCKING, DENYOOM, WRITE, Group
from server.timeout_arguments import timeout_of_seconds
from storage.types.list import List

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from server.session import Session

    Argv = Sequence[bytes]

lists = Group("list")


def pop_or_wait(ctx: Session, argv: Argv, from_left: bool) -> Any:
    timeout_ms = timeout_of_seconds(argv[-1], ctx.now_ms)
    db = ctx.db
    keys = argv[1:-1]
    for key in keys:
        value = db.find_as(key, List)
        if value is not None:
            ctx.propagate_as(b"LPOP" if from_left else b"RPOP", key)
            return [key, pop_one(db, key, value, from_left)]
    return Block(keys, timeout_ms, NULL_ARRAY, List)


@lists.command(
    "BLPOP",
    arity=-3,
    flags=WRITE | BLOCKING,
    keys=key_range(RW | ACCESS | DELETE, last=-2),
    since="2.0.0",
    complexity="O(N), N = keys",
    history=(("6.0.0", "The timeout may have a fraction."),),
    syntax="key... timeout",
)
def blpop(ctx: Session, argv: Argv) -> Any:
    """Remove and return the head of the first list there is among several keys; wait for one if there is none."""
    return pop_or_wait(ctx, argv, True)


@lists.command(
    "BRPOP",
    arity=-3,
    flags=WRITE | BLOCKING,
    keys=key_range(RW | ACCESS | DELETE, last=-2),
    since="2.0.0",
    complexity="O(N), N = keys",
    history=(("6.0.0", "The timeout may have a fraction."),),
    syntax="key... timeout",
)
def brpop(ctx: Session, argv: Argv) -> Any:
    """Remove and return the tail of the first list there is among several keys; wait for one if there is none."""
    return pop_or_wait(ctx, argv, False)


@lists.command(
    "BLMPOP",
    arity=-5,
    flags=WRITE | BLOCKING,
    keys=numkeys(RW | ACCESS | DELETE, at=2),
    since="7.0.0",
    complexity="O(N+M), N = keys, M = elements returned",
    syntax="timeout numkeys key... (LEFT | RIGHT) [COUNT count]",
)
def blmpop(ctx: Session, argv: Argv) -> Any:
    """Remove and return elements from an end of the first list there is among several keys; wait for one."""
    popping = MultiPop(argv, 2, ENDS)
    timeout_ms = timeout_of_seconds(argv[1], ctx.now_ms)
    found = pop_several(ctx.db, popping)
    if found is None:
        return Block(popping.keys, timeout_ms, NULL_ARRAY, List)
    key, elements = found
    ctx.propagate_as(b"LPOP" if popping.from_first else b"RPOP", key, b"%d" % len(elements))
    return [key, elements]


@lists.command(
    "BLMOVE",
    arity=6,
    flags=WRITE | DENYOOM | BLOCKING,
    keys=(
        one_key(RW | ACCESS | DELETE),
        one_key(RW | INSERT, at=2),
    ),
    since="6.2.0",
    complexity="O(1)",
    syntax="source destination wherefrom=(LEFT | RIGHT) whereto=(LEFT | RIGHT) timeout",
)
def blmove(ctx: Session, argv: Argv) -> Any:
    """Move an element from an end of one list to an end of another, or of the same; wait for one."""
    from_left, to_left = is_left(argv[3]), is_left(argv[4])
    timeout_ms = timeout_of_seconds(argv[5], ctx.now_ms)
    element = move_one(ctx.db, argv[1], argv[2], from_left, to_left)
    if element is None:
        return wait_for_source(ctx, argv[1], timeout_ms)
    ctx.propagate_as(b"LMOVE", *argv[1:5])
    return element


@lists.command(
    "BRPOPLPUSH",
    arity=4,
    flags=WRITE | DENYOOM | BLOCKING,
    keys=(
        one_key(RW | ACCESS | DELETE),
        one_key(RW | INSERT, at=2),
    ),
    since="2.2.0",
    complexity="O(1)",
    history=(("6.0.0", "The timeout may have a fraction."),),
    syntax="source destination timeout",
    deprecated=("6.2.0", "BLMOVE with RIGHT and LEFT"),
)
def brpoplpush(ctx: Session, argv: Argv) -> Any:
    """Move the tail of one list before the head of another, or of the same; wait for one."""
    timeout_ms = timeout_of_seconds(argv[3], ctx.now_ms)
    element = move_one(ctx.db, argv[1], argv[2], False, True)
    if element is None:
        return wait_for_source(ctx, argv[1], timeout_ms)
    ctx.propagate_as(b"RPOPLPUSH", argv[1], argv[2])
    return element


def wait_for_source(ctx: Session, source: bytes, timeout_ms: int) -> Any:
    """Redis has a null element where nothing may block, but a null array when time is up."""
    if ctx.denies_blocking:
        return None
    return Block((source,), timeout_ms, NULL_ARRAY, List)
