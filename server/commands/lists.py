"""The list commands that never wait: pushing and popping at both ends, reading and editing by position.

Argument grammar, keyspace calls, replies. What the blocking forms do as well stands in `server.list_ends`. The commands
of one element at an end are the hot ones: they are written out for each end, everything else takes the end as a
parameter.
"""

from __future__ import annotations

from protocol.reply import NULL_ARRAY, OK
from server.key_runs import lpop_run, lpush_run, rpop_run, rpush_run
from server.keyspecs import ACCESS, DELETE, INSERT, RO, RW, UPDATE, numkeys, one_key
from server.list_ends import ENDS, is_left, move_one, pop_many, pop_several
from server.multipop_arguments import MultiPop
from server.number_arguments import integer, negatable, not_negative
from server.read_runs import lindex_run, llen_run, lrange_run
from server.registry import DENYOOM, FAST, READONLY, WRITE, Group, wrong_arity_of
from storage.errors import INDEX_OUT_OF_RANGE, NO_SUCH_KEY, SYNTAX_ERROR, CommandError, WrongType
from storage.events import LINSERT, LPOP, LPUSH, LREM, LSET, LTRIM, RPOP, RPUSH
from storage.types.list import List

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from server.session import Session

    Argv = Sequence[bytes]

lists = Group("list")

RANK_ZERO = (
    b"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
    b"or use negative to start from the end of the list"
)
COUNT_NEGATIVE = b"ERR COUNT can't be negative"
MAXLEN_NEGATIVE = b"ERR MAXLEN can't be negative"


# Pushing -------------------------------------------------------------------------------------------------------


@lists.command(
    "LPUSH",
    arity=-3,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | INSERT),
    since="1.0.0",
    complexity="O(1) for each element, O(N) for N elements",
    history=(("2.4.0", "Takes several elements."),),
    syntax="key element...",
    together=lpush_run,
)
def lpush(ctx: Session, argv: Argv) -> int:
    """Put elements before the head of a list, or of a new one."""
    db, key = ctx.db, argv[1]
    value = db.find(key)
    if value is None:
        value = List()
        db.put(key, value)
    elif value.__class__ is not List:
        raise WrongType()
    elif len(argv) == 3 and len(value) >= value.watch_below:
        # What push_left comes down to for a long list, inlined: it saves a quarter of the whole call.
        value.appendleft(argv[2])
        db.changed(key, LPUSH, 1)
        return len(value)
    value.push_left(argv[2:], db.space.limits)
    db.changed(key, LPUSH, len(argv) - 2)
    return len(value)


@lists.command(
    "RPUSH",
    arity=-3,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | INSERT),
    since="1.0.0",
    complexity="O(1) for each element, O(N) for N elements",
    history=(("2.4.0", "Takes several elements."),),
    syntax="key element...",
    together=rpush_run,
)
def rpush(ctx: Session, argv: Argv) -> int:
    """Append elements to the tail of a list, or of a new one."""
    db, key = ctx.db, argv[1]
    value = db.find(key)
    if value is None:
        value = List()
        db.put(key, value)
    elif value.__class__ is not List:
        raise WrongType()
    elif len(argv) == 3 and len(value) >= value.watch_below:
        # What push_right comes down to for a long list, inlined: it saves a quarter of the whole call.
        value.append(argv[2])
        db.changed(key, RPUSH, 1)
        return len(value)
    value.push_right(argv[2:], db.space.limits)
    db.changed(key, RPUSH, len(argv) - 2)
    return len(value)


@lists.command(
    "LPUSHX",
    arity=-3,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | INSERT),
    since="2.2.0",
    complexity="O(1) for each element, O(N) for N elements",
    history=(("4.0.0", "Takes several elements."),),
    syntax="key element...",
)
def lpushx(ctx: Session, argv: Argv) -> int:
    """Put elements before the head of a list that exists."""
    return 0 if ctx.db.peek(argv[1]) is None else lpush(ctx, argv)


@lists.command(
    "RPUSHX",
    arity=-3,
    flags=WRITE | DENYOOM | FAST,
    keys=one_key(RW | INSERT),
    since="2.2.0",
    complexity="O(1) for each element, O(N) for N elements",
    history=(("4.0.0", "Takes several elements."),),
    syntax="key element...",
)
def rpushx(ctx: Session, argv: Argv) -> int:
    """Append elements to the tail of a list that exists."""
    return 0 if ctx.db.peek(argv[1]) is None else rpush(ctx, argv)


