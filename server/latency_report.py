"""What LATENCY GRAPH and LATENCY DOCTOR print: a curve in characters, and advice in words.

Works on samples; must not know where they come from. Redis's measures and structure, with words of this project.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Sequence, Tuple

    from server.latency import Series

COLUMNS = 80
ROWS = 4
LEVELS = "_o#"  # three heights in one row of characters


def age_label(seconds: int) -> str:
    """How long ago, in the largest unit that fits."""
    for unit, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit:
            return "%d%s" % (seconds // unit, letter)
    return "%ds" % seconds


def sparkline(columns: Sequence[Tuple[int, str]]) -> List[str]:
    """Bars for values, filled below their tops, with each column's label written downwards below."""
    values = [value for value, _ in columns]
    least, most = min(values), max(values)
    steps = len(LEVELS) * ROWS
    lines = []
    heights = [min(steps - 1, (value - least) * steps // ((most - least) or 1)) for value in values]
    for row in range(ROWS - 1, -1, -1):
        line = ""
        for height in heights:
            above = height - row * len(LEVELS)
            line += " " if above < 0 else LEVELS[above] if above < len(LEVELS) else "|"
        lines.append(line)
    lines.append(" " * len(columns))
    for at in range(max(len(label) for _, label in columns)):
        lines.append("".join([label[at : at + 1] or " " for _, label in columns]))
    return lines


def graph(event: str, series: Series, now_s: int) -> str:
    """The samples of one event, at most one screen's width of them."""
    samples = series.samples[-COLUMNS:]
    times = [took_ms for _, took_ms in samples]
    head = "%s - high %d ms, low %d ms (all time high %d ms)" % (event, max(times), min(times), series.highest_ms)
    columns = [(took_ms, age_label(max(0, now_s - time_s))) for time_s, took_ms in samples]
    return "\n".join([head, "-" * COLUMNS] + sparkline(columns)) + "\n"


SLOW_LOG_OFF = "The slow log is off. Turn it on: CONFIG SET slowlog-log-slower-than %d."
SLOW_LOG_HIGH = (
    "The slow log only takes commands that are slower than the threshold of the latency monitor. Lower it: "
    "CONFIG SET slowlog-log-slower-than %d."
)
SLOW_LOG = "Look at SLOWLOG GET for the commands that take long."
LARGE = (
    "Deleting, expiring or evicting a large value takes long. Use UNLINK and the lazyfree directives, or several "
    "smaller values."
)
EXPIRY = "Many keys expire in the same moment. Spread their deadlines."
FORK = "Snapshots and log rewrites fork, which copies page tables. Less memory, or a faster machine, shortens it."
DISK = "The disk is slow, or others use it too. Consider appendfsync everysec or no, and no-appendfsync-on-rewrite."
ADVICE: Dict[str, Tuple[str, ...]] = {
    "fork": (FORK,),
    "aof-write": (DISK,),
    "aof-write-pending-fsync": (DISK,),
    "aof-write-active-child": (DISK,),
    "aof-write-alone": (DISK,),
    "aof-fsync-always": (DISK,),
    "aof-fstat": (DISK,),
    "aof-rename": (DISK,),
    "aof-rewrite-diff-write": (DISK,),
    "rdb-unlink-temp-file": (DISK,),
    "expire-cycle": (EXPIRY, LARGE),
    "expire-del": (LARGE,),
    "eviction-del": (LARGE,),
    "eviction-cycle": (LARGE,),
}


def advice_for(events: Sequence[str], threshold_ms: int, slow_us: int) -> List[str]:
    """What to do about these events, each piece once."""
    found: Dict[str, None] = {}
    for event in events:
        if event == "command":
            if slow_us < 0:
                found[SLOW_LOG_OFF % (threshold_ms * 1000)] = None
            elif slow_us // 1000 > threshold_ms:
                found[SLOW_LOG_HIGH % (threshold_ms * 1000)] = None
            found[SLOW_LOG] = None
            found[LARGE] = None
        elif event == "fast-command":
            found["Fast commands are slow too: look for other load on this machine, and for swapping."] = None
        for piece in ADVICE.get(event, ()):
            found[piece] = None
    return list(found)


def doctor(events: Dict[bytes, Series], threshold_ms: int, slow_us: int, now_s: int) -> str:
    """The report of LATENCY DOCTOR."""
    if not threshold_ms and not events:
        return (
            "Nothing is measured: the latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> "
            "turns it on.\n"
        )
    if not events:
        return "No latency spike was seen since the start or the last LATENCY RESET.\n"
    lines = ["Latency spikes were seen on this server.", ""]
    names = []
    for number, (event, series) in enumerate(events.items(), 1):
        name = event.decode("utf-8", "replace")
        names.append(name)
        lines.append(
            "%d. %s: %d latency spikes (average %dms, mean deviation %dms, period %.2f sec). Worst all time event %dms."
            % (
                number,
                name,
                len(series.samples),
                series.mean_ms(),
                series.deviation_ms(),
                series.period_s(now_s),
                series.highest_ms,
            )
        )
    advice = advice_for(names, threshold_ms, slow_us)
    if advice:
        lines += ["", "What may help:", ""]
        lines += ["- " + piece for piece in advice]
    return "\n".join(lines) + "\n"
