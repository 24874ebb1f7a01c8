"""Pipelines of one command that only reads, run as a whole: what is looked up in, and listed of, collections.

As in `key_runs`, each function is the `together` of a command. A run is answered here where each of its keys holds what
the command reads; a key that is missing, due, or of another type has the vectors run one by one. What a run answers in
all is limited, since the limits of output do not see it before it is encoded. A request in a pipeline of 16 HGETs, all
told: 1.6 -> 1.2 us.
"""

from __future__ import annotations

from functools import partial
from itertools import chain

from protocol.reply import FlatMap, SetReply
from server.key_runs import MAX_REPLY_BYTES, note_uses
from server.number_arguments import SMALL
from storage.deadlines import in_seconds
from storage.types.hash import Hash
from storage.types.list import List
from storage.types.set import Set
from storage.types.sorted_set import SortedSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Optional

    from server.session import Session
    from storage.database import Database

    Columns = Sequence[Sequence[bytes]]
    Replies = Optional[Sequence[Any]]

STRINGS = {bytes, bytearray}
BIT_DIGITS = 9  # of an offset: far from where it is refused
MAX_ELEMENTS = 4096  # of all the replies to a run
SHORT_LISTS = 32  # elements; longer lists cost as much one by one


def exists_run(ctx: Session, columns: Columns) -> Replies:
    return exist(ctx.db, columns[1])


def exist(db: Database, keys: Sequence[bytes]) -> list[int] | None:
    """1 for each key that is there, 0 for others; None where that has to be seen key by key."""
    if db.has_due(keys):
        return None
    replies = [1 if key in db.data else 0 for key in keys]
    found = sum(replies)
    if found < len(keys) and db.space.hears_misses:
        return None
    db.space.hits += found
    db.space.misses += len(keys) - found
    return replies


def pttl_run(ctx: Session, columns: Columns) -> Replies:
    db, now_ms = ctx.db, ctx.now_ms
    live = db.lapses
    replies = exists_run(ctx, columns)
    if replies is None:
        return None
    return [live[key] - now_ms if key in live else found - 2 for key, found in zip(columns[1], replies)]


def ttl_run(ctx: Session, columns: Columns) -> Replies:
    replies = pttl_run(ctx, columns)
    return None if replies is None else list(map(in_seconds, replies))


def getbit_run(ctx: Session, columns: Columns) -> Replies:
    db, keys = ctx.db, columns[1]
    values: list[Any] = list(map(db.data.get, keys))
    if db.has_due(keys) or not STRINGS.issuperset(map(type, values)):
        return None
    replies = []
    for value, text in zip(values, columns[2]):
        if not text.isdigit() or len(text) > BIT_DIGITS:
            return None
        offset = int(text)
        byte = value[offset >> 3] if offset >> 3 < len(value) else 0
        replies.append(byte >> (~offset & 7) & 1)
    db.space.hits += len(keys)
    note_uses(db, keys)
    return replies


def reads(kind: type, answer: Callable[[Sequence[Any], Columns], Replies]) -> Callable[[Session, Columns], Replies]:
    """The `together` of a command that answers from the value at its key, which is of one kind."""

    def run(ctx: Session, columns: Columns) -> Replies:
        db, keys = ctx.db, columns[1]
        if db.has_due(keys) or (kind is Hash and db.field_deadlines.live):
            return None
        values = list(map(db.data.get, keys))
        if set(map(type, values)) != {kind}:
            return None
        replies = answer(values, columns)
        if replies is not None:
            db.space.hits += len(keys)
            note_uses(db, keys)
        return replies

    return run


def fit(strings: Iterable[bytes]) -> bool:
    return sum(map(len, strings)) <= MAX_REPLY_BYTES


# Single elements -----------------------------------------------------------------------------------------------


def get_each(values: Sequence[Any], columns: Columns) -> Replies:
    return [value.get(name) for value, name in zip(values, columns[2])]


