"""Which sockets are ready: the standard library's selector, asked in the cheapest way.

`selectors.DefaultSelector` answers with a named tuple for each event, which costs as much as reading the socket's
state. Where it is the epoll one, the events are taken from its epoll object and looked up in a table of this module:
0.9 -> 0.3 us an event. Elsewhere (kqueue, select) its own answer is translated.
"""

from __future__ import annotations

import selectors
from math import ceil

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE
# Of one turn: 500 clients that go at once were 10 ms in which nobody was answered. The rest comes with the next turn,
# the kernel goes round; a turn of so many costs as much a request as one of all.
MAX_EVENTS = 128
MASKS = {1: READ, 4: WRITE}  # of EPOLLIN and EPOLLOUT alone; errors and hang-ups are for reading and writing to find


class Poller:
    """Registered sockets and what stands for each; `poll` answers (target, READ and WRITE bits) pairs."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.targets: Dict[int, Any] = {}  # by descriptor
        self.epoll: Any = None
        if hasattr(selectors, "EpollSelector") and isinstance(self.selector, selectors.EpollSelector):
            self.epoll = getattr(self.selector, "_selector", None)

    def register(self, sock: Any, events: int, target: Any) -> None:
        key = self.selector.register(sock, events, target)
        self.targets[key.fd] = target

    def modify(self, sock: Any, events: int, target: Any) -> None:
        self.selector.modify(sock, events, target)

    def unregister(self, sock: Any) -> None:
        """Forget a socket; KeyError if it is not registered."""
        key = self.selector.unregister(sock)
        self.targets.pop(key.fd, None)

    def close(self) -> None:
        self.targets.clear()
        self.selector.close()

    def poll(self, timeout_s: float) -> List[Tuple[Any, int]]:
        """Wait for at most `timeout_s` seconds; epoll counts in milliseconds, so it is rounded up to the next one."""
        if self.epoll is None:
            return [(key.data, mask) for key, mask in self.selector.select(timeout_s)]
        try:
            ready = self.epoll.poll(ceil(timeout_s * 1000.0) * 0.001, MAX_EVENTS)
        except InterruptedError:
            return []
        targets = self.targets
        try:
            return [(targets[descriptor], MASKS.get(event, READ | WRITE)) for descriptor, event in ready]
        except KeyError:  # a descriptor that a child still holds open reports after it was unregistered
            ready = [entry for entry in ready if entry[0] in targets]
            return [(targets[descriptor], MASKS.get(event, READ | WRITE)) for descriptor, event in ready]