@lists.command(
    "LINSERT",
    arity=5,
    flags=WRITE | DENYOOM,
    keys=one_key(RW | INSERT),
    since="2.2.0",
    complexity="O(N), N = elements from the head to the pivot",
    syntax="key where=(BEFORE | AFTER) pivot element",
)
def linsert(ctx: Session, argv: Argv) -> int:
    """Insert an element before or after the first one that equals a pivot."""
    where = argv[2].upper()
    if where != b"BEFORE" and where != b"AFTER":
        raise CommandError(SYNTAX_ERROR)
    db, key = ctx.db, argv[1]
    value = db.find_as(key, List)
    if value is None:
        return 0
    if not value.insert_beside(argv[3], argv[4], where == b"AFTER", db.space.limits):
        return -1
    db.changed(key, LINSERT, 1)
    return len(value)


# Popping -------------------------------------------------------------------------------------------------------


@lists.command(
    "LPOP",
    arity=-2,
    flags=WRITE | FAST,
    keys=one_key(RW | ACCESS | DELETE),
    since="1.0.0",
    complexity="O(N), N = elements returned",
    history=(("6.2.0", "Takes count."),),
    syntax="key [count@6.2.0]",
    together=lpop_run,
)
def lpop(ctx: Session, argv: Argv) -> Any:
    """Remove and return the head of a list, or several elements from there."""
    if len(argv) != 2:
        return pop_counted(ctx, argv, True)
    db, key = ctx.db, argv[1]
    value = db.find(key)
    if value is None:
        return None
    if value.__class__ is not List:
        raise WrongType()
    element = value.popleft()
    db.changed(key, LPOP, 1)
    if not value:
        db.drop_if_empty(key, value)
    return element


@lists.command(
    "RPOP",
    arity=-2,
    flags=WRITE | FAST,
    keys=one_key(RW | ACCESS | DELETE),
    since="1.0.0",
    complexity="O(N), N = elements returned",
    history=(("6.2.0", "Takes count."),),
    syntax="key [count@6.2.0]",
    together=rpop_run,
)
def rpop(ctx: Session, argv: Argv) -> Any:
    """Remove and return the tail of a list, or several elements from there."""
    if len(argv) != 2:
        return pop_counted(ctx, argv, False)
    db, key = ctx.db, argv[1]
    value = db.find(key)
    if value is None:
        return None
    if value.__class__ is not List:
        raise WrongType()
    element = value.pop()
    db.changed(key, RPOP, 1)
    if not value:
        db.drop_if_empty(key, value)
    return element


def pop_counted(ctx: Session, argv: Argv, from_left: bool) -> Any:
    """LPOP and RPOP with a count."""
    if len(argv) > 3:
        raise CommandError(wrong_arity_of(b"lpop" if from_left else b"rpop"))
    count = not_negative(argv[2])
    value = ctx.db.find_as(argv[1], List)
    if value is None:
        return NULL_ARRAY
    if not count:
        return []
    return pop_many(ctx.db, argv[1], value, from_left, count)


@lists.command(
    "LMPOP",
    arity=-4,
    flags=WRITE,
    keys=numkeys(RW | ACCESS | DELETE, at=1),
    since="7.0.0",
    complexity="O(N+M), N = keys, M = elements returned",
    syntax="numkeys key... (LEFT | RIGHT) [COUNT count]",
)
def lmpop(ctx: Session, argv: Argv) -> Any:
    """Remove and return elements from an end of the first list there is among several keys."""
    popping = MultiPop(argv, 1, ENDS)
    found = pop_several(ctx.db, popping)
    if found is None:
        return NULL_ARRAY
    key, elements = found
    ctx.propagate_as(b"LPOP" if popping.from_first else b"RPOP", key, b"%d" % len(elements))
    return [key, elements]


@lists.command(
    "LMOVE",
    arity=5,
    flags=WRITE | DENYOOM,
    keys=(
        one_key(RW | ACCESS | DELETE),
        one_key(RW | INSERT, at=2),
    ),
    since="6.2.0",
    complexity="O(1)",
    syntax="source destination wherefrom=(LEFT | RIGHT) whereto=(LEFT | RIGHT)",
)
def lmove(ctx: Session, argv: Argv) -> bytes | None:
    """Move an element from an end of one list to an end of another, or of the same."""
    from_left, to_left = is_left(argv[3]), is_left(argv[4])
    return move_one(ctx.db, argv[1], argv[2], from_left, to_left)


@lists.command(
    "RPOPLPUSH",
    arity=3,
    flags=WRITE | DENYOOM,
    keys=(
        one_key(RW | ACCESS | DELETE),
        one_key(RW | INSERT, at=2),
    ),
    since="1.2.0",
    complexity="O(1)",
    syntax="source destination",
    deprecated=("6.2.0", "LMOVE with RIGHT and LEFT"),
)
def rpoplpush(ctx: Session, argv: Argv) -> bytes | None:
    """Move the tail of one list before the head of another, or of the same."""
    return move_one(ctx.db, argv[1], argv[2], False, True)


