"""MULTI, EXEC, DISCARD, WATCH, UNWATCH.

Who has queued and who watches what is `server.transactions`; `server.batches` runs what is queued.
"""

from __future__ import annotations

from protocol.reply import NULL_ARRAY, OK
from server import admission
from server.keyspecs import RO, key_range
from server.registry import ALLOW_BUSY, FAST, LOADING, NOSCRIPT, SKIP_SLOWLOG, STALE, Group
from server.transactions import Transaction
from storage.errors import EXEC_ABORTED, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

transactions = Group("transactions")


@transactions.command(
    "MULTI",
    arity=1,
    flags=NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
    since="1.2.0",
    complexity="O(1)",
)
def multi(ctx: Session, argv: Argv) -> Any:
    """Begin to queue commands."""
    if ctx.transaction is not None:
        raise CommandError(b"ERR MULTI calls can not be nested")
    ctx.transaction = Transaction()
    ctx.mode |= admission.IN_MULTI
    return OK


def leave(ctx: Session) -> Transaction:
    """End the transaction, whatever comes of it, and watch nothing any more."""
    transaction: Transaction = ctx.transaction
    ctx.transaction = None
    ctx.mode &= ~admission.IN_MULTI
    if ctx.watched is not None:
        ctx.server.watching.forget(ctx)
    return transaction


@transactions.command(
    "DISCARD",
    arity=1,
    flags=NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
    since="2.0.0",
    complexity="O(N), N = queued commands",
)
def discard(ctx: Session, argv: Argv) -> Any:
    """Drop the queued commands."""
    if not ctx.in_multi:
        raise CommandError(b"ERR DISCARD without MULTI")
    leave(ctx)
    return OK


@transactions.command(
    "EXEC",
    arity=1,
    flags=NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG,
    since="1.2.0",
    complexity="As the queued commands.",
)
def exec_(ctx: Session, argv: Argv) -> Any:
    """Run the queued commands as one, unless a watched key has changed."""
    if ctx.transaction is None:
        raise CommandError(b"ERR EXEC without MULTI")
    is_broken = ctx.watched is not None and ctx.server.watching.end(ctx)
    transaction = leave(ctx)
    if transaction.is_spoiled:
        raise CommandError(EXEC_ABORTED)
    if is_broken:
        return NULL_ARRAY
    ctx.executing = transaction
    try:
        return ctx.server.dispatch.batches.execute(ctx, transaction)
    finally:
        ctx.executing = None


@transactions.command(
    "WATCH",
    arity=-2,
    flags=NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
    keys=key_range(RO),
    since="2.2.0",
    complexity="O(1) for each key",
    syntax="key...",
)
def watch(ctx: Session, argv: Argv) -> Any:
    """Let the next EXEC fail if one of the keys changes until then."""
    if ctx.in_multi:
        raise CommandError(b"ERR WATCH inside MULTI is not allowed")
    if ctx.watched is None or not ctx.watched.is_broken:
        ctx.server.watching.watch(ctx, argv[1:])
    return OK


@transactions.command(
    "UNWATCH",
    arity=1,
    flags=NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
    since="2.2.0",
    complexity="O(1)",
)
def unwatch(ctx: Session, argv: Argv) -> Any:
    """Watch no key any more."""
    ctx.server.watching.forget(ctx)
    return OK
