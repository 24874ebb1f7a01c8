"""`rediselect ping`, `cli` and `check`, as the installed command runs them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts" / "package"))

import rediselect  # noqa: E402


@pytest.fixture
def tool(environment, tmp_path):
    def run(*words, **options):
        return environment.run("rediselect", *words, cwd=tmp_path, **options)

    return run


@pytest.fixture
def running():
    with rediselect.run(requirepass="secret") as server:
        yield server


def test_a_ping_answers_a_health_check(tool, running):
    done = tool("ping", "-p", running.port, "-a", "secret")
    assert (done.returncode, done.stdout) == (0, "PONG\n")


def test_a_ping_without_the_password_says_why_it_fails(tool, running):
    done = tool("ping", "-p", running.port)
    assert done.returncode == 1
    assert done.stderr.startswith("NOAUTH")


def test_a_ping_of_nobody_fails(tool, running):
    running.end()
    done = tool("ping", "-p", running.port)
    assert (done.returncode, done.stdout) == (1, "")
    assert "refused" in done.stderr


def test_the_line_client_shows_each_type_of_reply(tool, running):
    lines = ["set k 'two words'", "get k", "incr n", "mget k none", "nosuch", "quit", "get k"]
    done = tool("cli", "-p", running.port, "-a", "secret", input="\n".join(lines))
    assert done.stdout.splitlines() == [
        "OK",
        "two words",
        "(integer) 1",
        "1) two words",
        "2) (nil)",
        "(error) ERR unknown command 'nosuch', with args beginning with: ",
    ]
    assert done.returncode == 1


def test_the_line_client_sends_one_command_of_its_arguments(tool, running):
    target = ("-p", running.port, "-a", "secret", "-3", "-n", "2")
    done = tool("cli", *target, "hset", "h", "f", "v")
    assert (done.returncode, done.stdout) == (0, "(integer) 1\n")
    assert running.ask("DBSIZE") == 0
    assert tool("cli", *target, "hgetall", "h").stdout == "1) 1) f\n   2) v\n"


def test_a_shutdown_that_is_asked_for_is_no_error(tool, running):
    done = tool("cli", "-p", running.port, "-a", "secret", "shutdown", "nosave")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def log(tmp_path) -> Path:
    """The folder of a log with commands behind its base."""
    with rediselect.run(dir=tmp_path, appendonly=True) as server:
        for number in range(5):
            server.ask("SET", f"key{number}", "value")
    return tmp_path / "appendonlydir"


def test_a_sound_log_passes(tool, log):
    done = tool("check", log / "appendonly.aof.manifest")
    assert done.returncode == 0
    assert "a log of 6 commands" in done.stdout


def test_a_log_that_ends_in_a_command_is_cut_when_asked_and_what_was_cut_is_kept(tool, log, tmp_path):
    last = log / "appendonly.aof.1.incr.aof"
    whole = last.read_bytes()
    last.write_bytes(whole[:-3])
    done = tool("check", log / "appendonly.aof.manifest")
    assert done.returncode == 1
    assert last.read_bytes() == whole[:-3]
    done = tool("check", log / "appendonly.aof.manifest", "--fix")
    assert done.returncode == 0
    assert last.read_bytes() + (log / (last.name + ".cut-off")).read_bytes() == whole[:-3]
    with rediselect.run(dir=tmp_path, appendonly=True, aof_load_truncated=False) as server:
        assert server.ask("DBSIZE") == 4


def test_a_log_with_a_wrong_byte_is_cut_before_it(tool, log):
    last = log / "appendonly.aof.1.incr.aof"
    whole = last.read_bytes()
    at = whole.rindex(b"*3")
    last.write_bytes(whole[:at] + b"!" + whole[at + 1 :])
    done = tool("check", last, "--fix")
    assert done.returncode == 0, done.stdout
    assert last.read_bytes() == whole[:at]


def test_a_snapshot_is_counted_and_a_damaged_one_refused(tool, tmp_path):
    with rediselect.run(dir=tmp_path) as server:
        server.ask("SET", "s", "v" * 100, "EX", 1000)
        server.ask("RPUSH", "l", "a", "b")
        server.ask("SAVE")
    path = tmp_path / "dump.rdb"
    done = tool("check", path)
    assert (done.returncode, "2 keys (1 list, 1 string), 1 with a deadline" in done.stdout) == (0, True)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = tool("check", path, "--fix")
    assert done.returncode == 1
    assert "checksum" in done.stdout
    assert "readable before it: 2 keys" in done.stdout


def test_what_is_no_file_of_a_server_fails(tool, tmp_path):
    (tmp_path / "notes").write_text("hello\n")
    assert tool("check", tmp_path / "notes").returncode == 1
    (tmp_path / "dump.rdb").touch()
    assert tool("check", tmp_path / "dump.rdb").returncode == 1
    assert tool("check", tmp_path / "absent").returncode == 2
    assert tool("check").returncode == 2
