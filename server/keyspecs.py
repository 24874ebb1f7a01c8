"""Where a command keeps its keys, and what it does with them.

A key specification says where the keys of an argument vector begin (an index, or the word after a keyword)
and how to find the rest (a range, or a count that the client sends). COMMAND INFO shows them; ACL rules,
tracking and cluster slots find keys through them. A finder function stands in where the grammar is beyond
a specification.
This module knows no command: it must not import the registry.

Positions count from the command's name, which is 0; a subcommand's name is position 1.
"""

from __future__ import annotations

from storage.numeric import leading_int, parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Callable, Optional

    KeyPositions = list[tuple[int, int]]  # (position, key flags)
    KeyFinder = Callable[[Sequence[bytes]], KeyPositions]

# What the command may do with the whole value of a key: exactly one of these in a specification.
RO = 1 << 0
RW = 1 << 1
OW = 1 << 2  # overwrites, does not look at what was there
RM = 1 << 3  # removes, does not look at what was there
# What it may do with the data inside the value; none of them for metadata (type, length, expiry).
ACCESS = 1 << 4  # data is returned, copied or compared
UPDATE = 1 << 5
INSERT = 1 << 6
DELETE = 1 << 7
# About the specification itself.
NOT_KEY = 1 << 8  # a channel that hashes to a slot like a key
INCOMPLETE = 1 << 9  # the command may have keys that no specification finds
VARIABLE_FLAGS = 1 << 10  # the arguments decide which of the flags hold

KEY_FLAG_NAMES = (
    (RO, b"RO"),
    (RW, b"RW"),
    (OW, b"OW"),
    (RM, b"RM"),
    (ACCESS, b"access"),
    (UPDATE, b"update"),
    (INSERT, b"insert"),
    (DELETE, b"delete"),
    (NOT_KEY, b"not_key"),
    (INCOMPLETE, b"incomplete"),
    (VARIABLE_FLAGS, b"variable_flags"),
)

# Ways to find the first key, and ways to find the others.
INDEX, KEYWORD, RANGE, KEYNUM, UNKNOWN = b"index", b"keyword", b"range", b"keynum", b"unknown"

ABSENT = range(0)  # the positions of keys whose keyword is not there


class KeySpec:
    """One key specification.

    `begin` is INDEX (at `position`), KEYWORD (after `word`, searched from `position`, backwards when that is
    negative) or UNKNOWN. `find` is RANGE (`last` is relative to the first key, or counted from the end when
    negative; `limit` divides what remains), KEYNUM (a count stands at first + `count_at`, the keys begin at
    first + `first_at`) or UNKNOWN. Each key is `step` arguments after the one before.
    """

    __slots__ = (
        "begin",
        "position",
        "word",
        "find",
        "last",
        "limit",
        "count_at",
        "first_at",
        "step",
        "flags",
        "notes",
    )

    def __init__(
        self,
        flags: int,
        begin: bytes,
        find: bytes,
        position: int = 0,
        word: bytes = b"",
        last: int = 0,
        step: int = 1,
        limit: int = 0,
        count_at: int = 0,
        first_at: int = 1,
        notes: str = "",
    ) -> None:
        self.flags = flags
        self.begin = begin
        self.find = find
        self.position = position
        self.word = word
        self.last = last
        self.step = step
        self.limit = limit
        self.count_at = count_at
        self.first_at = first_at
        self.notes = notes

    @property
    def is_plain_range(self) -> bool:
        return self.begin is INDEX and self.find is RANGE

    @property
    def is_single(self) -> bool:
        """Whether it is one key at a fixed position, whatever the arguments are."""
        depends = self.flags & (NOT_KEY | INCOMPLETE | VARIABLE_FLAGS)
        return self.is_plain_range and not self.last and not depends

    def positions(self, argv: Sequence[bytes]) -> Optional[range]:
        """Return the positions of this specification's keys, or None where the vector does not fit it."""
        argc = len(argv)
        first = self._first(argv)
        if first <= 0:
            return ABSENT if self.begin is KEYWORD else None
        step = self.step
        if self.find is RANGE:
            if self.last >= 0:
                last = first + self.last
            elif self.limit:
                last = first + (argc - first) // self.limit + self.last
            else:
                last = argc + self.last
        elif self.find is KEYNUM:
            if first + self.count_at >= argc:
                return None
            try:
                count = parse_int(argv[first + self.count_at])
            except ValueError:
                return None
            first += self.first_at
            last = first + (count - 1) * step
        else:
            return None
        if self.find is RANGE and first == argc and self.last < 0:
            return range(0)  # PFMERGE without sources; its destination still counts
        if last >= argc or last < first:
            return None
        return range(first, last + 1, step)

    def _first(self, argv: Sequence[bytes]) -> int:
        if self.begin is INDEX:
            return self.position
        if self.begin is not KEYWORD:
            return 0
        argc = len(argv)
        start, word = self.position, self.word
        candidates = range(start, argc - 1) if start > 0 else range(argc + start, 1, -1)
        for at in candidates:
            if len(argv[at]) == len(word) and argv[at].upper() == word:
                return at + 1
        return 0


