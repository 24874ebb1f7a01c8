"""Fixtures made to measure: a server with other directives, a client with other options, under names of your own.

    from rediselect import factories

    cache_proc = factories.rediselect_proc(maxmemory="10mb", maxmemory_policy="allkeys-lru")
    cache = factories.rediselect_client("cache_proc", decode_responses=True)
"""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from rediselect.running import Server


def rediselect_proc(port: int = 0, **config: Any) -> Callable[[Any], Any]:
    """A fixture for the whole session: a `rediselect.Server`, with the given directives above those of the options.

    Each worker of pytest-xdist has a process of its own and so a server of its own; a fixed port is counted up by the
    worker's number.
    """

    @pytest.fixture(scope="session")
    def server_process(request: pytest.FixtureRequest) -> Iterator[Server]:
        from rediselect.running import run

        chosen = port or int(request.config.getoption("rediselect_port") or request.config.getini("rediselect_port"))
        if chosen:
            chosen += worker_number()
        directives = {**directives_of(request.config), **config}
        with run(chosen, **directives) as server:
            yield server

    return server_process


def rediselect_server(process: str = "rediselect_proc") -> Callable[[Any], Any]:
    """A fixture for each test: the server of the fixture `process`, flushed. Needs no client library."""

    @pytest.fixture
    def flushed_server(request: pytest.FixtureRequest) -> Server:
        return flushed(request.getfixturevalue(process))

    return flushed_server


def rediselect_client(process: str = "rediselect_proc", **options: Any) -> Callable[[Any], Any]:
    """A fixture for each test: redis-py's client of the server of the fixture `process`, flushed before the test."""

    @pytest.fixture
    def client(request: pytest.FixtureRequest) -> Iterator[Any]:
        pytest.importorskip("redis", reason="rediselect_client needs the package redis")
        server = flushed(request.getfixturevalue(process))
        chosen = {"decode_responses": request.config.getini("rediselect_decode"), **options}
        connected = server.client(**chosen)
        try:
            yield connected
        finally:
            connected.close()

    return client


def flushed(server: Server) -> Server:
    """Empty the server, scripts' functions and all; start it again if the last test has ended it."""
    if not server.is_running:
        server.restart()
    server.ask("FLUSHALL")
    return server


def worker_number() -> int:
    """Which of pytest-xdist's workers this is; 0 without it."""
    digits = os.environ.get("PYTEST_XDIST_WORKER", "")[2:]
    return int(digits) if digits.isdigit() else 0


def directives_of(config: pytest.Config) -> dict[str, Any]:
    """The lines of the ini value and of the options, `name value...` or `name=value`; the options come last."""
    directives: dict[str, Any] = {}
    for line in [*config.getini("rediselect_config"), *(config.getoption("rediselect_config") or [])]:
        name, separator, value = line.partition("=")
        if not separator or " " in name.strip():
            name, _, value = line.strip().partition(" ")
        directives[name.strip().replace("-", "_")] = value.strip()
    return directives
