"""TLS on the loop: contexts made from the configuration, and a connection that speaks through one.

Owns certificates, the handshake with its time limit, and what differs from a plain socket: decrypted bytes are
invisible to the selector, so a ready connection is read until it would block; a write that could not be finished is
tried again with the same bytes, as OpenSSL demands; there is no `sendmsg`. Must not know commands. Imported only where
TLS is configured: loading `ssl` takes 20 ms.

A changed configuration makes new contexts for connections to come; those that are there keep theirs.
"""

from __future__ import annotations

import os
import socket
import ssl
from errno import EAGAIN
from time import monotonic

from protocol.parser import READ_BYTES
from server.connection import Connection
from server.session import CLOSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Tuple

    from server.config.configuration import Config
    from server.services import Services
    from server.session import Session

RECORD_BYTES = 16 * 1024  # the most that one TLS record holds
TURN_BYTES = 1 << 20  # written to one connection at a time
HANDSHAKE_LIMIT_S = 10.0  # who has not shown credentials by then is closed
# Who ends its half of the connection without saying so in TLS still gets its answers, as with OpenSSL before 3: what
# it sent is complete by its own framing. Python has a name for it since 3.10.
IGNORE_UNEXPECTED_EOF = 1 << 7
WANTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
VERSIONS = {
    b"tlsv1": "OP_NO_TLSv1",
    b"tlsv1.1": "OP_NO_TLSv1_1",
    b"tlsv1.2": "OP_NO_TLSv1_2",
    b"tlsv1.3": "OP_NO_TLSv1_3",
}
DEFAULT_VERSIONS = (b"tlsv1.2", b"tlsv1.3")
VERIFY = {"no": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "yes": ssl.CERT_REQUIRED}


def reason_of(error: OSError) -> str:
    """Why a file could not be used, in the system's words; in OpenSSL's if it says so itself."""
    if error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)  # PyPy's own text says only "Error"
    return str(error.strerror or error)


class BadTlsSettings(Exception):
    """A context cannot be made; the text is for the log."""


def path_of(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def common_context(config: Config, protocol: int, identity: Tuple[bytes, bytes, bytes]) -> ssl.SSLContext:
    """What clients and servers have in common: versions, a certificate with its key and the key's password, those that
    are trusted, ciphers. The first that is wrong is told of, in this order.
    """
    context = ssl.SSLContext(protocol)
    wanted = config.tls_protocols.lower().split(b" ") if config.tls_protocols else DEFAULT_VERSIONS
    for version in wanted:
        if version not in VERSIONS:
            raise BadTlsSettings(
                "Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'."
            )
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    for version, option in VERSIONS.items():
        if version not in wanted:
            context.options |= getattr(ssl, option, 0)
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0) | ssl.OP_NO_COMPRESSION
    certificate, key, password = identity
    if certificate:
        load_certificate(context, certificate, key, password)
    if config.tls_ca_cert_file or config.tls_ca_cert_dir:
        try:
            context.load_verify_locations(
                path_of(config.tls_ca_cert_file) or None, path_of(config.tls_ca_cert_dir) or None
            )
        except (OSError, ssl.SSLError) as error:
            reason = reason_of(error)
            raise BadTlsSettings("Failed to configure CA certificate(s) file/directory: %s" % reason) from None
    if config.tls_ciphers:
        try:
            context.set_ciphers(path_of(config.tls_ciphers))
        except ssl.SSLError:
            raise BadTlsSettings("Failed to configure ciphers: %s" % path_of(config.tls_ciphers)) from None
    if config.tls_ciphersuites:
        if not hasattr(context, "set_ciphersuites"):
            raise BadTlsSettings("tls-ciphersuites cannot be obeyed: this Python cannot choose TLSv1.3 ciphers")
        try:
            context.set_ciphersuites(path_of(config.tls_ciphersuites))
        except ssl.SSLError:
            raise BadTlsSettings("Failed to configure ciphersuites: %s" % path_of(config.tls_ciphersuites)) from None
    return context


