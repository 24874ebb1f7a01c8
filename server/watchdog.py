"""Where the loop stands when it does not turn: `watchdog-period`, and SIGALRM from outside.

A timer of the system is wound up again by a timer of the loop; when the loop is held up for longer than
`watchdog-period` milliseconds, the signal comes and the calls under way are written to the log. `kill -ALRM` shows them
at any time and ends nothing. The handler runs between two bytecodes: inside one long call of C it waits for its end.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from time import monotonic

from server.crash import SENTENCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

    from server.config.configuration import Config
    from server.log import Log
    from server.timers import Timer, TimerQueue

EXPIRED = "--- WATCHDOG TIMER EXPIRED ---"
ASKED = "Received SIGALRM"


def stack_lines(frame: Any) -> List[str]:
    """The calls under way, as lines, without the one whose name is there for crashes only."""
    calls = [call for call in traceback.extract_stack(frame) if call.name != SENTENCE]
    return "".join(traceback.format_list(calls)).splitlines()


class Watchdog:
    """Owns SIGALRM and the interval timer of the process, on systems that have them."""

    __slots__ = ("log", "timers", "period_s", "due_s", "_timer")

    def __init__(self, config: Config, log: Log, timers: TimerQueue) -> None:
        self.log = log
        self.timers = timers
        self.period_s = 0.0
        self.due_s = 0.0
        self._timer: Optional[Timer] = None
        if sys.platform != "win32":
            signal.signal(signal.SIGALRM, self.on_signal)
            config.on_change("watchdog-period", self.follow)
            self.follow(config)

    def follow(self, config: Config) -> Optional[str]:
        """Obey `watchdog-period`."""
        self.period_s = config.watchdog_period / 1000
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.period_s:
            self.wind_up()
        elif self.due_s:
            self.due_s = 0.0
            set_alarm(0.0)
        return None

    def wind_up(self) -> None:
        """The loop turns."""
        now_s = monotonic()
        self.due_s = now_s + self.period_s
        set_alarm(self.period_s)
        self._timer = self.timers.at(now_s + self.period_s / 2, self.wind_up)

    def on_signal(self, number: int, frame: Any) -> None:
        is_own = self.due_s and monotonic() >= self.due_s - 0.001
        self.log.raw("\n%d:signal-handler (%d) " % (os.getpid(), self.log.now()))
        self.log.raw(EXPIRED if is_own else ASKED)
        self.log.raw("\n------ STACK TRACE ------")
        for line in stack_lines(frame):
            self.log.raw(line)
        self.log.raw("\n------ STACK TRACE DONE ------")


def set_alarm(seconds: float) -> None:
    """Have SIGALRM sent after a time, or not at all for 0."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)
