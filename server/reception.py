"""What happens to a new socket: it becomes a client, or is turned away with a reason.

Owns `maxclients`, `protected-mode`, `tcp-keepalive` and a client's first state. Must not know how listeners are bound.
"""

from __future__ import annotations

from server import socket_options
from server.connection import Connection
from server.log import VERBOSE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any, Callable

    from server.reactor import Reactor
    from server.services import Services
    from server.session import Session

MAX_CLIENTS_REACHED = b"-ERR max number of clients reached\r\n"
# What clients and people know this refusal by; carried over word for word.
DENIED = (
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
    b"default user. In this mode connections are only accepted from the loopback interface. If you want to connect "
    b"from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode "
    b"sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the "
    b"same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. "
    b"Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by "
    b"editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the "
    b"server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' "
    b"option. 4) Set up an authentication password for the default user. NOTE: You only need to do one of the above "
    b"things in order for the server to start accepting connections from the outside.\r\n"
)


class Reception:
    """Receives what the listeners accept."""

    def __init__(self, services: Services, reactor: Reactor) -> None:
        self.services = services
        self.reactor = reactor
        self.are_inherited = False  # socket_options, from the listeners
        self.tls_context: Callable[[], Any] = lambda: None  # set by server.app

    def accept(self, sock: socket.socket, address: Any, kind: str) -> None:
        """Make a client of a new socket, or turn it away."""
        services = self.services
        config = services.config
        sock.setblocking(False)
        if len(services.clients) >= config.maxclients:
            # Before a handshake nothing can be told: a client would take the text for one of its messages.
            self.turn_away(sock, MAX_CLIENTS_REACHED if kind != "tls" else b"")
            return
        is_denied = self.is_denied(address, kind)
        if is_denied and kind != "tls":
            self.turn_away(sock, DENIED)
            return
        session = services.clients.new()
        session.descriptor = sock.fileno()
        if kind == "unix":
            session.address = session.local_address = config.unixsocket + b":0"
        else:
            try:
                if not self.are_inherited:
                    self.are_inherited = socket_options.are_set(sock, config.tcp_keepalive)
                    socket_options.apply(sock, config.tcp_keepalive)
                session.local_address = format_address(sock.getsockname())
            except OSError:
                sock.close()
                return
            session.address = format_address(address)
        if services.log.threshold <= VERBOSE:
            services.log.verbose("Accepted %s" % session.address.decode("latin-1"))
        if kind == "tls":
            from server.tls import TlsConnection

            on_open = self.deny if is_denied else self.count  # nothing can be told before
            try:
                connection: Connection = TlsConnection(sock, session, services, self.tls_context(), on_open)
            except (OSError, ValueError):
                sock.close()
                return
        else:
            connection = Connection(sock, session, services)
            self.count(session)
        services.accounts.greet(session)
        services.clients.admit(session)
        self.reactor.add(connection)

    def is_denied(self, address: Any, kind: str) -> bool:
        """Whether protected mode keeps a client out."""
        config = self.services.config
        if not config.protected_mode or kind == "unix" or not self.services.accounts.default.nopass:
            return False
        return not is_loopback(address[0])

    def count(self, session: Session) -> None:
        """Count a client that was received: not one that is turned away, nor one whose handshake failed."""
        self.services.stats.connections_received += 1

    def deny(self, session: Session) -> None:
        """Tell a client that can read only now that it is kept out."""
        self.services.stats.connections_rejected += 1
        session.send_encoded(DENIED)
        session.close_after_reply()

    def turn_away(self, sock: socket.socket, reason: bytes) -> None:
        self.services.stats.connections_rejected += 1
        if reason:
            try:
                sock.send(reason)
            except OSError:
                pass
        sock.close()


def is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def format_address(address: Any) -> bytes:
    """A socket address as CLIENT LIST shows it: ip:port, [ipv6]:port."""
    host, port = address[0], address[1]
    return b"[%s]:%d" % (host.encode(), port) if ":" in host else b"%s:%d" % (host.encode(), port)
