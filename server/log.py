"""The server's log: `PID:ROLE DD Mon YYYY HH:MM:SS.mmm LEVEL text`, as launchers and people read it.

Owns the format, the level and where lines go: standard output, a file that is opened for each line (so
that it may be rotated at any time), the system's log. Each line is one write, in the order of the calls.
Must not know what is said.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from server.config.configuration import Config

DEBUG, VERBOSE, NOTICE, WARNING, NOTHING = range(5)
_LEVELS = {"debug": DEBUG, "verbose": VERBOSE, "notice": NOTICE, "warning": WARNING, "nothing": NOTHING}
_MARKS = ".-*#"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STANDARD_OUTPUT = 1
MAX_PROVOKED = 10  # lines a second: nobody fills the disk by what is wrong with what it sends

ROLE_CHILD, ROLE_MASTER, ROLE_REPLICA = "C", "M", "S"


class Log:
    """One per process. `role` is asked for each line, `now` is the time in seconds."""

    __slots__ = (
        "threshold",
        "_file",
        "_now",
        "_role",
        "_descriptor",
        "_syslog",
        "_second",
        "_second_text",
        "_provoked",
        "_provoked_second",
    )

    def __init__(
        self,
        level: str = "notice",
        file: bytes = b"",
        now: Callable[[], float] = time.time,
        role: Optional[Callable[[], str]] = None,
        descriptor: int = _STANDARD_OUTPUT,
    ) -> None:
        self.threshold = _LEVELS[level]
        self._file = file
        self._now = now
        self._role = role
        self._descriptor = descriptor
        self._syslog: Any = None
        self._second = -1
        self._second_text = ""
        self._provoked = 0
        self._provoked_second = -1

    def follow(self, config: Config) -> None:
        """Write as the configuration says, now and after CONFIG SET."""
        self._file = config.logfile
        self.threshold = _LEVELS[config.loglevel]
        if config.syslog_enabled:
            self._open_syslog(config)

        def apply(changed: Config) -> Optional[str]:
            self.threshold = _LEVELS[changed.loglevel]
            return None

        config.on_change("loglevel", apply)

    def set_role(self, role: Callable[[], str]) -> None:
        """Ask `role` for the letter of each line from now on: ROLE_MASTER, ROLE_REPLICA, ..."""
        self._role = role

    def debug(self, text: str) -> None:
        """What only somebody who looks for an error wants to see."""
        if self.threshold <= DEBUG:
            self._write(DEBUG, text)

    def verbose(self, text: str) -> None:
        """What is rarely useful, such as single clients."""
        if self.threshold <= VERBOSE:
            self._write(VERBOSE, text)

    def notice(self, text: str) -> None:
        """What an operator wants to know."""
        if self.threshold <= NOTICE:
            self._write(NOTICE, text)

    def warning(self, text: str) -> None:
        """What an operator has to know."""
        if self.threshold <= WARNING:
            self._write(WARNING, text)

    def provoked(self, text: str, level: int = WARNING) -> None:
        """What any client can cause at will: at most MAX_PROVOKED such lines a second are written."""
        if self.threshold > level:
            return
        second = int(self._now())
        if second != self._provoked_second:
            self._provoked_second, self._provoked = second, 0
        self._provoked += 1
        if self._provoked <= MAX_PROVOKED:
            self._write(level, text)

    def raw(self, text: str) -> None:
        """Text without the head of a line, such as the logo, at the level of `notice`."""
        if self.threshold <= NOTICE:
            self._put((text + "\n").encode("utf-8", "backslashreplace"))

    def from_signal_handler(self, text: str) -> None:
        """What an operator has to know of a signal, with the head that Redis gives such a line."""
        if self.threshold <= WARNING:
            line = "%d:signal-handler (%d) %s\n" % (os.getpid(), self._now(), text)
            self._put(line.encode("utf-8", "backslashreplace"))

    def now(self) -> float:
        """The time of a line written now."""
        return self._now()

    def line(self, level: int, text: str) -> bytes:
        """The line as it is written, with its end."""
        now = self._now()
        role = self._role() if self._role is not None else ROLE_CHILD
        head = f"{os.getpid()}:{role} {self._time_text(int(now))}.{int(now * 1000) % 1000:03d}"
        return f"{head} {_MARKS[level]} {text}\n".encode("utf-8", "backslashreplace")

    def _time_text(self, second: int) -> str:
        # One conversion a second, however much is logged.
        if second != self._second:
            local = time.localtime(second)
            self._second = second
            day = f"{local.tm_mday:02d} {_MONTHS[local.tm_mon - 1]} {local.tm_year}"
            self._second_text = f"{day} {local.tm_hour:02d}:{local.tm_min:02d}:{local.tm_sec:02d}"
        return self._second_text

    def _write(self, level: int, text: str) -> None:
        self._put(self.line(level, text))
        if self._syslog is not None:
            priorities = (self._syslog.LOG_DEBUG, self._syslog.LOG_INFO, self._syslog.LOG_NOTICE)
            priority = priorities[level] if level < WARNING else self._syslog.LOG_WARNING
            self._syslog.syslog(priority, text)

    def _put(self, line: bytes) -> None:
        # A log that cannot be written (disk full, a closed pipe) must not stop the server.
        try:
            if not self._file:
                _write_all(self._descriptor, line)
                return
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                _write_all(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError:
            pass

    def _open_syslog(self, config: Config) -> None:
        if sys.platform == "win32":
            self.warning("This platform has no system log: syslog-enabled is without effect")
            return
        import syslog

        facility = getattr(syslog, "LOG_" + config.syslog_facility.upper())
        syslog.openlog(config.syslog_ident.decode("utf-8", "replace"), syslog.LOG_PID, facility)
        self._syslog = syslog


def shown(raw: bytes) -> str:
    """What came from a client or a file, in a line of the log: bytes that are no text are shown by their escapes."""
    return raw.decode("utf-8", "backslashreplace")


def _write_all(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]
