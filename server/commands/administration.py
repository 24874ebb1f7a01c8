"""Administration: INFO, emptying and swapping databases, the time, the end of the process, modules.

Argument grammar and replies; what INFO prints is `server.info`, how the process ends is `server.lifecycle`.
"""

from __future__ import annotations

from time import time_ns

from protocol.reply import NO_REPLY, OK, Verbatim
from server import lifecycle
from server.log import shown
from server.number_arguments import int32, integer
from server.registry import (
    ADMIN,
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_ASYNC_LOADING,
    NO_MULTI,
    NOSCRIPT,
    PROTECTED,
    READONLY,
    STALE,
    WRITE,
    Group,
)
from server.session import BLOCKED
from server.version import REDIS_VERSION
from storage.errors import DB_OUT_OF_RANGE, SYNTAX_ERROR, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

server = Group("server")

SHUTDOWN_WORDS = {
    b"NOSAVE": lifecycle.NOSAVE,
    b"SAVE": lifecycle.SAVE,
    b"NOW": lifecycle.NOW,
    b"FORCE": lifecycle.FORCE,
}
NO_SHUTDOWN = b"ERR No shutdown in progress."
SHUTDOWN_IN_DENIED_CONTEXT = b"ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client"


@server.command(
    "INFO",
    arity=-1,
    flags=LOADING | STALE,
    since="1.0.0",
    complexity="O(1)",
    history=(("7.0.0", "Takes several sections."),),
    tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
    syntax="[section...]",
    acl=("dangerous",),
)
def info(ctx: Session, argv: Argv) -> Any:
    """Describe the server: its versions, clients, memory, statistics and keys, by section."""
    return Verbatim(b"txt", ctx.server.info.text(argv[1:]))


