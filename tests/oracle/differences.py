"""What Redis changed between 7.0, which Debian ships, and 7.4, which this server follows.

Each entry has a name, the reason, and a claim about one command and its two replies. A difference that an
entry claims is no failure. An entry that `leaves_traces` may have changed data on one side only: the
sequence ends there. Asked only when the real server is older than 7.4; a real 7.4 has to agree with
everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Difference(NamedTuple):
    name: str
    reason: str
    claims: Callable[[str, list[bytes], bytes, bytes], bool]
    leaves_traces: bool = False


def _has(argv: list[bytes], *words: bytes) -> bool:
    upper = {arg.upper() for arg in argv[1:]}
    return any(word in upper for word in words)


DIFFERENCES = (
    Difference(
        "listpack lists and sets",
        "7.2 keeps small lists (quicklist before) and small sets (hashtable before) in a listpack",
        lambda name, argv, real, own: (
            name == "OBJECT ENCODING"
            and own in (b"$8\r\nlistpack\r\n", b"+listpack\r\n")
            and real in (b"$9\r\nquicklist\r\n", b"$9\r\nhashtable\r\n")
        ),
    ),
)


def find_difference(name: str, argv: list[bytes], real: bytes, own: bytes) -> Difference | None:
    for difference in DIFFERENCES:
        if difference.claims(name, argv, real, own):
            return difference
    return None
