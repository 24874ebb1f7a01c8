"""The sections of INFO that are tables: a line for each command, error code or database."""

from __future__ import annotations

from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List

    from server.info import Fields, Info
    from server.stats import CommandCounters

TTL_SAMPLES = 64  # deadlines that stand for all in avg_ttl

# What would be taken for the syntax of INFO, as Redis replaces it.
SAFE_IN_NAMES = bytes.maketrans(b"#:\n\r", b"____")


def counted_commands(info: Info) -> Iterator[tuple[str, CommandCounters]]:
    """Every command that was called or refused, with its counters."""
    stats = info.services.stats
    for spec in info.services.registry.specs:
        counters = stats.of(spec)
        if counters.calls or counters.rejected or counters.failed:
            yield spec.name.decode(), counters


def modules(info: Info) -> Fields:
    """There are none."""
    return ()


def commandstats(info: Info) -> Fields:
    """Calls of each command and the time they took."""
    for name, counters in counted_commands(info):
        microseconds = counters.total_ns // 1000
        mean = microseconds / counters.calls if counters.calls else 0.0
        yield (
            "cmdstat_" + name,
            "calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d"
            % (counters.calls, microseconds, mean, counters.rejected, counters.failed),
        )


def debug(info: Info) -> Fields:
    """How the loop spends its time, in microseconds; the interpreter of scripts has no allocator of its own here."""
    stats = info.services.stats
    yield "eventloop_duration_aof_sum", stats.log_writes_ns // 1000
    yield "eventloop_duration_cron_sum", stats.timers_ns // 1000
    yield "eventloop_duration_max", stats.longest_turn_ns // 1000
    yield "eventloop_cmd_per_cycle_max", stats.most_commands
    for name in ("allocated", "active", "resident", "frag_bytes"):
        yield "allocator_%s_lua" % name, 0


def errorstats(info: Info) -> Fields:
    """How often each error code was answered."""
    for code, count in sorted(info.services.stats.errors.items()):
        name = code.translate(SAFE_IN_NAMES).decode("utf-8", "backslashreplace")
        yield "errorstat_" + name, "count=%d" % count


def latencystats(info: Info) -> Fields:
    """The percentiles that `latency-tracking-info-percentiles` names, in microseconds."""
    config = info.services.config
    if not config.latency_tracking:
        return
    wanted = config.latency_tracking_info_percentiles
    names = [("p%f" % percentile).rstrip("0").rstrip(".") for percentile in wanted]
    for name, counters in counted_commands(info):
        if counters.calls:
            found = percentiles_ns(counters.histogram, wanted)
            text = ",".join("%s=%.3f" % (label, ns / 1000) for label, ns in zip(names, found))
            yield "latency_percentiles_usec_" + name, text


def percentiles_ns(histogram: List[int], wanted: tuple[float, ...]) -> List[float]:
    """The durations below which so many percent of calls lie.

    Buckets double, so a value is interpolated inside its bucket, as if its calls were spread evenly.
    """
    total = sum(histogram)
    found = []
    for percentile in wanted:
        left = max(1.0, total * percentile / 100.0)
        value = 0.0
        for bits, count in enumerate(histogram):
            if count and left <= count:
                low = 1 << bits - 1 if bits else 0
                value = low + (low or 1) * left / count
                break
            left -= count
        found.append(value)
    return found


def cluster(info: Info) -> Fields:
    """Not here."""
    yield "cluster_enabled", 0


def keyspace(info: Info) -> Fields:
    """The databases that hold keys. The mean time to live is that of some keys."""
    for db in info.services.keyspace.databases:
        if not db.data:
            continue
        sample = list(islice(db.lapses.values(), TTL_SAMPLES))
        mean_ms = max(0, sum(sample) // len(sample) - db.clock.now_ms) if sample else 0
        yield (
            "db%d" % db.number,
            "keys=%d,expires=%d,avg_ttl=%d,subexpiry=%d"
            % (len(db.data), len(db.lapses), mean_ms, len(db.field_deadlines.live)),
        )