def one_key(flags: int, at: int = 1, notes: str = "") -> KeySpec:
    return KeySpec(flags, INDEX, RANGE, position=at, notes=notes)


def key_range(
    flags: int, first: int = 1, last: int = -1, step: int = 1, limit: int = 0, notes: str = ""
) -> KeySpec:
    """Keys from `first` on; `last` is relative to it, or from the end when negative (-1: the last one)."""
    return KeySpec(flags, INDEX, RANGE, position=first, last=last, step=step, limit=limit, notes=notes)


def numkeys(flags: int, at: int, first: int = 1, step: int = 1, notes: str = "") -> KeySpec:
    """A count stands at position `at`, and the keys begin `first` arguments after it."""
    return KeySpec(flags, INDEX, KEYNUM, position=at, first_at=first, step=step, notes=notes)


def keyword(
    flags: int, word: bytes, start: int = 1, last: int = 0, step: int = 1, limit: int = 0, notes: str = ""
) -> KeySpec:
    """Keys after `word`, which is searched from position `start` (from the end backwards when negative)."""
    return KeySpec(
        flags, KEYWORD, RANGE, position=start, word=word, last=last, step=step, limit=limit, notes=notes
    )


def unknown(flags: int, notes: str = "") -> KeySpec:
    """Keys that only the command's finder function can tell."""
    return KeySpec(flags, UNKNOWN, UNKNOWN, notes=notes)


def find_keys(specs: Sequence[KeySpec], finder: Optional[KeyFinder], argv: Sequence[bytes]) -> KeyPositions:
    """Return (position, flags) of every key in a vector; none where its grammar is broken.

    Specifications come first; a vector that one of them cannot read, or a specification that depends on the
    arguments, goes to the finder. A count that is no number has a finder of its own, as in Redis.
    """
    found: KeyPositions = []
    for spec in specs:
        flags = spec.flags
        if flags & VARIABLE_FLAGS:
            return finder(argv) if finder is not None else found
        if flags & NOT_KEY:
            continue
        positions = spec.positions(argv)
        if positions is ABSENT:
            continue
        if positions is None or flags & INCOMPLETE:
            if finder is not None:
                return finder(argv)
            return counted_keys(specs, spec, argv) if spec.find is KEYNUM else []
        for at in positions:
            found.append((at, flags))
    return found


def counted_keys(specs: Iterable[KeySpec], counted: KeySpec, argv: Sequence[bytes]) -> KeyPositions:
    """The keys that follow a count by what atoi(3) makes of it, then those at fixed positions, all without flags.

    No command takes such a count, but COMMAND GETKEYS does.
    """
    at = counted.position + counted.count_at
    first = counted.position + counted.first_at
    count = leading_int(argv[at]) if at < len(argv) else 0
    if not 0 < count <= (len(argv) - first) // counted.step:
        return []
    places = list(range(first, first + count * counted.step, counted.step))
    return [(place, 0) for place in places + [spec.position for spec in specs if spec.is_single]]


def legacy_range(specs: Sequence[KeySpec]) -> tuple[int, int, int, bool]:
    """Return (first, last, step) as COMMAND has always shown them, and whether they miss keys (movablekeys).

    Only plain ranges that follow one another can be expressed; (0, 0, 0) when there are none.
    """
    if len(specs) == 1 and specs[0].is_plain_range:
        spec = specs[0]
        last = spec.last + spec.position if spec.last >= 0 else spec.last
        return spec.position, last, spec.step, bool(spec.flags & INCOMPLETE)
    first, last, movable = 0, 0, False
    for spec in specs:
        if not spec.is_plain_range or spec.step != 1 or (last and last != spec.position - 1):
            movable = True
            continue
        if spec.flags & INCOMPLETE:
            movable = True
        first = first or spec.position
        spec_last = spec.last + spec.position if spec.last >= 0 else spec.last
        if last >= 0:  # counted from the end is further than any position
            last = spec_last if spec_last < 0 else max(last, spec_last)
    return first, last, 1 if first else 0, movable
