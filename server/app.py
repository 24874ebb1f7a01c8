"""The application: the one place that constructs the parts of a server and wires them together.

Everything else receives what it needs. The order of `before_sleep` is decided here and is part of the design: timers,
a slice of expiry and the input of just-woken clients come first (server.reactor), then the services' own steps, then
the writes, so that whatever a turn promises is durable before it is acknowledged.
"""

from __future__ import annotations

import socket
from time import monotonic

from server import admission
from server.blocking import Blocking
from server.clients import Clients
from server.commands import all_groups
from server.connection import Connection
from server.dispatch import Dispatcher
from server.listeners import Listener, bind_tcp, bind_unix
from server.reactor import Reactor
from server.registry import Registry
from server.services import Services
from server.stats import Stats
from server.timers import TimerQueue
from storage.keyspace import Keyspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from server.session import Session

MAX_CLIENTS_REACHED = b"-ERR max number of clients reached\r\n"


class Application:
    """A server, ready to `start` and `run`."""

    def __init__(self, config: Any, log: Any) -> None:
        self.config = config
        self.log = log
        services = self.services = Services()
        services.config = config
        services.log = log
        services.timers = TimerQueue()
        services.keyspace = Keyspace(config.databases)
        services.registry = Registry.of(all_groups())
        services.stats = Stats(services.registry)
        services.dispatch = Dispatcher(services, services.registry, services.keyspace)
        services.blocking = Blocking(services)
        services.clients = Clients(services)
        self.reactor = Reactor(services)
        self.reactor.connection_class = Connection
        self.reactor.on_close = self.forget
        self.listeners: List[Listener] = []

    # Listening -------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Bind every configured address; raises BindFailure."""
        config = self.config
        if config.port:
            for sock in bind_tcp(config.bind, config.port, config.tcp_backlog, self.log):
                self.add_listener(sock, "tcp")
        if config.unixsocket:
            path = config.unixsocket.decode("utf-8", "surrogateescape")
            self.add_listener(bind_unix(path, config.unixsocketperm, config.tcp_backlog), "unix")

    def add_listener(self, sock: socket.socket, kind: str) -> None:
        listener = Listener(sock, kind, self.accept, self.pause_accepting, self.log)
        self.listeners.append(listener)
        self.reactor.watch(sock, listener)

    def pause_accepting(self, listener: Listener) -> None:
        """Out of descriptors: look again in a moment, instead of spinning on a readable listener."""
        from server.listeners import SHORTAGE_PAUSE_S

        self.reactor.unwatch(listener.socket)
        self.services.timers.at(
            monotonic() + SHORTAGE_PAUSE_S, lambda: self.reactor.watch(listener.socket, listener)
        )

    def accept(self, sock: socket.socket, address: Any, kind: str) -> None:
        """Make a client of a new socket, or turn it away."""
        services = self.services
        config = self.config
        sock.setblocking(False)
        if len(services.clients) >= config.maxclients:
            services.stats.connections_rejected += 1
            try:
                sock.send(MAX_CLIENTS_REACHED)
            except OSError:
                pass
            sock.close()
            return
        services.stats.connections_received += 1
        services.keyspace.clock.refresh()
        session = services.clients.new()
        session.descriptor = sock.fileno()
        if kind == "unix":
            session.address = config.unixsocket + b":0"
            session.local_address = session.address
        else:
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                session.local_address = format_address(sock.getsockname())
            except OSError:
                sock.close()
                return
            session.address = format_address(address)
        connection = Connection(sock, session, services)
        services.clients.admit(session)
        self.reactor.add(connection)

    def forget(self, connection: Connection) -> None:
        """A connection is being closed."""
        self.services.clients.remove(connection.session)

    # Running ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self.reactor.run()

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()


def format_address(address: Any) -> bytes:
    """A socket address as CLIENT LIST shows it: ip:port, [ipv6]:port."""
    host, port = address[0], address[1]
    return b"[%s]:%d" % (host.encode(), port) if ":" in host else b"%s:%d" % (host.encode(), port)
