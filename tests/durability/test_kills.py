"""What is acknowledged is there after `kill -9`; a longer run is scripts/crash.py."""

from __future__ import annotations

import os
import signal
import time

from tests.durability.crashing import crash
from tests.harness.processes import start_own


def test_with_always_every_acknowledged_write_survives_a_kill():
    crash(18, "always", seed=11, longest_s=0.3)


def test_with_always_every_acknowledged_write_survives_a_kill_during_rewrite_or_save():
    crash(7, "always", seed=12, during=("BGREWRITEAOF", "BGSAVE"), longest_s=0.3)


def test_with_everysec_only_the_last_two_seconds_may_be_gone():
    crash(2, "everysec", seed=13, grace_s=2.0, longest_s=2.5)


def test_with_the_log_as_commands_a_killed_rewrite_loses_nothing():
    crash(4, "always", seed=14, options=("--aof-use-rdb-preamble", "no"), during=("BGREWRITEAOF",), longest_s=0.3)


def test_a_killed_server_leaves_the_last_whole_snapshot(tmp_path):
    with start_own("--save", "", "--rdb-key-save-delay", "20000", directory=tmp_path) as server:
        with server.wire() as wire:
            for number in range(50):
                wire.command("SET", f"old{number}", number)
            wire.command("CONFIG", "SET", "rdb-key-save-delay", 0)
            assert wire.ask("SAVE") == b"OK"
            wire.command("CONFIG", "SET", "rdb-key-save-delay", 20000)
            wire.command("SET", "new", 1)
            assert wire.ask("BGSAVE") == b"Background saving started"
        server.restart(kill=True)
        with server.wire() as wire:
            assert wire.ask("DBSIZE") == 50
            assert wire.ask("EXISTS", "new") == 0


def test_the_child_dies_with_its_parent(tmp_path):
    with start_own("--save", "", "--rdb-key-save-delay", "100000", directory=tmp_path) as server:
        with server.wire() as wire:
            for number in range(100):
                wire.command("SET", f"k{number}", number)
            wire.command("BGSAVE")
        line = next(line for line in server.log().splitlines() if "Background saving started by pid" in line)
        child = int(line.rsplit(" ", 1)[1])
        os.kill(child, 0)
        server.kill()
        deadline = time.monotonic() + 10
        while is_running(child):
            assert time.monotonic() < deadline, "the child of a dead server goes on"
            time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie, which nobody may have reaped in a container."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_killed_child_is_an_error_that_stops_writes_until_a_save_succeeds(tmp_path):
    with start_own("--save", "3600 1000000", "--rdb-key-save-delay", "100000", directory=tmp_path) as server:
        with server.wire() as wire:
            for number in range(100):
                wire.command("SET", f"k{number}", number)
            wire.command("BGSAVE")
            line = next(line for line in server.log().splitlines() if "Background saving started by pid" in line)
            os.kill(int(line.rsplit(" ", 1)[1]), signal.SIGKILL)
            server.wait_for_log("Background saving terminated by signal 9")
            assert wire.ask("SET", "x", 1).startswith(b"-MISCONF Redis is configured to save RDB snapshots")
            assert wire.ask("PING").startswith(b"-MISCONF")
            assert wire.ask("GET", "k1") == b"1"
            assert b"rdb_last_bgsave_status:err" in wire.ask("INFO", "persistence")
            wire.command("CONFIG", "SET", "rdb-key-save-delay", 0)
            assert wire.ask("SAVE") == b"OK"
            assert wire.ask("SET", "x", 1) == b"OK"
            assert wire.ask("PING") == b"PONG"
        assert not list(tmp_path.glob("temp-*"))
