"""MEMORY: what keys and the server take.

MEMORY USAGE answers with what Redis would take for a key (`storage.sizes`), the rest with what this process takes.
"""

from __future__ import annotations

from protocol.reply import OK, Map, Verbatim
from server.garbage import collect_all
from server.keyspecs import RO, one_key
from server.memory_meter import NOT_GLIBC, resident_bytes
from server.number_arguments import integer
from server.registry import READONLY, Group
from storage import sizes
from storage.errors import SYNTAX_ERROR, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

server = Group("server")

LITTLE_BYTES = 5 << 20  # a data set smaller than this has no memory problems worth a word
PEAK_RATIO = 1.5
RESIDENT_RATIO = 1.4
RESIDENT_MARGIN = 64 << 20  # the interpreter itself is resident, too
MUCH_PER_CLIENT = 200 << 10
MUCH_PER_REPLICA = 10 << 20

server.container(
    "MEMORY",
    since="4.0.0",
    summary="A container of the commands that measure memory.",
    help_since="4.0.0",
)


@server.command(
    "MEMORY|USAGE",
    arity=-3,
    flags=READONLY,
    keys=one_key(RO, at=2),
    since="4.0.0",
    complexity="O(N), N = samples",
    syntax="key [SAMPLES count]",
)
def memory_usage(ctx: Session, argv: Argv) -> int | None:
    """Estimate the bytes that a key and its value take."""
    samples = sizes.DEFAULT_SAMPLES
    for at in range(3, len(argv), 2):
        if argv[at].upper() != b"SAMPLES" or at + 1 == len(argv):
            raise CommandError(SYNTAX_ERROR)
        samples = integer(argv[at + 1])
        if samples < 0:
            raise CommandError(SYNTAX_ERROR)
    value = ctx.db.data.get(argv[2])  # as in Redis also of a key whose time is over, which stays
    return None if value is None else sizes.usage(argv[2], value, ctx.keyspace.limits, samples)


