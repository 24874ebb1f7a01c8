"""One client as a process: forked, it plays its role and reports through a pipe, a JSON object a line.

Owns the fork, the pipe and the end by process id. The other side of the pipe is the director's. A client whose
director is gone ends by itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback

from soak.links import Violation
from soak.role import Role, readable, shown

REPORT_S = 0.25
PR_SET_PDEATHSIG = 1

try:
    LIBC = ctypes.CDLL(None)
except OSError:  # pragma: no cover - not Linux: then a client ends when it next reports
    LIBC = None


class Player:
    """A running client, seen from the director."""

    def __init__(self, role: Role, end_at: float, operations: int, close_first: list) -> None:
        self.name = role.name
        self.slot = role.slot
        self.generation = role.generation
        self.buffer = b""
        self.has_ended = False
        self.reported_end = False
        self.is_stopped = False
        sys.stdout.flush()
        self.pipe, writer = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            status = 3
            try:
                for descriptor in [self.pipe, *close_first]:
                    os.close(descriptor)
                become_client(parent)
                status = perform(role, writer, end_at, operations)
            finally:
                os._exit(status)
        os.close(writer)

    def read(self) -> list:
        """Return what the client has reported; notes its end."""
        data = os.read(self.pipe, 1 << 20)
        if not data:
            self.has_ended = True
            os.close(self.pipe)
            self.wait()
            return []
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def wait(self) -> None:
        if self.pid:
            os.waitpid(self.pid, 0)
            self.pid = 0

    def signal(self, number: int) -> None:
        if self.pid:
            os.kill(self.pid, number)

    def end(self) -> None:
        """End it at once, also when it is stopped."""
        if self.pid:
            self.signal(signal.SIGKILL)
            self.wait()
        if not self.has_ended:
            self.has_ended = True
            os.close(self.pipe)


def become_client(parent: int) -> None:
    if LIBC is not None and hasattr(LIBC, "prctl"):
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def perform(role: Role, writer: int, end_at: float, operations: int) -> int:
    """Play a role to its end and return the exit status."""
    total = 0
    next_report = 0.0

    def report(**more) -> None:
        nonlocal total, next_report
        meter = role.meter
        total += meter.commands
        message = dict(vars(meter), decisions=role.decisions, done=getattr(role, "done", 0), **more)
        try:
            os.write(writer, json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            os._exit(0)
        meter.__init__()
        next_report = time.monotonic() + REPORT_S

    def tick() -> None:
        if time.monotonic() >= next_report:
            report()

    role.is_over = lambda: time.monotonic() >= end_at or (operations and total + role.meter.commands >= operations)
    try:
        role.play(tick)
    except Violation as violation:
        recent = [f"{readable(argv)} -> {shown(reply, 200)}" for argv, reply in role.history]
        report(violation=str(violation), recent=recent)
        return 1
    except Exception:
        report(broken=traceback.format_exc())
        return 2
    report(ended=True)
    return 0
