"""A client in a page: one connection, commands out, replies in. For tools and fixtures that must need nothing.

Replies are Python values: bytes, int, float, bool, None, list, dict (as pairs in a list, if a key is unhashable); an
error reply is a `ReplyError` that `ask` raises and that is a value inside of other replies. Blocking, one thread.
"""

from __future__ import annotations

import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

RECEIVE_BYTES = 65536


class ReplyError(Exception):
    """An error that the server answered with."""


class Connection:
    """A connection to host and port, or to a unix socket."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = 6379, unix: str = "", timeout_s: Optional[float] = 5.0
    ) -> None:
        self.socket: socket.socket
        if unix:
            if sys.platform == "win32":
                raise OSError("this platform has no unix sockets")
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(timeout_s)
            self.socket.connect(unix)
        else:
            self.socket = socket.create_connection((host, port), timeout_s)
        self.file = self.socket.makefile("rb", RECEIVE_BYTES)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def ask(self, *words: Any) -> Any:
        """Send a command and return its reply. Raises ReplyError, OSError."""
        self.send(*words)
        reply = self.read()
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def send(self, *words: Any) -> None:
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape")
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
        self.socket.sendall(b"".join(parts))

    def read(self) -> Any:
        """The next reply. Raises ConnectionError at the end."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return ReplyError(rest.decode("utf-8", "replace"))
        if kind in b":(":
            return int(rest)
        if kind == b",":
            return float(rest)
        if kind == b"#":
            return rest == b"t"
        if kind == b"_" or rest == b"-1":
            return None
        if kind in b"$=!":
            return self.read_string(kind, int(rest))
        if kind in b"*~>":
            return [self.read() for _ in range(int(rest))]
        if kind == b"%":
            pairs = [(self.read(), self.read()) for _ in range(int(rest))]
            try:
                return dict(pairs)
            except TypeError:
                return pairs
        raise ConnectionError("not a reply: %r" % line[:80])

    def read_string(self, kind: bytes, size: int) -> Any:
        data = self.file.read(size + 2)
        if len(data) < size + 2:
            raise ConnectionError("the server closed the connection")
        if kind == b"=":
            return data[4:-2]  # behind `txt:`
        return ReplyError(data[:-2].decode("utf-8", "replace")) if kind == b"!" else data[:-2]
