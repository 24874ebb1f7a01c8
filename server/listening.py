"""Which addresses the server listens on, from the configuration and after CONFIG SET port or bind.

Owns the listeners. An address that cannot be had refuses the change, and the old ones are bound again. Must not know
what becomes of an accepted socket.
"""

from __future__ import annotations

from time import monotonic

from server import socket_options
from server.disk import remove
from server.listeners import SHORTAGE_PAUSE_S, BindFailure, Listener, bind_tcp, bind_unix

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any, Callable, List, Optional, Tuple

    from server.config.configuration import Config
    from server.reactor import Reactor
    from server.services import Services


# What the contexts are made of: each change makes new ones.
TLS_SETTINGS = (
    "tls-replication",
    "tls-cluster",
    "tls-auth-clients",
    "tls-prefer-server-ciphers",
    "tls-session-caching",
    "tls-cert-file",
    "tls-key-file",
    "tls-key-file-pass",
    "tls-client-cert-file",
    "tls-client-key-file",
    "tls-client-key-file-pass",
    "tls-dh-params-file",
    "tls-ca-cert-file",
    "tls-ca-cert-dir",
    "tls-protocols",
    "tls-ciphers",
    "tls-ciphersuites",
)


class Listening:
    """The listeners of one server; `on_accept(sock, address, kind)` receives each new socket."""

    def __init__(
        self, services: Services, reactor: Reactor, on_accept: Callable[[socket.socket, Any, str], None]
    ) -> None:
        self.services = services
        self.reactor = reactor
        self.on_accept = on_accept
        self.listeners: List[Listener] = []
        self.bound_before: List[socket.socket] = []  # by whoever embeds the server, for the port of the configuration
        self.tcp_bound: Tuple[Any, int] = ((), 0)  # the addresses and the port that TCP listeners are bound to
        self.tls_bound: Tuple[Any, int] = ((), 0)
        self.tls: Any = None  # server.tls.TlsSettings, once it is configured
        self.has_file = False  # of the unix socket
        services.config.on_change("port", self.rebind_for_port)
        services.config.on_change("tls-port", self.rebind_for_tls_port)
        for name in TLS_SETTINGS:
            services.config.on_change(name, self.renew_tls)
        services.config.on_change("bind", self.rebind_for_addresses)
        services.config.on_change("tcp-keepalive", self.set_options)

    def open(self) -> None:
        """Bind every configured address; raises BindFailure."""
        config = self.services.config
        if self.needs_tls(config) and not self.configure_tls():
            raise BindFailure("Failed to configure TLS. Check logs for more info.")
        self.open_tcp()
        self.open_tls()
        if config.unixsocket:
            path = config.unixsocket.decode("utf-8", "surrogateescape")
            self.add(bind_unix(path, config.unixsocketperm, config.tcp_backlog), "unix")
            self.has_file = True
        if not self.listeners:
            raise BindFailure("Configured to not listen anywhere, exiting.")

    @staticmethod
    def needs_tls(config: Config) -> bool:
        return bool(config.tls_port or config.tls_replication or config.tls_cluster)

    def open_tcp(self) -> None:
        config = self.services.config
        if config.port:
            given, self.bound_before = self.bound_before, []
            for sock in given or bind_tcp(config.bind, config.port, config.tcp_backlog, self.services.log):
                self.add(sock, "tcp")
        self.tcp_bound = (config.bind, config.port)

    def open_tls(self) -> None:
        config = self.services.config
        if config.tls_port:
            for sock in bind_tcp(config.bind, config.tls_port, config.tcp_backlog, self.services.log):
                self.add(sock, "tls")
        self.tls_bound = (config.bind, config.tls_port)

    def configure_tls(self) -> bool:
        """Make what TLS needs from the configuration; False, with a line in the log, if that is impossible."""
        try:
            from server.tls import TlsSettings
        except ImportError:
            self.services.log.warning("This Python has no ssl module: TLS cannot be served")
            return False
        if self.tls is None:
            self.tls = TlsSettings(self.services)
        return bool(self.tls.renew(self.services.config))

    def add(self, sock: socket.socket, kind: str) -> None:
        listener = Listener(sock, kind, self.on_accept, self.pause, self.services)
        self.listeners.append(listener)
        self.set_options(self.services.config)
        self.reactor.watch(sock, listener)

    def kinds(self) -> List[str]:
        """tcp, unix, tls: each once, in the order they were bound."""
        return list(dict.fromkeys(listener.kind for listener in self.listeners))

    def pause(self, listener: Listener) -> None:
        """Out of descriptors: look again in a moment, instead of spinning on a readable listener."""
        self.reactor.unwatch(listener.socket)

        def resume() -> None:
            if listener in self.listeners:
                self.reactor.watch(listener.socket, listener)

        self.services.timers.at(monotonic() + SHORTAGE_PAUSE_S, resume)

    def set_options(self, config: Config) -> None:
        """Have accepted sockets begin with their options where the system passes them on; `Reception` sees to that."""
        for listener in self.listeners:
            if listener.kind != "unix":
                try:
                    socket_options.apply(listener.socket, config.tcp_keepalive)
                except OSError:
                    pass

    # CONFIG SET ------------------------------------------------------------------------------------------------

    def rebind_for_port(self, config: Config) -> Optional[str]:
        if self.rebind(config):
            return None
        return "Unable to listen on this port. Check server logs."

    def rebind_for_tls_port(self, config: Config) -> Optional[str]:
        if config.tls_port and (self.tls is None or self.tls.context is None) and not self.configure_tls():
            return "Unable to update TLS configuration. Check server logs."
        if self.rebind(config):
            return None
        return "Unable to listen on this port. Check server logs."

    def renew_tls(self, config: Config) -> Optional[str]:
        """New certificates or rules, for connections to come; those that are there go on as they are."""
        if self.needs_tls(config) and not self.configure_tls():
            return "Unable to update TLS configuration. Check server logs."
        return None

    def rebind_for_addresses(self, config: Config) -> Optional[str]:
        if self.rebind(config):
            return None
        return "Failed to bind to specified addresses."

    def rebind(self, config: Config) -> bool:
        """Listen where the configuration says; called again with the old values when that failed."""
        is_tcp_new = self.tcp_bound != (config.bind, config.port)
        is_tls_new = self.tls_bound != (config.bind, config.tls_port)
        changed = ["tcp"] * is_tcp_new + ["tls"] * is_tls_new
        for listener in [listener for listener in self.listeners if listener.kind in changed]:
            self.remove(listener)
        try:
            if is_tcp_new:
                self.tcp_bound = ((), 0)
                self.open_tcp()
            if is_tls_new:
                self.tls_bound = ((), 0)
                self.open_tls()
        except BindFailure:
            return False
        return True

    def remove(self, listener: Listener) -> None:
        self.listeners.remove(listener)
        try:
            self.reactor.unwatch(listener.socket)
        except KeyError:
            pass  # paused for want of descriptors
        listener.close()

    def close(self) -> None:
        """Close every listener and remove the unix socket's file."""
        for listener in list(self.listeners):
            self.remove(listener)
        self.remove_file()

    def remove_file(self) -> None:
        """Remove the unix socket's file if there is one and it is ours."""
        if self.has_file:
            self.has_file = False
            self.services.log.notice("Removing the unix socket file.")
            remove(self.services.config.unixsocket)
