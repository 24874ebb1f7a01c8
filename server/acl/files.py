"""The file of users (`aclfile`): reading it whole or not at all, and replacing it.

Owns the line format `user name rules...` and the texts about broken lines. Raises BadUsers with all of them.
"""

from __future__ import annotations

import os

from server.acl.selector import UNKNOWN_NAME, BadRule, has_spaces
from server.acl.user import merge_selectors
from server.disk import OPEN, RENAME, SYNC, SYNC_DIRECTORY, WRITE, ReplaceFailure, replace_file, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterable

    from server.acl.user import User

# How the log calls what failed when the file was to be replaced.
STEPS = {
    OPEN: "Opening temp ACL file",
    WRITE: "Writing ACL file",
    SYNC: "Syncing ACL file",
    RENAME: "Renaming ACL file",
    SYNC_DIRECTORY: "Syncing ACL directory",
}


class BadUsers(Exception):
    """Users cannot be made from what was read; `text` says why, in Redis's words."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


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
            errors += b"WARNING: Duplicate user '%b' found on line %d. " % (name, number)
            continue
        rules, opened = merge_selectors(words[2:])
        if opened is not None:
            errors += b"%b:%d: Unmatched parenthesis in selector definition." % (path, number)
            continue
        user = new_user(name)
        was_told = False
        for rule in rules:
            word = rule.strip(b"\t\r\n")
            try:
                user.obey(word)
            except BadRule as bad:
                if bad.reason == UNKNOWN_NAME:
                    errors += b"%b:%d: Error in applying operation '%b': %b. " % (path, number, word, bad.reason)
                elif not was_told:  # it may be the cause of those that follow
                    errors += b"%b:%d: %b. " % (path, number, bad.reason)
                    was_told = True
        users[name] = user
    if errors:
        raise BadUsers(
            errors + b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
        )
    return users


def write_users(path: bytes, lines: Iterable[bytes]) -> None:
    """Replace the file by these lines, durably and at once. Raises OSError, whose text is the log's."""
    content = b"".join([line + b"\n" for line in lines])
    try:
        replace_file(path, b"%b.tmp-%d" % (path, os.getpid()), lambda file: write_all(file, content))
    except ReplaceFailure as failure:
        raise OSError("%s for ACL SAVE: %s" % (STEPS[failure.step], failure.strerror)) from None
