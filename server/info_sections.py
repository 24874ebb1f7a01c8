"""The sections of INFO that every server prints: what is known of each field, Redis's neutral value for the rest.

Fields stand in the order of Redis 7.4, since people read them so. Each function yields `(field, value)`; a service
that knows better provides the field (see `server.info`). Per-command tables and the like are `server.info_details`.
"""

from __future__ import annotations

import os
import selectors
import sys
from time import monotonic, time_ns

from server.client_description import recent_input
from server.memory_meter import resident_bytes, total_bytes
from server.session import BLOCKED, PAUSED
from server.version import ALLOCATOR, MONOTONIC_CLOCK, REDIS_VERSION, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from server.info import Fields, Info

SECONDS_A_DAY = 86_400
LRU_CLOCK_BITS = 24
NO_REPLICATION_ID = "0" * 40
CLIENT_BYTES = 2048  # a session, its connection and its parser without data


def human(size: int) -> str:
    """A number of bytes as INFO's _human fields show it."""
    if size < 1024:
        return "%dB" % size
    amount = float(size)
    for unit in "KMGT":
        amount /= 1024.0
        if amount < 1024.0 or unit == "T":
            break
    return "%.2f%s" % (amount, unit)


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def text_of(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def server(info: Info) -> Fields:
    """What runs where, since when."""
    config = info.services.config
    system = os.uname() if hasattr(os, "uname") else None
    uptime_s = int(monotonic() - info.started_s)
    now_us = time_ns() // 1000
    yield "redis_version", REDIS_VERSION
    yield "redis_git_sha1", "00000000"
    yield "redis_git_dirty", 0
    yield "redis_build_id", "0000000000000000"
    yield "redis_mode", "standalone"
    yield "rediselect_version", VERSION
    yield "python_version", "%s %d.%d.%d" % (sys.implementation.name, *sys.version_info[:3])
    yield "os", "%s %s %s" % (system[0], system[2], system[4]) if system else sys.platform
    yield "arch_bits", 64 if sys.maxsize > 2**32 else 32
    yield "monotonic_clock", MONOTONIC_CLOCK
    yield "multiplexing_api", selectors.DefaultSelector.__name__.replace("Selector", "").lower()
    yield "atomicvar_api", "none"
    yield "gcc_version", "0.0.0"
    yield "process_id", os.getpid()
    yield "process_supervised", config.supervised
    yield "run_id", info.run_id
    yield "tcp_port", config.port
    yield "server_time_usec", now_us
    yield "uptime_in_seconds", uptime_s
    yield "uptime_in_days", uptime_s // SECONDS_A_DAY
    yield "hz", config.hz
    yield "configured_hz", config.hz
    yield "lru_clock", now_us // 1_000_000 & (1 << LRU_CLOCK_BITS) - 1
    yield "executable", os.path.abspath(sys.executable or "python3")
    yield "config_file", text_of(config.config_file)
    yield "io_threads_active", 0
    yield from listener_fields(info)
    remaining_ms = info.services.lifecycle.remaining_ms()
    if remaining_ms:
        yield "shutdown_in_milliseconds", remaining_ms


def listener_fields(info: Info) -> Fields:
    """One field a kind of listener, with all its addresses. Each kind has a number of its own."""
    config = info.services.config
    open_kinds = {listener.kind for listener in info.listeners}
    for place, kind in enumerate(("tcp", "unix", "tls")):
        if kind not in open_kinds:
            continue
        if kind == "unix":
            yield "listener%d" % place, "name=unix,bind=%s" % text_of(config.unixsocket)
            continue
        addresses = "".join(",bind=" + address for address in config.bind)
        port = config.tls_port if kind == "tls" else config.port
        yield "listener%d" % place, "name=%s%s,port=%d" % (kind, addresses, port)


def clients(info: Info) -> Fields:
    """Who is connected, and what they wait for."""
    services = info.services
    sessions = list(services.clients)
    replicas = sum(session.kind in (b"replica", b"master") for session in sessions)
    now_ms = services.keyspace.clock.now_ms
    inputs = (recent_input(session, now_ms) for session in sessions if session.connection is not None)
    blocking = services.blocking
    yield "connected_clients", len(sessions) - replicas
    yield "cluster_connections", 0
    yield "maxclients", services.config.maxclients
    yield "client_recent_max_input_buffer", max(inputs, default=0)
    yield "client_recent_max_output_buffer", max((session.out_bytes for session in sessions), default=0)
    yield "blocked_clients", sum(bool(session.halted & (BLOCKED | PAUSED)) for session in sessions)
    yield "tracking_clients", sum(session.tracking is not None for session in sessions)
    yield "pubsub_clients", sum(bool(session.subscriptions) for session in sessions)
    yield "watching_clients", sum(bool(session.watched and session.watched.existed) for session in sessions)
    yield "clients_in_timeout_table", sum(waiter.timer is not None for waiter in blocking.waiters.values())
    yield "total_watched_keys", len(services.watching.watchers)
    yield "total_blocking_keys", len(blocking.queues)
    yield "total_blocking_keys_on_nokey", sum(
        any(waiter.block.wakes_on_loss for waiter in queue) for queue in blocking.queues.values()
    )


def client_bytes(info: Info, is_replica: bool) -> int:
    """The memory of all clients of a class, buffers included."""
    total = 0
    for session in info.services.clients:
        if (session.kind == b"replica") is is_replica:
            pending = session.connection.parser.pending_bytes() if session.connection is not None else 0
            total += CLIENT_BYTES + session.out_bytes + pending
    return total


def overhead_bytes(info: Info) -> int:
    """What is used for other things than keys and values: the program, clients, the tables of keys."""
    total = info.memory.startup_bytes + client_bytes(info, False) + client_bytes(info, True)
    for db in info.services.keyspace.databases:
        total += 100 * len(db.data) + 150 * len(db.lapses)  # entries of three dictionaries; a heap entry more
    return total


def memory(info: Info) -> Fields:
    """What is used for what. The interpreter's allocators stand in for Redis's."""
    config = info.services.config
    used = info.memory.used_bytes()
    peak = info.memory.peak_bytes
    startup = min(used, info.memory.startup_bytes)
    resident = resident_bytes() or used
    overhead = min(used, overhead_bytes(info))
    system = total_bytes()
    graveyard = info.services.keyspace.graveyard
    yield "used_memory", used
    yield "used_memory_human", human(used)
    yield "used_memory_rss", resident
    yield "used_memory_rss_human", human(resident)
    yield "used_memory_peak", peak
    yield "used_memory_peak_human", human(peak)
    yield "used_memory_peak_perc", "%.2f%%" % (100.0 * ratio(used, peak))
    yield "used_memory_overhead", overhead
    yield "used_memory_startup", startup
    yield "used_memory_dataset", used - overhead
    yield "used_memory_dataset_perc", "%.2f%%" % min(100.0, 100.0 * ratio(used - overhead, used - startup))
    yield "allocator_allocated", used
    yield "allocator_active", resident
    yield "allocator_resident", resident
    yield "allocator_muzzy", 0
    yield "total_system_memory", system
    yield "total_system_memory_human", human(system)
    scripts = dict(info.services.scripting.memory())
    for name in ("used_memory_lua", "used_memory_vm_eval"):
        yield name, scripts[name]
    yield "used_memory_lua_human", human(scripts["used_memory_lua"])
    for name in ("used_memory_scripts_eval", "number_of_cached_scripts", "number_of_functions", "number_of_libraries"):
        yield name, scripts[name]
    for name in ("used_memory_vm_functions", "used_memory_vm_total"):
        yield name, scripts[name]
    yield "used_memory_vm_total_human", human(scripts["used_memory_vm_total"])
    yield "used_memory_functions", scripts["used_memory_functions"]
    texts = scripts["used_memory_scripts_eval"] + scripts["used_memory_functions"]
    yield "used_memory_scripts", texts
    yield "used_memory_scripts_human", human(texts)
    yield "maxmemory", config.maxmemory
    yield "maxmemory_human", human(config.maxmemory)
    yield "maxmemory_policy", config.maxmemory_policy
    yield "allocator_frag_ratio", "%.2f" % ratio(resident, used)
    yield "allocator_frag_bytes", resident - used
    yield "allocator_rss_ratio", "1.00"
    yield "allocator_rss_bytes", 0
    yield "rss_overhead_ratio", "1.00"
    yield "rss_overhead_bytes", 0
    yield "mem_fragmentation_ratio", "%.2f" % ratio(resident, used)
    yield "mem_fragmentation_bytes", resident - used
    for name in ("mem_not_counted_for_evict", "mem_replication_backlog", "mem_total_replication_buffers"):
        yield name, 0
    yield "mem_clients_slaves", client_bytes(info, True)
    yield "mem_clients_normal", client_bytes(info, False)
    yield "mem_cluster_links", 0
    yield "mem_aof_buffer", 0
    yield "mem_allocator", ALLOCATOR
    yield "mem_overhead_db_hashtable_rehashing", 0
    yield "active_defrag_running", 0
    yield "lazyfree_pending_objects", len(graveyard)
    yield "lazyfreed_objects", graveyard.freed


def persistence(info: Info) -> Fields:
    """Snapshots and the log; the neutral values of a server that has neither saved nor loaded."""
    for name in ("loading", "async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"):
        yield name, 0
    yield "current_fork_perc", "0.00"
    yield "current_save_keys_processed", 0
    yield "current_save_keys_total", 0
    yield "rdb_changes_since_last_save", info.services.keyspace.dirty
    yield "rdb_bgsave_in_progress", 0
    yield "rdb_last_save_time", info.started_at
    yield "rdb_last_bgsave_status", "ok"
    yield "rdb_last_bgsave_time_sec", -1
    yield "rdb_current_bgsave_time_sec", -1
    for name in ("rdb_saves", "rdb_last_cow_size", "rdb_last_load_keys_expired", "rdb_last_load_keys_loaded"):
        yield name, 0
    for name in ("aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled"):
        yield name, 0
    yield "aof_last_rewrite_time_sec", -1
    yield "aof_current_rewrite_time_sec", -1
    yield "aof_last_bgrewrite_status", "ok"
    yield "aof_rewrites", 0
    yield "aof_rewrites_consecutive_failures", 0
    yield "aof_last_write_status", "ok"
    yield "aof_last_cow_size", 0
    yield "module_fork_in_progress", 0
    yield "module_fork_last_cow_size", 0


def stats(info: Info) -> Fields:
    """What was done since the start or the last CONFIG RESETSTAT."""
    services = info.services
    counted = services.stats
    keyspace = services.keyspace
    rates = info.rates.take()
    yield "total_connections_received", counted.connections_received
    yield "total_commands_processed", counted.commands_processed
    yield "instantaneous_ops_per_sec", round(rates["operations"])
    yield "total_net_input_bytes", counted.net_in
    yield "total_net_output_bytes", counted.net_out
    yield "total_net_repl_input_bytes", 0
    yield "total_net_repl_output_bytes", 0
    yield "instantaneous_input_kbps", "%.2f" % (rates["net_in"] / 1024)
    yield "instantaneous_output_kbps", "%.2f" % (rates["net_out"] / 1024)
    yield "instantaneous_input_repl_kbps", "0.00"
    yield "instantaneous_output_repl_kbps", "0.00"
    yield "rejected_connections", counted.connections_rejected
    for name in ("sync_full", "sync_partial_ok", "sync_partial_err"):
        yield name, 0
    yield "expired_subkeys", keyspace.expired_fields
    yield "expired_keys", keyspace.expired_keys
    yield "expired_stale_perc", "0.00"
    yield "expired_time_cap_reached_count", keyspace.expiry_cuts
    yield "expire_cycle_cpu_milliseconds", keyspace.expiry_ns // 1_000_000
    yield "evicted_keys", keyspace.evicted_keys
    yield "evicted_clients", 0
    yield "evicted_scripts", services.scripting.evicted()
    for name in (
        "total_eviction_exceeded_time",
        "current_eviction_exceeded_time",
    ):
        yield name, 0
    yield "keyspace_hits", keyspace.hits
    yield "keyspace_misses", keyspace.misses
    yield "pubsub_channels", len(services.pubsub.channels.subscribers)
    yield "pubsub_patterns", len(services.pubsub.patterns.subscribers)
    yield "pubsubshard_channels", len(services.pubsub.shard_channels.subscribers)
    for name in (
        "latest_fork_usec",
        "total_forks",
    ):
        yield name, 0
    yield "migrate_cached_sockets", len(services.migration.idle)
    for name in (
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
    ):
        yield name, 0
    yield "tracking_total_keys", services.tracking.total_keys
    yield "tracking_total_items", services.tracking.total_items
    yield "tracking_total_prefixes", services.tracking.total_prefixes
    yield "unexpected_error_replies", counted.unexpected_errors
    yield "total_error_replies", counted.error_replies
    yield "dump_payload_sanitizations", 0
    yield "total_reads_processed", counted.reads
    yield "total_writes_processed", counted.writes
    yield "io_threaded_reads_processed", 0
    yield "io_threaded_writes_processed", 0
    yield "client_query_buffer_limit_disconnections", counted.query_limit_disconnections
    yield "client_output_buffer_limit_disconnections", counted.output_limit_disconnections
    yield "reply_buffer_shrinks", 0
    yield "reply_buffer_expands", 0
    yield "eventloop_cycles", counted.turns
    yield "eventloop_duration_sum", counted.turns_ns // 1000
    yield "eventloop_duration_cmd_sum", sum(counters.total_ns for counters in counted.commands) // 1000
    yield "instantaneous_eventloop_cycles_per_sec", round(rates["turns"])
    yield "instantaneous_eventloop_duration_usec", round(ratio(rates["turns_ns"], rates["turns"]) / 1000)
    yield "acl_access_denied_auth", counted.acl_denied_auth
    yield "acl_access_denied_cmd", counted.acl_denied_command
    yield "acl_access_denied_key", counted.acl_denied_key
    yield "acl_access_denied_channel", counted.acl_denied_channel


def replication(info: Info) -> Fields:
    """A master without replicas."""
    yield "role", "master"
    yield "connected_slaves", 0
    yield "master_failover_state", "no-failover"
    yield "master_replid", info.replication_id
    yield "master_replid2", NO_REPLICATION_ID
    yield "master_repl_offset", 0
    yield "second_repl_offset", -1
    yield "repl_backlog_active", 0
    yield "repl_backlog_size", info.services.config.repl_backlog_size
    yield "repl_backlog_first_byte_offset", 0
    yield "repl_backlog_histlen", 0


def cpu(info: Info) -> Fields:
    """Seconds of processor time of this process, of the children it had, and of its one main thread."""
    times = os.times()
    yield "used_cpu_sys", "%.6f" % times.system
    yield "used_cpu_user", "%.6f" % times.user
    yield "used_cpu_sys_children", "%.6f" % times.children_system
    yield "used_cpu_user_children", "%.6f" % times.children_user
    if sys.platform == "win32":
        return
    import resource

    own = resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF))
    yield "used_cpu_sys_main_thread", "%.6f" % own.ru_stime
    yield "used_cpu_user_main_thread", "%.6f" % own.ru_utime
