"""A client that sees what is on the wire.

Owns one socket and a buffer. Replies are handed out as the exact bytes they came in, or as a tree that keeps
the type byte of every node, so that `$-1` and `*-1` and `_` stay three different replies. It must not know
what any command means. Every wait ends: `Timeout` after `timeout_s`, `Closed` when the other side is gone.
"""

from __future__ import annotations

import socket
import time

DEFAULT_TIMEOUT_S = 10.0
RECEIVE_BYTES = 256 * 1024
SINGLE_LINE = frozenset(b"+-:,#_(")
BULK = frozenset(b"$!=")
AGGREGATE = frozenset(b"*~>%|")
PAIRED = frozenset(b"%|")


class Closed(ConnectionError):
    """The server closed the connection."""


class Timeout(TimeoutError):
    """The server did not answer in time."""


class BadReply(ValueError):
    """The bytes are not RESP."""


def encode(*args: bytes | str | int | float) -> bytes:
    """Return a command as the array of bulk strings that clients send."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if isinstance(arg, (bytes, bytearray)) else str(arg).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def encode_all(commands) -> bytes:
    """Return many argument vectors (bytes only) as one pipeline."""
    parts = []
    for argv in commands:
        parts.append(b"*%d\r\n" % len(argv))
        for arg in argv:
            parts.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(parts)


def reply_end(buffer: bytes | bytearray, start: int) -> int:
    """Return where the reply that begins at `start` ends, or -1 when it is not all there."""
    pending = 1
    at = start
    find = buffer.find
    while pending:
        stop = find(b"\r\n", at)
        if stop < 0:
            return -1
        kind = buffer[at]
        if kind in BULK:
            length = int(buffer[at + 1 : stop])
            at = stop + 2 + (length + 2 if length >= 0 else 0)
            if at > len(buffer):
                return -1
        elif kind in SINGLE_LINE:
            at = stop + 2
        elif kind in AGGREGATE:
            count = int(buffer[at + 1 : stop])
            at = stop + 2
            if count > 0:
                pending += count * 2 if kind in PAIRED else count
            if kind == 0x7C:  # an attribute precedes the reply it describes
                pending += 1
        else:
            raise BadReply(f"no reply begins with {bytes(buffer[at : at + 40])!r}")
        pending -= 1
    return at


def parse(raw: bytes):
    """Return a reply's bytes as a tree: `(type byte, content)`.

    Content is bytes for lines and bulk strings, a list of trees for arrays, sets and pushes, a list of pairs
    of trees for maps, and None for a null of whatever type.
    """
    tree, end = _parse(raw, 0)
    if end != len(raw):
        raise BadReply(f"{len(raw) - end} bytes follow the reply")
    return tree


def _parse(raw: bytes, at: int):
    kind = raw[at : at + 1]
    stop = raw.index(b"\r\n", at)
    line = raw[at + 1 : stop]
    at = stop + 2
    if kind[0] in BULK:
        length = int(line)
        if length < 0:
            return (kind, None), at
        if raw[at + length : at + length + 2] != b"\r\n":
            raise BadReply(f"a bulk string of {length} bytes does not end there")
        return (kind, raw[at : at + length]), at + length + 2
    if kind[0] in AGGREGATE:
        count = int(line)
        if count < 0:
            return (kind, None), at
        items = []
        for _ in range(count * 2 if kind[0] in PAIRED else count):
            item, at = _parse(raw, at)
            items.append(item)
        if kind[0] in PAIRED:
            items = list(zip(items[::2], items[1::2]))
        return (kind, items), at
    if kind[0] not in SINGLE_LINE:
        raise BadReply(f"no reply has type {kind!r}")
    return (kind, None if kind == b"_" else line), at


def plain(tree):
    """Return a tree as ordinary values, for tests that read better so; an error stays bytes with its '-'."""
    kind, content = tree
    if content is None:
        return None
    if kind == b":":
        return int(content)
    if kind == b",":
        return float(content)
    if kind == b"#":
        return content == b"t"
    if kind == b"-":
        return b"-" + content
    if kind == b"=":
        return content[4:]
    if kind in (b"*", b"~", b">"):
        return [plain(item) for item in content]
    if kind == b"%":
        return [(plain(key), plain(value)) for key, value in content]
    return content


class Wire:
    """One connection, in bytes.

    `with server.wire() as wire:` closes it. Methods that wait take `timeout_s` (default: the connection's).
    """

    def __init__(self, address, timeout_s: float = DEFAULT_TIMEOUT_S, protocol: int = 2) -> None:
        self.timeout_s = timeout_s
        self.buffer = bytearray()
        if isinstance(address, (str, bytes)):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout_s)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout_s)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if protocol != 2:
            self.command("HELLO", protocol)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_exc) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close so that the server sees a reset rather than an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data: bytes, timeout_s: float | None = None) -> None:
        """Send bytes as they are. A server that does not read makes this time out, not hang."""
        self.socket.settimeout(self.timeout_s if timeout_s is None else timeout_s)
        try:
            self.socket.sendall(data)
        except socket.timeout:
            raise Timeout(f"could not send {len(data)} bytes") from None
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Closed(str(error)) from None

    def send_slowly(self, data: bytes, pieces: int = 1) -> None:
        """Send `pieces` bytes at a time, each in a segment of its own (Nagle is off)."""
        for at in range(0, len(data), pieces):
            self.send(data[at : at + pieces])

    def _receive(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Timeout(f"have only {bytes(self.buffer[:200])!r}")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except socket.timeout:
            raise Timeout(f"have only {bytes(self.buffer[:200])!r}") from None
        except ConnectionResetError as error:
            raise Closed(f"{error}; had {bytes(self.buffer[:200])!r}") from None
        if not data:
            raise Closed(f"the connection ended; had {bytes(self.buffer[:200])!r}")
        self.buffer += data

    def _deadline(self, timeout_s: float | None) -> float:
        return time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)

    def read_exactly(self, count: int, timeout_s: float | None = None) -> bytes:
        deadline = self._deadline(timeout_s)
        while len(self.buffer) < count:
            self._receive(deadline)
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read_to(self, mark: bytes, timeout_s: float | None = None) -> bytes:
        """Return the bytes before `mark`, which is read too."""
        deadline = self._deadline(timeout_s)
        searched = 0
        while True:
            end = self.buffer.find(mark, max(0, searched - len(mark)))
            if end >= 0:
                return self.read_exactly(end + len(mark))[:end]
            searched = len(self.buffer)
            self._receive(deadline)

    def read_raw(self, timeout_s: float | None = None) -> bytes:
        """Return the next reply's bytes."""
        return self.read_many_raw(1, timeout_s)[0]

    def read_many_raw(self, count: int, timeout_s: float | None = None) -> list[bytes]:
        """Return the bytes of each of the next `count` replies; linear in the bytes for small replies."""
        deadline = self._deadline(timeout_s)
        buffer = self.buffer
        replies: list[bytes] = []
        at = 0
        try:
            while len(replies) < count:
                end = reply_end(buffer, at)
                if end < 0:
                    self._receive(deadline)
                else:
                    replies.append(bytes(buffer[at:end]))
                    at = end
        finally:
            del buffer[:at]
        return replies

    def read(self, timeout_s: float | None = None):
        """Return the next reply as a tree (see `parse`)."""
        return parse(self.read_raw(timeout_s))

    def command(self, *args, timeout_s: float | None = None):
        """Send one command and return its reply as a tree."""
        self.send(encode(*args))
        return self.read(timeout_s)

    def ask(self, *args, timeout_s: float | None = None):
        """Send one command and return its reply as ordinary values (see `plain`)."""
        return plain(self.command(*args, timeout_s=timeout_s))

    def pipeline(self, commands, timeout_s: float | None = None) -> list[bytes]:
        """Send argument vectors of bytes in one write and return each reply's bytes.

        The replies must fit in the sockets' buffers beside what is still being sent: a few hundred small
        commands.
        """
        self.send(encode_all(commands), timeout_s)
        return self.read_many_raw(len(commands), timeout_s)

    def read_until_closed(self, timeout_s: float | None = None) -> bytes:
        """Return everything up to the end of the connection; Timeout if the server keeps it open."""
        deadline = self._deadline(timeout_s)
        try:
            while True:
                self._receive(deadline)
        except Closed:
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def expect_silence(self, for_s: float = 0.05) -> None:
        """Fail if anything arrives within `for_s`."""
        try:
            self._receive(time.monotonic() + for_s)
        except Timeout:
            if not self.buffer:
                return
        raise AssertionError(f"unexpected bytes {bytes(self.buffer[:200])!r}")
