"""The services a handler may reach through its context.

A record and nothing more: `server.app` fills it once, the parts hold what they need of it. Keeping it apart from the
application lets tests run commands in process with exactly the services under test.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

    from server.blocking import Blocking
    from server.clients import Clients
    from server.dispatch import Dispatcher
    from server.info import Info
    from server.latency import Latency
    from server.monitoring import Monitoring
    from server.notifications import Notifications
    from server.oom_score import OomScore
    from server.pubsub import PubSub
    from server.registry import Registry
    from server.scripting.functions import Functions
    from server.scripting.service import Scripting
    from server.session import Session
    from server.slowlog import SlowLog
    from server.stats import Stats
    from server.tracking import TrackingTable
    from server.transactions import Watching
    from storage.keyspace import Keyspace


class Services:
    """What the parts of one server share. `unsent` and `doomed` are the reactor's lists of sessions to look after."""

    def __init__(self) -> None:
        self.keyspace: Keyspace
        self.registry: Registry
        self.dispatch: Dispatcher
        self.blocking: Blocking
        self.clients: Clients
        self.stats: Stats
        self.info: Info
        self.pubsub: PubSub
        self.notifications: Notifications
        self.watching: Watching
        self.tracking: TrackingTable
        self.monitoring: Monitoring
        self.slowlog: SlowLog
        self.latency: Latency
        self.config: Any
        self.accounts: Any
        self.limits: Any
        self.log: Any
        self.timers: Any
        self.lifecycle: Any
        self.oom_score: OomScore
        self.persistence: Any
        self.loader: Any
        self.children: Any
        self.snapshots: Any
        self.append_log: Any
        self.replication: Any
        self.migration: Any
        self.scripting: Scripting
        self.functions: Functions
        self.debug_subcommands: Dict[bytes, Any] = {}  # what services add to DEBUG: fewest, most arguments, function
        self.unsent: List[Session] = []
        self.doomed: List[Session] = []
        self.resumed: List[Session] = []
