"""Saving, dumping and restoring: SAVE, BGSAVE, BGREWRITEAOF, WAITAOF, DUMP, RESTORE, and what DEBUG reloads.

Argument grammar and replies; schedules and files are `server.snapshots` and `server.log_rewrite`, behind
`ctx.server.persistence`.
"""

from __future__ import annotations

from protocol.reply import OK, Status
from server.keyspecs import ACCESS, OW, RO, UPDATE, one_key
from server.number_arguments import integer
from server.registry import (
    ADMIN,
    ASKING,
    DENYOOM,
    NO_ASYNC_LOADING,
    NO_MULTI,
    NOSCRIPT,
    READONLY,
    SWELLS,
    WRITE,
    Group,
)
from storage.errors import BUSY_KEY, SYNTAX_ERROR, CommandError
from storage.events import DEL, RESTORE
from storage.numeric import INT64_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

server = Group("server")
generic = Group("generic")

SAVE_IN_PROGRESS = b"ERR Background save already in progress"
OTHER_CHILD = (
    b"ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a "
    b"BGSAVE whenever possible."
)
REWRITE_IN_PROGRESS = b"ERR Background append only file rewriting already in progress"
REWRITE_FAILED = b"ERR Can't execute an AOF background rewriting. Please check the server logs for more information."
BAD_TTL = b"ERR Invalid TTL value, must be >= 0"
BAD_IDLETIME = b"ERR Invalid IDLETIME value, must be >= 0"
BAD_FREQ = b"ERR Invalid FREQ value, must be >= 0 and <= 255"
WRONG_FOOTER = b"ERR DUMP payload version or checksum are wrong"
BAD_FORMAT = b"ERR Bad data format"
MAX_FREQ = 255


@server.command(
    "SAVE",
    arity=1,
    flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI,
    since="1.0.0",
    complexity="O(N), N = keys in all databases",
)
def save(ctx: Session, argv: Argv) -> Any:
    """Write a snapshot while everybody waits."""
    persistence = ctx.server.persistence
    if persistence.children.is_saving():
        raise CommandError(SAVE_IN_PROGRESS)
    persistence.snapshots.saves += 1
    if not persistence.snapshots.save():
        raise CommandError(b"ERR")
    return OK


@server.command(
    "BGSAVE",
    arity=-1,
    flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING,
    since="1.0.0",
    complexity="O(1)",
    history=(("3.2.2", "SCHEDULE."),),
    syntax="[SCHEDULE@3.2.2]",
)
def bgsave(ctx: Session, argv: Argv) -> Any:
    """Write a snapshot in a child process."""
    schedules = False
    if len(argv) > 1:
        if len(argv) != 2 or argv[1].upper() != b"SCHEDULE":
            raise CommandError(SYNTAX_ERROR)
        schedules = True
    persistence = ctx.server.persistence
    children, snapshots = persistence.children, persistence.snapshots
    in_unit = ctx.server.dispatch.depth > 0
    if children.is_saving():
        raise CommandError(SAVE_IN_PROGRESS)
    if children.current is not None or in_unit:
        if not schedules and not in_unit:
            raise CommandError(OTHER_CHILD)
        snapshots.is_scheduled = True
        return Status(b"Background saving scheduled")
    if not snapshots.begin():
        raise CommandError(b"ERR")
    return Status(b"Background saving started")


@server.command(
    "BGREWRITEAOF",
    arity=1,
    flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING,
    since="1.0.0",
    complexity="O(1)",
)
def bgrewriteaof(ctx: Session, argv: Argv) -> Any:
    """Write the log anew from what is in memory, in a child process."""
    persistence = ctx.server.persistence
    children, rewrite = persistence.children, persistence.rewrite
    if children.is_active("rewrite"):
        raise CommandError(REWRITE_IN_PROGRESS)
    if children.current is not None or ctx.server.dispatch.depth > 0:
        rewrite.is_scheduled = True
        rewrite.limit.failures = 0  # begun as soon as it can be
        return Status(b"Background append only file rewriting scheduled")
    if not rewrite.begin():
        raise CommandError(REWRITE_FAILED)
    return Status(b"Background append only file rewriting started")


# Payloads ------------------------------------------------------------------------------------------------------


@generic.command(
    "DUMP",
    arity=2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.6.0",
    complexity="O(1) for the key and O(N*M) for the value, N = objects in it, M = their mean size",
    tips=("nondeterministic_output",),
    syntax="key",
)
def dump(ctx: Session, argv: Argv) -> bytes | None:
    """Return the value at a key in a form that RESTORE takes, on any server."""
    from storage.rdb import payload

    value = ctx.db.read(argv[1])
    if value is None:
        return None
    config = ctx.server.config
    return payload.dump(value, ctx.keyspace.limits, config.rdb_target_version, config.rdbcompression)


