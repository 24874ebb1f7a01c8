"""What ZRANGE and its relatives ask for: scores or members between two bounds.

Owns the values of the bounds and their grammar. Must not know how a sorted set finds them.
"""

from __future__ import annotations

from storage.numeric import parse_lex_bound, parse_score_bound


class ScoreRange:
    """Scores between two bounds, each of which may be excluded."""

    __slots__ = ("low", "low_excluded", "high", "high_excluded")

    def __init__(
        self, low: float, high: float, low_excluded: bool = False, high_excluded: bool = False
    ) -> None:
        self.low = low
        self.high = high
        self.low_excluded = low_excluded
        self.high_excluded = high_excluded

    @classmethod
    def parse(cls, low: bytes, high: bytes) -> ScoreRange:
        """Read bounds such as `(1.5` and `+inf`. ValueError if one is not a number."""
        low_score, low_excluded = parse_score_bound(low)
        high_score, high_excluded = parse_score_bound(high)
        return cls(low_score, high_score, low_excluded, high_excluded)

    def __contains__(self, score: float) -> bool:
        return (self.low < score if self.low_excluded else self.low <= score) and (
            score < self.high if self.high_excluded else score <= self.high
        )


class LexRange:
    """Members between two bounds, for sets whose scores are all the same.

    A bound is a side (-1 before every member, 1 after every member, 0 at `low` or `high`), a member and
    whether it is excluded.
    """

    __slots__ = ("low_side", "low", "low_excluded", "high_side", "high", "high_excluded")

    def __init__(self, low: tuple[int, bytes, bool], high: tuple[int, bytes, bool]) -> None:
        self.low_side, self.low, self.low_excluded = low
        self.high_side, self.high, self.high_excluded = high

    @classmethod
    def parse(cls, low: bytes, high: bytes) -> LexRange:
        """Read bounds such as `-`, `[a`, `(b` and `+`. ValueError if one is something else."""
        return cls(parse_lex_bound(low), parse_lex_bound(high))

    def is_above_low(self, member: bytes) -> bool:
        if self.low_side:
            return self.low_side < 0
        return member > self.low if self.low_excluded else member >= self.low

    def is_below_high(self, member: bytes) -> bool:
        if self.high_side:
            return self.high_side > 0
        return member < self.high if self.high_excluded else member <= self.high

    def __contains__(self, member: bytes) -> bool:
        return self.is_above_low(member) and self.is_below_high(member)

    def walk(self, members: list[bytes], reverse: bool, offset: int = 0) -> tuple[int, int]:
        """The ranks [start, stop) Redis finds in a listpack whose scores differ, where names are in no order.

        It walks from one end to the first member on the right side of the near bound, which must not be beyond the
        far one, and on to the first that is; that one may be hidden among the `offset` members left out. O(n).
        """
        size = len(members)
        if not self.is_above_low(members[-1]) or not self.is_below_high(members[0]):
            return 0, 0
        if reverse:
            stop = size
            while stop and not self.is_below_high(members[stop - 1]):
                stop -= 1
            if not stop or not self.is_above_low(members[stop - 1]):
                return 0, 0
            stop = max(stop - offset, 0)
            start = stop
            while start and self.is_above_low(members[start - 1]):
                start -= 1
        else:
            start = 0
            while start < size and not self.is_above_low(members[start]):
                start += 1
            if start == size or not self.is_below_high(members[start]):
                return 0, 0
            start = min(start + offset, size)
            stop = start
            while stop < size and self.is_below_high(members[stop]):
                stop += 1
        return start, stop
