"""The server's side of `rediselect.run()`: `child.py PORT PRIVATE_DIRECTORY [--option value ...]`.

Standard input is a pipe from the parent: when it ends, the parent wants the server to end, or is no more. Standard
output is a pipe to the parent: one line, the port, is written when the server is ready. Both work on every platform,
and no signal is needed. PORT 0 takes a free one, bound here, so that nobody can be faster. The private directory is
removed here only for a parent that is no more: one that lives writes a byte before it closes the pipe.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # By its path, not as a module: nothing of the parent's path matters. sys.path[0] is this folder.
    sys.path[0] = os.path.dirname(os.path.abspath(__file__))
    from parts import find_packages  # type: ignore[import-not-found,unused-ignore]

    sys.path[0] = find_packages()

from server.__main__ import launch
from server.app import Application
from server.config.command_line import ProgramEnds
from server.lifecycle import FORCE, NOW
from server.listeners import BindFailure, bind_tcp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ATTEMPTS = 50  # at a port that is free for the first address and taken for another


def bind_free_port(application: Any) -> None:
    """Listen on one free port at every address of `bind`."""
    config, log = application.config, application.log
    for attempt in range(ATTEMPTS):
        sockets = bind_tcp(config.bind[:1], 0, config.tcp_backlog, log)
        port = sockets[0].getsockname()[1]
        try:
            if config.bind[1:]:
                sockets += bind_tcp(config.bind[1:], port, config.tcp_backlog, log)
        except BindFailure:
            sockets[0].close()
            if attempt == ATTEMPTS - 1:
                raise
            continue
        config.port = port
        application.listening.bound_before = sockets
        return


def main(arguments: list[str]) -> None:
    """Serve until the parent lets go; does not return."""
    takes_free_port, private = arguments[0] == "0", arguments[1]
    told: list[bool] = []  # by the parent, that the directory is its own affair
    over: list[bool] = []  # the pipe ended
    report = os.dup(1)
    os.dup2(2, 1)  # the log goes where errors go: to the parent's file

    def prepare(application: Application) -> None:
        def release() -> None:
            if os.name != "nt" and os.read(0, 4096):
                told.append(True)
                return
            over.append(True)
            application.reactor.unwatch(source)
            # Nobody is left to wait for replicas, or to be told that a last save failed.
            application.services.lifecycle.shut_down(NOW | FORCE, None)

        def tell() -> None:
            os.write(report, b"%d\n" % application.config.port)
            os.close(report)

        if takes_free_port and not application.config.unixsocket:
            bind_free_port(application)
        source = standard_input(told)
        application.reactor.watch(source, release)
        application.on_ready.append(tell)

    code = 1
    try:
        code = launch(arguments[2:], prepare)
    except ProgramEnds as end:
        code = end.finish()
    except BindFailure as error:
        sys.stderr.write("%s\n" % error)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        if private and over and not told:
            import shutil

            os.chdir(os.path.dirname(private))
            if os.name == "nt":
                os.close(1)  # an open file cannot be removed
                os.close(2)
            shutil.rmtree(private, ignore_errors=True)
        os._exit(code)


def standard_input(told: list[bool]) -> Any:
    """What the reactor can watch for the end of standard input."""
    if os.name != "nt":
        return 0
    # Windows selects sockets only: a thread waits for the pipe and hands on its end.
    import socket
    import threading

    ours, theirs = socket.socketpair()

    def wait() -> None:
        while os.read(0, 4096):
            told.append(True)
        theirs.close()

    threading.Thread(target=wait, daemon=True).start()
    return ours


if __name__ == "__main__":
    main(sys.argv[1:])
