"""Listening sockets: TCP on several addresses, unix sockets; accepting in bounded batches.

Owns binding (with Redis's optional `-address` and wildcard rules) and the accept loop, which survives a shortage of
descriptors. Must not know what a connection does; it hands each new socket to `on_accept`.
"""

from __future__ import annotations

import os
import socket
import sys
from errno import (
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EAGAIN,
    ECONNABORTED,
    EINTR,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    ENOPROTOOPT,
    EPFNOSUPPORT,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
    EWOULDBLOCK,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Sequence

    from server.log import Log
    from server.services import Services

SHORTAGE_PAUSE_S = 0.1  # after running out of descriptors: the backlog keeps the clients meanwhile
NO_SUCH_FAMILY = (EAFNOSUPPORT, ENOPROTOOPT, EPFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT)
SHORTAGE = (EMFILE, ENFILE, ENOBUFS, ENOMEM)
PASSING = (EAGAIN, EWOULDBLOCK, EINTR, ECONNABORTED)


class BindFailure(Exception):
    """An address that must be listened on cannot be; the text is for the log."""


def bind_tcp(addresses: Sequence[str], port: int, backlog: int, log: Log) -> List[socket.socket]:
    """Listening sockets for every address; an optional one (leading dash) that does not exist is left out, and so is
    one of a kind that the system does not know."""
    sockets: List[socket.socket] = []
    for address in addresses:
        optional = address.startswith("-")
        host = address[1:] if optional else address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        named = host
        if host == "*":
            host = "0.0.0.0"
        elif host in ("::*", "::"):
            host = "::"
        try:
            sockets.append(_bind_one(family, host, port, backlog))
        except OSError as error:
            step = "" if isinstance(error, socket.gaierror) else "bind: "
            log.warning(
                "Warning: Could not create server TCP listening socket %s:%d: %s%s"
                % (named, port, step, error.strerror or error)
            )
            if error.errno in NO_SUCH_FAMILY or (optional and error.errno == EADDRNOTAVAIL):
                continue
            for other in sockets:
                other.close()
            raise BindFailure("Failed listening on port %d (tcp), aborting." % port) from error
    return sockets


def _bind_one(family: int, host: str, port: int, backlog: int) -> socket.socket:
    info = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    sock = socket.socket(info[0][0], socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if info[0][0] == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(info[0][4])
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def bind_unix(path: str, permissions: int, backlog: int) -> socket.socket:
    """A listening unix socket; a stale file of that name is replaced."""
    if not hasattr(socket, "AF_UNIX"):
        raise BindFailure("This platform has no unix sockets, cannot listen on %s" % path)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        sock.listen(backlog)
        sock.setblocking(False)
        if permissions:
            os.chmod(path, permissions)
    except OSError as error:
        sock.close()
        raise BindFailure("Failed opening Unix socket: bind: %s" % (error.strerror or error)) from error
    return sock


class Listener:
    """One listening socket and its accept loop."""

    def __init__(
        self,
        sock: socket.socket,
        kind: str,
        on_accept: Callable[[socket.socket, Any, str], None],
        on_shortage: Callable[[Listener], None],
        services: Services,
    ) -> None:
        self.socket = sock
        self.kind = kind  # tcp, unix or tls
        self.on_accept = on_accept
        self.on_shortage = on_shortage
        self.config = services.config
        self.log = services.log

    def __call__(self) -> None:
        """Accept what waits, at most `max-new-connections-per-cycle` at a time.

        Most come alone, and to be told so costs 2 us; but who asks for CLIENT LIST behind several that have connected
        is to see all of them.
        """
        config = self.config
        most = config.max_new_tls_connections_per_cycle if self.kind == "tls" else config.max_new_connections_per_cycle
        for _ in range(most):
            try:
                sock, address = self.socket.accept()
            except OSError as error:
                if error.errno in SHORTAGE:
                    self.log.warning("Error accepting a client connection: %s" % (error.strerror or error))
                    self.on_shortage(self)
                elif error.errno not in PASSING:
                    self.log.warning("Accepting client connection: %s" % (error.strerror or error))
                return
            self.on_accept(sock, address, self.kind)

    def close(self) -> None:
        self.socket.close()
