"""MIGRATE: keys go to another server without anybody waiting but the client who asked.

A transfer is a small state machine on a non-blocking socket that the loop watches. The values are taken when it begins;
a key that changes before the other side has confirmed it stays here and the client is told, since deleting it would
lose the change. Inside EXEC, where no command may be put off, the same machine is driven to its end at once.

A connection over which everything was answered is kept for a while, since keys often go one by one. Should it turn out
to be dead before the other side has said a word, the transfer begins anew over another one.
"""

from __future__ import annotations

import selectors
import socket
from errno import EAGAIN, EINPROGRESS, EWOULDBLOCK
from time import monotonic

from server.resolving import look_up, places_of
from server.socket_options import shut_down
from storage.aof.records import encode_record
from storage.events import FLUSHED, SWAPPED
from storage.numeric import leading_int
from storage.rdb import payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

    from server.reactor import Reactor
    from server.resolving import Lookup, Place
    from server.services import Services
    from server.session import Session
    from server.timers import Timer

CANNOT_CONNECT = b"IOERR error or timeout connecting to the client"
CANNOT_WRITE = b"IOERR error or timeout writing to target instance"
CANNOT_READ = b"IOERR error or timeout reading to target instance"
CHANGED = b"IOERR a key changed while it was being migrated and was kept here, try again"
PASSING = (EAGAIN, EWOULDBLOCK, EINPROGRESS)
SEND_BYTES = 256 * 1024
IDLE_S = 10.0  # as in Redis
MAX_IDLE = 64


class MigrationRequest:
    """What a client asked for."""

    __slots__ = ("host", "port", "keys", "number", "timeout_s", "copies", "replaces", "credentials")

    def __init__(self, host: bytes, port: bytes, keys: Sequence[bytes], number: int, timeout_s: float) -> None:
        self.host = host
        self.port = port
        self.keys = keys
        self.number = number  # of the database there
        self.timeout_s = timeout_s
        self.copies = False
        self.replaces = False
        self.credentials: Tuple[bytes, ...] = ()

    def place(self) -> Tuple[str, int]:
        """Host and port. Raises ValueError."""
        return self.host.decode("ascii"), leading_int(self.port)


