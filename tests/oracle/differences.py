"""What Redis changed between 7.0, which Debian ships, and 7.4, which this server follows.

Each entry has a name, the reason, and a claim about one command and its two replies. A difference that an
entry claims is no failure. An entry that `leaves_traces` may have changed data on one side only: the
sequence ends there. Asked only when the real server is older than 7.4; a real 7.4 has to agree with
everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.harness.wire import parse


def _same_numbers(left, right) -> bool:
    """Compare trees, taking strings that are the same number for equal."""
    if left[0] != right[0]:
        return False
    if isinstance(left[1], list):
        if not isinstance(right[1], list) or len(left[1]) != len(right[1]):
            return False
        if left[0] == b"%":
            return all(_same_numbers(a[0], b[0]) and _same_numbers(a[1], b[1]) for a, b in zip(left[1], right[1]))
        return all(_same_numbers(a, b) for a, b in zip(left[1], right[1]))
    if left[1] == right[1]:
        return True
    try:
        return left[0] in (b"$", b",") and float(left[1]) == float(right[1])
    except (TypeError, ValueError):
        return False


def _score_digits(name: str, argv: list[bytes], real: bytes, own: bytes) -> bool:
    return name.startswith(("Z", "BZ", "GEO")) and _same_numbers(parse(real), parse(own))


def _new_subcommand(name: str, argv: list[bytes], real: bytes, own: bytes) -> bool:
    return real.startswith(b"-ERR unknown subcommand") and name in NEW_SUBCOMMANDS


NEW_SUBCOMMANDS = frozenset({"CLIENT SETINFO", "CLIENT NO-TOUCH"})


class Difference(NamedTuple):
    name: str
    reason: str
    claims: Callable[[str, list[bytes], bytes, bytes], bool]
    leaves_traces: bool = False


def _has(argv: list[bytes], *words: bytes) -> bool:
    upper = {arg.upper() for arg in argv[1:]}
    return any(word in upper for word in words)


# Where this server differs from every Redis, knowingly.
OWN_DEPARTURES = (
    Difference(
        "the serialized length that DEBUG OBJECT names",
        "scores that Redis packs as integers or prints with other digits",
        lambda name, argv, real, own: name == "DEBUG OBJECT" and real[:1] == own[:1] == b"+",
    ),
)

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
    Difference("scores in fewest digits", "7.2 prints scores shortest; 7.0 with 17 digits", _score_digits),
    Difference(
        "digests of scores",
        "the digest of a sorted set is made of its printed scores",
        lambda name, argv, real, own: name in ("DEBUG DIGEST", "DEBUG DIGEST-VALUE"),
    ),
    Difference("subcommands", "CLIENT SETINFO and NO-TOUCH came with 7.2", _new_subcommand),
    Difference(
        "CLIENT KILL MAXAGE",
        "came with 7.4",
        lambda name, argv, real, own: name == "CLIENT KILL" and _has(argv, b"MAXAGE"),
    ),
    Difference(
        "ranks with scores",
        "ZRANK and ZREVRANK take WITHSCORE since 7.2",
        lambda name, argv, real, own: name in ("ZRANK", "ZREVRANK") and len(argv) > 3,
    ),
    Difference(
        "zero bytes in names",
        "7.0 took a NUL for the end of a client's name check; 7.2 refuses or accepts by the whole length",
        lambda name, argv, real, own: name in ("CLIENT SETNAME", "HELLO") and any(b"\0" in arg for arg in argv),
        leaves_traces=True,
    ),
    Difference(
        "the least 64-bit number in LPOS and LREM",
        "7.2 refuses the number that has no positive counterpart",
        lambda name, argv, real, own: name in ("LPOS", "LREM") and b"-9223372036854775808" in argv,
        leaves_traces=True,
    ),
    Difference(
        "timeout texts",
        "7.0 calls a timeout beyond the range negative",
        lambda name, argv, real, own: real.startswith(b"-ERR timeout is") and own.startswith(b"-ERR timeout is"),
    ),
    Difference(
        "LSET index beyond 32 bits",
        "7.2 cuts the index of a small list to 32 bits",
        lambda name, argv, real, own: name == "LSET" and len(argv) == 4 and len(argv[2]) > 9,
        leaves_traces=True,
    ),
    Difference(
        "bit ranges are read before the key",
        "7.0 looks at the key first: a missing key or a wrong type hides a wrong argument",
        lambda name, argv, real, own: (
            name in ("BITCOUNT", "BITPOS") and (not real.startswith(b"-") or real.startswith(b"-WRONGTYPE"))
        ),
    ),
    Difference(
        "XSETID below a deleted entry",
        "7.2 refuses a last ID below the highest that was deleted",
        lambda name, argv, real, own: name == "XSETID" and b"smaller than current max_deleted_entry_id" in own,
        leaves_traces=True,
    ),
    Difference(
        "a range error that lingers",
        "SORT does not clear errno before it reads a weight: a number that was too small for a double in an "
        "earlier command of the pipeline makes it refuse weights that are not integers; 7.4 still does it",
        lambda name, argv, real, own: (
            name in ("SORT", "SORT_RO")
            and real == b"-ERR One or more scores can't be converted into double\r\n"
            and not own.startswith(b"-")
        ),
        leaves_traces=True,
    ),
    Difference(
        "negative offsets",
        "7.4 lets a negative LIMIT offset into a skiplist count from the other end; 7.0 finds nothing",
        lambda name, argv, real, own: (
            name in ("ZRANGE", "ZRANGESTORE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZRANGEBYLEX", "ZREVRANGEBYLEX")
            and _has(argv, b"LIMIT")
            and real in (b"*0\r\n", b":0\r\n")
        ),
        leaves_traces=True,
    ),
    Difference(
        "corrupt HyperLogLogs",
        "7.4 checks sparse registers in another place",
        lambda name, argv, real, own: name.startswith("PF") and b"INVALIDOBJ" in real + own,
        leaves_traces=True,
    ),
    Difference(
        "keys of wrong requests",
        "7.2 checks a command's arity where 7.0 named the container's",
        lambda name, argv, real, own: name.startswith("COMMAND GETKEYS") and real[:1] == own[:1] == b"-",
    ),
    Difference(
        "XREAD from the last entry",
        "the ID + came with 7.4",
        lambda name, argv, real, own: name in ("XREAD", "XREADGROUP") and b"+" in argv,
        leaves_traces=True,
    ),
    Difference(
        "unbalanced XREAD",
        "7.2 names the command in the text",
        lambda name, argv, real, own: real.startswith(b"-ERR Unbalanced") and own.startswith(b"-ERR Unbalanced"),
    ),
    Difference(
        "consumers that found nothing",
        "since 7.2 XREADGROUP, XCLAIM and XAUTOCLAIM create their consumer at once; times of activity are new",
        lambda name, argv, real, own: name.startswith("XINFO ") or name == "XGROUP CREATECONSUMER",
        leaves_traces=True,
    ),
    Difference(
        "HSCAN NOVALUES",
        "came with 7.4",
        lambda name, argv, real, own: name == "HSCAN" and _has(argv, b"NOVALUES"),
    ),
) + OWN_DEPARTURES


def find_difference(name: str, argv: list[bytes], real: bytes, own: bytes) -> Difference | None:
    for difference in DIFFERENCES:
        if difference.claims(name, argv, real, own):
            return difference
    return None
