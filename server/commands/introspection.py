"""COMMAND: what this server knows of its own commands, told from their declarations.

Shapes of replies only; every fact comes from the registry, argument trees from `server.syntax`. No declaration changes
once there are clients, so what is told of a command is encoded once: some clients ask for all of it each time they
connect, and COMMAND held up everybody for 8 ms, COMMAND DOCS for 21 (0.1 now).
"""

from __future__ import annotations

from functools import cache, partial

from protocol.reply import Lasting, Map, SetReply, Status
from server.keyspecs import INDEX, KEY_FLAG_NAMES, KEYWORD, RANGE, UNKNOWN
from server.registry import CATEGORY_BITS, LOADING, NO_MANDATORY_KEYS, STALE, Group
from storage.errors import SYNTAX_ERROR, CommandError
from storage.globbing import compile_glob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from server.keyspecs import KeySpec
    from server.registry import CommandSpec, Registry
    from server.session import Session
    from server.syntax import Argument

    Argv = Sequence[bytes]

server = Group("server")

UNORDERED = ("nondeterministic_output_order",)


@server.command(
    "COMMAND",
    arity=-1,
    flags=LOADING | STALE,
    since="2.8.13",
    complexity="O(N), N = commands",
    tips=UNORDERED,
    acl=("connection",),
)
def command(ctx: Session, argv: Argv) -> Any:
    """Describe every command."""
    return uncounted(ctx, [lasting_info(spec) for spec in ctx.registry])


server.help("COMMAND", since="5.0.0", acl=("connection",))


@server.command(
    "COMMAND|COUNT",
    arity=2,
    flags=LOADING | STALE,
    since="2.8.13",
    complexity="O(1)",
    acl=("connection",),
)
def command_count(ctx: Session, argv: Argv) -> int:
    """Count the commands, without subcommands."""
    return len(ctx.registry)


@server.command(
    "COMMAND|LIST",
    arity=-2,
    flags=LOADING | STALE,
    since="7.0.0",
    complexity="O(N), N = commands",
    tips=UNORDERED,
    syntax="[FILTERBY (MODULE module-name | ACLCAT category | PATTERN pattern)]",
    acl=("connection",),
)
def command_list(ctx: Session, argv: Argv) -> list[bytes]:
    """List the names of commands and subcommands, all or those that a filter leaves."""
    specs = ctx.registry.specs
    if len(argv) == 2:
        return [spec.name for spec in specs]
    if len(argv) != 5 or argv[2].upper() != b"FILTERBY":
        raise CommandError(SYNTAX_ERROR)
    kind, wanted = argv[3].upper(), argv[4]
    if kind == b"MODULE":
        return []  # no command here comes from a module
    if kind == b"ACLCAT":
        category = CATEGORY_BITS.get(wanted.lower(), 0)
        return [spec.name for spec in specs if spec.categories & category]
    if kind == b"PATTERN":
        matches = compile_glob(wanted, nocase=True)
        return [spec.name for spec in specs if matches(spec.name)]
    raise CommandError(SYNTAX_ERROR)


@server.command(
    "COMMAND|INFO",
    arity=-2,
    flags=LOADING | STALE,
    since="2.8.13",
    complexity="O(N), N = commands asked for",
    history=(("7.0.0", "Without a name: all commands."),),
    tips=UNORDERED,
    syntax="[command-name...]",
    acl=("connection",),
)
def command_info(ctx: Session, argv: Argv) -> Any:
    """Describe some commands, or all of them: arity, flags, keys, categories, tips, subcommands."""
    if len(argv) == 2:
        return command(ctx, argv)
    return [None if spec is None else lasting_info(spec) for spec in map(ctx.registry.lookup, argv[2:])]


@server.command(
    "COMMAND|DOCS",
    arity=-2,
    flags=LOADING | STALE,
    since="7.0.0",
    complexity="O(N), N = commands asked for",
    tips=UNORDERED,
    syntax="[command-name...]",
    acl=("connection",),
)
def command_docs(ctx: Session, argv: Argv) -> Map:
    """Document some commands, or all of them: summary, history, argument tree."""
    registry: Registry = ctx.registry
    if len(argv) == 2:
        docs = uncounted(ctx, [lasting_docs(spec) for spec in registry])
        return Map(list(zip([spec.name for spec in registry], docs)))
    return Map([(spec.name, lasting_docs(spec)) for spec in map(registry.lookup, argv[2:]) if spec is not None])


@server.command(
    "COMMAND|GETKEYS",
    arity=-3,
    flags=LOADING | STALE,
    since="2.8.13",
    complexity="O(N), N = arguments of the command",
    syntax="command [arg...]",
    acl=("connection",),
)
def command_getkeys(ctx: Session, argv: Argv) -> list[bytes]:
    """Find the keys in a whole command."""
    vector = argv[2:]
    return [vector[at] for at, _ in keys_in(ctx.registry, vector)]


@server.command(
    "COMMAND|GETKEYSANDFLAGS",
    arity=-3,
    flags=LOADING | STALE,
    since="7.0.0",
    complexity="O(N), N = arguments of the command",
    syntax="command [arg...]",
    acl=("connection",),
)
def command_getkeysandflags(ctx: Session, argv: Argv) -> list[Any]:
    """Find the keys in a whole command, and what it does with each."""
    vector = argv[2:]
    return [[vector[at], key_flags_of(flags)] for at, flags in keys_in(ctx.registry, vector)]


