"""Addresses of host names, without the loop waiting for a name server.

The standard library's resolver only blocks, for seconds when a name server is silent, so a name is looked up in a
thread that lives as long as that one question and touches nothing else. That departs from one thread (beside the one
that syncs), since the alternative, a resolver of our own, would know less than the system's about its configuration.
Numeric addresses, the common case of replicas and sentinels, need no thread.
"""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Tuple

    from server.reactor import Reactor

    Place = Tuple[Any, Any, int, str, Any]  # as `socket.getaddrinfo` has them


def places_of(host: str, port: int, flags: int = 0) -> List[Place]:
    """The stream addresses of a host; waits for a name server. Raises OSError."""
    try:
        # As bytes: a codec must not be imported in a thread while the process may fork.
        return socket.getaddrinfo(host.encode("ascii"), port, 0, socket.SOCK_STREAM, 0, flags)
    except (UnicodeError, ValueError, OverflowError):
        raise OSError("Name or service not known") from None


class Lookup:
    """A question under way. `on_found(places)` is called in the loop, with no places and the reason otherwise."""

    __slots__ = ("places", "error", "is_cancelled", "_reactor", "_on_found", "_receiver", "_sender")

    def __init__(self, reactor: Reactor, on_found: Callable[[List[Place], str], None]) -> None:
        self.places: List[Place] = []
        self.error = ""
        self.is_cancelled = False
        self._reactor = reactor
        self._on_found = on_found
        self._receiver: Any = None
        self._sender: Any = None

    def cancel(self) -> None:
        """Have nobody called; the thread ends when the system lets it."""
        self.is_cancelled = True

    def begin(self, host: str, port: int) -> None:
        """Answer at once where no name server is needed, else later."""
        try:
            self.places = places_of(host, port, socket.AI_NUMERICHOST)
        except OSError:
            if self._start(host, port):
                return
        self._on_found(self.places, self.error)

    def _start(self, host: str, port: int) -> bool:
        """Ask in a thread; where there are none, ask here and return False, as where there are no descriptors left."""
        import _thread

        try:
            self._receiver, self._sender = socket.socketpair()
        except OSError as error:
            self.error = error.strerror or str(error)
            return False
        self._reactor.watch(self._receiver, self._receive)
        try:
            _thread.start_new_thread(self._ask_and_tell, (host, port))
        except RuntimeError:
            self._close()
            self._ask(host, port)
            return False
        return True

    def _ask(self, host: str, port: int) -> None:
        try:
            self.places = places_of(host, port)
        except OSError as error:
            self.error = error.strerror or str(error)

    def _ask_and_tell(self, host: str, port: int) -> None:
        self._ask(host, port)
        self._sender.send(b".")

    def _receive(self) -> None:
        self._close()
        if not self.is_cancelled:
            self._on_found(self.places, self.error)

    def _close(self) -> None:
        self._reactor.unwatch(self._receiver)
        self._receiver.close()
        self._sender.close()


def look_up(reactor: Reactor, host: str, port: int, on_found: Callable[[List[Place], str], None]) -> Lookup:
    """Call `on_found(places, error)` when the host's addresses are known; at once for a numeric one."""
    lookup = Lookup(reactor, on_found)
    lookup.begin(host, port)
    return lookup
