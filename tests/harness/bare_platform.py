"""Python without what only POSIX or Linux have: `bare_platform.py SCRIPT|-m MODULE [arguments]` runs like `python`.

Takes fork, unix sockets, epoll, sendmsg, most signals, /proc and the modules resource, fcntl, pwd, grp and syslog away,
says it is Windows, and keeps that system's rules: nobody can rename or delete an open file, rename onto one, open a
directory, sync a descriptor that only reads, watch anything but sockets or more than 512 of them, load the C library
without a name. Clocks tick 64 times a second; what is written to a descriptor opened without O_BINARY has its lines
ended otherwise; SIGBREAK has the number of SIGUSR1. What runs under it is not proved to run on Windows, but needs
nothing of these.
"""

from __future__ import annotations

import select

for _name in ("epoll", "poll", "kqueue"):  # before `socket` imports `selectors`
    if hasattr(select, _name):
        delattr(select, _name)

import builtins  # noqa: E402
import ctypes  # noqa: E402 (it chooses by os.name when it is imported)
import errno  # noqa: E402
import io  # noqa: E402
import os  # noqa: E402
import runpy  # noqa: E402
import selectors  # noqa: E402
import shutil  # noqa: E402, F401 (it chooses by os.name when it is imported)
import signal  # noqa: E402
import socket  # noqa: E402
import ssl  # noqa: E402, F401 (by sys.platform)
import stat  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402

MISSING = {
    os: "fork forkpty wait wait3 wait4 waitid WNOHANG WIFSIGNALED WIFEXITED WEXITSTATUS WTERMSIG setsid getuid geteuid "
    "getgid getegid setuid setgid getpgid setpgid killpg uname getloadavg sysconf statvfs sched_getaffinity "
    "sched_setaffinity fchmod fchown chown set_blocking pread pwrite readv writev posix_fadvise fdatasync sync pipe2 "
    "sendfile mkfifo nice register_at_fork getrandom O_DIRECTORY O_NONBLOCK O_CLOEXEC O_SYNC O_NOFOLLOW getpgrp "
    "getpriority get_blocking eventfd memfd_create splice copy_file_range",
    socket: "AF_UNIX SO_REUSEPORT MSG_DONTWAIT MSG_NOSIGNAL SO_PEERCRED TCP_USER_TIMEOUT",
    signal: "pthread_sigmask pthread_kill sigwait setitimer alarm pause siginterrupt ITIMER_REAL SIG_BLOCK SIG_UNBLOCK",
    time: "tzset clock_gettime",
}
KEPT_SIGNALS = ("SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV", "SIG_DFL", "SIG_IGN")
NO_MODULES = ("resource", "fcntl", "pwd", "grp", "syslog", "termios", "readline")
SIGBREAK = signal.SIGUSR1
O_BINARY, O_TEMPORARY = 1 << 30, 1 << 29  # no flags of this system
MAX_SELECTED = 512
TICK_NS = 1_000_000_000 // 64
SENDMSG = ("sendmsg", "recvmsg", "recvmsg_into")

_open, _listdir, _os_open = builtins.open, os.listdir, os.open
_replace, _unlink, _fsync, _write, _close = os.replace, os.unlink, os.fsync, os.write, os.close
_select, _time_ns, _monotonic_ns = select.select, time.time_ns, time.monotonic_ns
_text_descriptors = set()


def take_away() -> None:
    for module, names in MISSING.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    for name in dir(signal):
        if name.startswith("SIG") and name.isupper() and name not in KEPT_SIGNALS:
            delattr(signal, name)
    signal.SIGBREAK = SIGBREAK  # type: ignore[attr-defined]
    for name in NO_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    ctypes.CDLL = named_library  # type: ignore[misc]
    os.name, sys.platform = "nt", "win32"
    select.select = selectors.SelectSelector._select = Sockets()
    time.time_ns, time.time = lambda: ticks(_time_ns()), lambda: ticks(_time_ns()) / 1e9
    time.monotonic_ns, time.monotonic = lambda: ticks(_monotonic_ns()), lambda: ticks(_monotonic_ns()) / 1e9
    socket.socket = PlainSocket  # type: ignore[misc]
    socket.socketpair = connected_pair
    builtins.open = io.open = open_file
    os.listdir, os.open, os.fsync = list_directory, open_descriptor, sync
    os.write, os.close = write, close
    os.O_BINARY, os.O_TEMPORARY = O_BINARY, O_TEMPORARY  # type: ignore[attr-defined]
    os.replace, os.rename, os.unlink, os.remove = replace, rename, unlink, unlink


