"""Who may log in, and with which password.

Owns the users by name and the check of a password; knows `requirepass`, which is the password of the user `default`.
Must not know commands: AUTH and HELLO ask `authenticate`, a new client is given its standing by `greet`. Passwords are
kept as SHA-256 only, compared in constant time; hashlib is imported when the first one is set.

A session that must log in carries `admission.NEEDS_AUTH`. As in Redis a session that once was authenticated stays so
when a password is set later, and taking the password away lets everybody in.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    from server.services import Services
    from server.session import Session

DEFAULT_USER = b"default"


class User:
    """A name and how it logs in. `passwords` are hexadecimal SHA-256 digests."""

    __slots__ = ("name", "enabled", "nopass", "passwords")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.enabled = True
        self.nopass = False
        self.passwords: List[bytes] = []

    def __repr__(self) -> str:
        return "<User %s>" % self.name.decode("utf-8", "backslashreplace")

    def accepts(self, password: bytes) -> bool:
        """Whether this password logs the user in; the time it takes says nothing about how close it came."""
        if not self.enabled:
            return False
        if self.nopass:
            return True
        if not self.passwords:
            return False
        from hmac import compare_digest

        offered = digest(password)
        found = False
        for kept in self.passwords:
            found |= compare_digest(offered, kept)
        return found


def digest(password: bytes) -> bytes:
    """How a password is kept."""
    from hashlib import sha256

    return sha256(password).hexdigest().encode()


class Accounts:
    """The users of one server."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.default = User(DEFAULT_USER)
        self.users: Dict[bytes, User] = {DEFAULT_USER: self.default}
        self.follow_requirepass(services.config)
        services.config.on_change("requirepass", self.follow_requirepass)

    def follow_requirepass(self, config: Any) -> Optional[str]:
        """Give the default user the configured password, or none."""
        password = config.requirepass
        self.default.nopass = not password
        self.default.passwords = [digest(password)] if password else []
        self.admit_again()
        return None

    @property
    def must_log_in(self) -> bool:
        """Whether a client can do nothing before AUTH."""
        return not (self.default.nopass and self.default.enabled)

    def greet(self, session: Session) -> None:
        """Make a new client, or one that said RESET, the default user, logged in if that takes nothing."""
        session.user = self.default
        session.authenticated = not self.must_log_in
        session.await_login(not session.authenticated)

    def admit_again(self) -> None:
        """The default user's rules changed: who has never logged in may need to now, or no longer."""
        needed = self.must_log_in
        for session in self.services.clients:
            if not session.authenticated:
                session.await_login(needed)

    def authenticate(self, username: bytes, password: bytes) -> Optional[User]:
        """The user if the password is right. A refusal is counted."""
        user = self.users.get(username)
        if user is not None and user.accepts(password):
            return user
        self.services.stats.acl_denied_auth += 1
        return None
