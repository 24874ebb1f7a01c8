"""One client as commands see it: its database, protocol version, output and standing.

A session is the context argument of every handler. It has no socket: a connection feeds it and drains `out`, a script
or the log loader drives one without any connection. Handlers reach services through `ctx.server`.

`out` is append-only and filled in the order of execution. Replies of the batch under way are appended by dispatch;
everything else goes through `emit` and `push`, which also tell the reactor that there is something to write.
"""

from __future__ import annotations

from protocol.encoder import RESP2, RESP3
from protocol.reply import ErrorReply
from server import admission
from storage.errors import OUT_OF_RANGE, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Sequence

    from protocol.encoder import Table
    from server.acl.user import User
    from server.propagation import Moment
    from server.pubsub import Subscriptions
    from server.registry import CommandSpec, Registry
    from server.services import Services
    from server.transactions import Transaction
    from storage.database import Database
    from storage.keyspace import Keyspace

# Why a session does not run its next vector (bits of `halted`).
BLOCKED = 1  # waits in a blocking command
PAUSED = 2  # CLIENT PAUSE holds it
CLOSING = 4  # closes once its output is sent
DOOMED = 8  # closes now, output or not
HELD = 16  # its command waits for an index of the keys, which clients take for a slow command

# How much of the output a client wants to hear (CLIENT REPLY).
REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP = 0, 1, 2, 3

MAX_DRAWN = 1 << 26  # elements drawn with repetition; Redis would go on until its memory is used up
LEAST_ELEMENT_BYTES = 6  # of an empty string in a reply