def load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes, password: bytes) -> None:
    try:
        # Never asked for on the terminal: without a password an encrypted key is an error.
        context.load_cert_chain(path_of(certificate), path_of(key) or None, lambda: password)
    except (OSError, ssl.SSLError) as error:
        what, path = ("private key", key) if holds_certificate(certificate) else ("certificate", certificate)
        reason = reason_of(error)
        raise BadTlsSettings("Failed to load %s: %s: %s" % (what, path_of(path), reason)) from None


def holds_certificate(path: bytes) -> bool:
    """Whether a file at least looks like a certificate, so that what cannot be loaded must be its key."""
    try:
        with open(path, encoding="latin-1") as file:
            return " CERTIFICATE-----" in file.read()
    except OSError:
        return False


def own_identity(config: Config) -> Tuple[bytes, bytes, bytes]:
    return config.tls_cert_file, config.tls_key_file, config.tls_key_file_pass


def server_context(config: Config) -> ssl.SSLContext:
    """What new clients are received with; raises BadTlsSettings."""
    if not config.tls_cert_file:
        raise BadTlsSettings("No tls-cert-file configured!")
    if not config.tls_key_file:
        raise BadTlsSettings("No tls-key-file configured!")
    if not (config.tls_ca_cert_file or config.tls_ca_cert_dir) and (
        config.tls_auth_clients != "no" or config.tls_cluster or config.tls_replication
    ):
        raise BadTlsSettings(
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or "
            "tls-auth-clients are enabled!"
        )
    context = common_context(config, ssl.PROTOCOL_TLS_SERVER, own_identity(config))
    context.verify_mode = VERIFY[config.tls_auth_clients]
    if ssl.OPENSSL_VERSION_INFO >= (3,):
        context.options |= IGNORE_UNEXPECTED_EOF
    if config.tls_prefer_server_ciphers:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if not config.tls_session_caching:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if config.tls_dh_params_file:
        try:
            context.load_dh_params(path_of(config.tls_dh_params_file))
        except (OSError, ssl.SSLError) as error:
            reason = reason_of(error)
            raise BadTlsSettings("Failed to load %s: %s" % (path_of(config.tls_dh_params_file), reason)) from None
    return context


def has_own_client_certificate(config: Config) -> bool:
    return bool(config.tls_client_cert_file and config.tls_client_key_file)


