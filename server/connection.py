"""The socket's edge: one client's descriptor, its parser and its session.

Reads once when told to, runs what is complete, writes what stands in the session's output. Owns the close sequence of
one connection; must not know the selector (the reactor arms and disarms writability) or any command.
"""

from __future__ import annotations

import socket
from errno import EAGAIN, EWOULDBLOCK

from protocol.encoder import error_line
from protocol.parser import RequestParser
from server.client_description import describe, protocol_error
from server.log import VERBOSE
from server.session import BLOCKED, CLOSING, DOOMED, HELD, PAUSED
from server.socket_options import shut_down

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence

    from server.services import Services
    from server.session import Session

LARGE_BYTES = 16 * 1024  # Redis's buffers for input and output begin with about as much
JOIN_BYTES = 64 * 1024  # output up to this long is joined into one send
# In one write, as in Redis: a socket takes megabytes at once where a peer reads nothing, and everybody waits for the
# copy (4 ms). Four times as much cost the others 0.07 ms of their 99th percentile, and gained nothing.
WRITE_BYTES = 64 * 1024
MAX_VECTORS = 512  # chunks in one sendmsg; IOV_MAX is at least 1024 where it exists
# Output that nobody reads is kept in blocks. Counting each reply at each write made 400,000 short ones cost 12 s.
BLOCK_BYTES = 64 * 1024
MAX_LOOSE = 1024  # chunks beside the blocks
WOULD_BLOCK = (EAGAIN, EWOULDBLOCK)
HAS_SENDMSG = hasattr(socket.socket, "sendmsg")


