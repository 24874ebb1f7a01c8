"""What operators look at while the server runs: MONITOR, SLOWLOG, LATENCY."""

from __future__ import annotations

from protocol.reply import NO_REPLY, OK, Map, Verbatim
from server import admission
from server.number_arguments import integer_between
from server.registry import ADMIN, LOADING, NOSCRIPT, STALE, Group, subcommand_syntax
from storage.errors import CommandError
from storage.numeric import INT32_MAX
from storage.text import c_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence

    from server.registry import CommandSpec
    from server.session import Session

    Argv = Sequence[bytes]

server = Group("server")

DEFAULT_ENTRIES = 10
FINEST_BUCKET = 10  # durations up to 1024 ns count as one microsecond


@server.command(
    "MONITOR",
    arity=1,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="1.0.0",
)
def monitor(ctx: Session, argv: Argv) -> Any:
    """Show every command that the server runs to this connection."""
    if ctx.denies_blocking:
        raise CommandError(b"ERR MONITOR isn't allowed for DENY BLOCKING client")
    if ctx.mode & admission.IS_REPLICA:
        return NO_REPLY  # it does already; Redis says nothing
    ctx.server.monitoring.add(ctx)
    return OK


# Slow log ------------------------------------------------------------------------------------------------------

server.container(
    "SLOWLOG",
    since="2.2.12",
    summary="A container of the commands about the slow log.",
    help_since="6.2.0",
)


@server.command(
    "SLOWLOG|GET",
    arity=-2,
    flags=ADMIN | LOADING | STALE,
    since="2.2.12",
    complexity="O(N), N = entries returned",
    history=(("4.0.0", "Entries have the client's address and name."),),
    tips=("request_policy:all_nodes", "nondeterministic_output"),
    syntax="[count]",
)
def slowlog_get(ctx: Session, argv: Argv) -> List[Any]:
    """List the newest entries of the slow log."""
    if len(argv) > 3:
        raise CommandError(subcommand_syntax(argv))
    slowlog = ctx.server.slowlog
    count = DEFAULT_ENTRIES
    if len(argv) == 3:
        count = integer_between(argv[2], -1, INT32_MAX, b"ERR count should be greater than or equal to -1")
    entries = list(slowlog.entries)
    if count >= 0:
        entries = entries[:count]
    return [[entry.number, entry.time_s, entry.duration_us, entry.argv, entry.address, entry.name] for entry in entries]


@server.command(
    "SLOWLOG|LEN",
    arity=2,
    flags=ADMIN | LOADING | STALE,
    since="2.2.12",
    complexity="O(1)",
    tips=("request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"),
)
def slowlog_len(ctx: Session, argv: Argv) -> int:
    """Count the entries of the slow log."""
    return len(ctx.server.slowlog)


@server.command(
    "SLOWLOG|RESET",
    arity=2,
    flags=ADMIN | LOADING | STALE,
    since="2.2.12",
    complexity="O(N), N = entries in the slowlog",
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
)
def slowlog_reset(ctx: Session, argv: Argv) -> Any:
    """Forget the entries of the slow log."""
    ctx.server.slowlog.entries.clear()
    return OK


# Latency -------------------------------------------------------------------------------------------------------

server.container(
    "LATENCY",
    since="2.8.13",
    summary="A container of the commands about latency.",
    help_since="2.8.13",
)


@server.command(
    "LATENCY|LATEST",
    arity=2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="2.8.13",
    complexity="O(1)",
    tips=("nondeterministic_output", "request_policy:all_nodes", "response_policy:special"),
)
def latency_latest(ctx: Session, argv: Argv) -> List[Any]:
    """Tell the latest and the longest sample of every event."""
    return [
        [event, series.samples[-1][0], series.samples[-1][1], series.highest_ms]
        for event, series in ctx.server.latency.events.items()
    ]


@server.command(
    "LATENCY|HISTORY",
    arity=3,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="2.8.13",
    complexity="O(1)",
    tips=("nondeterministic_output", "request_policy:all_nodes", "response_policy:special"),
    syntax="event",
)
def latency_history(ctx: Session, argv: Argv) -> List[Any]:
    """List the samples of an event with their times."""
    series = ctx.server.latency.events.get(argv[2])
    return [] if series is None else [list(sample) for sample in series.samples]


@server.command(
    "LATENCY|RESET",
    arity=-2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="2.8.13",
    complexity="O(1)",
    tips=("request_policy:all_nodes", "response_policy:agg_sum"),
    syntax="[event...]",
)
def latency_reset(ctx: Session, argv: Argv) -> int:
    """Forget the samples of some events or of all."""
    count: int = ctx.server.latency.reset(argv[2:])
    return count


@server.command(
    "LATENCY|GRAPH",
    arity=3,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="2.8.13",
    complexity="O(1)",
    tips=("nondeterministic_output", "request_policy:all_nodes", "response_policy:special"),
    syntax="event",
)
def latency_graph(ctx: Session, argv: Argv) -> Verbatim:
    """Draw the samples of an event."""
    from server.latency_report import graph

    series = ctx.server.latency.events.get(argv[2])
    if series is None:
        raise CommandError(b"ERR No samples available for event '%b'" % c_text(argv[2]))
    text = graph(argv[2].decode("utf-8", "replace"), series, ctx.now_ms // 1000)
    return Verbatim(b"txt", text.encode())


@server.command(
    "LATENCY|DOCTOR",
    arity=2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="2.8.13",
    complexity="O(1)",
    tips=("nondeterministic_output", "request_policy:all_nodes", "response_policy:special"),
)
def latency_doctor(ctx: Session, argv: Argv) -> Verbatim:
    """Say what was slow and what may help."""
    from server.latency_report import doctor

    latency = ctx.server.latency
    text = doctor(latency.events, latency.threshold_ms, latency.slow_us, ctx.now_ms // 1000)
    return Verbatim(b"txt", text.encode())


@server.command(
    "LATENCY|HISTOGRAM",
    arity=-2,
    flags=ADMIN | NOSCRIPT | LOADING | STALE,
    since="7.0.0",
    complexity="O(N), N = commands asked for",
    tips=("nondeterministic_output", "request_policy:all_nodes", "response_policy:special"),
    syntax="[command...]",
)
def latency_histogram(ctx: Session, argv: Argv) -> Map:
    """Tell how many calls of each command took up to how many microseconds."""
    if len(argv) == 2:
        specs: List[CommandSpec] = list(ctx.registry.specs)
    else:
        specs = []
        for name in argv[2:]:
            spec = ctx.registry.lookup(name)
            if spec is not None:
                specs.append(spec)
                specs += (spec.subcommands or {}).values()
    measured = ctx.server.config.latency_tracking
    rows = []
    for spec in specs:
        counters = ctx.server.stats.of(spec)
        if counters.calls and measured:
            rows.append((spec.name, distribution(counters.histogram)))
    return Map(rows)


def distribution(histogram: Sequence[int]) -> Map:
    """Cumulative counts by the upper bounds of buckets that have any, in microseconds."""
    total = sum(histogram[: FINEST_BUCKET + 1])
    steps = [(1, total)] if total else []
    for bits in range(FINEST_BUCKET + 1, len(histogram)):
        if histogram[bits]:
            total += histogram[bits]
            # The greatest duration that a histogram of two significant digits cannot tell from 2**bits.
            bound_ns = (1 << bits) + (1 << bits - 7) - 1
            steps.append((bound_ns // 1000, total))
    return Map([(b"calls", total), (b"histogram_usec", Map(steps))])
