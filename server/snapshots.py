"""The schedule of snapshots: SAVE, BGSAVE, the save points, the last one of a process.

Owns when a snapshot is written, the counters about it, and what is logged when its file does not take its place (see
`server.disk`). Must not know the format.

The save points cost nothing while nobody writes: `watch` is called before the loop sleeps, compares two numbers, and
keeps one timer, due when the first of the points that have enough changes has waited long enough.
"""

from __future__ import annotations

import os
from time import monotonic, sleep, time

from server.children import KILLED, SNAPSHOT, ChildFailure
from server.disk import OPEN, RENAME, SYNC_DIRECTORY, ReplaceFailure, remove, replace_file, sync_data, write_all
from server.lifecycle import FORCE, NOSAVE, SAVE
from server.log import shown
from server.version import REDIS_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, Iterable, Optional, Sequence

    from server.children import Children, Done, Progress
    from server.config.configuration import Config
    from server.services import Services
    from server.timers import Timer
    from storage.database import Database

RETRY_AFTER_S = 5  # a save point waits this long after a failure
SYNC_EVERY_BYTES = 4 << 20  # rdb-save-incremental-fsync: never much unwritten data in the system's hands
NEVER = 1 << 63


class Snapshots:
    """Writes the data set to `dir`/`dbfilename`."""

    def __init__(self, services: Services, children: Children) -> None:
        self.services = services
        self.children = children
        self.log = services.log
        self.saved_at = int(time())  # LASTSAVE
        self.tried_s = monotonic() - RETRY_AFTER_S
        self.is_ok = True
        self.last_duration_s = -1
        self.last_copied_bytes = 0
        self.saves = 0
        self.is_scheduled = False
        self.dirty_at_fork = 0
        self.on_state: Callable[[], Any] = lambda: None  # whether writes are to be refused may have changed
        self.functions: Callable[[], Iterable[bytes]] = lambda: ()  # sources of libraries to be saved
        self.replication: Callable[[], Any] = lambda: None  # what a snapshot notes of the replication stream
        self.timer: Optional[Timer] = None
        self.watched_from = 0  # this many changes are worth another look at the save points
        services.config.on_change("save", self.reconsider)

    # Writing ---------------------------------------------------------------------------------------------------

    def write(
        self,
        file: BinaryIO,
        progress: Optional[Progress],
        is_log_base: bool = False,
        limit_sync: bool = True,
        databases: Optional[Sequence[Database]] = None,
        functions: Optional[Iterable[bytes]] = None,
        facts: Any = None,
    ) -> None:
        """Write a snapshot into an open, unbuffered file, also as the base of a log. Raises OSError.

        Of all databases and functions, where no others are given; `facts` are those of the replication stream.
        `limit_sync` False: into a pipe, which cannot be synced.
        """
        from storage.rdb.writer import SnapshotWriter, aux_fields, needed_version

        services = self.services
        config = services.config
        keyspace = services.keyspace
        if databases is None:
            databases = keyspace.databases
        if functions is None:
            functions = self.functions()
        version = needed_version(databases, config.rdb_target_version)
        writer = SnapshotWriter(keyspace.limits, version, config.rdbcompression, config.rdbchecksum)
        aux = aux_fields(
            REDIS_VERSION.encode(),
            int(time()),
            services.info.memory.used_bytes(),
            is_log_base,
            None if is_log_base else facts or self.replication(),  # the log goes on where the stream does not
        )
        unsynced = 0
        syncs = limit_sync and config.rdb_save_incremental_fsync
        rested = 0
        for piece in writer.pieces(databases, aux, functions, self.age()):
            write_all(file, piece)
            delay = config.rdb_key_save_delay
            if progress is None:
                if delay > 0:
                    sleep((writer.keys_written - rested) * delay / 1e6)
                    rested = writer.keys_written
                continue
            if syncs:
                unsynced += len(piece)
                if unsynced >= SYNC_EVERY_BYTES:
                    unsynced = 0
                    sync_data(file.fileno())
            if delay:
                self.dawdle(progress, rested, writer.keys_written, delay)
                rested = writer.keys_written
            progress.report(writer.keys_written)

    def dawdle(self, progress: Progress, first: int, last: int, delay: int) -> None:
        """`rdb-key-save-delay`: microseconds a key, or one microsecond each so many keys."""
        if delay < 0:
            progress.rest((last - first) / -delay / 1e6)
            return
        for number in range(first, last):
            progress.report(number)
            progress.rest(delay / 1e6)

    def age(self) -> Any:
        """What eviction wants to find in a snapshot about a key: idle seconds, or frequency."""
        policy = self.services.config.maxmemory_policy
        space = self.services.keyspace
        now_s = space.clock.access_stamp
        if "lfu" in policy:
            return lambda db, key: (None, db.access.count_of(key))
        if "lru" in policy:
            since_s = space.stamps_since_s or now_s
            return lambda db, key: (max(0, now_s - db.access.get(key, since_s)), None)
        return None

    def write_file(self, temporary: str, target: bytes, progress: Optional[Progress]) -> None:
        """Write a snapshot and put it in the target's place. Raises ChildFailure with what the log should say."""
        try:
            replace_file(target, temporary, lambda file: self.write(file, progress))
        except ReplaceFailure as failure:
            raise ChildFailure(told_of_failure(failure, temporary, target)) from None
        self.log.notice("DB saved on disk")

    # SAVE ------------------------------------------------------------------------------------------------------

    def save(self) -> bool:
        """Write a snapshot now, everybody waits; False, with the reason logged, if it failed."""
        temporary = foreground_name()
        try:
            self.write_file(temporary, self.services.config.dbfilename, None)
        except ChildFailure as failure:
            self.log.warning(str(failure))  # and no MISCONF: who asked for it is told, as in Redis
            return False
        self.note_success(self.services.keyspace.dirty)
        return True

    # BGSAVE ----------------------------------------------------------------------------------------------------

    def begin(self, on_end: Optional[Done] = None) -> bool:
        """Have a child write a snapshot; False, with the reason logged, if none can be had.

        `on_end` hears of its end when everything else is settled.
        """
        services = self.services
        self.dirty_at_fork = services.keyspace.dirty
        self.tried_s = monotonic()
        target = services.config.dbfilename

        def snapshot(progress: Progress) -> None:
            self.write_file(background_name(os.getpid()), target, progress)

        def end(succeeded: bool, number: int) -> None:
            self.end(succeeded, number)
            if on_end is not None:
                on_end(succeeded, number)

        self.saves += 1
        if not self.children.fork(SNAPSHOT, snapshot, end):
            self.note_failure()
            return False
        self.is_scheduled = False
        child = self.children.current
        self.log.notice("Background saving started by pid %d" % (child.pid if child and child.pid else os.getpid()))
        return True

    def end(self, succeeded: bool, number: int) -> None:
        """The child has ended."""
        if succeeded:
            self.log.notice("Background saving terminated with success")
            self.note_success(self.dirty_at_fork)
        elif number:
            self.log.warning("Background saving terminated by signal %d" % number)
            if number != KILLED:
                self.note_failure()
        else:
            self.log.warning("Background saving error")
            self.note_failure()
        if number:
            name = background_name(self.children.latest_pid)
            self.services.latency.timed(b"rdb-unlink-temp-file", remove, name)
        self.last_duration_s = int(monotonic() - self.tried_s)
        self.last_copied_bytes = self.children.latest_copied_bytes
        self.reconsider()

    def note_success(self, written: int) -> None:
        """`written` changes are safe now."""
        self.services.keyspace.dirty -= written
        self.saved_at = int(time())
        self.is_ok = True
        self.on_state()
        self.reconsider()

    def note_failure(self) -> None:
        self.is_ok = False
        self.on_state()
        self.reconsider()

    # Save points -----------------------------------------------------------------------------------------------

    def reconsider(self, config: Optional[Config] = None) -> Optional[str]:
        """Look at the save points anew at the end of this turn: they, or what they depend on, changed."""
        self.watched_from = 0
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.on_state()
        return None

    def watch(self) -> None:
        """Before the loop sleeps: have enough changes come for another save point?"""
        dirty = self.services.keyspace.dirty
        if dirty <= 0 or dirty < self.watched_from:
            return
        if self.is_scheduled or self.children.current is not None or self.services.loader.is_loading:
            return
        due_at = NEVER
        self.watched_from = NEVER
        for seconds, changes in self.services.config.save:
            if dirty >= changes:
                due_at = min(due_at, self.saved_at + seconds + 1)
            else:
                self.watched_from = min(self.watched_from, changes)
        if due_at == NEVER:
            return
        due_s = monotonic() + max(0.0, due_at - time())
        if not self.is_ok:
            due_s = max(due_s, self.tried_s + RETRY_AFTER_S)
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.services.timers.at(due_s, self.save_if_due)

    def save_if_due(self) -> None:
        """The timer of the save points."""
        self.timer = None
        if self.children.current is not None or self.services.loader.is_loading:
            self.watched_from = 0
            return
        dirty = self.services.keyspace.dirty
        for seconds, changes in self.services.config.save:
            if dirty >= changes and time() - self.saved_at > seconds:
                self.log.notice("%d changes in %d seconds. Saving..." % (changes, seconds))
                self.begin()
                return
        self.watched_from = 0

    def replace_by_empty(self) -> None:
        """FLUSHALL: the file is not to bring back what is gone, if there are save points to write one for."""
        if self.children.is_saving():
            self.children.kill()
        if self.services.config.save and not self.services.loader.is_loading:
            keyspace = self.services.keyspace
            if self.save():
                # What the command has changed may be counted only after it, and is saved already.
                keyspace.dirty = -sum([count for _, _, _, count in keyspace.changes])

    # The end ---------------------------------------------------------------------------------------------------

    def blocks_writes(self) -> bool:
        """Whether writes are to be refused since the data cannot be saved."""
        config = self.services.config
        return not self.is_ok and config.stop_writes_on_bgsave_error and bool(config.save)

    def stop(self, flags: int) -> Optional[str]:
        """The last step of a server's life; answers with the reason why it may not end."""
        if self.children.is_active(SNAPSHOT):
            self.log.warning("There is a child saving an .rdb. Killing it!")
            self.children.kill_for_good()
            remove(background_name(self.children.latest_pid))
        if self.services.loader.is_loading:
            return None
        if not flags & SAVE and (flags & NOSAVE or not self.services.config.save):
            return None
        self.log.notice("Saving the final RDB snapshot before exiting.")
        if self.save():
            return None
        return "Error trying to save the DB" + (". Exit anyway." if flags & FORCE else ", can't exit.")

    def remove_temporary(self) -> None:
        """The process ends at once: leave no half-written file."""
        remove(foreground_name())
        child = self.children.current
        if child is not None:
            self.children.kill()
            remove(background_name(child.pid))


def foreground_name() -> str:
    return background_name(os.getpid())


def background_name(pid: int) -> str:
    return "temp-%d.rdb" % pid


def told_of_failure(failure: ReplaceFailure, temporary: str, target: bytes) -> str:
    """What the log says of a snapshot that was not written or did not take its place."""
    reason = failure.strerror
    if failure.step == OPEN:
        return "Failed opening the temp RDB file %s (in server root dir %s) for saving: %s" % (
            temporary,
            working_directory(),
            reason,
        )
    if failure.step == RENAME:
        return "Error moving temp DB file %s on the final destination %s (in server root dir %s): %s" % (
            temporary,
            shown(target),
            working_directory(),
            reason,
        )
    if failure.step == SYNC_DIRECTORY:
        return "Failed to fsync directory while saving DB: %s" % reason
    return "Write error while saving DB to the disk(%s): %s" % (failure.step, reason)


def working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "unknown"
