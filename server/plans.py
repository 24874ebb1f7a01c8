"""What a packet of different commands comes down to, once for all packets of its pattern.

A *plan* has the handler and the counters of each command at hand, and knows whatever depends on names and numbers of
arguments only: that all are plain, how many each transaction queues, which conditions would stand in the way of any of
them. Owns no rule of its own: what is not plainly in order has no plan. Must not know vectors.
"""

from __future__ import annotations

from itertools import groupby

from server.registry import BLOCKING, NOT_PLAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Sequence, Tuple

    from protocol.patterns import Pattern
    from server.dispatch import Dispatcher
    from server.registry import CommandSpec, Handler
    from server.stats import CommandCounters

    # Neighbours of one command that may run together, and MULTI and EXEC, have no handler. In its place the first have
    # the specification and their number, and MULTI what it answers together with all up to EXEC's reply.
    Step = Tuple[Optional[Handler], CommandCounters, Any]

MAX_PLANS = 256
MIN_TOGETHER = 12  # from here on the columns of neighbours pay: 30 INCRs in a transaction, 0.95 -> 0.55 us each


class Plan:
    """`steps` are for each vector, or for neighbours together; `trips` what may stand before any of them."""

    __slots__ = ("steps", "commands", "trips", "publishes", "last")

    def __init__(self, steps: List[Step], specs: List[CommandSpec]) -> None:
        self.steps = steps
        self.commands = len(specs)
        self.trips = 0
        for spec in specs:
            self.trips |= spec.trips
        self.publishes = any(spec.publishes for spec in specs)
        self.last = specs[-1]


class Plans(dict):
    """Patterns to their plans, made when first asked for; None where a pattern has none."""

    __slots__ = ("_spellings", "_commands", "_multi", "_exec")

    def __init__(self, dispatch: Dispatcher) -> None:
        super().__init__()
        self._spellings = dispatch.spellings
        self._commands = dispatch.stats.commands
        self._multi = dispatch.registry.lookup(b"multi")
        self._exec = dispatch.registry.lookup(b"exec")

    def __missing__(self, pattern: Pattern) -> Plan | None:
        specs = list(map(self._spellings.get, pattern.names))
        if None in specs:
            return None  # not yet: they may be met in a moment
        if len(self) >= MAX_PLANS:
            self.clear()
        plan = self[pattern] = self._make(specs, pattern.widths)  # type: ignore[arg-type]
        return plan

    def _make(self, specs: List[CommandSpec], widths: Sequence[int]) -> Plan | None:
        steps: List[Step] = []
        begun = -1  # where the transaction under way stands in `steps`
        queued = 0
        for (spec, width), alike in groupby(zip(specs, widths)):
            count = len(list(alike))
            counters = self._commands[spec.id]
            if not spec.accepts(width):
                return None
            if spec is self._multi and begun < 0 and count == 1:
                begun, queued = len(steps), 0
                steps.append((None, counters, b""))
            elif spec is self._exec and begun >= 0 and count == 1:
                opening = b"+OK\r\n" + b"+QUEUED\r\n" * queued + b"*%d\r\n" % queued
                steps[begun] = (None, steps[begun][1], opening)
                steps.append((None, counters, None))
                begun = -1
            elif (spec.is_plain or spec.flags & NOT_PLAIN == BLOCKING) and (spec.has_keys or spec.publishes):
                # Anything else that is plain may change what was asked before the first step, as SELECT does. XREAD and
                # XREADGROUP may have to wait, which most of them do not ask for.
                queued += count
                if count >= MIN_TOGETHER and spec.together is not None and width == abs(spec.arity):
                    steps.append((None, counters, (spec, count)))
                else:
                    steps += [(spec.handler, counters, spec)] * count
            else:
                return None
        return Plan(steps, specs) if begun < 0 else None
