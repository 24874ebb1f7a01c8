"""The one loader: whatever brings a data set back, from a snapshot or from the log, comes through here.

Owns the state "loading": what clients may do meanwhile, how far it is, the rules a keyspace follows while it is filled
(nothing expires by itself, lapsed keys are seen by the log's commands, nothing is recorded). `Sink` takes what
storage's reader tells; a link to a master drives it piece by piece between `begin` and `end`, files are read here.
Must not know where files lie or what becomes of a server whose data cannot be loaded; it never writes one, but cuts
a log where it is told to.

Between two pieces the loop turns once (`breathe`), so that INFO and CONFIG work however long it takes, and what does
not is told so.
"""

from __future__ import annotations

import os
from time import monotonic, sleep, time

from server import admission
from server.disk import sync
from server.log import shown
from server.propagated_errors import SERVER_TO_LOG, report
from server.registry import ADMIN, BLOCKING, WRITE
from server.session import BLOCKED, Session
from storage.errors import CommandError
from storage.rdb.corrupt import CorruptData
from storage.rdb.reader import Reader
from storage.rdb.reader import Sink as SnapshotSink
from storage.types.hash import Hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, List, Optional, Sequence, Tuple

    from server.reactor import Reactor
    from server.services import Services

PIECE_BYTES = 256 * 1024
SNAPSHOT_MAGIC = (b"REDIS", b"VALKE")
NAP_S = 0.01
EMPTY_KEYS_NAMED = 10  # in the log, as in Redis
NO_SNAPSHOT = ("Wrong signature", "Can't handle RDB format version")
LOAD_FAILED = "Fatal error loading the DB, check server logs. Exiting."
WHERE_IT_ENDS = "The append only file %s makes sense up to offset %d"
CUT_IT = ". `rediselect check FILE --fix` keeps a copy of the rest and cuts it off"


class LoadFailure(Exception):
    """The data set cannot be loaded; `lines` are for the log, the last one says what follows from it."""

    def __init__(self, *lines: str) -> None:
        Exception.__init__(self, "\n".join(lines))
        self.lines = lines


class LoadStopped(Exception):
    """The server is to end while it loads."""


class Sink(SnapshotSink):
    """Fills the keyspace with what a snapshot holds. 0.6 us a key."""

    def __init__(self, loader: Loader, drops_lapsed: bool, replaces: bool = False) -> None:
        services = loader.services
        self.loader = loader
        self.log = services.log
        self.keyspace = services.keyspace
        self.drops_lapsed = drops_lapsed
        # A key or a library that is there twice: take the latter, instead of refusing the file.
        self.replaces = replaces
        self.take_function = loader.take_function
        self.uses_lfu = "lfu" in services.config.maxmemory_policy
        self.now_ms = self.keyspace.clock.now_ms
        self.stamp = self.keyspace.clock.access_stamp
        self.loaded = 0
        self.lapsed = 0
        self.empty = 0
        self.number = -1
        self.select(0)

    def select(self, number: int) -> None:
        db = self.keyspace.databases[number]
        self.number = number
        self.db = db
        self.data = db.data
        self.access = db.access
        self.lapses = db.lapses

    def header(self, version: int) -> None:
        self.loader.version = version

    def aux(self, name: bytes, value: bytes) -> None:
        text = shown(value)
        if name == b"redis-ver":
            self.log.notice("Loading RDB produced by version %s" % text)
        elif name == b"valkey-ver":
            self.log.notice("Loading RDB produced by Valkey version %s" % text)
        elif name == b"ctime" and value.isdigit():
            self.log.notice("RDB age %d seconds" % max(0, int(time()) - int(value)))
        elif name == b"used-mem" and value.isdigit():
            self.loader.used_memory = int(value)
            self.log.notice("RDB memory usage when created %.2f Mb" % (int(value) / (1 << 20)))
        elif name == b"aof-base" and value == b"1":
            self.log.notice("RDB is base AOF")
        elif name in (b"repl-id", b"repl-offset", b"repl-stream-db"):
            self.loader.replication[name] = value

    def module_aux(self, name: str) -> None:
        self.log.warning("The RDB file contains data of the module '%s', which was skipped" % name)

    def function(self, source: bytes) -> None:
        try:
            self.take_function(source, self.replaces)
        except CommandError as error:
            raise CorruptData(
                "Failed loading library, " + shown(error.text).partition(" ")[2],
                self.loader.offset(),
            ) from None

    def empty_key(self, db: int, key: bytes) -> None:
        if self.empty < EMPTY_KEYS_NAMED:
            self.log.notice("rdbLoadObject skipping empty key: %s" % shown(key))
        self.empty += 1

    def no_checksum(self) -> None:
        self.log.notice("RDB file was saved with checksum disabled: no check performed.")

    def entry(
        self,
        db: int,
        key: bytes,
        value: Any,
        deadline_ms: Optional[int],
        idle_s: Optional[int],
        freq: Optional[int],
    ) -> None:
        """Take a key: straight into the tables, since nobody listens while a snapshot is loaded."""
        if db != self.number:
            self.select(db)
        if deadline_ms is not None:
            if deadline_ms < self.now_ms and self.drops_lapsed:
                self.lapsed += 1
                if self.loader.replication:
                    self.loader.lapsed_keys.append((db, key))
                return
        data = self.data
        if key in data:
            if not self.replaces:
                raise CorruptData(
                    "RDB has duplicated key '%s' in DB %d" % (shown(key), db),
                    self.loader.offset(),
                )
            self.db.remove(key)
        if self.db.index is not None:
            self.db.index.add(key)
        data[key] = value
        self.access[key] = self.stamp
        if deadline_ms is not None:
            self.db.deadlines.set(key, deadline_ms)
        if value.__class__ is Hash and value.deadlines is not None:
            self.db.track_fields(key, value)
        if self.uses_lfu:
            if freq is not None:
                self.access[key] = self.stamp // 60 << 8 | freq
        elif idle_s is not None:
            self.access[key] = self.stamp - idle_s
        self.loaded += 1


