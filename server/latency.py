"""The latency monitor: for each kind of event the times when it took `latency-monitor-threshold` milliseconds or more.

Owns the samples and what is worked out from them; who measures something calls `add`, or `timed` around it. Also owns
the floor from which on dispatch reports a command, which slow log and monitor share.
"""

from __future__ import annotations

from time import perf_counter_ns

from server import registry as declared
from server.dispatch import LONG_NS
from server.session import BLOCKED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Sequence, Tuple

    from server.config.configuration import Config
    from server.registry import CommandSpec
    from server.services import Services
    from server.session import Session

MAX_SAMPLES = 160


class Series:
    """The samples of one event, oldest first: (seconds since the epoch, milliseconds), one a second at most."""

    __slots__ = ("samples", "highest_ms")

    def __init__(self) -> None:
        self.samples: List[Tuple[int, int]] = []
        self.highest_ms = 0  # also of samples that are forgotten

    def add(self, time_s: int, took_ms: int) -> None:
        if took_ms > self.highest_ms:
            self.highest_ms = took_ms
        samples = self.samples
        if samples and samples[-1][0] == time_s:
            if took_ms > samples[-1][1]:
                samples[-1] = (time_s, took_ms)
            return
        samples.append((time_s, took_ms))
        if len(samples) > MAX_SAMPLES:
            del samples[0]

    def mean_ms(self) -> int:
        return sum([took_ms for _, took_ms in self.samples]) // len(self.samples)

    def deviation_ms(self) -> int:
        """The mean distance from the mean."""
        mean_ms = self.mean_ms()
        return sum([abs(took_ms - mean_ms) for _, took_ms in self.samples]) // len(self.samples)

    def period_s(self, now_s: int) -> float:
        """The mean time between two samples, up to now."""
        return (now_s - self.samples[0][0]) / len(self.samples)


class Latency:
    """All series by the name of their event."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.events: Dict[bytes, Series] = {}
        self.threshold_ms = 0
        self.follow(services.config)
        services.config.on_change("latency-monitor-threshold", self.follow)
        services.config.on_change("slowlog-log-slower-than", self.follow)
        services.dispatch.observe_slow = self.observe

    def follow(self, config: Config) -> None:
        """Obey the thresholds: know from how many nanoseconds on a command has to be reported."""
        self.threshold_ms = config.latency_monitor_threshold
        self.slow_us = config.slowlog_log_slower_than
        floors = [LONG_NS]
        if self.slow_us >= 0:
            floors.append(self.slow_us * 1000 - 1)
        if self.threshold_ms:
            floors.append(self.threshold_ms * 1_000_000 - 1)
        self.services.dispatch.slow_floor_ns = min(floors)

    def observe(self, session: Session, spec: CommandSpec, argv: Sequence[bytes], elapsed_ns: int) -> None:
        """A command has run for longer than the floor; one that blocked will be reported when it has run again."""
        if session.halted & BLOCKED:
            return
        if 0 <= self.slow_us <= elapsed_ns // 1000 and not spec.flags & declared.SKIP_SLOWLOG:
            waiter = session.waiter
            if waiter is not None and argv is waiter.argv:
                argv = waiter.asked  # what a client said, not what it meant by `$` when it began to wait
            self.services.slowlog.add(session, argv, elapsed_ns // 1000)
        if self.threshold_ms:
            self.add(b"fast-command" if spec.flags & declared.FAST else b"command", elapsed_ns // 1_000_000)

    def add(self, event: bytes, took_ms: int) -> None:
        """Something took this long."""
        if self.threshold_ms and took_ms >= self.threshold_ms:
            series = self.events.get(event)
            if series is None:
                series = self.events[event] = Series()
            series.add(self.services.keyspace.clock.refresh() // 1000, took_ms)

    def timed(self, event: bytes, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call, and add how long it took."""
        started_ns = perf_counter_ns()
        result = call(*arguments)
        self.add(event, (perf_counter_ns() - started_ns) // 1_000_000)
        return result

    def reset(self, events: Sequence[bytes]) -> int:
        """Forget some events or all; returns how many there were."""
        count = 0
        for event in events or list(self.events):
            count += self.events.pop(event, None) is not None
        return count
