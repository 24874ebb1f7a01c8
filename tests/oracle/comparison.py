"""When two replies that differ are the same answer.

Owns the list of commands whose replies have no defined order, depend on the clock or on chance. Everything
else is compared byte by byte; this module is only asked when the bytes differ.
"""

from __future__ import annotations

from tests.harness.wire import parse

# A hash table's order is nobody's business; the one call that returns everything is compared as a set.
UNORDERED = frozenset({*"KEYS SMEMBERS SINTER SUNION SDIFF HKEYS HVALS".split(), "COMMAND LIST"})
UNORDERED_PAIRS = frozenset({"HGETALL", "CONFIG GET"})
SCANS = frozenset("SCAN SSCAN HSCAN ZSCAN".split())
BY_CHANCE = frozenset("RANDOMKEY SRANDMEMBER HRANDFIELD ZRANDMEMBER SPOP TIME LOLWUT".split())
# How far two clocks may be apart, in the unit of the reply.
CLOCKS = {
    "TTL": 2, "PTTL": 2000, "EXPIRETIME": 2, "PEXPIRETIME": 2000, "OBJECT IDLETIME": 2,
    "HTTL": 2, "HPTTL": 2000, "HEXPIRETIME": 2, "HPEXPIRETIME": 2000,
}  # fmt: skip
# Streams: how far times may be apart, and the names of those that have one.
STREAM_CLOCKS = {"XPENDING": 2000, "XINFO STREAM": 2000, "XINFO CONSUMERS": 2000}
STREAM_TIMES = frozenset((b"idle", b"inactive", b"seen-time", b"active-time"))
# Positive numbers that mean something only on the server that said them.
OWN_NUMBERS = frozenset({"MEMORY USAGE", "CLIENT ID", "OBJECT REFCOUNT"})
CONTAINERS = frozenset(
    "OBJECT CLIENT CONFIG COMMAND MEMORY DEBUG CLUSTER LATENCY SLOWLOG XINFO XGROUP PUBSUB ACL SCRIPT "
    "FUNCTION MODULE PFDEBUG".split()
)
# Help texts are this project's own words in Redis's structure.
OWN_WORDS = frozenset({"HELP", "DOCTOR"})


def command_name(argv: list[bytes]) -> str:
    """Return the name as the manual spells it, with the subcommand of a container."""
    name = argv[0].decode("latin-1").upper()
    if name in CONTAINERS and len(argv) > 1:
        return f"{name} {argv[1].decode('latin-1').upper()}"
    return name


def same_answer(argv: list[bytes], real: bytes, own: bytes) -> bool:
    """Tell whether the replies to one command agree."""
    if real == own:
        return True
    name = command_name(argv)
    left, right = parse(real), parse(own)
    if left[0] != right[0]:
        return False
    if name in UNORDERED:
        return unordered(left) == unordered(right)
    if name in UNORDERED_PAIRS:
        return unordered_pairs(left) == unordered_pairs(right)
    if name in SCANS:
        return unordered_scan(name, argv, left) == unordered_scan(name, argv, right)
    if name in BY_CHANCE:
        return shape(left) == shape(right)
    if name in CLOCKS:
        return close(left, right, CLOCKS[name])
    if name in STREAM_CLOCKS:
        return close_streams(left, right, STREAM_CLOCKS[name])
    if name in OWN_NUMBERS:
        return left[0] == b":" and int(left[1]) >= 0 and int(right[1]) >= 0
    if name == "SORT" or name == "SORT_RO":
        return same_sorted(argv, left, right)
    if name == "HELLO":
        return greeting(left) == greeting(right)
    if name.rpartition(" ")[2] in OWN_WORDS:
        return shape(left)[0] == shape(right)[0]
    return False


def same_sorted(argv: list[bytes], left, right) -> bool:
    """Compare SORT's replies where their order is not defined.

    BY a pattern without `*` keeps the order that the container has, and a set has none. BY with ALPHA leaves
    elements of equal weight (all whose weight is missing, say) in whatever order the sorting algorithm does.
    """
    upper = [arg.upper() for arg in argv]
    if b"BY" not in upper[2:]:
        return False
    pattern = argv[upper.index(b"BY", 2) + 1]
    if b"ALPHA" not in upper and b"*" in pattern:
        return False
    if b"LIMIT" in upper or not isinstance(left[1], list) or not isinstance(right[1], list):
        return shape(left)[0] == shape(right)[0] and len(left[1] or ()) == len(right[1] or ())
    width = max(1, upper.count(b"GET"))
    rows = []
    for _, items in (left, right):
        rows.append(sorted((items[at : at + width] for at in range(0, len(items), width)), key=repr))
    return rows[0] == rows[1]


def unordered(tree):
    kind, content = tree
    return (kind, sorted(content, key=repr)) if isinstance(content, list) else tree


def unordered_pairs(tree):
    kind, content = tree
    if not isinstance(content, list):
        return tree
    if kind != b"%":
        content = list(zip(content[::2], content[1::2]))
    return kind, sorted(content, key=repr)


def unordered_scan(name: str, argv: list[bytes], tree):
    if tree[0] != b"*" or len(tree[1]) != 2:
        return tree
    cursor, items = tree[1]
    is_paired = name in ("HSCAN", "ZSCAN") and b"NOVALUES" not in [arg.upper() for arg in argv]
    return cursor, unordered_pairs(items) if is_paired else unordered(items)


def shape(tree):
    """Return types and lengths without contents."""
    kind, content = tree
    if content is None:
        return kind, None
    if kind == b"%":
        return kind, [(shape(key), shape(value)) for key, value in content]
    if isinstance(content, list):
        return kind, [shape(item) for item in content]
    return kind, content if kind == b"-" else ...


def close(left, right, tolerance: int) -> bool:
    """Compare numbers within a tolerance; a negative one is a code, not a time."""
    if left[0] != right[0]:
        return False
    if isinstance(left[1], list):
        return len(left[1]) == len(right[1]) and all(close(a, b, tolerance) for a, b in zip(left[1], right[1]))
    if left[0] != b":":
        return left == right
    a, b = int(left[1]), int(right[1])
    return a == b if a < 0 or b < 0 else abs(a - b) <= tolerance


def close_streams(left, right, tolerance: int) -> bool:
    """Compare reports on streams: times may differ by a tolerance, everything else not at all.

    A time has a name before it, or is the last but one in a row that begins with an ID.
    """
    if left[0] != right[0] or not isinstance(left[1], list) or not isinstance(right[1], list):
        return left == right
    if len(left[1]) != len(right[1]):
        return False
    if left[0] == b"%":
        left, right = [(b"*", [item for pair in tree[1] for item in pair]) for tree in (left, right)]
    ours, theirs = left[1], right[1]
    is_row = len(ours) in (3, 4) and ours[0][0] == b"$" and [item[0] for item in ours[-2:]] == [b":", b":"]
    for at, (a, b) in enumerate(zip(ours, theirs)):
        is_time = at > 0 and ours[at - 1][1] in STREAM_TIMES if not isinstance(ours[at - 1][1], list) else False
        if is_time or is_row and at == len(ours) - 2:
            if not close(a, b, tolerance):
                return False
        elif not close_streams(a, b, tolerance):
            return False
    return True


def greeting(tree):
    """HELLO without what is the server's own: its version and the connection's number."""
    kind, content = tree
    if not isinstance(content, list):
        return tree
    pairs = content if kind == b"%" else list(zip(content[::2], content[1::2]))
    return kind, [pair if pair[0][1] not in (b"version", b"id") else pair[0] for pair in pairs]
