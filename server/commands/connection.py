"""The connection's own commands: logging in, the protocol's version, the database, the end.

Argument grammar and replies. Who may log in is the accounts' business; what RESET has to undo is known to the parts
that did it, through `clients.on_forget`.
"""

from __future__ import annotations

from protocol.reply import NO_REPLY, OK, PONG, Map, Status
from server import admission
from server.client_names import check_name
from server.number_arguments import int32, integer
from server.registry import ALLOW_BUSY, FAST, LOADING, NO_AUTH, NOSCRIPT, STALE, Group
from server.session import REPLY_OFF, REPLY_ON
from server.version import REDIS_VERSION
from storage.errors import DB_OUT_OF_RANGE, SYNTAX_ERROR, CommandError
from storage.text import c_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

connection = Group("connection")

WRONG_PASSWORD = b"WRONGPASS invalid username-password pair or user is disabled."
NO_PASSWORD_SET = (
    b"ERR AUTH <password> called without any password configured for the default user. "
    b"Are you sure your configuration is correct?"
)
HELLO_NEEDS_AUTH = (
    b"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> "
    b"<pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
)
NO_SUCH_PROTOCOL = b"NOPROTO unsupported protocol version"
ROLE_REPLICA, ROLE_MASTER = b"replica", b"master"


def log_in(ctx: Session, argv: Argv, username: bytes, password: bytes) -> None:
    """Make the session the user's, or refuse, with `argv` in the log of refusals."""
    user = ctx.server.accounts.authenticate(ctx, username, password, argv)
    if user is None:
        raise CommandError(WRONG_PASSWORD)
    ctx.become(user)


@connection.command(
    "AUTH",
    arity=-2,
    flags=NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
    since="1.0.0",
    complexity="O(N), N = passwords of the user",
    history=(("6.0.0", "Takes a user name."),),
    syntax="[username@6.0.0] password",
)
def auth(ctx: Session, argv: Argv) -> Any:
    """Log in with a password, as the default user or as a named one."""
    if len(argv) > 3:
        raise CommandError(SYNTAX_ERROR)
    accounts = ctx.server.accounts
    if len(argv) == 2:
        if accounts.default.nopass:
            raise CommandError(NO_PASSWORD_SET)
        log_in(ctx, argv, accounts.default.name, argv[1])
    else:
        log_in(ctx, argv, argv[1], argv[2])
    return OK


@connection.command(
    "HELLO",
    arity=-1,
    flags=NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
    since="6.0.0",
    complexity="O(1)",
    history=(("6.2.0", "Without arguments: reports on the connection."),),
    syntax="arguments=[protover [AUTH (username password)] [SETNAME clientname]]",
)
def hello(ctx: Session, argv: Argv) -> Any:
    """Choose the version of the protocol, and log in and name the connection on the way."""
    version = 0
    if len(argv) > 1:
        version = integer(argv[1], b"ERR Protocol version is not an integer or out of range")
        if version not in (2, 3):
            raise CommandError(NO_SUCH_PROTOCOL)
    credentials = None
    name = None
    at = 2
    while at < len(argv):
        option = c_text(argv[at]).upper()
        following = len(argv) - 1 - at
        if option == b"AUTH" and following >= 2:
            credentials = (argv[at + 1], argv[at + 2])
            at += 3
        elif option == b"SETNAME" and following:
            name = argv[at + 1]
            check_name(name)
            at += 2
        else:
            raise CommandError(b"ERR Syntax error in HELLO option '%b'" % c_text(argv[at]))
    if credentials is not None:
        log_in(ctx, argv, *credentials)
    if not ctx.authenticated:
        raise CommandError(HELLO_NEEDS_AUTH)
    if name is not None:
        ctx.name = name
    if version:
        ctx.speak(version)
        ctx.server.pubsub.settle_standing(ctx)
    return Map(
        [
            (b"server", b"redis"),
            (b"version", REDIS_VERSION.encode()),
            (b"proto", ctx.resp),
            (b"id", ctx.id),
            (b"mode", b"standalone"),
            (b"role", ROLE_REPLICA if ctx.server.config.replicaof else ROLE_MASTER),
            (b"modules", []),
        ]
    )


def ping_together(ctx: Session, columns: Sequence[Sequence[bytes]]) -> Any:
    """`ping` for a run of them without a message."""
    return [PONG] * len(columns[0])


@connection.command(
    "PING",
    arity=-1,
    flags=FAST,
    since="1.0.0",
    complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:all_succeeded"),
    syntax="[message]",
    together=ping_together,
)
def ping(ctx: Session, argv: Argv) -> Any:
    """Answer, to show that the server does."""
    if len(argv) > 2:
        raise CommandError(b"ERR wrong number of arguments for 'ping' command")
    if ctx.mode & admission.SUBSCRIBED:
        return [b"pong", argv[1] if len(argv) == 2 else b""]
    return argv[1] if len(argv) == 2 else PONG


@connection.command(
    "ECHO",
    arity=2,
    flags=LOADING | STALE | FAST,
    since="1.0.0",
    complexity="O(1)",
    syntax="message",
)
def echo(ctx: Session, argv: Argv) -> bytes:
    """Return the argument."""
    return argv[1]


@connection.command(
    "SELECT",
    arity=2,
    flags=LOADING | STALE | FAST,
    since="1.0.0",
    complexity="O(1)",
    syntax="index",
)
def select(ctx: Session, argv: Argv) -> Any:
    """Use another database from now on."""
    number = int32(argv[1])
    databases = ctx.keyspace.databases
    if not 0 <= number < len(databases):
        raise CommandError(DB_OUT_OF_RANGE)
    ctx.db = databases[number]
    return OK


@connection.command(
    "QUIT",
    arity=-1,
    flags=NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
    since="1.0.0",
    complexity="O(1)",
    deprecated=("7.2.0", "closing the connection"),
)
def quit_(ctx: Session, argv: Argv) -> Any:
    """Answer, then close the connection; what was sent behind it is not run."""
    ctx.close_after_reply()
    return OK


@connection.command(
    "RESET",
    arity=1,
    flags=NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
    since="6.2.0",
    complexity="O(1)",
)
def reset(ctx: Session, argv: Argv) -> Any:
    """Bring the connection back to the state of a new one."""
    if ctx.kind in (b"replica", b"master"):
        raise CommandError(b"ERR can only reset normal client connections")
    was_silent = ctx.reply_mode == REPLY_OFF
    ctx.server.clients.reset(ctx)
    if was_silent:
        ctx.reply_mode = REPLY_ON
        ctx.emit(Status(b"RESET"))  # the batch under way was begun in silence
        return NO_REPLY
    return Status(b"RESET")
