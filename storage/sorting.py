"""SORT's own ideas: patterns that name other keys, weights, and the order they make.

Owns the order of elements by number or text and what a pattern finds for an element. Must not know argument vectors,
replies or where a result is kept. What is text to C ends at its first NUL here too: Redis compares it so.
"""

from __future__ import annotations

from storage.numeric import parse_float
from storage.partial_sort import partly_in_order
from storage.text import c_text
from storage.types.hash import Hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Optional

    from storage.database import Database

WHITESPACE = b" \t\n\v\f\r"  # isspace() in the C locale
LEAST_NORMAL = 2.0**-1022  # below, strtod(3) reports a loss of precision


class NotNumbers(ValueError):
    """A weight is no number."""


class Pattern:
    """`prefix*suffix` names a string for each element, `prefix*suffix->field` a field of a hash, `#` the element."""

    __slots__ = ("prefix", "suffix", "field", "is_element", "is_constant")

    def __init__(self, text: bytes) -> None:
        visible = c_text(text)
        self.is_element = visible == b"#"
        star = visible.find(b"*")
        self.is_constant = star < 0
        self.prefix = text[:star] if star >= 0 else b""
        self.suffix = text[star + 1 :]
        self.field = b""
        arrow = visible.find(b"->", star + 1)
        if star >= 0 and 0 <= arrow < len(visible) - 2:
            self.suffix = text[star + 1 : arrow]
            self.field = text[arrow + 2 :]

    def fetch(self, db: Database, element: bytes, stamps: bool = True) -> Optional[bytes]:
        """What the pattern finds for an element, or None: another type of value is as good as none. A use of the value
        if it `stamps`.
        """
        if self.is_element:
            return element
        if self.is_constant:
            return None
        key = self.prefix + element + self.suffix
        value = db.read(key) if stamps else db.view(key)
        if value.__class__ is bytes:
            return None if self.field else value
        if value.__class__ is bytearray:
            return None if self.field else bytes(value)
        if value.__class__ is Hash and self.field:
            if value.deadlines is None:
                return value.get(self.field)
            # A master deletes what is due before it sorts: replicas that sort by themselves would still see it.
            return db.live_fields(key, value, (self.field,)).get(self.field)
        return None


def number(text: bytes) -> float:
    """A weight as strtod(3) reads it: leading space is skipped, nothing at all is 0. Else NotNumbers."""
    try:
        weight = parse_float(text)
    except ValueError:
        text = c_text(text)
        if not text:
            return 0.0
        try:
            weight = parse_float(text.lstrip(WHITESPACE))
        except ValueError:
            raise NotNumbers() from None
    if weight and -LEAST_NORMAL < weight < LEAST_NORMAL:
        raise NotNumbers()
    return weight


def in_order_of_numbers(
    elements: Sequence[bytes], weights: Sequence[Optional[bytes]], descending: bool
) -> list[bytes]:
    """Sort by weight, no weight being 0, equal ones by element. NotNumbers if one is no number. O(n log n)."""
    numbers = [0.0 if weight is None else number(weight) for weight in weights]
    pairs = sorted(zip(numbers, elements), reverse=descending)
    return [element for _, element in pairs]


def in_order_of_text(elements: Sequence[bytes], descending: bool, whole: bool) -> list[bytes]:
    """Sort by the elements themselves, byte by byte; up to the first NUL only unless `whole`. O(n log n)."""
    return sorted(elements, key=None if whole else c_text, reverse=descending)


def in_order_of_weights(
    elements: Sequence[bytes],
    weights: Sequence[Optional[bytes]],
    descending: bool,
    whole: bool,
    part: Optional[tuple[int, int]],
) -> list[bytes]:
    """Sort by weights as text, no weight being the least. O(n log n).

    Equal weights leave the elements in their old order, or, if only `part` of them (first and last place) is
    wanted, where Redis's partial sort leaves them; other places then hold anything.
    """
    if not whole:
        weights = [weight if weight is None else c_text(weight) for weight in weights]
    places: dict[Optional[bytes], float] = {None: -1.0}
    for place, weight in enumerate(sorted({weight for weight in weights if weight is not None})):
        places[weight] = float(place)
    keyed = [(places[weight], element) for weight, element in zip(weights, elements)]
    if part is None:
        ordered = sorted(keyed, key=first_of, reverse=descending)
    else:
        ordered = partly_in_order(keyed, part[1] + 1, first_of, descending)
    return [element for _, element in ordered]


def first_of(pair: tuple[float, bytes]) -> float:
    return pair[0]
