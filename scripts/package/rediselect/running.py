"""A server in a process of its own, for programs that want one at hand: `run`.

Owns the process, its private directory and its log. The child binds its port itself and reports it, so no two servers
can meet; it ends when the pipe to it does, so it never outlives the process that started it, however that one ends. No
signal and no fork is used: Windows, macOS and Linux alike.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from threading import Timer

from rediselect.parts import HERE, archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, List, Optional, Type

LOOPBACK = "127.0.0.1"
READY_TIMEOUT_S = 60.0  # loading a large data set takes long; a server without one needs a fraction of a second
STOP_TIMEOUT_S = 10.0
LEAVE_DIRECTORY = b"."  # to the child, before the end: the parent is alive and removes the directory itself
# Contradict what this module promises: that the process is a child, and that its log can be read.
REFUSED = ("daemonize", "supervised")


class StartFailure(RuntimeError):
    """The server ended before it was ready, or took too long; the text has the end of its log."""


def run(port: int = 0, *, python: str = "", ready_timeout: float = READY_TIMEOUT_S, **config: Any) -> Server:
    """Start a server and return it when it is ready; a context manager that stops it.

    Port 0 is a free one on 127.0.0.1; `unixsocket` instead of a port listens there only. Any other argument is a
    directive of redis.conf with underscores: maxmemory="100mb", appendonly=True, notify_keyspace_events="KEA",
    rename_command=["KEYS", ""]. Nothing is saved and the working directory is a temporary one, unless `save`,
    `appendonly` or `dir` say otherwise. Raises StartFailure.
    """
    return Server(port, python=python, ready_timeout=ready_timeout, **config).start()


class Server:
    """A server as a child process; `run` starts one."""

    def __init__(
        self, port: int = 0, *, python: str = "", ready_timeout: float = READY_TIMEOUT_S, **config: Any
    ) -> None:
        names = {name.replace("_", "-").lower(): value for name, value in config.items()}
        for name in REFUSED:
            if name in names:
                raise ValueError("%s is not for a server that is a child process" % name)
        self.unixsocket = os.fspath(names.get("unixsocket") or "")
        if self.unixsocket and not os.path.isabs(self.unixsocket):
            names["unixsocket"] = self.unixsocket = os.path.abspath(self.unixsocket)
        self.port = port
        self.host = host_of(names.get("bind"))
        self.python = python or sys.executable
        self.ready_timeout = ready_timeout
        self.config = names
        self.private = ""  # the temporary directory; it is removed with the server
        self.directory = os.path.abspath(os.fspath(names["dir"])) if names.get("dir") else ""
        self.log_file = ""
        self.process: Optional[subprocess.Popen[bytes]] = None

    # Life ------------------------------------------------------------------------------------------------------

    def start(self) -> Server:
        """Start, and return when clients are served."""
        if self.process is not None:
            raise RuntimeError("the server runs already")
        if not self.private or not os.path.isdir(self.private):
            self.private = tempfile.mkdtemp(prefix="rediselect-")
        self.log_file = os.path.join(self.private, "server.log")
        if self.config.get("logfile"):
            self.log_file = os.path.join(self.directory or self.private, os.fspath(self.config["logfile"]))
        with open(os.path.join(self.private, "server.log"), "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.directory or self.private,
                # Ctrl-C at a terminal is for the parent: its clean-up may still want the server.
                **process_group(),
            )
        try:
            self.port = self.wait_until_ready(self.process)
        except BaseException:
            self.stop()
            raise
        return self

    def command(self) -> List[str]:
        """The child's command line."""
        zipped = archive()
        words = [zipped, "child"] if zipped else [os.path.join(HERE, "child.py")]
        options = {"port": self.port, "bind": LOOPBACK, "save": "", "dir": self.directory or self.private}
        options.update({name: value for name, value in self.config.items() if value is not None and name != "dir"})
        arguments = [self.python, *words, "%d" % self.port, self.private]
        for name, value in options.items():
            arguments.append("--" + name)
            arguments += [spelled(part) for part in value] if isinstance(value, (list, tuple)) else [spelled(value)]
        return arguments

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> int:
        """Return the port that the child reports."""
        assert process.stdout is not None
        watchdog = Timer(self.ready_timeout, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            line = process.stdout.readline()
        finally:
            watchdog.cancel()
            process.stdout.close()
        if not line.endswith(b"\n"):
            raise StartFailure("the server did not start; its log ends:\n%s" % self.log[-3000:])
        return int(line)

    def stop(self) -> None:
        """End the server, saving first where save points are configured; nothing happens if it has ended."""
        self.end()
        if self.private:
            shutil.rmtree(self.private, ignore_errors=True)

    def end(self) -> None:
        """End the process; the directory stays."""
        process, self.process = self.process, None
        if process is None:
            return
        assert process.stdin is not None
        try:
            process.stdin.write(LEAVE_DIRECTORY)
            process.stdin.close()
        except OSError:
            pass  # it has ended by itself
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self) -> Server:
        """Stop and start again on the same port, in the same directory: what was saved is there again."""
        self.end()
        return self.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.stop()

    # Use -------------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """What redis-py's `from_url` and most other clients' settings take; with the password, if there is one."""
        password = self.config.get("requirepass")
        secret = ""
        if password:
            from urllib.parse import quote

            secret = ":%s@" % quote(str(password), safe="")
        if self.unixsocket:
            return "unix://%s%s" % (secret, self.unixsocket)
        host = "[%s]" % self.host if ":" in self.host else self.host
        return "redis://%s%s:%d/0" % (secret, host, self.port)

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        try:
            with open(self.log_file, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def client(self, **options: Any) -> Any:
        """A client of redis-py, if it is installed; `options` are its own: decode_responses=True, db=3."""
        import redis

        return redis.Redis.from_url(self.url, **options)

    def ask(self, *words: Any) -> Any:
        """Send one command without any client library: server.ask("SET", "key", "value")."""
        from rediselect.wire import Connection

        with Connection(self.host, self.port, self.unixsocket) as connection:
            if self.config.get("requirepass"):
                connection.ask("AUTH", self.config["requirepass"])
            return connection.ask(*words)


def host_of(addresses: Any) -> str:
    """Where to reach a server with this `bind`: the first address that is none for "all"."""
    words = addresses.split() if isinstance(addresses, str) else list(addresses or ())
    hosts = [word.lstrip("-") for word in words]
    return next((host for host in hosts if host not in ("*", "0.0.0.0", "::", "::*")), LOOPBACK)


def spelled(value: Any) -> str:
    """A Python value as redis.conf spells it."""
    if value is True or value is False:
        return "yes" if value else "no"
    return os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)


def process_group() -> Any:
    """Options of Popen that keep the terminal's signals from the child."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined,unused-ignore]
    return {"start_new_session": True}
