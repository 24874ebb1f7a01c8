"""Saving, loading, dumping: what operators and tools see of it."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time

import pytest

from tests.harness.processes import StartFailure
from tests.harness.wire import encode

# With less, the last second may be gone after a kill.
LOG = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")


def info(wire, field: str) -> str:
    for line in wire.ask("INFO", "everything").decode().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value
    raise AssertionError(f"INFO has no {field}")


def wait_until(condition, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.01)


# Snapshots ------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_there_after_a_restart(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        wire.command("SET", "a", 1)
        wire.command("SELECT", 3)
        wire.command("RPUSH", "l", 1, 2)
        wire.command("SET", "gone soon", 1, "PX", 1)
        before = int(time.time())
        assert wire.ask("SAVE") == b"OK"
        assert before <= wire.ask("LASTSAVE") <= before + 5
        assert info(wire, "rdb_changes_since_last_save") == "0"
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("GET", "a") == b"1"
        wire.command("SELECT", 3)
        assert wire.ask("LRANGE", "l", 0, -1) == [b"1", b"2"]
        assert wire.ask("EXISTS", "gone soon") == 0
    log = server.log()
    assert log.index("Server initialized") < log.index("Done loading RDB") < log.rindex("Ready to accept connections")
    assert "DB loaded from disk: " in log


def test_bgsave_refuses_a_second_one_and_schedules_behind_a_rewrite(start_server):
    server = start_server("--save", "", "--rdb-key-save-delay", "10000")
    with server.wire() as wire:
        for number in range(50):
            wire.command("SET", f"k{number}", number)
        assert wire.ask("BGSAVE", "NOW") == b"-ERR syntax error"
        assert wire.ask("BGSAVE") == b"Background saving started"
        assert wire.ask("BGSAVE") == b"-ERR Background save already in progress"
        assert wire.ask("SAVE") == b"-ERR Background save already in progress"
        assert info(wire, "rdb_bgsave_in_progress") == "1"
        assert wire.ask("BGREWRITEAOF") == b"Background append only file rewriting scheduled"
        assert info(wire, "aof_rewrite_scheduled") == "1"
        wire.command("CONFIG", "SET", "rdb-key-save-delay", 0)
        server.wait_for_log("Background saving terminated with success")
        server.wait_for_log("Background AOF rewrite finished successfully")
        assert info(wire, "total_forks") == "2"
        assert int(info(wire, "latest_fork_usec")) > 0


def test_bgsave_behind_another_child_is_refused_or_scheduled(start_server):
    server = start_server("--save", "", "--rdb-key-save-delay", "10000")
    with server.wire() as wire:
        for number in range(30):
            wire.command("SET", f"k{number}", number)
        wire.command("BGREWRITEAOF")
        assert wire.ask("BGREWRITEAOF") == b"-ERR Background append only file rewriting already in progress"
        assert wire.ask("BGSAVE").startswith(b"-ERR Another child process is active (AOF?): can't BGSAVE right now.")
        assert wire.ask("BGSAVE", "SCHEDULE") == b"Background saving scheduled"
        wire.command("CONFIG", "SET", "rdb-key-save-delay", 0)
        server.wait_for_log("Background saving terminated with success")


def test_bgsave_in_a_transaction_begins_after_it(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        for command in (("MULTI",), ("SET", "a", 1), ("BGSAVE",), ("BGREWRITEAOF",), ("SET", "b", 2)):
            wire.command(*command)
        assert wire.ask("EXEC")[1:3] == [
            b"Background saving scheduled",
            b"Background append only file rewriting scheduled",
        ]
        server.wait_for_log("Background AOF rewrite finished successfully")
        server.wait_for_log("Background saving terminated with success")
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("MGET", "a", "b") == [b"1", b"2"]


def test_the_progress_of_a_save_is_in_info(start_server):
    server = start_server("--save", "", "--rdb-key-save-delay", "20000")
    with server.wire() as wire:
        for number in range(100):
            wire.command("SET", f"k{number}", number)
        wire.command("BGSAVE")
        wait_until(lambda: 0 < int(info(wire, "current_save_keys_processed")) < 100)
        assert info(wire, "current_save_keys_total") == "100"
        assert 0 < float(info(wire, "current_fork_perc")) < 100


def test_a_save_point_saves_by_itself(start_server):
    server = start_server("--save", "1 3")
    with server.wire() as wire:
        wire.command("SET", "a", 1)
        time.sleep(1.3)
        assert "Saving..." not in server.log()
        wire.command("MSET", "b", 1, "c", 1)
        server.wait_for_log("3 changes in 1 seconds. Saving...")
        server.wait_for_log("Background saving terminated with success")
        assert info(wire, "rdb_changes_since_last_save") == "0"


def test_an_idle_server_with_unsaved_changes_does_not_wake(start_server):
    server = start_server("--save", "3600 1")
    with server.wire() as wire:
        wire.command("SET", "a", 1)
        before = int(info(wire, "eventloop_cycles"))
        time.sleep(1.2)
        assert int(info(wire, "eventloop_cycles")) - before <= 2


def test_shutdown_saves_as_it_is_told(start_server):
    server = start_server("--save", "")
    for words, is_saved in ((("NOSAVE",), False), (("SAVE",), True)):
        with server.wire() as wire:
            wire.command("SET", "a", 1)
            wire.send(encode("SHUTDOWN", *words))
            assert wire.read_until_closed() == b""
        assert server.wait() == 0
        assert (server.directory / "dump.rdb").exists() == is_saved
        server.start()
    with server.wire() as wire:
        assert wire.ask("GET", "a") == b"1"
    assert "bye bye" in server.log()


def test_sigterm_saves_if_there_are_save_points(start_server):
    server = start_server("--save", "3600 1")
    with server.wire() as wire:
        wire.command("SET", "a", 1)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert "Saving the final RDB snapshot before exiting." in server.log()
    server.start()
    with server.wire() as wire:
        assert wire.ask("GET", "a") == b"1"


def test_a_save_that_fails_aborts_the_shutdown_unless_forced(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        os.mkdir(server.directory / "dump.rdb")
        wire.command("SET", "a", 1)
        wire.command("CONFIG", "SET", "save", "3600 1")
        assert wire.ask("SAVE") == b"-ERR"
        assert wire.ask("SET", "a", 1) == b"OK"  # no MISCONF: whoever asked for it was told
        assert wire.ask("SHUTDOWN", "SAVE") == b"-ERR Errors trying to SHUTDOWN. Check logs."
        assert "Error trying to save the DB, can't exit" in server.log()
        assert wire.ask("GET", "a") == b"1"
        wire.send(encode("SHUTDOWN", "SAVE", "FORCE"))
        assert wire.read_until_closed() == b""
    assert server.wait() == 0
    os.rmdir(server.directory / "dump.rdb")


def test_a_shutdown_ends_the_child_and_tells_of_its_end_only_where_the_server_lives_on(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        os.mkdir(server.directory / "dump.rdb")
        wire.command("SET", "a", 1)

        def begin() -> None:
            wire.command("CONFIG", "SET", "rdb-key-save-delay", "10000000")
            wire.command("BGSAVE")
            wait_until(lambda: list(server.directory.glob("temp-*.rdb")))
            wire.command("CONFIG", "SET", "rdb-key-save-delay", "0")

        begin()
        assert wire.ask("SHUTDOWN", "SAVE").startswith(b"-ERR Errors trying to SHUTDOWN")
        server.wait_for_log("Background saving terminated by signal")
        begin()
        wire.send(encode("SHUTDOWN", "NOSAVE"))
        assert wire.read_until_closed() == b""
    assert server.wait() == 0
    assert server.log().count("There is a child saving an .rdb. Killing it!") == 2
    assert server.log().count("terminated by signal") == 1
    assert not list(server.directory.glob("temp-*.rdb"))
    os.rmdir(server.directory / "dump.rdb")


def test_who_insists_ends_the_server_in_the_middle_of_its_last_save(start_server):
    server = start_server("--save", "3600 1", "--rdb-key-save-delay", "10000000")
    with server.wire() as wire:
        wire.command("SET", "a", 1)
    temporary = server.directory / f"temp-{server.pid}.rdb"
    server.signal(signal.SIGINT)
    wait_until(temporary.exists)
    server.signal(signal.SIGINT)
    assert server.wait() == 1
    assert not temporary.exists()
    assert "You insist... exiting now." in server.log()


def test_a_signal_while_cron_is_paused_can_be_taken_back(start_server):
    server = start_server("--enable-debug-command", "yes", "--save", "")
    with server.wire() as wire:
        wire.command("DEBUG", "PAUSE-CRON", 1)
        server.signal(signal.SIGTERM)
        server.wait_for_log(") Received SIGTERM scheduling shutdown...")
        assert wire.ask("SHUTDOWN", "ABORT") == b"OK"
        wire.command("DEBUG", "PAUSE-CRON", 0)
        assert wire.ask("PING") == b"PONG"
    assert "Shutdown manually aborted" in server.log()


def test_flushall_replaces_the_snapshot_when_there_are_save_points(start_server):
    server = start_server("--save", "3600 1000")
    with server.wire() as wire:
        wire.command("SET", "a", 1)
        wire.command("SAVE")
        wire.command("FLUSHALL")
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("DBSIZE") == 0


def test_a_snapshot_that_cannot_be_read_stops_the_start_and_is_left_alone(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        wire.command("SET", "key", "value")
        wire.command("SAVE")
    path = server.directory / "dump.rdb"
    whole = path.read_bytes()
    server.kill()
    for data, reason in (
        (whole[:-9], "Short read or OOM loading DB. Unrecoverable error, aborting now."),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "-> RDB CRC error"),
        (b"NOREDIS12" + whole[9:], "Wrong signature trying to load DB from file"),
        (b"REDIS9999" + whole[9:], "Can't handle RDB format version 9999"),
        (whole[:9] + b"\x10\x03key\x05value" + whole[-9:], "-> Hash listpack integrity check failed.\n"),
    ):
        path.write_bytes(data)
        with pytest.raises(StartFailure, match="exit 1"):
            server.start()
        log = server.log()
        assert reason in log and str(path) in log
        assert log.splitlines()[-1].endswith(("after rdb file reading failure.", "check server logs. Exiting."))
        assert path.read_bytes() == data
    path.write_bytes(whole)
    server.start()
    with server.wire() as wire:
        assert wire.ask("GET", "key") == b"value"


def test_while_loading_some_commands_work_and_shutdown_ends_it(start_server):
    server = start_server("--save", "")
    with server.wire() as wire:
        wire.pipeline([(b"SET", b"k%d" % number, b"x" * 100) for number in range(300)])
        wire.command("SAVE")
    server.kill()
    server.args += ["--key-load-delay", "50000", "--loading-process-events-interval-bytes", "1024"]
    server.start(wait=False)
    deadline = time.monotonic() + 10
    while True:
        try:
            wire = server.wire()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    with wire:
        assert wire.ask("GET", "k1") == b"-LOADING Redis is loading the dataset in memory"
        assert wire.ask("SELECT", 1) == b"OK"
        assert info(wire, "loading") == "1"
        assert int(info(wire, "loading_total_bytes")) > 1000
        assert wire.ask("CONFIG", "GET", "port") == [b"port", b"%d" % server.port]
        assert wire.ask("CONFIG", "SET", "dir", "/").startswith(b"-")
        wire.send(encode("SHUTDOWN", "NOSAVE"))
        assert wire.read_until_closed() == b""
    assert server.wait() == 0
    assert "Ready to accept connections" not in server.log().rpartition("Server initialized")[2]


# Payloads -------------------------------------------------------------------------------------------------------


def test_restore_takes_its_options(wire):
    wire.command("SET", "a", "value")
    payload = wire.ask("DUMP", "a")
    assert wire.ask("DUMP", "nokey") is None
    assert wire.ask("RESTORE", "a", 0, payload) == b"-BUSYKEY Target key name already exists."
    assert wire.ask("RESTORE", "a", 0, payload, "REPLACE") == b"OK"
    assert wire.ask("RESTORE", "b", 100_000, payload, "IDLETIME", 1000) == b"OK"
    assert 90_000 < wire.ask("PTTL", "b") <= 100_000
    assert 1000 <= wire.ask("OBJECT", "IDLETIME", "b") <= 1001
    assert wire.ask("RESTORE", "c", 4_102_444_800_000, payload, "ABSTTL") == b"OK"
    assert wire.ask("PEXPIRETIME", "c") == 4_102_444_800_000
    assert wire.ask("RESTORE", "a", 1, payload, "ABSTTL", "REPLACE") == b"OK"
    assert wire.ask("EXISTS", "a") == 0
    assert wire.ask("RESTORE", "a", 2**63 - 1, payload) == b"OK"  # to Redis the sum is long past
    assert wire.ask("EXISTS", "a") == 0
    assert wire.ask("SAVE") == b"OK"


def test_a_payload_is_judged_before_the_key_that_it_replaces(wire):
    wire.command("FLUSHALL")
    wire.command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    try:
        wire.command("SET", "old", "x", "PX", "1")
        wire.expect_silence(0.01)
        assert wire.ask("RESTORE", "old", 0, "bad", "REPLACE").startswith(b"-ERR DUMP payload")
        assert wire.ask("DBSIZE") == 1
    finally:
        wire.command("DEBUG", "SET-ACTIVE-EXPIRE", "1")


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("-1",), b"-ERR Invalid TTL value, must be >= 0"),
        (("x",), b"-ERR value is not an integer or out of range"),
        (("0", "IDLETIME", "-1"), b"-ERR Invalid IDLETIME value, must be >= 0"),
        (("0", "FREQ", "256"), b"-ERR Invalid FREQ value, must be >= 0 and <= 255"),
        (("0", "FREQ", "1", "IDLETIME", "1"), b"-ERR syntax error"),
        (("0", "NONSENSE"), b"-ERR syntax error"),
    ],
)
def test_restore_refuses_in_redis_words(wire, arguments, refusal):
    wire.command("SET", "a", "value")
    payload = wire.ask("DUMP", "a")
    assert wire.ask("RESTORE", "b", arguments[0], payload, *arguments[1:]) == refusal


def test_a_payload_that_was_changed_is_refused(wire):
    wire.command("RPUSH", "l", "a", "b")
    payload = wire.ask("DUMP", "l")
    wrong = b"-ERR DUMP payload version or checksum are wrong"
    for at in range(len(payload)):
        broken = bytearray(payload)
        broken[at] ^= 1
        assert wire.ask("RESTORE", "x", 0, bytes(broken)) == wrong
    assert wire.ask("RESTORE", "x", 0, b"") == wrong


def test_a_hostile_payload_with_a_right_checksum_is_bad_data(wire):
    from storage.rdb.crc64 import crc64

    bodies = (b"\x0e\x81" + b"\xff" * 8, b"\x00\x80\xff\xff\xff\xff", b"\x10\x05ab\x00\x00\xff", b"\x7fx", b"\x02\x00")
    entries = b"\x81f\x02\x81v\x02\xc0\xc8\x02", b"\x81g\x02\x81w\x02\xc1\x2c\x02", b"\x81h\x02\x81x\x02\x00\x01"
    for order in ((1, 0, 2), (2, 0, 1)):  # by deadline, those without one last
        packed = b"".join(entries[place] for place in order)
        bodies += (b"\x17" + bytes((len(packed) + 7, len(packed) + 7, 0, 0, 0, 9, 0)) + packed + b"\xff",)
    bodies += (b"\x12\x01\x01\x00",)  # a list's element of no length in a node of its own
    for body in bodies:
        body += (10).to_bytes(2, "little")
        assert wire.ask("RESTORE", "x", 0, body + crc64(body).to_bytes(8, "little")) == b"-ERR Bad data format"


# Migrating ------------------------------------------------------------------------------------------------------


def test_migrate_to_a_silent_server_blocks_nobody_else(wire, server):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        wire.command("SET", "a", 1)
        wire.send(encode("MIGRATE", "127.0.0.1", silent.getsockname()[1], "a", 0, 400))
        with server.wire() as other:
            assert other.ask("GET", "a") == b"1"
        assert wire.read()[1] == b"IOERR error or timeout reading to target instance"
        assert wire.ask("GET", "a") == b"1"


def test_a_key_that_changes_while_it_is_migrated_is_kept(wire, server):
    with socket.socket() as target:
        target.bind(("127.0.0.1", 0))
        target.listen()
        wire.command("SET", "a", 1)
        wire.send(encode("MIGRATE", "127.0.0.1", target.getsockname()[1], "a", 0, 5000))
        connection, _ = target.accept()
        with connection, server.wire() as other:
            connection.recv(65536)
            assert other.ask("SET", "a", "changed") == b"OK"
            connection.sendall(b"+OK\r\n+OK\r\n")
            assert wire.read()[1].startswith(b"IOERR")
            assert other.ask("GET", "a") == b"changed"


def test_migrate_keeps_its_connection_for_the_next_key_and_notices_when_it_is_gone(wire, start_server):
    target = start_server("--save", "")
    for number in range(4):
        wire.command("SET", f"k{number}", number)
    place = ("127.0.0.1", target.port)
    assert info(wire, "migrate_cached_sockets") == "0"
    assert wire.ask("MIGRATE", *place, "k0", 0, 5000) == b"OK"
    assert info(wire, "migrate_cached_sockets") == "1"
    wire.pipeline([[b"MULTI"], [b"MIGRATE", b"127.0.0.1", b"%d" % target.port, b"k1", b"0", b"5000"], [b"EXEC"]])
    assert wire.ask("MIGRATE", *place, "k2", 0, 5000) == b"OK"
    with target.wire() as other:
        assert other.ask("MGET", "k0", "k1", "k2") == [b"0", b"1", b"2"]
        assert info(other, "total_connections_received") in ("2", "3")  # with the one that asks, and that of the start
        other.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert wire.ask("MIGRATE", *place, "k3", 0, 5000) == b"OK"
        assert other.ask("GET", "k3") == b"3"


def test_migrate_in_a_transaction_works_among_more_than_a_thousand_connections(start_server):
    """It waited with `select`, which takes no descriptors from 1024 on."""
    source, target = start_server("--save", ""), start_server("--save", "")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2500:
        pytest.skip("too few descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2500), hard))
    others = []
    try:
        with source.wire() as wire:
            others += [socket.create_connection(("127.0.0.1", source.port)) for _ in range(1050)]
            wire.ask("SET", "k", "v")
            migrate = [b"MIGRATE", b"127.0.0.1", b"%d" % target.port, b"k", b"0", b"5000"]
            assert wire.pipeline([[b"MULTI"], migrate, [b"EXEC"]])[-1] == b"*1\r\n+OK\r\n"
    finally:
        for other in others:
            other.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_migrate_says_what_is_wrong(wire):
    assert wire.ask("MIGRATE", "127.0.0.1", 1, "nokey", 0, 100) == b"NOKEY"
    wire.command("SET", "a", 1)
    assert wire.ask("MIGRATE", "127.0.0.1", 1, "a", 0, 100) == b"-IOERR error or timeout writing to target instance"
    for host, port in (("127.0.0.1", "9" * 20), ("127.0.0.1", -1), ("256.1.1.1", 1)):
        refusal = b"-IOERR error or timeout connecting to the client"
        assert wire.ask("MIGRATE", host, port, "a", 0, 100) == refusal
    assert wire.ask("MIGRATE", "h", 1, "a", 0, 100, "KEYS", "a").startswith(b"-ERR When using MIGRATE KEYS option")
    assert wire.ask("MIGRATE", "h", 1, "a", 0, 100, "AUTH") == b"-ERR syntax error"
    assert wire.ask("MIGRATE", "h", 1, "a", "x", 100) == b"-ERR value is not an integer or out of range"


# Reloading ------------------------------------------------------------------------------------------------------


def test_debug_reload_brings_everything_back(server, wire):
    wire.pipeline([(b"SET", b"k%d" % number, b"v") for number in range(200)])
    wire.command("HSET", "h", "f", "v", "g", "w")
    wire.command("HPEXPIRE", "h", 100_000, "FIELDS", 1, "f")
    wire.command("SET", "t", 1, "PX", 100_000)
    before = wire.ask("DEBUG", "DIGEST")
    assert wire.ask("DEBUG", "RELOAD") == b"OK"
    assert wire.ask("DEBUG", "DIGEST") == before
    assert wire.ask("HPTTL", "h", "FIELDS", 1, "f")[0] > 0
    assert wire.ask("DEBUG", "RELOAD", "NONSENSE").startswith(b"-ERR DEBUG RELOAD only supports")
    wire.command("SET", "unsaved", 1)
    assert wire.ask("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE") == b"OK"
    assert wire.ask("EXISTS", "unsaved") == 1


def test_loading_the_log_again_changes_nothing(start_server):
    server = start_server(*LOG, "--enable-debug-command", "yes")
    with server.wire() as wire:
        wire.pipeline([(b"INCR", b"c"), (b"MULTI",), (b"INCR", b"c"), (b"RPUSH", b"l", b"x"), (b"EXEC",)])
        assert wire.ask("DEBUG", "LOADAOF") == b"OK"
        assert wire.ask("GET", "c") == b"2"
        wire.command("INCR", "c")
    server.restart(kill=True)
    with server.wire() as wire:
        assert wire.ask("GET", "c") == b"3"
        assert wire.ask("LRANGE", "l", 0, -1) == [b"x"]


def test_the_checking_tools_of_redis_agree(start_server, real_server):
    import shutil

    server = start_server(*LOG)
    with server.wire() as wire:
        wire.pipeline([(b"SET", b"k%d" % number, b"v" * number) for number in range(200)])
        wire.command("SAVE")
    for tool, path in (
        ("redis-check-rdb", "dump.rdb"),
        ("redis-check-aof", os.path.join("appendonlydir", "appendonly.aof.manifest")),
    ):
        program = shutil.which(tool)
        if program is None:
            pytest.skip(f"no {tool} here")
        result = subprocess.run([program, str(server.directory / path)], capture_output=True, text=True, timeout=30)
        assert result.returncode == 0, result.stdout
