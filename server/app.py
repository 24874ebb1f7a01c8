"""The application: the one place that constructs the parts of a server and wires them together.

Everything else receives what it needs. The order of `before_sleep` is decided here and is part of the design: timers,
a slice of expiry and the input of just-woken clients come first (server.reactor), then the services' own steps, then
the writes, so that whatever a turn promises is durable before it is acknowledged.
"""

from __future__ import annotations

import os
import socket
import sys
from time import monotonic

from server.blocking import Blocking
from server.clients import Clients
from server.commands import all_groups
from server.connection import Connection
from server.dispatch import Dispatcher
from server.lifecycle import Lifecycle
from server.listeners import SHORTAGE_PAUSE_S, BindFailure, Listener, bind_tcp, bind_unix
from server.notifications import Notifications
from server.pubsub import PubSub
from server.reactor import Reactor
from server.registry import Registry
from server.services import Services
from server.stats import Stats
from server.timers import TimerQueue
from server.transactions import Watching
from server.version import REDIS_VERSION, VERSION
from storage.keyspace import Keyspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

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
        services.pubsub = PubSub()
        services.watching = Watching(services)
        services.notifications = Notifications(services, services.pubsub)
        services.clients.on_forget += [services.watching.forget, services.pubsub.forget]
        config.on_change("notify-keyspace-events", services.notifications.follow)
        self.reactor = Reactor(services)
        self.reactor.connection_class = Connection
        self.reactor.on_close = self.forget
        self.listeners: List[Listener] = []
        services.lifecycle = Lifecycle(log, config, services.timers, self.reactor.stop)
        config.mirror(services.keyspace.limits, services.keyspace.limits.__slots__)

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

    def serve(self) -> int:
        """Listen, serve until the end, clean up; returns the exit code of the process."""
        log = self.log
        config = self.config
        services = self.services
        log.notice("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo")
        log.notice(
            "Redis version=%s, bits=%d, commit=00000000, modified=0, pid=%d, just started"
            % (REDIS_VERSION, 64 if sys.maxsize > 2**32 else 32, os.getpid())
        )
        if config.config_file:
            log.notice("Configuration loaded")
        else:
            log.warning(
                "Warning: no config file specified, using the default config. "
                "In order to specify a config file use python3 -m server /path/to/redis.conf"
            )
        try:
            self.listen()
        except BindFailure as error:
            log.warning(str(error))
            self.close()
            return 1
        services.lifecycle.catch_signals(self.reactor.watch)
        self.write_pid_file()
        log.notice("Running mode=standalone, port=%d." % config.port)
        log.notice("Server initialized")
        log.notice("rediselect %s is ready" % VERSION)
        for kind in dict.fromkeys(listener.kind for listener in self.listeners):
            log.notice("Ready to accept connections %s" % kind)
        self.reactor.run()
        self.close()
        return services.lifecycle.exit_code

    def write_pid_file(self) -> None:
        """`pidfile`, or its default path when the process became a daemon; failing to write it is only logged."""
        path = self.config.pidfile or (b"/var/run/redis.pid" if self.config.daemonize else b"")
        if not path:
            return
        self.pid_file = path
        try:
            with open(path, "w") as file:
                file.write("%d\n" % os.getpid())
        except OSError as error:
            self.pid_file = b""
            self.log.warning("Failed to write PID file: %s" % error.strerror)

    pid_file = b""

    def close(self) -> None:
        """Close every socket and remove what should not outlive the process."""
        for listener in self.listeners:
            listener.close()
            if listener.kind == "unix":
                try:
                    os.unlink(self.config.unixsocket)
                except OSError:
                    pass
        for session in list(self.services.clients):
            connection = session.connection
            if connection is not None:
                connection.flush()
                connection.close()
        if self.pid_file:
            try:
                os.unlink(self.pid_file)
            except OSError:
                pass


def format_address(address: Any) -> bytes:
    """A socket address as CLIENT LIST shows it: ip:port, [ipv6]:port."""
    host, port = address[0], address[1]
    return b"[%s]:%d" % (host.encode(), port) if ":" in host else b"%s:%d" % (host.encode(), port)