def client_context(config: Config) -> ssl.SSLContext:
    """What this server reaches its master with; raises BadTlsSettings. Names of hosts are not compared, as in Redis."""
    identity = own_identity(config)
    if has_own_client_certificate(config):
        identity = (config.tls_client_cert_file, config.tls_client_key_file, config.tls_client_key_file_pass)
    context = common_context(config, ssl.PROTOCOL_TLS_CLIENT, identity)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class TlsConnection(Connection):
    """A connection whose socket encrypts. Until the handshake is done it neither runs nor sends anything."""

    __slots__ = ("is_open", "chunk", "limit", "on_open")

    def __init__(
        self,
        sock: Any,
        session: Session,
        services: Services,
        context: ssl.SSLContext,
        on_open: Callable[[Session], None],
    ) -> None:
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        super().__init__(wrapped, session, services)
        self.is_open = False
        self.on_open = on_open  # called when the handshake is done
        self.chunk = b""  # what is being written: OpenSSL must be offered these bytes again
        self.limit = services.timers.at(monotonic() + HANDSHAKE_LIMIT_S, self.give_up)

    def give_up(self) -> None:
        if not self.is_open and not self.closed:
            self.session.doom()

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as the socket allows; False if it must become writable first."""
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLWantWriteError:
            return False
        except (OSError, ValueError) as error:
            ends = (self.session.address.decode("latin-1"), self.session.local_address.decode("latin-1"))
            self.services.log.provoked("Error accepting a client connection: %s (addr=%s laddr=%s)" % (error, *ends))
            self.session.doom()
            return True
        self.is_open = True
        self.limit.cancel()
        self.on_open(self.session)
        return True

    def receive(self) -> bool:
        """Read until it would block, or enough for a turn: what OpenSSL has decrypted no selector reports."""
        if not self.is_open:
            if not self.shake_hands():
                self.services.unsent.append(self.session)
            if not self.is_open:
                return False
        pieces = []
        total = 0
        is_end = False
        try:
            while total < READ_BYTES or self.socket.pending():
                data = self.socket.recv(READ_BYTES)
                if not data:
                    is_end = True
                    break
                pieces.append(data)
                total += len(data)
        except WANTS:
            pass
        except (OSError, ValueError):
            self.session.doom()
            return False
        if pieces:
            self.accept(b"".join(pieces))
        if is_end:
            return self.accept(b"") or bool(pieces)
        return bool(pieces)

    def flush(self) -> bool:
        """Write record by record; False if some is left."""
        session = self.session
        out = session.out
        if not self.is_open:
            is_done = self.shake_hands()
            if not (self.is_open and out):
                return is_done
        written = 0
        while out or self.chunk:
            if not self.chunk:
                self.chunk = take_record(out)
            try:
                sent = self.socket.send(self.chunk)
            except WANTS:
                break
            except (OSError, ValueError):
                session.doom()
                return True
            self.chunk = self.chunk[sent:]
            written += sent
            if written >= TURN_BYTES:
                break
        self.stats.net_out += written
        if out or self.chunk:
            self.count_output()
            return False
        session.out_bytes = 0
        session.soft_limit_since_ms = 0
        if session.halted & CLOSING:
            session.doom()
        return True

    def count_output(self, more: int = 0) -> None:
        super().count_output(more + len(self.chunk))

    def close(self) -> None:
        """Tell the peer that nothing follows, without waiting for its answer."""
        self.limit.cancel()
        if self.is_open and not self.closed and not self.is_lent:
            try:
                self.socket.unwrap()
            except (OSError, ValueError):
                pass
        super().close()


def take_record(out: Any) -> bytes:
    """Take the next bytes of the output, at most one record's worth."""
    first = out[0]
    if len(first) > RECORD_BYTES:
        out[0] = memoryview(first)[RECORD_BYTES:]
        return bytes(first[:RECORD_BYTES])
    total = done = 0
    for piece in out:
        total += len(piece)
        if total > RECORD_BYTES:
            break
        done += 1
    record = b"".join(out[:done])
    del out[:done]
    return record


class TlsStream:
    """A client's socket that encrypts, for code that expects `recv` and `send` of a non-blocking plain one.

    The handshake goes on with each call. What cannot be sent before its end, or because the socket is full, is kept and
    goes out with a later call: for a side that says little and listens all the time.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(sock, do_handshake_on_connect=False)
        self.unsent = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.socket, name)

    def fileno(self) -> int:
        return self.socket.fileno()

    def recv(self, count: int) -> bytes:
        """What there is, at least up to `count` bytes: nothing decrypted may stay behind unseen."""
        pieces = []
        total = 0
        try:
            while total < count or self.socket.pending():
                data = self.socket.recv(count)
                if not data:
                    break
                pieces.append(data)
                total += len(data)
        except WANTS:
            self.send_unsent()  # this may have been the end of the handshake
            if not pieces:
                raise BlockingIOError(EAGAIN, "the next record is not complete") from None
        return b"".join(pieces)

    def send(self, data: Any) -> int:
        """Send or keep everything."""
        self.unsent += bytes(data)
        self.send_unsent()
        return len(data)

    def send_unsent(self) -> None:
        try:
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except WANTS:
            pass


def client_stream(sock: socket.socket, config: Config) -> TlsStream:
    """A connected socket to another server, from now on encrypted. Raises OSError."""
    try:
        return TlsStream(sock, client_context(config))
    except BadTlsSettings as error:
        raise OSError(0, str(error)) from None


class TlsSettings:
    """The contexts of one server, made anew when the configuration changes."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.context: Optional[ssl.SSLContext] = None

    def renew(self, config: Config) -> bool:
        """Make the context for clients to come; False, with a line in the log, if it cannot be made."""
        try:
            context = server_context(config)
            if has_own_client_certificate(config):
                client_context(config)  # to be made when it is used, but wrong settings are refused now
            self.context = context
        except BadTlsSettings as error:
            self.services.log.warning(str(error))
            return False
        return True
