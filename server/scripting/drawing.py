"""The random numbers of scripts: the 48 bit congruential generator of POSIX.

One sequence for all scripts and functions of a server, which goes on from run to run: what is propagated are a
script's effects, so two runs need not draw alike. A script that wants the same numbers again says `math.randomseed`.
"""

from __future__ import annotations

FIRST_STATE = 0x1234ABCD330E  # where lrand48 begins when nobody has seeded it
SEED_LOW = 0x330E
MULTIPLIER, INCREMENT, MASK = 0x5DEECE66D, 0xB, (1 << 48) - 1


class Drawing:
    """Where the sequence is."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = FIRST_STATE

    def draw(self) -> int:
        """The next number below 2**31."""
        self.state = state = (self.state * MULTIPLIER + INCREMENT) & MASK
        return state >> 17

    def seed(self, number: float) -> None:
        """Begin anew at a number below 2**32."""
        self.state = int(number) << 16 | SEED_LOW
