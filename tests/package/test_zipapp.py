"""One file that is the whole server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import processes
from tests.package.conftest import clean_environment

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import rediselect
with rediselect.run() as server:
    print(server.ask("PING"), rediselect.__version__)
"""


def build(target: Path, **changes) -> bytes:
    command = [sys.executable, str(ROOT / "scripts" / "build_zipapp.py"), str(target)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=clean_environment(**changes))
    return target.read_bytes()


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("zipapp") / "rediselect.pyz"
    build(target)
    return target


def test_the_same_sources_give_the_same_bytes(archive, tmp_path):
    again = build(tmp_path / "other.pyz", TZ="Asia/Tokyo", PYTHONHASHSEED="7")
    assert again == archive.read_bytes()


def test_it_serves_from_anywhere(archive, tmp_path):
    server = processes.Server([sys.executable, str(archive)], ["--save", ""], tmp_path)
    with server, server.wire() as wire:
        assert wire.ask("SET", "k", "v") == b"OK"
        assert wire.ask("GET", "k") == b"v"


def test_its_tools_and_its_module_work(archive, tmp_path):
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 60, "env": clean_environment()}
    done = subprocess.run([sys.executable, str(archive), "--version"], **run)
    assert done.stdout.startswith("Redis server v=7.4")
    done = subprocess.run([sys.executable, str(archive), "ping", "-s", "nowhere"], **run)
    assert done.returncode == 1
    (tmp_path / "log").write_bytes(b"*1\r\n$4\r\nPING\r\n")
    done = subprocess.run([sys.executable, str(archive), "check", "log"], **run)
    assert done.stdout == "log: a log of 1 commands\n"
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(archive)], **run)
    assert done.stdout == "b'PONG' 0.1.0\n", done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a file's first line names its interpreter on POSIX only")
def test_it_is_a_program_by_itself(archive, tmp_path):
    environment = clean_environment(PATH=os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    done = subprocess.run([str(archive), "-v"], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.stdout.startswith("Redis server v=7.4")
