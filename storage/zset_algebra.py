"""Unions, intersections and differences of sorted sets, with weights and ways to combine scores.

Pure functions from containers to a plain dictionary of scores, in no order. A source is a SortedSet, a Set (each
member scores 1) or None for a key that is not there. Must not know keys, replies or where a result is kept.

Sources are combined in order of their sizes, as Redis does it: floating-point sums depend on it. Infinities of both
signs add up to 0, and so does an infinite score times the weight 0; but where two scores are compared, one that is
not a number loses.

n entries in all sources, s in the smallest of m:

| union                              | O(n)     |
| intersection, intersection_size    | O(s * m) |
| difference                         | O(f * m), f entries in the first source |
| in_order                           | O(k log k), k entries |
"""

from __future__ import annotations

from itertools import islice

from storage.types.set import Set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Union

    from storage.types.sorted_set import SortedSet

    Source = Union[SortedSet, Set, None]
    Scores = dict[bytes, float]

SUM = 0
MIN = 1
MAX = 2

SET_SCORE = 1.0


def weighted(source: Union[SortedSet, Set], weight: float) -> Scores:
    """The scores of one source times its weight. O(n)."""
    if isinstance(source, Set):
        return dict.fromkeys(source, SET_SCORE * weight)
    if weight == 1.0:
        return dict(source)
    scores = {member: score * weight for member, score in source.items()}
    if not weight or weight - weight != 0.0:
        # Zero times infinity: only such weights can make what is not a number.
        for member, score in scores.items():
            if score != score:
                scores[member] = 0.0
    return scores


def by_size(sources: Sequence[Source], weights: Sequence[float]) -> list[tuple[Source, float]]:
    """Sources with their weights, the smallest first."""
    return sorted(zip(sources, weights), key=lambda pair: len(pair[0] or ()))


def union(sources: Sequence[Source], weights: Sequence[float], aggregate: int) -> Scores:
    """The members of any source."""
    result: Scores = {}
    for source, weight in by_size(sources, weights):
        if not source:
            continue
        scores = weighted(source, weight)
        if not result:
            result = scores
            continue
        get = result.get
        for member, score in scores.items():
            known = get(member)
            if known is None:
                result[member] = score
            elif aggregate == SUM:
                score += known
                result[member] = score if score == score else 0.0
            elif (score < known) if aggregate == MIN else (score > known):
                result[member] = score
    return result


def intersection(sources: Sequence[Source], weights: Sequence[float], aggregate: int) -> Scores:
    """The members of every source."""
    ordered = by_size(sources, weights)
    smallest, weight = ordered[0]
    if not smallest:
        return {}
    result = weighted(smallest, weight)
    for source, weight in ordered[1:]:
        is_set = isinstance(source, Set)
        scores: Any = source  # not empty: the smallest is not
        combined = {}
        for member, known in result.items():
            if member not in scores:
                continue
            score = SET_SCORE * weight if is_set else scores[member] * weight
            if aggregate == SUM:
                score += known
                combined[member] = score if score == score else 0.0
            elif (score < known) if aggregate == MIN else (score > known):
                combined[member] = score
            else:
                combined[member] = known
        result = combined
    return result


def intersection_size(sources: Sequence[Source], limit: int = 0) -> int:
    """How many members every source has, counted no further than `limit` unless that is 0."""
    ordered: list[Any] = sorted((source or () for source in sources), key=len)
    found: Iterator[bytes] = iter(ordered[0])
    for source in ordered[1:]:
        found = filter(source.__contains__, found)
    return sum(1 for _ in (islice(found, limit) if limit else found))


def difference(sources: Sequence[Source]) -> Scores:
    """The members of the first source that no other has, with their scores there."""
    first = sources[0]
    others = [source for source in sources[1:] if source]
    if not first or any(source is first for source in others):
        return {}
    result = weighted(first, 1.0)
    others.sort(key=len, reverse=True)  # the largest first: it probably takes most away
    for source in others:
        if len(source) < len(result):
            for member in source:
                result.pop(member, None)
        else:
            result = {member: score for member, score in result.items() if member not in source}
    return result


def in_order(scores: Scores) -> list[tuple[bytes, float]]:
    """The (member, score) pairs from the lowest score up, equal ones by member."""
    return [(member, score) for score, member in sorted(zip(scores.values(), scores))]
