"""The log of changes: what dispatch propagates, written to the newest increment and synced as `appendfsync` says.

Owns the bytes between a command and the disk. Records of a turn are written before its replies are (`step` is called
before the loop writes to clients); with `always` they are synced by then, too, or the process ends, since it may not
acknowledge. With `everysec` one thread syncs at most once a second; while it is at it, writes wait up to two seconds,
because a write would wait for the sync anyway. A write that fails is tried again each second, and until then commands
that write are refused.

Offsets count bytes since the process began, over all files: `fed` is made, `written` is in the system's hands, `synced`
is on the disk. Rewriting is `server.log_rewrite`.
"""

from __future__ import annotations

import os
import sys
from errno import EIO
from time import monotonic, perf_counter_ns, sleep

from server.children import REWRITE
from server.disk import sync_data
from server.fsync_thread import FsyncThread
from server.log import shown
from server.log_directory import LogDirectory
from server.propagation import TO_LOG
from storage.aof.records import LogEncoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Sequence, Tuple

    from server.children import Children
    from server.config.configuration import Config
    from server.reactor import Reactor
    from server.services import Services
    from server.timers import Timer
    from storage.aof.records import Operation

OFF, ON, WAITING = "off", "on", "waiting"  # waiting: turned on, the first rewrite is not finished
POSTPONE_S = 2.0
RETRY_S = 1.0
COMPLAIN_EVERY_S = 30.0
# Windows would end each line as it does in texts.
OPEN_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class AppendLog:
    """A sink of propagation."""

    scope = TO_LOG

    def __init__(self, services: Services, reactor: Reactor, children: Children) -> None:
        self.services = services
        self.config = services.config
        self.log = services.log
        self.children = children
        self.files = LogDirectory(services.config, services.log)
        self.thread = FsyncThread(reactor.watch, self.after_sync)
        self.state = OFF
        self.descriptor = -1
        self.encoder = LogEncoder(self.config.aof_timestamp_enabled)
        self.runs: List[Tuple[int, List[Operation]]] = []  # of this turn, those on one database in a row
        self.buffer: List[bytes] = []
        self.buffered = 0
        self.fed = self.written = self.synced = 0
        self.current_size = 0  # bytes of all files
        self.base_size = 0  # what the size was after the last rewrite
        self.pause_s = 0.0  # DEBUG AOF-FLUSH-SLEEP: a slow disk, for tests
        self.write_error = 0
        self.sync_error = 0
        self.complained_s = 0.0
        self.delayed_syncs = 0
        self.postponed_s = 0.0
        self.requested_s = 0.0
        self.sync_timer: Optional[Timer] = None
        self.retry_timer: Optional[Timer] = None
        self.rewrite_at = 1 << 63  # bytes
        self.on_growth: Callable[[], None] = lambda: None
        self.on_operations: Callable[[int], None] = lambda count: None  # told how many there were
        self.on_state: Callable[[], Any] = lambda: None  # whether writes are to be refused may have changed
        self.on_synced: List[Callable[[int], None]] = []  # told of each new `synced`
        self.config.on_change("appendfsync", self.follow_policy)
        self.config.on_change("aof-timestamp-enabled", self.follow_timestamps)

    def follow_timestamps(self, config: Config) -> Optional[str]:
        self.encoder.timestamps = config.aof_timestamp_enabled
        return None

    def follow_policy(self, config: Config) -> Optional[str]:
        """`appendfsync` changed: what was written so far is synced under the new rule."""
        if self.descriptor >= 0:
            self.flush(forced=True)
            if config.appendfsync == "always":
                self.sync_now()
            elif config.appendfsync == "everysec":
                self.plan_sync()
        return None

    # Records ---------------------------------------------------------------------------------------------------

    def feed(self, number: int, argv: Sequence[bytes]) -> None:
        """Take an operation; it is encoded with all others of the turn."""
        self.run_of(number).append(argv)

    def run_of(self, number: int) -> List[Operation]:
        """What takes the operations on one database until another is named or the turn ends."""
        runs = self.runs
        if not runs or runs[-1][0] != number:
            runs.append((number, []))
        return runs[-1][1]

    @property
    def database(self) -> int:
        """The one that the log is in, or NO_DATABASE."""
        for number, operations in reversed(self.runs):
            if operations:
                return number
        return self.encoder.database

    def step(self) -> None:
        """Before the replies of a turn are written."""
        if self.runs or self.buffer:
            self.flush()

    def encode(self) -> None:
        """Turn the records into bytes."""
        runs, self.runs = self.runs, []
        now_ms = self.services.keyspace.clock.now_ms
        count = 0
        for number, operations in runs:
            if operations:
                count += len(operations)
                data = self.encoder.encode_all(number, operations, now_ms)
                self.buffer.append(data)
                self.buffered += len(data)
                self.fed += len(data)
        if count:
            self.on_operations(count)

    def discard(self) -> None:
        """Forget what is not written: it belongs to no file any more."""
        self.runs = []
        self.buffer.clear()
        self.buffered = 0

    # Writing ---------------------------------------------------------------------------------------------------

    def flush(self, forced: bool = False) -> bool:
        """Write what has come in; False if something is left: the disk is busy or broken."""
        self.encode()
        if not self.buffer or self.descriptor < 0:
            return True
        policy = self.config.appendfsync
        if policy == "everysec" and self.thread.is_busy and not forced and self.is_worth_waiting():
            return False
        self.postponed_s = 0.0
        began_ns = perf_counter_ns()
        if self.pause_s:
            sleep(self.pause_s)
        write_ns = perf_counter_ns()
        is_written = self.write()
        ended_ns = perf_counter_ns()
        self.services.stats.log_writes_ns += ended_ns - began_ns
        if self.services.latency.threshold_ms:
            self.note_latency((ended_ns - write_ns) // 1_000_000)
        if not is_written:
            return False
        if policy == "always":
            self.sync_now()
        elif policy == "everysec" and self.sync_timer is None:
            self.plan_sync()
        if self.current_size >= self.rewrite_at:
            self.on_growth()
        return True

    def note_latency(self, took_ms: int) -> None:
        """What the write took, for each of the circumstances that the monitor tells apart."""
        if self.thread.is_busy:
            circumstance = b"aof-write-pending-fsync"
        elif self.children.is_active():
            circumstance = b"aof-write-active-child"
        else:
            circumstance = b"aof-write-alone"
        self.services.latency.add(circumstance, took_ms)
        self.services.latency.add(b"aof-write", took_ms)

    def is_worth_waiting(self) -> bool:
        """The thread syncs: writing now would wait for it, so it is put off, but not for long."""
        now_s = monotonic()
        if not self.postponed_s:
            self.postponed_s = now_s
            self.services.timers.at(now_s + POSTPONE_S, self.step)
            return True
        if now_s - self.postponed_s < POSTPONE_S:
            return True
        self.delayed_syncs += 1
        self.log.notice(
            "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without waiting for "
            "fsync to complete, this may slow down Redis."
        )
        return False

    def write(self) -> bool:
        """Hand the buffer to the system; False if it would not take all of it."""
        data = self.buffer[0] if len(self.buffer) == 1 else b"".join(self.buffer)
        done = 0
        view = memoryview(data)
        try:
            while done < len(data):
                done += os.write(self.descriptor, view[done:] if done else data)
        except OSError as error:
            self.note_write_error(error, data, done)
            return False
        self.buffer.clear()
        self.buffered = 0
        self.written += done
        self.current_size += done
        if self.write_error:
            self.log.warning("AOF write error looks solved. The server can write again.")
            self.write_error = 0
            self.on_state()
        return True

    def note_write_error(self, error: OSError, data: bytes, done: int) -> None:
        """Keep what is not written, whole: a record cut in two would end the log for its readers."""
        now_s = monotonic()
        if now_s - self.complained_s >= COMPLAIN_EVERY_S:
            self.complained_s = now_s
            if done:
                self.log.warning(
                    "Short write while writing to the AOF file: (nwritten=%d, expected=%d)" % (done, len(data))
                )
            self.log.warning("Error writing to the AOF file: %s" % error.strerror)
        if self.config.appendfsync == "always":
            self.log.warning("Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...")
            end_process()
        if done:
            try:
                size = os.lseek(self.descriptor, 0, os.SEEK_END)
                os.ftruncate(self.descriptor, size - done)
                done = 0
            except OSError as failure:
                self.log.warning(
                    "Could not remove short write from the append-only file. Redis may refuse to load the AOF the next "
                    "time it starts. ftruncate: %s" % failure.strerror
                )
        self.written += done
        self.current_size += done
        self.buffer = [data[done:]]
        self.buffered = len(data) - done
        self.write_error = error.errno or EIO
        self.on_state()
        if self.retry_timer is None:
            self.retry_timer = self.services.timers.at(now_s + RETRY_S, self.retry)

    def retry(self) -> None:
        """A second after a failed write or sync."""
        self.retry_timer = None
        if self.state == OFF:
            return
        if self.write_error:
            self.flush(forced=True)
        if self.sync_error:
            self.request_sync()

    def blocks_writes(self) -> int:
        """The error number for which writes are refused, or 0."""
        return (self.write_error or self.sync_error) if self.state == ON else 0

    # Syncing ---------------------------------------------------------------------------------------------------

    def sync_now(self) -> None:
        """Sync before anything is acknowledged, or end the process."""
        try:
            self.services.latency.timed(b"aof-fsync-always", sync_data, self.descriptor)
        except OSError as error:
            self.log.warning(
                "Can't persist AOF for fsync error when the AOF fsync policy is 'always': %s. Exiting..."
                % error.strerror
            )
            end_process()
        self.note_synced(self.written)

    def plan_sync(self) -> None:
        """Have the thread sync what was written, a second after the last time."""
        if self.sync_timer is None and self.written > self.synced:
            self.sync_timer = self.services.timers.at(max(monotonic(), self.requested_s + 1.0), self.sync_if_due)

    def sync_if_due(self) -> None:
        self.sync_timer = None
        if self.descriptor < 0 or self.config.appendfsync != "everysec" or self.written <= self.synced:
            return
        if self.config.no_appendfsync_on_rewrite and self.children.is_active():
            self.requested_s = monotonic()
            self.plan_sync()
        elif not self.thread.is_busy:  # else `after_sync` plans the next one
            self.request_sync()

    def request_sync(self) -> None:
        if self.descriptor < 0:
            return
        self.requested_s = monotonic()
        try:
            descriptor = os.dup(self.descriptor)
        except OSError as error:
            self.after_sync(self.written, error.errno or EIO)
            return
        self.thread.request(descriptor, self.written)

    def after_sync(self, offset: int, number: int) -> None:
        """The thread has synced, or could not."""
        if number:
            if not self.sync_error:
                self.log.warning("Fail to fsync the AOF file: %s" % os.strerror(number))
            self.sync_error = number
            self.on_state()
            if self.retry_timer is None:
                self.retry_timer = self.services.timers.at(monotonic() + RETRY_S, self.retry)
            return
        if self.sync_error:
            self.sync_error = 0
            self.on_state()
        self.note_synced(offset)
        if self.config.appendfsync == "everysec":
            self.plan_sync()

    def note_synced(self, offset: int) -> None:
        if offset > self.synced:
            self.synced = offset
            for call in self.on_synced:
                call(offset)

    # Files -----------------------------------------------------------------------------------------------------

    def switch_to(self, descriptor: int) -> None:
        """Go on in another file; the one written so far is synced and closed."""
        self.flush(forced=True)
        previous, self.descriptor = self.descriptor, descriptor
        self.encoder.restart()
        if previous >= 0:
            if self.config.appendfsync == "always":
                os.close(previous)  # all of it is synced
            else:
                self.thread.request(previous, self.written)

    def rename(self, path: bytes, target: bytes) -> None:
        """Give the file that is written another name. Raises OSError."""
        if sys.platform != "win32":
            os.replace(path, target)
            return
        # There an open file keeps its name.
        self.flush(forced=True)
        os.close(self.descriptor)
        self.descriptor = -1
        os.replace(path, target)
        self.descriptor = open_log(target, 0)

    def open_increment(self) -> None:
        """Start an increment that the manifest names. Raises OSError; then everything is as it was."""
        files = self.files
        manifest = files.manifest.copy()
        part = manifest.add_increment(files.prefix)
        descriptor = open_log(files.part_path(part), os.O_TRUNC)
        try:
            files.write(manifest)
        except OSError:
            os.close(descriptor)
            raise
        self.switch_to(descriptor)

    def reopen_increment(self) -> None:
        """Go on in the last increment at start, or begin the first. Raises OSError."""
        files = self.files
        if files.manifest.increments:
            part = files.manifest.increments[-1]
            self.switch_to(open_log(files.part_path(part), 0))
            self.log.notice("Opening AOF incr file %s on server start" % shown(part.name))
        else:
            name = files.manifest.copy().add_increment(files.prefix).name
            self.log.notice("Creating AOF incr file %s on server start" % shown(name))
            self.open_increment()

    def measure(self) -> None:
        """Know the size of all files after they were loaded or rewritten."""
        self.current_size = sum(map(self.files.size_of, self.files.manifest.parts()))
        self.plan_rewrite()

    def plan_rewrite(self, config: Optional[Config] = None) -> Optional[str]:
        """Know from which size on the log is worth rewriting."""
        percentage = self.config.auto_aof_rewrite_percentage
        if not percentage or self.state != ON:
            self.rewrite_at = 1 << 63
        else:
            base = self.base_size or 1
            self.rewrite_at = max(self.config.auto_aof_rewrite_min_size + 1, base + (base * percentage + 99) // 100)
        return None

    def activate(self) -> None:
        """Receive what is propagated from the next unit of work on."""
        sinks = self.services.dispatch.propagation.sinks
        if self not in sinks:
            sinks.append(self)
        if not self.services.dispatch.depth:
            self.services.dispatch.refresh_recording()

    def deactivate(self) -> None:
        """Write and sync what has come, then hear no more."""
        sinks = self.services.dispatch.propagation.sinks
        if self in sinks:
            sinks.remove(self)
        self.flush(forced=True)
        self.discard()
        if self.descriptor >= 0:
            try:
                sync_data(self.descriptor)
                self.note_synced(self.written)
            except OSError as error:
                self.log.warning("Fail to fsync the AOF file: %s" % error.strerror)
            os.close(self.descriptor)
            self.descriptor = -1
        self.write_error = self.sync_error = 0
        self.state = OFF
        self.plan_rewrite()
        self.on_state()

    def stop(self, flags: int) -> Optional[str]:
        """A step of the server's end: everything reaches the disk."""
        if self.children.is_active(REWRITE):
            self.log.warning("There is a child rewriting the AOF. Killing it!")
            self.children.kill_rewrite()
        if self.state == OFF or self.descriptor < 0:
            return None
        self.flush(forced=True)
        self.log.notice("Calling fsync() on the AOF file.")
        try:
            sync_data(self.descriptor)
            self.note_synced(self.written)
        except OSError as error:
            self.log.warning("Fail to fsync the AOF file: %s." % error.strerror)
        return None


def open_log(path: bytes, flags: int) -> int:
    """A descriptor that appends to the file. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | OPEN_FLAGS | flags, 0o644)


def end_process() -> None:
    """Nothing may be acknowledged any more: the replies of this turn are not sent."""
    sys.stdout.flush()
    os._exit(1)
