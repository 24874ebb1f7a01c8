"""Counters that INFO shows: of the server, of each command, of each error code.

Owns numbers and how they add up; must not know how they are printed. Durations are nanoseconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List

    from server.registry import CommandSpec, Registry

BUCKETS = 64  # a nanosecond count of more bits would be five centuries
OVERFLOWN = b"ERRORSTATS_DISABLED"  # stands alone where there were too many codes, until CONFIG RESETSTAT
LONGEST_ERROR_CODE = 30  # bytes, as in Redis: a first word that is longer, or all there is, is no code
MAX_ERROR_CODES = 128  # as in Redis: a client must not fill memory with codes of its own making


def code_of(text: bytes) -> bytes:
    """What an error counts as."""
    end = text.find(b" ", 0, LONGEST_ERROR_CODE + 1)
    return b"ERR" if end < 0 else text[:end]


class CommandCounters:
    """What is counted for one command. `histogram[n]` are calls that took from 2**(n-1) up to 2**n nanoseconds."""

    __slots__ = ("calls", "total_ns", "rejected", "failed", "histogram")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """CONFIG RESETSTAT. The refusals by ACLs go on being counted, as in Redis."""
        self.calls = 0
        self.total_ns = 0
        self.rejected = 0
        self.failed = 0
        self.histogram: List[int] = [0] * BUCKETS

    def count(self, calls: int, elapsed_ns: int) -> None:
        """Add a run of calls; their mean stands for each in the histogram."""
        self.calls += calls
        self.total_ns += elapsed_ns
        self.histogram[(elapsed_ns // calls).bit_length()] += calls


class Stats:
    """All counters, most of them since the last CONFIG RESETSTAT."""

    def __init__(self, registry: Registry) -> None:
        self.commands: List[CommandCounters] = [CommandCounters() for _ in registry.specs]
        self.on_error_overflow: Callable[[], None] = lambda: None
        # Denials are no statistics to Redis: CONFIG RESETSTAT leaves them.
        self.acl_denied_auth = 0
        self.acl_denied_command = 0
        self.acl_denied_key = 0
        self.acl_denied_channel = 0
        self.reset()

    def reset(self) -> None:
        for counters in self.commands:
            counters.reset()  # in place: CONFIG RESETSTAT itself is the first that is counted again
        self.errors: Dict[bytes, int] = {}
        self.error_replies = 0
        self.is_error_waived = False
        self.unexpected_errors = 0
        self.connections_received = 0
        self.connections_rejected = 0
        self.net_in = 0
        self.net_out = 0
        self.query_limit_disconnections = 0
        self.output_limit_disconnections = 0
        self.turns = 0
        self.turns_ns = 0
        self.longest_turn_ns = 0
        self.timers_ns = 0
        self.log_writes_ns = 0
        self.most_commands = 0  # of one turn, once `count_turn` is called
        self.commands_before = 0
        self.reads = 0
        self.writes = 0

    def of(self, spec: CommandSpec) -> CommandCounters:
        return self.commands[spec.id]

    @property
    def commands_processed(self) -> int:
        return sum(counters.calls for counters in self.commands)

    def count_turn(self) -> None:
        """Before sleeping: keep the largest number of commands of a turn. Called from the first INFO debug on: adding
        up all counters costs a turn as much as a command."""
        processed = self.commands_processed
        self.most_commands = max(self.most_commands, processed - self.commands_before)
        self.commands_before = processed

    def waive_next_error(self) -> None:
        """The error that is about to be counted was counted where it arose, or asks not to be."""
        self.is_error_waived = True

    def count_error(self, text: bytes) -> None:
        """Count an error reply under its first word."""
        if self.is_error_waived:
            self.is_error_waived = False
            return
        self.error_replies += 1
        code = code_of(text)
        errors = self.errors
        if code in errors:
            errors[code] += 1
        elif len(errors) < MAX_ERROR_CODES and OVERFLOWN not in errors:
            errors[code] = 1
        elif OVERFLOWN not in errors:
            self.errors = {OVERFLOWN: 1}
            self.on_error_overflow()
