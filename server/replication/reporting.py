"""What INFO and ROLE say of replication, field by field in Redis's order."""

from __future__ import annotations

from time import monotonic

from server.replication.master_link import CONNECTED, ROLE_NAMES, TRANSFER
from server.replication.replica import ONLINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from server.info import Fields
    from server.replication.service import Replication


def fields(replication: Replication) -> Fields:
    """The section `replication`."""
    config = replication.services.config
    history = replication.history
    now_s = monotonic()
    link = replication.link
    yield "role", "slave" if replication.is_replica else "master"
    if link is not None:
        is_up = link.state == CONNECTED
        yield "master_host", link.host
        yield "master_port", link.port
        yield "master_link_status", "up" if is_up else "down"
        yield "master_last_io_seconds_ago", int(now_s - link.heard_s) if is_up else -1
        yield "master_sync_in_progress", int(link.state == TRANSFER)
        offset = history.offset if is_up or replication.has_history else 0
        yield "slave_read_repl_offset", offset + (link.unapplied_bytes() if is_up else 0)
        yield "slave_repl_offset", offset
        if link.state == TRANSFER:
            transfer = link.transfer
            # -1 before the master has said how it sends, 0 if it does not know how much: less than nothing is left.
            size = max(0, transfer.frame.size) if transfer is not None else -1
            received = transfer.received if transfer is not None else 0
            yield "master_sync_total_bytes", size
            yield "master_sync_read_bytes", received
            yield "master_sync_left_bytes", size - received
            yield "master_sync_perc", "%.2f" % (100.0 * received / size if size else 0.0)
            yield "master_sync_last_io_seconds_ago", int(now_s - link.heard_s)
        if not is_up:
            yield "master_link_down_since_seconds", int(now_s - link.down_since_s) if link.was_up else -1
        yield "slave_priority", config.replica_priority
        yield "slave_read_only", int(config.replica_read_only)
        yield "replica_announced", int(config.replica_announced)
    replicas = replication.replicas
    yield "connected_slaves", len(replicas)
    primary = replication.made_primary
    if config.min_replicas_to_write and config.min_replicas_max_lag and not replication.is_replica:
        yield "min_slaves_good_slaves", replication.good_replicas()
    if primary is not None:
        for place, text in enumerate(primary.description()):
            yield "slave%d" % place, text
    yield "master_failover_state", replication.failover_state()
    yield "master_replid", history.id
    yield "master_replid2", history.previous_id
    yield "master_repl_offset", replication.offset
    yield "second_repl_offset", history.previous_until
    backlog = history.backlog
    yield "repl_backlog_active", int(backlog is not None)
    yield "repl_backlog_size", config.repl_backlog_size
    if backlog is None:
        yield "repl_backlog_first_byte_offset", 0
        yield "repl_backlog_histlen", 0
    else:
        replication.feed.flush()
        yield "repl_backlog_first_byte_offset", backlog.first
        yield "repl_backlog_histlen", len(backlog)


def role(replication: Replication) -> Any:
    """The answer of ROLE."""
    link = replication.link
    if link is not None:
        offset = replication.history.offset if link.state == CONNECTED else -1
        return [b"slave", link.host.encode(), link.port, ROLE_NAMES[link.state], offset]
    return [
        b"master",
        replication.offset,
        [
            [replica.ip.encode(), b"%d" % replica.port, b"%d" % replica.acknowledged]
            for replica in replication.replicas.values()
            if replica.state == ONLINE
        ],
    ]
