"""Receiving a snapshot from the master: its frame, a file or none, and the one loader.

The frame is `$<length>` or `$EOF:<mark>`; whatever follows the snapshot in the same bytes is handed back. By default
the snapshot is written to a file first, so that a link that breaks costs nothing, then loaded from there in slices;
with `repl-diskless-load` it is loaded as it arrives, into the emptied keyspace, or beside the old data, which stays if
the link breaks, and is served meanwhile if the new data is a later state of the same history.

Nothing here waits: pieces come from the link or from a timer.
"""

from __future__ import annotations

import os
from time import monotonic, time

from server.disk import remove, sync, sync_data, sync_directory, write_all
from server.log import shown
from storage.errors import CommandError
from storage.rdb.corrupt import CorruptData
from storage.rdb.reader import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional

    from server.replication.service import Replication
    from server.timers import Timer
    from storage.keyspace import Keyspace

MARK_BYTES = 40
PIECE_BYTES = 256 * 1024
SYNC_EVERY_BYTES = 8 << 20
BUDGET_S = 0.02


class TransferFailure(Exception):
    """The snapshot cannot be had; the text is for the log."""


class Frame:
    """Where the snapshot ends in the bytes that come. `header` is the line without its end."""

    __slots__ = ("mark", "left", "size", "_tail")

    def __init__(self, header: bytes) -> None:
        self.mark = b""
        self.left = -1
        self.size = -1  # of the whole, -1 if unknown
        self._tail = b""  # bytes that may be the beginning of the mark
        if header.startswith(b"$EOF:") and len(header) >= 5 + MARK_BYTES:
            self.mark = header[5 : 5 + MARK_BYTES]
        elif header.startswith(b"$") and header[1:].isdigit():
            self.left = self.size = int(header[1:])
        else:
            raise TransferFailure(
                "Bad protocol from MASTER, the first byte is not '$' (we received '%s'), are you sure the host and "
                "port are right?" % header[:64].decode("latin-1")
            )

    def split(self, data: bytes) -> tuple[bytes, Optional[bytes]]:
        """The part of the snapshot that is certain, and what follows the snapshot once it is whole, else None."""
        if not self.mark:
            part = data[: self.left]
            self.left -= len(part)
            return part, (data[len(part) :] if not self.left else None)
        data = self._tail + data
        end = data.find(self.mark)
        if end >= 0:
            self._tail = b""
            return data[:end], data[end + MARK_BYTES :]
        safe = max(0, len(data) - MARK_BYTES + 1)
        self._tail = data[safe:]
        return data[:safe], None


