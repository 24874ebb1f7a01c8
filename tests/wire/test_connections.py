"""Connections: logging in, the protocol's version, RESET, who is let in, limits on what one may hold."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from tests.harness.processes import ROOT, own_command
from tests.harness.wire import Closed, Wire, encode, encode_all

NO_AUTH = b"-NOAUTH Authentication required."
WRONG_PASS = b"-WRONGPASS invalid username-password pair or user is disabled."
HELLO_NEEDS_AUTH = (
    b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> "
    b"<pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
)


@pytest.fixture
def locked(start_server):
    """A server with a password."""
    return start_server("--requirepass", "secret")


# Logging in ----------------------------------------------------------------------------------------------------


def test_without_the_password_nothing_runs_but_what_logs_in(locked):
    with locked.wire() as wire:
        assert wire.ask("PING") == NO_AUTH
        assert wire.ask("SET", "a", "1") == NO_AUTH
        assert wire.ask("HELLO") == HELLO_NEEDS_AUTH
        assert wire.ask("HELLO", "3", "SETNAME", "x") == HELLO_NEEDS_AUTH
        assert wire.ask("AUTH", "wrong") == WRONG_PASS
        assert wire.ask("AUTH", "nobody", "secret") == WRONG_PASS
        assert wire.ask("AUTH", "a", "b", "c") == b"-ERR syntax error"
        assert wire.ask("AUTH", "secret") == b"OK"
        assert wire.ask("PING") == b"PONG"


def test_auth_first_in_the_packet_lifts_the_limits_for_the_second(locked):
    big = b"v" * 100_000
    with locked.wire() as wire:
        replies = wire.pipeline([[b"AUTH", b"secret"], [b"SET", b"key", big], [b"STRLEN", b"key"]])
        assert replies == [b"+OK\r\n", b"+OK\r\n", b":100000\r\n"]
    with locked.wire() as wire:
        wire.send(encode("PING") + encode("SET", "key", big))
        assert wire.read_until_closed() == b"%b\r\n-ERR Protocol error: unauthenticated bulk length\r\n" % NO_AUTH


def test_before_logging_in_ten_arguments_are_the_most(locked):
    with locked.wire() as wire:
        assert wire.ask(*["PING"] * 10) == NO_AUTH
        wire.send(encode(*["PING"] * 11))
        assert wire.read_until_closed() == b"-ERR Protocol error: unauthenticated multibulk length\r\n"


def test_hello_logs_in_names_and_chooses_the_protocol_at_once(locked):
    with locked.wire() as wire:
        assert wire.ask("HELLO", "3", "AUTH", "default", "wrong") == WRONG_PASS
        kind, pairs = wire.command("HELLO", "3", "AUTH", "default", "secret", "SETNAME", "me")
        assert kind == b"%"
        names = [key[1] for key, _ in pairs]
        assert names == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
        assert wire.ask("CLIENT", "GETNAME") == b"me"


@pytest.mark.parametrize(
    "arguments, answer",
    [
        (("4",), b"-NOPROTO unsupported protocol version"),
        (("1",), b"-NOPROTO unsupported protocol version"),
        (("x",), b"-ERR Protocol version is not an integer or out of range"),
        (("3", "AUTH", "default"), b"-ERR Syntax error in HELLO option 'AUTH'"),
        (("3", "JUNK"), b"-ERR Syntax error in HELLO option 'JUNK'"),
        (("3", "SETNAME", "a b"), b"-ERR Client names cannot contain spaces, newlines or special characters."),
    ],
)
def test_hello_refuses_what_it_cannot_do_and_changes_nothing(wire, arguments, answer):
    assert wire.ask("HELLO", *arguments) == answer
    assert wire.command("CLIENT", "GETNAME") == (b"$", None)


def test_a_password_set_later_does_not_log_anybody_out(start_server):
    server = start_server()
    with server.wire() as old:
        assert old.ask("AUTH", "x").startswith(b"-ERR AUTH <password> called without any password configured")
        assert old.ask("AUTH", "default", "anything") == b"OK"
        assert old.ask("CONFIG", "SET", "requirepass", "late") == b"OK"
        assert old.ask("PING") == b"PONG"
        with Wire(server.address) as new:
            assert new.ask("PING") == NO_AUTH
            assert old.ask("CONFIG", "SET", "requirepass", "") == b"OK"
            assert new.ask("PING") == b"PONG"


def test_redis_py_logs_in_in_both_protocols(locked):
    redis = pytest.importorskip("redis")
    for protocol in (2, 3):
        with redis.Redis(port=locked.port, password="secret", protocol=protocol, client_name="py") as client:
            assert client.ping()
            assert client.client_getname() in ("py", b"py")  # by version of redis-py
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)  # as it is, a wrong password is tried for seconds
    with redis.Redis(port=locked.port, password="wrong", retry=once) as client:
        with pytest.raises(redis.AuthenticationError):
            client.ping()


# The connection's own commands ---------------------------------------------------------------------------------


def test_ping_in_the_subscribed_state_answers_with_two_strings(wire):
    wire.command("SUBSCRIBE", "news")
    assert wire.ask("PING") == [b"pong", b""]
    assert wire.ask("PING", "text") == [b"pong", b"text"]
    assert wire.ask("RESET") == b"RESET"
    assert wire.ask("PING") == b"PONG"


def test_select_refuses_a_database_that_is_not_there(wire):
    assert wire.ask("SELECT", "16") == b"-ERR DB index is out of range"
    assert wire.ask("SELECT", "-1") == b"-ERR DB index is out of range"
    assert wire.ask("SELECT", "one") == b"-ERR value is not an integer or out of range"
    wire.command("SELECT", "3")
    wire.command("SET", "k", "three")
    wire.command("SELECT", "0")
    assert wire.ask("GET", "k") is None


def test_quit_answers_and_drops_the_rest_of_the_pipeline(server, wire):
    wire.send(encode("SET", "k", "1") + encode("QUIT") + encode("SET", "k", "2"))
    assert wire.read_until_closed() == b"+OK\r\n+OK\r\n"
    with server.wire() as other:
        assert other.ask("GET", "k") == b"1"


def test_reset_undoes_everything_a_session_can_become(server):
    with server.wire(protocol=3) as wire, server.wire() as other:
        wire.command("SELECT", "5")
        wire.command("CLIENT", "SETNAME", "n")
        wire.command("CLIENT", "NO-EVICT", "on")
        wire.command("CLIENT", "NO-TOUCH", "on")
        wire.command("SUBSCRIBE", "news")
        wire.command("WATCH", "k")
        wire.command("MULTI")
        assert wire.command("RESET") == (b"+", b"RESET")
        line = wire.ask("CLIENT", "INFO")
        for field in (b" name= ", b" flags=N ", b" db=0 ", b" sub=0 ", b" multi=-1 ", b" watch=0 ", b" resp=2 "):
            assert field in line
        assert other.ask("PUBLISH", "news", "x") == 0
        assert wire.ask("EXEC") == b"-ERR EXEC without MULTI"


def test_reset_logs_out_where_a_password_is_set(locked):
    with locked.wire() as wire:
        wire.command("AUTH", "secret")
        assert wire.ask("RESET") == b"RESET"
        assert wire.ask("PING") == NO_AUTH


def test_reset_is_heard_after_reply_off(wire):
    wire.send(encode("CLIENT", "REPLY", "OFF") + encode("PING") + encode("RESET") + encode("ECHO", "x"))
    assert wire.read_many_raw(2) == [b"+RESET\r\n", b"$1\r\nx\r\n"]


# Who is let in -------------------------------------------------------------------------------------------------


def test_one_client_too_many_is_told_and_closed(start_server):
    server = start_server("--maxclients", "3")
    with server.wire() as first:
        while first.ask("CLIENT", "LIST").count(b"\n") > 1:
            pass  # the harness's own connection is still being closed
        with server.wire() as second, server.wire() as third:
            assert second.ask("PING") == third.ask("PING") == b"PONG"
            with server.wire() as fourth:
                assert fourth.read_until_closed() == b"-ERR max number of clients reached\r\n"
            assert first.ask("CONFIG", "SET", "maxclients", "4") == b"OK"
            with server.wire() as fifth:
                assert fifth.ask("PING") == b"PONG"


def test_maxclients_fits_the_descriptors_that_the_system_allows(start_server):
    server = start_server("--maxclients", "100")
    with server.wire() as wire:
        answer = wire.ask("CONFIG", "SET", "maxclients", "4000000000")
        prefix = (
            b"-ERR CONFIG SET failed (possibly related to argument 'maxclients') - "
            b"The operating system is not able to handle the specified number of clients, try with "
        )
        assert answer.startswith(prefix)
        assert int(answer[len(prefix) :]) > 0
        assert wire.ask("CONFIG", "GET", "maxclients") == [b"maxclients", b"100"]


def test_a_low_limit_of_open_files_lowers_maxclients_and_says_so(tmp_path):
    log = tmp_path / "log"
    drop = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"] if os.geteuid() == 0 else []
    if drop and shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed: as root the limit cannot be made to hold")
    options = ["--port", "0", "--save", "", "--unixsocket", str(tmp_path / "s")]
    command = ["sh", "-c", 'ulimit -n 60; exec "$@"', "sh", *own_command(), *options]
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [*drop, *command], stdout=out, stderr=out, cwd=tmp_path, env=dict(os.environ, PYTHONPATH=str(ROOT))
        )
    try:
        deadline = time.monotonic() + 15
        while b"Ready to accept" not in log.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.02)
        text = log.read_text()
        assert "You requested maxclients of 10000 requiring at least 10032 max file descriptors." in text
        assert "Current maximum open files is 60. maxclients has been reduced to 28" in text
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def own_address() -> str | None:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address


def test_protected_mode_turns_away_whoever_does_not_come_by_loopback(start_server):
    address = own_address()
    if address is None:
        pytest.skip("this machine has only a loopback address")
    server = start_server("--bind", "0.0.0.0")
    with Wire((address, server.port)) as wire:
        assert wire.read_until_closed().startswith(
            b"-DENIED Redis is running in protected mode because protected mode is enabled"
        )
    with server.wire() as local:
        assert local.ask("CONFIG", "SET", "protected-mode", "no") == b"OK"
        with Wire((address, server.port)) as wire:
            assert wire.ask("PING") == b"PONG"
        local.command("CONFIG", "SET", "protected-mode", "yes", "requirepass", "p")
        with Wire((address, server.port)) as wire:
            assert wire.ask("PING") == NO_AUTH


def test_a_port_is_changed_while_serving_and_a_busy_one_is_refused(start_server):
    server = start_server()
    with socket.socket() as taken, server.wire() as wire:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        answer = wire.ask("CONFIG", "SET", "port", taken.getsockname()[1])
        assert answer == (
            b"-ERR CONFIG SET failed (possibly related to argument 'port') - "
            b"Unable to listen on this port. Check server logs."
        )
        with server.wire() as still:
            assert still.ask("PING") == b"PONG"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        assert wire.ask("CONFIG", "SET", "port", port) == b"OK"
        with Wire(("127.0.0.1", port)) as moved:
            assert moved.ask("PING") == b"PONG"
        with pytest.raises(OSError):
            server.wire()
        assert wire.ask("CONFIG", "SET", "bind", "192.0.2.77") == (
            b"-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses."
        )
        with Wire(("127.0.0.1", port)) as still:
            assert still.ask("PING") == b"PONG"


# Limits --------------------------------------------------------------------------------------------------------


def test_an_idle_client_is_closed_and_one_that_waits_or_listens_is_not(start_server):
    server = start_server("--timeout", "1")
    with server.wire() as idle, server.wire() as waiting, server.wire() as listening, server.wire() as busy:
        waiting.send(encode("BLPOP", "nothing", "0"))
        listening.command("SUBSCRIBE", "c")
        ends = time.monotonic() + 5
        started = time.monotonic()
        assert idle.ask("PING") == b"PONG"
        while time.monotonic() < ends:
            assert busy.ask("PING") == b"PONG"
            if busy.ask("CLIENT", "LIST").count(b"\n") == 3:
                break
            busy.expect_silence(0.05)
        assert 0.9 < time.monotonic() - started < 4
        with pytest.raises(Closed):
            idle.ask("PING")
        busy.command("RPUSH", "nothing", "x")
        assert waiting.read()[0] == b"*"
        assert listening.ask("PING") == [b"pong", b""]


def test_a_subscriber_that_does_not_read_is_dropped_at_the_hard_limit_and_nobody_else_notices(start_server):
    server = start_server("--client-output-buffer-limit", "pubsub 1mb 0 0")
    with server.wire() as deaf, server.wire() as publisher:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.command("SUBSCRIBE", "c")
        message = b"m" * 100_000
        delivered = 0
        while publisher.ask("PUBLISH", "c", message):
            delivered += 1
            assert delivered < 200  # 20 MB: more than the kernel holds beside the limit
        assert publisher.ask("CLIENT", "LIST").count(b"\n") == 1
        server.wait_for_log("overcoming of output buffer limits")


def test_a_soft_limit_drops_a_silent_reader_though_nothing_more_is_sent(start_server):
    server = start_server("--client-output-buffer-limit", "pubsub 0 100kb 1")
    with server.wire() as deaf, server.wire() as publisher:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.command("SUBSCRIBE", "c")
        waiting = 0
        while waiting < 2_000_000:
            assert publisher.ask("PUBLISH", "c", b"m" * 1_000_000) == 1
            line = publisher.ask("CLIENT", "LIST", "TYPE", "pubsub")
            waiting = int(line.partition(b" omem=")[2].split()[0])
        server.wait_for_log("overcoming of output buffer limits", timeout_s=6)
        assert publisher.ask("CLIENT", "LIST", "TYPE", "pubsub") == b""


def test_input_past_the_query_limit_closes_the_client(start_server):
    server = start_server("--client-query-buffer-limit", "1mb")
    with server.wire() as wire, server.wire() as other:
        with pytest.raises(Closed):
            wire.send(b"*2\r\n$3\r\nGET\r\n$9000000\r\n" + b"x" * 8_000_000)
            wire.read_raw()
        assert other.ask("PING") == b"PONG"
        server.wait_for_log("Closing client that reached max query buffer length")


def test_a_lowered_bulk_limit_reaches_clients_that_are_connected(start_server):
    server = start_server()
    with server.wire() as wire, server.wire() as other:
        assert wire.ask("PING") == b"PONG"
        assert other.ask("CONFIG", "SET", "proto-max-bulk-len", "1mb") == b"OK"
        wire.send(b"*2\r\n$3\r\nGET\r\n$1048577\r\n")
        assert wire.read_until_closed() == b"-ERR Protocol error: invalid bulk length\r\n"


def test_half_a_connection_still_gets_every_answer(server):
    with server.wire() as wire:
        wire.send(encode_all([[b"ECHO", b"%d" % number] for number in range(3000)]))
        wire.socket.shutdown(socket.SHUT_WR)
        answers = wire.read_until_closed()
    assert answers == b"".join(b"$%d\r\n%d\r\n" % (len(str(number)), number) for number in range(3000))