# Reading -------------------------------------------------------------------------------------------------------


@lists.command(
    "LLEN",
    arity=2,
    flags=READONLY | FAST,
    keys=one_key(RO),
    since="1.0.0",
    complexity="O(1)",
    syntax="key",
    together=llen_run,
)
def llen(ctx: Session, argv: Argv) -> int:
    """Return the number of elements of a list."""
    value = ctx.db.read_as(argv[1], List)
    return 0 if value is None else len(value)


@lists.command(
    "LRANGE",
    arity=4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="1.0.0",
    complexity="O(S+N), S = distance of the start from the nearer end, N = elements returned",
    syntax="key start stop",
    together=lrange_run,
)
def lrange(ctx: Session, argv: Argv) -> list[bytes]:
    """Return the elements between two positions."""
    start, stop = integer(argv[2]), integer(argv[3])
    value = ctx.db.read_as(argv[1], List)
    return [] if value is None else value.range(start, stop)


@lists.command(
    "LINDEX",
    arity=3,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="1.0.0",
    complexity="O(N), N = elements on the way to the index; O(1) at both ends",
    syntax="key index",
    together=lindex_run,
)
def lindex(ctx: Session, argv: Argv) -> bytes | None:
    """Return the element at a position."""
    value = ctx.db.read_as(argv[1], List)
    if value is None:
        return None
    try:
        return value[integer(argv[2])]
    except IndexError:
        return None


@lists.command(
    "LPOS",
    arity=-3,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="6.0.6",
    complexity="O(N), N = elements of the list; O(1) for a match near an end or with a small MAXLEN",
    syntax="key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
)
def lpos(ctx: Session, argv: Argv) -> Any:
    """Find the positions of an element."""
    rank, count, maxlen = 1, None, 0
    position, end = 3, len(argv)
    while position < end:
        option = argv[position].upper()
        position += 1
        if position == end:
            raise CommandError(SYNTAX_ERROR)
        if option == b"RANK":
            rank = negatable(argv[position])
            if rank == 0:
                raise CommandError(RANK_ZERO)
        elif option == b"COUNT":
            count = not_negative(argv[position], COUNT_NEGATIVE)
        elif option == b"MAXLEN":
            maxlen = not_negative(argv[position], MAXLEN_NEGATIVE)
        else:
            raise CommandError(SYNTAX_ERROR)
        position += 1
    value = ctx.db.read_as(argv[1], List)
    if count is not None:
        return [] if value is None else value.positions(argv[2], rank, count, maxlen)
    if value is None:
        return None
    found = value.positions(argv[2], rank, 1, maxlen)
    return found[0] if found else None


# Editing -------------------------------------------------------------------------------------------------------


@lists.command(
    "LSET",
    arity=4,
    flags=WRITE | DENYOOM,
    keys=one_key(RW | UPDATE),
    since="1.0.0",
    complexity="O(N), N = elements of the list; O(1) at both ends",
    syntax="key index element",
)
def lset(ctx: Session, argv: Argv) -> Any:
    """Replace the element at a position."""
    db, key = ctx.db, argv[1]
    value = db.find_as(key, List)
    if value is None:
        raise CommandError(NO_SUCH_KEY)
    index = integer(argv[2])
    try:
        value.replace(index, argv[3], db.space.limits)
    except IndexError:
        raise CommandError(INDEX_OUT_OF_RANGE) from None
    db.changed(key, LSET, 1)
    return OK


@lists.command(
    "LREM",
    arity=4,
    flags=WRITE,
    keys=one_key(RW | DELETE),
    since="1.0.0",
    complexity="O(N+M), N = elements of the list, M = elements removed",
    syntax="key count element",
)
def lrem(ctx: Session, argv: Argv) -> int:
    """Remove elements that equal a given one: the first so many, the last so many, or all."""
    count = negatable(argv[2])
    db, key = ctx.db, argv[1]
    value = db.find_as(key, List)
    if value is None:
        return 0
    removed = value.remove_equal(argv[3], count)
    if removed:
        db.changed(key, LREM, removed)
        db.drop_if_empty(key, value)
    return removed


@lists.command(
    "LTRIM",
    arity=4,
    flags=WRITE,
    keys=one_key(RW | DELETE),
    since="1.0.0",
    complexity="O(N), N = elements removed",
    syntax="key start stop",
)
def ltrim(ctx: Session, argv: Argv) -> Any:
    """Keep only the elements between two positions."""
    start, stop = integer(argv[2]), integer(argv[3])
    db, key = ctx.db, argv[1]
    value = db.find_as(key, List)
    if value is None:
        return OK
    length = len(value)
    value.trim(start, stop)
    db.changed(key, LTRIM, length - len(value))
    db.drop_if_empty(key, value)
    return OK
