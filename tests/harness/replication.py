"""Both halves of replication over a raw connection, so that every byte is known."""

from __future__ import annotations

import re
import socket
import time

from tests.harness.wire import Wire, encode, plain

PATIENCE_S = 30.0
ID = b"0123456789" * 4
# A snapshot of version 10 without keys and without a checksum.
EMPTY_SNAPSHOT = b"REDIS0010\xff" + b"\0" * 8


def info(wire: Wire, section: str = "replication") -> dict[str, str]:
    lines = wire.ask("INFO", section).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def until(check, what: str = "it happens"):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited in vain until {what}")


class BareReplica:
    """The replica's half of the protocol over a raw connection."""

    def __init__(self, server, *capabilities: str) -> None:
        self.wire = server.wire()
        self.wire.command("REPLCONF", "listening-port", "7777")
        for capability in capabilities:
            assert self.wire.command("REPLCONF", "capa", capability) == (b"+", b"OK")

    def psync(self, identity: bytes = b"?", offset: int = -1) -> bytes:
        self.wire.send(encode("PSYNC", identity, offset))
        return self.line()

    def line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.wire.read_exactly(1)
            if line == b"\n":
                line = b""
        return line[:-2]

    def snapshot(self) -> bytes:
        """The snapshot in either frame."""
        head = self.line()
        if head.startswith(b"$EOF:"):
            mark = head[5:]
            return self.wire.read_to(mark)
        return self.wire.read_exactly(int(head[1:]))

    def full_sync(self) -> tuple[bytes, int]:
        """The history's ID and the offset from which the stream follows."""
        word, identity, offset = self.psync().split()
        assert word == b"+FULLRESYNC"
        assert self.snapshot().startswith(b"REDIS0010")
        self.acknowledge(int(offset))
        return identity, int(offset)

    def acknowledge(self, offset: int) -> None:
        self.wire.send(encode("REPLCONF", "ACK", offset))

    def command(self) -> list[bytes]:
        """The next command of the stream that is no PING."""
        while True:
            found = plain(self.wire.read())
            if found != [b"ping"]:
                return found


class BareMaster:
    """Listens, answers a replica's introduction, and sends what it is told."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE_S)
        self.port = self.listener.getsockname()[1]
        self.link = None
        self.buffer = b""
        self.asked: list[list[bytes]] = []

    def close(self) -> None:
        self.listener.close()
        if self.link is not None:
            self.link.close()

    def read_command(self) -> list[bytes]:
        while True:
            match = re.match(rb"\n*\*(\d+)\r\n", self.buffer)
            if match:
                parts = self.buffer[match.end() :].split(b"\r\n")
                count = int(match.group(1))
                if len(parts) > 2 * count:
                    argv = parts[1 : 2 * count : 2]
                    used = match.end() + sum(len(part) + 2 for part in parts[: 2 * count])
                    self.buffer = self.buffer[used:]
                    return argv
            data = self.link.recv(65536)
            if not data:
                raise ConnectionError("the replica closed")
            self.buffer += data

    def accept(self) -> list[bytes]:
        """Accept the replica and let it introduce itself; returns its PSYNC."""
        self.link, _ = self.listener.accept()
        self.link.settimeout(PATIENCE_S)
        self.buffer = b""
        self.asked = []
        while True:
            argv = self.read_command()
            if argv[0] == b"PSYNC":
                return argv
            self.asked.append(argv)
            self.link.sendall(b"+PONG\r\n" if argv[0] == b"PING" else b"+OK\r\n")

    def acknowledged(self) -> int:
        """The offset of the next acknowledgement."""
        while True:
            argv = self.read_command()
            if argv[:2] == [b"REPLCONF", b"ACK"]:
                return int(argv[2])


def introduce(bare_master, stream: bytes = b"") -> None:
    bare_master.accept()
    data = b"+FULLRESYNC %b 0\r\n$%d\r\n" % (ID, len(EMPTY_SNAPSHOT)) + EMPTY_SNAPSHOT + stream
    bare_master.link.sendall(data)
