"""The services a handler may reach through its context.

A record and nothing more: `server.app` fills it once, the parts hold what they need of it. Keeping it apart from the
application lets tests run commands in process with exactly the services under test.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

    from server.accounts import Accounts
    from server.append_log import AppendLog
    from server.blocking import Blocking
    from server.children import Children
    from server.clients import Clients
    from server.config.configuration import Config
    from server.dispatch import Dispatcher
    from server.info import Info
    from server.latency import Latency
    from server.lifecycle import Lifecycle
    from server.limits import Limits
    from server.loading import Loader
    from server.log import Log
    from server.migration import Migration
    from server.monitoring import Monitoring
    from server.notifications import Notifications
    from server.oom_score import OomScore
    from server.persistence import Persistence
    from server.pubsub import PubSub
    from server.registry import Registry
    from server.replication.service import Replication
    from server.scripting.functions import Functions
    from server.scripting.service import Scripting
    from server.session import Session
    from server.slowlog import SlowLog
    from server.snapshots import Snapshots
    from server.stats import Stats
    from server.timers import TimerQueue
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
        self.config: Config
        self.accounts: Accounts
        self.limits: Limits
        self.log: Log
        self.timers: TimerQueue
        self.lifecycle: Lifecycle
        self.oom_score: OomScore
        self.persistence: Persistence
        self.loader: Loader
        self.children: Children
        self.snapshots: Snapshots
        self.append_log: AppendLog
        self.replication: Replication
        self.migration: Migration
        self.scripting: Scripting
        self.functions: Functions
        self.debug_subcommands: Dict[bytes, Any] = {}  # what services add to DEBUG: fewest, most arguments, function
        self.unsent: List[Session] = []
        self.doomed: List[Session] = []
        self.resumed: List[Session] = []
