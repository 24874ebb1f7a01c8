"""ACL: who may do what. Argument grammar and replies; users and rules belong to the accounts behind the context."""

from __future__ import annotations

from protocol.reply import OK, Map, SetReply
from server.acl.selector import has_spaces
from server.number_arguments import integer
from server.registry import (
    ADMIN,
    CATEGORY_BITS,
    CATEGORY_NAMES,
    LOADING,
    NOSCRIPT,
    STALE,
    Group,
    subcommand_syntax,
    wrong_arity,
)
from storage.errors import CommandError
from storage.text import c_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence, Tuple

    from server.acl.selector import Selector
    from server.session import Session

    Argv = Sequence[bytes]

server = Group("server")

DEFAULT_BITS = 256
MAX_BITS = 4096
DEFAULT_LOG_ENTRIES = 10

server.container(
    "ACL",
    since="6.0.0",
    summary="A container of the commands about users and what they may do.",
    help_since="6.0.0",
)


@server.command(
    "ACL|WHOAMI",
    arity=2,
    flags=NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(1)",
)
def acl_whoami(ctx: Session, argv: Argv) -> bytes:
    """Tell the user of this connection."""
    name: bytes = ctx.user.name
    return name


@server.command(
    "ACL|USERS",
    arity=2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(N), N = configured users",
)
def acl_users(ctx: Session, argv: Argv) -> List[bytes]:
    """List the names of all users."""
    return sorted(ctx.server.accounts.users)


@server.command(
    "ACL|LIST",
    arity=2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(N), N = configured users",
)
def acl_list(ctx: Session, argv: Argv) -> List[bytes]:
    """List all users as the rules that would make them."""
    lines: List[bytes] = ctx.server.accounts.lines()
    return lines


@server.command(
    "ACL|GETUSER",
    arity=3,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(N), N = rules of the user",
    history=(
        ("6.2.0", "Channel patterns."),
        ("7.0.0", "Selectors; key and channel patterns are shown as rules."),
    ),
    syntax="username",
)
def acl_getuser(ctx: Session, argv: Argv) -> Any:
    """Tell the rules of one user."""
    user = ctx.server.accounts.users.get(argv[2])
    if user is None:
        return None
    root, *others = user.selectors
    return Map(
        [
            (b"flags", SetReply(user.flag_names())),
            (b"passwords", list(user.passwords)),
            *described(root),
            (b"selectors", [Map(described(selector)) for selector in others]),
        ]
    )


def described(selector: Selector) -> List[Tuple[bytes, Any]]:
    return [
        (b"commands", selector.commands_text()),
        (b"keys", selector.keys_text()),
        (b"channels", selector.channels_text()),
    ]


@server.command(
    "ACL|SETUSER",
    arity=-3,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(N), N = rules given",
    history=(("6.2.0", "Channel patterns."), ("7.0.0", "Selectors and key permissions.")),
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
    syntax="username [rule...]",
)
def acl_setuser(ctx: Session, argv: Argv) -> Any:
    """Make a user, or change one, by rules."""
    if has_spaces(argv[2]):
        raise CommandError(b"ERR Usernames can't contain spaces or null characters")
    ctx.server.accounts.set_user(argv[2], argv[3:])
    return OK


@server.command(
    "ACL|DELUSER",
    arity=-3,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(1) amortized for a usual user",
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
    syntax="username...",
)
def acl_deluser(ctx: Session, argv: Argv) -> int:
    """Forget users and disconnect their clients."""
    accounts = ctx.server.accounts
    if accounts.default.name in argv[2:]:
        raise CommandError(b"ERR The 'default' user cannot be removed")
    return sum([accounts.delete_user(name) for name in argv[2:]])


