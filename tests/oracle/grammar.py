"""Command templates, written as the manual writes syntax, turned into random commands.

    SET key value [NX|XX] [GET] [EX seconds|KEEPTTL]

A word that is a category of `Vocabulary` (all lower case) is a random one of those, any other is itself.
`[a|b]` is one of the alternatives or nothing, `(a|b)` one of them, `(x y)*` one to four times, `[x]*` none
to four times. A template with ` ; ` makes several commands that belong together.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from tests.oracle.vocabulary import Vocabulary

Words = list
Maker = Callable[[Vocabulary, Words], None]
TOKEN = re.compile(r"[\[\]()|]\*?|[^\s\[\]()|]+")
REPEATS = (1, 1, 2, 3, 4)


class Template(NamedTuple):
    weight: float
    text: str
    names: tuple[str, ...]
    makers: tuple[Maker, ...]


def template(weight: float, text: str) -> Template:
    pieces = [piece.strip() for piece in text.split(" ; ")]
    return Template(weight, text, tuple(piece.split()[0] for piece in pieces), tuple(map(compile_text, pieces)))


def templates(text: str) -> list[Template]:
    """Read a table with one template per line; a leading number is its weight (default 1)."""
    found = []
    for line in text.strip().splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            first, _, rest = line.partition(" ")
            found.append(template(float(first), rest) if re.fullmatch(r"[\d.]+", first) else template(1, line))
    return found


def compile_text(text: str) -> Maker:
    tokens = TOKEN.findall(text)
    maker, at = _alternatives(tokens, 0)
    if at != len(tokens):
        raise ValueError(f"unbalanced template: {text}")
    return maker


def _alternatives(tokens: list[str], at: int) -> tuple[Maker, int]:
    choices = []
    while True:
        sequence, at = _sequence(tokens, at)
        choices.append(sequence)
        if at < len(tokens) and tokens[at] == "|":
            at += 1
            continue
        break
    if len(choices) == 1:
        return choices[0], at

    def choose(words: Vocabulary, out: Words) -> None:
        words.pick(choices)(words, out)

    return choose, at


def _sequence(tokens: list[str], at: int) -> tuple[Maker, int]:
    makers: list[Maker] = []
    while at < len(tokens) and tokens[at] != "|" and tokens[at][0] not in ")]":
        token = tokens[at]
        if token in "([":
            inner, at = _alternatives(tokens, at + 1)
            makers.append(_bracket(inner, token == "[", tokens[at].endswith("*")))
            at += 1
        else:
            makers.append(_word(token))
            at += 1
    if len(makers) == 1:
        return makers[0], at

    def all_of(words: Vocabulary, out: Words) -> None:
        for maker in makers:
            maker(words, out)

    return all_of, at


def _bracket(inner: Maker, optional: bool, repeated: bool) -> Maker:
    def make(words: Vocabulary, out: Words) -> None:
        if optional and words.chance() < 0.5:
            return
        for _ in range(words.pick(REPEATS) if repeated else 1):
            inner(words, out)

    return make


def _word(token: str) -> Maker:
    repeated = len(token) > 1 and token.endswith("*")
    name = token[:-1] if repeated else token
    if name.islower() and callable(getattr(Vocabulary, name, None)):

        def category(words: Vocabulary, out: Words) -> None:
            for _ in range(words.pick(REPEATS) if repeated else 1):
                made = getattr(words, name)()
                if isinstance(made, list):
                    out.extend(made)
                else:
                    out.append(made)

        return category
    literal = token.encode()

    def itself(_words: Vocabulary, out: Words) -> None:
        out.append(literal)

    return itself
