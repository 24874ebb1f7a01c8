"""The run under way: what scripts ask of the server, what they may, and how one that runs on is ended.

Owns the session on whose behalf a script's commands run, the two interpreters (scripts and functions live apart), the
rules of Redis for commands inside a script, and the state "busy": past `busy-reply-threshold` the loop serves what may
run meanwhile from inside the interpreter's count hook. Must not know where a script's text comes from.

A host function never lets an exception other than ScriptError out, and leaves its text in `pending` for the world to
take: Lua sees tables and strings, never a Python object.
"""

from __future__ import annotations

from time import monotonic

from protocol.reply import OK, Constant, ErrorReply, Status
from server import admission as when
from server import registry as declared
from server.log import shown
from server.propagation import EVERYWHERE
from server.scripting.drawing import Drawing
from server.scripting.flags import ALLOW_OOM, ALLOW_STALE, COMPATIBLE, NO_WRITES
from server.scripting.interpreter import Interpreter
from server.scripting.values import IN_RESP2, IN_RESP3
from server.scripting.words import (
    bytes_float,
    float_bytes,
    is_number,
    items_of,
    number_of,
    parse_number,
    truncated,
    word_of,
    words_of,
)
from server.session import BLOCKED, Session
from storage.errors import (
    BUSY_SCRIPT,
    MASTER_DOWN,
    NO_REPLICAS,
    OUT_OF_MEMORY,
    READ_ONLY,
    CommandError,
)
from storage.numeric import format_float

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Sequence, Set, Tuple

    from server.registry import CommandSpec
    from server.services import Services

REFUSED_IF_READ_ONLY = declared.WRITE | declared.MAY_REPLICATE
MAX_STACKED = 200  # more arguments travel in a table
BUSY_FUNCTION = b"BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
KILLED_SCRIPT = b"ERR Script killed by user with SCRIPT KILL..."
LOAD_TIMEOUT = b"ERR FUNCTION LOAD timeout"
LOAD_TIMEOUT_S = 0.5
UNKNOWN = b"ERR Unknown Redis command called from script"
WRONG_ARITY = b"ERR Wrong number of args calling Redis command from script"
FORBIDDEN = b"ERR This Redis command is not allowed from script"
BAD_ARGUMENTS = b"ERR Lua redis lib command arguments must be strings or integers"
NO_ARGUMENTS = b"ERR Please specify at least one argument for this redis lib call"
NOT_STALE = b"ERR Can not execute the command on a stale replica"
NO_WRITES_HERE = b"ERR Write commands are not allowed from read-only scripts."
INTERNAL = b"ERR internal error"
NO_MEMORY = b"ERR not enough memory"
PLAIN = frozenset({bytes, int, bool})
SHORT = 32  # items of a list that travel one by one: 2 of them 2.9 -> 2.5 us, 100 would cost 7 % more
OK_STATUS = (b"OK", True)
LOG_LEVELS = ("debug", "verbose", "notice", "warning")


class ScriptError(Exception):
    """Raised into Lua; its text waits in `pending`."""


class Run:
    """One script or function under way."""

    __slots__ = (
        "name",
        "argv",
        "flags",
        "read_only",
        "refused",
        "is_function",
        "began_s",
        "wrote",
        "kill",
        "client",
        "is_load",
    )

    def __init__(self, name: bytes, argv: Sequence[bytes], flags: int, read_only: bool, client: Session) -> None:
        self.name = name
        self.argv = argv
        self.flags = flags
        self.read_only = read_only or bool(flags & NO_WRITES)
        # Flags of commands for which there is something to ask; other conditions are in the command's `trips`.
        self.refused = declared.NOSCRIPT | REFUSED_IF_READ_ONLY if self.read_only else declared.NOSCRIPT
        self.is_function = False
        self.began_s = monotonic()
        self.wrote = False
        self.kill: bytes = b""
        self.client = client
        self.is_load = False

    def duration_ms(self) -> int:
        return int((monotonic() - self.began_s) * 1000)


def refuse_registration(*arguments: Any) -> None:
    raise ScriptError(b"ERR redis.register_function can only be called on FUNCTION LOAD command")


