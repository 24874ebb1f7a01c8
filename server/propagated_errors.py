"""Errors where there can be none: a command of the master's stream or of the log, which ran once, is refused.

Somebody's data differs from what it was there. It is said in Redis's words, counted, and with
`propagation-error-behavior panic` the end of the process, which testers of replication ask for.
"""

from __future__ import annotations

import os

from server.log import shown
from storage.errors import INDEX_OUT_OF_RANGE, NO_SUCH_KEY, SAME_OBJECT, SYNTAX_ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from server.services import Services

REPLICA_TO_MASTER = ("replica", "master")
MASTER_TO_REPLICA = ("master", "replica")
SERVER_TO_LOG = ("server", "AOF-loading-client")
WHOLE = frozenset((SYNTAX_ERROR, NO_SUCH_KEY, SAME_OBJECT, INDEX_OUT_OF_RANGE))  # Redis keeps these with their dash


def report(services: Services, ends: tuple[str, str], text: bytes, command: bytes) -> None:
    """`ends`: who sends the error, and to whom. `command`: what was being run, EXEC for all of a transaction."""
    config = services.config
    reply = text[4:] if text.startswith(b"ERR ") and text not in WHOLE else b"-" + text
    name = shown(command)
    services.stats.unexpected_errors += 1
    services.log.warning(
        "== CRITICAL == This %s is sending an error to its %s: '%s' after processing the command '%s'"
        % (*ends, shown(reply), name)
    )
    behaviour = config.propagation_error_behavior
    if (ends == SERVER_TO_LOG and behaviour == "panic") or (
        ends == REPLICA_TO_MASTER and behaviour != "ignore" and config.replica_read_only
    ):
        services.log.warning(
            "Guru Meditation: This %s panicked sending an error to its %s after processing the command '%s'"
            % (*ends, name)
        )
        if config.use_exit_on_panic:
            os._exit(1)
        os.abort()
