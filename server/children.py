"""The forked child: at most one at a time, for a snapshot, a rewrite of the log, or a replica's synchronisation.

Owns fork, the pipe on which the child tells how far it is, and reaping. What the child does is a function that takes a
Progress; it only reads the keyspace and writes files, takes no lock, and always ends in `os._exit`. Before anything
else it gives back every descriptor of the parent: a socket it kept would not close when the parent closes it. It dies
with its parent: between two pieces of work it looks whether that is still there.

Reading objects writes their reference counts, so a child's memory grows towards a second copy of the small objects;
its garbage collector is off, which would touch all of them at once. Where there is no fork the work is done in the
foreground, which the log says.
"""

from __future__ import annotations

import os
import signal
import sys
from struct import Struct
from time import monotonic, perf_counter_ns, sleep

from server.log import ROLE_CHILD
from server.oom_score import CHILD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Sequence

    from server.reactor import Reactor
    from server.services import Services

    Work = Callable[["Progress"], None]
    Done = Callable[[bool, int], None]  # whether it succeeded, the signal that ended it or 0

SNAPSHOT, REWRITE, SYNCHRONISATION = "snapshot", "rewrite", "synchronisation"
KILLED = getattr(signal, "SIGUSR1", 0)  # ends a child that is no longer wanted; not a failure
ENDED_AS_TOLD = 255  # a child's exit code on that signal, as in Redis
REPORT_EVERY_S = 0.25
MEASURE_EVERY_S = 1.0
NAP_S = 0.05  # longest sleep between two looks at the parent
MAX_DESCRIPTORS = 1 << 20  # closed blindly where the system does not list them; its own limit may be infinite
REPORT = Struct("<QQ")  # keys done, bytes copied on write


class ChildFailure(Exception):
    """The child's work failed for a reason it has logged."""


class Progress:
    """How the work tells where it is; also the place where an orphan ends."""

    __slots__ = ("keys_done", "_sender", "_parent", "_reported_s", "_measured_s", "_copied_bytes")

    def __init__(self, sender: int = -1, parent: int = 0) -> None:
        self.keys_done = 0
        self._sender = sender
        self._parent = parent
        self._reported_s = self._measured_s = monotonic()
        self._copied_bytes = 0

    def report(self, keys_done: int) -> None:
        """State how many keys are done; call it often, it is cheap."""
        self.keys_done = keys_done
        if self._sender < 0:
            return
        if os.getppid() != self._parent:
            os._exit(1)
        now_s = monotonic()
        if now_s - self._reported_s >= REPORT_EVERY_S:
            self._reported_s = now_s
            if now_s - self._measured_s >= MEASURE_EVERY_S:
                self._measured_s = now_s
                self._copied_bytes = private_dirty_bytes()
            self._send()

    def rest(self, seconds: float) -> None:
        """Sleep, as testers ask for it, without outliving the parent."""
        while seconds > 0:
            sleep(min(seconds, NAP_S))
            seconds -= NAP_S
            self.report(self.keys_done)

    def finish(self) -> int:
        """The last report of a child; returns the bytes copied on write."""
        if self._sender >= 0:
            self._copied_bytes = private_dirty_bytes()
            self._send()
        return self._copied_bytes

    def _send(self) -> None:
        try:
            os.write(self._sender, REPORT.pack(self.keys_done, self._copied_bytes))
        except OSError:
            pass  # the parent reads slowly, or is gone, which the next look notices


class Child:
    """What the parent knows of its child."""

    __slots__ = (
        "pid",
        "kind",
        "receiver",
        "on_done",
        "started_s",
        "keys_done",
        "keys_total",
        "copied_bytes",
        "copied_peak_bytes",
        "reported_s",
        "is_killed",
        "rest",
    )

    def __init__(self, kind: str, on_done: Done, keys_total: int) -> None:
        self.pid = 0  # of no process where there is no fork
        self.kind = kind
        self.receiver = -1
        self.on_done = on_done
        self.started_s = monotonic()
        self.keys_done = 0
        self.keys_total = keys_total
        self.copied_bytes = 0
        self.copied_peak_bytes = 0
        self.reported_s = self.started_s
        self.is_killed = False
        self.rest = b""