def keys_in(registry: Registry, vector: Argv) -> list[tuple[int, int]]:
    """Return (position, key flags) of each key; raises CommandError where there can be none."""
    spec = registry.resolve(vector)
    if spec is None:
        raise CommandError(b"ERR Invalid command specified")
    if not spec.has_keys:
        raise CommandError(b"ERR The command has no key arguments")
    if not spec.accepts(len(vector)):
        raise CommandError(b"ERR Invalid number of arguments specified for command")
    found = spec.keys_of(vector)
    if not found and not spec.flags & NO_MANDATORY_KEYS:
        raise CommandError(b"ERR Invalid arguments specified for command")
    return found


# Shapes of replies -----------------------------------------------------------------------------------------


def statuses(names: Iterable[bytes]) -> SetReply:
    return SetReply([Status(name) for name in names])


def key_flags_of(flags: int) -> SetReply:
    return statuses(name for flag, name in KEY_FLAG_NAMES if flags & flag)


@cache
def lasting_info(spec: CommandSpec) -> Lasting:
    return Lasting(partial(info_of, spec))


@cache
def lasting_docs(spec: CommandSpec) -> Lasting:
    return Lasting(partial(docs_of, spec))


def uncounted(ctx: Session, replies: list[Lasting]) -> list[Lasting]:
    """Encode them, if this is the first time: what is kept of all commands, 0.4 MB, is no data to maxmemory."""
    if not (replies[-1].resp3 if ctx.resp == 3 else replies[-1].resp2):
        encode = ctx.encoders[Lasting]
        ctx.server.info.memory.leave_out(lambda: [encode(reply) for reply in replies])
    return replies


def info_of(spec: CommandSpec) -> list[Any]:
    """The ten fields of COMMAND INFO."""
    subcommands = spec.subcommands
    return [
        spec.name,
        spec.arity,
        statuses(spec.flag_names()),
        spec.first_key,
        spec.last_key,
        spec.step,
        statuses(b"@" + name for name in spec.category_names()),
        SetReply([tip.encode() for tip in spec.tips]),
        SetReply([key_spec_of(key) for key in spec.keys]),
        [info_of(subcommand) for subcommand in subcommands.values()] if subcommands else SetReply([]),
    ]


def key_spec_of(key: KeySpec) -> Map:
    pairs: list[tuple[bytes, Any]] = []
    if key.notes:
        pairs.append((b"notes", key.notes.encode()))
    pairs.append((b"flags", key_flags_of(key.flags)))
    if key.begin is INDEX:
        begin = [(b"index", key.position)]
    elif key.begin is KEYWORD:
        begin = [(b"keyword", key.word), (b"startfrom", key.position)]  # type: ignore[list-item]
    else:
        begin = []
    pairs.append((b"begin_search", Map([(b"type", key.begin), (b"spec", Map(begin))])))
    if key.find is RANGE:
        find = [(b"lastkey", key.last), (b"keystep", key.step), (b"limit", key.limit)]
    elif key.find is UNKNOWN:
        find = []
    else:
        find = [(b"keynumidx", key.count_at), (b"firstkey", key.first_at), (b"keystep", key.step)]
    pairs.append((b"find_keys", Map([(b"type", key.find), (b"spec", Map(find))])))
    return Map(pairs)


def docs_of(spec: CommandSpec) -> Map:
    """The fields of COMMAND DOCS, those that say something."""
    from server.syntax import parse

    pairs: list[tuple[bytes, Any]] = [
        (b"summary", spec.summary.encode()),
        (b"since", spec.since.encode()),
        (b"group", spec.group.encode()),
    ]
    if spec.complexity:
        pairs.append((b"complexity", spec.complexity.encode()))
    doc_flags = []
    if spec.deprecated:
        doc_flags.append(b"deprecated")
    if spec.is_system:
        doc_flags.append(b"syscmd")
    if doc_flags:
        pairs.append((b"doc_flags", statuses(doc_flags)))
    if spec.deprecated:
        since, replacement = spec.deprecated
        pairs.append((b"deprecated_since", since.encode()))
        pairs.append((b"replaced_by", replacement.encode()))
    if spec.history:
        history = [[since.encode(), text.encode()] for since, text in spec.history]
        pairs.append((b"history", SetReply(history)))
    if spec.syntax:
        pairs.append((b"arguments", [argument_of(argument) for argument in parse(spec.syntax)]))
    if spec.subcommands:
        documented = [(subcommand.name, docs_of(subcommand)) for subcommand in spec.subcommands.values()]
        pairs.append((b"subcommands", Map(documented)))
    return Map(pairs)


def argument_of(argument: Argument) -> Map:
    """One node of the argument tree; a group has no text to display."""
    pairs: list[tuple[bytes, Any]] = [(b"name", argument.name.encode()), (b"type", argument.type.encode())]
    if not argument.arguments:
        pairs.append((b"display_text", (argument.display or argument.name).encode()))
    if argument.key_spec_index >= 0:
        pairs.append((b"key_spec_index", argument.key_spec_index))
    if argument.token is not None:
        pairs.append((b"token", argument.token.encode()))
    if argument.since:
        pairs.append((b"since", argument.since.encode()))
    if argument.deprecated_since:
        pairs.append((b"deprecated_since", argument.deprecated_since.encode()))
    flags = argument.flag_names()
    if flags:
        pairs.append((b"flags", statuses(flag.encode() for flag in flags)))
    if argument.arguments:
        pairs.append((b"arguments", [argument_of(member) for member in argument.arguments]))
    return Map(pairs)
