"""Every directive of redis.conf as of Redis 7.4, one declaration each, and the project's own.

Owns names, defaults, ranges and flags. A directive without an effect here is declared all the same:
clients ask for it, and files name it. Must not know what a value is used for. The order is that of CONFIG
GET and of the lines that CONFIG REWRITE adds.
"""

from __future__ import annotations

import os

from server.config.kinds import (
    DENY_LOADING,
    HIDDEN,
    IMMUTABLE,
    INT_MAX,
    INT_MIN,
    LONG_MAX,
    MULTIPLE,
    PROTECTED,
    SENSITIVE,
    UINT_MAX,
    ULONG_MAX,
    Choice,
    Directive,
    Integer,
    Memory,
    MemoryOrPercent,
    Octal,
    Text,
    WholeText,
    YesNo,
)
from server.config.special import (
    BindAddresses,
    Collation,
    EventClasses,
    MasterAddress,
    OomScores,
    OutputBufferLimits,
    Percentiles,
    SavePoints,
    ShutdownOptions,
    WorkingDirectory,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

KB, MB, GB = 1024, 1024**2, 1024**3

# Directives that files may still carry and that mean nothing any more: name -> number of words with it.
DEPRECATED = {
    "list-max-ziplist-entries": 2,
    "list-max-ziplist-value": 2,
    "lua-replicate-commands": 2,
}

MIN_HZ, MAX_HZ = 1, 500
MIN_WATCHDOG_MS = 200  # a shorter period would report commands that are merely slow
MIN_BACKLOG_BYTES = 16 * KB

_TITLE_VARIABLES = (
    b"title",
    b"listen-addr",
    b"server-mode",
    b"port",
    b"tls-port",
    b"unixsocket",
    b"config-file",
)
_HOSTNAME_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."
_MAX_HOSTNAME_BYTES = 256
_NOT_IN_NODE_NAMES = b"\0!#$%&()*+:;<>?@[]^{|}~"


# ------------------------------------------------------------------------------------------------- checks


def _file_name_of(what: str, kind: str, may_be_empty: bool) -> Any:
    def check(value: bytes) -> Optional[str]:
        if not value and not may_be_empty:
            return what + " can't be empty"
        if b"/" in value or (os.sep != "/" and os.sep.encode() in value):
            return f"{what} can't be a path, just a {kind}"
        return None

    return check


def _is_title_template(value: bytes) -> Optional[str]:
    # Redis tries it with a title that is empty, and this server has no mode of its own.
    position, written = 0, bool(value.replace(b"{title}", b"").replace(b"{server-mode}", b"").strip())
    while position < len(value):
        if value[position : position + 2] == b"{{":
            position += 2
        elif value[position : position + 1] == b"{":
            end = value.find(b"}", position)
            if end < 0 or value[position + 1 : end] not in _TITLE_VARIABLES:
                written = False
                break
            position = end + 1
        else:
            position += 1
    return None if written else "template format is invalid or contains unknown variables"


def _is_hostname(value: bytes) -> Optional[str]:
    if len(value) >= _MAX_HOSTNAME_BYTES:
        return "Hostnames must be less than 256 characters"
    if value.strip(_HOSTNAME_BYTES):
        return "Hostnames may only contain alphanumeric characters, hyphens or dots"
    for byte in value:
        if byte not in _HOSTNAME_BYTES:
            return "Hostnames may only contain alphanumeric characters, hyphens or dots"
    return None


def _is_node_name(value: bytes) -> Optional[str]:
    for byte in value:
        if byte in _NOT_IN_NODE_NAMES:
            return "Announced human node name contained invalid character"
    return None


def _needs_jemalloc(value: bool) -> Optional[str]:
    if value:
        return (
            "Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified "
            "Jemalloc like the one shipped by default with the Redis source distribution"
        )
    return None


def _no_cluster_yet(value: bool) -> Optional[str]:
    return "this server does not support cluster mode: cluster-enabled must be 'no'" if value else None


def _settle_hz(value: int) -> int:
    return min(max(value, MIN_HZ), MAX_HZ)


def _settle_watchdog(value: int) -> int:
    return max(value, MIN_WATCHDOG_MS) if value else 0


def _settle_backlog(value: int) -> int:
    return max(value, MIN_BACKLOG_BYTES)


# ------------------------------------------------------------------------------------------------- the table


def _network() -> list[Directive]:
    return [
        BindAddresses("bind", ("*", "-::*"), MULTIPLE),
        Text("bind-source-addr"),
        Integer("port", 6379, 0, 65535),
        Integer("tcp-backlog", 511, 0, INT_MAX, IMMUTABLE),
        Integer("tcp-keepalive", 300, 0, INT_MAX),
        Integer("timeout", 0, 0, INT_MAX),
        Text("unixsocket", flags=IMMUTABLE),
        Octal("unixsocketperm", 0, 0, 0o777, IMMUTABLE),
        YesNo("protected-mode", True),
        Integer("maxclients", 10000, 1, UINT_MAX),
        Integer("max-new-connections-per-cycle", 10, 1, 1000),
        Integer("max-new-tls-connections-per-cycle", 1, 1, 1000),
        Integer("socket-mark-id", 0, 0, UINT_MAX, IMMUTABLE),
        Integer("io-threads", 1, 1, 128, IMMUTABLE),
        YesNo("io-threads-do-reads", False, IMMUTABLE),
        OutputBufferLimits(
            "client-output-buffer-limit",
            {
                b"normal": (0, 0, 0),
                b"replica": (256 * MB, 64 * MB, 60),
                b"pubsub": (32 * MB, 8 * MB, 60),
                b"master": (0, 0, 0),
            },
            MULTIPLE,
        ),
        Memory("client-query-buffer-limit", GB, MB, LONG_MAX),
        Memory("proto-max-bulk-len", 512 * MB, MB, LONG_MAX),
    ]


def _process() -> list[Directive]:
    guard = ("no", "yes", "local")
    return [
        YesNo("daemonize", False, IMMUTABLE),
        Choice("supervised", "no", ("upstart", "systemd", "auto", "no"), IMMUTABLE),
        Text("pidfile", flags=IMMUTABLE),
        Choice("loglevel", "notice", ("debug", "verbose", "notice", "warning", "nothing")),
        Text("logfile", flags=IMMUTABLE, keeps_empty=True),
        YesNo("syslog-enabled", False, IMMUTABLE),
        Text("syslog-ident", b"redis", IMMUTABLE, keeps_empty=True),
        Choice(
            "syslog-facility",
            "local0",
            ("user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
            IMMUTABLE,
        ),
        YesNo("crash-log-enabled", True),
        YesNo("crash-memcheck-enabled", True),
        YesNo("use-exit-on-panic", False, HIDDEN),
        YesNo("hide-user-data-from-log", False),
        Integer("databases", 16, 1, INT_MAX, IMMUTABLE),
        YesNo("always-show-logo", False, IMMUTABLE),
        YesNo("set-proc-title", True, IMMUTABLE),
        Text(
            "proc-title-template",
            b"{title} {listen-addr} {server-mode}",
            check=_is_title_template,
            keeps_empty=True,
        ),
        Collation("locale-collate", keeps_empty=True),
        Text("ignore-warnings", keeps_empty=True),
        Choice("enable-protected-configs", "no", guard, IMMUTABLE),
        Choice("enable-debug-command", "no", guard, IMMUTABLE),
        Choice("enable-module-command", "no", guard, IMMUTABLE),
        Choice("oom-score-adj", "no", ("no", "yes", "relative", "absolute"), same=(("relative", "yes"),)),
        OomScores("oom-score-adj-values", (0, 200, 800), MULTIPLE),
        YesNo("disable-thp", True, IMMUTABLE),
        YesNo("jemalloc-bg-thread", True),
        Text("server-cpulist", flags=IMMUTABLE, old_name="server_cpulist"),
        Text("bio-cpulist", flags=IMMUTABLE, old_name="bio_cpulist"),
        Text("aof-rewrite-cpulist", flags=IMMUTABLE, old_name="aof_rewrite_cpulist"),
        Text("bgsave-cpulist", flags=IMMUTABLE, old_name="bgsave_cpulist"),
        Integer("hz", 10, 0, INT_MAX, settle=_settle_hz),
        YesNo("dynamic-hz", True),
        Integer("watchdog-period", 0, 0, INT_MAX, HIDDEN, settle=_settle_watchdog),
        Integer("shutdown-timeout", 10, 0, INT_MAX),
        ShutdownOptions("shutdown-on-sigint"),
        ShutdownOptions("shutdown-on-sigterm"),
        WorkingDirectory("dir", b"", PROTECTED | DENY_LOADING),
    ]


def _persistence() -> list[Directive]:
    return [
        SavePoints("save", ((3600, 1), (300, 100), (60, 10000)), MULTIPLE),
        YesNo("stop-writes-on-bgsave-error", True),
        YesNo("rdbcompression", True),
        YesNo("rdbchecksum", True, IMMUTABLE),
        Choice("sanitize-dump-payload", "no", ("no", "yes", "clients")),
        Text(
            "dbfilename",
            b"dump.rdb",
            PROTECTED,
            check=_file_name_of("dbfilename", "filename", True),
            keeps_empty=True,
        ),
        YesNo("rdb-del-sync-files", False),
        YesNo("rdb-save-incremental-fsync", True),
        Integer("rdb-key-save-delay", 0, INT_MIN, INT_MAX, HIDDEN),
        Integer("key-load-delay", 0, INT_MIN, INT_MAX, HIDDEN),
        Integer("loading-process-events-interval-bytes", 2 * MB, KB, INT_MAX, HIDDEN),
        # This project's own: the version of snapshots and DUMP payloads, as far as the data allows it.
        Integer("rdb-target-version", 10, 10, 12),
        YesNo("appendonly", False, DENY_LOADING),
        Text(
            "appendfilename",
            b"appendonly.aof",
            IMMUTABLE,
            check=_file_name_of("appendfilename", "filename", False),
            keeps_empty=True,
        ),
        Text(
            "appenddirname",
            b"appendonlydir",
            IMMUTABLE,
            check=_file_name_of("appenddirname", "dirname", False),
            keeps_empty=True,
        ),
        Choice("appendfsync", "everysec", ("everysec", "always", "no")),
        YesNo("no-appendfsync-on-rewrite", False),
        Integer("auto-aof-rewrite-percentage", 100, 0, INT_MAX),
        Memory("auto-aof-rewrite-min-size", 64 * MB, 0, LONG_MAX),
        YesNo("aof-load-truncated", True),
        YesNo("aof-use-rdb-preamble", True),
        YesNo("aof-timestamp-enabled", False),
        YesNo("aof-rewrite-incremental-fsync", True),
        YesNo("aof-disable-auto-gc", False, HIDDEN),
    ]


def _replication() -> list[Directive]:
    return [
        MasterAddress("replicaof", None, IMMUTABLE | MULTIPLE, "slaveof"),
        WholeText("masterauth", flags=SENSITIVE),
        Text("masteruser", flags=SENSITIVE),
        YesNo("replica-serve-stale-data", True, old_name="slave-serve-stale-data"),
        YesNo("replica-read-only", True, old_name="slave-read-only"),
        YesNo("replica-lazy-flush", False, old_name="slave-lazy-flush"),
        YesNo("replica-ignore-maxmemory", True, old_name="slave-ignore-maxmemory"),
        YesNo("replica-ignore-disk-write-errors", False),
        YesNo("replica-announced", True),
        Text("replica-announce-ip", old_name="slave-announce-ip"),
        Integer("replica-announce-port", 0, 0, 65535, old_name="slave-announce-port"),
        Integer("replica-priority", 100, 0, INT_MAX, old_name="slave-priority"),
        Integer("min-replicas-to-write", 0, 0, INT_MAX, old_name="min-slaves-to-write"),
        Integer("min-replicas-max-lag", 10, 0, INT_MAX, old_name="min-slaves-max-lag"),
        Integer("repl-ping-replica-period", 10, 1, INT_MAX, old_name="repl-ping-slave-period"),
        Integer("repl-timeout", 60, 1, INT_MAX),
        YesNo("repl-disable-tcp-nodelay", False),
        Memory("repl-backlog-size", MB, 1, LONG_MAX, settle=_settle_backlog),
        Integer("repl-backlog-ttl", 3600, 0, LONG_MAX),
        YesNo("repl-diskless-sync", True),
        Integer("repl-diskless-sync-delay", 5, 0, INT_MAX),
        Integer("repl-diskless-sync-max-replicas", 0, 0, INT_MAX),
        Choice("repl-diskless-load", "disabled", ("disabled", "on-empty-db", "swapdb"), DENY_LOADING),
        Choice("propagation-error-behavior", "ignore", ("ignore", "panic", "panic-on-replicas")),
    ]


def _security() -> list[Directive]:
    return [
        WholeText("requirepass", flags=SENSITIVE),
        Text("aclfile", flags=IMMUTABLE, keeps_empty=True),
        Integer("acllog-max-len", 128, 0, LONG_MAX),
        Choice("acl-pubsub-default", "resetchannels", ("allchannels", "resetchannels")),
        Integer("tls-port", 0, 0, 65535),
        YesNo("tls-cluster", False),
        YesNo("tls-replication", False),
        Choice("tls-auth-clients", "yes", ("no", "yes", "optional")),
        YesNo("tls-prefer-server-ciphers", False),
        YesNo("tls-session-caching", True),
        Integer("tls-session-cache-size", 20480, 0, INT_MAX),
        Integer("tls-session-cache-timeout", 300, 0, INT_MAX),
        Text("tls-cert-file"),
        Text("tls-key-file"),
        Text("tls-key-file-pass", flags=SENSITIVE),
        Text("tls-client-cert-file"),
        Text("tls-client-key-file"),
        Text("tls-client-key-file-pass", flags=SENSITIVE),
        Text("tls-dh-params-file"),
        Text("tls-ca-cert-file"),
        Text("tls-ca-cert-dir"),
        Text("tls-protocols"),
        Text("tls-ciphers"),
        Text("tls-ciphersuites"),
    ]


def _memory() -> list[Directive]:
    policies = (
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "noeviction",
    )
    return [
        Memory("maxmemory", 0, 0, ULONG_MAX),
        Choice("maxmemory-policy", "noeviction", policies),
        Integer("maxmemory-samples", 5, 1, 64),
        Integer("maxmemory-eviction-tenacity", 10, 0, 100),
        MemoryOrPercent("maxmemory-clients", 0, 0, LONG_MAX),
        Integer("lfu-log-factor", 10, 0, INT_MAX),
        Integer("lfu-decay-time", 1, 0, INT_MAX),
        Integer("active-expire-effort", 1, 1, 10),
        YesNo("lazyfree-lazy-eviction", False),
        YesNo("lazyfree-lazy-expire", False),
        YesNo("lazyfree-lazy-server-del", False),
        YesNo("lazyfree-lazy-user-del", False),
        YesNo("lazyfree-lazy-user-flush", False),
        YesNo("activerehashing", True),
        YesNo("activedefrag", False, check=_needs_jemalloc),
        Memory("active-defrag-ignore-bytes", 100 * MB, 1, LONG_MAX),
        Integer("active-defrag-threshold-lower", 10, 0, 1000),
        Integer("active-defrag-threshold-upper", 100, 0, 1000),
        Integer("active-defrag-cycle-min", 1, 1, 99),
        Integer("active-defrag-cycle-max", 25, 1, 99),
        Integer("active-defrag-max-scan-fields", 1000, 1, LONG_MAX),
    ]


def _encodings() -> list[Directive]:
    return [
        Integer("hash-max-listpack-entries", 512, 0, LONG_MAX, old_name="hash-max-ziplist-entries"),
        Memory("hash-max-listpack-value", 64, 0, LONG_MAX, old_name="hash-max-ziplist-value"),
        Integer("list-max-listpack-size", -2, INT_MIN, INT_MAX, old_name="list-max-ziplist-size"),
        Integer("list-compress-depth", 0, 0, INT_MAX),
        Integer("set-max-intset-entries", 512, 0, LONG_MAX),
        Integer("set-max-listpack-entries", 128, 0, LONG_MAX),
        Integer("set-max-listpack-value", 64, 0, LONG_MAX),
        Integer("zset-max-listpack-entries", 128, 0, LONG_MAX, old_name="zset-max-ziplist-entries"),
        Memory("zset-max-listpack-value", 64, 0, LONG_MAX, old_name="zset-max-ziplist-value"),
        Memory("hll-sparse-max-bytes", 3000, 0, LONG_MAX),
        Memory("stream-node-max-bytes", 4096, 0, LONG_MAX),
        Integer("stream-node-max-entries", 100, 0, LONG_MAX),
    ]


def _observation() -> list[Directive]:
    return [
        Integer("slowlog-log-slower-than", 10000, -1, LONG_MAX),
        Integer("slowlog-max-len", 128, 0, LONG_MAX),
        Integer("latency-monitor-threshold", 0, 0, LONG_MAX),
        YesNo("latency-tracking", True),
        Percentiles("latency-tracking-info-percentiles", (50.0, 99.0, 99.9), MULTIPLE),
        EventClasses("notify-keyspace-events", 0),
        Integer("tracking-table-max-keys", 1000000, 0, LONG_MAX),
        Integer("busy-reply-threshold", 5000, 0, LONG_MAX, old_name="lua-time-limit"),
    ]


def _cluster() -> list[Directive]:
    return [
        YesNo("cluster-enabled", False, IMMUTABLE, check=_no_cluster_yet),
        Text("cluster-config-file", b"nodes.conf", IMMUTABLE, keeps_empty=True),
        Integer("cluster-node-timeout", 15000, 0, LONG_MAX),
        Integer("cluster-ping-interval", 0, 0, LONG_MAX, HIDDEN),
        Integer("cluster-port", 0, 0, 65535, IMMUTABLE),
        Integer(
            "cluster-replica-validity-factor", 10, 0, INT_MAX, old_name="cluster-slave-validity-factor"
        ),
        YesNo("cluster-replica-no-failover", False, old_name="cluster-slave-no-failover"),
        Integer("cluster-migration-barrier", 1, 0, INT_MAX),
        YesNo("cluster-allow-replica-migration", True),
        YesNo("cluster-require-full-coverage", True),
        YesNo("cluster-allow-reads-when-down", False),
        YesNo("cluster-allow-pubsubshard-when-down", True),
        Memory("cluster-link-sendbuf-limit", 0, 0, ULONG_MAX),
        Text("cluster-announce-ip"),
        Text("cluster-announce-hostname", check=_is_hostname),
        WholeText("cluster-announce-human-nodename", check=_is_node_name),
        Integer("cluster-announce-port", 0, 0, 65535),
        Integer("cluster-announce-bus-port", 0, 0, 65535),
        Integer("cluster-announce-tls-port", 0, 0, 65535),
        Choice("cluster-preferred-endpoint-type", "ip", ("ip", "hostname", "unknown-endpoint")),
    ]


def declare_directives() -> list[Directive]:
    """All directives, in the order of CONFIG GET. About 0.2 ms."""
    declared = _network() + _process() + _persistence() + _replication() + _security() + _memory()
    return declared + _encodings() + _observation() + _cluster()