class Connection:
    """A non-blocking stream socket and what stands behind it."""

    __slots__ = (
        "socket",
        "session",
        "parser",
        "services",
        "stats",
        "clock",
        "dispatch",
        "ended",
        "armed",
        "closed",
        "is_lent",
    )

    def __init__(self, sock: Any, session: Session, services: Services) -> None:
        self.socket = sock
        self.session = session
        self.services = services
        self.parser = RequestParser(services.config.proto_max_bulk_len, patterns=services.dispatch.batches.patterns)
        self.stats = services.stats
        self.dispatch = services.dispatch
        self.clock = services.keyspace.clock
        self.ended = False  # the peer has sent its last byte
        self.armed = False  # the selector watches for writability
        self.closed = False
        self.is_lent = False  # a child goes on with the client: closing here must not end it there
        session.connection = self

    # Input -----------------------------------------------------------------------------------------------------

    def receive(self) -> bool:
        """Read once; True if there is something to run (or an end of input to honour)."""
        try:
            data = self.socket.recv(self.parser.room)
        except OSError as error:
            if error.errno not in WOULD_BLOCK:
                self.session.doom()
            return False
        if not data or self.session.halted:
            return self.accept(data)
        # The same as `accept` for the commonest case: 0.1 us of a lone request.
        length = len(data)
        session = self.session
        session.net_in += length
        self.stats.net_in += length
        session.used_ms = self.clock.now_ms
        self.parser.feed(data)
        return True

    def accept(self, data: bytes) -> bool:
        """Take bytes that were read from the peer."""
        session = self.session
        if not data:
            if self.ended:
                return False
            self.ended = True
            if self.services.log.threshold <= VERBOSE:
                line = describe(session).decode("latin-1")
                self.services.log.verbose("Client closed connection " + line)
            if self.armed or session.halted & (BLOCKED | CLOSING | HELD | PAUSED):
                session.doom()  # nobody reads what it could still be sent
            elif not session.out and session.pending is None and not self.parser.has_input:
                session.doom()  # nothing is left to say
                return False
            return True
        length = len(data)
        session.net_in += length
        self.stats.net_in += length
        session.used_ms = self.clock.now_ms
        self.parser.feed(data)
        if session.halted:
            if session.halted & CLOSING:
                self.parser.discard()
            else:
                self.judge_input()
        return True

    def judge_input(self) -> None:
        """Doom a client whose unprocessed input is past `client-query-buffer-limit`."""
        waiting = self.parser.pending_bytes()
        if waiting > LARGE_BYTES:
            self.session.large_input, self.session.large_input_ms = waiting, self.session.used_ms
        if waiting > self.services.config.client_query_buffer_limit:
            self.services.stats.query_limit_disconnections += 1
            self.services.log.warning(
                "Closing client that reached max query buffer length: id=%d addr=%s"
                % (self.session.id, self.session.address.decode("latin-1"))
            )
            self.session.doom()

    def run(self) -> bool:
        """Run what is complete; False if some is left that could run now."""
        session = self.session
        if session.halted:
            return True
        if session.pending is None:
            vectors = self.parser.take()
            if not vectors:
                self.end_of_vectors()
                return True
            is_done = self.dispatch.batches.run(session, vectors)
        else:
            is_done = self.dispatch.run(session)
        if not is_done:
            return bool(session.halted)
        if session.halted:
            return True
        if self.parser.has_input:
            return False  # the next batch is for the coming turn, which takes it as it took this one
        if self.ended:
            self.end_of_vectors()
        return True

    def end_of_vectors(self) -> None:
        """Nothing complete is left: was it an error, the end, or only a beginning?"""
        error = self.parser.error
        session = self.session
        if error is not None:
            text = b"ERR Protocol error: " + error
            self.services.stats.count_error(text)
            session.send_encoded(error_line(text))
            if self.services.log.threshold <= VERBOSE:
                self.services.log.verbose(protocol_error(session, error, self.parser.unread()))
            session.close_after_reply()
            self.parser.discard()
        elif self.ended:
            session.close_after_reply()
        else:
            self.judge_input()

    # Output ----------------------------------------------------------------------------------------------------

    def flush(self) -> bool:
        """Write what stands in the output; False if some is left. The end of a CLOSING session's output dooms it."""
        session = self.session
        out = session.out
        if out:
            try:
                if len(out) == 1:
                    # Without pipelining this is every write: saves a call, 0.1 us of 8.
                    data = out[0]
                    sent = self.socket.send(data)
                    if sent == len(data):
                        out.clear()
                    else:
                        out[0] = memoryview(data)[sent:]  # type: ignore[call-overload]
                else:
                    sent = self.send_some(out)
            except OSError as error:
                if error.errno in WOULD_BLOCK:
                    sent = 0
                else:
                    session.doom()
                    return True
            self.stats.net_out += sent
            if out:
                self.count_output()
                return False
            if session.out_bytes:
                session.out_bytes = 0
                session.soft_limit_since_ms = 0
        if session.halted & CLOSING:
            session.doom()
        return True

    def send_some(self, out: Any) -> int:
        """One `send` or `sendmsg`; what was sent is removed from `out`."""
        if self.session.out_bytes > LARGE_BYTES:
            self.session.large_reply_ms = self.session.used_ms
        if self.session.out_bytes <= JOIN_BYTES:
            data = b"".join(out)
            sent = self.socket.send(data)
            out.clear()
            if sent != len(data):
                out.append(memoryview(data)[sent:])
            return sent
        return self.send_chunks(out)

    def send_chunks(self, out: Any) -> int:
        """Much output: hand the chunks to the kernel, without joining them where it takes several."""
        count = room = 0
        for chunk in out[:MAX_VECTORS]:
            count += 1
            room += len(chunk)
            if room >= WRITE_BYTES:
                break
        if HAS_SENDMSG:
            sent = self.socket.sendmsg(out[:count])
        else:
            sent = self.socket.send(out[0] if count == 1 else b"".join(out[:count]))
        left = sent
        done = 0
        for chunk in out:
            if len(chunk) > left:
                break
            left -= len(chunk)
            done += 1
        del out[:done]
        if left:
            out[0] = memoryview(out[0])[left:]
        return sent

    def count_output(self, more: int = 0) -> None:
        """Count what waits to be written, `more` bytes beside `out`, and judge it by the client's limits.

        Linear in what is new, over a slow reader's life: short chunks are joined once.
        """
        session = self.session
        out = session.out
        if len(out) > MAX_LOOSE + 4 * session.out_bytes // BLOCK_BYTES:
            out[:] = in_blocks(out)
        session.out_bytes = sum(map(len, out)) + more
        self.services.clients.judge_output(session)

    # End -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the socket. A child may share its descriptor: then a shutdown first tells the peer, which otherwise is
        spared (a tenth of a short connection's time).
        """
        if self.closed:
            return
        self.closed = True
        self.session.halted |= DOOMED
        self.session.connection = None  # no circle: the memory of a crowd that left is free at once
        if not self.is_lent and self.services.children.is_active():
            shut_down(self.socket)
        self.socket.close()


def in_blocks(chunks: Sequence[bytes]) -> List[bytes]:
    """The same bytes, in chunks of at least half a block but for the last one before each that is so long by itself."""
    blocks: List[bytes] = []
    begun: List[bytes] = []
    size = 0
    for chunk in chunks:
        length = len(chunk)
        if length < BLOCK_BYTES // 2:
            begun.append(chunk)
            size += length
            if size < BLOCK_BYTES // 2:
                continue
        if begun:
            blocks.append(b"".join(begun))
            begun = []
            size = 0
        if length >= BLOCK_BYTES // 2:
            blocks.append(chunk)
    if begun:
        blocks.append(b"".join(begun))
    return blocks
