"""MONITOR: every command shown to those who asked, when it has run.

Owns the line's form: time, database, client, arguments quoted; secrets are left out (server.redaction). Costs nothing
while nobody looks: the condition MONITORED diverts commands only then.
"""

from __future__ import annotations

from time import time_ns

from server import admission
from server.redaction import redacted
from server.session import CLOSING
from storage.text import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Sequence

    from server.services import Services
    from server.session import Session


class Monitoring:
    """The clients that see everything."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.monitors: Dict[Session, None] = {}

    def add(self, session: Session) -> None:
        """Show every further command to a client, which is no ordinary client any more."""
        self.monitors[session] = None
        session.set_mode(admission.IS_REPLICA, True)
        self.services.dispatch.mode |= admission.MONITORED

    def forget(self, session: Session) -> None:
        """RESET, or the client is gone."""
        if self.monitors.pop(session, self) is self:
            return
        session.set_mode(admission.IS_REPLICA, False)
        if not self.monitors:
            self.services.dispatch.mode &= ~admission.MONITORED

    def feed(self, session: Session, argv: Sequence[bytes]) -> None:
        """Show a command. A script shows itself before it runs, since its commands follow it."""
        if not self.monitors:
            return
        now_us = time_ns() // 1000
        line = b"+%d.%06d [%d %b] %b\r\n" % (
            now_us // 1_000_000,
            now_us % 1_000_000,
            session.db.number,
            origin(session),
            b" ".join(map(quoted, redacted(argv, self.services.config))),
        )
        for monitor in self.monitors:
            if not monitor.halted & CLOSING:  # its own QUIT is the last that it hears of
                monitor.push_encoded(line)


def origin(session: Session) -> bytes:
    """Where a command came from."""
    if session.connection is None:
        return b"lua"
    address = session.address
    if address == session.local_address and address.endswith(b":0"):
        return b"unix:" + address[:-2]
    return address
