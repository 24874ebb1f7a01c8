"""EVAL, SCRIPT, FUNCTION and FCALL.

Argument grammar and replies; what they do is `server.scripting`, imported with the first of them.
"""

from __future__ import annotations

from protocol.reply import OK, Map, SetReply, Status
from server.admission import DEBUGS, DEBUGS_IN_PLACE
from server.keyspecs import ACCESS, RO, RW, UPDATE, numkeys
from server.registry import (
    ALLOW_BUSY,
    DENYOOM,
    MAY_REPLICATE,
    NO_MANDATORY_KEYS,
    NOSCRIPT,
    READONLY,
    RUNS_SCRIPT,
    SKIP_MONITOR,
    STALE,
    WRITE,
    Group,
    subcommand_syntax,
)
from storage.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

scripting = Group("scripting")

RUNNING = RUNS_SCRIPT | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS
LAZYFREE_THRESHOLD = 64  # scripts or functions; so few are freed at once in Redis, also when ASYNC is asked for


@scripting.command(
    "EVAL",
    arity=-3,
    flags=RUNNING | MAY_REPLICATE,
    keys=numkeys(RW | ACCESS | UPDATE, at=2, notes='Nobody knows what the script does: the worst is assumed'),
    since="2.6.0",
    complexity="As the script.",
    syntax="script numkeys [key...] [arg...]",
)
def eval_(ctx: Session, argv: Argv) -> Any:
    """Run a script that comes with the command."""
    return ctx.server.scripting.evaluate(ctx, argv, False, False)


@scripting.command(
    "EVAL_RO",
    arity=-3,
    flags=RUNNING | READONLY,
    keys=numkeys(RO | ACCESS, at=2, notes='Nobody knows what the script does: the worst is assumed'),
    since="7.0.0",
    complexity="As the script.",
    syntax="script numkeys [key...] [arg...]",
)
def eval_ro(ctx: Session, argv: Argv) -> Any:
    """Run a script that comes with the command and may only read."""
    return ctx.server.scripting.evaluate(ctx, argv, False, True)


@scripting.command(
    "EVALSHA",
    arity=-3,
    flags=RUNNING | MAY_REPLICATE,
    keys=numkeys(RW | ACCESS | UPDATE, at=2),
    since="2.6.0",
    complexity="As the script.",
    syntax="sha1 numkeys [key...] [arg...]",
)
def evalsha(ctx: Session, argv: Argv) -> Any:
    """Run a cached script by its digest."""
    return ctx.server.scripting.evaluate(ctx, argv, True, False)


@scripting.command(
    "EVALSHA_RO",
    arity=-3,
    flags=RUNNING | READONLY,
    keys=numkeys(RO | ACCESS, at=2),
    since="7.0.0",
    complexity="As the script.",
    syntax="sha1 numkeys [key...] [arg...]",
)
def evalsha_ro(ctx: Session, argv: Argv) -> Any:
    """Run a cached script that may only read, by its digest."""
    return ctx.server.scripting.evaluate(ctx, argv, True, True)


scripting.container(
    "SCRIPT",
    since="2.6.0",
    summary="The scripts that EVAL runs.",
)


@scripting.command(
    "SCRIPT|LOAD",
    arity=3,
    flags=NOSCRIPT | STALE,
    since="2.6.0",
    complexity="O(N), N = length of the script",
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
    syntax="script",
)
def script_load(ctx: Session, argv: Argv) -> bytes:
    """Keep a script in the cache; its digest is the reply."""
    digest: bytes = ctx.server.scripting.scripts().load(argv[2])
    return digest


@scripting.command(
    "SCRIPT|EXISTS",
    arity=-3,
    flags=NOSCRIPT,
    since="2.6.0",
    complexity="O(N), N = scripts asked for",
    tips=("request_policy:all_shards", "response_policy:agg_logical_and"),
    syntax="sha1...",
)
def script_exists(ctx: Session, argv: Argv) -> Any:
    """Tell which digests are those of cached scripts."""
    known = ctx.server.scripting.known_digests()
    return [1 if digest.lower() in known else 0 for digest in argv[2:]]


def count_freed(ctx: Session, argv: Argv, count: int, objects: int | None = None) -> None:
    """Count what a flush leaves to the background, as Redis does, in lazyfreed_objects."""
    is_usual = ctx.server.config.lazyfree_lazy_user_flush
    is_lazy = argv[2].upper() == b"ASYNC" if len(argv) > 2 else is_usual
    if is_lazy and count > LAZYFREE_THRESHOLD:
        ctx.keyspace.graveyard.freed += count if objects is None else objects


