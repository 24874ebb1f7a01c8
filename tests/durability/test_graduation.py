"""scripts/graduate.py: the way to a real server, and what it refuses to try."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import processes

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "graduate.py"


def graduate(source, target, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), "--from", f"127.0.0.1:{source.port}", "--to", f"127.0.0.1:{target.port}"]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)


@pytest.fixture
def source():
    with processes.start_own("--save", "", "--repl-diskless-sync-delay", "0") as server:
        with server.wire() as wire:
            for number in range(300):
                wire.command("SET", f"s:{number}", number, "EX", 1000 + number)
            wire.command("RPUSH", "list", *range(200))
            wire.command("SADD", "set", *range(200), "x")
            wire.command("ZADD", "zset", "1.5", "a", "2", "b")
            wire.command("HSET", "hash", "a", "1", "b", "2")
            wire.command("XADD", "stream", "*", "f", "v")
            wire.command("XGROUP", "CREATE", "stream", "group", "0")
            wire.command("SELECT", "3")
            wire.command("SET", "elsewhere", "1")
        yield server


def test_everything_arrives_the_target_is_promoted_and_this_server_follows_it(source, start_real):
    target = start_real()
    done = graduate(source, target, "--verify", "all")
    assert done.returncode == 0, done.stderr
    assert "306 keys compared, all equal" in done.stdout
    assert "writes were paused for" in done.stdout
    with target.wire() as wire, source.wire() as old:
        assert wire.ask("ROLE")[0] == b"master"
        assert wire.command("SET", "new", "1") == (b"+", b"OK")
        assert wire.ask("GET", "s:299") == b"299"
        assert old.ask("ROLE")[0] == b"slave"
        assert old.command("SET", "k", "v")[1].startswith(b"READONLY")


def test_a_target_with_data_of_its_own_is_refused_and_keeps_it(source, start_real):
    target = start_real()
    with target.wire() as wire:
        wire.command("SET", "mine", "1")
        done = graduate(source, target)
        assert done.returncode == 1
        assert "the target has 1 keys" in done.stderr
        assert wire.ask("GET", "mine") == b"1"
        assert wire.ask("ROLE")[0] == b"master"


def test_databases_and_commands_that_the_target_lacks_are_named(source, start_real):
    target = start_real("--databases", "2", "--rename-command", "ZADD", "")
    done = graduate(source, target, "--check")
    assert done.returncode == 1
    assert "database 3 is in use, the target has 2" in done.stderr
    assert "the command ZADD is in use, the target does not know it" in done.stderr


def test_field_deadlines_stand_in_the_way_of_an_older_target(source, start_real):
    target = start_real()
    with source.wire() as wire:
        wire.command("HPEXPIRE", "hash", "1000000", "FIELDS", "1", "a")
    with target.wire() as wire:
        if b"redis_version:7.0" not in wire.ask("INFO", "server"):
            pytest.skip("a target that knows field deadlines")
    done = graduate(source, target, "--check")
    assert done.returncode == 1
    assert "hash fields with deadlines" in done.stderr
