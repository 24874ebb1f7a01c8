"""ACL: who may do what. Users and their passwords belong to the accounts behind the context."""

from __future__ import annotations

from protocol.reply import Map, SetReply
from server.client_names import c_text
from server.registry import ADMIN, CATEGORY_BITS, CATEGORY_NAMES, LOADING, NOSCRIPT, STALE, Group, subcommand_syntax
from storage.errors import NOT_AN_INTEGER, CommandError
from storage.numeric import parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence

    from server.accounts import User
    from server.session import Session

    Argv = Sequence[bytes]

server = Group("server")

DEFAULT_BITS = 256
MAX_BITS = 4096

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


def flags_of(user: User) -> List[bytes]:
    """What a user is: whether it may log in, and how."""
    flags = [b"on" if user.enabled else b"off"]
    if user.nopass:
        flags.append(b"nopass")
    flags.append(b"sanitize-payload")
    return flags


@server.command(
    "ACL|LIST",
    arity=2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(N), N = configured users",
)
def acl_list(ctx: Session, argv: Argv) -> List[bytes]:
    """List all users as the rules that would make them."""
    users = ctx.server.accounts.users
    lines = []
    for name in sorted(users):
        user = users[name]
        words = [b"user", name, *flags_of(user), *[b"#" + password for password in user.passwords]]
        lines.append(b" ".join(words + [b"~*", b"&*", b"+@all"]))
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
    return Map(
        [
            (b"flags", SetReply(flags_of(user))),
            (b"passwords", list(user.passwords)),
            (b"commands", b"+@all"),
            (b"keys", b"~*"),
            (b"channels", b"&*"),
            (b"selectors", []),
        ]
    )


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
        try:
            bits = parse_int(argv[2])
        except ValueError:
            raise CommandError(NOT_AN_INTEGER) from None
        if not 1 <= bits <= MAX_BITS:
            raise CommandError(
                b"ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up "
                b"to %d" % MAX_BITS
            )
    digits = (bits + 3) // 4
    return token_hex((digits + 1) // 2)[:digits].encode()
