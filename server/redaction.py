"""Secrets in argument vectors: what the slow log and monitors show in their place.

Knows where AUTH, HELLO, ACL, CONFIG SET and MIGRATE carry names and passwords. A vector without any comes
back as it is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Sequence

    from server.config.configuration import Config

REDACTED = b"(redacted)"
CARRIERS = frozenset((b"AUTH", b"HELLO", b"ACL", b"CONFIG", b"MIGRATE"))
ACL_SECRETS = frozenset((b"SETUSER", b"DELUSER", b"GETUSER"))


def redacted(argv: Sequence[bytes], config: Config) -> Sequence[bytes]:
    """The vector as it may be shown."""
    name = argv[0].upper()
    if name not in CARRIERS:
        return argv
    shown: List[bytes] = list(argv)
    last = len(shown) - 1
    if name == b"AUTH":
        if last <= 2:
            shown[1:] = [REDACTED] * last
    elif name == b"HELLO":
        for at in range(2, last - 1):
            if shown[at].upper() == b"AUTH":
                shown[at + 1] = shown[at + 2] = REDACTED
                break
    elif name == b"ACL":
        if last >= 2 and shown[1].upper() in ACL_SECRETS:
            shown[2:] = [REDACTED] * (last - 1)
    elif name == b"CONFIG":
        if last >= 2 and shown[1].upper() == b"SET":
            for at in range(2, last, 2):
                if config.is_sensitive(shown[at]):
                    shown[at + 1] = REDACTED
    else:
        hide_migration(shown)
    return shown


def hide_migration(shown: List[bytes]) -> None:
    """MIGRATE host port key database timeout [COPY] [REPLACE] [AUTH password | AUTH2 user password] [KEYS ...]."""
    at = 6
    while at < len(shown):
        option = shown[at].upper()
        if option == b"KEYS":
            return
        count = {b"AUTH": 1, b"AUTH2": 2}.get(option, 0)
        for place in range(at + 1, min(at + 1 + count, len(shown))):
            shown[place] = REDACTED
        at += 1 + count
