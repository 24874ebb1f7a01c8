"""Replication as the rest of the server sees it: which role it has, what it feeds, whom it follows.

Constructed at the start and light; the parts of either role are imported when that role begins. Owns the transitions
between master and replica, the one timer of replication (each second, while there is something to look after) and the
modes of admission that depend on the role.
"""

from __future__ import annotations

from collections import deque
from time import monotonic

from server import admission
from server.append_log import OFF, ON
from server.children import SYNCHRONISATION
from server.replication.feed import Feed
from server.replication.history import History, new_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Deque, Dict, Optional, Tuple

    from server.append_log import AppendLog
    from server.config.configuration import Config
    from server.propagation import Moment
    from server.reactor import Reactor
    from server.replication.failover import Failover
    from server.replication.master_link import MasterLink
    from server.replication.own_deadlines import OwnDeadlines
    from server.replication.primary import Primary
    from server.replication.replica import Replica
    from server.replication.waiting import Waits
    from server.services import Services
    from server.session import Session
    from server.timers import Timer

TICK_S = 1.0
ROLE_CHANGED = b"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"


class Replication:
    """One per server."""

    def __init__(self, services: Services, reactor: Reactor) -> None:
        self.services = services
        self.reactor = reactor
        self.config = services.config
        self.log = services.log
        self.history = History(services.info.replication_id.encode())
        self.replicas: Dict[Session, Replica] = {}
        self.feed = Feed(self.history, self.replicas)
        self.made_primary: Optional[Primary] = None
        self.made_waits: Optional[Waits] = None
        self.link: Optional[MasterLink] = None
        self.failover: Optional[Failover] = None
        self.own_deadlines: Optional[OwnDeadlines] = None  # of a replica that may be written
        self.has_history = False  # a master that knows this history may go on with it
        self.full_syncs = self.partial_accepted = self.partial_refused = 0
        self.timer: Optional[Timer] = None
        self.wants_acks = False
        self.marks: Deque[Tuple[int, int]] = deque()  # (bytes of the log, offset of the stream they hold)
        self.logged = 0
        if self.is_replica:
            services.keyspace.keeps_lapsed = True  # also while it loads what it has on disk
        self.connect_up()

    def connect_up(self) -> None:
        """Register with everybody who has to know."""
        services = self.services
        config = self.config
        services.clients.on_forget.append(self.forget)
        self.reactor.before_sleep.append(self.before_sleeping)
        for name in ("replica-read-only", "replica-serve-stale-data", "min-replicas-to-write", "min-replicas-max-lag"):
            config.on_change(name, self.settle)
        config.on_change("repl-backlog-size", self.resize_backlog)
        info = services.info
        info.sections["replication"] = self.describe
        info.provide("sync_full", lambda: self.full_syncs)
        info.provide("mem_not_counted_for_evict", lambda: self.buffered_bytes() - self.backlog_bytes())
        info.provide("mem_replication_backlog", self.backlog_bytes)
        info.provide("mem_total_replication_buffers", self.buffered_bytes)
        info.provide("slave_expires_tracked_keys", lambda: len(self.own_deadlines.keys) if self.own_deadlines else 0)
        info.provide("sync_partial_ok", lambda: self.partial_accepted)
        info.provide("sync_partial_err", lambda: self.partial_refused)
        info.on_reset.append(self.reset_statistics)
        lifecycle = services.lifecycle
        services.persistence.snapshots.replication = self.saved_facts
        self.append_log.on_operations = self.note_logged
        lifecycle.steps.insert(0, self.stop)
        lifecycle.is_ready = self.all_have_everything
        lifecycle.on_waiting = self.on_shutdown_waiting
        self.settle()

    def reset_statistics(self) -> None:
        self.full_syncs = self.partial_accepted = self.partial_refused = 0

    def describe(self, info: Any) -> Any:
        from server.replication.reporting import fields

        return fields(self)

    # The parts -------------------------------------------------------------------------------------------------

    @property
    def primary(self) -> Primary:
        if self.made_primary is None:
            from server.replication.primary import Primary

            self.made_primary = Primary(self, self.replicas)
        return self.made_primary

    @property
    def waits(self) -> Waits:
        if self.made_waits is None:
            from server.replication.waiting import Waits

            self.made_waits = Waits(self)
            self.append_log.on_synced.append(self.made_waits.look)
        return self.made_waits

    @property
    def append_log(self) -> AppendLog:
        return self.services.persistence.append_log

    @property
    def is_replica(self) -> bool:
        return self.config.replicaof is not None

    @property
    def is_link_up(self) -> bool:
        return self.link is not None and self.link.session is not None

    @property
    def is_failing_over(self) -> bool:
        return self.failover is not None

    @property
    def offset(self) -> int:
        """How long the history is, this very command's operations not counted."""
        if self.history.backlog is None:
            self.append_log.encode()
        self.feed.encode()
        return self.history.offset

    def note_logged(self, count: int) -> None:
        """Operations went to the log. As in Redis they lengthen a history that nobody keeps, by one each."""
        if self.history.backlog is None and not self.is_replica:
            self.history.offset += count

    def failover_state(self) -> str:
        return self.failover.state if self.failover is not None else "no-failover"

    # Roles -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The data set is loaded: begin to follow, if so configured."""
        self.continue_history()
        master = self.config.replicaof
        if master is not None:
            self.become_replica(master[0], master[1])
            assert self.link is not None
            self.services.timers.at(monotonic(), self.link.connect)
        self.settle()

    def continue_history(self) -> None:
        """A snapshot remembers which history it is of."""
        facts = self.services.loader.replication
        identity, offset = facts.get(b"repl-id", b""), facts.get(b"repl-offset", b"")
        if len(identity) != 40 or not offset.isdigit():
            self.services.loader.lapsed_keys.clear()
            return
        history = self.history
        history.offset = int(offset)
        if self.is_replica:
            number = facts.get(b"repl-stream-db", b"")
            history.id = identity
            history.database = int(number) if number.isdigit() else 0
            self.has_history = True
        else:
            history.previous_id = identity
            history.previous_until = history.offset + 1
        history.open_backlog(self.config.repl_backlog_size)
        if not self.is_replica:
            self.attach()
            # Replicas that go on with their copy still have what lapsed while this server was down.
            word = b"UNLINK" if self.config.lazyfree_lazy_expire else b"DEL"
            for database, key in self.services.loader.lapsed_keys:
                self.feed.feed(database, (word, key))
            self.keep_ticking()
        self.services.loader.lapsed_keys.clear()

    def follow(self, host: str, port: int, by: str = "", is_failover: bool = False) -> None:
        """REPLICAOF host port. `by` is for the log."""
        was_master = not self.is_replica
        if self.link is not None:
            link, self.link = self.link, None
            self.config.replicaof = None  # the log shows the role in between
            link.close()
        self.config.replicaof = (host, port)
        self.services.oom_score.apply()
        for waiter in list(self.services.blocking.waiters.values()):
            self.services.blocking.refuse(waiter, ROLE_CHANGED)
        if was_master:
            self.feed.flush()
            self.log.notice(
                "Before turning into a replica, using my own master parameters to synthesize a cached master: I may be "
                "able to synchronize with the new master with just a partial transfer."
            )
            self.history.database = max(0, self.feed.database)
            self.has_history = True
        self.become_replica(host, port, is_failover)
        if self.link is not None:
            self.link.connect()
        if by:
            self.log.notice("REPLICAOF %s:%d enabled (user request from '%s')" % (host, port, by))

    def become_replica(self, host: str, port: int, is_failover: bool = False) -> None:
        from server.replication.master_link import MasterLink

        self.detach()
        self.feed.passes_on = True
        self.services.keyspace.keeps_lapsed = True
        self.link = MasterLink(self, host, port)
        self.link.is_failover = is_failover
        self.settle()
        self.keep_ticking()

    def promote(self, by: str) -> None:
        """REPLICAOF NO ONE: go on as a master. The history so far is shared with whoever followed the same master.

        `by` is for the log.
        """
        if not self.is_replica:
            return
        self.config.replicaof = None
        self.services.oom_score.apply()
        link, self.link = self.link, None
        if link is not None:
            link.close()
        self.discard_copy()
        self.feed.flush()
        history = self.history
        old = history.id.decode("latin-1")
        history.branch(new_id())
        self.log.notice(
            "Setting secondary replication ID to %s, valid up to offset: %d. New replication ID is %s"
            % (old, history.previous_until, history.id.decode())
        )
        self.feed.passes_on = False
        self.feed.restart()
        if self.replicas:
            self.primary.disconnect_all()
        if self.made_primary is not None:
            self.made_primary.lonely_since_s = monotonic()
        if history.backlog is not None:
            self.attach()
        keyspace = self.services.keyspace
        keyspace.keeps_lapsed = bool(self.services.dispatch.mode & admission.LOADING_DATA)
        keyspace.alarm.due_ms = keyspace.next_deadline_ms()
        self.settle()
        self.keep_ticking()
        if by:
            self.log.notice("MASTER MODE enabled (%s)" % by)

    # The stream ------------------------------------------------------------------------------------------------

    def attach(self) -> None:
        """Feed what is propagated, from the next unit of work on."""
        dispatch = self.services.dispatch
        if self.feed not in dispatch.propagation.sinks:
            dispatch.propagation.sinks.append(self.feed)
            if not dispatch.depth:
                # The next unit may be a write that was held back until now, in this very turn.
                dispatch.refresh_recording()

    def detach(self) -> None:
        sinks = self.services.dispatch.propagation.sinks
        if self.feed in sinks:
            sinks.remove(self.feed)

    def keep_history(self) -> None:
        """There is a replica: from now on the stream is kept."""
        history = self.history
        if history.backlog is None:
            self.append_log.encode()
            if not self.is_replica:
                history.begin()
                self.log.notice(
                    "Replication backlog created, my new replication IDs are '%s' and '%s'"
                    % (history.id.decode(), history.previous_id.decode())
                )
            history.open_backlog(self.config.repl_backlog_size)
        if not self.is_replica:
            self.attach()
        self.keep_ticking()

    def drop_history(self) -> None:
        """Nobody needs the stream any more."""
        self.detach()
        self.feed.flush()
        self.feed.restart()
        self.history.backlog = None
        self.history.begin()
        self.has_history = False
        if not self.services.dispatch.depth:
            self.services.dispatch.refresh_recording()

    def buffered_bytes(self) -> int:
        """What of the stream is in memory, for replicas that wait and for those that come back."""
        return len(self.history.backlog) if self.history.backlog is not None else 0

    def backlog_bytes(self) -> int:
        return min(self.buffered_bytes(), self.config.repl_backlog_size)

    def resize_backlog(self, config: Config) -> None:
        if self.history.backlog is not None:
            self.history.backlog.resize(config.repl_backlog_size)

    def snapshot_facts(self) -> Tuple[int, bytes, int]:
        """What the snapshot of a full synchronisation says of the stream."""
        if self.link is not None:
            session = self.link.session
            number = session.db.number if session is not None else self.history.database
        else:
            number = max(0, self.feed.database)
        self.feed.encode()
        return number, self.history.id, self.history.offset

    def saved_facts(self) -> Any:
        """The same for a snapshot on disk; None if there is no history worth it."""
        return self.snapshot_facts() if self.history.backlog is not None else None

    # Following -------------------------------------------------------------------------------------------------

    def discard_copy(self) -> None:
        """What is here is no copy of a master's history any more."""
        if self.has_history:
            self.log.notice("Discarding previously cached master state.")
        self.has_history = False

    def on_full_sync(self) -> None:
        """The data is about to become the master's: what this server passed on so far is not its history any more.

        Not earlier: a transfer that breaks before costs this server and those that follow it nothing.
        """
        self.discard_copy()
        if self.made_primary is not None:
            self.made_primary.disconnect_all()

    def before_load(self) -> None:
        """The data is about to be replaced: a log, or a rewrite of one, that is under way is of no use."""
        self.services.children.kill_rewrite()
        append_log = self.append_log
        if append_log.state != OFF:
            append_log.deactivate()

    def empty_keyspace(self) -> None:
        """Forget all data, as a fact that watchers and blocked clients hear of."""
        keyspace = self.services.keyspace
        gone = keyspace.flush()  # freed in slices in any case, but counted only where that was asked for
        if self.config.replica_lazy_flush:
            keyspace.graveyard.freed += gone
        self.services.dispatch.settle_alone()

    def on_loaded(self, identity: bytes, offset: int, database: int) -> None:
        """The data set is the master's as of `offset`."""
        self.feed.flush()
        self.history.adopt(identity, offset, database)
        self.history.open_backlog(self.config.repl_backlog_size)
        self.has_history = True
        self.marks.clear()
        if self.own_deadlines is not None:
            self.own_deadlines.clear()
        self.logged = 0
        self.services.keyspace.keeps_lapsed = True
        self.services.keyspace.hides_lapsed = True
        persistence = self.services.persistence
        if self.config.appendonly:
            persistence.rewrite.follow_switch(self.config)  # the log begins anew with what was loaded
        persistence.snapshots.reconsider()

    def on_continued(self, identity: bytes) -> None:
        """The master goes on where this history ends, maybe under another name."""
        self.feed.flush()
        history = self.history
        if identity != history.id:
            history.branch(identity)
            self.log.notice("Master replication ID changed to %s" % identity.decode("latin-1"))
            if self.made_primary is not None:
                self.made_primary.disconnect_all()
        history.open_backlog(self.config.repl_backlog_size)

    def on_transfer_failed(self, text: str) -> None:
        if self.link is not None:
            self.link.fail(text, at_once=True)

    def on_link_changed(self) -> None:
        self.settle()

    def on_failover_answered(self, accepted: bool) -> None:
        if self.failover is not None:
            self.failover.on_answered(accepted)

    def logged_offset(self) -> Optional[int]:
        """How much of the stream this server has on disk; None if it keeps no log."""
        log = self.append_log
        if log.state != ON:
            return None
        log.encode()
        self.marks.append((log.fed, self.history.offset))
        while self.marks and self.marks[0][0] <= log.synced:
            self.logged = self.marks.popleft()[1]
        return self.logged

    # Replicas --------------------------------------------------------------------------------------------------

    def forget(self, session: Session) -> None:
        """A session ends."""
        if session.kind == b"replica" and session in self.replicas:
            self.primary.forget(session)
            session.doom()
        elif self.link is not None and session is self.link.session:
            self.link.lose_soon()

    def on_acknowledged(self) -> None:
        if self.made_waits is not None and self.made_waits.waits:
            self.made_waits.look()
        if self.failover is not None:
            self.failover.look()

    def on_replicas_changed(self) -> None:
        self.settle()

    def ask_for_acks(self) -> None:
        """Have every replica say where it is, before the loop sleeps."""
        self.wants_acks = True

    def good_replicas(self) -> int:
        return self.primary.good_replicas(self.config.min_replicas_max_lag) if self.replicas else 0

    def all_have_everything(self) -> bool:
        """Whether the server may end without a replica missing something, as one does that awaits its snapshot."""
        offset = self.offset
        return all(replica.acknowledged >= offset for replica in self.replicas.values())

    def stop(self, flags: int) -> None:
        """A step of the server's end."""
        self.report_lag()
        children = self.services.children
        if children.is_active(SYNCHRONISATION):
            self.log.warning("There is a child saving an .rdb. Killing it!")
            children.kill_for_good()

    def report_lag(self) -> None:
        """Say which replicas will miss something."""
        if not self.replicas:
            return
        offset = self.offset
        behind = 0
        for replica in self.replicas.values():
            if replica.acknowledged != offset:
                behind += 1
                self.log.notice(
                    "Lagging replica %s reported offset %d behind master, lag=%d, state=%s."
                    % (replica.name, offset - replica.acknowledged, replica.lag_s(), replica.state_name)
                )
        count = len(self.replicas)
        self.log.notice("%d of %d replicas are in sync when shutting down." % (count - behind, count))

    def on_shutdown_waiting(self, waiting: bool) -> None:
        from server.replication.failover import FOR_EVER_MS

        if waiting:
            self.services.clients.pause(FOR_EVER_MS, False)
            if not self.is_replica:  # whose stream is its master's: not a byte of its own may get into it
                self.ask_for_acks()
        else:
            self.services.clients.unpause()

    # Time ------------------------------------------------------------------------------------------------------

    def settle(self, config: Optional[Config] = None) -> None:
        """Let the modes of admission say what role and links are now."""
        dispatch = self.services.dispatch
        config = self.config
        mode = dispatch.mode & ~(admission.READ_ONLY_REPLICA | admission.STALE_DATA | admission.TOO_FEW_REPLICAS)
        if self.is_replica:
            if config.replica_read_only:
                mode |= admission.READ_ONLY_REPLICA
            if not config.replica_serve_stale_data and not self.is_link_up:
                mode |= admission.STALE_DATA
        elif config.min_replicas_to_write and config.min_replicas_max_lag:
            if self.good_replicas() < config.min_replicas_to_write:
                mode |= admission.TOO_FEW_REPLICAS
        dispatch.mode = mode
        self.watch_writers(self.is_replica and not config.replica_read_only)

    def watch_writers(self, wanted: bool) -> None:
        """Look after what clients write to a replica, if they may."""
        dispatch = self.services.dispatch
        if wanted == (self.own_deadlines is not None):
            return
        self.services.keyspace.ends_lapsed = wanted
        if wanted:
            from server.replication.own_deadlines import OwnDeadlines

            self.own_deadlines = OwnDeadlines(self.services)
            dispatch.listen(self.own_deadlines)
        elif self.own_deadlines is not None:
            dispatch.unlisten(self.own_deadlines)
            self.own_deadlines.clear()
            self.own_deadlines = None

    def keep_ticking(self) -> None:
        if self.timer is None:
            self.timer = self.services.timers.at(monotonic() + TICK_S, self.tick)

    def tick(self) -> None:
        """Each second while there is a link to either side, or a backlog."""
        self.timer = None
        now_s = monotonic()
        if self.link is not None:
            self.link.each_second(now_s)
        if self.made_primary is not None:
            self.made_primary.each_second()
        self.settle()
        if self.link is not None or self.replicas or self.history.backlog is not None:
            self.keep_ticking()

    def offsets_of(self, moment: Optional[Moment]) -> Tuple[int, int]:
        """How long the stream and the log must be to hold what a client wrote up to then."""
        if moment is None:
            return 0, 0
        if moment.stream < 0:
            self.end_moment()
        return moment.stream, moment.log

    def end_moment(self) -> None:
        log = self.append_log
        log.encode()
        self.services.dispatch.propagation.end_moment(self.offset, log.fed)

    def before_sleeping(self) -> None:
        """The stream of this turn goes out; a snapshot may begin."""
        if self.services.dispatch.propagation.is_moment_used:
            self.end_moment()
        if self.made_waits is not None and self.made_waits.must_ask:
            self.made_waits.must_ask = False
            self.wants_acks = True
        if self.wants_acks:
            self.wants_acks = False
            if self.replicas:
                self.feed.say(b"REPLCONF", b"GETACK", b"*")
        self.feed.flush()
        if self.made_primary is not None and (self.replicas or self.made_primary.full_sync.pipe >= 0):
            self.made_primary.full_sync.before_sleeping()
