"""Glob patterns over bytes, with the grammar of KEYS, SCAN MATCH, PSUBSCRIBE, ACL rules and CONFIG GET.

Owns what a pattern means: `*` any run, `?` one byte, `[abc]`, `[a-z]`, `[^x]`, backslash before a byte
that stands for itself. The grammar has no errors: an unclosed bracket ends with the pattern, a final
backslash is a backslash. Byte order inside a range is that of a signed char, as on the platforms Redis is
built for. Must not know what it matches.

Every piece between two stars has a fixed length, so the leftmost place for each piece in turn is always
right and nothing is ever tried twice: no pattern costs more than O(len(pattern) * len(text)).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Union

    Matcher = Callable[[bytes], bool]
    # One byte of the text: a literal byte's number, or the set of bytes allowed there.
    Element = Union[int, frozenset[int]]

_STAR, _QUESTION, _OPEN, _CLOSE, _BACKSLASH, _CARET, _MINUS = b"*?[]\\^-"
_SPECIAL = b"*?[\\"
_ANY = frozenset(range(256))


def matches_everything(pattern: bytes) -> bool:
    """Say whether the pattern is the one that KEYS and SCAN take for "all": with them it finds the empty key too."""
    return pattern == b"*"


def is_literal(pattern: bytes) -> bool:
    """Say whether the pattern can match one text only, itself."""
    for byte in _SPECIAL:
        if byte in pattern:
            return False
    return True


def glob_match(pattern: bytes, text: bytes, nocase: bool = False) -> bool:
    """Match once; whoever matches many texts keeps the result of `compile_glob`."""
    return compile_glob(pattern, nocase)(text)


def compile_glob(pattern: bytes, nocase: bool = False) -> Matcher:
    """Return a function that says whether a text matches; frequent shapes cost one call of a bytes method."""
    if pattern == b"*":
        return bool  # as in Redis, no star matches a text that was empty from the start
    if not nocase:
        if is_literal(pattern):
            return pattern.__eq__
        if pattern[-1] == _STAR and is_literal(pattern[:-1]):
            prefix = pattern[:-1]
            return lambda text: text.startswith(prefix)
    pieces = _parse(pattern, nocase)
    literals = _as_literals(pieces)
    if literals is None:
        return _compile_with_re(pieces)
    if not nocase:
        return _compile_literals(literals)
    folded = _compile_literals(literals)
    return lambda text: folded(text.lower())


# -------------------------------------------------------------------------------------- the grammar


def _parse(pattern: bytes, nocase: bool) -> list[list[Element]]:
    """The pieces between stars; a pattern with n runs of stars has n + 1 pieces."""
    pieces: list[list[Element]] = [[]]
    position, end = 0, len(pattern)
    while position < end:
        byte = pattern[position]
        if byte == _STAR:
            while position < end and pattern[position] == _STAR:
                position += 1
            pieces.append([])
            continue
        if byte == _QUESTION:
            pieces[-1].append(_ANY)
        elif byte == _OPEN:
            allowed, position = _parse_bracket(pattern, position + 1, nocase)
            pieces[-1].append(allowed)
        else:
            if byte == _BACKSLASH and position + 1 < end:
                position += 1
                byte = pattern[position]
            pieces[-1].append(_lower(byte) if nocase else byte)
        position += 1
    return pieces


def _parse_bracket(pattern: bytes, position: int, nocase: bool) -> tuple[frozenset[int], int]:
    """The bytes allowed and the position of the last byte of the bracket."""
    end = len(pattern)
    negated = position < end and pattern[position] == _CARET
    if negated:
        position += 1
    allowed = set()
    while True:
        if position >= end:
            position = end - 1
            break
        byte = pattern[position]
        if byte == _BACKSLASH and position + 1 < end:
            position += 1
            allowed.add(pattern[position])  # exact even without case: so does Redis
        elif byte == _CLOSE:
            break
        elif position + 2 < end and pattern[position + 1] == _MINUS:
            allowed.update(_range(byte, pattern[position + 2], nocase))
            position += 2
        elif nocase:
            allowed.update(other for other in range(256) if _lower(other) == _lower(byte))
        else:
            allowed.add(byte)
        position += 1
    return frozenset(_ANY - allowed if negated else allowed), position


def _range(first: int, last: int, nocase: bool) -> list[int]:
    low, high = _signed(first), _signed(last)
    if low > high:
        low, high = high, low
    if nocase:
        low, high = _signed(_lower(low & 0xFF)), _signed(_lower(high & 0xFF))
        return [byte for byte in range(256) if low <= _signed(_lower(byte)) <= high]
    return [byte for byte in range(256) if low <= _signed(byte) <= high]


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def _lower(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte


# ----------------------------------------------------------------------------------------- matching


def _as_literals(pieces: list[list[Element]]) -> Union[list[bytes], None]:
    literals = []
    for piece in pieces:
        numbers = [element for element in piece if isinstance(element, int)]
        if len(numbers) != len(piece):
            return None
        literals.append(bytes(numbers))
    return literals


def _compile_literals(literals: list[bytes]) -> Matcher:
    first = literals[0]
    if len(literals) == 1:
        return first.__eq__
    last = literals[-1]
    middle = [piece for piece in literals[1:-1] if piece]
    shortest = sum(map(len, literals)) or 1  # a star alone does not match the empty text, "*" itself aside
    if not middle and not first and last:
        return lambda text: text.endswith(last)
    if not middle:
        return lambda text: len(text) >= shortest and text.startswith(first) and text.endswith(last)
    if not first and not last and len(middle) == 1:
        needle = middle[0]
        return lambda text: needle in text
    start, tail = len(first), len(last)

    def match(text: bytes) -> bool:
        if len(text) < shortest or not text.startswith(first) or not text.endswith(last):
            return False
        position, limit = start, len(text) - tail
        for piece in middle:
            position = text.find(piece, position, limit)
            if position < 0:
                return False
            position += len(piece)
        return True

    return match


def _compile_with_re(pieces: list[list[Element]]) -> Matcher:
    import re  # here, not above: start-up never needs it, and most patterns do not either

    sources = [b"".join(map(_element_source, piece)) for piece in pieces]
    if len(pieces) == 1:
        whole = re.compile(sources[0], re.DOTALL).fullmatch
        return lambda text: whole(text) is not None
    lengths = list(map(len, pieces))
    starts = re.compile(sources[0], re.DOTALL).match
    ends = re.compile(sources[-1], re.DOTALL).match
    tail, shortest = lengths[-1], sum(lengths)
    searches: list[tuple[Any, int]] = []
    for source, length in zip(sources[1:-1], lengths[1:-1]):
        if length:
            searches.append((re.compile(source, re.DOTALL).search, length))

    def match(text: bytes) -> bool:
        limit = len(text) - tail
        if len(text) < shortest or starts(text) is None or ends(text, limit) is None:
            return False
        position = lengths[0]
        for search, length in searches:
            found = search(text, position, limit)
            if found is None:
                return False
            position = found.start() + length
        return True

    return match


def _element_source(element: Element) -> bytes:
    if isinstance(element, int):
        return b"\\x%02x" % element
    if len(element) == 256:
        return b"."
    if not element:
        return b"(?!)"
    return b"[" + b"".join([b"\\x%02x" % byte for byte in sorted(element)]) + b"]"
