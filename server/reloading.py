"""DEBUG RELOAD and LOADAOF: the data set goes to disk and back while the server runs.

Both are the loader that a start uses. They serve testers, who find with them what a restart would lose.
"""

from __future__ import annotations

from protocol.reply import OK
from server.append_log import ON
from server.loading import LoadFailure, LoadStopped, whole_path
from storage.errors import CommandError
from storage.events import FLUSHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session

RELOAD_FAILED = b"ERR Error trying to load the RDB dump, check server logs."
LOG_FAILED = b"ERR Error trying to load the AOF files, check server logs."
UNKNOWN_OPTION = b"ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."


def forget_data(ctx: Session) -> None:
    """Empty every database, and forget the functions. Who watches or tracks keys is told, replicas are not: what is
    there comes back at once.
    """
    ctx.server.functions.flush()
    for db in ctx.keyspace.databases:
        db.flush()
        db.changed(None, FLUSHED, 0)
    ctx.server.dispatch.settle(None, None, None)  # the loader begins with a clean slate


def reload_snapshot(ctx: Session, argv: Sequence[bytes]) -> Any:
    """DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]: save, empty, load."""
    options = {word.upper() for word in argv[2:]}
    if options - {b"MERGE", b"NOFLUSH", b"NOSAVE"}:
        raise CommandError(UNKNOWN_OPTION)
    server = ctx.server
    if b"NOSAVE" not in options and not server.persistence.snapshots.save():
        raise CommandError(b"ERR")
    if b"NOFLUSH" not in options:
        forget_data(ctx)

    def read() -> None:
        name = server.config.dbfilename
        if not server.loader.load_snapshot(name, replaces=b"MERGE" in options):
            raise LoadFailure("The RDB file %s doesn't exist" % whole_path(name))

    load(ctx, read)
    server.log.notice("DB reloaded by DEBUG RELOAD")
    return OK


def reload_log(ctx: Session, argv: Sequence[bytes]) -> Any:
    """DEBUG LOADAOF: write out what is logged, empty, run the log."""
    server = ctx.server
    persistence = server.persistence
    if persistence.append_log.state == ON:
        persistence.append_log.flush(forced=True)
    forget_data(ctx)

    def replay() -> None:
        # From the disk, as a start would: a rewrite makes files also where nothing is logged.
        persistence.append_log.files.read()
        if not persistence.rewrite.replay():
            raise LoadFailure("The append only file doesn't exist")

    load(ctx, replay, LOG_FAILED)
    server.keyspace.dirty = 0
    server.log.notice("Append Only File loaded by DEBUG LOADAOF")
    return OK


def load(ctx: Session, call: Any, refusal: bytes = RELOAD_FAILED) -> None:
    try:
        call()
    except LoadFailure as failure:
        for line in failure.lines:
            ctx.server.log.warning(line)
        raise CommandError(refusal) from None
    except LoadStopped:
        raise CommandError(refusal) from None
    finally:
        ctx.server.loader.lapsed_keys.clear()  # of a start only are replicas told of them


SUBCOMMANDS = {
    b"RELOAD": (0, -1, reload_snapshot),
    b"LOADAOF": (0, -1, reload_log),
}
