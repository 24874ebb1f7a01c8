"""A disk that takes no more: a file-size limit stands for it."""

from __future__ import annotations

import sys
import time

import pytest

from tests.harness.processes import Server, own_command

resource = pytest.importorskip("resource")

LIMIT_BYTES = 200_000
FILLER = "x" * 10_000
# Starts the server with a limit that its owner may raise again.
LIMITED = (
    "import os, resource, sys; "
    f"resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT_BYTES}, resource.RLIM_INFINITY)); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def start_limited(directory, *args) -> Server:
    return Server(
        [sys.executable, "-c", LIMITED, *own_command()], ("--save", "", "--logfile", "", *args), directory=directory
    )


def fill(wire) -> tuple[int, bytes]:
    """Write until a write is refused; return how many were not, and the refusal."""
    for number in range(200):
        answer = wire.ask("SET", f"k{number}", FILLER)
        if answer != b"OK":
            return number, answer
        time.sleep(0.001)
    raise AssertionError("the disk is never full")


@pytest.mark.parametrize("policy", ["everysec", "no"])
def test_a_full_disk_refuses_writes_keeps_reads_and_heals(tmp_path, policy):
    if not hasattr(resource, "prlimit"):
        pytest.skip("this platform cannot change another process's limits")
    with start_limited(tmp_path, "--appendonly", "yes", "--appendfsync", policy) as server:
        with server.wire() as wire:
            written, refusal = fill(wire)
            assert written >= 10
            assert refusal == b"-MISCONF Errors writing to the AOF file: File too large"
            assert wire.ask("GET", "k1") == FILLER.encode()
            assert wire.ask("PING").startswith(b"-MISCONF")
            assert b"aof_last_write_status:err" in wire.ask("INFO", "persistence")
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            deadline = time.monotonic() + 10
            while wire.ask("SET", "healed", 1) != b"OK":
                assert time.monotonic() < deadline, "it does not heal"
                time.sleep(0.05)
            assert b"aof_last_write_status:ok" in wire.ask("INFO", "persistence")
        server.restart(kill=True)
        with server.wire() as wire:
            assert wire.ask("GET", "healed") == b"1"
            assert wire.ask("DBSIZE") == written + 1


def test_with_always_a_full_disk_ends_the_server_before_it_acknowledges(tmp_path):
    with start_limited(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        acknowledged = 0
        with server.wire() as wire:
            with pytest.raises(OSError):
                while True:
                    assert wire.ask("SET", f"k{acknowledged}", FILLER) == b"OK"
                    acknowledged += 1
        assert server.wait() == 1
        assert "Can't recover from AOF write error" in server.log()
        assert 10 <= acknowledged < 200
        server.command = own_command()
        server.start()
        with server.wire() as wire:
            assert acknowledged <= wire.ask("DBSIZE") <= acknowledged + 1


def test_a_snapshot_that_does_not_fit_leaves_the_old_one_and_no_rest(tmp_path):
    with start_limited(tmp_path) as server:
        with server.wire() as wire:
            wire.command("SET", "small", 1)
            assert wire.ask("SAVE") == b"OK"
            before = (tmp_path / "dump.rdb").read_bytes()
            wire.command("CONFIG", "SET", "rdbcompression", "no")
            for number in range(40):
                wire.command("SET", f"k{number}", FILLER)
            assert wire.ask("SAVE") == b"-ERR"
            assert wire.ask("BGSAVE") == b"Background saving started"
            server.wait_for_log("Background saving error")
        assert (tmp_path / "dump.rdb").read_bytes() == before
        assert not list(tmp_path.glob("temp-*"))