class Transfer:
    """One snapshot on its way. `on_loaded(facts, rest)` when the data set is the master's."""

    def __init__(
        self,
        replication: Replication,
        header: bytes,
        identity: bytes,
        on_loaded: Callable[[Dict[bytes, bytes], bytes], None],
    ) -> None:
        """`identity`: the history that the snapshot is of. Raises TransferFailure."""
        self.replication = replication
        self.services = replication.services
        self.log = replication.services.log
        self.frame = Frame(header)
        self.on_loaded = on_loaded
        self.received = 0
        self.file: Any = None
        self.path = b""
        self.kept = b""  # the file as this server's snapshot
        self.unsynced = 0
        self.reader: Optional[Reader] = None
        self.beside: Optional[Keyspace] = None  # the new data, while the old one is served
        self.functions: List[bytes] = []  # beside it: sources
        self.is_whole = False
        self.rest: List[bytes] = []  # of the stream, received with the snapshot's end
        self.is_over = False
        self.timer: Optional[Timer] = None
        config = self.services.config
        mode = config.repl_diskless_load
        how = "disk"
        self.is_aside = False  # the old data is served meanwhile: an earlier state of the same history
        if mode == "swapdb":
            how = "parser"
            self.beside = self.services.keyspace.beside()
            self.is_aside = identity == replication.history.id
        elif mode == "on-empty-db" and not len(self.services.keyspace):
            how = "parser"
        if self.frame.mark:
            self.log.notice("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to %s" % how)
        else:
            self.log.notice(
                "MASTER <-> REPLICA sync: receiving %d bytes from master to %s" % (self.frame.size, how)
            )
        if how == "disk":
            self.path = os.path.join(config.dir, b"temp-%d.%d.rdb" % (int(time()), os.getpid()))
            try:
                self.file = open(self.path, "w+b", buffering=0)
            except OSError as error:
                raise TransferFailure(
                    "Opening the temp file needed for MASTER <-> REPLICA synchronization: %s" % error.strerror
                ) from None
        else:
            self.begin_loading()

    # Receiving -------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes from the link. Raises TransferFailure."""
        if self.is_whole:
            self.rest.append(data)
            return
        self.received += len(data)
        part, rest = self.frame.split(data)
        if rest is not None:
            self.is_whole = True
            if rest:
                self.rest.append(rest)
        if self.file is not None:
            self.store(part)
        else:
            self.load(part)
            if self.is_whole:
                self.finish_stream()

    def store(self, part: bytes) -> None:
        """Write to the file; when it is whole it becomes this server's own snapshot, and is loaded from there."""
        try:
            write_all(self.file, part)
            self.unsynced += len(part)
            if self.unsynced >= SYNC_EVERY_BYTES:
                self.unsynced = 0
                sync_data(self.file.fileno())
            if not self.is_whole:
                return
            sync(self.file.fileno())
        except OSError as error:
            raise TransferFailure(
                "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA "
                "synchronization: %s" % error.strerror
            ) from None
        self.keep_file()
        self.begin_loading()
        self.load_later()

    def keep_file(self) -> None:
        """The file becomes this server's own snapshot: restarted, it goes on from there. Raises TransferFailure."""
        children = self.services.children
        if children.current is not None and children.is_saving():
            self.log.notice(
                "Replica is about to load the RDB file received from the master, but there is a pending RDB child "
                "running. Killing process %d and removing its temp file to avoid any race" % children.current.pid
            )
            children.kill_and_wait()
        config = self.services.config
        target = os.path.join(config.dir, config.dbfilename)
        try:
            self.file.close()  # an open file keeps its name on Windows
            os.replace(self.path, target)
            self.path = b""
            self.file = open(target, "rb", buffering=0)
        except OSError as error:
            raise TransferFailure(
                "Failed trying to rename the temp DB into %s in MASTER <-> REPLICA synchronization: %s"
                % (shown(config.dbfilename), error.strerror)
            ) from None
        try:
            sync_directory(config.dir)
        except OSError as error:
            raise TransferFailure(
                "Failed trying to sync DB directory %s in MASTER <-> REPLICA synchronization: %s"
                % (shown(config.dir), error.strerror)
            ) from None
        self.kept = target

    def forget_file(self) -> None:
        """A server that is told to persist nothing may be told to leave no snapshot either."""
        config = self.services.config
        if self.kept and config.rdb_del_sync_files and not config.save and not config.appendonly:
            self.log.notice("Removing the RDB file obtained from the master. This replica has persistence disabled")
            remove(self.kept)

    # Loading ---------------------------------------------------------------------------------------------------

    def begin_loading(self) -> None:
        """From here on the old data is gone, unless the new one is built beside it."""
        services = self.services
        size = self.frame.size if self.frame.size >= 0 else self.received
        loader = services.loader
        if self.beside is None:
            self.replication.before_load()
            self.replication.on_full_sync()
            self.log.notice("MASTER <-> REPLICA sync: Flushing old data")
            self.empty()
        self.log.notice("MASTER <-> REPLICA sync: Loading DB in memory")
        if self.is_aside:
            loader.begin_aside(size)
        else:
            loader.begin(size)
        loader.replication = {}
        from server.loading import Sink

        self.sink = Sink(loader, drops_lapsed=False)
        if self.beside is not None:
            self.sink.keyspace = self.beside
            self.sink.select(0)
            kept = self.functions
            self.sink.take_function = lambda source, replaces: kept.append(source)
        keyspace = services.keyspace
        self.reader = Reader(
            self.sink,
            keyspace.limits,
            services.config.rdbchecksum,
            len(keyspace.databases),
            self.frame.size if self.frame.size >= 0 else None,
        )

    def empty(self) -> None:
        """What is here goes, the functions with it."""
        self.services.functions.flush()
        self.replication.empty_keyspace()

    def load_later(self) -> None:
        self.timer = self.services.timers.at(monotonic(), self.load_slice)

    def load_slice(self) -> None:
        """Load from the file for a while, then let the loop turn."""
        if self.is_over:
            return
        ends_s = monotonic() + BUDGET_S
        try:
            while True:
                part = self.file.read(PIECE_BYTES)
                if not part:
                    self.finish_stream()
                    return
                loaded = self.sink.loaded
                self.load(part)
                delay_s = self.delay_s(self.sink.loaded - loaded)
                if delay_s:
                    self.timer = self.services.timers.at(monotonic() + delay_s, self.load_slice)
                    return
                if monotonic() > ends_s:
                    self.load_later()
                    return
        except (TransferFailure, OSError) as error:
            self.replication.on_transfer_failed(str(error))

    def delay_s(self, keys: int) -> float:
        """`key-load-delay`: microseconds a key, or one microsecond each so many keys."""
        delay = self.services.config.key_load_delay
        return (keys * delay if delay >= 0 else keys / -delay) / 1e6

    def load(self, part: bytes) -> None:
        assert self.reader is not None
        if not part:
            return
        try:
            self.reader.feed(part)
        except CorruptData as error:
            raise TransferFailure("Failed trying to load the MASTER synchronization DB: %s" % error) from None
        self.services.loader.loaded_bytes = self.reader.offset()

    def finish_stream(self) -> None:
        """All bytes of the snapshot were parsed: make it the data set."""
        assert self.reader is not None
        libraries = self.services.functions.beside()
        try:
            self.reader.close()
            for source in self.functions:
                libraries.load(source, False)
        except CorruptData as error:
            raise TransferFailure("Failed trying to load the MASTER synchronization DB: %s" % error) from None
        except CommandError as error:
            raise TransferFailure("Failed loading library: %s" % shown(error.text)) from None
        facts = dict(self.services.loader.replication)
        self.close()
        self.log.notice("Done loading RDB, keys loaded: %d, keys expired: %d." % (self.sink.loaded, self.sink.lapsed))
        if self.beside is not None:
            self.replication.before_load()
            self.replication.on_full_sync()
            self.log.notice("MASTER <-> REPLICA sync: Swapping active DB with loaded DB")
            self.replication.empty_keyspace()
            self.services.keyspace.take_over(self.beside)
            self.services.functions.take_over(libraries)
            self.log.notice("MASTER <-> REPLICA sync: Discarding old DB in background")
        self.services.loader.last_loaded = self.sink.loaded
        self.services.loader.last_lapsed = self.sink.lapsed
        rest, self.rest = b"".join(self.rest), []
        self.on_loaded(facts, rest)

    def abandon(self) -> None:
        """The link broke, or the snapshot is no good: what was loaded of it goes."""
        if self.is_over:
            return
        reader = self.reader
        if reader is not None:
            if not self.is_whole:
                self.log.warning("Short read or OOM loading DB. Unrecoverable error, aborting now.")
                self.log.warning(
                    "Internal error in RDB reading offset %d, function at transfer.py -> Unexpected EOF reading RDB "
                    "file. Failure loading rdb format from socket, assuming connection error, resuming operation."
                    % reader.offset()
                )
            self.log.warning(
                "Failed trying to load the MASTER synchronization DB from %s, check server logs."
                % ("socket" if self.file is None else "disk")
            )
        self.close()
        if self.beside is not None:
            self.log.notice("MASTER <-> REPLICA sync: Discarding temporary DB in background")
        elif reader is not None:
            self.empty()

    def close(self) -> None:
        self.is_over = True
        if self.timer is not None:
            self.timer.cancel()
        if self.file is not None:
            self.file.close()
            if self.path:
                remove(self.path)
        self.forget_file()
        if self.reader is not None:
            loader = self.services.loader
            if self.is_aside:
                loader.end_aside()
            elif loader.is_loading:
                loader.end()