class RestoreOptions:
    """What stands behind the payload."""

    __slots__ = ("replaces", "is_absolute", "idle_s", "freq")

    def __init__(self, argv: Argv) -> None:
        self.replaces = False
        self.is_absolute = False
        self.idle_s: int | None = None
        self.freq: int | None = None
        at = 4
        while at < len(argv):
            word = argv[at].upper()
            has_value = at + 1 < len(argv)
            if word == b"REPLACE":
                self.replaces = True
            elif word == b"ABSTTL":
                self.is_absolute = True
            elif word == b"IDLETIME" and has_value and self.freq is None:
                at += 1
                self.idle_s = integer(argv[at])
                if self.idle_s < 0:
                    raise CommandError(BAD_IDLETIME)
            elif word == b"FREQ" and has_value and self.idle_s is None:
                at += 1
                self.freq = integer(argv[at])
                if not 0 <= self.freq <= MAX_FREQ:
                    raise CommandError(BAD_FREQ)
            else:
                raise CommandError(SYNTAX_ERROR)
            at += 1


@generic.command(
    "RESTORE",
    arity=-4,
    flags=WRITE | DENYOOM | SWELLS,
    keys=one_key(OW | UPDATE),
    since="2.6.0",
    complexity=(
        "O(1) for the key and O(N*M) for the value, N = objects in it, M = their mean size; O(N*M*log(N))"
        " for a sorted set"
    ),
    history=(("3.0.0", "REPLACE."), ("5.0.0", "ABSTTL."), ("5.0.0", "IDLETIME and FREQ.")),
    syntax=(
        "key ttl serialized-value [REPLACE@3.0.0] [ABSTTL@5.0.0] [IDLETIME seconds@5.0.0] [FREQ "
        "frequency@5.0.0]"
    ),
    acl=("dangerous",),
)
@server.command(
    "RESTORE-ASKING",
    arity=-4,
    flags=WRITE | DENYOOM | SWELLS | ASKING,
    keys=one_key(OW | UPDATE),
    since="3.0.0",
    complexity=(
        "O(1) for the key and O(N*M) for the value, N = objects in it, M = their mean size; O(N*M*log(N))"
        " for a sorted set"
    ),
    history=(("3.0.0", "REPLACE."), ("5.0.0", "ABSTTL."), ("5.0.0", "IDLETIME and FREQ.")),
    syntax=(
        "key ttl serialized-value [REPLACE@3.0.0] [ABSTTL@5.0.0] [IDLETIME seconds@5.0.0] [FREQ "
        "frequency@5.0.0]"
    ),
    acl=("dangerous", "keyspace"),
    is_system=True,
)
def restore(ctx: Session, argv: Argv) -> Any:
    """Make a key of what DUMP returned."""
    from storage.rdb import payload
    from storage.rdb.corrupt import CorruptData
    from storage.types.hash import Hash

    options = RestoreOptions(argv)
    db, key = ctx.db, argv[1]
    if not options.replaces and db.find(key) is not None:
        raise CommandError(BUSY_KEY)
    ttl_ms = integer(argv[2])
    if ttl_ms < 0:
        raise CommandError(BAD_TTL)
    try:
        value = payload.restore(bytes(argv[3]), ctx.keyspace.limits, ctx.server.loader.checks_sums)
    except payload.WrongFooter:
        raise CommandError(WRONG_FOOTER) from None
    except CorruptData as error:
        # Any client can send such, so it is not worth more than this level.
        ctx.server.log.verbose("Internal error in RDB reading offset %d -> %s" % (error.offset, error.reason))
        raise CommandError(BAD_FORMAT) from None
    existing = db.data.get(key)  # to be replaced; that its deadline has passed makes no difference
    deadline_ms = ttl_ms if options.is_absolute or not ttl_ms else ttl_ms + ctx.now_ms
    if deadline_ms > INT64_MAX:
        deadline_ms -= 1 << 64  # Redis's sum turns negative there: a time long past. No snapshot has room for more
    if deadline_ms and deadline_ms <= ctx.now_ms and not ctx.keyspace.keeps_lapsed:
        if existing is not None:
            ctx.keyspace.graveyard.bury(db.remove(key))
            db.changed(key, DEL, 1)
            ctx.propagate_as(b"UNLINK" if ctx.server.config.lazyfree_lazy_server_del else b"DEL", key)
        return OK
    if existing is not None:
        ctx.keyspace.graveyard.bury(db.remove(key))
    db.put_made(key, value)  # it may have come compressed
    if deadline_ms:
        db.set_deadline(key, deadline_ms)
    if value.__class__ is Hash and value.deadlines is not None:
        db.track_fields(key, value)
    uses_lfu = "lfu" in ctx.server.config.maxmemory_policy
    if uses_lfu and options.freq is not None:
        db.access[key] = ctx.now_ms // 60_000 << 8 | options.freq
    elif not uses_lfu and options.idle_s is not None:
        db.access[key] = ctx.now_ms // 1000 - options.idle_s
    db.changed(key, RESTORE, 1)
    if deadline_ms and not options.is_absolute:
        ctx.propagate_as(argv[0], key, b"%d" % deadline_ms, *argv[3:], b"ABSTTL")
    return OK
