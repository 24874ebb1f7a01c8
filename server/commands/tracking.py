"""CLIENT TRACKING and CLIENT CACHING: telling a client when keys change that it keeps in a cache of its own."""

from __future__ import annotations

from protocol.reply import OK
from server import admission
from server.number_arguments import integer
from server.registry import LOADING, NOSCRIPT, STALE, Group
from storage.errors import SYNTAX_ERROR, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

connection = Group("connection")

OPTIONS = (b"BCAST", b"OPTIN", b"OPTOUT", b"NOLOOP")


@connection.command(
    "CLIENT|TRACKING",
    arity=-3,
    flags=NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(1), more with some options",
    syntax="status=(ON | OFF) [REDIRECT client-id] [PREFIX prefix]... [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
)
def client_tracking(ctx: Session, argv: Argv) -> Any:
    """Begin or end to be told when keys change that this connection has read."""
    redirect = 0
    options: List[bytes] = []
    prefixes: List[bytes] = []
    words = iter(argv[3:])
    for word in words:
        option = word.upper()
        if option in OPTIONS:
            options.append(option)
            continue
        value = next(words, None)
        if value is None:
            raise CommandError(SYNTAX_ERROR)
        if option == b"PREFIX":
            prefixes.append(value)
        elif option == b"REDIRECT":
            redirect = redirection(ctx, value, redirect)
        else:
            raise CommandError(SYNTAX_ERROR)
    status = argv[2].upper()
    if status == b"ON":
        judge(ctx, options, prefixes)
        ctx.server.tracking.enable(ctx, redirect, options, prefixes)
    elif status == b"OFF":
        ctx.server.tracking.forget(ctx)
    else:
        raise CommandError(SYNTAX_ERROR)
    return OK


def redirection(ctx: Session, word: bytes, given: int) -> int:
    """The id that REDIRECT names; its client has to be there, now at least."""
    if given:
        raise CommandError(b"ERR A client can only redirect to a single other client")
    number = integer(word)
    if number not in ctx.server.clients.by_id:
        raise CommandError(b"ERR The client ID you want redirect to does not exist")
    return number


def judge(ctx: Session, options: Argv, prefixes: Argv) -> None:
    """Refuse options that contradict each other or what the client does already."""
    broadcasts = b"BCAST" in options
    opts_in, opts_out = b"OPTIN" in options, b"OPTOUT" in options
    tracking = ctx.tracking
    if prefixes and not broadcasts:
        raise CommandError(b"ERR PREFIX option requires BCAST mode to be enabled")
    if tracking is not None and tracking.is_broadcasting != broadcasts:
        raise CommandError(
            b"ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling "
            b"it with a different mode."
        )
    if broadcasts and (opts_in or opts_out):
        raise CommandError(b"ERR OPTIN and OPTOUT are not compatible with BCAST")
    if opts_in and opts_out:
        raise CommandError(b"ERR You can't specify both OPTIN mode and OPTOUT mode")
    if tracking is not None and ((opts_in and tracking.opts_out) or (opts_out and tracking.opts_in)):
        raise CommandError(
            b"ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling "
            b"it with a different mode."
        )
    if broadcasts:
        ctx.server.tracking.refuse_overlap(ctx, prefixes)


@connection.command(
    "CLIENT|CACHING",
    arity=3,
    flags=NOSCRIPT | LOADING | STALE,
    since="6.0.0",
    complexity="O(1)",
    syntax="(YES | NO)",
)
def client_caching(ctx: Session, argv: Argv) -> Any:
    """Have the next command's keys tracked (OPTIN), or not tracked (OPTOUT)."""
    tracking = ctx.tracking
    if tracking is None:
        raise CommandError(
            b"ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode "
            b"enabled"
        )
    word = argv[2].upper()
    if word == b"YES":
        if not tracking.opts_in:
            raise CommandError(b"ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
    elif word == b"NO":
        if not tracking.opts_out:
            raise CommandError(b"ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
    else:
        raise CommandError(SYNTAX_ERROR)
    ctx.set_mode(admission.CACHING, True)
    return OK
