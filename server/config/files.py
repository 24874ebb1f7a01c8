"""Reading configuration files: lines to directives, `include`, and what is said when a line is wrong.

Owns the line grammar of redis.conf (comments, quoting, the directives that are not values) and the order
in which a file, standard input and the command line are read. Must not know any directive's value, nor
the process's arguments.
"""

from __future__ import annotations

import os

from server.config.directives import DEPRECATED
from server.log import shown
from server.version import REDIS_VERSION
from storage.text import UnbalancedQuotes, split_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Optional

    from server.config.configuration import Config, TakeWords

_WHITE = b" \t\r\n"
MAX_INCLUDE_DEPTH = 100  # a file that includes itself would never end


class ConfigurationError(Exception):
    """Start-up cannot go on; `message` is for standard error."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)
        self.message = message


class UnreadableFile(Exception):
    """A configuration file cannot be opened; `message` is a line for the log."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)
        self.message = message


def fatal(reason: str, number: int = 0, line: bytes = b"", source: str = "") -> ConfigurationError:
    """The error that ends start-up, in the words launchers look for."""
    text = f"\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***\n"
    if number:
        text += f"Reading the configuration file, at line {number}\n"
        text += f">>> '{shown(line)}'\n"
    text += reason + "\n"
    if source:
        text += f"({source})\n"
    return ConfigurationError(text)


class FileReader:
    """Reads files and lines into a Config. `judges` say what is wrong with lines kept for other parts, by name."""

    def __init__(self, config: Config, judges: Optional[Mapping[str, TakeWords]] = None) -> None:
        self._config = config
        self._judges = judges or {}
        self._takers: dict[str, TakeWords] = {
            "user": self._keep_user,
            "rename-command": self._keep_renaming,
            "loadmodule": _refuse_module,
            "sentinel": _refuse_sentinel,
        }
        self._depth = 0

    def read(self, path: bytes = b"", standard_input: Optional[bytes] = None, options: bytes = b"") -> None:
        """Read a file (or all that its wildcards name), then standard input, then options.

        Raises ConfigurationError or UnreadableFile. Lines are counted as if all were one file, as Redis does.
        """
        pieces: list[tuple[str, bytes]] = []
        if path:
            pieces += [(os.fsdecode(name), _content_of(name)) for name in _expand(path)]
        if standard_input is not None:
            pieces.append(("standard input", standard_input))
        if options:
            pieces.append(("", b"\n"))
            pieces.append(("command line", options))
        number = 0
        for source, content in pieces:
            if not content:
                if source == "":
                    number += 1
                continue
            lines = content.split(b"\n")
            if lines[-1] == b"":
                lines.pop()
            for at, line in enumerate(lines, 1):
                number += 1
                self._obey_line(line.strip(_WHITE), number, _place(source, at))
        if self._config.logfile:
            _try_log_file(self._config.logfile)

    def _obey_line(self, line: bytes, number: int, place: str) -> None:
        if not line or line[0] == ord("#"):
            return
        try:
            words = split_arguments(line)
        except UnbalancedQuotes:
            raise fatal("Unbalanced quotes in configuration line", number, line, place) from None
        if not words:
            return
        reason = self._obey(words)
        if reason is not None:
            raise fatal(reason, number, line, place)

    def _obey(self, words: list[bytes]) -> Optional[str]:
        config = self._config
        if config.find(words[0]) is not None:
            return config.take(words)
        name = words[0].decode("latin-1").lower()
        if DEPRECATED.get(name) == len(words):
            return None
        if name == "include" and len(words) == 2:
            if self._depth >= MAX_INCLUDE_DEPTH:
                return "Too many nested include directives"
            self._depth += 1
            self.read(words[1])
            self._depth -= 1
            return None
        taker = self._takers.get(name)
        if taker is not None:
            return taker(words)
        if "." in name:
            if len(words) < 2:
                return "Module config specified without value"
            return "Modules are not supported by this server, and neither is their configuration"
        return "Bad directive or wrong number of arguments"

    def _keep_user(self, words: Sequence[bytes]) -> Optional[str]:
        if len(words) < 2:
            return "Bad directive or wrong number of arguments"
        self._config.users.append(list(words))
        return self._judge("user", words)

    def _keep_renaming(self, words: Sequence[bytes]) -> Optional[str]:
        if len(words) != 3:
            return "Bad directive or wrong number of arguments"
        self._config.renamed_commands.append(list(words))
        return self._judge("rename-command", words)

    def _judge(self, name: str, words: Sequence[bytes]) -> Optional[str]:
        judge = self._judges.get(name)
        return None if judge is None else judge(words)


def _refuse_module(words: Sequence[bytes]) -> Optional[str]:
    if len(words) < 2:
        return "Bad directive or wrong number of arguments"
    return "Modules are not supported by this server"


def _refuse_sentinel(words: Sequence[bytes]) -> Optional[str]:
    return "sentinel directive while not in sentinel mode: this server is no Sentinel"


def _expand(path: bytes) -> list[bytes]:
    if b"*" not in path and b"?" not in path and b"[" not in path:
        return [path]
    import glob

    return sorted(glob.glob(path))


def _content_of(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnreadableFile(f"Fatal error, can't open config file '{shown(path)}': {reason}") from None


def _place(source: str, line: int) -> str:
    return source if source == "command line" else f"{source}, line {line}"


def _try_log_file(path: bytes) -> None:
    try:
        open(path, "ab").close()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise fatal(f"Can't open the log file: {reason}") from None