@scripting.command(
    "SCRIPT|FLUSH",
    arity=-2,
    flags=NOSCRIPT,
    since="2.6.0",
    complexity="O(N), N = cached scripts",
    history=(("6.2.0", "ASYNC and SYNC."),),
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
    syntax="[ASYNC | SYNC]@6.2.0",
)
def script_flush(ctx: Session, argv: Argv) -> Any:
    """Forget all cached scripts."""
    if len(argv) > 3 or (len(argv) == 3 and argv[2].upper() not in (b"SYNC", b"ASYNC")):
        raise CommandError(b"ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    count_freed(ctx, argv, len(ctx.server.scripting.known_digests()))
    ctx.server.scripting.flush_scripts()
    return OK


@scripting.command(
    "SCRIPT|KILL",
    arity=2,
    flags=NOSCRIPT | ALLOW_BUSY,
    since="2.6.0",
    complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:one_succeeded"),
)
def script_kill(ctx: Session, argv: Argv) -> Any:
    """End the script that runs on, if it has written nothing."""
    ctx.server.scripting.kill(False)
    return OK


@scripting.command(
    "SCRIPT|DEBUG",
    arity=3,
    flags=NOSCRIPT,
    since="3.2.0",
    complexity="O(1)",
    syntax="mode=(YES | SYNC | NO)",
)
def script_debug(ctx: Session, argv: Argv) -> Any:
    """Run this connection's scripts under the debugger, in a copy of the server or in place; or no longer."""
    if ctx.out or ctx.server.dispatch.depth:
        raise CommandError(b"ERR SCRIPT DEBUG must be called outside a pipeline")
    word = argv[2].upper()
    if word not in (b"YES", b"SYNC", b"NO"):
        raise CommandError(b"ERR Use SCRIPT DEBUG YES/SYNC/NO")
    ctx.set_mode(DEBUGS, word != b"NO")
    ctx.set_mode(DEBUGS_IN_PLACE, word == b"SYNC")
    return OK


@scripting.command(
    "FCALL",
    arity=-3,
    flags=RUNNING | MAY_REPLICATE,
    keys=numkeys(RW | ACCESS | UPDATE, at=2, notes='Nobody knows what the function does: the worst is assumed'),
    since="7.0.0",
    complexity="As the function.",
    syntax="function numkeys [key...] [arg...]",
)
def fcall(ctx: Session, argv: Argv) -> Any:
    """Call a function of a library."""
    return ctx.server.functions.call(ctx, argv, False)


@scripting.command(
    "FCALL_RO",
    arity=-3,
    flags=RUNNING | READONLY,
    keys=numkeys(RO | ACCESS, at=2, notes='Nobody knows what the function does: the worst is assumed'),
    since="7.0.0",
    complexity="As the function.",
    syntax="function numkeys [key...] [arg...]",
)
def fcall_ro(ctx: Session, argv: Argv) -> Any:
    """Call a function of a library that only reads."""
    return ctx.server.functions.call(ctx, argv, True)


scripting.container(
    "FUNCTION",
    since="7.0.0",
    summary="Libraries of functions that the server keeps.",
    help_since="7.0.0",
)


@scripting.command(
    "FUNCTION|LOAD",
    arity=-3,
    flags=WRITE | DENYOOM | NOSCRIPT,
    since="7.0.0",
    complexity="O(1), not counting compilation",
    tips=("request_policy:all_shards", "response_policy:all_succeeded"),
    syntax="[REPLACE] function-code",
)
def function_load(ctx: Session, argv: Argv) -> bytes:
    """Make a library of functions from its text."""
    replaces = False
    for word in argv[2:-1]:
        if word.upper() != b"REPLACE":
            raise CommandError(b"ERR Unknown option given: " + word)
        replaces = True
    functions = ctx.server.functions
    make = functions.load if ctx.server.loader.is_loading else functions.create
    name: bytes = make(argv[-1], replaces)
    changed(ctx, argv)
    return name


@scripting.command(
    "FUNCTION|DELETE",
    arity=3,
    flags=WRITE | NOSCRIPT,
    since="7.0.0",
    complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:all_succeeded"),
    syntax="library-name",
)
def function_delete(ctx: Session, argv: Argv) -> Any:
    """Remove a library and its functions."""
    ctx.server.functions.delete(argv[2])
    changed(ctx, argv)
    return OK


@scripting.command(
    "FUNCTION|FLUSH",
    arity=-2,
    flags=WRITE | NOSCRIPT,
    since="7.0.0",
    complexity="O(N), N = functions deleted",
    tips=("request_policy:all_shards", "response_policy:all_succeeded"),
    syntax="[ASYNC | SYNC]",
)
def function_flush(ctx: Session, argv: Argv) -> Any:
    """Remove all libraries."""
    if len(argv) > 3:
        raise CommandError(subcommand_syntax((argv[0].upper(), argv[1])))
    if len(argv) == 3 and argv[2].upper() not in (b"SYNC", b"ASYNC"):
        raise CommandError(b"ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
    functions = ctx.server.functions.count()
    count_freed(ctx, argv, functions, functions + 1)  # and the engine's part
    ctx.server.functions.flush()
    changed(ctx, argv)
    return OK


@scripting.command(
    "FUNCTION|KILL",
    arity=2,
    flags=NOSCRIPT | ALLOW_BUSY,
    since="7.0.0",
    complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:one_succeeded"),
)
def function_kill(ctx: Session, argv: Argv) -> Any:
    """End the function that runs on, if it has written nothing."""
    ctx.server.scripting.kill(True)
    return OK


@scripting.command(
    "FUNCTION|LIST",
    arity=-2,
    flags=NOSCRIPT,
    since="7.0.0",
    complexity="O(N), N = functions",
    tips=("nondeterministic_output_order",),
    syntax="[LIBRARYNAME library-name-pattern] [WITHCODE]",
)
def function_list(ctx: Session, argv: Argv) -> Any:
    """Describe the libraries, all or those whose names match."""
    pattern = None
    with_code = False
    words = iter(argv[2:])
    for word in words:
        name = word.upper()
        if name == b"WITHCODE" and not with_code:
            with_code = True
        elif name == b"LIBRARYNAME" and pattern is None:
            pattern = next(words, None)
            if pattern is None:
                raise CommandError(b"ERR library name argument was not given")
        else:
            raise CommandError(b"ERR Unknown argument " + word)
    reply = []
    for library in ctx.server.functions.matching(pattern):
        functions = [
            Map(
                [
                    (b"name", function.name),
                    (b"description", function.description),
                    (b"flags", set_of(function.flag_names())),
                ]
            )
            for function in library.functions.values()
        ]
        fields = [(b"library_name", library.name), (b"engine", b"LUA"), (b"functions", functions)]
        if with_code:
            fields.append((b"library_code", library.code))
        reply.append(Map(fields))
    return reply


@scripting.command(
    "FUNCTION|DUMP",
    arity=2,
    flags=NOSCRIPT,
    since="7.0.0",
    complexity="O(N), N = functions",
)
def function_dump(ctx: Session, argv: Argv) -> bytes:
    """All libraries as one value that FUNCTION RESTORE takes."""
    payload: bytes = ctx.server.functions.dump()
    return payload


@scripting.command(
    "FUNCTION|RESTORE",
    arity=-3,
    flags=WRITE | DENYOOM | NOSCRIPT,
    since="7.0.0",
    complexity="O(N), N = functions in the payload",
    tips=("request_policy:all_shards", "response_policy:all_succeeded"),
    syntax="serialized-value policy=[FLUSH | APPEND | REPLACE]",
)
def function_restore(ctx: Session, argv: Argv) -> Any:
    """Bring back libraries from what FUNCTION DUMP gave."""
    if len(argv) > 4:
        raise CommandError(subcommand_syntax((argv[0].upper(), argv[1])))
    policy = argv[3].upper() if len(argv) == 4 else b"APPEND"
    if policy not in (b"APPEND", b"REPLACE", b"FLUSH"):
        raise CommandError(b"ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
    ctx.server.functions.restore(argv[2], policy)
    changed(ctx, argv)
    return OK


@scripting.command(
    "FUNCTION|STATS",
    arity=2,
    flags=NOSCRIPT | ALLOW_BUSY,
    since="7.0.0",
    complexity="O(1)",
    tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
)
def function_stats(ctx: Session, argv: Argv) -> Any:
    """What runs now, and how many libraries and functions there are."""
    functions = ctx.server.functions
    counts = Map([(b"libraries_count", len(functions.libraries)), (b"functions_count", functions.count())])
    return Map([(b"running_script", running(ctx)), (b"engines", Map([(b"LUA", counts)]))])


def running(ctx: Session) -> Any:
    """The function under way, as FUNCTION STATS tells it; None if there is none."""
    run = ctx.server.scripting.running
    if run is None:
        return None
    return Map([(b"name", run.name), (b"command", list(run.argv)), (b"duration_ms", run.duration_ms())])


def set_of(names: Sequence[bytes]) -> Any:
    return SetReply([Status(name) for name in names])


def changed(ctx: Session, argv: Argv) -> None:
    """Libraries are data: log and replicate the command, and let the next save have it."""
    ctx.keyspace.dirty += 1
    ctx.propagate_as(*argv)
