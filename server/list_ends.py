"""What the plain and the blocking list commands share: the grammar of ends, and taking from keys.

Storage calls without a reply of their own; must not know clients.
"""

from __future__ import annotations

from storage.errors import SYNTAX_ERROR, CommandError
from storage.events import LPOP, LPUSH, RPOP, RPUSH
from storage.types.list import List

TYPE_CHECKING = False
if TYPE_CHECKING:

    from server.multipop_arguments import MultiPop
    from storage.database import Database

ENDS = (b"LEFT", b"RIGHT")


def is_left(argument: bytes) -> bool:
    """LEFT or RIGHT."""
    end = argument.upper()
    if end == b"LEFT":
        return True
    if end == b"RIGHT":
        return False
    raise CommandError(SYNTAX_ERROR)


def pop_one(db: Database, key: bytes, value: List, from_left: bool) -> bytes:
    """Take one element off a list, and the key away with the last one."""
    element = value.popleft() if from_left else value.pop()
    db.changed(key, LPOP if from_left else RPOP, 1)
    if not value:
        db.drop_if_empty(key, value)
    return element


def pop_many(db: Database, key: bytes, value: List, from_left: bool, count: int) -> list[bytes]:
    """Take up to `count` elements, at least one, off a list, and the key away with the last one. O(count)."""
    elements = value.pop_left_many(count) if from_left else value.pop_right_many(count)
    db.changed(key, LPOP if from_left else RPOP, len(elements))
    db.drop_if_empty(key, value)
    return elements


def move_one(db: Database, source: bytes, destination: bytes, from_left: bool, to_left: bool) -> bytes | None:
    """Take an element off one list and push it onto another, or the same; None if there is no source."""
    origin = db.find_as(source, List)
    if origin is None:
        return None
    target = db.find_as(destination, List)
    element = origin.popleft() if from_left else origin.pop()
    if target is None:
        target = List()
        db.put(destination, target)
    if to_left:
        target.push_left((element,), db.space.limits)
    else:
        target.push_right((element,), db.space.limits)
    # Redis tells of the push first, and counts both as one change.
    db.changed(destination, LPUSH if to_left else RPUSH, 0)
    db.changed(source, LPOP if from_left else RPOP, 1)
    db.drop_if_empty(source, origin)
    return element


def pop_several(db: Database, popping: MultiPop) -> tuple[bytes, list[bytes]] | None:
    """Take from the first list there is: (key, elements), or None. O(keys + elements)."""
    for key in popping.keys:
        value = db.find_as(key, List)
        if value is not None:
            return key, pop_many(db, key, value, popping.from_first, popping.count)
    return None
