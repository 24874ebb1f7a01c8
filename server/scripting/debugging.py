"""Scripts under the debugger: which process runs one, how it talks to its client, and how that ends.

By default the server forks, and the script runs in the child with the client to itself: what it changes is gone with
the child, and everybody else is served meanwhile. In place (`SCRIPT DEBUG SYNC`) everybody waits, and changes stay.
Owns the children's process ids; a pipe that each holds open tells the parent of its end. Either way the client is
closed after the script's reply.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from socket import SHUT_WR
from socket import timeout as SocketTimeout
from time import perf_counter_ns

from protocol.encoder import error_line
from protocol.reply import NO_REPLY, ErrorReply
from server import admission as when
from server.children import close_descriptors
from server.log import ROLE_CHILD
from server.scripting.debugger import Conversation
from storage.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Sequence

    from server.scripting.service import Scripting
    from server.session import Session

SEND_TIMEOUT_S = 5.0  # a client that does not read is not waited for any longer
LOOK_UP_EVERY_S = 0.25  # in place: how often a signal is looked for while the client thinks


class ClientLine:
    """A client's connection, taken out of the loop: calls block."""

    def __init__(self, connection: Any, is_ending: Callable[[], bool]) -> None:
        self.connection = connection
        self.is_ending = is_ending
        connection.socket.settimeout(SEND_TIMEOUT_S)
        session = connection.session
        while session.out and not connection.flush():  # what it is owed comes first
            pass

    def receive(self) -> bytes:
        sock = self.connection.socket
        sock.settimeout(LOOK_UP_EVERY_S)
        while not self.is_ending():
            try:
                data: bytes = sock.recv(1024)
                return data
            except SocketTimeout:
                continue
            except (OSError, ValueError):
                break
        return b""

    def send(self, data: bytes) -> None:
        sock = self.connection.socket
        try:
            sock.settimeout(SEND_TIMEOUT_S)
            sock.sendall(data)
        except (OSError, ValueError):
            pass  # the next order will not come either

    def end_with(self, data: bytes) -> None:
        """Send the last there is. The end follows at once, so that it is not taken for a fault."""
        self.send(data)
        try:
            self.connection.socket.shutdown(SHUT_WR)
        except (OSError, ValueError):
            pass

    def give_back(self) -> None:
        self.connection.socket.setblocking(False)