@server.command(
    "ACL|DRYRUN",
    arity=-4,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="7.0.0",
    complexity="O(1)",
    syntax="username command [arg...]",
)
def acl_dryrun(ctx: Session, argv: Argv) -> Any:
    """Tell whether a user could run a command, without running it."""
    user = ctx.server.accounts.users.get(argv[2])
    if user is None:
        raise CommandError(b"ERR User '%b' not found" % c_text(argv[2]))
    vector = argv[3:]
    spec = ctx.registry.resolve(vector)
    if spec is None:
        raise CommandError(b"ERR Command '%b' not found" % c_text(argv[3]))
    if not spec.accepts(len(vector)):
        raise CommandError(wrong_arity(spec))
    refusal: Any = ctx.server.accounts.explain(user, spec, vector)
    return OK if refusal is None else refusal


@server.command(
    "ACL|LOG",
    arity=-2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(N), N = entries shown",
    history=(("7.2.0", "Entries have an id and the times of creation and last update."),),
    syntax="operation=[count | RESET]",
)
def acl_log(ctx: Session, argv: Argv) -> Any:
    """Show the newest refusals of commands, keys, channels and passwords, or forget them all."""
    if len(argv) > 3:
        raise CommandError(subcommand_syntax(argv))
    log = ctx.server.accounts.log
    count = DEFAULT_LOG_ENTRIES
    if len(argv) == 3:
        if argv[2].upper() == b"RESET":
            log.clear()
            return OK
        count = max(0, integer(argv[2]))
    entries: List[Map] = []
    for entry in log.entries:
        if len(entries) == count:
            break
        entries.append(
            Map(
                [
                    (b"count", entry.count),
                    (b"reason", entry.reason),
                    (b"context", entry.context),
                    (b"object", entry.subject),
                    (b"username", entry.username),
                    (b"age-seconds", (ctx.now_ms - entry.updated_ms) / 1000.0),
                    (b"client-info", entry.client),
                    (b"entry-id", entry.number),
                    (b"timestamp-created", entry.created_ms),
                    (b"timestamp-last-updated", entry.updated_ms),
                ]
            )
        )
    return entries


@server.command(
    "ACL|LOAD",
    arity=2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(N), N = configured users",
)
def acl_load(ctx: Session, argv: Argv) -> Any:
    """Read all users from their file again: all of them, or none if a line is wrong."""
    ctx.server.accounts.reload()
    return OK


@server.command(
    "ACL|SAVE",
    arity=2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(N), N = configured users",
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
)
def acl_save(ctx: Session, argv: Argv) -> Any:
    """Write all users to their file."""
    ctx.server.accounts.save()
    return OK


@server.command(
    "ACL|CAT",
    arity=-2,
    flags=NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(1), the categories being fixed",
    syntax="[category]",
)
def acl_cat(ctx: Session, argv: Argv) -> List[bytes]:
    """List the categories of commands, or the commands of one."""
    if len(argv) == 2:
        return list(CATEGORY_NAMES)
    if len(argv) > 3:
        raise CommandError(subcommand_syntax(argv))
    bit = CATEGORY_BITS.get(argv[2].lower())
    if bit is None:
        raise CommandError(b"ERR Unknown category '%b'" % c_text(argv[2]))
    return [spec.name for spec in ctx.registry.specs if spec.categories & bit]


@server.command(
    "ACL|GENPASS",
    arity=-2,
    flags=NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(1)",
    syntax="[bits]",
)
def acl_genpass(ctx: Session, argv: Argv) -> bytes:
    """Make a password that nobody guesses, in hexadecimal digits."""
    from secrets import token_hex

    if len(argv) > 3:
        raise CommandError(subcommand_syntax(argv))
    bits = DEFAULT_BITS
    if len(argv) == 3:
        bits = integer(argv[2])
        if not 1 <= bits <= MAX_BITS:
            raise CommandError(
                b"ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up "
                b"to %d" % MAX_BITS
            )
    digits = (bits + 3) // 4
    return token_hex((digits + 1) // 2)[:digits].encode()
