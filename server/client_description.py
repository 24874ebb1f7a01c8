"""One client as CLIENT LIST and CLIENT INFO describe it: Redis's fields in Redis's order, with this server's values.

Owns the line's form and what its figures mean here; must not know who asks.

Of the parts that services keep on a session it reads the queued vectors, the watched keys, the names subscribed to,
and of `tracking`: `redirect` (a client id or 0), `is_broadcasting`, `is_broken` (the redirection's client is gone).
"""

from __future__ import annotations

from server import admission
from server.log import shown
from server.session import BLOCKED, CLOSING, DOOMED, PAUSED
from storage.text import c_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence

    from server.session import Session

# Session, connection, socket and parser of an idle client, measured with tracemalloc on CPython 3.11.
CLIENT_BYTES = 1100
POINTER_BYTES = 8  # what a queued argument takes besides its bytes
PREFIX_BYTES = 60
# This server keeps no buffers for clients that say nothing. Redis's would be this large, for who watches the fields
# `qbuf-free`, `rbs` and `rbp`; `tot-mem` is what is really held.
QUERY_BUFFER_BYTES = 20474
IDLE_S = 2
SHORT_NAMES = {  # of protocol errors in the log, where they are not those of the replies
    b"invalid multibulk length": b"invalid mbulk count",
    b"unbalanced quotes in request": b"unbalanced quotes in inline request",
}
PRINTABLE = bytes(byte if 32 <= byte < 127 else 46 for byte in range(256))
SHOWN_BYTES = 128
LIST_ITERATOR: type = type(iter([]))
RECENT_MS = 8000  # what INFO calls recent
EXEC = (b"EXEC",)
LARGE_INPUT_MS = 500
MIN_REPLY_BUFFER_BYTES = 1024
REPLY_BUFFER_BYTES = 16 * 1024  # Redis shows output up to here as `obl`, what is longer as a list: `oll`, `omem`


def flags_of(session: Session) -> bytes:
    """The letters of the field `flags`."""
    letters = b""
    if session.kind == b"replica":
        letters += b"S"
    elif session.mode & admission.IS_REPLICA:
        letters += b"O"  # MONITOR
    if session.kind == b"master":
        letters += b"M"
    if session.kind == b"pubsub":
        letters += b"P"
    if session.mode & admission.IN_MULTI or session.executing is not None:
        letters += b"x"
    if session.halted & (BLOCKED | PAUSED):
        letters += b"b"
    tracking = session.tracking
    if tracking is not None:
        letters += b"t"
        if tracking.is_broken:
            letters += b"R"
        if tracking.is_broadcasting:
            letters += b"B"
    if session.watched is not None and session.watched.is_broken:
        letters += b"d"
    if session.halted & CLOSING:
        letters += b"c"
    if session.halted & DOOMED:
        letters += b"A"
    if is_unix(session):
        letters += b"U"
    if session.no_evict:
        letters += b"e"
    if session.mode & admission.NO_TOUCH:
        letters += b"T"
    return letters or b"N"


def is_unix(session: Session) -> bool:
    """Whether the client came by a unix socket."""
    return session.address.endswith(b":0") and session.address == session.local_address


def request_bytes(argv: Sequence[bytes]) -> int:
    """What a vector takes on the wire."""
    return len(b"*%d\r\n" % len(argv)) + sum([len(b"$%d\r\n" % len(word)) + len(word) + 2 for word in argv])


def unread_bytes(session: Session) -> int:
    """What the vectors take on the wire that came with the one under way and have not run: Redis has them unread."""
    pending = session.pending
    if pending is None or pending.__class__ is not LIST_ITERATOR:
        return 0
    from copy import copy

    return sum(map(request_bytes, copy(pending)))  # the iterator goes on where it is


def memory_of(session: Session) -> int:
    """About how much memory a client holds: what it sent, what it queued, what it has not read yet."""
    held = CLIENT_BYTES + len(session.name)
    if session.out:
        waiting = sum(map(len, session.out))
        held += waiting if waiting > REPLY_BUFFER_BYTES else 0  # what is less is sent at the end of this turn
    if session.connection is not None:
        held += session.connection.parser.pending_bytes()
    if session.transaction is not None:
        held += session.transaction.measure()[1]
    if session.waiter is not None:
        held += sum(map(len, session.waiter.argv))
    if session.subscriptions is not None:
        held += 100 * len(session.subscriptions)
    if session.watched is not None:
        held += 100 * len(session.watched.existed)
    if session.tracking is not None:
        held += PREFIX_BYTES * len(session.tracking.prefixes)
    return held


def query_room(session: Session, now_ms: int) -> int:
    """How large Redis's buffer for this client's input would be: nobody's for the idle, larger for large arguments."""
    if not session.net_in or now_ms // 1000 - session.used_ms // 1000 > IDLE_S:
        return 0
    room = QUERY_BUFFER_BYTES
    if now_ms - session.large_input_ms < LARGE_INPUT_MS:
        room = max(room, session.large_input)
    if session.connection is not None:
        room = max(room, session.connection.parser.expected_bytes())
    return room


