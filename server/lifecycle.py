"""How a server comes to its end: signals, SHUTDOWN, and what is still done before the process exits.

A shutdown is asked for once, waits for what it must wait for (replicas that lag), then runs the closing steps that
services registered (save, close the log, remove files) in order; a step that refuses aborts the shutdown unless it was
forced. Must not know what a step does.
"""

from __future__ import annotations

import os
import signal
import socket
from time import monotonic

from server.session import BLOCKED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional

    from server.config.configuration import Config
    from server.log import Log
    from server.session import Session
    from server.timers import Timer, TimerQueue

NOSAVE, SAVE, NOW, FORCE = 1, 2, 4, 8
SHUTDOWN_FLAGS = {"nosave": NOSAVE, "save": SAVE, "now": NOW, "force": FORCE}
# Signals that end the server. SIGBREAK is what Windows has for SIGTERM: Ctrl+Break, and what a program can send to the
# process group of one that it has started.
ENDING = {
    int(getattr(signal, name)): name for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
}
SHUTDOWN_FAILED = b"ERR Errors trying to SHUTDOWN. Check logs."


class Lifecycle:
    """The end of the process. `stop` is called when everything is done."""

    def __init__(self, log: Log, config: Config, timers: TimerQueue, stop: Callable[[], None]) -> None:
        self.log = log
        self.config = config
        self.timers = timers
        self.stop = stop
        self.is_over = False
        self.exit_code = 0
        self.steps: List[Callable[[int], Optional[str]]] = []  # each returns why it refuses, or None
        self.is_ready: Callable[[], bool] = lambda: True  # whether all replicas have caught up
        self.on_waiting: Callable[[bool], None] = lambda waiting: None
        self.on_killed: List[Callable[[], None]] = []  # a second signal: only remove temporary files
        self.is_amid_script: Callable[[], bool] = lambda: False  # half of a script must not be saved
        self.flags = 0
        self.deadline_s = 0.0  # of a shutdown that waits; 0 if none does
        self.waiting: List[Session] = []  # clients that asked for it
        self.timer: Optional[Timer] = None
        self.signalled = False
        self.is_held = False  # DEBUG PAUSE-CRON: a signal is noted, but nothing follows from it yet
        self.held_flags: Optional[int] = None

    # Signals ---------------------------------------------------------------------------------------------------

    def catch_signals(self, watch: Callable[[Any, Callable[[], None]], None]) -> None:
        """Turn the signals that end the server into calls of the reactor: by itself a signal does not end `select`."""
        receiver, sender = socket.socketpair()
        receiver.setblocking(False)
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        self.sender = sender  # kept open: the interpreter writes to its descriptor

        def wake() -> None:
            try:
                numbers = receiver.recv(64)
            except OSError:
                return
            for number in numbers:
                self.on_signal(number)

        watch(receiver, wake)
        for number in ENDING:
            signal.signal(number, self.note_signal)
        for name in ("SIGHUP", "SIGPIPE"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)

    def note_signal(self, number: int, frame: Any) -> None:
        """Runs between two bytecodes, also inside a long command: a second SIGINT ends the process at once."""
        if number == signal.SIGINT and self.signalled:
            self.log.from_signal_handler("You insist... exiting now.")
            for call in self.on_killed:
                call()
            os._exit(1)
        self.signalled = True

    def on_signal(self, number: int) -> None:
        if number not in ENDING or self.is_over:
            return
        self.log.from_signal_handler("Received %s scheduling shutdown..." % ENDING[number])
        words = self.config.shutdown_on_sigint if number == signal.SIGINT else self.config.shutdown_on_sigterm
        flags = 0
        for word in words:
            flags |= SHUTDOWN_FLAGS.get(word, 0)
        if self.is_amid_script():
            flags = NOSAVE | NOW
        if self.is_held:
            self.held_flags = flags
        elif not self.deadline_s:
            self.shut_down(flags, None)

    def hold(self, is_held: bool) -> None:
        """Put off, or not any more, what follows from a signal."""
        self.is_held = is_held
        flags, self.held_flags = self.held_flags, None
        if flags is not None and not is_held:
            self.shut_down(flags, None)

    # Shutting down ---------------------------------------------------------------------------------------------

    def shut_down(self, flags: int, session: Session | None) -> bytes | None:
        """Begin to end the process; an error text if that failed at once.

        With a session, the answer is left to `waiting`: a shutdown that succeeds answers nobody. While one waits for
        its replicas, another joins it and changes nothing, not even with NOW.
        """
        if self.deadline_s:
            if session is not None:
                self.waiting.append(session)
            return None
        self.flags = flags
        self.log.notice("User requested shutdown...")
        timeout_s = self.config.shutdown_timeout
        if flags & NOW or not timeout_s or self.is_ready():
            return self.finish()
        self.log.notice("Waiting for replicas before shutting down.")
        self.on_waiting(True)
        self.deadline_s = monotonic() + timeout_s
        if session is not None:
            self.waiting.append(session)
        self.check_later()
        return None

    def check_later(self) -> None:
        self.timer = self.timers.at(monotonic() + 0.1, self.check)

    def check(self) -> None:
        """While waiting for replicas: is it time?"""
        if not self.deadline_s:
            return
        if not self.is_ready() and monotonic() < self.deadline_s:
            self.check_later()
            return
        self.deadline_s = 0.0
        # Writes stay held back: one that ran now would be acknowledged behind the last save, and unknown to replicas.
        refusal = self.finish()
        if refusal is not None:
            self.on_waiting(False)
            self.answer_waiting(refusal)

    def answer_waiting(self, text: bytes) -> None:
        """Tell the clients that asked for the end that it does not come, and let them go on."""
        waiting, self.waiting = self.waiting, []
        for session in waiting:
            session.emit_error(text)
            session.halted &= ~BLOCKED
            session.server.resumed.append(session)

    def remaining_ms(self) -> int:
        """What is left of the time a waiting shutdown gives its replicas."""
        return max(0, int((self.deadline_s - monotonic()) * 1000)) if self.deadline_s else 0

    def abort(self) -> bool:
        """SHUTDOWN ABORT; False if none is waiting."""
        if not self.deadline_s and self.held_flags is None:
            return False
        self.deadline_s = 0.0
        self.held_flags = None
        self.signalled = False
        self.on_waiting(False)
        self.log.notice("Shutdown manually aborted.")
        self.answer_waiting(SHUTDOWN_FAILED)
        return True

    def finish(self) -> bytes | None:
        """Run the closing steps and stop; the error text if one refuses."""
        if self.run_steps(self.flags) is not None:
            self.signalled = False
            self.log.warning("Errors trying to shut down the server. Check the logs for more information.")
            return SHUTDOWN_FAILED
        self.log.warning("Redis is now ready to exit, bye bye...")
        self.is_over = True
        self.stop()
        return None

    def run_steps(self, flags: int) -> Optional[str]:
        """Run the closing steps; why one refuses, unless the end is forced."""
        for step in self.steps:
            reason = step(flags)
            if reason is not None:
                self.log.warning(reason)
                if not flags & FORCE:
                    return reason
        return None
