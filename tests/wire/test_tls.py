"""TLS: handshakes of willing and unwilling clients, much data both ways, certificates that change."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess

import pytest

from scripts.make_test_certs import PASSWORD, make
from tests.harness.processes import free_port
from tests.harness.wire import encode
from tests.wire.test_connections import own_address

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl program to make certificates with")


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return make(tmp_path_factory.mktemp("certificates"))


def options(certs, **others: str) -> list[str]:
    chosen = {
        "tls-port": str(free_port()),
        "tls-cert-file": str(certs / "server.crt"),
        "tls-key-file": str(certs / "server.key"),
        "tls-ca-cert-file": str(certs / "ca.crt"),
    }
    chosen.update({name.replace("_", "-"): value for name, value in others.items()})
    return [word for name, value in chosen.items() for word in (f"--{name}", value)]


def tls_port(server) -> int:
    with server.wire() as wire:
        return int(wire.ask("CONFIG", "GET", "tls-port")[1])


def client(port: int, certs, name: str = "client", **settings) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(certs / "ca.crt"))
    context.load_cert_chain(certs / f"{name}.crt", certs / f"{name}.key") if name else None
    for setting, value in settings.items():
        setattr(context, setting, value)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname="localhost")


def connections_received(wire) -> int:
    return int(wire.ask("INFO", "stats").split(b"total_connections_received:")[1].split(b"\r\n")[0])


def ask(sock, *words):
    sock.sendall(encode(*words))
    return read(sock)


def read(sock, least: int = 1) -> bytes:
    received = bytearray()
    while len(received) < least or not received.endswith(b"\r\n"):
        data = sock.recv(1 << 16)
        if not data:
            break
        received += data
    return bytes(received)


@pytest.fixture
def port(start_server, certs):
    return tls_port(start_server(*options(certs)))


def test_a_client_with_a_certificate_talks_as_over_tcp(port, certs):
    with client(port, certs) as sock:
        assert ask(sock, "SET", "k", "v") == b"+OK\r\n"
        assert ask(sock, "GET", "k") == b"$1\r\nv\r\n"
        assert b"connected_clients:1\r\n" in ask(sock, "INFO", "clients")


@pytest.mark.parametrize("name", ["", "other"])
def test_a_client_without_a_certificate_that_is_trusted_gets_nowhere(port, certs, name):
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        with client(port, certs, name) as sock:
            assert ask(sock, "PING") == b"+PONG\r\n"


@pytest.mark.parametrize("auth, name", [("no", ""), ("optional", ""), ("optional", "client")])
def test_certificates_of_clients_are_asked_for_as_configured(start_server, certs, auth, name):
    with client(tls_port(start_server(*options(certs, tls_auth_clients=auth))), certs, name) as sock:
        assert ask(sock, "PING") == b"+PONG\r\n"


def test_megabytes_go_both_ways_and_a_pipeline_is_answered_in_order(port, certs):
    value = bytes(range(256)) * 20_000
    with client(port, certs) as sock:
        assert ask(sock, "SET", "big", value) == b"+OK\r\n"
        sock.sendall(encode("GET", "big"))
        assert read(sock, len(value)) == b"$%d\r\n%b\r\n" % (len(value), value)
        sock.sendall(b"".join([encode("ECHO", str(n)) for n in range(20_000)]))
        expected = b"".join([b"$%d\r\n%d\r\n" % (len(str(n)), n) for n in range(20_000)])
        received = b""
        while len(received) < len(expected):
            received += sock.recv(1 << 16)
        assert received == expected


def test_a_client_that_does_not_read_holds_up_nobody(port, certs):
    with client(port, certs) as slow, client(port, certs) as quick:
        ask(quick, "SET", "big", b"x" * 3_000_000)
        slow.sendall(encode("GET", "big") * 5)
        for _ in range(20):
            assert ask(quick, "PING") == b"+PONG\r\n"
        whole = 5 * (3_000_000 + len(b"$3000000\r\n\r\n"))
        assert len(read(slow, whole)) == whole


def test_half_a_handshake_and_plain_text_disturb_nobody(port, certs):
    place = ("127.0.0.1", port)
    with socket.create_connection(place) as silent, socket.create_connection(place) as plain:
        silent.sendall(b"\x16\x03\x01")
        plain.sendall(b"PING\r\n" * 100)
        plain.settimeout(10)
        try:
            while plain.recv(1000):
                pass
        except ConnectionError:
            pass
        with client(port, certs) as sock:
            assert ask(sock, "PING") == b"+PONG\r\n"


def test_a_failed_handshake_is_logged_with_both_ends_and_counts_as_no_connection(start_server, certs):
    server = start_server(*options(certs))
    port = tls_port(server)
    with server.wire() as wire:
        before = connections_received(wire)
    with socket.create_connection(("127.0.0.1", port)) as plain:
        near = "127.0.0.1:%d" % plain.getsockname()[1]
        plain.sendall(b"PING\r\n")
        try:
            plain.recv(100)
        except ConnectionError:
            pass
    with server.wire() as wire:
        assert connections_received(wire) == before + 1  # this one
        with client(port, certs) as sock:
            ask(sock, "PING")
        assert connections_received(wire) == before + 2
    lines = [line for line in server.log().splitlines() if " # Error accepting a client connection: " in line]
    assert [line.split(" (addr=")[1] for line in lines] == ["%s laddr=127.0.0.1:%d)" % (near, port)]


def test_one_client_too_many_is_dropped_before_its_handshake_without_a_word(start_server, certs):
    server = start_server(*options(certs))
    port = tls_port(server)
    with server.wire() as wire:
        wire.command("CONFIG", "SET", "maxclients", 1)
        with socket.create_connection(("127.0.0.1", port), 10) as one_more:
            assert one_more.recv(100) == b""


def test_the_end_is_announced_so_that_nothing_can_be_cut_off_unseen(port, certs):
    with client(port, certs) as sock:
        sock.sendall(encode("ECHO", "last") + encode("QUIT"))
        sock.suppress_ragged_eofs = False
        received = b""
        while True:
            data = sock.recv(1000)  # raises on an end that TLS did not announce
            if not data:
                break
            received += data
        assert received == b"$4\r\nlast\r\n+OK\r\n"


def test_who_ends_only_its_own_half_still_gets_the_answers(port, certs):
    context = ssl.create_default_context(cafile=str(certs / "ca.crt"))
    context.load_cert_chain(certs / "client.crt", certs / "client.key")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        while True:
            try:
                secured.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(1 << 16))
        secured.write(encode("PING") * 2000)
        sock.sendall(outgoing.read())
        sock.shutdown(socket.SHUT_WR)  # and TLS is not told
        received = b""
        while len(received) < 2000 * len(b"+PONG\r\n"):
            try:
                received += secured.read(1 << 16)
            except ssl.SSLWantReadError:
                data = sock.recv(1 << 16)
                assert data, len(received)
                incoming.write(data)
        assert received == b"+PONG\r\n" * 2000


def test_protected_mode_is_told_of_once_the_handshake_is_done(start_server, certs):
    address = own_address()
    if address is None:
        pytest.skip("this machine has only a loopback address")
    server = start_server(*options(certs), "--bind", "127.0.0.1", address)
    port = tls_port(server)
    with server.wire() as wire:
        told = wire.ask("INFO", "server")
        assert b"\r\nlistener0:name=tcp," in told and b"\r\nlistener2:name=tls," in told
        before = connections_received(wire)
    context = ssl.create_default_context(cafile=str(certs / "ca.crt"))
    context.check_hostname = False
    context.load_cert_chain(certs / "client.crt", certs / "client.key")
    with context.wrap_socket(socket.create_connection((address, port), 10)) as sock:
        assert read(sock).startswith(b"-DENIED Redis is running in protected mode because protected mode is enabled")
        assert sock.recv(1) == b""
    with server.wire() as wire:
        assert connections_received(wire) == before + 1  # this one alone


def test_new_certificates_hold_for_new_clients_and_drop_nobody(start_server, certs):
    server = start_server(*options(certs))
    port = tls_port(server)
    with client(port, certs) as early, server.wire() as wire:
        before = early.getpeercert(True)
        set_both = ["tls-cert-file", str(certs / "client.crt"), "tls-key-file", str(certs / "client.key")]
        assert wire.ask("CONFIG", "SET", *set_both) == b"OK"
        with client(port, certs) as late:
            assert late.getpeercert(True) != before
            assert ask(late, "PING") == b"+PONG\r\n"
        assert ask(early, "PING") == b"+PONG\r\n"
        kind, text = wire.command("CONFIG", "SET", "tls-cert-file", str(certs / "missing.crt"))
        assert kind == b"-" and text.endswith(b"Unable to update TLS configuration. Check server logs.")
        with client(port, certs) as later:
            assert ask(later, "PING") == b"+PONG\r\n"


NOT_TO_BE_PUT_INTO_EFFECT = (
    (["tls-cert-file"], "missing.crt", "Failed to load certificate: missing.crt: No such file or directory"),
    (["tls-cert-file", "tls-ca-cert-file"], "missing", "Failed to load certificate: missing: No such file"),
    (["tls-ca-cert-file"], "missing", "Failed to configure CA certificate(s) file/directory: No such file or d"),
    (["tls-key-file"], "missing.key", "Failed to load private key: missing.key: No such file or directory"),
    (["tls-client-cert-file", "tls-client-key-file"], "missing", "Failed to load certificate: missing: "),
    (["tls-protocols"], "TLSv1.2 ", "Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'."),
    (["tls-ciphers"], "none", "Failed to configure ciphers: none"),
)


def test_what_cannot_be_put_into_effect_is_refused_logged_and_put_back(start_server, certs):
    server = start_server(*options(certs))
    with server.wire() as wire:
        before = wire.ask("CONFIG", "GET", "tls-*")
        for names, value, line in NOT_TO_BE_PUT_INTO_EFFECT:
            kind, text = wire.command("CONFIG", "SET", *[word for name in names for word in (name, value)])
            assert kind == b"-" and text.endswith(b"Unable to update TLS configuration. Check server logs.")
            assert wire.ask("CONFIG", "GET", "tls-*") == before
            about = "# Failed applying new configuration. Possibly related to new %s setting." % names[0]
            assert line in server.log() and about in server.log()


def test_versions_are_limited_as_configured(start_server, certs):
    port = tls_port(start_server(*options(certs, tls_protocols="TLSv1.2")))
    with client(port, certs) as sock:
        assert sock.version() == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client(port, certs, minimum_version=ssl.TLSVersion.TLSv1_3).close()


def test_an_encrypted_key_needs_its_password(start_server, certs):
    locked = str(certs / "locked.key")
    with pytest.raises(Exception, match="Failed to load private key: .*locked.key"):
        start_server(*options(certs, tls_key_file=locked))
    server = start_server(*options(certs, tls_key_file=locked, tls_key_file_pass=PASSWORD))
    with client(tls_port(server), certs) as sock:
        assert ask(sock, "PING") == b"+PONG\r\n"


def test_without_a_certificate_or_an_authority_the_server_does_not_start(start_server, certs):
    with pytest.raises(Exception, match="No tls-cert-file configured!"):
        start_server("--tls-port", str(free_port()))
    with pytest.raises(Exception, match="Either tls-ca-cert-file or tls-ca-cert-dir must be specified"):
        start_server(*options(certs, tls_ca_cert_file=""))


def test_the_port_can_be_opened_and_closed_while_serving(start_server, certs):
    server = start_server(*options(certs, tls_port="0"))
    port = free_port()
    with server.wire() as wire:
        assert wire.ask("CONFIG", "SET", "tls-port", str(port)) == b"OK"
        with client(port, certs) as sock:
            assert ask(sock, "PING") == b"+PONG\r\n"
        assert wire.ask("CONFIG", "SET", "tls-port", "0") == b"OK"
        with pytest.raises(ConnectionError):
            client(port, certs)
        assert wire.ask("PING") == b"PONG"


def test_redis_cli_and_redis_py_connect_with_certificates(port, certs):
    redis = pytest.importorskip("redis")
    files = {"ssl_certfile": str(certs / "client.crt"), "ssl_keyfile": str(certs / "client.key")}
    connection = redis.Redis("localhost", port, ssl=True, ssl_ca_certs=str(certs / "ca.crt"), **files)
    assert connection.set("k", "v" * 100_000) and connection.strlen("k") == 100_000
    connection.close()
    program = shutil.which("redis-cli")
    if program is None or "--tls" not in subprocess.run([program, "--help"], capture_output=True, text=True).stderr:
        return  # this build of redis-cli knows no TLS
    words = ["--tls", "--cacert", certs / "ca.crt", "--cert", certs / "client.crt", "--key", certs / "client.key"]
    command = [program, "-h", "localhost", "-p", str(port), *map(str, words), "strlen", "k"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=20).stdout == "100000\n"




def test_a_replica_follows_its_master_over_tls(start_server, certs):
    master = start_server(*options(certs), "--repl-diskless-sync-delay", "0")
    port = tls_port(master)
    with master.wire() as wire:
        wire.command("SET", "before", "x" * 1_000_000)
    replica = start_server(*options(certs, tls_replication="yes"), "--replicaof", "127.0.0.1", str(port))
    with master.wire() as wire, replica.wire() as other:
        while b"master_link_status:up" not in other.ask("INFO", "replication"):
            pass
        assert other.ask("STRLEN", "before") == 1_000_000
        wire.command("SET", "after", "y" * 100_000)
        assert wire.ask("WAIT", "1", "10000") == 1
        assert other.ask("STRLEN", "after") == 100_000