class Transfer:
    """One request under way. Also the listener that hears of changes to its keys."""

    def __init__(self, migration: Migration, session: Session, request: MigrationRequest) -> None:
        self.migration = migration
        self.services = migration.services
        self.session = session
        self.request = request
        self.block: Any = None
        self.reply: Any = None  # set at the end: b"" for OK, an error text otherwise
        self.is_over = False
        self.deadline_s = monotonic() + request.timeout_s
        self.preamble = 0  # replies before those of the keys
        self.keys: List[bytes] = []
        self.touched: Set[bytes] = set()
        self.answered = 0
        self.failure = b""  # the first error the other side answered with
        self.moved: List[bytes] = []
        self.input = b""
        self.is_connected = False
        self.is_reused = False  # the connection was kept from another transfer, and nothing came over it since
        self.encoded = self.encode()
        self.output = memoryview(self.encoded)
        self.socket: Any = None
        self.timer: Optional[Timer] = None
        self.lookup: Optional[Lookup] = None

    def encode(self) -> bytes:
        """Everything that is sent; keys that are not here are left out."""
        request = self.request
        db = self.session.db
        config = self.services.config
        now_ms = self.services.keyspace.clock.now_ms
        parts = []
        if request.credentials:
            parts.append(encode_record((b"AUTH",) + request.credentials))
        parts.append(encode_record((b"SELECT", b"%d" % request.number)))
        self.preamble = len(parts)
        for key in request.keys:
            value = db.peek(key)
            if value is None:
                continue
            deadline_ms = db.deadline_ms(key)
            ttl_ms = 0 if deadline_ms is None else max(1, deadline_ms - now_ms)
            body = payload.dump(
                value, self.services.keyspace.limits, config.rdb_target_version, config.rdbcompression
            )
            command = (b"RESTORE", key, b"%d" % ttl_ms, body)
            parts.append(encode_record(command + (b"REPLACE",) if request.replaces else command))
            self.keys.append(key)
        return b"".join(parts)

    # Changes meanwhile -----------------------------------------------------------------------------------------

    def note(self, db: Any, key: Optional[bytes], event: Any, session: Any) -> None:
        if db is self.session.db:
            if key is not None:
                self.touched.add(key)
            elif event is FLUSHED or event is SWAPPED:
                self.touched.update(self.keys)

    # The machine -----------------------------------------------------------------------------------------------

    def connect(self, places: Sequence[Place]) -> None:
        """Begin to connect; ends the transfer where that fails at once."""
        try:
            family, kind, protocol, _, address = places[0]
            self.socket = socket.socket(family, kind, protocol)
            self.socket.setblocking(False)
            number = self.socket.connect_ex(address)
        except (OSError, OverflowError, IndexError):
            self.end(CANNOT_CONNECT)
            return
        if number not in (0, EINPROGRESS, EWOULDBLOCK):
            self.end(CANNOT_CONNECT)

    def adopt(self, sock: Any) -> None:
        """Go over a connection that was kept."""
        self.socket = sock
        self.is_connected = self.is_reused = True

    def lose(self, text: bytes) -> None:
        """The connection is dead: that is the end, unless it may just have been kept for too long."""
        if self.is_reused:
            self.is_connected = self.is_reused = False
            self.output = memoryview(self.encoded)
            self.migration.begin_anew(self)
        else:
            self.end(text)

    def is_answered(self) -> bool:
        """Everything sent was answered, and no more."""
        return self.is_connected and not self.preamble and self.answered == len(self.keys) and not self.input

    def wants_write(self) -> bool:
        return not self.is_connected or bool(self.output)

    def proceed(self) -> None:
        """The socket is ready for something: send and receive what can be."""
        if self.is_over:
            return
        if not self.is_connected:
            if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.end(CANNOT_WRITE)  # Redis learns of a refused connection when it writes.
                return
            self.is_connected = True
            self.deadline_s = monotonic() + self.request.timeout_s
        try:
            if self.output:
                self.output = self.output[self.socket.send(self.output[:SEND_BYTES]) :]
                self.deadline_s = monotonic() + self.request.timeout_s
        except OSError as error:
            if error.errno not in PASSING:
                self.lose(CANNOT_WRITE)
                return
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            if error.errno not in PASSING:
                self.lose(CANNOT_READ)
            return
        if not data:
            self.lose(CANNOT_READ)
            return
        self.is_reused = False
        self.deadline_s = monotonic() + self.request.timeout_s
        self.take_replies(data)

    def take_replies(self, data: bytes) -> None:
        """Every answer is one line: a status or an error."""
        lines = (self.input + data).split(b"\r\n")
        self.input = lines.pop()
        for line in lines:
            if self.preamble:
                self.preamble -= 1
                if not line.startswith(b"+"):
                    self.end(b"ERR Target instance replied with error: " + line[1:])
                    return
                continue
            if self.answered == len(self.keys):
                break
            key = self.keys[self.answered]
            self.answered += 1
            if line.startswith(b"+"):
                self.moved.append(key)
            elif not self.failure:
                self.failure = b"ERR Target instance replied with error: " + line[1:]
        if not self.preamble and self.answered == len(self.keys):
            self.end(self.failure)

    def end(self, text: bytes) -> None:
        """The transfer is over: delete what is there now, answer. `text` is the error, or empty."""
        if self.is_over:
            return
        self.is_over = True
        self.migration.release(self)
        if not self.request.copies and self.moved:
            gone = [key for key in self.moved if key not in self.touched]
            if len(gone) < len(self.moved) and not text:
                text = CHANGED
            self.delete(gone)
        self.reply = text
        self.migration.answer(self)

    def delete(self, keys: Sequence[bytes]) -> None:
        db = self.session.db
        deleted = [key for key in keys if db.delete(key)]
        if deleted:
            argv = (b"DEL",) + tuple(deleted)
            if self.block is None:
                self.session.propagate_as(*argv)
            else:
                self.services.dispatch.settle(self.session, None, argv)
                self.services.dispatch.after_unit()


