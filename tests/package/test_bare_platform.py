"""A platform that has no fork, no unix sockets, no epoll, no sendmsg, no resource, and Windows's rules for files."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.harness import bare_platform, processes
from tests.harness.replication import BareReplica
from tests.harness.wire import plain

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are looked up in /proc")
RUNNER = [sys.executable, bare_platform.__file__]
COMMAND = [*RUNNER, "-m", "server"]


def until(is_so, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def info(wire, field: str) -> str:
    text = plain(wire.command("INFO", "everything")).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)[field]


def test_it_starts_and_serves_where_the_platform_has_none_of_these(tmp_path):
    options = ["--save", "", "--daemonize", "yes", "--syslog-enabled", "yes"]
    server = processes.Server(COMMAND, options, tmp_path)
    with server, server.wire() as wire:
        assert "the server stays in the foreground" in server.log()
        assert wire.pipeline([(b"SET", b"k%d" % n, b"v" * n) for n in range(300)]) == [b"+OK\r\n"] * 300
        assert wire.ask("MGET", *[f"k{n}" for n in range(300)]) == [b"v" * n for n in range(300)]
        # Many chunks of output at once, without sendmsg.
        wire.ask("SET", "large", "x" * 100_000)
        assert len(wire.pipeline([(b"GET", b"large")] * 100)) == 100
        assert wire.ask("CONFIG", "GET", "maxclients") == [b"maxclients", b"480"]
        assert info(wire, "redis_version").startswith("7.4")
        assert wire.ask("CONFIG", "SET", "unixsocket", "s").startswith(b"-ERR")
        assert wire.ask("MEMORY", "PURGE") == b"OK"
        server.signal(bare_platform.SIGBREAK)
        assert server.wait() == 0
        assert "Received SIGBREAK scheduling shutdown..." in server.log()
        assert "no system log: syslog-enabled is without effect" in server.log()
        assert "Traceback" not in server.log() and "DENIED" not in server.log()


def test_its_files_are_kept_by_the_rules_of_such_a_platform(tmp_path):
    server = processes.Server(COMMAND, ["--save", "", "--appendfsync", "everysec"], tmp_path)
    with server:
        with server.wire() as wire:
            wire.ask("SET", "a", 1)
            assert wire.ask("BGSAVE") == b"Background saving started"
            until(lambda: info(wire, "rdb_bgsave_in_progress") == "0")
            assert info(wire, "rdb_last_bgsave_status") == "ok"
            assert wire.pipeline([(b"CONFIG", b"SET", b"appendonly", b"yes"), (b"SET", b"b", b"2")]) == [b"+OK\r\n"] * 2
            until(lambda: info(wire, "aof_rewrite_in_progress") == "0")
            assert wire.ask("WAITAOF", 1, 0, 5000) == [1, 0]
            wire.ask("SET", "c", 3)
            for number in range(2):
                wire.ask("BGREWRITEAOF")
                until(lambda: info(wire, "aof_rewrite_in_progress") == "0")
                wire.ask("SET", f"d{number}", 4)
            assert info(wire, "aof_last_bgrewrite_status") == "ok"
        names = sorted(path.name for path in (tmp_path / "appendonlydir").iterdir())
        assert names == [f"appendonly.aof.3.{part}" for part in ("base.rdb", "incr.aof")] + ["appendonly.aof.manifest"]
        server.args += ["--appendonly", "yes"]
        server.restart(kill=True)
        with server.wire() as wire:
            assert wire.ask("DBSIZE") == 5
        assert "DENIED" not in server.log()


def test_it_replicates_by_files(tmp_path):
    for name in ("master", "replica"):
        (tmp_path / name).mkdir()
    options = ["--save", "", "--repl-diskless-sync-delay", "0"]
    with processes.Server(COMMAND, options, tmp_path / "master") as master:
        with master.wire() as wire:
            wire.pipeline([(b"SET", b"k%d" % n, b"v" * 100) for n in range(500)])
        options += ["--replicaof", f"127.0.0.1 {master.port}"]
        replica = processes.Server(COMMAND, options, tmp_path / "replica")
        with replica, replica.wire() as other:
            until(lambda: info(other, "master_link_status") == "up")
            assert other.ask("DBSIZE") == 500
            assert "DENIED" not in replica.log()
            # The master's reader may still have the file open when it is first tried.
            until(lambda: not list(tmp_path.glob("*/temp-*")))


def test_a_replica_that_still_reads_is_in_nobodys_way(tmp_path):
    options = ["--save", "", "--rdbcompression", "no", "--repl-diskless-sync-delay", "0"]
    with processes.Server(COMMAND, options, tmp_path) as master, master.wire() as wire:
        wire.pipeline([(b"SET", b"k%d" % n, os.urandom(100_000)) for n in range(200)])
        idle, filtering = BareReplica(master, "eof"), BareReplica(master, "eof")
        assert idle.psync().startswith(b"+FULLRESYNC")
        filtering.wire.command("REPLCONF", "rdb-filter-only", "functions")
        assert filtering.psync().startswith(b"+FULLRESYNC")
        assert len(filtering.snapshot()) < 1000
        assert wire.ask("BGSAVE") == b"Background saving started"
        until(lambda: info(wire, "rdb_bgsave_in_progress") == "0")
        assert info(wire, "rdb_last_bgsave_status") == "ok"
        assert len(idle.snapshot()) > 20_000_000
        assert [path.name for path in tmp_path.iterdir() if path.suffix != ".log"] == ["dump.rdb"]
        assert "Traceback" not in master.log() and "DENIED" not in master.log()


def test_a_program_has_it_at_hand(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "scripts" / "package"))
    import rediselect

    interpreter = tmp_path / "python"
    interpreter.write_text('#!/bin/sh\nexec "%s" "%s" "$@"\n' % tuple(RUNNER))
    interpreter.chmod(0o755)
    with rediselect.run(python=str(interpreter)) as server:
        assert server.ask("SET", "k", "v") == b"OK"
        assert server.restart().ask("DBSIZE") == 0
        folder, pid = server.private, server.pid
    assert not os.path.exists(folder)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