def ticks(now_ns: int) -> int:
    return now_ns - now_ns % TICK_NS


def named_library(name, *arguments, _load=ctypes.CDLL, **options):
    if name is None:
        raise TypeError("argument of type 'NoneType' is not iterable")
    return _load(name, *arguments, **options)


class Sockets:
    """`select.select` of Windows. An object, since a function would become a method of the selector."""

    def __call__(self, readers, writers, others, timeout=None):
        watched = [*readers, *writers, *others]
        if not watched:
            raise OSError(errno.EINVAL, "An invalid argument was supplied")
        if max(len(readers), len(writers)) > MAX_SELECTED:
            raise ValueError("too many file descriptors in select()")
        for entry in watched:
            if not stat.S_ISSOCK(os.fstat(entry if isinstance(entry, int) else entry.fileno()).st_mode):
                raise OSError(errno.ENOTSOCK, "An operation was attempted on something that is not a socket")
        return _select(readers, writers, others, timeout)


class _WithoutSendmsg(type):
    def __getattribute__(cls, name):
        if name in SENDMSG:
            raise AttributeError(name)
        return super().__getattribute__(name)


class PlainSocket(socket.socket, metaclass=_WithoutSendmsg):
    def __getattribute__(self, name):
        if name in SENDMSG:
            raise AttributeError(name)
        return super().__getattribute__(name)


def connected_pair(*_kind):
    """What `socket.socketpair` is where there are no unix sockets."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = socket.socket()
        client.connect(listener.getsockname())
        return listener.accept()[0], client


def deny(path, reason):
    # In the log, so that a refusal that the server survives is found too.
    sys.stderr.write("DENIED: %s %r\n%s" % (reason, path, "".join(traceback.format_stack(limit=6)[:-2])))
    raise PermissionError(errno.EACCES, reason, path)


def is_open(path) -> bool:
    try:
        wanted = os.stat(path)
    except OSError:
        return False
    for name in _listdir("/proc/self/fd"):
        try:
            found = os.fstat(int(name))
        except OSError:
            continue
        if os.path.samestat(wanted, found):
            return True
    return False


def of_linux(path) -> bool:
    return isinstance(path, (str, bytes)) and os.fsdecode(path).startswith(("/proc", "/sys"))


def open_file(path, *arguments, opener=None, **options):
    if opener is not None:  # it is asked for binary there, whatever the mode
        return _open(path, *arguments, opener=lambda name, flags: opener(name, flags | O_BINARY), **options)
    if of_linux(path):
        raise FileNotFoundError(errno.ENOENT, "No such file", path)
    return _open(path, *arguments, **options)


def list_directory(path="."):
    if of_linux(path):
        raise FileNotFoundError(errno.ENOENT, "No such directory", path)
    return _listdir(path)


def open_descriptor(path, flags, *arguments, **options):
    if os.path.isdir(path):
        deny(path, "a directory is opened")
    descriptor = _os_open(path, flags & ~(O_BINARY | O_TEMPORARY), *arguments, **options)
    if flags & O_TEMPORARY:
        _unlink(path)
    (_text_descriptors.discard if flags & O_BINARY else _text_descriptors.add)(descriptor)
    return descriptor


def write(descriptor, data):
    if descriptor not in _text_descriptors:
        return _write(descriptor, data)
    left = bytes(data).replace(b"\n", b"\r\n")
    while left:
        left = left[_write(descriptor, left) :]
    return len(data)


def close(descriptor):
    _text_descriptors.discard(descriptor)
    _close(descriptor)


def sync(file):
    descriptor = file if isinstance(file, int) else file.fileno()
    with _open("/proc/self/fdinfo/%d" % descriptor) as info:
        flags = next(int(line.split()[1], 8) for line in info if line.startswith("flags:"))
    if not flags & (os.O_WRONLY | os.O_RDWR):
        deny(descriptor, "a descriptor that only reads is synced")
    _fsync(descriptor)


def replace(path, target, **options):
    for name in (path, target):
        if is_open(name):
            deny(name, "an open file is moved")
    _replace(path, target, **options)


def rename(path, target, **options):
    if os.path.exists(target):
        deny(target, "a file is in the way")
    replace(path, target, **options)


def unlink(path, **options):
    if is_open(path):
        deny(path, "an open file is deleted")
    _unlink(path, **options)


if __name__ == "__main__":
    take_away()
    # This folder is no place to import from.
    del sys.path[0], sys.argv[0]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(sys.argv[0]))
        runpy.run_path(sys.argv[0], run_name="__main__")
