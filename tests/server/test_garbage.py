"""The collector of cyclic garbage looks at each object once; that is harmless as long as nothing makes circles."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys

import pytest

from server.app import Application
from server.config.command_line import configure
from server.log import Log
from tests.harness.processes import ROOT
from tests.harness.wire import encode

MANY = 200_000
PROGRAM = """
import gc
from server.garbage import collect_all, keep_survivors
keep_survivors()
before = gc.get_freeze_count()
kept = [[[]] for _ in range(%d)]
print(gc.get_freeze_count() - before, len(gc.get_objects()))
circle = []
circle.append(circle)
del circle
gc.freeze()
collect_all()
circles = [item for item in gc.get_objects() if item.__class__ is list and len(item) == 1 and item[0] is item]
print(len(circles))
"""


@pytest.mark.skipif(not hasattr(gc, "freeze"), reason="another collector")
def test_what_survived_one_collection_is_looked_at_no_more():
    output = subprocess.check_output([sys.executable, "-c", PROGRAM % MANY], text=True, cwd=ROOT)
    frozen, watched, circles = map(int, output.split())
    assert frozen + watched > 2 * MANY
    assert watched < 100_000
    assert circles == 0


TALKS = [
    ["PING"],
    ["NOTHING"],
    ["BLPOP nothing 0"],
    ["SUBSCRIBE a b", "PSUBSCRIBE c*"],
    ["WATCH a", "MULTI", "SET a 1", "GET", "EXEC"],
    ["MULTI", "LPUSH a 1"],
    ["HELLO 3", "CLIENT TRACKING ON", "GET a"],
    ["CLIENT TRACKING ON BCAST PREFIX x"],
    ["MONITOR"],
    ["INFO everything", "CLIENT LIST", "COMMAND DOCS", "CONFIG GET *", "ACL LOG"],
    ["SET list 1", "LPUSH list 1", "XADD s * a 1", "XREAD BLOCK 0 STREAMS s $"],
    ["*1", "x"],
    ["CLIENT KILL ID 0", "QUIT"],
]


@pytest.fixture
def app(tmp_path):
    app = Application(
        configure(["--port", "0", "--save", "", "--unixsocket", str(tmp_path / "socket"), "--dir", str(tmp_path)]),
        Log("nothing"),
    )
    app.listening.open()
    yield app
    app.close()


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk[0].split()[0])
def test_clients_that_come_and_go_leave_no_circles(app, talk):
    def visit():
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(app.config.unixsocket)
            app.reactor.turn(0.1)
            for line in talk:
                client.sendall(encode(*line.split()) if line[0] != "*" else line.encode() + b"\r\n")
                app.reactor.turn(0.1)
        for _ in range(3):
            app.reactor.turn(0.01)

    visit()  # what is loaded or made once is there now
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            visit()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