class Loader:
    """Loads, and knows how far it is."""

    def __init__(self, services: Services, reactor: Reactor) -> None:
        self.services = services
        self.reactor = reactor
        self.log = services.log
        self.is_loading = False
        self.is_aside = False  # beside the data set, which is served
        self.started_at = 0  # seconds since the epoch
        self.began_s = 0.0
        self.total_bytes = 0
        self.loaded_bytes = 0
        self.done_bytes = 0  # of files that were finished
        self.checks_sums = True  # unless DEBUG SET-SKIP-CHECKSUM-VALIDATION says otherwise
        self.used_memory = 0
        self.version = 0
        self.replication: dict[bytes, bytes] = {}
        self.last_loaded = 0
        self.last_lapsed = 0
        self.lapsed_keys: List[Tuple[int, bytes]] = []  # that were dropped and stand in a replica's copy
        # Makes a library from its source, in place of one of the same name if that is asked for. Raises CommandError.
        self.take_function: Callable[[bytes, bool], Any] = lambda source, replaces: None
        self.offset: Callable[[], int] = lambda: 0
        self.next_breath = 0
        self.sinks: List[Any] = []

    # The state -------------------------------------------------------------------------------------------------

    def begin(self, total_bytes: int) -> None:
        """Data is about to be loaded into the keyspace."""
        services = self.services
        keyspace = services.keyspace
        self.is_loading = True
        self._count_from(total_bytes)
        self.kept_rules = (keyspace.keeps_lapsed, keyspace.hides_lapsed)
        keyspace.keeps_lapsed = True
        keyspace.hides_lapsed = False
        services.dispatch.mode |= admission.LOADING_DATA
        propagation = services.dispatch.propagation
        self.sinks, propagation.sinks = propagation.sinks, []
        services.dispatch.refresh_recording()

    def begin_aside(self, total_bytes: int) -> None:
        """Data is about to be loaded beside the data set, of which it is a later state."""
        self.is_aside = True
        self._count_from(total_bytes)
        self.services.dispatch.mode |= admission.LOADING_ASIDE

    def end_aside(self) -> None:
        self.is_aside = False
        self.services.dispatch.mode &= ~admission.LOADING_ASIDE

    def _count_from(self, total_bytes: int) -> None:
        self.started_at = int(time())
        self.began_s = monotonic()
        self.total_bytes = total_bytes
        self.loaded_bytes = self.done_bytes = 0
        self.used_memory = 0
        self.next_breath = self.services.config.loading_process_events_interval_bytes

    def end(self) -> None:
        """Loading is over, well or not."""
        services = self.services
        keyspace = services.keyspace
        keyspace.changes.clear()
        keyspace.expired_fields_log.clear()
        keyspace.keeps_lapsed, keyspace.hides_lapsed = self.kept_rules
        services.dispatch.mode &= ~admission.LOADING_DATA
        services.dispatch.propagation.sinks = self.sinks
        services.dispatch.refresh_recording()
        keyspace.alarm.due_ms = keyspace.next_deadline_ms()
        self.is_loading = False
        self.offset = lambda: 0

    def breathe(self) -> None:
        """Let the loop turn once. Raises LoadStopped when the server is to end."""
        dispatch = self.services.dispatch
        if self.reactor.stopping:
            raise LoadStopped()
        if dispatch.depth:
            return  # inside an EXEC nobody else may see a thing
        session, caller = dispatch.current, dispatch.caller
        if session is not None:
            session.halted |= BLOCKED
        try:
            self.reactor.turn(0.0)
        finally:
            dispatch.current, dispatch.caller = session, caller
            if session is not None:
                session.halted &= ~BLOCKED
        if self.reactor.stopping:
            self.log.warning("Received shutdown signal during loading, exiting now.")
            raise LoadStopped()

    def advance(self, loaded_bytes: int, keys: int) -> None:
        """State progress after a piece; breathes when it is time to."""
        self.loaded_bytes = self.done_bytes + loaded_bytes
        config = self.services.config
        delay = config.key_load_delay
        if delay > 0 and keys:
            remaining_s = keys * delay / 1e6
            while remaining_s > 0 and config.key_load_delay > 0:
                sleep(min(remaining_s, NAP_S))
                remaining_s -= NAP_S
                self.breathe()
        elif self.loaded_bytes >= self.next_breath:
            self.next_breath = self.loaded_bytes + config.loading_process_events_interval_bytes
            self.breathe()

    def remaining_s(self) -> int:
        """About how long it will still take."""
        if not self.loaded_bytes:
            return 1
        elapsed_s = monotonic() - self.began_s
        return int(elapsed_s * (self.total_bytes - self.loaded_bytes) / self.loaded_bytes)

    # Snapshots -------------------------------------------------------------------------------------------------

    def read_snapshot(self, file: BinaryIO, size: int, path: str, sink: Sink) -> bytes:
        """Read a snapshot from an open file; return what was read beyond its end. Raises LoadFailure."""
        services = self.services
        keyspace = services.keyspace
        reader = Reader(
            sink, keyspace.limits, services.config.rdbchecksum and self.checks_sums, len(keyspace.databases), size
        )
        self.offset = reader.offset
        loaded = 0
        try:
            while True:
                piece = file.read(PIECE_BYTES)
                if not piece:
                    reader.close()
                finished = reader.feed(piece)
                self.advance(reader.offset(), sink.loaded - loaded)
                loaded = sink.loaded
                if finished:
                    break
        except CorruptData as error:
            raise snapshot_failure(error, path) from None
        except OSError as error:
            raise LoadFailure("Error reading the RDB file %s: %s" % (path, error.strerror)) from None
        self.last_loaded = sink.loaded
        self.last_lapsed = sink.lapsed
        text = "Done loading RDB, keys loaded: %d, keys expired: %d" % (sink.loaded, sink.lapsed)
        self.log.notice(text + (", empty keys skipped: %d." % sink.empty if sink.empty else "."))
        return reader.rest()

    def load_snapshot(self, path: bytes, replaces: bool = False) -> bool:
        """Load a snapshot file; False if there is none. Raises LoadFailure."""
        name = whole_path(path)
        try:
            file = open(path, "rb", buffering=0)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise LoadFailure(
                "Fatal error: can't open the RDB file %s for reading: %s" % (name, error.strerror),
                LOAD_FAILED,
            ) from None
        with file:
            size = os.fstat(file.fileno()).st_size
            self.begin(size)
            try:
                sink = Sink(self, drops_lapsed=not self.kept_rules[0], replaces=replaces)
                self.read_snapshot(file, size, name, sink)
            finally:
                self.end()
        return True

    # The log ---------------------------------------------------------------------------------------------------

    def load_log_file(self, path: bytes, is_last: bool, cuts: bool) -> int:
        """Replay one file of the log, between `begin` and `end`; return its size.

        What is incomplete at the end of the last one is cut off if `cuts`. Raises LoadFailure.
        """
        from storage.aof.records import BadLog, LogReader

        name = whole_path(path)
        try:
            file = open(path, "rb", buffering=0)
        except OSError as error:
            raise LoadFailure(
                "Fatal error: can't open the append log file %s for reading: %s" % (name, error.strerror)
            ) from None
        with file:
            size = os.fstat(file.fileno()).st_size
            piece = file.read(PIECE_BYTES) or b""
            start = 0
            if piece[:5] in SNAPSHOT_MAGIC:
                self.log.notice("Reading RDB base file on AOF loading...")
                file.seek(0)
                sink = Sink(self, drops_lapsed=False)
                piece = self.read_snapshot(file, size, name, sink)
                self.replication = {}  # what follows in the log belongs to no stream's offset
                start = file.tell() - len(piece)
                if start < size:
                    self.log.notice("Reading the remaining AOF tail...")
            reader = LogReader(start, size)
            replay = Replay(self, name)
            try:
                while True:
                    replay.run(reader.feed(piece), reader)
                    self.advance(reader.size(), replay.take_count())
                    piece = file.read(PIECE_BYTES) or b""
                    if not piece:
                        break
            except BadLog as error:
                raise LoadFailure(
                    (WHERE_IT_ENDS + CUT_IT) % (name, error.offset),
                    "Bad file format reading the append only file %s: make a backup of your AOF file, then use "
                    "./redis-check-aof --fix <filename.manifest>" % os.path.basename(name),
                ) from None
            except OSError as error:
                raise LoadFailure(
                    "Unrecoverable error reading the append only file %s: %s" % (name, error.strerror)
                ) from None
            if reader.is_truncated():
                self.cut(path, reader.whole, is_last, cuts, replay.is_in_transaction)
                size = reader.whole
        self.done_bytes += size
        return size

    def cut(self, path: bytes, whole: int, is_last: bool, cuts: bool, in_transaction: bool) -> None:
        """Shorten a log that ends in the middle of something, or refuse it."""
        name = os.path.basename(whole_path(path))  # what Redis names; where it is stands in a line of its own
        if in_transaction:
            self.log.warning("Revert incomplete MULTI/EXEC transaction in AOF file %s" % name)
        if not cuts:
            raise LoadFailure(
                (WHERE_IT_ENDS + CUT_IT) % (whole_path(path), whole),
                "Unexpected end of file reading the append only file %s. You can: 1) Make a backup of your AOF file, "
                "then use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the "
                "'aof-load-truncated' configuration option to yes and restart the server." % name,
            )
        self.log.warning("!!! Warning: short read while loading the AOF file %s!!!" % name)
        self.log.warning("!!! Truncating the AOF %s at offset %d !!!" % (name, whole))
        try:
            with open(path, "r+b") as file:
                file.truncate(whole)
                sync(file.fileno())
        except OSError as error:
            raise LoadFailure("Error truncating the AOF file %s: %s" % (name, error.strerror)) from None
        self.log.warning("AOF %s loaded anyway because aof-load-truncated is enabled" % name)
        if not is_last:  # later files may build on what is missing; it is cut all the same, as in Redis
            raise LoadFailure("Fatal error: the truncated file is not the last file")