def recent_input(session: Session, now_ms: int) -> int:
    """How large Redis's buffer for this client's input would have been lately at most."""
    room = QUERY_BUFFER_BYTES if session.net_in and now_ms - session.used_ms < RECENT_MS else 0
    if now_ms - session.large_input_ms < RECENT_MS:
        room = max(room, session.large_input)
    return max(room, session.connection.parser.expected_bytes())


def reply_room(session: Session, now_ms: int) -> int:
    """How large Redis's buffer for replies would be: halved ten times a second until it fits what is said."""
    clients = session.server.clients
    if not clients.reply_buffers_shrink or (session.large_reply_ms and clients.reply_peak_ms < 0):
        return REPLY_BUFFER_BYTES
    since_ms = max(0, now_ms - session.created_ms)  # a script holds the clock, and others come meanwhile
    if session.large_reply_ms:
        since_ms = max(0, now_ms - session.large_reply_ms - clients.reply_peak_ms)
    return max(MIN_REPLY_BUFFER_BYTES, REPLY_BUFFER_BYTES >> min(10, since_ms // 100))


def describe(session: Session, argv: Optional[Sequence[bytes]] = None) -> bytes:
    """The client's line, without its end. `argv` is the vector that it is running, if it runs one."""
    connection = session.connection
    now_ms = session.server.keyspace.clock.now_ms
    subscriptions = session.subscriptions
    if subscriptions is None:
        channels = patterns = shard_channels = 0
    else:
        channels = len(subscriptions.channels)
        patterns = len(subscriptions.patterns)
        shard_channels = len(subscriptions.shard_channels)
    queued, queued_bytes = -1, 0
    transaction = session.executing or session.transaction
    if transaction is not None:
        queued = len(transaction)
        arguments, queued_bytes = transaction.measure()
        queued_bytes += POINTER_BYTES * arguments
    query_bytes = connection.parser.pending_bytes() if connection is not None else 0
    room = query_room(session, now_ms)
    argv_bytes = 0
    if argv is not None:
        if session.executing is not None:
            argv = EXEC  # this is what it sent
        query_bytes += request_bytes(argv) + unread_bytes(session)
        argv_bytes = sum(map(len, argv))
    elif session.waiter is not None:
        argv_bytes = sum(map(len, session.waiter.argv))
        query_bytes += unread_bytes(session)
    waiting = sum(map(len, session.out))
    if waiting <= REPLY_BUFFER_BYTES:
        buffered, chunks, listed = waiting, 0, 0
    else:
        buffered, chunks, listed = 0, len(session.out), waiting
    total = memory_of(session)
    if argv is not None:
        total += request_bytes(argv) + argv_bytes
    replies = reply_room(session, now_ms)
    if connection is None:
        events = b"r" if session.kind == b"master" else b""  # the link reads for itself
    else:
        events = b"" if connection.closed else b"rw" if connection.armed else b"r"
    return (
        b"id=%d addr=%b laddr=%b fd=%d name=%b age=%d idle=%d flags=%b db=%d sub=%d psub=%d ssub=%d multi=%d watch=%d "
        b"qbuf=%d qbuf-free=%d argv-mem=%d multi-mem=%d rbs=%d rbp=%d obl=%d oll=%d omem=%d tot-mem=%d events=%b "
        b"cmd=%b user=%b redir=%d resp=%d lib-name=%b lib-ver=%b"
    ) % (
        session.id,
        session.address,
        session.local_address,
        session.descriptor,
        c_text(session.name),
        max(0, now_ms - session.created_ms) // 1000,
        max(0, now_ms - session.used_ms) // 1000,
        flags_of(session),
        session.db.number,
        channels,
        patterns,
        shard_channels,
        queued,
        len(session.watched.existed) if session.watched is not None else 0,
        query_bytes,
        max(0, room - query_bytes),
        argv_bytes,
        queued_bytes,
        replies,
        replies if replies > MIN_REPLY_BUFFER_BYTES else 0,
        buffered,
        chunks,
        listed,
        total,
        events,
        session.command.name if session.command is not None else b"NULL",
        session.user.name if session.user is not None else b"(superuser)",
        session.tracking.redirect if session.tracking is not None else -1,
        session.resp,
        c_text(session.lib_name),
        c_text(session.lib_ver),
    )


def protocol_error(session: Session, error: bytes, unread: bytes) -> str:
    """The line in the log for a client that is cut off, with the beginning and the end of what could not be read."""
    name = SHORT_NAMES.get(error, error)
    if error.startswith(b"expected '$'"):
        name = b"expected $ but got something else"
    if len(unread) < SHOWN_BYTES:
        input_text = b"'%b'" % printable(unread)
    else:
        half = SHOWN_BYTES // 2
        ends = (printable(unread[:half]), len(unread) - SHOWN_BYTES, printable(unread[-half:]))
        input_text = b"'%b' (... more %d bytes ...) '%b'" % ends
    text = b"Protocol error (%b) from client: %b. Query buffer during protocol error: %b"
    return shown(text % (name, describe(session), input_text))


def printable(data: bytes) -> bytes:
    return c_text(data).translate(PRINTABLE)
