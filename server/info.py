"""INFO: which sections there are, which of them a client asked for, and how they are printed.

Owns the table of sections, the identity of the process and the difference quotients (operations a second) that INFO
prints. A section is a function that yields `(field, value)` pairs; the neutral ones stand in `server.info_sections`.
A service whose subject begins to exist contributes in one of three ways, at start and without anybody's leave:

- `info.provide(field, call)`: the value of one field, in place of the neutral one;
- `info.sections[name] = function`: a whole section;
- `info.on_reset.append(call)`: what CONFIG RESETSTAT sets back besides.

Nothing is sampled while nobody asks: rates are those since the last time somebody did.
"""

from __future__ import annotations

import os
from time import monotonic, time

from server.memory_meter import MemoryMeter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

    from server.services import Services

    Fields = Iterable[Tuple[str, Any]]
    Section = Callable[["Info"], Fields]

NAMES = (
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cpu",
    "modules",
    "commandstats",
    "errorstats",
    "latencystats",
    "cluster",
    "keyspace",
)
DEBUG = "debug"  # in no other's company: what developers of a server measure
ON_REQUEST = frozenset(("commandstats", "latencystats"))  # left out unless named or all are wanted
MIN_RATE_PERIOD_S = 0.1  # who asks more often gets the rates of a moment ago
IDENTITY_BYTES = 20


class Info:
    """Everything INFO says of one server."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.memory = MemoryMeter()
        self.started_s = monotonic()
        self.started_at = int(time())  # seconds since the epoch
        self.run_id = os.urandom(IDENTITY_BYTES).hex()
        self.replication_id = os.urandom(IDENTITY_BYTES).hex()
        self.listeners: Sequence[Any] = ()
        self.on_reset: List[Callable[[], None]] = []
        self.providers: Dict[str, Callable[[], Any]] = {}
        # In the order of printing; None is the neutral one, which stands in one of the modules of that name.
        self.sections: Dict[str, Optional[Section]] = dict.fromkeys(NAMES)
        self.on_debug: Callable[[], None] = lambda: None  # somebody looks at the section that only developers name
        self.headlines: Dict[str, str] = {"cpu": "CPU"}
        self.rates = Rates(services)

    def provide(self, field: str, call: Callable[[], Any]) -> None:
        """Have `call` say the value of a field from now on."""
        self.providers[field] = call

    def value_of(self, field: str, neutral: Any) -> Any:
        """What INFO prints for a field, for other commands (LASTSAVE)."""
        call = self.providers.get(field)
        return neutral if call is None else call()

    def chosen(self, words: Iterable[bytes]) -> List[str]:
        """The names of the sections that these words mean; unknown words mean none."""
        wanted: Set[str] = set()
        for word in words:
            name = word.decode("latin-1").lower()
            if name == "default":
                wanted.update(name for name in self.sections if name not in ON_REQUEST)
            elif name in ("all", "everything"):
                wanted.update(self.sections)
            else:
                wanted.add("modules" if name == "module_list" else name)
        return [name for name in (*self.sections, DEBUG) if name in wanted]

    def fields(self, name: str) -> Fields:
        """The fields of one section as its function has them."""
        if name == DEBUG:
            self.on_debug()
        section = self.sections.get(name)
        if section is None:
            from server import info_details, info_sections  # here, since no start needs them

            section = getattr(info_sections, name, None) or getattr(info_details, name)
        return section(self)

    def text(self, words: Sequence[bytes]) -> bytes:
        """What INFO answers."""
        names = self.chosen(words or (b"default",))
        # Memory last: some of the others load parts of the program when they are first asked for, and who then sets a
        # limit a little above what is used has to find them in the figure.
        blocks = {name: self.block(name) for name in sorted(names, key="memory".__eq__)}
        return "\r\n".join(blocks[name] for name in names).encode("utf-8", "surrogateescape")

    def block(self, name: str) -> str:
        """One section with its headline, each line ended."""
        providers = self.providers
        lines = ["# " + self.headlines.get(name, name.capitalize())]
        for field, value in self.fields(name):
            if field in providers:
                value = providers[field]()
            if isinstance(value, bytes):
                value = value.decode("utf-8", "surrogateescape")
            lines.append("%s:%s" % (field, value))
        return "\r\n".join(lines) + "\r\n"

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT: all that counts events begins at zero again; what is there now stays."""
        services = self.services
        services.stats.reset()
        keyspace = services.keyspace
        keyspace.hits = keyspace.misses = 0
        keyspace.expired_keys = keyspace.expired_fields = keyspace.evicted_keys = 0
        keyspace.expiry_ns = keyspace.expiry_cuts = 0
        keyspace.graveyard.freed = 0
        self.rates = Rates(services)
        for call in self.on_reset:
            call()


class Rates:
    """Differences of counters over time, each since the last time it was asked for."""

    __slots__ = ("services", "counters", "asked_s", "per_second")

    def __init__(self, services: Services) -> None:
        self.services = services
        self.counters: Dict[str, int] = {}
        self.per_second: Dict[str, float] = {}
        self.asked_s = 0.0

    def take(self) -> Dict[str, float]:
        """Operations, bytes in and out, turns of the loop and their nanoseconds, each a second."""
        now_s = monotonic()
        elapsed_s = now_s - self.asked_s
        if elapsed_s < MIN_RATE_PERIOD_S:
            return self.per_second
        stats = self.services.stats
        present = {
            "operations": stats.commands_processed,
            "net_in": stats.net_in,
            "net_out": stats.net_out,
            "turns": stats.turns,
            "turns_ns": stats.turns_ns,
        }
        before = self.counters
        if not before:
            elapsed_s = max(MIN_RATE_PERIOD_S, now_s - self.services.info.started_s)
        self.per_second = {name: (count - before.get(name, 0)) / elapsed_s for name, count in present.items()}
        self.counters = present
        self.asked_s = now_s
        return self.per_second
