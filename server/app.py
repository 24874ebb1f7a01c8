"""The application: the one place that constructs the parts of a server and wires them together.

Everything else receives what it needs. The order of `before_sleep` is decided here and is part of the design: timers,
a slice of expiry and the input of just-woken clients come first (server.reactor), then the services' own steps, then
the writes, so that whatever a turn promises is durable before it is acknowledged.
"""

from __future__ import annotations

import os
import sys

from server import descriptors
from server.accounts import Accounts
from server.batches import Batches
from server.blocking import Blocking
from server.client_memory import ClientMemory
from server.clients import Clients
from server.commands import all_groups
from server.config.command_line import program
from server.connection import Connection
from server.crash import CrashReports
from server.debug_switches import DebugSwitches
from server.disk import remove
from server.dispatch import Dispatcher
from server.greeting import greet, set_title, warn_of_system
from server.index_growth import IndexGrowth
from server.info import Info
from server.latency import Latency
from server.lifecycle import Lifecycle
from server.limits import Limits
from server.listeners import BindFailure
from server.listening import Listening
from server.log import ROLE_MASTER, ROLE_REPLICA, shown
from server.memory_policy import MemoryPolicy
from server.monitoring import Monitoring
from server.notifications import Notifications
from server.oom_score import OomScore
from server.persistence import Persistence
from server.pubsub import PubSub
from server.reactor import Reactor
from server.reception import Reception
from server.registry import Registry
from server.replication.service import Replication
from server.scripting.functions import Functions
from server.scripting.service import Scripting
from server.services import Services
from server.slowlog import SlowLog
from server.stats import Stats
from server.timers import TimerQueue
from server.tracking import TrackingTable
from server.transactions import Watching
from server.version import MONOTONIC_CLOCK, REDIS_VERSION, VERSION
from server.watchdog import Watchdog
from storage.keyspace import Keyspace
from storage.limits import THRESHOLDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List

    from server.config.configuration import Config
    from server.log import Log


PREPARED_AFTER_TURNS = 200  # a server that lives for less, or sleeps, does without
ERRORS_OVERFLOWN = (
    "Errorstats stopped adding new errors because the number of errors reached the limit, may be misuse of lua "
    "error_reply, please check INFO ERRORSTATS, this can be re-enabled via CONFIG RESETSTAT."
)

TWO_SOURCES_OF_USERS = (
    "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This "
    "setup is very likely to lead to configuration errors and security holes, please define either an ACL file or "
    "declare users directly in your redis.conf, but not both."
)


