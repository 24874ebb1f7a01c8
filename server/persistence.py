"""Persistence as a whole: its parts, what they do at start, before each sleep and at the end, and what INFO says.

Constructs and wires the loader, the children, snapshots and the log; decides what writes are refused for. Must not know
how any of them works.
"""

from __future__ import annotations

import os
from time import monotonic, time

from server.admission import DISK_FAILED
from server.append_log import OFF, AppendLog
from server.children import REWRITE, Children
from server.loading import Loader, LoadFailure, LoadStopped
from server.log_rewrite import LogRewrite
from server.migration import Migration
from server.reloading import SUBCOMMANDS
from server.snapshots import Snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Optional, Tuple

    from server.reactor import Reactor
    from server.services import Services

SNAPSHOTS_FAIL = (
    b"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that "
    b"may modify the data set are disabled, because this instance is configured to report errors during writes if RDB "
    b"snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB "
    b"error."
)


class Persistence:
    """The parts, under the names by which commands reach them: `ctx.server.persistence.snapshots`."""

    def __init__(self, services: Services, reactor: Reactor) -> None:
        self.services = services
        self.config = services.config
        services.persistence = self
        self.children = services.children = Children(services, reactor)
        self.loader = services.loader = Loader(services, reactor)
        self.snapshots = services.snapshots = Snapshots(services, self.children)
        self.append_log = services.append_log = AppendLog(services, reactor, self.children)
        self.rewrite = LogRewrite(services, self.children, self.append_log, self.snapshots)
        services.migration = Migration(services, reactor)
        services.debug_subcommands.update(SUBCOMMANDS)
        self.children.before_fork.append(self.flush_log)
        self.snapshots.on_state = self.append_log.on_state = self.judge_disk
        reactor.before_sleep.append(self.before_sleep)
        services.dispatch.gate.disk_refusal = self.disk_refusal
        # PING tells monitoring that the disk fails, though it writes nothing.
        ping = services.registry.originally(b"ping")
        if ping is not None:
            ping.trips |= DISK_FAILED
        services.config.on_change("stop-writes-on-bgsave-error", lambda config: self.judge_disk())
        services.lifecycle.steps += [self.rewrite.stop, self.append_log.stop, self.snapshots.stop]
        services.lifecycle.on_killed += [self.snapshots.remove_temporary, self.rewrite.remove_temporary]
        self.inform()

    def flush_log(self) -> None:
        """A child must not share what is only in memory."""
        if self.append_log.state != OFF:
            self.append_log.flush(forced=True)

    # At start --------------------------------------------------------------------------------------------------

    def start(self) -> bool:
        """Load what there is and open the log; False, with the reason logged, if the server must not run."""
        log = self.services.log
        began_s = monotonic()
        try:
            if self.config.appendonly:
                self.rewrite.load()
                self.rewrite.open_at_start()
            elif self.loader.load_snapshot(self.config.dbfilename):
                log.notice("DB loaded from disk: %.3f seconds" % (monotonic() - began_s))
        except LoadFailure as failure:
            for line in failure.lines:
                log.warning(line)
            return False
        except LoadStopped:
            return False
        self.snapshots.saved_at = int(time())
        return True

    # Before each sleep -----------------------------------------------------------------------------------------

    def before_sleep(self) -> None:
        """What is scheduled begins, then the log is written: the replies of this turn come after it."""
        if self.loader.is_loading:
            return
        rewrite, snapshots = self.rewrite, self.snapshots
        if (rewrite.is_scheduled or snapshots.is_scheduled) and self.children.current is None:
            if rewrite.is_scheduled:
                rewrite.begin_if_scheduled()
            elif snapshots.is_ok or monotonic() - snapshots.tried_s >= 5:
                snapshots.begin()
        dirty = self.services.keyspace.dirty
        if dirty and dirty >= snapshots.watched_from:
            snapshots.watch()
        append_log = self.append_log
        if append_log.runs or append_log.buffer:
            append_log.step()

    # Refusals --------------------------------------------------------------------------------------------------

    def judge_disk(self) -> Optional[str]:
        """Refuse writes, or no longer."""
        dispatch = self.services.dispatch
        if self.snapshots.blocks_writes() or self.append_log.blocks_writes():
            dispatch.mode |= DISK_FAILED
        else:
            dispatch.mode &= ~DISK_FAILED
        return None

    def disk_refusal(self) -> bytes:
        """Why writes are refused."""
        if self.snapshots.blocks_writes():
            return SNAPSHOTS_FAIL
        number = self.append_log.blocks_writes()
        return b"MISCONF Errors writing to the AOF file: " + os.strerror(number).encode()

    # INFO ------------------------------------------------------------------------------------------------------

    def inform(self) -> None:
        """Say in INFO what is true."""
        info = self.services.info
        children = self.children
        info.sections["persistence"] = lambda info: self.fields()
        info.provide("latest_fork_usec", lambda: children.latest_fork_usec)
        info.provide("total_forks", lambda: children.total_forks)
        info.provide("mem_aof_buffer", lambda: self.append_log.buffered)
        info.provide("rdb_last_save_time", lambda: self.snapshots.saved_at)

        def reset() -> None:
            children.total_forks = 0
            children.latest_fork_usec = 0
            self.append_log.delayed_syncs = 0
            self.snapshots.saves = 0
            self.rewrite.rewrites = 0

        info.on_reset.append(reset)

    def fields(self) -> Iterator[Tuple[str, Any]]:
        """The section about persistence."""
        loader, snapshots, append_log, rewrite = self.loader, self.snapshots, self.append_log, self.rewrite
        child = self.children.current
        now_s = monotonic()
        yield "loading", int(loader.is_loading)
        yield "async_loading", int(loader.is_aside)
        yield "current_cow_peak", child.copied_peak_bytes if child else 0
        yield "current_cow_size", child.copied_bytes if child else 0
        yield "current_cow_size_age", int(now_s - child.reported_s) if child else 0
        done = child.keys_done if child else 0
        total = child.keys_total if child else 0
        yield "current_fork_perc", "%.2f" % (100.0 * done / total if total else 0.0)
        yield "current_save_keys_processed", done
        yield "current_save_keys_total", total
        yield "rdb_changes_since_last_save", self.services.keyspace.dirty
        is_saving = self.children.is_saving()
        yield "rdb_bgsave_in_progress", int(is_saving)
        yield "rdb_last_save_time", snapshots.saved_at
        yield "rdb_last_bgsave_status", "ok" if snapshots.is_ok else "err"
        yield "rdb_last_bgsave_time_sec", snapshots.last_duration_s
        yield "rdb_current_bgsave_time_sec", int(now_s - child.started_s) if is_saving and child else -1
        yield "rdb_saves", snapshots.saves
        yield "rdb_last_cow_size", snapshots.last_copied_bytes
        yield "rdb_last_load_keys_expired", loader.last_lapsed
        yield "rdb_last_load_keys_loaded", loader.last_loaded
        is_rewriting = self.children.is_active(REWRITE)
        yield "aof_enabled", int(append_log.state != OFF)
        yield "aof_rewrite_in_progress", int(is_rewriting)
        yield "aof_rewrite_scheduled", int(rewrite.is_scheduled)
        yield "aof_last_rewrite_time_sec", rewrite.last_duration_s
        yield "aof_current_rewrite_time_sec", int(now_s - child.started_s) if is_rewriting and child else -1
        yield "aof_last_bgrewrite_status", "ok" if rewrite.is_ok else "err"
        yield "aof_rewrites", rewrite.rewrites
        yield "aof_rewrites_consecutive_failures", rewrite.limit.failures
        yield "aof_last_write_status", "err" if append_log.write_error or append_log.sync_error else "ok"
        yield "aof_last_cow_size", rewrite.last_copied_bytes
        yield "module_fork_in_progress", 0
        yield "module_fork_last_cow_size", 0
        if append_log.state != OFF:
            yield "aof_current_size", append_log.current_size
            yield "aof_base_size", append_log.base_size
            yield "aof_pending_rewrite", 0
            yield "aof_buffer_length", append_log.buffered
            yield "aof_pending_bio_fsync", int(append_log.thread.is_busy)
            yield "aof_delayed_fsync", append_log.delayed_syncs
        if loader.is_loading or loader.is_aside:
            yield from self.loading_fields()

    def loading_fields(self) -> Iterator[Tuple[str, Any]]:
        """How far loading is."""
        loader = self.loader
        yield "loading_start_time", loader.started_at
        yield "loading_total_bytes", loader.total_bytes
        yield "loading_rdb_used_mem", loader.used_memory
        yield "loading_loaded_bytes", loader.loaded_bytes
        yield "loading_loaded_perc", "%.2f" % (100.0 * loader.loaded_bytes / max(1, loader.total_bytes))
        yield "loading_eta_seconds", loader.remaining_s()
