"""The tests' own client keeps what it reads, and its servers end."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.harness import processes
from tests.harness.wire import BadReply, Closed, Timeout, Wire, encode, parse, plain, reply_end

REPLIES = [
    (b"+OK\r\n", (b"+", b"OK")),
    (b"-ERR no\r\n", (b"-", b"ERR no")),
    (b":-3\r\n", (b":", b"-3")),
    (b"$3\r\na\r\n\r\n", (b"$", b"a\r\n")),
    (b"$-1\r\n", (b"$", None)),
    (b"*-1\r\n", (b"*", None)),
    (b"_\r\n", (b"_", None)),
    (b"#t\r\n", (b"#", b"t")),
    (b",1.5\r\n", (b",", b"1.5")),
    (b"=5\r\ntxt:a\r\n", (b"=", b"txt:a")),
    (b"*0\r\n", (b"*", [])),
    (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", (b"*", [(b"$", b"a"), (b"*", [(b":", b"1")])])),
    (b"%1\r\n+k\r\n~1\r\n:1\r\n", (b"%", [((b"+", b"k"), (b"~", [(b":", b"1")]))])),
    (b">1\r\n+m\r\n", (b">", [(b"+", b"m")])),
]


@pytest.mark.parametrize(("raw", "tree"), REPLIES)
def test_a_reply_keeps_its_types(raw, tree):
    assert parse(raw) == tree


@pytest.mark.parametrize(("raw", "tree"), REPLIES)
def test_a_reply_ends_at_its_last_byte_and_not_before(raw, tree):
    padded = b"xx" + raw + b"+next\r\n"
    assert reply_end(padded, 2) == 2 + len(raw)
    assert all(reply_end(padded[:cut], 2) == -1 for cut in range(2, 2 + len(raw)))


def test_bytes_after_a_reply_are_an_error():
    with pytest.raises(BadReply):
        parse(b"+OK\r\n+OK\r\n")


def test_values_read_plainly():
    assert plain(parse(b"*4\r\n:1\r\n$-1\r\n-ERR x\r\n%1\r\n+a\r\n#f\r\n")) == [
        1,
        None,
        b"-ERR x",
        [(b"a", False)],
    ]


@pytest.fixture
def peers():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(listener.getsockname(), timeout_s=5)
        peer, _ = listener.accept()
        with wire, peer:
            yield wire, peer


def test_replies_that_arrive_in_pieces_are_put_together(peers):
    wire, peer = peers
    peer.sendall(b"+A\r\n$5\r\nhe")
    assert wire.read_raw() == b"+A\r\n"
    peer.sendall(b"llo\r\n:1\r\nrest")
    assert wire.read_many_raw(2) == [b"$5\r\nhello\r\n", b":1\r\n"]
    assert wire.read_exactly(4) == b"rest"


def test_silence_is_a_timeout_and_an_end_is_an_end(peers):
    wire, peer = peers
    with pytest.raises(Timeout):
        wire.read(timeout_s=0.01)
    wire.expect_silence(0.01)
    peer.sendall(b"+half")
    peer.close()
    with pytest.raises(Closed):
        wire.read()


def test_bytes_sent_slowly_arrive_whole(peers):
    wire, peer = peers
    wire.send_slowly(encode("GET", "k"))
    received = b""
    while len(received) < 20:
        received += peer.recv(100)
    assert received == b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"


def test_a_server_that_cannot_start_shows_its_output(tmp_path):
    import sys

    command = [sys.executable, "-c", "import sys; print('broken on purpose'); sys.exit(3)"]
    with pytest.raises(processes.StartFailure, match="exit 3(.|\n)*broken on purpose"):
        processes.Server(command, directory=tmp_path)


def test_the_tests_run_where_an_installation_has_left_its_traces(tmp_path):
    """After `pip install .` a rediselect.egg-info in the checkout announces a plugin that is not on the path."""
    traces = tmp_path / "rediselect.egg-info"
    traces.mkdir()
    (traces / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: rediselect\nVersion: 0\n")
    (traces / "entry_points.txt").write_text("[pytest11]\nrediselect = rediselect.plugin\n")
    (tmp_path / "setup.cfg").write_bytes((processes.ROOT / "setup.cfg").read_bytes())
    (tmp_path / "test_it.py").write_text("def test_it(): pass")
    words = [sys.executable, "-m", "pytest", "-q", "test_it.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_real_server_starts_answers_and_ends(start_real):
    server = start_real()
    with server.wire() as wire:
        assert wire.ask("PING") == b"PONG"
    with server.wire(protocol=3) as wire:
        assert wire.command("GET", "nothing") == (b"_", None)
    server.stop()
    assert not server.is_alive()
    with pytest.raises(ConnectionRefusedError):
        server.wire()
