"""`rediselect ping` and `rediselect cli`: asking a server without redis-cli.

`ping` is for health checks: exit code 0 when the server answers and is ready to serve, 1 with the reason otherwise.
`cli` sends the command of its arguments, or each line of standard input, and prints replies as redis-cli's `--no-raw`
form does in outline. It is a tool for a look, not a replacement: no completion, no cluster, no reconnecting.
"""

from __future__ import annotations

import os
import sys

from rediselect.wire import Connection, ReplyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Tuple

PASSWORD_VARIABLE = "REDISCLI_AUTH"  # as redis-cli, so that no password shows in a list of processes
DEFAULT_TIMEOUT_S = 5.0
STREAMING = ("subscribe", "psubscribe", "ssubscribe", "monitor")
TAKES_VALUE = ("-h", "-p", "-s", "-a", "-n", "-t", "--user")


class BadUsage(Exception):
    """The command line cannot be understood."""


class Target:
    """Where to connect and as whom, from the options."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 6379
        self.unix = ""
        self.password = os.environ.get(PASSWORD_VARIABLE, "")
        self.user = ""
        self.db = 0
        self.timeout_s = DEFAULT_TIMEOUT_S
        self.resp3 = False

    def connect(self, timeout_s: float | None) -> Connection:
        """Raises OSError, ReplyError."""
        connection = Connection(self.host, self.port, self.unix, timeout_s)
        try:
            if self.password:
                connection.ask("AUTH", *([self.user] if self.user else []), self.password)
            if self.resp3:
                connection.ask("HELLO", 3)
            if self.db:
                connection.ask("SELECT", self.db)
        except BaseException:
            connection.close()
            raise
        return connection

    def describe(self) -> str:
        return self.unix or "%s:%d" % (self.host, self.port)


def parse(arguments: List[str]) -> Tuple[Target, List[str]]:
    """The target and what follows the options. Raises BadUsage."""
    target = Target()
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        name = rest.pop(0)
        if name == "-3":
            target.resp3 = True
            continue
        if name not in TAKES_VALUE or not rest:
            raise BadUsage("unknown option %s" % name if name not in TAKES_VALUE else "%s needs a value" % name)
        value = rest.pop(0)
        try:
            if name == "-h":
                target.host = value
            elif name == "-p":
                target.port = int(value)
            elif name == "-s":
                target.unix = value
            elif name == "-a":
                target.password = value
            elif name == "--user":
                target.user = value
            elif name == "-n":
                target.db = int(value)
            else:
                target.timeout_s = float(value)
        except ValueError:
            raise BadUsage("%s takes a number, not %s" % (name, value)) from None
    return target, rest


def ping(arguments: List[str]) -> int:
    """`rediselect ping`: the exit code."""
    try:
        target, rest = parse(arguments)
        if rest:
            raise BadUsage("ping takes options only")
        with target.connect(target.timeout_s) as connection:
            connection.ask("PING")
    except BadUsage as error:
        return complain(str(error), 2)
    except ReplyError as error:
        return complain(str(error), 1)
    except OSError as error:
        return complain("%s: %s" % (target.describe(), error.strerror or error), 1)
    print("PONG")
    return 0


def complain(text: str, code: int) -> int:
    sys.stderr.write(text + "\n")
    return code


def main(arguments: List[str]) -> int:
    """`rediselect cli`: the exit code, 1 if a command was answered with an error."""
    try:
        target, words = parse(arguments)
        with target.connect(None) as connection:
            if words:
                return converse(connection, words)
            return read_lines(connection, target)
    except BadUsage as error:
        return complain(str(error), 2)
    except ReplyError as error:
        return complain(str(error), 1)
    except OSError as error:
        return complain("%s: %s" % (target.describe(), error.strerror or error), 1)
    except KeyboardInterrupt:
        return 130


def read_lines(connection: Connection, target: Target) -> int:
    """Send each line; words as a shell splits them."""
    import shlex

    at_terminal = sys.stdin.isatty()
    if at_terminal:
        try:
            import readline  # noqa: F401  (editing and history, where the platform has it)
        except ImportError:
            pass
    code = 0
    while True:
        try:
            line = input("%s> " % target.describe() if at_terminal else "")
            words = shlex.split(line)
        except EOFError:
            return code
        except ValueError as error:
            code = complain("Invalid argument(s): %s" % error, 1)
            continue
        if words and words[0].lower() in ("exit", "quit"):
            return code
        if words:
            code = converse(connection, words) or code


def converse(connection: Connection, words: List[str]) -> int:
    """Send a command and print the reply, or all that comes until the end for one that subscribes."""
    connection.send(*words)
    while True:
        try:
            reply = connection.read()
        except ConnectionError:
            if words[0].lower() == "shutdown":
                return 0  # a shutdown that succeeds answers nobody
            raise
        print("\n".join(shown(reply)), flush=True)
        if isinstance(reply, ReplyError):
            return 1
        if words[0].lower() not in STREAMING:
            return 0


def shown(reply: Any) -> List[str]:
    """The lines of a reply."""
    if isinstance(reply, ReplyError):
        return ["(error) %s" % reply]
    if reply is None:
        return ["(nil)"]
    if isinstance(reply, bool):
        return ["(true)" if reply else "(false)"]
    if isinstance(reply, (int, float)):
        return ["(%s) %s" % ("integer" if isinstance(reply, int) else "double", reply)]
    if isinstance(reply, bytes):
        return [quoted(reply)] if not is_text(reply) else reply.decode().splitlines() or ['""']
    if isinstance(reply, dict):
        reply = [list(pair) for pair in reply.items()]
    if not reply:
        return ["(empty array)"]
    lines = []
    width = len(str(len(reply)))
    for number, element in enumerate(reply, 1):
        head = "%*d) " % (width, number)
        for line in shown(element):
            lines.append(head + line)
            head = " " * len(head)
    return lines


def is_text(data: bytes) -> bool:
    try:
        return all(character.isprintable() or character in "\r\n\t" for character in data.decode())
    except UnicodeDecodeError:
        return False


def quoted(data: bytes) -> str:
    return '"%s"' % "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else "\\x%02x" % byte for byte in data)
