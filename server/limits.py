"""Limits on clients that take effect by themselves or when the configuration changes.

Owns the timer of `timeout`, which exists only while it is configured, and hands changes of `proto-max-bulk-len` and
`client-output-buffer-limit` to the clients that are there. What a limit of output means is `server.clients`' business.
"""

from __future__ import annotations

from time import monotonic

from server.session import BLOCKED, DOOMED, HELD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from server.config.configuration import Config
    from server.services import Services
    from server.session import Session
    from server.timers import Timer


class Limits:
    """One per server."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.timer: Optional[Timer] = None
        config = services.config
        config.on_change("timeout", self.follow_timeout)
        config.on_change("proto-max-bulk-len", self.follow_bulk_limit)
        config.on_change("client-output-buffer-limit", self.follow_output_limits)
        self.follow_timeout(config)
        self.follow_output_limits(config)

    def follow_bulk_limit(self, config: Config) -> None:
        for session in self.services.clients:
            if session.connection is not None:
                session.connection.parser.max_bulk_bytes = config.proto_max_bulk_len

    def follow_output_limits(self, config: Config) -> None:
        self.services.clients.follow_output_limits(config)

    # Idle clients ----------------------------------------------------------------------------------------------

    def follow_timeout(self, config: Config) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if config.timeout:
            self.close_idle()

    @staticmethod
    def may_idle(session: Session) -> bool:
        """Replicas, the master, subscribers and whoever waits in a blocking command are silent for a reason."""
        return session.kind != b"normal" or bool(session.halted & (BLOCKED | HELD))

    def close_idle(self) -> None:
        """Close who has been silent for longer than `timeout`, and come back when the next one could be.

        A client that speaks only moves its own deadline away, and a new one is due last of all: so one look for each
        `timeout` seconds at the least is enough, O(clients).
        """
        services = self.services
        limit_ms = services.config.timeout * 1000
        now_ms = services.keyspace.clock.now_ms
        next_ms = now_ms + limit_ms
        for session in services.clients:
            if self.may_idle(session) or session.halted & DOOMED:
                continue
            due_ms = session.used_ms + limit_ms
            if due_ms < now_ms:
                services.log.verbose("Closing idle client")
                session.doom()
            elif due_ms < next_ms:
                next_ms = due_ms
        self.timer = services.timers.at(monotonic() + (next_ms - now_ms + 1) / 1000.0, self.close_idle)
