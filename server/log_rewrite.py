"""Rewriting the log, turning it on and off, loading it at start.

A rewrite opens a new increment first, so that nothing is lost whatever happens to the child; the child writes a new
base beside the others; when it is done the base gets its name and the manifest is swapped, which makes the old files
history. A crash at any moment leaves a manifest whose files are there. Owns the schedule of rewrites and the state of
the log.
"""

from __future__ import annotations

import os
from time import monotonic

from server.append_log import OFF, ON, WAITING, open_log
from server.children import KILLED, REWRITE, ChildFailure
from server.disk import remove, sync, sync_directory, write_all
from server.lifecycle import FORCE
from server.loading import LoadFailure, whole_path
from server.log import shown
from server.log_directory import TEMPORARY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from server.append_log import AppendLog
    from server.children import Children, Progress
    from server.config.configuration import Config
    from server.services import Services
    from server.snapshots import Snapshots

FAILURES_BEFORE_DELAY = 3
MAX_DELAY_MINUTES = 60
RETRY_S = 0.1  # a turn of Redis's cron
CANNOT_TURN_ON = "Unable to turn on AOF. Check server logs."


class FailureLimit:
    """Holds back rewrites that begin by themselves once several in a row have failed.

    The time counts from when one is wanted: each one that fails after it makes the next wait twice as long.
    """

    __slots__ = ("failures", "minutes", "not_before_s")

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self.minutes = 0
        self.not_before_s = 0.0  # 0: not set

    def holds_back(self, now_s: float) -> bool:
        if self.failures < FAILURES_BEFORE_DELAY:
            self.minutes, self.not_before_s = 0, 0.0
            return False
        if self.not_before_s:
            if now_s < self.not_before_s:
                return True
            self.not_before_s = 0.0  # this one may begin
            return False
        self.minutes = min(self.minutes * 2 or 1, MAX_DELAY_MINUTES)
        self.not_before_s = now_s + self.minutes * 60
        return True