class Children:
    """Forks, watches and reaps."""

    def __init__(self, services: Services, reactor: Reactor) -> None:
        self.services = services
        self.reactor = reactor
        self.current: Optional[Child] = None
        self.total_forks = 0
        self.latest_fork_usec = 0
        self.latest_copied_bytes = 0
        self.latest_pid = 0  # of the child that ended last
        self.was_latest_killed = False  # by this process, which knows
        self.before_fork: List[Callable[[], None]] = []  # what must be on its way to disk before the state is shared

    def is_active(self, kind: str = "") -> bool:
        """Whether a child runs, of this kind if one is given."""
        return self.current is not None and (not kind or self.current.kind == kind)

    def is_saving(self) -> bool:
        """Whether a snapshot is being written, to a file or to replicas: Redis tells them apart nowhere."""
        return self.is_active(SNAPSHOT) or self.is_active(SYNCHRONISATION)

    def fork(self, kind: str, work: Work, on_done: Done, kept: Sequence[int] = ()) -> bool:
        """Have a child do `work`; `on_done` is called in a later turn. False, with the reason logged, if none can.

        Only between two units of work, and while no child is active. `kept`: descriptors that the work needs.
        """
        assert self.current is None
        for call in self.before_fork:
            call()
        child = Child(kind, on_done, len(self.services.keyspace))
        if sys.platform == "win32":
            self._run_here(child, work)
            return True
        try:
            receiver, sender = os.pipe()
        except OSError as error:
            self.services.log.warning("Can't open the pipe to a child: %s" % error.strerror)
            return False
        began_ns = perf_counter_ns()
        parent = os.getpid()
        pid = -1
        signal.pthread_sigmask(signal.SIG_BLOCK, (KILLED,))
        try:
            pid = os.fork()
        except OSError as error:
            os.close(receiver)
            os.close(sender)
            self.services.log.warning("Can't fork: %s" % error.strerror)
            return False
        finally:
            if pid:  # the child first has to know what to do on it
                signal.pthread_sigmask(signal.SIG_UNBLOCK, (KILLED,))
        if pid == 0:
            self._be_child(kind, work, sender, parent, kept)
        self.latest_fork_usec = (perf_counter_ns() - began_ns) // 1000
        self.services.latency.add(b"fork", self.latest_fork_usec // 1000)
        self.total_forks += 1
        os.close(sender)
        os.set_blocking(receiver, False)
        child.pid = pid
        child.receiver = receiver
        self.current = child
        self.reactor.watch(receiver, self.receive)
        return True

    def kill(self) -> None:
        """End the child; `on_done` hears of it as of any other end."""
        child = self.current
        if child is not None and child.pid and not child.is_killed:
            child.is_killed = True
            try:
                os.kill(child.pid, KILLED)
            except OSError:
                pass

    def kill_and_wait(self) -> None:
        """End the child and settle that now."""
        child = self.current
        if child is not None and child.pid:
            self.kill()
            self._reap(child)

    def kill_rewrite(self) -> None:
        """End a rewrite of the log that has become useless, if one is active: it is told of now, not when it ends."""
        if self.is_active(REWRITE):
            assert self.current is not None
            self.services.log.notice("Killing running AOF rewrite child: %d" % self.current.pid)
            self.kill_and_wait()

    def kill_for_good(self) -> None:
        """End the child of a server that ends. Should that not end after all, `on_done` hears of it in a later turn."""
        child = self.current
        if child is not None and child.pid:
            self.kill()
            status = self._wait(child)
            self.services.timers.at(monotonic() + NAP_S, lambda: self._settle(child, status))

    # In the parent ---------------------------------------------------------------------------------------------

    def receive(self) -> None:
        """Read what the child reports; at the end of the pipe it has ended."""
        child = self.current
        if child is None:
            return
        try:
            data = os.read(child.receiver, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._reap(child)
            return
        data = child.rest + data
        whole = len(data) - len(data) % REPORT.size
        child.rest = data[whole:]
        if whole:
            child.keys_done, child.copied_bytes = REPORT.unpack(data[whole - REPORT.size : whole])
            child.copied_peak_bytes = max(child.copied_peak_bytes, child.copied_bytes)
            child.reported_s = monotonic()

    def _reap(self, child: Child) -> None:
        self._settle(child, self._wait(child))

    def _wait(self, child: Child) -> int:
        self.reactor.unwatch(child.receiver)
        os.close(child.receiver)
        try:
            _, status = os.waitpid(child.pid, 0)
        except OSError as error:
            self.services.log.warning("waitpid() returned an error: %s. child_pid = %d" % (error.strerror, child.pid))
            status = 1 << 8
        self.current = None
        self.latest_pid = child.pid
        self.latest_copied_bytes = child.copied_peak_bytes
        self.was_latest_killed = child.is_killed
        return status

    def _settle(self, child: Child, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        if code == ENDED_AS_TOLD:
            code = -KILLED
        child.on_done(code == 0, max(0, -code))

    def _run_here(self, child: Child, work: Work) -> None:
        """Where there is no fork: everybody waits."""
        self.services.log.notice("This platform has no fork: the %s is written in the foreground" % child.kind)
        self.current = child
        try:
            work(Progress())
            succeeded = True
        except (OSError, ChildFailure) as error:
            self.services.log.warning(str(error))
            succeeded = False

        def end() -> None:
            self.current = None
            child.on_done(succeeded, 0)

        self.services.timers.at(monotonic(), end)

    # In the child ----------------------------------------------------------------------------------------------

    def _be_child(self, kind: str, work: Work, sender: int, parent: int, others: Sequence[int]) -> None:
        """Everything a child does; never returns."""
        if sys.platform == "win32":
            return
        code = 1
        try:
            import gc

            gc.disable()
            for number in (signal.SIGINT, signal.SIGTERM):
                # A terminal sends SIGINT to the whole group: only the parent decides what it means.
                signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
            signal.signal(KILLED, self._end_on_signal)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (KILLED,))
            signal.set_wakeup_fd(-1)
            close_descriptors((sender, *others))
            os.set_blocking(sender, False)
            log = self.services.log
            log.set_role(lambda: ROLE_CHILD)
            self.services.oom_score.apply(CHILD)
            progress = Progress(sender, parent)
            try:
                work(progress)
                copied = progress.finish()
                log.notice(
                    "Fork CoW for %s: current %d MB, peak %d MB, average %d MB"
                    % ("AOF rewrite" if kind == REWRITE else "RDB", copied >> 20, copied >> 20, copied >> 20)
                )
                code = 0
            except (OSError, ChildFailure) as error:
                if str(error):
                    log.warning(str(error))
        except BaseException:
            import traceback

            self.services.log.warning("Fault in the child:\n%s" % traceback.format_exc())
        finally:
            os._exit(code)

    def _end_on_signal(self, number: int, frame: Any) -> None:
        self.services.log.from_signal_handler("Received SIGUSR1 in child, exiting now.")
        os._exit(ENDED_AS_TOLD)


def close_descriptors(kept: Sequence[int]) -> None:
    """Close every descriptor but the standard ones and those in `kept`, which are open."""
    faults = sys.modules.get("faulthandler")
    if faults is not None:
        faults.disable()  # it would write to whatever gets its descriptor's number
    stays = sorted({0, 1, 2, *kept})
    numbers = open_descriptors(kept)
    if not numbers:
        for low, high in zip(stays, [*stays[1:], MAX_DESCRIPTORS]):
            os.closerange(low + 1, high)
    for number in numbers:
        if number not in stays:
            try:
                os.close(number)
            except OSError:
                pass


def open_descriptors(known: Sequence[int]) -> Sequence[int]:
    """What is open, if the system has a list of it; `known` must be there."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            numbers = [int(name) for name in os.listdir(folder)]
        except (OSError, ValueError):
            continue
        # FreeBSD lists the standard ones only, unless fdescfs is mounted there.
        if set(known) <= set(numbers):
            return numbers
    return ()


def private_dirty_bytes() -> int:
    """Memory of this process that is no longer shared with its parent; 0 where the system does not tell."""
    try:
        with open("/proc/self/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Private_Dirty:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0
