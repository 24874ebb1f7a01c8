"""The log's format, its levels and where its lines go."""

from __future__ import annotations

import os
import re
import time
from types import SimpleNamespace

import pytest

from server.config.configuration import Config
from server.greeting import greet
from server.log import ROLE_MASTER, ROLE_REPLICA, Log

NOON = time.mktime((2026, 3, 7, 12, 4, 5, 0, 0, -1)) + 0.0625


@pytest.fixture
def pipe():
    """A log on a pipe, with a clock of its own, and a function that reads what was written."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    log = Log(level="debug", now=lambda: NOON, role=lambda: ROLE_MASTER, descriptor=writing)

    def written() -> str:
        try:
            return os.read(reading, 65536).decode()
        except BlockingIOError:
            return ""

    yield log, written
    os.close(reading)
    os.close(writing)


def test_line_has_redis_s_format(pipe):
    log, written = pipe
    log.notice("Ready to accept connections tcp")
    assert written() == f"{os.getpid()}:M 07 Mar 2026 12:04:05.062 * Ready to accept connections tcp\n"


def test_each_level_has_its_mark(pipe):
    log, written = pipe
    log.debug("a")
    log.verbose("b")
    log.notice("c")
    log.warning("d")
    assert re.findall(r"\d{3} (. .)", written()) == [". a", "- b", "* c", "# d"]


def test_role_is_asked_for_each_line(pipe):
    log, written = pipe
    role = [ROLE_MASTER]
    log.set_role(lambda: role[0])
    log.notice("x")
    role[0] = ROLE_REPLICA
    log.notice("y")
    assert re.findall(r"\d+:(\w) ", written()) == ["M", "S"]


def test_before_a_role_is_known_lines_say_c(pipe):
    _, written = pipe
    assert b":C " in Log().line(2, "x")


@pytest.mark.parametrize(
    ("level", "expected"),
    [("debug", 4), ("verbose", 3), ("notice", 2), ("warning", 1), ("nothing", 0)],
)
def test_loglevel_silences_what_is_below_it(pipe, level, expected):
    log, written = pipe
    config = Config()
    log.follow(config)
    if level == "notice":
        config.set([(b"loglevel", b"debug")])
    config.set([(b"loglevel", level.encode())])
    for say in (log.debug, log.verbose, log.notice, log.warning):
        say("x")
    assert written().count("\n") == expected


def test_a_moved_log_file_is_created_anew(tmp_path):
    path = tmp_path / "redis.log"
    log = Log(file=str(path).encode())
    log.notice("one")
    path.rename(tmp_path / "redis.log.1")
    log.notice("two")
    assert path.read_text().endswith("* two\n")
    assert (tmp_path / "redis.log.1").read_text().endswith("* one\n")


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path):
    Log(file=str(tmp_path / "missing" / "redis.log").encode()).warning("x")
    Log(descriptor=9999).warning("x")
    assert list(tmp_path.iterdir()) == []


def test_text_that_is_no_utf_8_is_written_escaped(pipe):
    log, written = pipe
    log.notice(b"\xff".decode("utf-8", "surrogateescape"))
    assert written().endswith("* \\udcff\n")


def test_raw_text_has_no_head(pipe):
    log, written = pipe
    log.raw(" PID: 1")
    assert written() == " PID: 1\n"


def test_milliseconds_and_seconds_follow_the_clock():
    now = [NOON]
    log = Log(now=lambda: now[0])
    first = log.line(2, "x")
    now[0] += 60.5
    second = log.line(2, "x")
    assert b"12:04:05.062" in first
    assert b"12:05:05.562" in second


def test_clients_cannot_fill_the_log_with_what_they_provoke(tmp_path):
    now = [NOON]
    log = Log(file=bytes(tmp_path / "log"), now=lambda: now[0])
    for _ in range(50):
        log.provoked("bad handshake")
    assert (tmp_path / "log").read_text().count("# bad handshake\n") == 10
    now[0] += 1
    log.provoked("bad handshake")
    assert (tmp_path / "log").read_text().count("# bad handshake\n") == 11


@pytest.mark.parametrize("port, tls_port, told", [(6379, 0, 6379), (6379, 7000, 6379), (0, 7000, 7000), (0, 0, 0)])
def test_the_greeting_tells_the_port_that_there_is(port, tls_port, told):
    config = SimpleNamespace(port=port, tls_port=tls_port, always_show_logo=False)
    told_lines: list[str] = []
    greet(config, SimpleNamespace(notice=told_lines.append))
    assert told_lines == [f"Running mode=standalone, port={told}."]
