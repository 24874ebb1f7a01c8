"""OBJECT: how a value is stored and when it was used.

Grammar and replies; encodings are the values' own business, stamps and frequencies that of the database's `access`.
"""

from __future__ import annotations

from server.keyspecs import RO, one_key
from server.registry import READONLY, Group
from storage.errors import CommandError
from storage.numeric import INT32_MAX
from storage.types import byte_strings, kinds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

generic = Group("generic")

SHARED_REFERENCES = INT32_MAX  # Redis's count for an object that is never freed
SWITCH_NOTE = (
    b" Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."
)
NOT_LFU = b"ERR An LFU maxmemory policy is not selected, access frequency not tracked." + SWITCH_NOTE
NOT_LRU = b"ERR An LFU maxmemory policy is selected, idle time not tracked." + SWITCH_NOTE

generic.container(
    "OBJECT",
    since="2.2.3",
    summary="A container of commands that look into values.",
    help_since="6.2.0",
)


@generic.command(
    "OBJECT|ENCODING",
    arity=3,
    flags=READONLY,
    keys=one_key(RO, at=2),
    since="2.2.3",
    complexity="O(1)",
    tips=("nondeterministic_output",),
    syntax="key",
)
def object_encoding(ctx: Session, argv: Argv) -> bytes | None:
    """Name the internal form of the value at a key."""
    value = ctx.db.inspect(argv[2])
    return None if value is None else kinds.encoding_name(value, ctx.keyspace.limits)


@generic.command(
    "OBJECT|REFCOUNT",
    arity=3,
    flags=READONLY,
    keys=one_key(RO, at=2),
    since="2.2.3",
    complexity="O(1)",
    tips=("nondeterministic_output",),
    syntax="key",
)
def object_refcount(ctx: Session, argv: Argv) -> int | None:
    """Count the references to the value at a key, as Redis would."""
    value = ctx.db.inspect(argv[2])
    if value is None:
        return None
    config = ctx.server.config
    if config.maxmemory and config.maxmemory_policy.endswith(("lru", "lfu")):
        return 1  # where every value has a stamp of its own, Redis shares none
    is_string = value.__class__ is bytes
    return SHARED_REFERENCES if is_string and byte_strings.is_shared(value, ctx.keyspace.limits) else 1


def uses_frequencies(ctx: Session) -> bool:
    return "lfu" in str(ctx.server.config.maxmemory_policy)


@generic.command(
    "OBJECT|IDLETIME",
    arity=3,
    flags=READONLY,
    keys=one_key(RO, at=2),
    since="2.2.3",
    complexity="O(1)",
    tips=("nondeterministic_output",),
    syntax="key",
)
def object_idletime(ctx: Session, argv: Argv) -> int | None:
    """Tell for how many seconds a key has not been used."""
    if ctx.db.inspect(argv[2]) is None:
        return None
    if uses_frequencies(ctx):
        raise CommandError(NOT_LRU)
    return max(0, ctx.now_ms // 1000 - ctx.db.access.get(argv[2], ctx.keyspace.stamps_since_s))


@generic.command(
    "OBJECT|FREQ",
    arity=3,
    flags=READONLY,
    keys=one_key(RO, at=2),
    since="4.0.0",
    complexity="O(1)",
    tips=("nondeterministic_output",),
    syntax="key",
)
def object_freq(ctx: Session, argv: Argv) -> int | None:
    """Tell how often a key is used, on the logarithmic scale of the LFU policies."""
    if ctx.db.inspect(argv[2]) is None:
        return None
    if not uses_frequencies(ctx):
        raise CommandError(NOT_LFU)
    frequencies: Any = ctx.db.access
    count: int = frequencies.count_of(argv[2])
    return count
