"""Connections of the soak's clients: over a raw socket, or through redis-py's parser and packer.

Owns bytes in and out, the time each exchange took, and what ended a connection. Knows no command.

Replies are ordinary values in RESP2: bytes, int, None, list, and `Refusal` for an error reply, which is returned
and not raised. `Lost` is a connection that ended: whether the commands under way were executed is unknown.
"""

from __future__ import annotations

import math
import selectors
import socket
import time

PATIENCE_S = 60.0  # a server that is silent for longer is stuck, however loaded the machine
RECEIVE_BYTES = 256 * 1024
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
# Poll needs no descriptor of its own, and takes those from 1024 on, which select refuses.
Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
BUCKETS_PER_OCTAVE = 8  # a percentile is at most 9 % above the truth


class Lost(Exception):
    """The connection ended."""


class Violation(Exception):
    """A promise was broken; the text says which."""


class Refusal:
    """An error reply."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refusal) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"-{self.text.decode(errors='replace')}"


def bucket(seconds: float) -> int:
    """Return the histogram bucket of a duration: logarithmic, from 1 microsecond."""
    return max(0, int(math.log2(max(seconds * 1e6, 1.0)) * BUCKETS_PER_OCTAVE))


def bucket_ms(index: int) -> float:
    """Return a bucket's upper edge in milliseconds."""
    return 2 ** ((index + 1) / BUCKETS_PER_OCTAVE) / 1000


class Meter:
    """What one client has done since it last reported."""

    def __init__(self) -> None:
        self.commands = 0
        self.lost = 0
        self.refused = 0
        self.latencies: dict[int, int] = {}
        self.longest_s = 0.0

    def took(self, seconds: float, commands: int) -> None:
        self.commands += commands
        index = bucket(seconds)
        self.latencies[index] = self.latencies.get(index, 0) + 1
        if seconds > self.longest_s:
            self.longest_s = seconds


def encode(argv) -> bytes:
    parts = [b"*%d\r\n" % len(argv)]
    for arg in argv:
        if not isinstance(arg, bytes):
            arg = str(arg).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(parts)


def connected_socket(port: int) -> socket.socket:
    try:
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    except OSError as error:
        raise Lost(str(error)) from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ready(sock: socket.socket, events: int, timeout_s: float) -> int:
    """Return which of the events a socket is ready for; 0 if none came in time."""
    with Selector() as selector:
        selector.register(sock, events)
        for _, met in selector.select(timeout_s):
            return met
    return 0


