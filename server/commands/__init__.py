"""The command handlers, one module a group; `all_groups` collects their declarations."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

    from server.registry import Group


def all_groups() -> List[Group]:
    """The declarations of every module of this package."""
    from server.commands import strings

    return [
        strings.strings,
    ]
