"""The last words of a process that dies of a signal.

A fault inside the interpreter, or `kill -SEGV`, can strike in the middle of a C call that takes minutes: no Python code
runs then. `faulthandler` writes the calls under way from the signal handler itself, whatever runs. It writes names of
functions and nothing else that could be chosen, so `watched` calls the server through a function whose *name* is the
sentence that operators and test suites look for, and that stands at the end of each report:

    Fatal Python error: Segmentation fault
    ...
      File ".../server/crash.py", line 40 in REPORT END: Redis 7.4.1 crashed by signal, the calls above were under way

The process then dies of the signal as it would have. `crash-log-enabled no` leaves it at that.
"""

from __future__ import annotations

import os
import sys

from server.version import REDIS_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from server.config.configuration import Config

SENTENCE = "REPORT END: Redis %s crashed by signal, the calls above were under way" % REDIS_VERSION
STANDARD_OUTPUT = 1


def watched(serve: Callable[[], int]) -> int:
    """Call `serve` inside a frame that carries the sentence."""

    def frame() -> int:
        return serve()

    kind: Any = type(frame)
    renamed: Callable[[], int] = kind(frame.__code__.replace(co_name=SENTENCE), {}, None, None, frame.__closure__)
    return renamed()


class CrashReports:
    """Whether and where a crash is reported: at the end of the log."""

    __slots__ = ("_descriptor",)

    def __init__(self, config: Config) -> None:
        self._descriptor = STANDARD_OUTPUT
        # On Windows nobody could rename or delete a log that is kept open.
        if config.logfile and sys.platform != "win32":
            try:
                self._descriptor = os.open(config.logfile, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            except OSError:
                pass
        self.follow(config)
        config.on_change("crash-log-enabled", self.follow)

    def follow(self, config: Config) -> Optional[str]:
        """Obey `crash-log-enabled`."""
        import faulthandler

        if config.crash_log_enabled:
            faulthandler.enable(file=self._descriptor, all_threads=False)
        else:
            faulthandler.disable()
        return None