class RawLink:
    """A socket and a buffer of what has come in."""

    def __init__(self, port: int, meter: Meter) -> None:
        self.meter = meter
        self.buffer = bytearray()
        self.at = 0
        self.socket = connected_socket(port)

    def close(self) -> None:
        self.socket.close()

    def fileno(self) -> int:
        return self.socket.fileno()

    def call(self, *argv, blocking: bool = False):
        """Send one command and return its reply; `blocking` keeps its waiting out of the latencies."""
        started = time.perf_counter()
        self.send(encode(argv))
        reply = self.read()
        if blocking:
            self.meter.commands += 1
        else:
            self.meter.took(time.perf_counter() - started, 1)
        return reply

    def pipeline(self, commands) -> list:
        """Send all commands, reading while sending, and return all replies."""
        started = time.perf_counter()
        data = memoryview(b"".join([encode(argv) for argv in commands]))
        try:
            while data:
                events = ready(self.socket, READ | WRITE, PATIENCE_S)
                if not events:
                    raise Violation(f"the server neither read nor wrote for {PATIENCE_S:.0f} s")
                if events & READ:
                    self._receive()
                if events & WRITE:
                    data = data[self.socket.send(data[:RECEIVE_BYTES]) :]
        except OSError as error:
            raise Lost(str(error)) from None
        replies = []
        for _ in commands:
            replies.append(self.read())
        self.meter.took(time.perf_counter() - started, len(replies))
        return replies

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except socket.timeout:
            raise Violation(f"the server read nothing for {PATIENCE_S:.0f} s") from None
        except OSError as error:
            raise Lost(str(error)) from None

    def has_input(self, timeout_s: float = 0.0) -> bool:
        return self.at < len(self.buffer) or bool(ready(self.socket, READ, timeout_s))

    def _receive(self) -> None:
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except socket.timeout:
            raise Violation(f"no reply for {PATIENCE_S:.0f} s") from None
        except OSError as error:
            raise Lost(str(error)) from None
        if not data:
            raise Lost("the server closed the connection")
        if self.at == len(self.buffer):
            self.buffer.clear()
            self.at = 0
        self.buffer += data

    def _line(self) -> bytes:
        searched = self.at
        while True:
            end = self.buffer.find(b"\r\n", searched)
            if end >= 0:
                line = bytes(self.buffer[self.at : end])
                self.at = end + 2
                return line
            left = len(self.buffer) - self.at
            self._receive()
            searched = self.at + max(0, left - 1)

    def read(self):
        """Return the next reply."""
        line = self._line()
        kind = line[:1]
        if kind == b"$":
            length = int(line[1:])
            if length < 0:
                return None
            while len(self.buffer) < self.at + length + 2:
                self._receive()
            end = self.at + length
            data = bytes(self.buffer[self.at : end])
            if self.buffer[end : end + 2] != b"\r\n":
                raise Violation(f"a bulk string of {length} bytes goes on: {bytes(self.buffer[end : end + 20])!r}")
            self.at = end + 2
            return data
        if kind == b":":
            return int(line[1:])
        if kind == b"+":
            return line[1:]
        if kind == b"*":
            count = int(line[1:])
            return None if count < 0 else [self.read() for _ in range(count)]
        if kind == b"-":
            self.meter.refused += 1
            return Refusal(line[1:])
        raise Violation(f"no reply begins with {line[:60]!r}")


class LibraryLink:
    """The same through redis-py, without its retries and reply callbacks, which would hide what happened."""

    def __init__(self, port: int, meter: Meter) -> None:
        import redis

        self.redis = redis
        self.meter = meter
        self.connection = redis.connection.Connection(
            host="127.0.0.1", port=port, socket_timeout=PATIENCE_S, protocol=2, lib_name=None, lib_version=None
        )
        try:
            self.connection.connect()
        except (redis.exceptions.ConnectionError, redis.exceptions.ResponseError, OSError) as error:
            raise Lost(str(error)) from None

    def close(self) -> None:
        self.connection.disconnect()

    def _read(self):
        exceptions = self.redis.exceptions
        try:
            return self._value(self.connection.read_response())
        except exceptions.TimeoutError:
            raise Violation(f"no reply for {PATIENCE_S:.0f} s") from None
        except exceptions.ResponseError as error:
            return self._value(error)
        except exceptions.BusyLoadingError as error:
            self.meter.refused += 1
            return Refusal(f"LOADING {error.args[0]}".encode())
        except (exceptions.ConnectionError, OSError) as error:
            raise Lost(str(error)) from None

    def _value(self, reply):
        if isinstance(reply, list):
            return [self._value(item) for item in reply]
        if isinstance(reply, self.redis.exceptions.ResponseError):
            self.meter.refused += 1
            text = str(reply.args[0])
            # redis-py cuts the code off where it is the general one.
            return Refusal((text if text.split(" ", 1)[0].isupper() else f"ERR {text}").encode())
        return reply

    def call(self, *argv, blocking: bool = False):
        return self._exchange([argv], blocking)[0]

    def pipeline(self, commands) -> list:
        return self._exchange(commands, False)

    def _exchange(self, commands, blocking: bool) -> list:
        started = time.perf_counter()
        try:
            self.connection.send_packed_command(self.connection.pack_commands(commands))
        except (self.redis.exceptions.ConnectionError, OSError) as error:
            raise Lost(str(error)) from None
        replies = [self._read() for _ in commands]
        if blocking:
            self.meter.commands += len(replies)
        else:
            self.meter.took(time.perf_counter() - started, len(replies))
        return replies


def library_is_there() -> bool:
    try:
        import redis  # noqa: F401
    except ImportError:
        return False
    return True
