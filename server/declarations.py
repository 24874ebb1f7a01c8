"""Lines of the configuration about commands and users, judged where they stand.

`rename-command` and `user` are obeyed by the application, when there are commands and users. Whether that will work is
known while the file is read, and said with the line's number like everything that is wrong there. The command table for
it is made when the first such line is met.
"""

from __future__ import annotations

from server.acl.selector import UNKNOWN_NAME, BadRule
from server.acl.user import User, merge_selectors
from server.log import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional, Sequence, Set

    from server.config.configuration import TakeWords
    from server.registry import Registry

DUPLICATE = "Duplicate user found. A user can only be defined once in config files"


class Declarations:
    """The judge of one reading of the configuration."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn = warn
        self.names: Set[bytes] = set()
        self._registry: Optional[Registry] = None

    def judges(self) -> Dict[str, TakeWords]:
        return {"user": self.judge_user, "rename-command": self.judge_renaming}

    @property
    def registry(self) -> Registry:
        if self._registry is None:
            from server.commands import all_groups
            from server.registry import Registry

            self._registry = Registry.of(all_groups())
        return self._registry

    def judge_renaming(self, words: Sequence[bytes]) -> Optional[str]:
        """Why a command cannot be renamed."""
        return self.registry.rename(words[1], words[2])

    def judge_user(self, words: Sequence[bytes]) -> Optional[str]:
        """Why a user cannot be made; rules about unknown commands are left to those who make it."""
        name = words[1]
        if name in self.names:
            return complaint(name, DUPLICATE)
        self.names.add(name)
        rules, opened = merge_selectors(words[2:])
        if opened is not None:
            return complaint(opened, "Unmatched parenthesis in selector definition")
        user = User(name, self.registry, warn=self.warn)
        for at, rule in enumerate(rules):
            try:
                user.obey(rule)
            except BadRule as bad:
                if bad.reason != UNKNOWN_NAME:
                    # Redis counts from the line's beginning here, and names a word two places before the wrong one.
                    return complaint(words[at], bad.reason.decode())
        return None


def complaint(word: bytes, reason: str) -> str:
    return "Error in user declaration '%s': %s" % (shown(word), reason)
