"""pytest's plugin: a server for the session, and for each test that server emptied.

    rediselect_proc     session: a rediselect.Server, started when the first test asks for it
    rediselect_server   test: the same, flushed; .url, .port, .ask("SET", ...), no client library needed
    rediselect_client   test: redis-py's client on it, flushed

All names begin with rediselect, so that pytest-redis can be installed beside it. Loaded by every
run of pytest in the environment: imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

import pytest

import rediselect.factories as factories

rediselect_proc = factories.rediselect_proc()
rediselect_server = factories.rediselect_server()
rediselect_client = factories.rediselect_client()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("rediselect")
    group.addoption(
        "--rediselect-port", type=int, default=0, help="port of rediselect_proc, plus the number of the xdist worker"
    )
    group.addoption(
        "--rediselect-config",
        action="append",
        metavar="NAME=VALUE",
        help="a directive of redis.conf for rediselect_proc; may be repeated",
    )
    parser.addini("rediselect_port", "port of rediselect_proc (default: a free one)", default="0")
    parser.addini("rediselect_config", "directives of redis.conf for rediselect_proc, one a line", "linelist")
    parser.addini("rediselect_decode", "rediselect_client answers with text", "bool", default=False)
