"""The commands `rediselect` and `rediselect-server`, and `python3 -m rediselect`.

    rediselect-server [redis.conf] [--option value ...]     serve, as `python3 -m server` in a checkout
    rediselect ping | cli | check | server ...              the tools; anything else is a server's command line
"""

from __future__ import annotations

import os
import sys

if not __package__:  # run by its path
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from rediselect.parts import open_path

USAGE = """\
Usage: rediselect server [redis.conf] [--option value ...]   serve; `rediselect-server` is the same
       rediselect ping [-h HOST] [-p PORT] [-s SOCKET] [-a PASSWORD] [-t SECONDS]
                                                            exit code 0 if a server answers and is ready
       rediselect cli [the same] [-n DB] [-3] [COMMAND ...]  send a command, or the lines of standard input
       rediselect check FILE [--fix]                        look through a snapshot, a log or its manifest
       rediselect --version
"""


def serve() -> None:
    """`rediselect-server`: does not return."""
    serve_with(sys.argv[1:])


def serve_with(arguments: list[str]) -> None:
    open_path()
    from server.__main__ import main as serve_until_end

    code = serve_until_end(arguments)
    sys.stdout.flush()
    # As `python3 -m server` ends: without freeing the keys one by one.
    os._exit(code)


def main() -> int:
    """`rediselect`: returns the exit code, unless it serves."""
    arguments = sys.argv[1:]
    word = arguments[0] if arguments else ""
    if word in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if word == "child":
        # Not for people: how rediselect.run() starts a server out of a zip file.
        open_path()
        from rediselect import child

        child.main(arguments[1:])
    elif word == "ping":
        from rediselect import line_client

        return line_client.ping(arguments[1:])
    elif word == "cli":
        from rediselect import line_client

        return line_client.main(arguments[1:])
    elif word == "check":
        open_path()
        from rediselect import checking

        return checking.main(arguments[1:])
    serve_with(arguments[1:] if word == "server" else arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
