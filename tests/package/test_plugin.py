"""pytest's plugin in projects of its users, beside pytest-redis and under pytest-xdist where these can be installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.package.conftest import PIP_TIMEOUT_S, Environment, clean_environment

TESTS = """
import pytest
from rediselect import factories

small_proc = factories.rediselect_proc(maxmemory="10mb", databases=3)
small = factories.rediselect_client("small_proc", decode_responses=True)

@pytest.mark.parametrize("turn", range(6))
def test_each_test_finds_an_empty_database(rediselect_client, rediselect_proc, turn):
    assert rediselect_client.dbsize() == 0
    rediselect_client.set("k", turn)
    assert rediselect_client.get("k") == str(turn)   # rediselect_decode
    print("port", rediselect_proc.port)

def test_without_a_client_library(rediselect_server):
    assert rediselect_server.ask("DBSIZE") == 0
    assert rediselect_server.ask("CONFIG", "GET", "maxmemory-policy")[1] == b"allkeys-lru"   # ini
    assert rediselect_server.ask("CONFIG", "GET", "hz")[1] == b"50"   # option

def test_a_server_made_to_measure(small, rediselect_client):
    small.set("k", "v")
    assert rediselect_client.dbsize() == 0
    assert small.config_get("maxmemory") == {"maxmemory": "10485760"}

def test_a_test_may_end_the_server(rediselect_server):
    rediselect_server.end()

def test_and_the_next_has_one_again(rediselect_server):
    assert rediselect_server.ask("PING") == b"PONG"
"""

INI = """[pytest]
rediselect_config =
    maxmemory-policy allkeys-lru
rediselect_decode = true
"""

BESIDE = """
def test_both_fixtures(redisdb, rediselect_client):
    assert redisdb.ping() and rediselect_client.ping()

from pytest_redis import factories
its_own = factories.redisdb("redis_proc")

def test_its_launcher_starts_this_server(its_own):
    its_own.set("k", "v")
    assert its_own.get("k") == b"v"
    assert "python" in its_own.info("server")["executable"]
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory, wheel) -> Environment:
    """An environment with the wheel, pytest and the plugins beside which it has to live."""
    environment = Environment(tmp_path_factory.mktemp("tools") / "venv", wheel)
    wanted = ["pytest", "redis", "pytest-xdist", "pytest-redis"]
    command = [sys.executable, "-m", "pip", "--python", str(environment.python), "install", "-q", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, env=clean_environment())
    if done.returncode:
        pytest.skip(f"pip cannot install {', '.join(wanted)} here: {done.stderr[-300:]}")
    return environment


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "test_them.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(INI)
    return tmp_path


def test_the_fixtures_work_as_documented(tools, project):
    done = tools.run("python", "-m", "pytest", "-q", "--rediselect-config", "hz=50", cwd=project)
    assert "10 passed" in done.stdout, done.stdout + done.stderr


def test_each_worker_of_xdist_has_a_server_of_its_own(tools, project):
    words = ["-m", "pytest", "-v", "-n", "2", "-rP", "--rediselect-config", "hz=50"]
    done = tools.run("python", *words, cwd=project)
    assert "10 passed" in done.stdout, done.stdout + done.stderr
    assert len({line for line in done.stdout.splitlines() if line.startswith("port ")}) == 2


def test_pytest_redis_is_installed_beside_it_and_starts_this_server(tools, tmp_path):
    (tmp_path / "test_both.py").write_text(BESIDE)
    server = tools.scripts / "rediselect-server"
    done = tools.run("python", "-m", "pytest", "-q", f"--redis-exec={server}", cwd=tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
