"""Servers as subprocesses: this one, or a real one.

Owns starting on a free loopback port, waiting until the server answers, its log, and its end by process id.
Must not know pytest, so that scripts use it too.

Environment:
    REDISELECT_PYTHON         the interpreter this server is started with (default: that of the tests)
    REDISELECT_SERVER         a whole command to start in place of this server
    REDISELECT_ORACLE_BINARY  the real server to compare with (default: redis-server from the path)
"""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.harness.wire import DEFAULT_TIMEOUT_S, Closed, Timeout, Wire

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 20.0  # PyPy on a loaded two-core machine needs several seconds
STOP_TIMEOUT_S = 10.0
PORT_ATTEMPTS = 5


class StartFailure(RuntimeError):
    """The server ended or stayed silent; the text has the end of its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def own_command() -> list[str]:
    """Return the command that starts this server, without options."""
    command = os.environ.get("REDISELECT_SERVER")
    if command:
        return shlex.split(command)
    return [os.environ.get("REDISELECT_PYTHON") or sys.executable, "-m", "server"]


def real_binary() -> str | None:
    """Return the path of a real redis-server, or None where there is none."""
    return shutil.which(os.environ.get("REDISELECT_ORACLE_BINARY") or "redis-server")


def end_servers_when_terminated() -> None:
    """Let SIGTERM unwind like an exit, so that a run that is cut short (`timeout`) leaves no server behind."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


class Server:
    """A running server process on loopback.

    `start` returns when it answers PING (or an error reply: with a password it still is up). `stop` ends it.
    """

    def __init__(self, command: list[str], args=(), directory: Path | None = None, env=None, wait=True) -> None:
        self.command = command
        self.args = [str(arg) for arg in args]
        self.owns_directory = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="rediselect-"))
        self.log_path = self.directory / "stdout.log"
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(env or {})}
        self.port = 0
        self.process: subprocess.Popen | None = None
        try:
            self.start(wait)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_exc) -> None:
        self.stop()

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, wait: bool = True) -> None:
        """Start the process, on another port when somebody else took the free one first."""
        for attempt in range(PORT_ATTEMPTS):
            port_given = "--port" in self.args
            if port_given:
                self.port = int(self.args[self.args.index("--port") + 1])
            elif not self.port or attempt:
                self.port = free_port()
            options = [] if port_given else ["--port", str(self.port)]
            if "--bind" not in self.args:
                options += ["--bind", "127.0.0.1"]
            if "--dir" not in self.args:
                options += ["--dir", str(self.directory)]
            with open(self.log_path, "ab") as log:
                # A configuration file comes before the options, as redis-server wants it.
                leading = self.args[:1] if self.args and not self.args[0].startswith("-") else []
                self.process = subprocess.Popen(
                    [*self.command, *leading, *options, *self.args[len(leading) :]],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.directory,
                    env=self.env,
                )
            end_servers_when_terminated()
            atexit.register(self.kill)
            if not wait:
                return
            try:
                self.wait_until_ready()
                return
            except StartFailure:
                if port_given or attempt == PORT_ATTEMPTS - 1 or "Address already in use" not in self.log():
                    raise

    def wait_until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                raise StartFailure(f"exit {self.process.returncode} of {self.describe()}")
            try:
                with Wire(self.address, timeout_s=deadline - time.monotonic()) as wire:
                    kind, text = wire.command("PING")
                    if kind == b"+" or not (text or b"").startswith((b"LOADING", b"MASTERDOWN")):
                        return
            except (OSError, Closed, Timeout):
                pass
            time.sleep(0.005)  # refused at once: do not take the processor from the server that is starting
        raise StartFailure(f"no answer within {timeout_s} s from {self.describe()}")

    def describe(self) -> str:
        return f"{' '.join([*self.command, *self.args])}\n--- its output ends\n{self.log()[-3000:]}"

    def log(self) -> str:
        try:
            return self.log_path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def wait_for_log(self, text: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> str:
        """Return the log once it has `text`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            log = self.log()
            if text in log:
                return log
            time.sleep(0.01)
        raise AssertionError(f"{text!r} is not in the log:\n{self.log()[-3000:]}")

    def wire(self, timeout_s: float = DEFAULT_TIMEOUT_S, protocol: int = 2) -> Wire:
        return Wire(self.address, timeout_s, protocol)

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for the process to end by itself and return its exit code."""
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        atexit.unregister(self.kill)

    def stop(self) -> int | None:
        """End the process, politely first, and remove its directory if this object made it."""
        code = None
        if self.process is not None:
            if self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    pass
            code = self.process.poll()
            self.kill()
        if self.owns_directory:
            shutil.rmtree(self.directory, ignore_errors=True)
        return code

    def restart(self, kill: bool = False) -> None:
        """Start again in the same directory and on the same port, after an orderly end or after a crash."""
        if kill:
            self.kill()
        else:
            self.signal(signal.SIGTERM)
            self.wait()
        atexit.unregister(self.kill)
        self.start()


def start_own(*args, **options) -> Server:
    """Start this server; the keywords are those of `Server`."""
    return Server(own_command(), args, **options)


def start_real(*args, **options) -> Server:
    """Start the real server without persistence and with DEBUG allowed; `real_binary()` names it."""
    binary = real_binary()
    assert binary is not None
    if "--save" not in args:
        args = (*args, "--save", "")
    return Server([binary], (*args, "--enable-debug-command", "yes"), **options)


def end_all(servers: list[Server]) -> None:
    """End them together: a master by itself would wait for what its replicas have yet to acknowledge."""
    for server in servers:
        if server.is_alive():
            server.signal(signal.SIGTERM)
    for server in servers:
        server.stop()
