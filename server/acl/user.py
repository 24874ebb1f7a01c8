"""A user: a name, how it logs in, and the selectors of which one must permit what it does.

Owns the grammar of rules about a user as such; rules about commands, keys and channels go to the first selector, the
root, and `(rules)` make further ones. Passwords are kept as hexadecimal SHA-256 only and compared in constant time;
hashlib is imported when the first one is met.
"""

from __future__ import annotations

from server.acl.selector import ALLOWED, DENIED_COMMAND, BadRule, Selector
from storage.text import UnbalancedQuotes, c_text, split_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional, Sequence, Tuple

    from server.registry import CommandSpec, Registry

DIGEST_LENGTH = 64
NO_SUCH_PASSWORD = b"The password you are trying to remove from the user does not exist"
BAD_DIGEST = b"The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
HEXADECIMAL = b"0123456789abcdef"


def digest(password: bytes) -> bytes:
    """How a password is kept."""
    from hashlib import sha256

    return sha256(password).hexdigest().encode()


def checked_digest(text: bytes) -> bytes:
    if len(text) != DIGEST_LENGTH or text.translate(None, HEXADECIMAL):
        raise BadRule(BAD_DIGEST)
    return text


class User:
    """A new one is off, has no password and may do nothing."""

    __slots__ = ("name", "registry", "enabled", "nopass", "sanitizes", "passwords", "selectors", "all_channels", "warn")

    def __init__(
        self, name: bytes, registry: Registry, all_channels: bool = False, warn: Optional[Callable[[str], None]] = None
    ) -> None:
        self.name = name
        self.warn = warn  # told of rules that are a misuse
        self.registry = registry
        self.all_channels = all_channels  # what a new selector may listen to: `acl-pubsub-default`
        self.enabled = False
        self.nopass = False
        self.sanitizes = True
        self.passwords: List[bytes] = []
        self.selectors = [Selector(registry, all_channels, warn)]

    def __repr__(self) -> str:
        return "<User %s>" % self.name.decode("utf-8", "backslashreplace")

    def copy(self) -> User:
        twin = User(self.name, self.registry, self.all_channels, self.warn)
        twin.become(self)
        return twin

    def become(self, other: User) -> None:
        """Take over everything but the name."""
        self.enabled = other.enabled
        self.nopass = other.nopass
        self.sanitizes = other.sanitizes
        self.passwords = list(other.passwords)
        self.selectors = [selector.copy() for selector in other.selectors]

    @property
    def is_restricted(self) -> bool:
        """Whether some rule might deny something; nobody asks about the commands of the others."""
        for selector in self.selectors:  # a loop: each new client asks, and no generator is made for it
            if selector.all_commands and selector.all_keys and selector.all_channels:
                return False
        return True

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

    # Rules -----------------------------------------------------------------------------------------------------

    def obey(self, rule: bytes) -> None:
        """Change the user by one rule; raises BadRule. Only ever done to a copy, so that all rules hold or none."""
        word = c_text(rule).lower()
        first = rule[:1]
        if not rule:
            return
        if word in (b"on", b"off"):
            self.enabled = word == b"on"
        elif word == b"nopass":
            self.nopass = True
            self.passwords.clear()
        elif word in (b"sanitize-payload", b"skip-sanitize-payload"):
            self.sanitizes = word == b"sanitize-payload"
        elif word == b"resetpass":
            self.nopass = False
            self.passwords.clear()
        elif first in (b">", b"#"):
            kept = digest(rule[1:]) if first == b">" else checked_digest(rule[1:])
            if kept not in self.passwords:
                self.passwords.append(kept)
            self.nopass = False
        elif first in (b"<", b"!"):
            gone = digest(rule[1:]) if first == b"<" else checked_digest(rule[1:])
            if gone not in self.passwords:
                raise BadRule(NO_SUCH_PASSWORD)
            self.passwords.remove(gone)
        elif first == b"(" and rule[-1:] == b")":
            self.add_selector(rule[1:-1])
        elif word == b"clearselectors":
            del self.selectors[1:]
        elif word == b"reset":
            self.become(User(self.name, self.registry, self.all_channels, self.warn))
        else:
            self.selectors[0].obey(rule)

    def add_selector(self, rules: bytes) -> None:
        selector = Selector(self.registry, self.all_channels, self.warn)
        try:
            words = split_arguments(rules)
        except UnbalancedQuotes:
            words = []
        for word in words:
            selector.obey(word)
        self.selectors.append(selector)

    # Showing ---------------------------------------------------------------------------------------------------

    def flag_names(self) -> List[bytes]:
        names = [b"on" if self.enabled else b"off"]
        if self.nopass:
            names.append(b"nopass")
        names.append(b"sanitize-payload" if self.sanitizes else b"skip-sanitize-payload")
        return names

    def line(self) -> bytes:
        """`user name rules...`: what ACL LIST shows and files of users keep."""
        words = [b"user", self.name, *self.flag_names(), *[b"#" + password for password in self.passwords]]
        words.append(self.selectors[0].text())
        words += [b"(%b)" % selector.text() for selector in self.selectors[1:]]
        return b" ".join(words)

    # Verdicts --------------------------------------------------------------------------------------------------

    def judge(self, spec: CommandSpec, argv: Sequence[bytes]) -> Tuple[int, int]:
        """ALLOWED if one selector permits the whole vector; else the verdict that came furthest, and its argument."""
        worst, where = DENIED_COMMAND, 0
        for selector in self.selectors:
            verdict, at = selector.judge(spec, argv)
            if verdict == ALLOWED:
                return ALLOWED, 0
            if verdict > worst or (verdict == worst and at > where):
                worst, where = verdict, at
        return worst, where

    def reads_all_keys(self, spec: CommandSpec, argv: Sequence[bytes]) -> bool:
        """Whether a selector that permits the vector also permits reading whatever key it comes upon."""
        return any(
            selector.reads_all_keys() and selector.judge(spec, argv)[0] == ALLOWED for selector in self.selectors
        )

    def permits_channel(self, channel: bytes, is_pattern: bool) -> bool:
        return any(selector.permits_channel(channel, is_pattern) for selector in self.selectors)


def merge_selectors(words: Sequence[bytes]) -> Tuple[List[bytes], bytes | None]:
    """Join the words of each `(rules of a selector)` to one rule; with the word that opens one nobody closes."""
    merged: List[bytes] = []
    open_words: List[bytes] = []
    for word in words:
        if open_words:
            open_words.append(c_text(word))
            if word[-1:] == b")":
                merged.append(b" ".join(open_words))
                open_words = []
        elif word[:1] == b"(" and word[-1:] != b")":
            open_words = [word]
        else:
            merged.append(word)
    return merged, open_words[0] if open_words else None
