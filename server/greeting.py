"""What the process says and shows of itself at start: banner, warnings about the system, its title.

Called once, before the sockets listen.
"""

from __future__ import annotations

import os

from server.version import REDIS_VERSION, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:

    from server.config.configuration import Config
    from server.log import Log

LOGO = r"""
        _   _
   _ __| | (_)_ ___    rediselect %s, as Redis %s (%s bit)
  | '_/ _` | (_-</ -_)
  |_| \__,_|_/__/\___|  Running in %s mode
                       Port: %d
                       PID: %d
"""
OVERCOMMIT = "/proc/sys/vm/overcommit_memory"
NO_OVERCOMMIT = (
    "Memory overcommit must be enabled! A background save may fail while memory is short: the system may refuse the "
    "fork. `sysctl vm.overcommit_memory=1` allows it."
)
HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage/enabled"
ALWAYS_HUGE = (
    "Transparent huge pages are always used: after a fork each write copies 2 MB, which costs memory and time. "
    "`echo madvise > %s` leaves the choice to programs." % HUGE_PAGES
)
TITLE_BYTES = 15  # what Linux keeps of a thread's name


def greet(config: Config, log: Log) -> None:
    """Show the banner, or say its content in a line."""
    import sys

    bits = "64" if sys.maxsize > 2**32 else "32"
    port = config.port or config.tls_port
    if config.always_show_logo:
        log.raw(LOGO % (VERSION, REDIS_VERSION, bits, "standalone", port, os.getpid()))
    else:
        log.notice("Running mode=standalone, port=%d." % port)


def warn_of_system(config: Config, log: Log) -> None:
    """Settings of the machine that will hurt later."""
    backlog = read_number("/proc/sys/net/core/somaxconn")
    if config.port and backlog is not None and backlog < config.tcp_backlog:
        log.warning(
            "WARNING: The TCP backlog setting of %d cannot be enforced because /proc/sys/net/core/somaxconn is set "
            "to the lower value of %d." % (config.tcp_backlog, backlog)
        )
    if read_number(OVERCOMMIT) == 0 and config.save:
        log.warning("WARNING " + NO_OVERCOMMIT)


def check_system() -> tuple[str, bool]:
    """What `--check-system` prints, and whether all is well. A setting that this system does not have is skipped."""
    try:
        with open(HUGE_PAGES) as file:
            huge_pages_always: bool | None = "[always]" in file.read()
    except OSError:
        huge_pages_always = None
    overcommit = read_number(OVERCOMMIT)
    lines = []
    all_well = True
    for name, is_ill, advice in (
        ("overcommit", None if overcommit is None else overcommit == 0, NO_OVERCOMMIT),
        ("THP", huge_pages_always, ALWAYS_HUGE),
    ):
        if is_ill:
            all_well = False
            lines.append("[%s]...WARNING:\n%s" % (name, advice))
        else:
            lines.append("[%s]...%s" % (name, "skipped" if is_ill is None else "OK"))
    return "\n".join(lines) + "\n", all_well


def read_number(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def set_title(config: Config) -> None:
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
