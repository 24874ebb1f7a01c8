"""CLIENT: who is connected, and what one client may do about itself and the others.

Argument grammar and replies; a client's line is made in `server.client_description`, closing and pausing belong to the
clients behind the context. CLIENT TRACKING and CACHING stand with client tracking.
"""

from __future__ import annotations

from protocol.reply import NO_REPLY, OK, Map, SetReply, Verbatim
from server import admission
from server.client_description import describe
from server.client_names import check_name
from server.number_arguments import integer
from server.registry import ADMIN, LOADING, NOSCRIPT, STALE, Group, subcommand_syntax
from server.session import DOOMED, REPLY_OFF, REPLY_ON, REPLY_SKIP_NEXT
from server.timeout_arguments import timeout_of_milliseconds
from storage.errors import (
    SYNTAX_ERROR,
    CommandError,
)
from storage.text import c_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

connection = Group("connection")

KINDS = {b"normal": b"normal", b"slave": b"replica", b"replica": b"replica", b"pubsub": b"pubsub", b"master": b"master"}


connection.container(
    "CLIENT",
    since="2.4.0",
    summary="A container of the commands about connections.",
)


def kind_named(word: bytes) -> bytes:
    """The class of clients that TYPE names."""
    kind = KINDS.get(c_text(word).lower())
    if kind is None:
        raise CommandError(b"ERR Unknown client type '%b'" % c_text(word))
    return kind


def switch(word: bytes) -> bool:
    """ON or OFF."""
    state = c_text(word).upper()
    if state not in (b"ON", b"OFF"):
        raise CommandError(SYNTAX_ERROR)
    return state == b"ON"


# Looking -------------------------------------------------------------------------------------------------------


@connection.command(
    "CLIENT|ID",
    arity=2,
    flags=NOSCRIPT | LOADING | STALE,
    since="5.0.0",
    complexity="O(1)",
)
def client_id(ctx: Session, argv: Argv) -> int:
    """Return the number of this connection, which is never used again."""
    return ctx.id


@connection.command(
    "CLIENT|INFO",
    arity=2,
    flags=NOSCRIPT | LOADING | STALE,
    since="6.2.0",
    complexity="O(1)",
    tips=("nondeterministic_output",),
)
def client_info(ctx: Session, argv: Argv) -> Verbatim:
    """Describe this connection as CLIENT LIST does."""
    return Verbatim(b"txt", describe(ctx, argv) + b"\n")


@connection.command(
    "CLIENT|LIST",
    arity=-2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="2.4.0",
    complexity="O(N), N = clients",
    history=(
        ("2.8.12", "Field id."),
        ("5.0.0", "TYPE."),
        ("6.0.0", "Field user."),
        ("6.2.0", "Fields argv-mem, tot-mem, laddr and redir; ID."),
        ("7.0.0", "Fields resp, multi-mem, rbs and rbp."),
        ("7.0.3", "Field ssub."),
    ),
    tips=("nondeterministic_output",),
    syntax="client-type=[TYPE (NORMAL | MASTER | REPLICA | PUBSUB)@5.0.0] [ID client-id@6.2.0...]",
)
def client_list(ctx: Session, argv: Argv) -> Verbatim:
    """Describe all connections, or those of a type or with certain numbers, one on each line."""
    clients = ctx.server.clients
    option = c_text(argv[2]).upper() if len(argv) > 2 else b""
    if len(argv) == 2:
        chosen = list(clients)
    elif option == b"TYPE" and len(argv) == 4:
        kind = kind_named(argv[3])
        chosen = [session for session in clients if session.kind == kind]
    elif option == b"ID" and len(argv) > 3:
        numbers = [integer(word, b"ERR Invalid client ID") for word in argv[3:]]
        chosen = [clients.by_id[number] for number in numbers if number in clients.by_id]
    else:
        raise CommandError(SYNTAX_ERROR)
    lines = [describe(session, argv if session is ctx else None) + b"\n" for session in chosen]
    return Verbatim(b"txt", b"".join(lines))


# This client ---------------------------------------------------------------------------------------------------


@connection.command(
    "CLIENT|SETNAME",
    arity=3,
    flags=NOSCRIPT | LOADING | STALE,
    since="2.6.9",
    complexity="O(1)",
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
    syntax="connection-name",
)
def client_setname(ctx: Session, argv: Argv) -> Any:
    """Name this connection; an empty name takes it away."""
    check_name(argv[2])
    ctx.name = argv[2]
    return OK


@connection.command(
    "CLIENT|GETNAME",
    arity=2,
    flags=NOSCRIPT | LOADING | STALE,
    since="2.6.9",
    complexity="O(1)",
)
def client_getname(ctx: Session, argv: Argv) -> bytes | None:
    """Return the name of this connection."""
    return ctx.name or None