class Application:
    """A server, ready to `start` and `run`."""

    def __init__(self, config: Config, log: Log, is_configured: bool = True) -> None:
        self.config = config
        self.log = log
        self.is_configured = is_configured  # by a file or by arguments
        self.pid_file = b""  # that was written
        self.on_ready: List[Callable[[], None]] = []  # clients are accepted
        self.on_close: List[Callable[[], None]] = []
        services = self.services = Services()
        services.config = config
        services.log = log
        services.timers = TimerQueue()
        services.keyspace = Keyspace(config.databases)
        services.registry = Registry.of(all_groups())
        services.stats = Stats(services.registry)
        services.stats.on_error_overflow = lambda: log.warning(ERRORS_OVERFLOWN)
        services.info = Info(services)
        services.dispatch = Dispatcher(services, services.registry, services.keyspace)
        services.dispatch.batches = Batches(services.dispatch)
        services.blocking = Blocking(services)
        services.clients = Clients(services)
        services.accounts = Accounts(services)
        services.limits = Limits(services)
        services.pubsub = PubSub()
        services.watching = Watching(services)
        services.notifications = Notifications(services, services.pubsub)
        services.tracking = TrackingTable(services)
        services.monitoring = Monitoring(services)
        services.slowlog = SlowLog(services)
        services.latency = Latency(services)
        services.dispatch.gate.check_permission = services.accounts.check_permission
        services.dispatch.gate.note_tracked = services.tracking.note_read
        services.dispatch.gate.feed_monitors = services.monitoring.feed
        services.clients.on_forget += [
            services.watching.forget,
            services.pubsub.forget,
            services.tracking.forget,
            services.monitoring.forget,
        ]
        config.warn = log.warning
        config.on_change("notify-keyspace-events", services.notifications.follow)
        self.reactor = Reactor(services)
        self.reactor.connection_class = Connection
        services.scripting = Scripting(services, self.reactor)
        services.functions = Functions(services, services.scripting)
        self.reactor.on_close = self.forget
        self.reactor.before_sleep += [self.prepare, services.tracking.broadcast]
        services.info.on_debug = self.measure_turns
        IndexGrowth(services, self.reactor)
        memory = MemoryPolicy(services, self.reactor)
        services.dispatch.gate.check_memory, services.dispatch.gate.has_room = memory.check, memory.has_room
        services.dispatch.gate.evict_clients = ClientMemory(services, self.reactor).check
        reception = Reception(services, self.reactor)
        self.listening = Listening(services, self.reactor, reception.accept)
        reception.tls_context = lambda: self.listening.tls.context
        services.info.listeners = self.listening.listeners
        services.oom_score = OomScore(config, log)
        services.lifecycle = Lifecycle(log, config, services.timers, self.reactor.stop)
        Persistence(services, self.reactor)
        services.debug_subcommands.update(DebugSwitches(services, services.append_log).table())
        services.snapshots.functions = services.functions.sources
        services.loader.take_function = services.functions.load
        services.replication = Replication(services, self.reactor)
        services.lifecycle.is_amid_script = lambda: services.scripting.running is not None
        config.mirror(services.keyspace.limits, THRESHOLDS)
        config.on_change("list-max-listpack-size", lambda config: services.keyspace.measure_lists())

    def measure_turns(self) -> None:
        """Count the commands of each turn from now on."""
        steps = self.reactor.before_sleep
        if self.services.stats.count_turn not in steps:
            steps.append(self.services.stats.count_turn)

    def role_letter(self) -> str:
        """What this process is, in each line of its log."""
        return ROLE_REPLICA if self.config.replicaof else ROLE_MASTER

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
        if self.is_configured:
            log.notice("Configuration loaded")
        else:
            log.warning(
                "Warning: no config file specified, using the default config. "
                "In order to specify a config file use %s /path/to/redis.conf" % program()
            )
        log.set_role(self.role_letter)
        if not descriptors.make_room(config, log):
            return 1
        log.notice("monotonic clock: %s" % MONOTONIC_CLOCK)
        descriptors.follow_maxclients(config, log)
        for words in config.renamed_commands:
            services.registry.rename(words[1], words[2])  # what cannot be obeyed was refused with the file
        if not self.load_users():
            return 1
        greet(config, log)
        warn_of_system(config, log)
        try:
            self.listening.open()
        except BindFailure as error:
            log.warning(str(error))
            self.close()
            return 1
        services.lifecycle.catch_signals(self.reactor.watch)
        services.lifecycle.steps.append(self.remove_files)
        CrashReports(config)
        Watchdog(config, log, services.timers)
        services.oom_score.apply()
        self.write_pid_file()
        set_title(config)
        config.on_change("proc-title-template", set_title)
        log.notice("Server initialized")
        log.notice("rediselect %s is ready" % VERSION)
        if config.supervised != "no":
            self.report_to_supervisor()
        if not services.persistence.start():
            self.close()
            return services.lifecycle.exit_code if self.reactor.stopping else 1
        services.replication.start()
        for kind in self.listening.kinds():
            log.notice("Ready to accept connections %s" % kind)
        for call in self.on_ready:
            call()
        self.reactor.run()
        self.close()
        return services.lifecycle.exit_code

    def prepare(self) -> None:
        """Load what asks the interpreter about its memory and its tables: 3 ms now, 5 to 20 with a million keys."""
        services = self.services
        if services.stats.turns < PREPARED_AFTER_TURNS:
            return
        # Another list: this one is being walked over.
        self.reactor.before_sleep = [step for step in self.reactor.before_sleep if step != self.prepare]
        services.keyspace.entries.find_out()
        services.info.memory.used_bytes()

    def report_to_supervisor(self) -> None:
        """Tell systemd or upstart of loading, readiness and the end."""
        from server.supervision import Supervision

        supervision = Supervision(self.config, self.log)
        supervision.say_loading()
        self.on_ready.append(lambda: supervision.say_ready(bool(self.config.replicaof)))
        self.on_close.append(supervision.say_stopping)

    def load_users(self) -> bool:
        """The users of the configuration or of their own file; a server with other rules than told must not run."""
        if not (self.config.users or self.config.aclfile):
            return True
        if self.config.users and self.config.aclfile:
            self.log.warning(TWO_SOURCES_OF_USERS)
            return False
        from server.acl.files import BadUsers

        accounts = self.services.accounts
        try:
            for words in self.config.users:
                accounts.declare(words)
        except BadUsers as bad:
            self.log.warning(shown(bad.text))
            self.log.warning("Critical error while loading ACLs. Exiting.")
            return False
        try:
            if self.config.aclfile:
                accounts.load()
        except BadUsers as bad:
            text = shown(bad.text)
            self.log.warning("Aborting Redis startup because of ACL errors: " + text)
            return False
        return True

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

    def close(self) -> None:
        """Close every socket and remove what should not outlive the process."""
        for call in self.on_close:
            call()
        self.listening.close()
        for session in list(self.services.clients):
            connection = session.connection
            if connection is not None:
                connection.flush()
                connection.close()
        self.remove_files()

    def remove_files(self, flags: int = 0) -> None:
        """Remove what must not outlive the process: the last step of a shutdown, or when the start came to nothing."""
        if self.pid_file:
            self.log.notice("Removing the pid file.")
            remove(self.pid_file)
            self.pid_file = b""
        self.listening.remove_file()