class Session:
    """The state of one client. `id` grows and is never used twice."""

    __slots__ = (
        "id",
        "server",
        "db",
        "resp",
        "encoders",
        "mode",
        "halted",
        "out",
        "out_bytes",
        "pending",
        "reply_mode",
        "name",
        "lib_name",
        "lib_ver",
        "user",
        "authenticated",
        "address",
        "local_address",
        "descriptor",
        "kind",
        "created_ms",
        "used_ms",
        "command",
        "net_in",
        "large_input",
        "large_input_ms",
        "large_reply_ms",
        "transaction",
        "executing",
        "watched",
        "denies_blocking",
        "waiter",
        "subscriptions",
        "tracking",
        "propagation",
        "wrote",
        "no_evict",
        "soft_limit_since_ms",
        "connection",
        "extra",
    )

    def __init__(self, session_id: int, server: Services) -> None:
        self.id = session_id
        self.server = server
        self.db: Database = server.keyspace.databases[0]
        self.resp = 2
        self.encoders: Table = RESP2
        self.mode = 0
        self.halted = 0
        self.out: List[bytes] = []
        self.out_bytes = 0
        self.pending: Optional[Iterator[Sequence[bytes]]] = None
        self.reply_mode = REPLY_ON
        self.name = b""
        self.lib_name = b""
        self.lib_ver = b""
        self.user: User = None  # type: ignore[assignment]  # who accepts the client sets it
        self.authenticated = False
        self.address = b""
        self.local_address = b""
        self.descriptor = -1
        self.kind = b"normal"  # normal, pubsub, replica, master: the class of output limits
        self.created_ms = self.used_ms = server.keyspace.clock.now_ms
        self.command: Optional[CommandSpec] = None  # the last one
        self.net_in = 0
        self.large_input = 0  # the longest beginning of a vector lately, and when
        self.large_input_ms = 0
        self.large_reply_ms = 0  # when much was last sent at once
        self.transaction: Any = None
        self.executing: Optional[Transaction] = None  # the transaction whose EXEC is under way
        self.watched: Any = None
        self.denies_blocking = False
        self.waiter: Any = None
        self.subscriptions: Optional[Subscriptions] = None
        self.tracking: Any = None
        self.propagation: Optional[List[Sequence[bytes]]] = None
        self.wrote: Optional[Moment] = None  # the turn in which something was last propagated for it
        self.no_evict = False
        self.soft_limit_since_ms = 0
        self.connection: Any = None
        self.extra: Any = None  # what a service keeps for a session of its kind (a replica's offsets)

    def __repr__(self) -> str:
        return "<Session %d %s>" % (self.id, self.address.decode("latin-1"))

    @property
    def keyspace(self) -> Keyspace:
        return self.server.keyspace

    @property
    def registry(self) -> Registry:
        return self.server.registry

    @property
    def now_ms(self) -> int:
        """The time of the unit of work under way."""
        return self.db.clock.now_ms

    # Protocol --------------------------------------------------------------------------------------------------

    def speak(self, resp: int) -> None:
        """Switch the protocol version of everything encoded from now on."""
        self.resp = resp
        self.encoders = RESP3 if resp == 3 else RESP2
        if self.subscriptions is not None:
            self.server.pubsub.settle_standing(self)

    def emit(self, reply: Any) -> None:
        """Append a reply from outside the batch under way, unless the client asked for silence."""
        if self.reply_mode == REPLY_ON:
            self.send_encoded(self.encoders[reply.__class__](reply))
        elif self.reply_mode == REPLY_SKIP:
            self.reply_mode = REPLY_ON  # this was the one to skip

    def emit_error(self, text: bytes) -> None:
        self.emit(ErrorReply(text))

    def push(self, reply: Any) -> None:
        """Append out-of-band data: after the reply to the command under way, also when replies are off."""
        self.push_encoded(self.encoders[reply.__class__](reply))

    def push_encoded(self, data: bytes) -> None:
        """`push` of bytes encoded for this session's protocol version."""
        dispatch = self.server.dispatch
        if dispatch.current is self:
            dispatch.deferred.append((self, data))
        else:
            self.send_encoded(data)

    def send_encoded(self, data: bytes) -> None:
        """Append bytes to the output and have them written at the end of the turn."""
        if self.halted & DOOMED:
            return
        if not self.out:
            self.server.unsent.append(self)
        self.out.append(data)
        self.out_bytes += len(data)
        if self.out_bytes > self.server.clients.judged_from:
            self.server.clients.judge_output(self)  # who does not read would never come to be flushed

    # Propagation -----------------------------------------------------------------------------------------------

    def propagate_as(self, *argv: bytes) -> None:
        """Replicate and log this instead of the command's own vector; several calls add up, in order."""
        if self.server.keyspace.recording:
            if self.propagation is None:
                self.propagation = [argv]
            else:
                self.propagation.append(argv)

    def propagate_to_replicas(self, *argv: bytes) -> None:
        """Replicate this instead of the command's own vector: the log has no use for it."""
        if self.server.keyspace.recording:
            self.server.dispatch.propagation.add_for_replicas(self.db.number, argv)
            self.propagate_nothing()

    def propagate_nothing(self) -> None:
        """Replicate and log nothing for this command whatever it changed."""
        if self.server.keyspace.recording and self.propagation is None:
            self.propagation = []

    # Standing --------------------------------------------------------------------------------------------------

    def set_mode(self, bit: int, on: bool) -> None:
        if on:
            self.mode |= bit
        else:
            self.mode &= ~bit

    @property
    def in_multi(self) -> bool:
        return bool(self.mode & admission.IN_MULTI)

    def become(self, user: User) -> None:
        """Log in: from the next command on the session may do what this user may."""
        self.user = user
        self.authenticated = True
        self.set_mode(admission.RESTRICTED, user.is_restricted)
        self.await_login(False)

    def await_login(self, needed: bool) -> None:
        """Let the session run nothing but what logs it in, with the parser's smaller limits; or lift both."""
        self.set_mode(admission.NEEDS_AUTH, needed)
        if self.connection is not None:
            self.connection.parser.anonymous = needed

    def close_after_reply(self) -> None:
        """Run nothing more, send what stands in `out`, then close."""
        if not self.halted & (CLOSING | DOOMED):
            self.halted |= CLOSING
            self.server.unsent.append(self)

    def may_draw(self, count: int) -> bool:
        """Whether so many elements may be drawn with repetition for a reply; refuses what no memory would hold.

        A client whose output limit they would pass is ended at once: Redis, too, stops in the middle of them.
        """
        if self.denies_blocking or not self.server.clients.ends_for(self, count * LEAST_ELEMENT_BYTES):
            if count > MAX_DRAWN:
                raise CommandError(OUT_OF_RANGE)
            return True
        return False

    def doom(self) -> None:
        """Close at the end of this turn without sending what waits."""
        if not self.halted & DOOMED:
            self.halted |= DOOMED
            self.out.clear()
            self.out_bytes = 0
            self.server.doomed.append(self)