class Replay:
    """Runs the commands of a log for a session without a client. 1 us a command besides the command's own time."""

    __slots__ = ("loader", "name", "session", "dispatch", "resolve", "specs", "queued", "is_executing", "count")

    def __init__(self, loader: Loader, name: str) -> None:
        services = loader.services
        self.loader = loader
        self.name = name
        session = self.session = Session(0, services)
        session.denies_blocking = True
        session.kind = b"master"
        session.mode = admission.IS_MASTER
        self.dispatch = services.dispatch
        self.resolve = services.registry.resolve
        self.specs: dict[bytes, Any] = {}  # by the name as spelled, of commands without subcommands
        self.queued: Optional[List[Sequence[bytes]]] = None
        self.is_executing = False
        self.count = 0

    @property
    def is_in_transaction(self) -> bool:
        return self.queued is not None

    def take_count(self) -> int:
        """How many commands were run since the last call."""
        count, self.count = self.count, 0
        return count

    def run(self, vectors: Any, reader: Any) -> None:
        """Run what a piece of the log holds. Raises LoadFailure for what this server does not know."""
        specs = self.specs
        session = self.session
        changes = self.loader.services.keyspace.changes
        self.loader.services.keyspace.clock.refresh()
        for argv in vectors:
            spec = specs.get(argv[0]) or self.find(argv, reader)
            arity = spec.arity
            if len(argv) != arity and (arity > 0 or len(argv) < -arity):
                raise self.unknown(argv, reader)
            if self.queued is not None or spec.name == b"multi":
                self.take_into_transaction(spec, argv, reader)
                continue
            self.count += 1
            self.call(spec, session, argv)
            if changes:
                self.dispatch.settle(session, spec, argv)
        session.propagation = None
        if self.dispatch.listeners:
            self.dispatch.after_unit()

    def find(self, argv: Sequence[bytes], reader: Any) -> Any:
        spec = self.resolve(argv)
        if spec is None or spec.handler is None or is_never_logged(spec):
            raise self.unknown(argv, reader)
        if spec.subcommands is None and spec.parent is None:
            self.specs[argv[0]] = spec
        return spec

    def unknown(self, argv: Sequence[bytes], reader: Any) -> LoadFailure:
        return LoadFailure(
            WHERE_IT_ENDS % (self.name, reader.whole),
            "Unknown command '%s' reading the append only file %s"
            % (shown(argv[0][:128]), os.path.basename(self.name)),
        )

    def call(self, spec: Any, session: Session, argv: Sequence[bytes]) -> None:
        """Run one; an error reply ends nothing, as in Redis, a fault of this program does."""
        try:
            spec.handler(session, argv)
        except CommandError as error:
            services = self.loader.services
            services.stats.count_error(error.text)
            report(services, SERVER_TO_LOG, error.text, b"exec" if self.is_executing else spec.name)
        except Exception as error:
            raise LoadFailure(
                "Fault in %s reading the append only file %s: %r" % (spec.name.decode(), self.name, error)
            ) from None

    def take_into_transaction(self, spec: Any, argv: Sequence[bytes], reader: Any) -> None:
        """Queue what follows a MULTI: a log may end before its EXEC, and then nothing of it counts."""
        if self.queued is None:
            self.queued = []
        elif spec.name == b"multi":
            raise LoadFailure("Nested MULTI in the append only file %s at offset %d" % (self.name, reader.whole))
        elif spec.name in (b"exec", b"discard"):
            queued, self.queued = self.queued, None
            if spec.name == b"exec":
                self.is_executing = True
                for vector in queued:
                    own = self.specs.get(vector[0]) or self.find(vector, reader)
                    self.count += 1
                    self.call(own, self.session, vector)
                    if self.loader.services.keyspace.changes:
                        self.dispatch.settle(self.session, own, vector)
                self.is_executing = False
        else:
            self.queued.append(argv)