def get_strings(values: Sequence[Any], columns: Columns) -> Replies:
    replies = [value.get(name) for value, name in zip(values, columns[2])]
    return replies if fit(filter(None, replies)) else None


def contain(values: Sequence[Any], columns: Columns) -> Replies:
    return [1 if name in value else 0 for value, name in zip(values, columns[2])]


def measure(values: Sequence[Any], columns: Columns) -> Replies:
    return list(map(len, values))


def rank(find: Callable[[SortedSet, bytes], Any]) -> Callable[[Sequence[Any], Columns], Replies]:
    return lambda values, columns: list(map(find, values, columns[2]))


def pick(values: Sequence[Any], columns: Columns) -> Replies:
    replies = []
    for value, index in zip(values, map(SMALL.get, columns[2])):
        if index is None:
            return None  # a large number, or none
        replies.append(value[index] if -len(value) <= index < len(value) else None)
    return replies if fit(filter(None, replies)) else None


strlen_run, llen_run, scard_run, hlen_run, zcard_run = [
    reads(kind, measure) for kind in (bytes, List, Set, Hash, SortedSet)
]
zrank_run = reads(SortedSet, rank(SortedSet.rank))
zrevrank_run = reads(SortedSet, rank(partial(SortedSet.rank, reverse=True)))
lindex_run = reads(List, pick)
hget_run = reads(Hash, get_strings)
hexists_run = reads(Hash, contain)
sismember_run = reads(Set, contain)
zscore_run = reads(SortedSet, get_each)


# Whole collections, and ranges ---------------------------------------------------------------------------------


def hashes_whole(values: Sequence[Any], columns: Columns) -> Replies:
    if sum(map(len, values)) > MAX_ELEMENTS:
        return None
    replies = [FlatMap(tuple(value), tuple(value.values())) for value in values]
    names = chain.from_iterable([reply.names for reply in replies])
    return replies if fit(chain(names, *[reply.values for reply in replies])) else None


def are_short(values: Sequence[Any]) -> bool:
    """Whether collections are so small that it pays to list them together."""
    return sum(map(len, values)) <= min(SHORT_LISTS * len(values), MAX_ELEMENTS)


def columns_of_hashes(part: Callable[[Any], Iterable[bytes]]) -> Callable[[Sequence[Any], Columns], Replies]:
    """The names of hashes, or the values."""

    def answer(values: Sequence[Any], columns: Columns) -> Replies:
        if not are_short(values):
            return None
        replies = list(map(list, map(part, values)))
        return replies if fit(chain.from_iterable(replies)) else None

    return answer


def sets_whole(values: Sequence[Any], columns: Columns) -> Replies:
    if not are_short(values):
        return None
    replies = [value.members() for value in values]
    return list(map(SetReply, replies)) if fit(chain.from_iterable(replies)) else None


def section(find: Callable[[Any, int, int], list[bytes]]) -> Callable[[Sequence[Any], Columns], Replies]:
    """Ranges of positions, by the method that finds one."""

    def answer(values: Sequence[Any], columns: Columns) -> Replies:
        starts, stops = map(SMALL.get, columns[2]), map(SMALL.get, columns[3])
        replies = []
        left = MAX_ELEMENTS
        for value, start, stop in zip(values, starts, stops):
            if start is None or stop is None:
                return None  # a large number, or none
            found = find(value, start, stop)
            left -= len(found)
            if len(found) > SHORT_LISTS or left < 0:
                return None
            replies.append(found)
        return replies if fit(chain.from_iterable(replies)) else None

    return answer


hgetall_run = reads(Hash, hashes_whole)
hkeys_run = reads(Hash, columns_of_hashes(dict.keys))
hvals_run = reads(Hash, columns_of_hashes(dict.values))
smembers_run = reads(Set, sets_whole)
lrange_run = reads(List, section(List.range))
zrange_run = reads(SortedSet, section(SortedSet.range))
zrevrange_run = reads(SortedSet, section(partial(SortedSet.range, reverse=True)))