class LogRewrite:
    """The schedule of rewrites."""

    def __init__(self, services: Services, children: Children, append_log: AppendLog, snapshots: Snapshots) -> None:
        self.services = services
        self.config = services.config
        self.log = services.log
        self.children = children
        self.append_log = append_log
        self.files = append_log.files
        self.snapshots = snapshots
        self.is_scheduled = False
        self.is_ok = True
        self.rewrites = 0
        self.limit = FailureLimit()
        self.retry_s = 0.0  # of a first rewrite that failed
        self.is_base_a_snapshot = True  # as was configured when the rewrite began
        self.began_s = 0.0
        self.last_duration_s = -1
        self.last_copied_bytes = 0
        append_log.on_growth = self.rewrite_grown
        self.config.on_change("appendonly", self.follow_switch)
        self.config.on_change("auto-aof-rewrite-percentage", append_log.plan_rewrite)
        self.config.on_change("auto-aof-rewrite-min-size", append_log.plan_rewrite)
        self.config.on_change("aof-disable-auto-gc", self.files.follow_removal)

    # At start --------------------------------------------------------------------------------------------------

    def load(self) -> bool:
        """Load all files of the log; False if there is none. Raises LoadFailure."""
        files = self.files
        files.read()
        files.adopt_single_file()
        began_s = monotonic()
        if not self.replay():
            return False
        self.log.notice("DB loaded from append only file: %.3f seconds" % (monotonic() - began_s))
        return True

    def replay(self) -> bool:
        """Run the log into the (empty) keyspace. Raises LoadFailure."""
        files = self.files
        parts = list(files.manifest.parts())
        if not parts:
            return False
        for part in parts:
            try:
                os.stat(files.part_path(part))
            except OSError as error:
                raise LoadFailure(
                    "The AOF manifest names %s, which cannot be used" % whole_path(files.part_path(part)),
                    "Unable to obtain the AOF file %s length. stat: %s"
                    % (shown(part.name), error.strerror),
                ) from None
        loader = self.services.loader
        loader.begin(sum(map(files.size_of, parts)))
        try:
            for place, part in enumerate(parts):
                part_began_s = monotonic()
                is_last = place == len(parts) - 1
                was_empty = not files.size_of(part)  # before its end is cut off
                size = loader.load_log_file(files.part_path(part), is_last, self.config.aof_load_truncated)
                if part is files.manifest.base:
                    self.append_log.base_size = size
                if was_empty:
                    continue
                self.log.notice(
                    "DB loaded from %s file %s: %.3f seconds"
                    % (
                        "base" if part is files.manifest.base else "incr",
                        shown(part.name),
                        monotonic() - part_began_s,
                    )
                )
        finally:
            loader.end()
        return True

    def open_at_start(self) -> None:
        """Go on with the log that was loaded, or begin one. Raises LoadFailure."""
        files = self.files
        step = "Can't open or create append-only dir %s" % shown(self.config.appenddirname)
        try:
            files.create()
            step = "Can't open the append-only file"
            if not list(files.manifest.parts()):
                self.create_base()
            self.append_log.reopen_increment()
        except (OSError, ChildFailure) as error:
            raise LoadFailure("%s: %s" % (step, getattr(error, "strerror", "") or error)) from None
        self.append_log.state = ON
        self.append_log.measure()
        self.append_log.activate()
        files.remove_history()

    def create_base(self) -> None:
        """The first base, of what is in memory, which at start is nothing."""
        files = self.files
        manifest = files.manifest.copy()
        part = manifest.replace_base(files.prefix, self.config.aof_use_rdb_preamble)
        self.log.notice("Creating AOF base file %s on server start" % shown(part.name))
        temporary = temporary_base(os.getpid())
        self.write_base(temporary, None)
        os.replace(temporary, files.part_path(part))
        files.write(manifest)

    # Rewriting -------------------------------------------------------------------------------------------------

    def write_base(self, temporary: str, progress: Optional[Progress]) -> None:
        """Write what is in memory as a base. Raises ChildFailure or OSError."""
        try:
            with open(temporary, "wb", buffering=0) as file:
                if self.config.aof_use_rdb_preamble:
                    self.snapshots.write(file, progress, is_log_base=True)
                else:
                    self.write_commands(file, progress)
                sync(file.fileno())
        except OSError as error:
            remove(temporary)
            raise ChildFailure("Write error writing append only file on disk: %s" % error.strerror) from None

    def write_commands(self, file: Any, progress: Optional[Progress]) -> None:
        from storage.aof.rewrite import rebuild_keyspace

        keyspace = self.services.keyspace
        second = keyspace.clock.now_ms // 1000 if self.config.aof_timestamp_enabled else None
        done = 0
        delay = self.config.rdb_key_save_delay
        for keys, piece in rebuild_keyspace(keyspace.databases, self.snapshots.functions(), second):
            write_all(file, piece)
            done += keys
            if progress is not None:
                if delay:
                    self.snapshots.dawdle(progress, done - keys, done, delay)
                progress.report(done)

    def begin(self) -> bool:
        """Have a child rewrite the log; False, with the reason logged, if that cannot be."""
        append_log = self.append_log
        files = self.files
        self.is_scheduled = False
        try:
            if not list(files.manifest.parts()):
                files.read()  # of a log that was off so far
            files.create()
            if append_log.state == ON:
                name = files.manifest.copy().add_increment(files.prefix).name
                self.log.notice("Creating AOF incr file %s on background rewrite" % shown(name))
                append_log.open_increment()
            elif append_log.state == WAITING:
                self.log.notice("Creating AOF incr file %s on background rewrite" % self.temporary_increment().decode())
                append_log.discard()
                append_log.switch_to(open_log(files.path(self.temporary_increment()), os.O_TRUNC))
        except OSError as error:
            self.log.warning("Can't open the append-only file for a rewrite: %s" % error.strerror)
            self.note_failure()
            return False
        except LoadFailure as failure:
            for line in failure.lines:
                self.log.warning(line)
            self.note_failure()
            return False
        self.is_base_a_snapshot = self.config.aof_use_rdb_preamble

        def rewrite(progress: Progress) -> None:
            temporary = temporary_base(os.getpid())
            self.write_base(temporary, progress)
            self.log.notice("Successfully created the temporary AOF base file %s" % temporary)

        if not self.children.fork(REWRITE, rewrite, self.end):
            self.log.warning("Can't rewrite append only file in background")
            self.note_failure()
            return False
        self.rewrites += 1
        self.began_s = monotonic()
        if append_log.state == WAITING:
            append_log.activate()
        child = self.children.current
        pid = child.pid if child is not None and child.pid else os.getpid()
        self.log.notice("Background append only file rewriting started by pid %d" % pid)
        return True

    def temporary_increment(self) -> bytes:
        """The increment of a log that is being turned on, before it counts."""
        return TEMPORARY + self.files.prefix + b".incr"

    def end(self, succeeded: bool, number: int) -> None:
        """The child has ended."""
        temporary = temporary_base(self.children.latest_pid or os.getpid())
        self.last_duration_s = int(monotonic() - self.began_s)
        self.last_copied_bytes = self.children.latest_copied_bytes
        if succeeded:
            self.log.notice("Background AOF rewrite terminated with success")
            try:
                self.put_in_place(temporary)
            except OSError as error:
                self.log.warning("Error putting the rewritten append only file in place: %s" % error.strerror)
                remove(temporary)
                self.note_failure()
            else:
                self.is_ok = True
                self.limit.failures = 0
                self.log.notice("Background AOF rewrite finished successfully")
        else:
            remove(temporary)
            if number:
                if number != KILLED or not self.children.was_latest_killed:
                    self.log.warning("Background AOF rewrite terminated by signal %d" % number)
            else:
                self.log.warning("Background AOF rewrite terminated with error")
            if number != KILLED:
                self.note_failure()
            if self.append_log.state == WAITING:
                self.abandon_first()
        self.snapshots.reconsider()

    def put_in_place(self, temporary: str) -> None:
        """Give the new base its name and make it count. Raises OSError."""
        files = self.files
        append_log = self.append_log
        manifest = files.manifest.copy()
        increment = manifest.add_increment(files.prefix) if append_log.state == WAITING else None
        part = manifest.replace_base(files.prefix, self.is_base_a_snapshot)
        if append_log.state == OFF:
            # Rewritten although it is off: a base alone, what came before it is out of date.
            manifest.history[:0] = [type(part)(other.name, other.sequence, b"h") for other in manifest.increments]
            manifest.increments = []
        timed = self.services.latency.timed
        timed(b"aof-rename", os.replace, temporary, files.part_path(part))
        self.log.notice(
            "Successfully renamed the temporary AOF base file %s into %s"
            % (temporary, shown(part.name))
        )
        if increment is not None:
            path = files.path(self.temporary_increment())
            timed(b"aof-rename", append_log.rename, path, files.part_path(increment))
            self.log.notice(
                "Successfully renamed the temporary AOF incr file %s into %s"
                % (shown(self.temporary_increment()), shown(increment.name))
            )
        files.write(manifest)
        sync_directory(b".")
        if append_log.state == WAITING:
            append_log.state = ON
        files.remove_history()
        append_log.current_size = sum(map(files.size_of, files.manifest.parts()))
        append_log.base_size = append_log.current_size
        append_log.plan_rewrite()

    def note_failure(self) -> None:
        self.is_ok = False
        self.limit.failures += 1
        self.append_log.plan_rewrite()

    def abandon_first(self) -> None:
        """The rewrite that was to turn the log on has failed: start over in a moment."""
        append_log = self.append_log
        append_log.discard()
        remove(self.files.path(self.temporary_increment()))
        self.retry_s = monotonic() + RETRY_S
        self.is_scheduled = True
        self.services.timers.at(self.retry_s, lambda: None)

    def rewrite_grown(self) -> None:
        """The log has grown enough to be worth it."""
        if self.children.current is not None or self.is_scheduled or self.services.dispatch.depth:
            return
        if self.is_held_back():
            return
        size, base = self.append_log.current_size, self.append_log.base_size or 1
        self.log.notice("Starting automatic rewriting of AOF on %d%% growth" % (size * 100 // base - 100))
        self.append_log.rewrite_at = 1 << 63  # until this one is over
        self.is_scheduled = True  # begun at the end of the turn, when nothing waits to be written

    def begin_if_scheduled(self) -> None:
        """Between two units of work, while no child is active."""
        if monotonic() >= self.retry_s and not self.is_held_back():
            self.retry_s = 0.0
            self.begin()

    def is_held_back(self) -> bool:
        """Whether a rewrite that nobody asked for has to wait, since too many failed."""
        limit = self.limit
        was_set = limit.not_before_s
        if not limit.holds_back(monotonic()):
            return False
        if not was_set:
            self.log.warning(
                "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in %d minutes"
                % limit.minutes
            )
            self.services.timers.at(limit.not_before_s, self.try_again)
        return True

    def try_again(self) -> None:
        """The limit is over. What is scheduled begins before the loop sleeps."""
        if self.append_log.current_size >= self.append_log.rewrite_at:
            self.rewrite_grown()

    # On and off ------------------------------------------------------------------------------------------------

    def follow_switch(self, config: Config) -> Optional[str]:
        """CONFIG SET appendonly."""
        append_log = self.append_log
        if self.services.loader.is_loading:
            return None  # the start opens what is configured by then
        if config.appendonly == (append_log.state != OFF):
            return None
        if not config.appendonly:
            self.children.kill_rewrite()
            self.is_scheduled = False
            was_waiting = append_log.state == WAITING
            append_log.deactivate()
            if was_waiting:
                remove(self.files.path(self.temporary_increment()))
            return None
        append_log.state = WAITING
        rewrites = self.children.is_active(REWRITE)
        hindrance = ""
        if self.children.current is not None and not rewrites:
            hindrance = "but there is already another background operation"
        elif self.services.dispatch.depth:
            hindrance = "during a transaction"
        if hindrance:
            self.children.kill_rewrite()  # it has begun no increment for what is written from now on
            self.is_scheduled = True
            self.log.notice("AOF was enabled %s. An AOF background was scheduled to start when possible." % hindrance)
            return None
        if rewrites:
            self.log.notice(
                "AOF was enabled but there is already an AOF rewriting in background. Stopping background AOF and "
                "starting a rewrite now."
            )
            self.children.kill_rewrite()
        if not self.begin():
            self.log.warning(
                "Redis needs to enable the AOF but can't trigger a background AOF rewrite operation. Check the above "
                "logs for more info about the error."
            )
            append_log.deactivate()
            return CANNOT_TURN_ON
        return None

    def stop(self, flags: int) -> Optional[str]:
        """A step of the server's end: a log that is being turned on must not be left without its base."""
        if self.append_log.state != WAITING or self.services.loader.is_loading:
            return None
        if flags & FORCE:
            return "Writing initial AOF. Exit anyway."
        return "Writing initial AOF, can't exit."

    def remove_temporary(self) -> None:
        """The process ends at once: leave no half-written file."""
        child = self.children.current
        if child is not None and child.kind == REWRITE:
            self.children.kill()
            remove(temporary_base(child.pid))


def temporary_base(pid: int) -> str:
    return "temp-rewriteaof-bg-%d.aof" % pid