def is_never_logged(spec: Any) -> bool:
    """Whether a log that names this command was not written by a server. One for administrators may write: PFDEBUG."""
    return bool(spec.flags & BLOCKING or (spec.flags & ADMIN and not spec.flags & WRITE))


def snapshot_failure(error: CorruptData, path: str) -> LoadFailure:
    """What the log says of a snapshot that cannot be read."""
    where = "The RDB file %s cannot be read at offset %d: %s" % (path, error.offset, error.reason)
    last = "Terminating server after rdb file reading failure."
    reason = error.reason
    if reason.startswith(NO_SNAPSHOT):
        return LoadFailure(where, reason, LOAD_FAILED)
    if reason.startswith("FATAL"):
        return LoadFailure(where, reason + ". Exiting")
    lines = [where]
    if reason.startswith("Wrong RDB checksum"):
        lines.append("%s. Aborting now." % reason)
        reason = "RDB CRC error"
    elif reason == "Unexpected EOF reading RDB file":
        lines.append("Short read or OOM loading DB. Unrecoverable error, aborting now.")
    return LoadFailure(*lines, "Internal error in RDB reading offset %d -> %s" % (error.offset, reason), last)


def whole_path(path: bytes) -> str:
    """A path for the log: absolute, since the file is to be found."""
    return shown(os.path.abspath(path))