class Engine:
    """Runs what `scripts` and `functions` compiled."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.dispatch = services.dispatch
        self.session = Session(0, services)
        self.session.denies_blocking = True
        self.interpreters: Dict[bool, Interpreter] = {}
        self.left_out: Set[bool] = set()  # those whose room is the program's
        self.current: Optional[Run] = None
        self.drawing = Drawing()
        self.pending: Optional[bytes] = None
        self.is_pending_counted = False  # a command's error is counted where it arises, one of the library's at the end
        self.replicates = EVERYWHERE
        self.register: Callable[..., None] = refuse_registration  # another one while a library is loaded
        self.serve_others: Callable[[Session], None] = lambda session: None  # one turn of the loop for other clients
        self.is_stopping: Callable[[], bool] = lambda: False
        self.reply_of: Callable[[Any], Any] = self.reply_to  # a debugger listens in
        self.latest_refusal: Optional[ErrorReply] = None

    def interpreter(self, is_eval: bool) -> Interpreter:
        """The Lua state of scripts or of functions; raises CommandError where there is no interpreter."""
        found = self.interpreters.get(is_eval)
        if found is None:
            found = self.make_interpreter(is_eval)
        return found

    def make_interpreter(self, is_eval: bool) -> Interpreter:
        """Bring in a part of the program. One that takes the place of a flushed one has the room that this had."""
        if is_eval in self.left_out:
            made = Interpreter(self.host(), is_eval)
        else:
            made = self.services.info.memory.leave_out(lambda: Interpreter(self.host(), is_eval))
            self.left_out.add(is_eval)
        self.interpreters[is_eval] = made
        return made

    # Running ---------------------------------------------------------------------------------------------------

    def judge(self, ctx: Session, flags: int, read_only: bool) -> None:
        """What a script is refused for before it runs; its flags say what of it applies."""
        mode = self.dispatch.mode
        is_master = ctx.mode & when.IS_MASTER
        if not flags & (COMPATIBLE | NO_WRITES) and not is_master:
            if mode & when.MEMORY_LIMITED and not flags & ALLOW_OOM and self.is_out_of_memory(ctx):
                raise CommandError(OUT_OF_MEMORY)
            if mode & when.DISK_FAILED:
                raise CommandError(self.dispatch.gate.disk_refusal())
            if mode & when.TOO_FEW_REPLICAS:
                raise CommandError(NO_REPLICAS)
            if mode & when.READ_ONLY_REPLICA:
                raise CommandError(READ_ONLY)
        if mode & when.STALE_DATA and not flags & ALLOW_STALE and not is_master:
            raise CommandError(MASTER_DOWN)
        if read_only and not flags & (COMPATIBLE | NO_WRITES):
            raise CommandError(b"ERR Can not execute a script with write flag using *_ro command.")

    def is_out_of_memory(self, session: Session) -> bool:
        """Whether a command that may use more memory would be refused now."""
        check = self.dispatch.gate.check_memory
        spec = self.services.registry.originally(b"set")
        if check is None or spec is None:
            return False
        try:
            check(session, spec, (b"SET", b"", b""))
        except CommandError as error:
            return error.text.startswith(b"OOM")
        return False

    def run(
        self, ctx: Session, program: Any, argv: Sequence[bytes], count: int, is_eval: bool, read_only: bool
    ) -> Any:
        """Run a Script or a Function for a client and return its reply; raises CommandError for an error of its own."""
        flags = program.flags
        if flags != COMPATIBLE or self.dispatch.mode & when.STALE_DATA:
            self.judge(ctx, flags, read_only)
        run = Run(program.name, argv, flags, read_only, ctx)
        if self.current is not None:
            raise CommandError(FORBIDDEN)
        interpreter = self.interpreter(is_eval)
        session = self.session
        session.db = ctx.db
        session.user = ctx.user
        session.mode = ctx.mode & (when.RESTRICTED | when.IS_MASTER | when.NO_TOUCH)
        session.name = ctx.name
        if session.resp != 2:
            session.speak(2)
        self.replicates = EVERYWHERE
        run.is_function = not is_eval
        self.current = run
        self.pending = None
        dispatch = self.dispatch
        dispatch.depth += 1
        try:
            if len(argv) <= MAX_STACKED:
                result = interpreter.run(ctx.resp, program.code, count, *argv[3:])
            else:
                result = interpreter.run_many(ctx.resp, program.code, count, interpreter.table_from(argv[3:]))
        except MemoryError:  # on the way into the interpreter
            raise CommandError(NO_MEMORY) from None
        finally:
            dispatch.depth -= 1
            self.current = None
            if dispatch.mode & when.BUSY:
                dispatch.mode &= ~when.BUSY
        kind = result.__class__
        if kind is bytes:
            return result
        if result is None:
            return None
        if kind is bool:
            return result if session.resp == 3 else 1 if result else None
        if kind is not tuple:
            return truncated(result)
        if result[0] is False:
            return self.failure(run, *result[1:])
        encoded = result[1]
        if encoded == OK.resp2:
            return OK
        if encoded[:1] == b"-":
            if result[2]:
                self.services.stats.waive_next_error()
            raise CommandError(encoded[1:-2])
        return Constant("a script's reply", encoded, encoded)

    def failure(self, run: Run, text: bytes, source: Any, line: Any, counted: bool) -> Any:
        if run.kill:
            text = run.kill
        if source:
            text = b"%b script: %b, on %b:%d." % (text, run.name, source, int(line))
        else:
            text = b"%b script: %b" % (text, run.name)
        if counted:
            self.services.stats.waive_next_error()
        raise CommandError(text)

    # What scripts ask ------------------------------------------------------------------------------------------

    def host(self) -> Dict[bytes, Callable[..., Any]]:
        """What the Lua side may call, by name."""
        from server.version import REDIS_VERSION

        major, minor, patch = map(int, REDIS_VERSION.split("."))
        return {
            b"call": self.call,
            b"pcall": self.guarded(lambda *arguments: self.value_of(self.reply_of(arguments))),
            b"call_many": self.guarded(lambda table, count: self.value_or_error(self.reply_of(items_of(table, count)))),
            b"pcall_many": self.guarded(lambda table, count: self.value_of(self.reply_of(items_of(table, count)))),
            b"sha1hex": self.guarded(self.sha1hex),
            b"log": self.guarded(self.log),
            b"setresp": self.guarded(self.setresp),
            b"set_repl": self.guarded(self.set_repl),
            b"acl_check_cmd": self.guarded(self.acl_check_cmd),
            b"register_function": self.guarded(lambda *arguments: self.register(*arguments)),
            b"take_error": self.take_error,
            b"check": self.guarded(self.check),
            b"script_resp": lambda: self.session.resp,
            b"double_text": self.guarded(format_float),
            b"draw": self.drawing.draw,
            b"seed": self.guarded(self.drawing.seed),
            b"float_bytes": self.guarded(float_bytes),
            b"bytes_float": self.guarded(bytes_float),
            b"parse_number": self.guarded(parse_number),
            b"version": lambda: REDIS_VERSION.encode(),
            b"version_number": lambda: major << 16 | minor << 8 | patch,
        }

    def guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A host function out of which nothing but ScriptError comes."""

        def guard(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except BaseException as error:
                self.keep(error)
            raise ScriptError()

        return guard

    def keep(self, error: BaseException) -> None:
        """Leave the text of an exception that is being handled for the world to take."""
        self.is_pending_counted = False
        if isinstance(error, ScriptError):
            self.pending = error.args[0]
            self.is_pending_counted = len(error.args) > 1
        elif isinstance(error, CommandError):
            self.pending = error.text
        elif isinstance(error, MemoryError):
            self.pending = NO_MEMORY
        else:
            import traceback

            self.services.stats.unexpected_errors += 1
            self.services.log.warning("Fault in a script's call:\n%s" % traceback.format_exc())
            self.pending = INTERNAL

    def take_error(self) -> Tuple[Optional[bytes], bool]:
        text, self.pending = self.pending, None
        return text, self.is_pending_counted

    def call(self, *arguments: Any) -> Any:
        """redis.call: guarded by itself, since each frame on the way costs a script's command 5 %."""
        try:
            reply = self.reply_of(arguments)
            kind = reply.__class__
            if kind is bytes or kind is int:
                return reply
            return self.value_or_error(reply)
        except BaseException as error:
            self.keep(error)
        raise ScriptError()

    def value_or_error(self, reply: Any) -> Any:
        if reply.__class__ is ErrorReply:
            raise ScriptError(reply.text, True)
        return self.value_of(reply)

    def value_of(self, reply: Any) -> Any:
        """A reply for Lua: a plain value or a table; or what is made a table there, at half the cost: the text of a
        status and True, or nothing, False and the items of a list.
        """
        if reply is OK:
            return OK_STATUS
        kind = reply.__class__
        if kind is Status:
            return reply.text, True
        value = (IN_RESP2 if self.session.resp == 2 else IN_RESP3)[kind](reply)
        kind = value.__class__
        if kind is list and len(value) <= SHORT and PLAIN.issuperset(map(type, value)):
            return (None, False, *value)
        if kind is list or kind is dict:
            run = self.current
            interpreter = self.interpreters[run is None or not run.is_function]
            return interpreter.table_from(value, recursive=True)
        return value

    def reply_to(self, arguments: Any) -> Any:
        """The reply to a command of the script; an ErrorReply where it is refused."""
        if not arguments:
            return self.refused(NO_ARGUMENTS)
        argv = arguments
        for argument in arguments:
            if argument.__class__ is not bytes:
                converted = words_of(arguments)
                if converted is None:
                    return self.refused(BAD_ARGUMENTS)
                argv = converted
                break
        dispatch = self.dispatch
        spec = dispatch.spellings.get(argv[0])
        if spec is None:
            try:
                spec = dispatch.resolve(argv)
            except CommandError:
                return self.refused(UNKNOWN)
        arity = spec.arity
        if len(argv) != arity and (arity > 0 or len(argv) < -arity):
            return self.refused(WRONG_ARITY, spec)
        run = self.current
        assert run is not None
        flags = spec.flags
        session = self.session
        if flags & run.refused or spec.trips & (dispatch.mode | session.mode):
            refusal = self.refusal(run, spec, argv)
            if refusal is not None:
                return self.refused(refusal, spec)
        if flags & declared.WRITE:
            run.wrote = True
        if self.replicates == EVERYWHERE:
            return dispatch.call(session, spec, argv)
        propagation = dispatch.propagation
        propagation.scope = self.replicates
        try:
            return dispatch.call(session, spec, argv)
        finally:
            propagation.scope = EVERYWHERE

    def refused(self, text: bytes, spec: Optional[CommandSpec] = None) -> ErrorReply:
        """The error for a command that does not run."""
        if spec is not None:
            self.services.stats.commands[spec.id].rejected += 1
        self.services.stats.count_error(text)
        refusal = self.latest_refusal = ErrorReply(text)
        return refusal

    def refusal(self, run: Run, spec: CommandSpec, argv: Sequence[bytes]) -> Optional[bytes]:
        """Why a command may not run inside this script now, in Redis's order."""
        flags = spec.flags
        session = self.session
        mode = self.dispatch.mode
        if flags & declared.NOSCRIPT and not self.services.scripting.admits_denied:
            return FORBIDDEN
        if mode & when.STALE_DATA and not flags & declared.STALE:
            return NOT_STALE
        if session.mode & when.RESTRICTED:
            refusal: Optional[bytes] = self.services.accounts.refusal_in_script(session, spec, argv)
            if refusal is not None:
                return refusal
        is_master = session.mode & when.IS_MASTER
        if run.read_only and flags & REFUSED_IF_READ_ONLY:
            return NO_WRITES_HERE
        if flags & declared.WRITE:
            if not run.wrote and not is_master:
                if mode & when.READ_ONLY_REPLICA:
                    return READ_ONLY
                if mode & when.DISK_FAILED:
                    return self.dispatch.gate.disk_refusal()
                if mode & when.TOO_FEW_REPLICAS:
                    return NO_REPLICAS
        if mode & when.MEMORY_LIMITED and flags & declared.DENYOOM and not is_master:
            if not run.wrote and not run.flags & ALLOW_OOM and self.is_out_of_memory(session):
                return OUT_OF_MEMORY
        return None

    def sha1hex(self, *arguments: Any) -> bytes:
        from hashlib import sha1

        words = words_of(arguments)
        if len(arguments) != 1:
            raise ScriptError(b"ERR wrong number of arguments")
        return sha1(words[0] if words else b"").hexdigest().encode()

    def log(self, *arguments: Any) -> None:
        if len(arguments) < 2:
            raise ScriptError(b"ERR redis.log() requires two arguments or more.")
        if not is_number(arguments[0]):
            raise ScriptError(b"ERR First argument must be a number (log level).")
        level = number_of(arguments[0])
        if not 0 <= level < len(LOG_LEVELS):
            raise ScriptError(b"ERR Invalid log level.")
        text = b" ".join([word for word in map(word_of, arguments[1:]) if word is not None])
        getattr(self.services.log, LOG_LEVELS[level])(shown(text))

    def setresp(self, *arguments: Any) -> None:
        if len(arguments) != 1:
            raise ScriptError(b"ERR redis.setresp() requires one argument.")
        version = number_of(arguments[0])
        if version not in (2, 3):
            raise ScriptError(b"ERR RESP version must be 2 or 3.")
        self.session.speak(version)

    def set_repl(self, *arguments: Any) -> None:
        if len(arguments) != 1:
            raise ScriptError(b"ERR redis.set_repl() requires one argument.")
        flags = number_of(arguments[0])
        if flags & ~EVERYWHERE:
            raise ScriptError(b"ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
        self.replicates = flags

    def acl_check_cmd(self, *arguments: Any) -> bool:
        if not arguments:
            raise ScriptError(NO_ARGUMENTS)
        argv = words_of(arguments)
        if argv is None:
            raise ScriptError(BAD_ARGUMENTS)
        spec = self.services.registry.resolve(argv)
        if spec is None:
            raise ScriptError(b"ERR Invalid command passed to redis.acl_check_cmd()")
        user = self.session.user
        return user is None or self.services.accounts.explain(user, spec, argv) is None

    # Running on ------------------------------------------------------------------------------------------------

    def check(self) -> Optional[bytes]:
        """Called by the count hook: the text of the error that ends the script, or None to let it go on."""
        run = self.current
        if run is None:
            return None
        if run.kill:
            return self.killing(run)
        elapsed_s = monotonic() - run.began_s
        if run.is_load:
            if elapsed_s > LOAD_TIMEOUT_S:
                run.kill = LOAD_TIMEOUT
            return run.kill or None
        threshold_ms = self.services.config.busy_reply_threshold
        if elapsed_s * 1000.0 < threshold_ms or threshold_ms < 0:
            return None
        self.be_busy(run)
        return self.killing(run) if run.kill else None

    def killing(self, run: Run) -> bytes:
        """The text that ends a script, told again each time a pcall of it goes on regardless."""
        if run.kill is KILLED_SCRIPT and not self.is_stopping():
            self.services.log.notice("Lua script killed by user with SCRIPT KILL.")
        return run.kill

    def be_busy(self, run: Run) -> None:
        """Serve what may run while a script runs on. Time stands still for the script."""
        dispatch = self.dispatch
        if not dispatch.mode & when.BUSY:
            self.services.log.warning(
                "Slow script detected: still in execution after %d milliseconds. You can try killing the script "
                "using the %s command. Script name is: %s."
                % (
                    int((monotonic() - run.began_s) * 1000),
                    "FUNCTION KILL" if run.is_function else "SCRIPT KILL",
                    run.name.decode("latin-1"),
                )
            )
            dispatch.gate.busy_refusal = BUSY_FUNCTION if run.is_function else BUSY_SCRIPT
            dispatch.mode |= when.BUSY
        clock = dispatch.clock
        now_ms = clock.now_ms
        kept = (dispatch.current, dispatch.caller)
        client = dispatch.current if dispatch.current is not None else run.client
        was_blocked = client.halted & BLOCKED
        client.halted |= BLOCKED
        dispatch.depth += 1
        self.current = run
        try:
            self.serve_others(client)
        finally:
            dispatch.depth -= 1
            dispatch.current, dispatch.caller = kept
            clock.now_ms = now_ms
            if not was_blocked:
                client.halted &= ~BLOCKED
        if self.is_stopping():
            # The process ends now: what the script has done so far is as if it had not been.
            dispatch.propagation.forget()
            run.kill = KILLED_SCRIPT

    def end_run(self, is_function: bool) -> None:
        """SCRIPT KILL and FUNCTION KILL; raises CommandError if there is nothing to end, or it may not be."""
        run = self.current
        if run is None or run.is_load:
            raise CommandError(b"NOTBUSY No scripts in execution right now.")
        if run.is_function != is_function:
            raise CommandError(BUSY_FUNCTION if run.is_function else BUSY_SCRIPT)
        if run.client.mode & when.IS_MASTER:
            raise CommandError(
                b"UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot "
                b"be killed."
            )
        if run.wrote:
            raise CommandError(
                b"UNKILLABLE Sorry the script already executed write commands against the dataset. You can either "
                b"wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
            )
        run.kill = KILLED_SCRIPT
