"""What scripts and functions declare of themselves, and what that means for the command that runs them.

A script without a line of flags is *compatible*: its command is admitted by its own declaration, and nothing is asked
before it runs.
"""

from __future__ import annotations

from server import registry as declared
from server.admission import trips_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from server.registry import CommandSpec

NO_WRITES, ALLOW_OOM, ALLOW_STALE, NO_CLUSTER, CROSS_SLOT = 1, 2, 4, 8, 16
COMPATIBLE = 32
FLAG_NAMES = {
    b"no-writes": NO_WRITES,
    b"allow-oom": ALLOW_OOM,
    b"allow-stale": ALLOW_STALE,
    b"no-cluster": NO_CLUSTER,
    b"allow-cross-slot-keys": CROSS_SLOT,
}


def trips_with(spec: CommandSpec, flags: int) -> int:
    """The conditions that concern a command which runs a script with these flags (server.admission)."""
    of_command = spec.flags & ~declared.RUNS_SCRIPT
    if not flags & COMPATIBLE:
        of_command &= ~(declared.MAY_REPLICATE | declared.STALE)
        if not flags & NO_WRITES:
            of_command |= declared.WRITE
            if not flags & ALLOW_OOM:
                of_command |= declared.DENYOOM
        if flags & ALLOW_STALE:
            of_command |= declared.STALE
    return trips_of(of_command)
