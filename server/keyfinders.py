"""Finders of keys for the commands whose grammar is beyond a key specification.

Each takes an argument vector and returns (position, key flags) of its keys, or none where it is malformed:
the command then says what is wrong. Used through `keys_by=` in a declaration.
"""

from __future__ import annotations

from server.keyspecs import ACCESS, DELETE, OW, RO, RW, UPDATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.keyspecs import KeyPositions


def set_keys(argv: Sequence[bytes]) -> KeyPositions:
    """SET reads its key only when GET is among the options."""
    for arg in argv[3:]:
        if len(arg) == 3 and arg.upper() == b"GET":
            return [(1, RW | ACCESS | UPDATE)]
    return [(1, OW | UPDATE)]


# Arguments of each operation of BITFIELD, and whether it writes.
_BITFIELD_OPERATIONS = {b"GET": (2, False), b"SET": (3, True), b"INCRBY": (3, True), b"OVERFLOW": (1, False)}


def bitfield_keys(argv: Sequence[bytes]) -> KeyPositions:
    """BITFIELD only reads its key when no operation writes; broken grammar counts as writing."""
    at, argc = 2, len(argv)
    while at < argc:
        operation = _BITFIELD_OPERATIONS.get(argv[at].upper())
        if operation is None or operation[1] or at + operation[0] >= argc:
            return [(1, RW | ACCESS | UPDATE)]
        at += 1 + operation[0]
    return [(1, RO | ACCESS)]


_SORT_ARGUMENTS = {b"LIMIT": 2, b"GET": 1, b"BY": 1}


def sort_keys(argv: Sequence[bytes]) -> KeyPositions:
    """SORT has a destination after the last STORE that is not an argument of another option."""
    at, argc, destination = 2, len(argv), 0
    while at < argc:
        option = argv[at].upper()
        if option == b"STORE" and at + 1 < argc:
            destination = at + 1
        at += 1 + _SORT_ARGUMENTS.get(option, 0)
    keys = [(1, RO | ACCESS)]
    if destination:
        keys.append((destination, OW | UPDATE))
    return keys


def sort_ro_keys(argv: Sequence[bytes]) -> KeyPositions:
    return [(1, RO | ACCESS)]


_MIGRATE_KEY = 3
_MIGRATE_OPTIONS = 6
_MIGRATE_ARGUMENTS = {b"AUTH": 1, b"AUTH2": 2}


def migrate_keys(argv: Sequence[bytes]) -> KeyPositions:
    """MIGRATE has one key, or an empty string in its place and many after KEYS."""
    flags = RW | ACCESS | DELETE
    at, argc = _MIGRATE_OPTIONS, len(argv)
    while at < argc:
        option = argv[at].upper()
        if option == b"KEYS":
            if argv[_MIGRATE_KEY]:
                return []
            return [(position, flags) for position in range(at + 1, argc)]
        at += 1 + _MIGRATE_ARGUMENTS.get(option, 0)
    return [(_MIGRATE_KEY, flags)]


# After the key, the centre (a member, at least) and the radius with its unit.
_GEORADIUS_OPTIONS = 5


def georadius_keys(argv: Sequence[bytes]) -> KeyPositions:
    """GEORADIUS and GEORADIUSBYMEMBER write to what follows the last STORE or STOREDIST."""
    destination = 0
    at, argc = _GEORADIUS_OPTIONS, len(argv)
    while at < argc:
        if argv[at].upper() in (b"STORE", b"STOREDIST") and at + 1 < argc:
            at += 1
            destination = at
        at += 1
    keys = [(1, RO | ACCESS)]
    if destination:
        keys.append((destination, OW | UPDATE))
    return keys


_XREAD_ARGUMENTS = {b"BLOCK": 1, b"COUNT": 1, b"GROUP": 2, b"NOACK": 0}


def xread_keys(argv: Sequence[bytes]) -> KeyPositions:
    """XREAD and XREADGROUP: the first half of what follows the option STREAMS, or nothing."""
    at, argc = 1, len(argv)
    while at < argc:
        option = argv[at].upper()
        if option == b"STREAMS":
            count, odd = divmod(argc - at - 1, 2)
            if odd or not count:
                return []
            return [(position, RO | ACCESS) for position in range(at + 1, at + 1 + count)]
        if option not in _XREAD_ARGUMENTS:
            return []
        at += 1 + _XREAD_ARGUMENTS[option]
    return []
