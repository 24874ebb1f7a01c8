"""Telling the process that watches over this one when it is ready: systemd by a datagram, upstart by a stop signal.

Owns how `supervised` is decided and the messages. Without a supervisor, or where it cannot be reached, nothing
happens: a server must not fail for want of an audience.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:

    from server.config.configuration import Config
    from server.log import Log

NOTIFY_SOCKET = "NOTIFY_SOCKET"
UPSTART_JOB = "UPSTART_JOB"


def supervisor_of(config: Config) -> str:
    """Who supervises: systemd, upstart or no; `auto` believes the environment."""
    asked: str = config.supervised
    if asked in ("auto", "upstart") and os.environ.get(UPSTART_JOB):
        return "upstart"
    if asked in ("auto", "systemd") and os.environ.get(NOTIFY_SOCKET):
        return "systemd"
    return "no"


class Supervision:
    """The link to the supervisor of this process."""

    def __init__(self, config: Config, log: Log) -> None:
        self.log = log
        self.kind = supervisor_of(config)
        if self.kind == "no" and config.supervised != "no" and config.supervised != "auto":
            variable = NOTIFY_SOCKET if config.supervised == "systemd" else UPSTART_JOB
            log.warning("%s supervision requested, but %s is not in the environment" % (config.supervised, variable))
        # Nobody else is to be told for this process: neither a child nor what a library starts.
        self.address = os.environ.pop(NOTIFY_SOCKET, "") if self.kind == "systemd" else ""
        if self.kind == "systemd":
            log.notice(
                "supervised by systemd. Please make sure you set appropriate values for TimeoutStartSec and "
                "TimeoutStopSec in your service unit."
            )

    def say_loading(self) -> None:
        """The sockets listen, the data is still to be loaded."""
        self.notify("STATUS=Redis is loading...")

    def say_ready(self, is_replica: bool) -> None:
        """Loaded: clients are served."""
        status = "STATUS=Ready to accept connections"
        if is_replica:
            status += " in read-only mode. Waiting for MASTER <-> REPLICA sync"
        self.notify(status + "\nREADY=1")
        if sys.platform != "win32" and self.kind == "upstart":
            import signal

            self.log.notice("supervised by upstart, will stop to signal readiness.")
            os.environ.pop(UPSTART_JOB, None)
            os.kill(os.getpid(), signal.SIGSTOP)

    def say_stopping(self) -> None:
        """The end has begun."""
        self.notify("STOPPING=1")

    def notify(self, message: str) -> None:
        """Send one datagram to the manager's socket (sd_notify's protocol); `@` begins an abstract name."""
        if sys.platform == "win32" or not self.address:
            return
        import socket

        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1)
                sock.sendto((message + "\n").encode(), address)
        except OSError as error:
            self.log.warning("Can't notify systemd at %s: %s" % (self.address, error.strerror or error))
