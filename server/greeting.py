"""What the process says and shows of itself at start: banner, warnings about the system, its title.

Called once, after the sockets listen and before data is loaded.
"""

from __future__ import annotations

import os

from server.version import REDIS_VERSION, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOGO = r"""
        _   _
   _ __| | (_)_ ___    rediselect %s, as Redis %s (%s bit)
  | '_/ _` | (_-</ -_)
  |_| \__,_|_/__/\___|  Running in %s mode
                       Port: %d
                       PID: %d
"""
TITLE_BYTES = 15  # what Linux keeps of a thread's name


def greet(config: Any, log: Any) -> None:
    """Show the banner, or say its content in a line."""
    import sys

    bits = "64" if sys.maxsize > 2**32 else "32"
    if config.always_show_logo:
        log.raw(LOGO % (VERSION, REDIS_VERSION, bits, "standalone", config.port, os.getpid()))
    else:
        log.notice("Running mode=standalone, port=%d." % config.port)


def warn_of_system(config: Any, log: Any) -> None:
    """Settings of the machine that will hurt later."""
    backlog = read_number("/proc/sys/net/core/somaxconn")
    if config.port and backlog is not None and backlog < config.tcp_backlog:
        log.warning(
            "WARNING: The TCP backlog setting of %d cannot be enforced because /proc/sys/net/core/somaxconn is set "
            "to the lower value of %d." % (config.tcp_backlog, backlog)
        )
    if read_number("/proc/sys/vm/overcommit_memory") == 0 and config.save:
        log.warning(
            "WARNING Memory overcommit must be enabled! A background save may fail while memory is short: the system "
            "may refuse the fork. `sysctl vm.overcommit_memory=1` allows it."
        )


def read_number(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def set_title(config: Any) -> None:
    """Show `proc-title-template` where the platform lets a process name itself: the name `top` and `ps -c` print."""
    if not config.set_proc_title or not os.path.exists("/proc/self/comm"):
        return
    address = config.bind[0].encode() if config.bind else b"*"
    values = {
        b"{title}": b"rediselect",
        b"{listen-addr}": b"%b:%d" % (address, config.port) if config.port else config.unixsocket,
        b"{server-mode}": b"",
        b"{port}": b"%d" % config.port,
        b"{tls-port}": b"%d" % config.tls_port,
        b"{unixsocket}": config.unixsocket,
        b"{config-file}": config.config_file,
    }
    title = config.proc_title_template
    for name, value in values.items():
        title = title.replace(name, value)
    try:
        with open("/proc/self/comm", "wb") as file:
            file.write(title.strip()[:TITLE_BYTES])
    except OSError:
        pass
