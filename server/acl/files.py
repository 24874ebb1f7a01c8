"""The file of users (`aclfile`): reading it whole or not at all, and writing it beside itself.

Owns the line format `user name rules...` and the texts about broken lines. Raises BadUsers with all of them.
"""

from __future__ import annotations

import os

from server.acl.selector import BadRule, has_spaces
from server.acl.user import User, merge_selectors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterable, List, Sequence


class BadUsers(Exception):
    """Users cannot be made from what was read; `text` says why, in Redis's words."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


def obey_all(user: User, words: Sequence[bytes]) -> None:
    """Change a user by many rules; raises BadRule."""
    for word in words:
        user.obey(word)


def read_users(path: bytes, new_user: Callable[[bytes], User]) -> Dict[bytes, User]:
    """The users of a file by name; raises BadUsers."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).encode()
        raise BadUsers(b"Error loading ACLs, opening file '%b': %b" % (path, reason)) from None
    users: Dict[bytes, User] = {}
    errors = b""
    for number, raw in enumerate(content.split(b"\n"), 1):
        line = raw.strip(b" \t\r\n")
        if not line:
            continue
        words = line.split(b" ")
        if words[0] != b"user" or len(words) < 2:
            errors += b"%b:%d should start with user keyword followed by the username. " % (path, number)
            continue
        name = words[1]
        if has_spaces(name):
            errors += b"'%b:%d: username '%b' contains invalid characters. " % (path, number, name)
            continue
        if name in users:
            errors += b"WARNING: duplicated user '%b' found on line %d. " % (name, number)
            continue
        rules, opened = merge_selectors(words[2:])
        if opened is not None:
            errors += b"%b:%d: Unmatched parentheses in selector definition." % (path, number)
            continue
        user = new_user(name)
        reasons: List[bytes] = []
        for rule in rules:
            try:
                user.obey(rule.strip(b"\t\r\n"))
            except BadRule as bad:
                if bad.reason not in reasons:
                    reasons.append(bad.reason)
        errors += b"".join([b"%b:%d: %b. " % (path, number, reason) for reason in reasons])
        users[name] = user
    if errors:
        raise BadUsers(
            errors + b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
        )
    return users


def write_users(path: bytes, lines: Iterable[bytes]) -> None:
    """Replace the file by these lines, durably and at once. Raises OSError."""
    beside = b"%b.tmp-%d" % (path, os.getpid())
    try:
        with open(beside, "wb") as file:
            file.write(b"".join([line + b"\n" for line in lines]))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        try:
            os.unlink(beside)
        except OSError:
            pass
        raise
