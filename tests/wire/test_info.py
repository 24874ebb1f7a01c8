"""INFO as clients, exporters and people read it."""

from __future__ import annotations

import os

import pytest

from server.version import VERSION
from tests.harness.processes import free_port
from tests.harness.wire import encode, plain

pytestmark = pytest.mark.wire

DEFAULT = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace".split()
ALL = (
    "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats "
    "Cluster Keyspace".split()
)
# What programs look for, section by section.
WANTED = {
    "server": "redis_version redis_mode process_id run_id tcp_port uptime_in_seconds hz executable config_file",
    "clients": "connected_clients blocked_clients tracking_clients pubsub_clients watching_clients maxclients "
    "total_watched_keys client_recent_max_input_buffer client_recent_max_output_buffer",
    "memory": "used_memory used_memory_human used_memory_rss used_memory_peak used_memory_lua "
    "used_memory_vm_functions maxmemory maxmemory_policy mem_allocator mem_clients_normal mem_clients_slaves "
    "mem_not_counted_for_evict number_of_cached_scripts lazyfree_pending_objects lazyfreed_objects",
    "persistence": "loading async_loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time "
    "rdb_last_bgsave_status aof_enabled aof_rewrite_in_progress aof_last_write_status current_cow_size "
    "current_save_keys_processed current_save_keys_total current_fork_perc rdb_last_load_keys_loaded",
    "stats": "total_connections_received total_commands_processed instantaneous_ops_per_sec expired_keys "
    "expired_subkeys evicted_keys evicted_clients evicted_scripts keyspace_hits keyspace_misses pubsub_channels "
    "sync_full sync_partial_ok sync_partial_err total_error_replies unexpected_error_replies "
    "acl_access_denied_auth client_query_buffer_limit_disconnections client_output_buffer_limit_disconnections "
    "latest_fork_usec total_forks tracking_total_keys eventloop_cycles",
    "replication": "role connected_slaves master_failover_state master_replid master_replid2 master_repl_offset "
    "second_repl_offset repl_backlog_active repl_backlog_size",
    "cpu": "used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children",
    "cluster": "cluster_enabled",
}


def info(wire, *sections):
    return plain(wire.command("INFO", *sections)).decode()


def fields(wire, *sections):
    lines = info(wire, *sections).split("\r\n")
    return dict(line.split(":", 1) for line in lines if line and not line.startswith("#"))


def headlines(wire, *sections):
    return [line[2:] for line in info(wire, *sections).split("\r\n") if line.startswith("# ")]


@pytest.mark.parametrize("section", WANTED)
def test_a_section_has_the_fields_that_programs_read(wire, section):
    found = fields(wire, section)
    assert [name for name in WANTED[section].split() if name not in found] == []


def test_sections_come_in_redis_s_order_whatever_is_asked(wire):
    assert headlines(wire) == DEFAULT
    assert headlines(wire, "default") == DEFAULT
    assert headlines(wire, "all") == ALL
    assert headlines(wire, "everything") == ALL
    assert headlines(wire, "CPU", "server", "Server") == ["Server", "CPU"]
    assert headlines(wire, "commandstats", "default") == [name for name in ALL if name != "Latencystats"]


def test_an_unknown_section_is_empty(wire):
    assert info(wire, "nothing") == ""
    assert headlines(wire, "nothing", "cluster") == ["Cluster"]


def test_sections_are_lines_with_a_blank_one_between(wire):
    text = info(wire, "cluster", "cpu")
    assert text.endswith("\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n")


def test_info_is_text_in_resp3(wire3):
    kind, text = wire3.command("INFO", "cluster")
    assert kind == b"="
    assert text.startswith(b"txt:# Cluster")


def test_the_server_says_which_redis_it_is_like_and_what_it_is(server, wire):
    found = fields(wire, "server")
    assert found["redis_version"] == "7.4.1"
    assert found["rediselect_version"] == VERSION
    assert int(found["process_id"]) == server.pid
    assert int(found["tcp_port"]) == server.port
    assert len(found["run_id"]) == 40
    assert "jemalloc" not in fields(wire, "memory")["mem_allocator"]


