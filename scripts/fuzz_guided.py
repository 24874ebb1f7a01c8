"""`fuzz.py --atheris`: inputs that are found by what they reach, instead of by a grammar.

A server is built inside this process, with its code instrumented; each input is the life of one connection, from the
first byte to the end of its input, over a pair of sockets. Commands that reach out of the process are renamed away. A
fault is an exception that no error reply was made of. What is known of the grammar goes into a dictionary of words.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path

from scripts.fuzz import LEFT_OUT, SETUP, WORDS
from tests.harness.wire import encode

MOST_TURNS = 1000  # of the loop, before an input counts as one that does not end


class Fault(Exception):
    """The server did what it must not."""


class InProcess:
    """A server without listeners."""

    def __init__(self, directory: str) -> None:
        from server.app import Application
        from server.config.command_line import configure
        from server.log import Log

        options = ["--save", "", "--maxmemory", "300mb", "--dir", directory, "--port", "0"]
        config = configure(options)
        log = Log(config.loglevel, config.logfile)
        self.application = Application(config, log)
        self.reactor = self.application.reactor
        registry = self.application.services.registry
        for name in {*[name for name in LEFT_OUT if "|" not in name], "config", "acl", "script"}:
            registry.rename(name.encode(), b"")
        # One of each to begin with: the words of its name, and as many as it must have.
        self.examples = [
            encode(*spec.name.split(b"|"), *[b"str"] * (abs(spec.arity) - 1 - spec.name.count(b"|")))
            for spec in registry
        ]

    def live(self, data: bytes) -> None:
        """One connection that sends this and ends."""
        services = self.application.services
        ours, theirs = socket.socketpair()
        with ours:
            self.accept(theirs)
            ours.sendall(data)
            ours.shutdown(socket.SHUT_WR)
            ours.setblocking(False)
            for _ in range(MOST_TURNS):
                self.reactor.turn(0.0)
                services.clients.unpause()
                if not len(services.clients):
                    break
                try:
                    ours.recv(1 << 20)
                except BlockingIOError:
                    pass
            else:
                raise Fault("the connection was not closed")
        if services.stats.unexpected_errors:
            raise Fault("see the log above")

    def accept(self, sock: socket.socket) -> None:
        from server.connection import Connection

        services = self.application.services
        sock.setblocking(False)
        session = services.clients.new()
        services.accounts.greet(session)
        services.clients.admit(session)
        self.reactor.add(Connection(sock, session, services))


def run_guided(seconds: float, most: int, seed: int) -> int:
    """Never returns where atheris is there: the process ends with its verdict."""
    try:
        import atheris
    except ImportError:
        print("the package atheris is not installed: pip install atheris")
        return 2
    with atheris.instrument_imports(include=["server", "protocol", "storage"]):
        import server.app  # noqa: F401  what is to be followed must be imported here
    with tempfile.TemporaryDirectory(prefix="rediselect-") as directory:
        words = Path(directory, "words")
        words.write_text("".join('"%s"\n' % word.replace("\\", "") for word in {*WORDS, *" ".join(SETUP).split()}))
        corpus = Path(directory, "corpus")
        corpus.mkdir()
        subject = InProcess(directory)
        prepared = [encode(*line.split()) for line in SETUP]
        for number, example in enumerate([*prepared, b"".join(prepared), *subject.examples]):
            corpus.joinpath(str(number)).write_bytes(example)
        options = ["-max_total_time=%d" % seconds, "-seed=%d" % seed, "-dict=%s" % words, "-max_len=4000"]
        if most:
            options.append("-runs=%d" % most)
        atheris.Setup([sys.argv[0], *options, str(corpus)], subject.live)
        atheris.Fuzz()
    return 0
