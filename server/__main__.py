"""`python3 -m server [redis.conf] [--option value ...] [-]`: the process.

Only what must come before the application: the command line, the log, the exit code.
"""

from __future__ import annotations

import os
import sys

OLDEST = (3, 9)
if sys.version_info < OLDEST:  # pip would have refused; a checkout or a zip file is run by whatever there is
    sys.exit("rediselect needs Python %d.%d or newer, this is %d.%d" % (OLDEST + sys.version_info[:2]))

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional

    from server.app import Application


def main(arguments: list[str]) -> int:
    """Run a server; returns the exit code of the process."""
    from server.config.command_line import ProgramEnds

    try:
        return launch(arguments)
    except ProgramEnds as end:
        return end.finish()


def launch(arguments: list[str], prepare: Optional[Callable[[Application], None]] = None) -> int:
    """Run a server that was prepared by whoever embeds it. Raises ProgramEnds."""
    from server.config.command_line import configure
    from server.config.files import UnreadableFile
    from server.declarations import Declarations
    from server.log import Log

    log = Log()
    try:
        config = configure(arguments, Declarations(log.warning).judges())
    except UnreadableFile as error:
        log.warning(str(error))
        return 1
    if config.daemonize and sys.platform != "win32":
        from server.daemon import detach
        from server.supervision import supervisor_of

        if supervisor_of(config) == "no":
            detach()
    log = Log(config.loglevel, config.logfile)
    log.follow(config)
    if config.daemonize and sys.platform == "win32":
        log.warning("This platform has no fork: the server stays in the foreground")
    from server.app import Application
    from server.crash import watched
    from server.garbage import keep_survivors

    application = Application(config, log, bool(arguments))
    if prepare is not None:
        prepare(application)
    keep_survivors()
    return watched(application.serve)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # The interpreter would free a million keys one by one before it ends; the system does it at once.
    os._exit(code)