def test_used_memory_follows_each_write_and_each_deletion(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        before = int(fields(wire, "memory")["used_memory"])
        wire.command("SET", "large", "x" * 3_000_000)
        with_value = int(fields(wire, "memory")["used_memory"])
        wire.command("DEL", "large")
        after = int(fields(wire, "memory")["used_memory"])
    assert with_value - before > 2_500_000
    if "cpython" in fields_of_python(server):  # elsewhere resident memory stands in, and may stay
        assert with_value - after > 2_500_000


def fields_of_python(server):
    with server.wire() as wire:
        return fields(wire, "server")["python_version"]


def test_statistics_count_hits_misses_and_errors(server, wire):
    wire.command("CONFIG", "RESETSTAT")
    wire.command("SET", "key", "value")
    wire.command("GET", "key")
    wire.command("GET", "nothing")
    wire.command("LPUSH", "key", "x")
    wire.command("GET")
    found = fields(wire, "stats", "commandstats", "errorstats", "latencystats")
    assert found["keyspace_hits"] == "1"
    assert found["keyspace_misses"] == "1"
    assert found["total_error_replies"] == "2"
    assert found["errorstat_WRONGTYPE"] == "count=1"
    assert found["errorstat_ERR"] == "count=1"
    assert found["cmdstat_get"].startswith("calls=2,")
    assert found["cmdstat_get"].endswith(",rejected_calls=1,failed_calls=0")
    assert found["cmdstat_lpush"].endswith(",rejected_calls=0,failed_calls=1")
    percentiles = dict(pair.split("=") for pair in found["latency_percentiles_usec_get"].split(","))
    assert list(percentiles) == ["p50", "p99", "p99.9"]
    assert 0 < float(percentiles["p50"]) <= float(percentiles["p99.9"]) < 1e6


def test_subcommands_are_counted_under_their_own_name(wire):
    wire.command("CONFIG", "RESETSTAT")
    wire.command("CONFIG", "GET", "port")
    assert fields(wire, "commandstats")["cmdstat_config|get"].startswith("calls=1,usec=")


def test_resetstat_sets_back_everything_that_counts_events(wire):
    wire.command("SET", "brief", "value", "PX", 1)
    wire.command("GET", "nothing")
    wire.command("NONSENSE")
    wire.command("SAVE")
    while plain(wire.command("EXISTS", "brief")):
        pass
    wire.command("CONFIG", "RESETSTAT")
    found = fields(wire, "everything")
    errors = ("total_error_replies", "rejected_connections")
    for name in ("keyspace_hits", "keyspace_misses", "expired_keys", "rdb_saves", *errors):
        assert found[name] == "0", name
    assert int(found["total_commands_processed"]) <= 1
    assert "cmdstat_get" not in found
    assert found["cmdstat_config|resetstat"].startswith("calls=1,")
    assert not [name for name in found if name.startswith("errorstat_")]


def test_a_command_that_waited_counts_when_its_wait_ends_however_it_ends(server, wire):
    wire.command("CONFIG", "RESETSTAT")
    with server.wire() as waiting:
        number = plain(waiting.command("CLIENT", "ID"))
        assert plain(waiting.command("BLPOP", "nothing", "0.01")) is None
        waiting.send(encode("BLPOP", "nothing", "0"))
        while not plain(wire.command("CLIENT", "UNBLOCK", number, "ERROR")):
            pass
        assert plain(waiting.read()).startswith(b"-UNBLOCKED")
        assert plain(waiting.command("WAIT", "1", "1")) == 0
        nobody = free_port()
        plain(waiting.command("MIGRATE", "127.0.0.1", nobody, "nothing", "0", "10"))
        waiting.command("SET", "key", "value")
        assert plain(waiting.command("MIGRATE", "127.0.0.1", nobody, "key", "0", "10")).startswith(b"-IOERR")
    found = fields(wire, "commandstats")
    assert found["cmdstat_blpop"].startswith("calls=2,") and found["cmdstat_blpop"].endswith(",failed_calls=1")
    assert found["cmdstat_wait"].startswith("calls=1,")
    assert found["cmdstat_migrate"].startswith("calls=2,")


@pytest.mark.parametrize(
    "prepare, command, counted",
    [
        ("SET k v", "SCAN 0 TYPE string", {"keyspace_hits": 1}),
        ("XGROUP CREATE k g 0 MKSTREAM", "XREADGROUP GROUP g c STREAMS k 0", {"keyspace_hits": 2}),
        ("XGROUP CREATE k g 0 MKSTREAM", "XREADGROUP GROUP g c STREAMS k 0", {"rdb_changes_since_last_save": 1}),
        ("HSET k a 1 b 2", "HEXPIRE k 0 FIELDS 2 a b", {"expired_subkeys": 2}),
    ],
)
def test_what_one_command_adds_to_the_counters(wire, prepare, command, counted):
    wire.command("DEL", "k")
    wire.command(*prepare.split())
    before = fields(wire, "everything")
    wire.command(*command.split())
    after = fields(wire, "everything")
    assert {name: int(after[name]) - int(before[name]) for name in counted} == counted


def test_the_keyspace_lists_databases_with_keys(wire):
    wire.command("SET", "key", "value")
    wire.command("SET", "brief", "value", "PX", 100_000)
    wire.command("SELECT", 3)
    wire.command("HSET", "hash", "field", "value")
    found = fields(wire, "keyspace")
    assert list(found) == ["db0", "db3"]
    first = dict(pair.split("=") for pair in found["db0"].split(","))
    assert list(first) == ["keys", "expires", "avg_ttl", "subexpiry"]
    assert (first["keys"], first["expires"]) == ("2", "1")
    assert 90_000 < int(first["avg_ttl"]) <= 100_000


def test_clients_are_counted_by_what_they_do(server, wire):
    with server.wire() as other:
        other.command("SUBSCRIBE", "channel")
        wire.command("WATCH", "key")
        found = fields(wire, "clients", "stats")
        assert found["connected_clients"] == "2"
        assert found["pubsub_clients"] == "1"
        assert found["pubsub_channels"] == "1"
        assert found["watching_clients"] == "1"
        assert found["total_watched_keys"] == "1"


def test_rates_are_those_since_somebody_asked_last(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        for _ in range(500):
            wire.command("PING")
        assert int(fields(wire, "stats")["instantaneous_ops_per_sec"]) > 0


def test_redis_py_reads_every_section(client):
    client.set("key", "value", ex=100)
    found = client.info("everything")
    assert found["redis_version"] == "7.4.1"
    assert isinstance(found["used_memory"], int)
    assert found["db0"]["keys"] == 1
    assert found["cmdstat_set"]["calls"] >= 1
    assert found["latency_percentiles_usec_set"]["p50"] > 0
    assert found["listener0"]["name"] == "tcp"
    assert client.memory_stats()["keys.count"] == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/comm"), reason="processes cannot name themselves there")
def test_the_process_names_itself(server):
    with open(f"/proc/{server.pid}/comm") as file:
        assert file.read().startswith("rediselect")


def test_the_banner_shows_the_process_id_where_it_is_wanted(start_server):
    server = start_server("--save", "", "--always-show-logo", "yes")
    assert f" PID: {server.pid}\n" in server.log()


def test_reads_and_writes_are_counted(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        before = fields(wire, "stats")
        for _ in range(10):
            wire.command("PING")
        after = fields(wire, "stats")
    for name in ("total_reads_processed", "total_writes_processed"):
        assert 11 <= int(after[name]) - int(before[name]) <= 13, name  # another client may be leaving


def test_tracked_keys_are_counted(wire3):
    wire3.command("CLIENT", "TRACKING", "ON")
    wire3.command("GET", "key")
    found = fields(wire3, "clients", "stats")
    assert found["tracking_clients"] == "1"
    assert found["tracking_total_keys"] == "1"
    assert found["tracking_total_items"] == "1"


def test_too_many_error_codes_turn_their_counting_off_until_it_is_reset(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        if b"pip install lupa" in plain(wire.command("EVAL", "return 'ready'", "0")):
            pytest.skip("the interpreter that runs the server has no lupa")
        for number in range(130):
            wire.command("EVAL", "return redis.error_reply('CODE%d at fault')" % number, "0")
        assert plain(wire.command("INFO", "errorstats")) == b"# Errorstats\r\nerrorstat_ERRORSTATS_DISABLED:count=1\r\n"
        assert "Errorstats stopped adding new errors" in server.log()
        wire.command("CONFIG", "RESETSTAT")
        wire.command("GET")
        assert plain(wire.command("INFO", "errorstats")) == b"# Errorstats\r\nerrorstat_ERR:count=1\r\n"
        assert b"cmdstat_config|resetstat:calls=1," in plain(wire.command("INFO", "commandstats"))


def test_the_debug_section_is_shown_to_those_who_name_it(wire):
    assert "eventloop_duration_max" not in fields(wire, "everything")
    fields(wire, "debug")
    wire.pipeline([[b"GET", b"k"]] * 30)
    found = fields(wire, "debug")
    assert int(found["eventloop_cmd_per_cycle_max"]) >= 1 and int(found["eventloop_duration_max"]) > 0
    assert {"eventloop_duration_aof_sum", "eventloop_duration_cron_sum", "allocator_active_lua"} <= set(found)


def test_lazyfreed_objects_counts_what_redis_leaves_to_another_thread(wire):
    def freed() -> str:
        return dict(line.split(":") for line in wire.ask("INFO", "memory").decode().split() if ":" in line)[
            "lazyfreed_objects"
        ]

    wire.command("CONFIG", "RESETSTAT")
    wire.command("MSET", "a", 1, "b", 2, "c", 3)
    wire.command("FLUSHALL")
    assert freed() == "3"
    for _ in range(2):  # the second time as a transaction that stands whole in its packet, of words that are known
        wire.command("SET", "a", 1)
        wire.pipeline([[b"MULTI"], [b"FLUSHALL"], [b"EXEC"]])  # there it may not wait for anybody
        assert freed() == "3"
    wire.command("SADD", "large", *[f"m{number}" for number in range(200)])
    wire.command("SADD", "small", "m")
    assert wire.ask("UNLINK", "large", "small", "large") == 2
    assert freed() == "4"


def test_the_largest_input_of_late_is_that_of_whoever_spoke(wire):
    recent = fields(wire, "clients")["client_recent_max_input_buffer"]
    assert int(recent) >= 20_000  # the buffer that Redis would have for this very client