@server.command(
    "TIME",
    arity=1,
    flags=LOADING | STALE | FAST,
    since="2.6.0",
    complexity="O(1)",
    tips=("nondeterministic_output",),
)
def time(ctx: Session, argv: Argv) -> list[bytes]:
    """Return the time: seconds since the epoch, and microseconds."""
    microseconds = time_ns() // 1000
    return [b"%d" % (microseconds // 1_000_000), b"%d" % (microseconds % 1_000_000)]


@server.command(
    "LASTSAVE",
    arity=1,
    flags=LOADING | STALE | FAST,
    since="1.0.0",
    complexity="O(1)",
    tips=("nondeterministic_output",),
    acl=("admin", "dangerous"),
)
def lastsave(ctx: Session, argv: Argv) -> int:
    """Return when the last snapshot was written, or when the server started."""
    about = ctx.server.info
    return int(about.value_of("rdb_last_save_time", about.started_at))


# Databases -----------------------------------------------------------------------------------------------------


@server.command(
    "DBSIZE",
    arity=1,
    flags=READONLY | FAST,
    since="1.0.0",
    complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:agg_sum"),
    acl=("keyspace",),
)
def dbsize(ctx: Session, argv: Argv) -> int:
    """Count the keys of the database."""
    return len(ctx.db)


def begin_flush(ctx: Session, argv: Argv) -> bool:
    """Judge the mode; whether what goes counts as freed in the background.

    Either way the keys are gone at once and their memory is freed in slices; but in Redis a client waits for the end
    of a synchronous flush, and so hears that its keys are invalid before it hears OK.
    """
    usual = b"ASYNC" if ctx.server.config.lazyfree_lazy_user_flush else b"SYNC"
    mode = argv[1].upper() if len(argv) > 1 else usual
    if len(argv) > 2 or mode not in (b"ASYNC", b"SYNC"):
        raise CommandError(SYNTAX_ERROR)
    tracking = ctx.server.tracking
    # In Redis, too, a synchronous flush waits for the background, unless it may not wait.
    is_lazy = mode == b"ASYNC" or not ctx.denies_blocking
    tracking.precedes_reply = mode == b"SYNC" and bool(tracking.sessions) and not ctx.denies_blocking
    return is_lazy


@server.command(
    "FLUSHDB",
    arity=-1,
    flags=WRITE,
    since="1.0.0",
    complexity="O(N), N = keys in the database",
    history=(("4.0.0", "ASYNC."), ("6.2.0", "SYNC.")),
    tips=("request_policy:all_shards", "response_policy:all_succeeded"),
    syntax="[ASYNC@4.0.0 | SYNC@6.2.0]",
    acl=("dangerous", "keyspace"),
)
def flushdb(ctx: Session, argv: Argv) -> Any:
    """Remove every key of the database."""
    is_lazy = begin_flush(ctx, argv)
    ctx.keyspace.graveyard.freed += ctx.keyspace.flush(ctx.db.number) * is_lazy
    ctx.propagate_as(*argv)  # also when there was nothing to remove here
    return OK


@server.command(
    "FLUSHALL",
    arity=-1,
    flags=WRITE,
    since="1.0.0",
    complexity="O(N), N = keys in all databases",
    history=(("4.0.0", "ASYNC."), ("6.2.0", "SYNC.")),
    tips=("request_policy:all_shards", "response_policy:all_succeeded"),
    syntax="[ASYNC@4.0.0 | SYNC@6.2.0]",
    acl=("dangerous", "keyspace"),
)
def flushall(ctx: Session, argv: Argv) -> Any:
    """Remove every key of every database."""
    is_lazy = begin_flush(ctx, argv)
    ctx.keyspace.graveyard.freed += ctx.keyspace.flush() * is_lazy
    ctx.propagate_as(*argv)
    ctx.server.snapshots.replace_by_empty()
    return OK


@server.command(
    "SWAPDB",
    arity=3,
    flags=WRITE | FAST,
    since="4.0.0",
    complexity="O(N), N = clients that watch or wait for keys of the two databases",
    syntax="index1 index2",
    acl=("dangerous", "keyspace"),
)
def swapdb(ctx: Session, argv: Argv) -> Any:
    """Exchange the contents of two databases."""
    first = int32(argv[1], b"ERR invalid first DB index")
    second = int32(argv[2], b"ERR invalid second DB index")
    count = len(ctx.keyspace.databases)
    if not (0 <= first < count and 0 <= second < count):
        raise CommandError(DB_OUT_OF_RANGE)
    ctx.keyspace.swap(first, second)
    return OK


# The end -------------------------------------------------------------------------------------------------------


@server.command(
    "SHUTDOWN",
    arity=-1,
    flags=ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY,
    since="1.0.0",
    complexity="O(N) when it saves, N = keys of all databases; O(1) otherwise",
    history=(("7.0.0", "NOW, FORCE and ABORT."),),
    syntax="save-selector=[NOSAVE | SAVE] [NOW@7.0.0] [FORCE@7.0.0] [ABORT@7.0.0]",
)
def shutdown(ctx: Session, argv: Argv) -> Any:
    """End the server in order: replicas catch up, the data set is saved if it is to be, files are closed."""
    flags = 0
    aborts = False
    for argument in argv[1:]:
        word = argument.upper()
        if word == b"ABORT":
            aborts = True
        elif word in SHUTDOWN_WORDS:
            flags |= SHUTDOWN_WORDS[word]
        else:
            raise CommandError(SYNTAX_ERROR)
    if (aborts and flags) or (flags & lifecycle.SAVE and flags & lifecycle.NOSAVE):
        raise CommandError(SYNTAX_ERROR)
    process = ctx.server.lifecycle
    if aborts:
        if not process.abort():
            raise CommandError(NO_SHUTDOWN)
        return OK
    if not flags & lifecycle.NOSAVE:
        ctx.server.scripting.refuse_while_busy()
    if not flags & lifecycle.NOW and ctx.denies_blocking:
        raise CommandError(SHUTDOWN_IN_DENIED_CONTEXT)
    refusal = process.shut_down(flags, ctx)
    if refusal is not None:
        raise CommandError(refusal)
    ctx.halted |= BLOCKED  # nothing of what it sent behind is run; a failure lets it go on
    return NO_REPLY


# For the eye ---------------------------------------------------------------------------------------------------

GLYPHS = " .:-=+*#%@"
CAPTION = "Interference of two stones dropped into a pond, drawn by whatever time it was."


def pond(columns: int, rows: int, phase: int) -> str:
    """Two sets of rings that meet, as characters of rising weight."""
    from math import cos, hypot

    lines = []
    for row in range(rows):
        line = ""
        for column in range(columns):
            # A character is about twice as high as it is wide.
            near = hypot(column - columns * 0.3, 2.0 * (row - rows * 0.35))
            far = hypot(column - columns * 0.75, 2.0 * (row - rows * 0.7))
            height = cos(near * 0.7 - phase) + cos(far * 0.55 - phase * 0.5)
            line += GLYPHS[min(len(GLYPHS) - 1, int((height + 2.0) / 4.0 * len(GLYPHS)))]
        lines.append(line.rstrip())
    return "\n".join(lines)


def picture_size(argument: bytes, most: int) -> int:
    return min(max(integer(argument), 1), most)


@server.command(
    "LOLWUT",
    arity=-1,
    flags=READONLY | FAST,
    since="5.0.0",
    syntax="[VERSION version]",
)
def lolwut(ctx: Session, argv: Argv) -> Any:
    """Draw something, and tell the version. VERSION 5 or 6 draw; columns and rows may follow."""
    text = ""
    arguments = list(argv[1:])
    version = 0
    if len(arguments) >= 2 and arguments[0].upper() == b"VERSION":
        version = integer(arguments[1])
        arguments = arguments[2:]
    if version in (5, 6):
        columns = picture_size(arguments[0], 1000) if arguments else 66
        rows = picture_size(arguments[1], 1000) if len(arguments) > 1 else 20
        text = pond(columns, rows, ctx.now_ms // 1000 % 60) + "\n\n" + CAPTION + " "
    return Verbatim(b"txt", (text + "Redis ver. %s\n" % REDIS_VERSION).encode())


# Modules -------------------------------------------------------------------------------------------------------

server.container(
    "MODULE",
    since="4.0.0",
    summary="A container of the commands that look at modules; there are none.",
)


@server.command(
    "MODULE|LIST",
    arity=2,
    flags=ADMIN | NOSCRIPT,
    since="4.0.0",
    complexity="O(N), N = loaded modules",
    tips=("nondeterministic_output_order",),
)
def module_list(ctx: Session, argv: Argv) -> list[Any]:
    """List the modules that were loaded: none."""
    return []


def refuse_module(ctx: Session, path: bytes) -> CommandError:
    ctx.server.log.warning("Module %s failed to load: this server loads no modules" % shown(path))
    return CommandError(b"ERR Error loading the extension. Please check the server logs.")


@server.command(
    "MODULE|LOAD",
    arity=-3,
    flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING | PROTECTED,
    since="4.0.0",
    complexity="O(1)",
    syntax="path [arg...]",
)
def module_load(ctx: Session, argv: Argv) -> Any:
    """Load a module; refused, since modules are programs for another server."""
    raise refuse_module(ctx, argv[2])


@server.command(
    "MODULE|LOADEX",
    arity=-3,
    flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING | PROTECTED,
    since="7.0.0",
    complexity="O(1)",
    syntax="path configs=[CONFIG (name value)]... [ARGS args...]",
)
def module_loadex(ctx: Session, argv: Argv) -> Any:
    """Load a module with its configuration; refused, since modules are programs for another server."""
    raise refuse_module(ctx, argv[2])


@server.command(
    "MODULE|UNLOAD",
    arity=3,
    flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING | PROTECTED,
    since="4.0.0",
    complexity="O(1)",
    syntax="name",
)
def module_unload(ctx: Session, argv: Argv) -> Any:
    """Unload a module; refused, since none is loaded."""
    raise CommandError(b"ERR Error unloading module: no such module with that name")
