"""Which clients "local" in enable-protected-configs, enable-debug-command and enable-module-command means."""

from __future__ import annotations

from storage.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from server.session import Session


def is_local(session: Session) -> bool:
    """Say whether the client comes from this machine: over loopback or a unix socket."""
    address = session.address
    return address == session.local_address or address.startswith((b"127.", b"[::1]:"))


def guard(session: Session, command: bytes, option: bytes, value: str) -> None:
    """Refuse a protected command unless its option, whose value is given, allows this client."""
    if value == "yes" or (value == "local" and is_local(session)):
        return
    raise CommandError(
        b'ERR %b command not allowed. If the %b option is set to "local", you can run it from a local connection, '
        b"otherwise you need to set this option in the configuration file, and then restart the server."
        % (command, option)
    )
