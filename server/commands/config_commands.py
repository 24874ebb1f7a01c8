"""CONFIG: looking at the configuration, changing it, writing it back to its file.

Argument grammar and replies; values, refusals and the file belong to the Config object behind the context.
"""

from __future__ import annotations

from protocol.reply import OK, Map
from server import admission
from server.disk import OPEN, RENAME, SYNC, SYNC_DIRECTORY, WRITE, ReplaceFailure
from server.locality import is_local
from server.registry import ADMIN, LOADING, NOSCRIPT, STALE, Group
from storage.errors import SYNTAX_ERROR, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from server.session import Session

    Argv = Sequence[bytes]

config = Group("server")

FLAGS = ADMIN | NOSCRIPT | LOADING | STALE
# How the log calls what failed when the file was to be replaced.
STEPS = {
    OPEN: "Could not create tmp config file",
    WRITE: "Failed writing to tmp config file",
    SYNC: "Could not sync tmp config file to disk",
    RENAME: "Could not rename tmp config file",
    SYNC_DIRECTORY: "Could not sync config file dir",
}
ON_EVERY_NODE = ("request_policy:all_nodes", "response_policy:all_succeeded")

config.container(
    "CONFIG",
    since="2.0.0",
    summary="A container of the commands that look at and change the configuration.",
)


@config.command(
    "CONFIG|GET",
    arity=-3,
    flags=FLAGS,
    since="2.0.0",
    complexity="O(N), N = parameters given",
    history=(("7.0.0", "Takes several patterns."),),
    syntax="parameter...",
)
def config_get(ctx: Session, argv: Argv) -> Map:
    """List the directives whose names match, with their values."""
    return Map(ctx.server.config.get(argv[2:]))


@config.command(
    "CONFIG|RESETSTAT",
    arity=2,
    flags=FLAGS,
    since="2.0.0",
    complexity="O(1)",
    tips=ON_EVERY_NODE,
)
def config_resetstat(ctx: Session, argv: Argv) -> Any:
    """Set the counters that INFO shows back to zero."""
    ctx.server.info.reset_statistics()
    return OK


@config.command(
    "CONFIG|REWRITE",
    arity=2,
    flags=FLAGS,
    since="2.8.0",
    complexity="O(1)",
    tips=ON_EVERY_NODE,
)
def config_rewrite(ctx: Session, argv: Argv) -> Any:
    """Write the present values into the configuration file, which keeps its comments and order."""
    server = ctx.server
    try:
        server.config.rewrite()
    except CommandError as refusal:
        cause = refusal.__cause__
        if isinstance(cause, OSError):  # without a file nothing has failed: sentinels ask whether there is one or not
            if isinstance(cause, ReplaceFailure):
                server.log.warning(f"{STEPS[cause.step]} ({cause.strerror})")
            server.log.warning(f"CONFIG REWRITE failed: {cause.strerror or cause}")
        raise
    server.log.notice("CONFIG REWRITE executed with success.")
    return OK


@config.command(
    "CONFIG|SET",
    arity=-4,
    flags=FLAGS,
    since="2.0.0",
    complexity="O(N), N = parameters given",
    history=(("7.0.0", "Sets several parameters."),),
    tips=ON_EVERY_NODE,
    syntax="(parameter value)...",
)
def config_set(ctx: Session, argv: Argv) -> Any:
    """Change directives: all that are named, or none."""
    if len(argv) % 2:
        raise CommandError(SYNTAX_ERROR)
    server = ctx.server
    is_loading = bool(server.dispatch.mode & (admission.LOADING_DATA | admission.LOADING_ASIDE))
    server.config.set(list(zip(argv[2::2], argv[3::2])), is_local(ctx), is_loading)
    return OK