@connection.command(
    "CLIENT|SETINFO",
    arity=4,
    flags=NOSCRIPT | LOADING | STALE,
    since="7.2.0",
    complexity="O(1)",
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
    syntax="attr=(LIB-NAME libname | LIB-VER libver)",
)
def client_setinfo(ctx: Session, argv: Argv) -> Any:
    """Tell the name or the version of the library that the client uses."""
    attribute = c_text(argv[2]).upper()
    if attribute not in (b"LIB-NAME", b"LIB-VER"):
        raise CommandError(b"ERR Unrecognized option '%b'" % c_text(argv[2]))
    check_name(argv[3], argv[2])
    if attribute == b"LIB-NAME":
        ctx.lib_name = argv[3]
    else:
        ctx.lib_ver = argv[3]
    return OK


@connection.command(
    "CLIENT|REPLY",
    arity=3,
    flags=NOSCRIPT | LOADING | STALE,
    since="3.2.0",
    complexity="O(1)",
    syntax="action=(ON | OFF | SKIP)",
)
def client_reply(ctx: Session, argv: Argv) -> Any:
    """Silence the replies to this connection, all or the next one, or let them be heard again."""
    word = c_text(argv[2]).upper()
    if word == b"ON":
        if ctx.reply_mode == REPLY_ON:
            return OK
        ctx.reply_mode = REPLY_ON
        if ctx.server.dispatch.depth:
            return OK  # EXEC sees to it
        ctx.emit(OK)  # the batch under way was begun in silence
    elif word == b"OFF":
        ctx.reply_mode = REPLY_OFF
    elif word == b"SKIP":
        if ctx.reply_mode != REPLY_OFF:
            ctx.reply_mode = REPLY_SKIP_NEXT
    else:
        raise CommandError(SYNTAX_ERROR)
    return NO_REPLY


@connection.command(
    "CLIENT|NO-EVICT",
    arity=3,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="7.0.0",
    complexity="O(1)",
    syntax="(ON | OFF)",
)
def client_no_evict(ctx: Session, argv: Argv) -> Any:
    """Keep this connection when clients are closed to save memory."""
    ctx.no_evict = switch(argv[2])
    return OK


@connection.command(
    "CLIENT|NO-TOUCH",
    arity=3,
    flags=NOSCRIPT | LOADING | STALE,
    since="7.2.0",
    complexity="O(1)",
    syntax="(ON | OFF)",
)
def client_no_touch(ctx: Session, argv: Argv) -> Any:
    """Let this connection's commands leave no trace in the access times of keys."""
    ctx.set_mode(admission.NO_TOUCH, switch(argv[2]))
    return OK


@connection.command(
    "CLIENT|GETREDIR",
    arity=2,
    flags=NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(1)",
)
def client_getredir(ctx: Session, argv: Argv) -> int:
    """Return where this connection's invalidations go: a connection's number, 0 here, -1 for no tracking."""
    return -1 if ctx.tracking is None else ctx.tracking.redirect


@connection.command(
    "CLIENT|TRACKINGINFO",
    arity=2,
    flags=NOSCRIPT | LOADING | STALE,
    since="6.2.0",
    complexity="O(1)",
)
def client_trackinginfo(ctx: Session, argv: Argv) -> Map:
    """Say whether and how this connection is told of keys that change."""
    tracking = ctx.tracking
    if tracking is None:
        flags, redirect, prefixes = [b"off"], -1, []
    else:
        flags, redirect, prefixes = tracking.flag_names(), tracking.redirect, sorted(tracking.prefixes)
    return Map([(b"flags", SetReply(flags)), (b"redirect", redirect), (b"prefixes", prefixes)])


# Other clients -------------------------------------------------------------------------------------------------


def kill_filter(ctx: Session, argv: Argv) -> tuple[List[Callable[[Session], bool]], bool]:
    """The tests that CLIENT KILL's options make, and whether the caller is spared. Of an option given twice the last
    one counts."""
    tests = {}
    spares_caller = True
    if len(argv) % 2:
        raise CommandError(SYNTAX_ERROR)
    for at in range(2, len(argv), 2):
        option, word = c_text(argv[at]).upper(), argv[at + 1]
        if option == b"ID":
            refusal = b"ERR client-id should be greater than 0"
            number = integer(word, refusal)
            if number < 1:
                raise CommandError(refusal)
            tests[option] = lambda other, number=number: other.id == number
        elif option == b"MAXAGE":
            age = integer(word, b"ERR maxage is not an integer or out of range")
            if age < 1:
                raise CommandError(b"ERR maxage should be greater than 0")
            newest_s = ctx.now_ms // 1000 - age
            tests[option] = lambda other, newest_s=newest_s: other.created_ms // 1000 <= newest_s
        elif option == b"TYPE":
            kind = kind_named(word)
            tests[option] = lambda other, kind=kind: other.kind == kind
        elif option == b"ADDR":
            tests[option] = lambda other, word=word: other.address == word
        elif option == b"LADDR":
            tests[option] = lambda other, word=word: other.local_address == word
        elif option == b"USER":
            user = ctx.server.accounts.users.get(word)
            if user is None:
                raise CommandError(b"ERR No such user '%b'" % c_text(word))
            tests[option] = lambda other, user=user: other.user is user
        elif option == b"SKIPME":
            if c_text(word).lower() not in (b"yes", b"no"):
                raise CommandError(SYNTAX_ERROR)
            spares_caller = c_text(word).lower() == b"yes"
        else:
            raise CommandError(SYNTAX_ERROR)
    return list(tests.values()), spares_caller


