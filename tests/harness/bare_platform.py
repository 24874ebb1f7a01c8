"""Python without what only POSIX or Linux have: `bare_platform.py SCRIPT|-m MODULE [arguments]` runs like `python`.

Takes fork, unix sockets, epoll, sendmsg, most signals, /proc and the modules resource, fcntl, pwd, grp and syslog away,
calls the system "nt", and lets nobody rename or delete an open file, rename onto one, open a directory, or sync a
descriptor that only reads. What runs under it is not proved to run on Windows, but needs nothing of these.
"""

from __future__ import annotations

import select

for _name in ("epoll", "poll", "kqueue"):  # before `socket` imports `selectors`
    if hasattr(select, _name):
        delattr(select, _name)

import builtins  # noqa: E402
import errno  # noqa: E402
import io  # noqa: E402
import os  # noqa: E402
import runpy  # noqa: E402
import shutil  # noqa: E402, F401 (it chooses by os.name when it is imported)
import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402

MISSING = {
    os: "fork forkpty wait wait3 wait4 waitid WNOHANG WIFSIGNALED WIFEXITED WEXITSTATUS WTERMSIG setsid getuid geteuid "
    "getgid getegid setuid setgid getpgid setpgid killpg uname getloadavg sysconf statvfs sched_getaffinity "
    "sched_setaffinity fchmod fchown chown set_blocking pread pwrite readv writev posix_fadvise fdatasync sync pipe2 "
    "sendfile mkfifo nice register_at_fork getrandom O_DIRECTORY O_NONBLOCK O_CLOEXEC O_SYNC O_NOFOLLOW",
    socket: "AF_UNIX SO_REUSEPORT MSG_DONTWAIT MSG_NOSIGNAL SO_PEERCRED TCP_USER_TIMEOUT",
    signal: "pthread_sigmask pthread_kill sigwait setitimer alarm pause siginterrupt",
}
KEPT_SIGNALS = ("SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV", "SIG_DFL", "SIG_IGN")
NO_MODULES = ("resource", "fcntl", "pwd", "grp", "syslog", "termios", "readline")
SENDMSG = ("sendmsg", "recvmsg", "recvmsg_into")

_open, _listdir, _os_open = builtins.open, os.listdir, os.open
_replace, _unlink, _fsync = os.replace, os.unlink, os.fsync


def take_away() -> None:
    for module, names in MISSING.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    for name in dir(signal):
        if name.startswith("SIG") and name.isupper() and name not in KEPT_SIGNALS:
            delattr(signal, name)
    for name in NO_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    os.name = "nt"
    socket.socket = PlainSocket  # type: ignore[misc]
    socket.socketpair = connected_pair
    builtins.open = io.open = open_file
    os.listdir, os.open, os.fsync = list_directory, open_descriptor, sync
    os.replace, os.rename, os.unlink, os.remove = replace, rename, unlink, unlink


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


def open_file(path, *arguments, **options):
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
    return _os_open(path, flags, *arguments, **options)


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
