"""The HyperLogLog commands: approximate cardinalities kept in ordinary strings.

Argument grammar, keyspace calls, replies; the format and the estimator are `storage.hyperloglog`.
"""

from __future__ import annotations

from protocol.reply import OK, Status
from server.keyspecs import ACCESS, INSERT, RO, RW, key_range, one_key
from server.registry import ADMIN, DENYOOM, FAST, MAY_REPLICATE, READONLY, WRITE, Group
from storage import events
from storage import hyperloglog as hll
from storage.errors import CommandError, WrongType
from storage.text import c_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Optional

    from server.session import Session

    Argv = Sequence[bytes]

hyperloglogs = Group("hyperloglog")

NOT_A_HYPERLOGLOG = b"WRONGTYPE Key is not a valid HyperLogLog string value."
CORRUPTED = b"INVALIDOBJ Corrupted HLL object detected"
NO_KEY = b"ERR The specified key does not exist"
NOT_SPARSE = b"ERR HLL encoding is not sparse"


def judged(value: Any) -> Any:
    """A value of the keyspace, refused unless it has a HyperLogLog's header. None passes."""
    if value is None:
        return None
    if value.__class__ is not bytearray and value.__class__ is not bytes:
        raise WrongType()
    if not hll.is_valid(value):
        raise CommandError(NOT_A_HYPERLOGLOG)
    return value


def judged_one_by_one(ctx: Session, keys: Sequence[bytes]) -> Iterator[bytes | bytearray]:
    """The HyperLogLogs at some keys; the next is judged when the one before has been read: the first fault answers."""
    seen: set[bytes] = set()
    for key in keys:
        value = judged(ctx.db.read(key))
        if value is not None and key not in seen:
            seen.add(key)  # named again, it adds nothing
            yield value


def editable(ctx: Session, key: bytes) -> Optional[bytearray]:
    """The HyperLogLog at a key ready for edits in place, or None. O(its bytes) the first time."""
    value = judged(ctx.db.find(key))
    if value.__class__ is bytes:
        value = bytearray(value)
        ctx.db.rebind(key, value)
    return value


@hyperloglogs.command(
    "PFADD",
    arity=-2,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | INSERT),
    since="2.8.9",
    complexity="O(1) for each element",
    syntax="key [element...]",
)
def pfadd(ctx: Session, argv: Argv) -> int:
    """Add elements to a HyperLogLog and tell whether its estimate may have changed."""
    db, key = ctx.db, argv[1]
    value = editable(ctx, key)
    created = value is None
    if value is None:
        value = hll.create()
        db.put(key, value)
    try:
        changes = created + hll.add(value, argv[2:], ctx.keyspace.limits.hll_sparse_max_bytes)
    except hll.Corrupted:
        raise CommandError(CORRUPTED) from None
    if changes:
        db.changed(key, events.PFADD, changes)
        return 1
    return 0


@hyperloglogs.command(
    "PFCOUNT",
    arity=-2,
    flags=READONLY | MAY_REPLICATE,
    keys=key_range(RW | ACCESS, notes="RW since it may rewrite its cached count"),
    since="2.8.9",
    complexity="O(1) for one key, O(N) with a large constant for N keys",
    syntax="key...",
)
def pfcount(ctx: Session, argv: Argv) -> int:
    """Estimate how many different elements were added to a HyperLogLog, or to several together."""
    db = ctx.db
    try:
        if len(argv) > 2:
            return hll.estimate_union(judged_one_by_one(ctx, argv[1:]))
        key = argv[1]
        value = judged(db.read(key))
        if value is None:
            return 0
        count = hll.cached_count(value)
        if count is None:
            if value.__class__ is bytes:
                value = bytearray(value)
                count = hll.refresh_count(value)
                db.rebind(key, value)
            else:
                count = hll.refresh_count(value)
            db.changed(key, events.UNANNOUNCED, 1)
        return count
    except hll.Corrupted:
        raise CommandError(CORRUPTED) from None


@hyperloglogs.command(
    "PFMERGE",
    arity=-2,
    flags=WRITE | DENYOOM,
    keys=(
        one_key(RW | ACCESS | INSERT),
        key_range(RO | ACCESS, first=2),
    ),
    since="2.8.9",
    complexity="O(N) with a large constant, N = keys merged",
    syntax="destkey [sourcekey...]",
)
def pfmerge(ctx: Session, argv: Argv) -> Any:
    """Add what several HyperLogLogs hold to another one."""
    db, key = ctx.db, argv[1]
    try:
        ranks = hll.merge_registers(judged_one_by_one(ctx, argv[1:]))
        sources = map(db.peek, argv[1:])
        dense = any(value is not None and hll.encoding_of(value) == hll.DENSE for value in sources)
        merged = editable(ctx, key)
        if merged is None:
            merged = hll.create()
            hll.raise_registers(merged, ranks, dense, ctx.keyspace.limits.hll_sparse_max_bytes)
            db.put(key, merged)
        else:
            hll.raise_registers(merged, ranks, dense, ctx.keyspace.limits.hll_sparse_max_bytes)
    except hll.Corrupted:
        raise CommandError(CORRUPTED) from None
    db.changed(key, events.PFADD, 1)
    return OK


@hyperloglogs.command(
    "PFDEBUG",
    arity=3,
    flags=WRITE | DENYOOM | ADMIN,
    keys=one_key(RW | ACCESS, at=2),
    since="2.8.9",
    complexity="N/A",
    syntax="subcommand key",
    is_system=True,
)
def pfdebug(ctx: Session, argv: Argv) -> Any:
    """Look into a HyperLogLog: its registers, opcodes and encoding."""
    key = argv[2]
    value = editable(ctx, key)
    if value is None:
        raise CommandError(NO_KEY)
    subcommand = argv[1].upper()
    try:
        if subcommand == b"GETREG":
            if hll.to_dense(value):
                ctx.db.changed(key, events.LOGGED, 1)
            return list(hll.registers(value))
        if subcommand == b"DECODE":
            if hll.encoding_of(value) != hll.SPARSE:
                raise CommandError(NOT_SPARSE)
            return hll.decode_opcodes(value)
        if subcommand == b"ENCODING":
            return Status(b"dense" if hll.encoding_of(value) == hll.DENSE else b"sparse")
        if subcommand == b"TODENSE":
            if not hll.to_dense(value):
                return 0
            ctx.db.changed(key, events.LOGGED, 1)
            return 1
    except hll.Corrupted:
        raise CommandError(CORRUPTED) from None
    raise CommandError(b"ERR Unknown PFDEBUG subcommand '%b'" % c_text(argv[1]))


@hyperloglogs.command(
    "PFSELFTEST",
    arity=1,
    flags=ADMIN,
    since="2.8.9",
    complexity="N/A",
    is_system=True,
)
def pfselftest(ctx: Session, argv: Argv) -> Any:
    """Examine the register encodings and the estimator with random input."""
    from storage.hyperloglog_selftest import examine

    failure = examine()
    if failure:
        raise CommandError(b"ERR TESTFAILED " + failure)
    return OK
