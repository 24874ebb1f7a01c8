"""What of DEBUG sets a switch in another part, or starts the process anew: for those who test servers.

A switch that has no counterpart here (the reply buffers and dictionaries of Redis that could be resized, the packets of
a cluster) is taken and judged as in Redis and changes nothing. Must not know how the parts use what is set.
"""

from __future__ import annotations

import os
import sys
from time import sleep

from protocol.reply import OK
from server.clients import REPLY_PEAK_MS
from server.lifecycle import NOW
from server.registry import subcommand_syntax
from storage.errors import NOT_AN_INTEGER, CommandError
from storage.numeric import leading_int, parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Sequence, Tuple

    from server.services import Services
    from server.session import Session

    Argv = Sequence[bytes]

RESTART_FAILED = b"ERR failed to restart the server. Check server logs."
NO_CLUSTER = b"ERR Debug option only available for cluster mode enabled setup!"


class DebugSwitches:
    """The switches of one server. `table` is for `services.debug_subcommands`."""

    def __init__(self, services: Services, append_log: Any) -> None:
        self.services = services
        self.append_log = append_log
        self.expires_actively = True
        self.is_cron_paused = False

    def table(self) -> Dict[bytes, Tuple[int, int, Callable[[Session, Argv], Any]]]:
        """Name: fewest and most arguments (-1: any number), function."""
        return {
            b"AOF-FLUSH-SLEEP": (1, 1, self.sleep_before_log_writes),
            b"CLUSTERLINK": (3, 3, self.refuse_without_cluster),
            b"CONFIG-REWRITE-FORCE-ALL": (0, 0, self.rewrite_configuration),
            b"CRASH-AND-RECOVER": (0, -1, self.crash_and_recover),
            b"DICT-RESIZING": (1, 1, self.accept),
            b"DROP-CLUSTER-PACKET-FILTER": (1, 1, self.accept_number),
            b"LEAK": (1, 1, self.accept),
            b"PAUSE-CRON": (1, 1, self.pause_cron),
            b"REPLYBUFFER": (2, 2, self.accept_reply_buffer),
            b"RESTART": (0, -1, self.restart),
            b"SET-ACTIVE-EXPIRE": (1, 1, self.expire_actively),
            b"SET-DISABLE-DENY-SCRIPTS": (1, 1, self.admit_in_scripts),
            b"SET-SKIP-CHECKSUM-VALIDATION": (1, 1, self.skip_checksums),
        }

    # Periodic work ---------------------------------------------------------------------------------------------

    def expire_actively(self, ctx: Session, argv: Argv) -> Any:
        self.expires_actively = leading_int(argv[2]) != 0
        self.apply_expiry()
        return OK

    def pause_cron(self, ctx: Session, argv: Argv) -> Any:
        self.is_cron_paused = leading_int(argv[2]) != 0
        self.apply_expiry()
        self.services.lifecycle.hold(self.is_cron_paused)
        return OK

    def apply_expiry(self) -> None:
        self.services.keyspace.active_expiry = self.expires_actively and not self.is_cron_paused

    def sleep_before_log_writes(self, ctx: Session, argv: Argv) -> Any:
        self.append_log.pause_s = leading_int(argv[2]) / 1_000_000
        return OK

    def skip_checksums(self, ctx: Session, argv: Argv) -> Any:
        self.services.loader.checks_sums = leading_int(argv[2]) == 0
        return OK

    # Scripts ---------------------------------------------------------------------------------------------------

    def admit_in_scripts(self, ctx: Session, argv: Argv) -> Any:
        self.services.scripting.admits_denied = leading_int(argv[2]) != 0
        return OK

    # Without a counterpart -------------------------------------------------------------------------------------

    def accept(self, ctx: Session, argv: Argv) -> Any:
        return OK

    def accept_number(self, ctx: Session, argv: Argv) -> Any:
        try:
            parse_int(argv[2])
        except ValueError:
            raise CommandError(NOT_AN_INTEGER) from None
        return OK

    def accept_reply_buffer(self, ctx: Session, argv: Argv) -> Any:
        word = argv[2].upper()
        clients = self.services.clients
        if word == b"PEAK-RESET-TIME":
            known = {b"NEVER": -1, b"RESET": REPLY_PEAK_MS}
            if argv[3].upper() not in known:
                self.accept_number(ctx, argv[1:])
                known[argv[3].upper()] = int(argv[3])
            clients.reply_peak_ms = known[argv[3].upper()]
        elif word == b"RESIZING":
            clients.reply_buffers_shrink = leading_int(argv[3]) != 0
        else:
            raise CommandError(subcommand_syntax(argv))
        return OK

    def refuse_without_cluster(self, ctx: Session, argv: Argv) -> Any:
        raise CommandError(NO_CLUSTER)

    # The process -----------------------------------------------------------------------------------------------

    def rewrite_configuration(self, ctx: Session, argv: Argv) -> Any:
        config = self.services.config
        if not config.config_file:
            raise CommandError(b"ERR CONFIG-REWRITE-FORCE-ALL failed: Bad address")
        config.rewrite(everything=True)
        return OK

    def restart(self, ctx: Session, argv: Argv) -> Any:
        """Write the configuration and the data, then begin as the same process with the same arguments."""
        services = self.services
        try:
            if services.config.config_file:
                services.config.rewrite()
        except CommandError:
            raise CommandError(RESTART_FAILED) from None
        if services.lifecycle.run_steps(NOW) is not None:
            services.log.warning("Can't restart: error preparing for shutdown")
            raise CommandError(RESTART_FAILED)
        return self.execute(argv)

    def crash_and_recover(self, ctx: Session, argv: Argv) -> Any:
        """Begin anew without a word, as after a crash."""
        return self.execute(argv)

    def execute(self, argv: Argv) -> Any:
        delay_ms = leading_int(argv[2]) if len(argv) > 2 else 0
        sleep(max(0, delay_ms) / 1000)
        arguments = own_arguments()
        sys.stdout.flush()
        try:
            os.chdir(self.services.config.started_in)
            os.execv(arguments[0], arguments)
        except OSError as error:
            self.services.log.warning("Can't restart: %s" % error.strerror)
        raise CommandError(RESTART_FAILED)


def own_arguments() -> List[str]:
    """The command that started this process."""
    given = list(getattr(sys, "orig_argv", ()))  # from 3.10 on
    if given:
        return [sys.executable] + given[1:]
    if os.path.basename(sys.argv[0]) == "__main__.py":
        return [sys.executable, "-m", "server"] + sys.argv[1:]
    return [sys.executable] + sys.argv