@server.command(
    "MEMORY|STATS",
    arity=2,
    since="4.0.0",
    complexity="O(1)",
    tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
)
def memory_stats(ctx: Session, argv: Argv) -> Map:
    """Report how much memory is used for what."""
    from server import info_sections as parts

    info = ctx.server.info
    used = info.memory.used_bytes()
    peak = info.memory.peak_bytes
    startup = min(used, info.memory.startup_bytes)
    resident = resident_bytes() or used
    overhead = min(used, parts.overhead_bytes(info))
    keys = len(ctx.keyspace)
    rows: list[tuple[bytes, Any]] = [
        (b"peak.allocated", peak),
        (b"total.allocated", used),
        (b"startup.allocated", startup),
        (b"replication.backlog", int(info.value_of("mem_replication_backlog", 0))),
        (b"clients.slaves", parts.client_bytes(info, True)),
        (b"clients.normal", parts.client_bytes(info, False)),
        (b"cluster.links", 0),
        (b"aof.buffer", int(info.value_of("mem_aof_buffer", 0))),
        (b"lua.caches", int(info.value_of("used_memory_scripts_eval", 0))),
        (b"functions.caches", int(info.value_of("used_memory_functions", 0))),
    ]
    for db in ctx.keyspace.databases:
        if db.data:
            main = sizes.table_size(len(db.data)) + sizes.ENTRY_BYTES * len(db.data)
            expires = sizes.table_size(len(db.lapses)) + sizes.ENTRY_BYTES * len(db.lapses)
            tables = [(b"overhead.hashtable.main", main), (b"overhead.hashtable.expires", expires)]
            rows.append((b"db.%d" % db.number, Map(tables)))
    rows += [
        (b"overhead.db.hashtable.lut", sum(sizes.table_size(len(db.data)) for db in ctx.keyspace.databases if db.data)),
        (b"overhead.db.hashtable.rehashing", 0),
        (b"overhead.total", overhead),
        (b"db.dict.rehashing.count", 0),
        (b"keys.count", keys),
        (b"keys.bytes-per-key", (used - startup) // keys if keys else 0),
        (b"dataset.bytes", used - overhead),
        (b"dataset.percentage", min(100.0, 100.0 * parts.ratio(used - overhead, used - startup))),
        (b"peak.percentage", 100.0 * parts.ratio(used, peak)),
        (b"allocator.allocated", used),
        (b"allocator.active", resident),
        (b"allocator.resident", resident),
        (b"allocator.muzzy", 0),
        (b"allocator-fragmentation.ratio", parts.ratio(resident, used)),
        (b"allocator-fragmentation.bytes", resident - used),
        (b"allocator-rss.ratio", 1.0),
        (b"allocator-rss.bytes", 0),
        (b"rss-overhead.ratio", 1.0),
        (b"rss-overhead.bytes", 0),
        (b"fragmentation", parts.ratio(resident, used)),
        (b"fragmentation.bytes", resident - used),
    ]
    return Map(rows)


@server.command(
    "MEMORY|DOCTOR",
    arity=2,
    since="4.0.0",
    complexity="O(1)",
    tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
)
def memory_doctor(ctx: Session, argv: Argv) -> Verbatim:
    """Look for memory problems and say what may be done about them."""
    from server import info_sections as parts

    info = ctx.server.info
    used = info.memory.used_bytes()
    if used - info.memory.startup_bytes < LITTLE_BYTES:
        text = "There is next to nothing in memory, so there is nothing to examine. Come back with more data."
        return Verbatim(b"txt", text.encode())
    findings = []
    if info.memory.peak_bytes > used * PEAK_RATIO:
        findings.append(
            "Peak: more than half as much again was in use at some time. What was freed is reused by new data, but "
            "may not go back to the system before a restart."
        )
    if resident_bytes() > used * RESIDENT_RATIO + RESIDENT_MARGIN:
        findings.append(
            "Fragmentation: the process holds much more than its data need, because blocks of memory are only partly "
            "filled. It shrinks as data come and go; MEMORY PURGE collects what can be collected, a restart all."
        )
    sessions = max(1, len(ctx.server.clients))
    if parts.client_bytes(info, False) > sessions * MUCH_PER_CLIENT:
        findings.append(
            "Clients: their buffers are large. Some may not read what they ask for; CLIENT LIST shows `omem` and "
            "`qbuf`, and client-output-buffer-limit bounds them."
        )
    replicas = len(ctx.server.clients.of_kind(b"replica"))
    if replicas and parts.client_bytes(info, True) > replicas * MUCH_PER_REPLICA:
        findings.append("Replicas: much output waits for them. They may be too slow, or the link to them is.")
    if not findings:
        return Verbatim(b"txt", b"No memory problem was found.")
    text = "This looks suspicious:\n\n" + "".join(" * %s\n\n" % finding for finding in findings)
    return Verbatim(b"txt", text.encode())


@server.command(
    "MEMORY|MALLOC-STATS",
    arity=2,
    since="4.0.0",
    complexity="Depends on the memory in use, may be slow",
    tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
)
def memory_malloc_stats(ctx: Session, argv: Argv) -> Verbatim:
    """Report what the interpreter's allocator tells of itself."""
    import gc
    import sys

    memory = ctx.server.info.memory
    blocks = getattr(sys, "getallocatedblocks", None)
    lines = [
        "in use: %d bytes" % memory.used_bytes(),
        "resident: %d bytes" % resident_bytes(),
        "small blocks: %s" % (blocks() if blocks else "unknown"),
        "collector generations: %s" % (list(gc.get_count()) if hasattr(gc, "get_count") else "unknown"),
    ]
    return Verbatim(b"txt", "\n".join(lines).encode() + b"\n")


@server.command(
    "MEMORY|PURGE",
    arity=2,
    since="4.0.0",
    complexity="Depends on the memory in use, may be slow",
    tips=("request_policy:all_shards", "response_policy:all_succeeded"),
)
def memory_purge(ctx: Session, argv: Argv) -> Any:
    """Collect garbage and hand free memory back to the system where that can be done."""
    collect_all()
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except NOT_GLIBC:
        pass  # the collector is all there is
    return OK