@connection.command(
    "CLIENT|KILL",
    arity=-3,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="2.4.0",
    complexity="O(N), N = clients",
    history=(
        ("2.8.12", "Filters by name."),
        ("2.8.12", "ID."),
        ("3.2.0", "TYPE knows master."),
        ("5.0.0", "TYPE knows replica; slave is the old name."),
        ("6.2.0", "LADDR."),
        ("7.4.0", "MAXAGE."),
    ),
    syntax=(
        "filter=(old-format{ip:port}!2.8.12 | new-format=([ID client-id@2.8.12] | client-type=[TYPE "
        "(NORMAL | MASTER@3.2.0 | SLAVE | REPLICA@5.0.0 | PUBSUB)@2.8.12] | [USER username] | [ADDR "
        "addr{ip:port}] | [LADDR laddr{ip:port}@6.2.0] | [SKIPME (YES | NO)] | [MAXAGE maxage@7.4.0])...)"
    ),
)
def client_kill(ctx: Session, argv: Argv) -> Any:
    """Close connections: the one from an address, or all that pass every filter."""
    clients = ctx.server.clients
    address: Optional[bytes] = argv[2] if len(argv) == 3 else None
    if address is not None:
        tests, spares_caller = [lambda other: other.address == address], False
    else:
        tests, spares_caller = kill_filter(ctx, argv)
    killed = 0
    for other in list(clients):
        if other.halted & DOOMED or not all(test(other) for test in tests):
            continue
        if other is ctx:
            if spares_caller:
                continue
            ctx.close_after_reply()
        else:
            clients.kill(other)
        killed += 1
    if address is None:
        return killed
    if not killed:
        raise CommandError(b"ERR No such client")
    return OK


@connection.command(
    "CLIENT|UNBLOCK",
    arity=-3,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="5.0.0",
    complexity="O(log N), N = clients",
    syntax="client-id unblock-type=[TIMEOUT | ERROR]",
)
def client_unblock(ctx: Session, argv: Argv) -> int:
    """End another connection's wait in a blocking command, as if its time were up or with an error."""
    if len(argv) > 4:
        raise CommandError(subcommand_syntax(argv))
    with_error = False
    if len(argv) == 4:
        reason = c_text(argv[3]).upper()
        if reason not in (b"TIMEOUT", b"ERROR"):
            raise CommandError(b"ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
        with_error = reason == b"ERROR"
    number = integer(argv[2])
    server = ctx.server
    other = server.clients.by_id.get(number)
    return int(other is not None and server.blocking.unblock(other, with_error))


@connection.command(
    "CLIENT|PAUSE",
    arity=-3,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="3.0.0",
    complexity="O(1)",
    history=(("6.2.0", "A mode, which may be WRITE."),),
    syntax="timeout:integer mode=[WRITE | ALL]@6.2.0",
)
def client_pause(ctx: Session, argv: Argv) -> Any:
    """Let all clients, or those that write, wait for some time."""
    if len(argv) > 4:
        raise CommandError(subcommand_syntax(argv))
    everything = True
    if len(argv) == 4:
        mode = c_text(argv[3]).upper()
        if mode not in (b"WRITE", b"ALL"):
            raise CommandError(b"ERR CLIENT PAUSE mode must be WRITE or ALL")
        everything = mode == b"ALL"
    duration_ms = timeout_of_milliseconds(argv[2], ctx.now_ms)
    if duration_ms:
        ctx.server.clients.pause(ctx.now_ms + duration_ms, everything)
    return OK


@connection.command(
    "CLIENT|UNPAUSE",
    arity=2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="6.2.0",
    complexity="O(N), N = paused clients",
)
def client_unpause(ctx: Session, argv: Argv) -> Any:
    """End a pause: whoever waits goes on."""
    ctx.server.clients.unpause()
    return OK