class Debugging:
    """All sessions of the debugger."""

    def __init__(self, scripting: Scripting) -> None:
        self.scripting = scripting
        self.services = scripting.services
        self.children: Dict[int, int] = {}  # process id to the pipe that ends with it
        self.services.lifecycle.steps.insert(0, self.kill_all)

    def evaluate(self, ctx: Session, argv: Sequence[bytes], by_digest: bool, read_only: bool) -> Any:
        """EVAL and its variants for a client that debugs."""
        if by_digest:
            raise CommandError(b"ERR Please use EVAL instead of EVALSHA for debugging")
        in_place = ctx.mode & when.DEBUGS_IN_PLACE
        ctx.set_mode(when.DEBUGS | when.DEBUGS_IN_PLACE, False)
        if in_place:
            return self.run_in_place(ctx, argv, read_only)
        self.fork(ctx, argv, read_only)
        return NO_REPLY

    def converse(self, ctx: Session, line: ClientLine, argv: Sequence[bytes], read_only: bool) -> Any:
        """Run the script while its client says how; its reply, or a CommandError."""
        engine = self.scripting.engine()
        config = self.services.config
        conversation = Conversation(line, argv[1], lambda: config.busy_reply_threshold)

        def reply_of(arguments: Any) -> Any:
            return listen_in(conversation, engine, arguments)

        interpreter = engine.interpreter(True)
        interpreter.debug(talk_of(conversation, engine, interpreter))
        engine.reply_of = reply_of
        try:
            return self.scripting.scripts().evaluate(ctx, argv, False, read_only)
        finally:
            engine.reply_of = engine.reply_to
            interpreter.end_debugging()
            conversation.say(b"<endsession>")
            conversation.send()

    def run_in_place(self, ctx: Session, argv: Sequence[bytes], read_only: bool) -> Any:
        log = self.services.log
        lifecycle = self.services.lifecycle
        log.notice("Redis synchronous debugging eval session started")
        line = ClientLine(ctx.connection, lambda: bool(lifecycle.signalled))
        try:
            return self.converse(ctx, line, argv, read_only)
        finally:
            line.give_back()
            ctx.close_after_reply()
            log.notice("Redis synchronous debugging eval session ended")

    # In a process of its own -------------------------------------------------------------------------------------

    def fork(self, ctx: Session, argv: Sequence[bytes], read_only: bool) -> None:
        """Give the client to a child, which debugs a copy of everything: nothing that the script does lasts."""
        refusal = b"ERR Fork() failed: can't run EVAL in debugging mode: %b"
        if sys.platform == "win32":
            raise CommandError(refusal % b"this platform has none. SCRIPT DEBUG SYNC runs in the server itself")
        services = self.services
        connection = ctx.connection
        for call in services.children.before_fork:
            call()
        began_ns = perf_counter_ns()
        try:
            receiver, sender = os.pipe()
        except OSError as error:
            raise CommandError(refusal % str(error.strerror).encode()) from None
        try:
            pid = os.fork()
        except OSError as error:
            os.close(receiver)
            os.close(sender)
            raise CommandError(refusal % str(error.strerror).encode()) from None
        if pid == 0:
            self.be_child(ctx, (connection.socket.fileno(), sender), argv, read_only)
        services.children.latest_fork_usec = (perf_counter_ns() - began_ns) // 1000
        services.children.total_forks += 1
        os.close(sender)
        self.children[pid] = receiver
        self.scripting.reactor.watch(receiver, partial(self.reap, pid))
        connection.is_lent = True
        ctx.doom()

    def be_child(self, ctx: Session, kept: Sequence[int], argv: Sequence[bytes], read_only: bool) -> None:
        """Everything a child does; never returns."""
        log = self.services.log
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # only the parent decides what they mean
            signal.set_wakeup_fd(-1)
            close_descriptors(kept)
            log.set_role(lambda: ROLE_CHILD)
            log.notice("Redis forked for debugging eval")
            line = ClientLine(ctx.connection, lambda: False)
            try:
                reply = self.converse(ctx, line, argv, read_only)
                encoded = ctx.encoders[reply.__class__](reply)
            except CommandError as error:
                encoded = error_line(error.text)
            line.end_with(encoded)
            log.notice("Lua debugging session child exiting")
        except BaseException:
            import traceback

            log.warning("Fault in the debugger's child:\n%s" % traceback.format_exc())
        finally:
            os._exit(0)

    def reap(self, pid: int) -> None:
        """The child's end of the pipe is closed: it has ended."""
        receiver = self.children.pop(pid)
        self.scripting.reactor.unwatch(receiver)
        os.close(receiver)
        try:
            os.waitpid(pid, 0)
        except OSError:
            pass

    def kill_all(self, flags: int) -> None:
        """The server ends: no child outlives it."""
        if sys.platform == "win32":
            return
        for pid in list(self.children):
            self.services.log.notice("Killing debugging session %d" % pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
            self.reap(pid)


def talk_of(conversation: Conversation, engine: Any, interpreter: Any) -> Dict[bytes, Callable[..., Any]]:
    """What `debugger.lua` may ask of a conversation."""
    return {
        b"say": engine.guarded(conversation.say),
        b"say_value": engine.guarded(conversation.say_value),
        b"send": engine.guarded(conversation.send),
        b"show_line": engine.guarded(conversation.show_line),
        b"stops_at": engine.guarded(conversation.stops_at),
        b"order": engine.guarded(lambda: interpreter.table_from(conversation.order())),
        b"current": engine.guarded(lambda: conversation.current),
        b"call_breakpoint": engine.guarded(conversation.call_breakpoint),
    }


def listen_in(conversation: Conversation, engine: Any, arguments: Any) -> Any:
    """The reply to a command of the script; while stepping, command and reply are shown."""
    if not conversation.is_stepping:
        return engine.reply_to(arguments)
    from server.scripting.words import words_of

    argv = words_of(arguments)
    if argv:
        conversation.show_command(argv)
    reply = engine.reply_to(arguments)
    if reply.__class__ is ErrorReply and reply is engine.latest_refusal:
        text = reply.text
        conversation.say(b"<error> " + (text[4:] if text.startswith(b"ERR ") else b"-" + text))
        return reply
    if reply.__class__ is ErrorReply:
        conversation.say(b"<error> -" + reply.text)
    conversation.show_reply(engine.session.encoders[reply.__class__](reply))
    return reply
