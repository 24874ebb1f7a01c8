"""What the server holds of scripting before anybody uses it: a door that costs nothing at start.

The engine, the cache of scripts and the interpreter behind them are made by the first command that needs them.
"""

from __future__ import annotations

from server import admission as when
from server.scripting.flags import COMPATIBLE, trips_with
from storage.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

    from server.reactor import Reactor
    from server.registry import CommandSpec
    from server.scripting.debugging import Debugging
    from server.scripting.engine import Engine, Run
    from server.scripting.scripts import Scripts
    from server.services import Services
    from server.session import Session

DIGESTS = frozenset((b"evalsha", b"evalsha_ro"))
CALLS = frozenset((b"fcall", b"fcall_ro"))
NOT_BUSY = b"NOTBUSY No scripts in execution right now."


class Scripting:
    """The door to scripts. `reactor` serves other clients while a script runs on."""

    def __init__(self, services: Services, reactor: Reactor) -> None:
        self.services = services
        self.reactor = reactor
        self.admits_denied = False  # DEBUG SET-DISABLE-DENY-SCRIPTS: commands that scripts may not call, for tests
        self.trips: Dict[Tuple[CommandSpec, int], int] = {}
        self._engine: Optional[Engine] = None
        self._scripts: Optional[Scripts] = None
        self._debugging: Optional[Debugging] = None

    def engine(self) -> Engine:
        if self._engine is None:
            engine = self._engine = self.services.info.memory.leave_out(self.make_engine)
            engine.serve_others = self.reactor.serve_others
            engine.is_stopping = lambda: self.reactor.stopping
        return self._engine

    def make_engine(self) -> Engine:
        from server.scripting.engine import Engine

        return Engine(self.services)

    def scripts(self) -> Scripts:
        if self._scripts is None:
            engine = self.engine()  # first: it is what takes memory
            from server.scripting.scripts import Scripts

            self._scripts = Scripts(engine)
        return self._scripts

    def evaluate(self, ctx: Session, argv: Sequence[bytes], by_digest: bool, read_only: bool) -> Any:
        """EVAL and its variants."""
        dispatch = self.services.dispatch
        gate = dispatch.gate
        if gate.feed_monitors is not None:
            gate.feed_monitors(ctx, argv)  # before its own commands
        if ctx.mode & when.DEBUGS:
            return self.debugging().evaluate(ctx, argv, by_digest, read_only)
        return (self._scripts or self.scripts()).evaluate(ctx, argv, by_digest, read_only)

    def trips_of(self, spec: CommandSpec, argv: Sequence[bytes]) -> int:
        """What may refuse a command that runs a script, whose flags stand for those of the command if it has some."""
        if spec.name in CALLS:
            function = self.services.functions.by_name.get(argv[1].lower())
            flags = COMPATIBLE if function is None else function.flags
        else:
            flags = (self._scripts or self.scripts()).flags_of(argv[1], spec.name in DIGESTS)
        trips = self.trips.get((spec, flags))
        if trips is None:
            trips = self.trips[spec, flags] = trips_with(spec, flags)
        return trips

    def known_digests(self) -> Any:
        return self._scripts.by_digest if self._scripts is not None else {}

    def flush_scripts(self) -> None:
        if self._scripts is not None:
            self._scripts.flush()

    def debugging(self) -> Debugging:
        if self._debugging is None:
            from server.scripting.debugging import Debugging

            self._debugging = Debugging(self)
        return self._debugging

    @property
    def running(self) -> Optional[Run]:
        return self._engine.current if self._engine is not None else None

    def kill(self, is_function: bool) -> None:
        """SCRIPT KILL and FUNCTION KILL."""
        if self._engine is None:
            raise CommandError(NOT_BUSY)
        self._engine.end_run(is_function)

    def refuse_while_busy(self) -> None:
        """What SHUTDOWN that would save answers while a script runs on."""
        if self.running is not None:
            raise CommandError(self.services.dispatch.gate.busy_refusal)

    # INFO ------------------------------------------------------------------------------------------------------

    def memory(self) -> Iterator[Tuple[str, int]]:
        """The fields of INFO memory that are about scripts."""
        cached = self._scripts
        vm = {True: 0, False: 0}
        if self._engine is not None:
            for is_eval, interpreter in self._engine.interpreters.items():
                vm[is_eval] = int(interpreter.memory_kib() * 1024)
        functions = self.services.functions
        yield "used_memory_vm_eval", vm[True]
        yield "used_memory_lua", vm[True]
        yield "used_memory_scripts_eval", cached.memory_bytes() if cached is not None else 0
        yield "number_of_cached_scripts", len(cached) if cached is not None else 0
        yield "number_of_functions", functions.count()
        yield "number_of_libraries", len(functions.libraries)
        yield "used_memory_vm_functions", vm[False]
        yield "used_memory_vm_total", vm[True] + vm[False]
        yield "used_memory_functions", sum([len(library.code) for library in functions.libraries.values()])

    def evicted(self) -> int:
        return self._scripts.evicted if self._scripts is not None else 0