class Migration:
    """All transfers."""

    def __init__(self, services: Services, reactor: Reactor) -> None:
        self.services = services
        self.reactor = reactor
        self.transfers: List[Transfer] = []
        self.idle: Dict[Tuple[bytes, bytes], Tuple[Any, Any]] = {}  # connections that are kept, and their timers

    def run_now(self, session: Session, request: MigrationRequest) -> Any:
        """Do it while everybody waits; returns the error text, or b""."""
        transfer = Transfer(self, session, request)
        kept = self.borrow(request)
        if kept is not None:
            transfer.adopt(kept)
        else:
            self.connect_now(transfer)
        while not transfer.is_over:
            left_s = transfer.deadline_s - monotonic()
            if left_s <= 0:
                self.time_out(transfer)
                break
            with selectors.DefaultSelector() as selector:  # `select.select` takes no descriptors from 1024 on
                writes = selectors.EVENT_WRITE if transfer.wants_write() else 0
                selector.register(transfer.socket, selectors.EVENT_READ | writes)
                is_ready = bool(selector.select(left_s))
            if is_ready:
                transfer.proceed()
        return transfer.reply

    def connect_now(self, transfer: Transfer) -> None:
        try:
            transfer.connect(places_of(*transfer.request.place()))
        except (OSError, ValueError):
            transfer.end(CANNOT_CONNECT)

    def begin(self, session: Session, request: MigrationRequest, block: Any) -> None:
        """Begin a transfer; `block`, which the session waits in, is answered at its end."""
        transfer = Transfer(self, session, request)
        transfer.block = block
        self.transfers.append(transfer)
        self.services.dispatch.listen(transfer)
        # From the next turn on: by then the session waits.
        transfer.timer = self.services.timers.at(monotonic(), lambda: self.start(transfer))

    def start(self, transfer: Transfer) -> None:
        self.watch_time(transfer)
        kept = self.borrow(transfer.request)
        if kept is not None:
            transfer.adopt(kept)
            self.register(transfer)
        else:
            self.find(transfer)

    def begin_anew(self, transfer: Transfer) -> None:
        """Over a fresh connection."""
        self.close(transfer.socket)
        transfer.socket = None
        if transfer.block is None:
            self.connect_now(transfer)
        else:
            self.find(transfer)

    def find(self, transfer: Transfer) -> None:
        """Look up where it goes, then connect."""
        try:
            host, port = transfer.request.place()
        except ValueError:
            transfer.end(CANNOT_CONNECT)
            return
        transfer.lookup = look_up(self.reactor, host, port, lambda places, error: self.connect(transfer, places))

    def connect(self, transfer: Transfer, places: Sequence[Place]) -> None:
        transfer.connect(places)
        if not transfer.is_over:
            self.register(transfer)

    def register(self, transfer: Transfer) -> None:
        self.reactor.selector.register(
            transfer.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, lambda: self.proceed(transfer)
        )

    def proceed(self, transfer: Transfer) -> None:
        sock = transfer.socket
        wanted_write = transfer.wants_write()
        transfer.proceed()
        if transfer.is_over or transfer.socket is not sock:
            return
        if wanted_write and not transfer.wants_write():
            self.reactor.selector.modify(transfer.socket, selectors.EVENT_READ, lambda: self.proceed(transfer))

    def watch_time(self, transfer: Transfer) -> None:
        if transfer.is_over:
            return
        if monotonic() >= transfer.deadline_s:
            self.time_out(transfer)
            return
        transfer.timer = self.services.timers.at(transfer.deadline_s, lambda: self.watch_time(transfer))

    def time_out(self, transfer: Transfer) -> None:
        """The other side has been silent for too long."""
        if not transfer.is_connected:
            transfer.end(CANNOT_CONNECT)
        else:
            transfer.end(CANNOT_WRITE if transfer.output else CANNOT_READ)

    def release(self, transfer: Transfer) -> None:
        """Close and forget."""
        if transfer in self.transfers:
            self.transfers.remove(transfer)
        self.services.dispatch.unlisten(transfer)
        if transfer.timer is not None:
            transfer.timer.cancel()
        if transfer.lookup is not None:
            transfer.lookup.cancel()
        if transfer.socket is None:
            return
        if transfer.is_answered():
            self.keep(transfer.request, transfer.socket)
        else:
            self.close(transfer.socket)

    # Connections that are kept ---------------------------------------------------------------------------------

    def keep(self, request: MigrationRequest, sock: Any) -> None:
        """Keep a connection for the next transfer to the same place."""
        place = (request.host, request.port)
        self.forget(place)
        if len(self.idle) >= MAX_IDLE:
            self.forget(next(iter(self.idle)))
        self.leave(sock)
        # Readable means that the other side has closed it, or says what nobody asked for.
        self.reactor.watch(sock, lambda: self.forget(place))
        self.idle[place] = (sock, self.services.timers.at(monotonic() + IDLE_S, lambda: self.forget(place)))

    def borrow(self, request: MigrationRequest) -> Any:
        """The connection that was kept for this place, or None."""
        sock, timer = self.idle.pop((request.host, request.port), (None, None))
        if sock is not None:
            timer.cancel()
            self.leave(sock)
        return sock

    def forget(self, place: Tuple[bytes, bytes]) -> None:
        sock, timer = self.idle.pop(place, (None, None))
        if sock is not None:
            timer.cancel()
            self.close(sock)

    def close(self, sock: Any) -> None:
        self.leave(sock)
        shut_down(sock)
        sock.close()

    def leave(self, sock: Any) -> None:
        """Have the loop watch it no more."""
        try:
            self.reactor.selector.unregister(sock)
        except (KeyError, ValueError):
            pass

    def answer(self, transfer: Transfer) -> None:
        """Tell the client that waits, if it still does."""
        if transfer.block is None:
            return
        from protocol.reply import OK

        blocking = self.services.blocking
        waiter = blocking.waiters.get(transfer.session)
        if waiter is None or waiter.block is not transfer.block:
            return
        took_ns = int((monotonic() - waiter.since_s) * 1e9)  # in Redis everybody waits for it: it counts as work
        if transfer.reply:
            blocking.refuse(waiter, transfer.reply, took_ns)
        else:
            blocking.answer(waiter, OK, took_ns)
