"""The command line: `[redis.conf] [--option value ...] [-]`, and the words that ask for something else than
serving.

Owns the forms in which options may be given. They become lines of configuration, read after the file and
standard input. Must not know any directive, except `save`, whose value may be left out.
"""

from __future__ import annotations

import os
import sys

from server.config.configuration import Config
from server.config.files import ConfigurationError, FileReader
from server.version import ALLOCATOR, REDIS_VERSION, VERSION
from storage.text import UnbalancedQuotes, quoted, split_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Optional

    from server.config.configuration import TakeWords

USAGE = """\
Usage: {program} [/path/to/redis.conf] [options] [-]
       {program} -                 read the configuration from standard input
       {program} -v | --version
       {program} -h | --help

Every directive of redis.conf is an option: --port 7777 is the line "port 7777", read after the
file, so that the command line has the last word. Values that are several words may be given as
several arguments or as one.

Examples:
       {program}                                        serve on port 6379
       {program} /etc/redis/6379.conf
       {program} --port 7777 --replicaof 127.0.0.1 8888
       {program} /etc/redis/6379.conf --loglevel verbose
       echo 'maxmemory 128mb' | {program} -
"""


def program() -> str:
    """What this process was started as, for advice: the name of the command, or how a checkout is run."""
    name = os.path.basename(sys.argv[0])
    return "python3 -m server" if name in ("", "-c", "-m", "__main__.py", "child.py") else name


class ProgramEnds(Exception):
    """The command line asked for no server, or is wrong: write `out` and `err`, leave with `code`."""

    def __init__(self, code: int, out: str = "", err: str = "") -> None:
        Exception.__init__(self, code)
        self.code = code
        self.out = out
        self.err = err

    def finish(self) -> int:
        """Write what there is to say and return the exit code."""
        # Escaped rather than failing: a path or a line of the file may hold any bytes.
        for stream, text in ((sys.stdout, self.out), (sys.stderr, self.err)):
            if text:
                encoding = stream.encoding or "utf-8"
                stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
                stream.flush()
        return self.code


class Invocation:
    """What the arguments say: a file, whether standard input is read, options as lines of configuration."""

    __slots__ = ("path", "reads_standard_input", "options")

    def __init__(self, path: bytes, reads_standard_input: bool, options: bytes) -> None:
        self.path = path
        self.reads_standard_input = reads_standard_input
        self.options = options


def version_line() -> str:
    """The answer to --version, in the form that launchers parse."""
    bits = 64 if sys.maxsize > 2**32 else 32
    names = f"v={REDIS_VERSION} sha=00000000:0 malloc={ALLOCATOR} bits={bits} build=rediselect-{VERSION}"
    return f"Redis server {names}\n"


def parse_arguments(arguments: list[bytes]) -> Invocation:
    """Understand the process's arguments (without its name). Raises ProgramEnds for --version, --help."""
    if arguments:
        _answer_request(arguments)
    path = b""
    if arguments and not arguments[0].startswith(b"-"):
        path = os.path.abspath(arguments[0])
        arguments = arguments[1:]
        first = 1
    else:
        first = 0
    reads_standard_input = False
    lines: list[list[bytes]] = []
    may_be_option = True  # false right after a bare --name: whatever comes is its value, --like this too
    last = len(arguments) - 1
    for at, argument in enumerate(arguments):
        if argument == b"-" and (at + first == 0 or at == last):
            reads_standard_input = True
        elif may_be_option and argument.startswith(b"--"):
            line = [argument[2:]]
            lines.append(line)
            if _is_bare_name(argument):
                follower = arguments[at + 1] if at < last else None
                if argument.lower() == b"--save" and (follower is None or follower.startswith(b"--")):
                    line.append(b'""')  # an empty list of save points, as shells leave it
                else:
                    may_be_option = False
        else:
            if not lines:
                lines.append([])
            lines[-1].append(quoted(argument))
            may_be_option = True
    return Invocation(path, reads_standard_input, b"\n".join([b" ".join(line) for line in lines]))


def configure(arguments: list[str], judges: Optional[Mapping[str, TakeWords]] = None) -> Config:
    """Build the configuration of a process from its arguments, reading the files they name.

    `judges` say what is wrong with lines kept for other parts (see FileReader). Raises ProgramEnds, and UnreadableFile,
    whose message belongs to the log.
    """
    invocation = parse_arguments([os.fsencode(argument) for argument in arguments])
    config = Config()
    config.config_file = invocation.path
    standard_input = sys.stdin.buffer.read() if invocation.reads_standard_input else None
    try:
        FileReader(config, judges).read(invocation.path, standard_input, invocation.options)
    except ConfigurationError as error:
        raise ProgramEnds(1, err=error.message) from None
    return config


def _answer_request(arguments: list[bytes]) -> None:
    request = arguments[0]
    if request in (b"-v", b"--version"):
        raise ProgramEnds(0, version_line())
    if request in (b"-h", b"--help"):
        raise ProgramEnds(1, err=USAGE.replace("{program}", program()))
    if request == b"--test-memory":
        raise ProgramEnds(1, err="--test-memory is not supported: Python cannot test the machine's memory\n")
    if request == b"--check-system":
        from server.greeting import check_system

        text, all_well = check_system()
        raise ProgramEnds(0 if all_well else 1, text)


def _is_bare_name(argument: bytes) -> bool:
    try:
        return len(split_arguments(argument)) == 1
    except UnbalancedQuotes:
        return False
