"""Kinds of directive: how words become a value, how CONFIG GET shows it, how CONFIG REWRITE writes it.

Owns grammar, ranges and the texts of refusals, which are Redis's. Values are plain Python so that the hot
path reads attributes and nothing else: a switch is a bool, every number an int (memory in bytes), a
choice a str, text is bytes (empty: not set). Must not know any particular directive, the file format, nor
who uses a value.
"""

from __future__ import annotations

from storage.numeric import parse_int
from storage.text import c_text, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Callable, Optional

    # A line for the file, and whether it is written although the file has no such line.
    Lines = list[tuple[bytes, bool]]
    # Says why a value is refused, or None.
    Check = Callable[[Any], Optional[str]]

# Flags of a directive.
IMMUTABLE = 1  # set at start only
PROTECTED = 2  # CONFIG SET only when enable-protected-configs allows it
HIDDEN = 4  # CONFIG GET names it only when asked by name
MULTIPLE = 8  # takes any number of words
SENSITIVE = 16  # a secret: never in the slow log or a monitor's feed
DENY_LOADING = 32  # CONFIG SET is refused while data is loaded

INT_MAX = 2**31 - 1
INT_MIN = -(2**31)
UINT_MAX = 2**32 - 1
LONG_MAX = 2**63 - 1
ULONG_MAX = 2**64 - 1

_UNITS = {
    b"": 1,
    b"b": 1,
    b"k": 1000,
    b"kb": 1024,
    b"m": 1000**2,
    b"mb": 1024**2,
    b"g": 1000**3,
    b"gb": 1024**3,
}
_WRITTEN_UNITS = ((1024**3, b"gb"), (1024**2, b"mb"), (1024, b"kb"))


class Refused(Exception):
    """A value that cannot be; `reason` is the text that the client or the start-up error shows."""

    def __init__(self, reason: str) -> None:
        Exception.__init__(self, reason)
        self.reason = reason


def parse_memory(text: bytes) -> int:
    """Bytes from a number with an optional unit; no digits are 0, too many saturate. Raises ValueError."""
    text = c_text(text)
    digits = len(text) - len(text.lstrip(b"0123456789"))
    unit = _UNITS.get(text[digits:].lower())
    if unit is None:
        raise ValueError(text)
    return min(int(text[:digits] or b"0"), ULONG_MAX) * unit & ULONG_MAX


def written_memory(value: int) -> bytes:
    """A number of bytes with the largest unit that leaves no remainder, as CONFIG REWRITE writes it."""
    if value:
        for size, unit in _WRITTEN_UNITS:
            if value % size == 0:
                return b"%d%s" % (value // size, unit)
    return b"%d" % value


class Directive:
    """One option: its names, flags, default, and the grammar of its value."""

    __slots__ = ("name", "attribute", "old_name", "flags", "default", "check")

    ends_at_nul = False  # it is text of C in Redis, which ends at its first NUL

    def __init__(
        self, name: str, default: Any, flags: int = 0, old_name: str = "", check: Optional[Check] = None
    ) -> None:
        self.name = name
        self.attribute = name.replace("-", "_")
        self.old_name = old_name
        self.flags = flags
        self.default = default
        self.check = check

    def parse(self, words: Sequence[bytes], current: Any) -> Any:
        """The value of these words; `current` is what those keep who change a part. Raises Refused."""
        raise NotImplementedError

    def accept(self, words: Sequence[bytes], current: Any) -> Any:
        """Parse, then ask the directive's own check."""
        if self.ends_at_nul:
            words = [c_text(word) for word in words]
        value = self.parse(words, current)
        if self.check is not None:
            reason = self.check(value)
            if reason is not None:
                raise Refused(reason)
        return value

    def assign(self, value: Any) -> Any:
        """Make the value true of the process, for those few that live outside the configuration.

        Returns the value to keep. Raises Refused.
        """
        return value

    def show(self, value: Any) -> bytes:
        """The value as CONFIG GET answers it."""
        raise NotImplementedError

    def lines(self, value: Any) -> Lines:
        """The lines that stand for the value in the file."""
        return [(self.name.encode() + b" " + self.show(value), value != self.default)]


class YesNo(Directive):
    """A switch."""

    __slots__ = ()

    ends_at_nul = True

    def parse(self, words: Sequence[bytes], current: Any) -> bool:
        word = words[0].lower()
        if word == b"yes":
            return True
        if word == b"no":
            return False
        raise Refused("argument must be 'yes' or 'no'")

    def show(self, value: bool) -> bytes:
        return b"yes" if value else b"no"


class Integer(Directive):
    """A number within a range. `settle` moves an accepted value to what the server will really use."""

    __slots__ = ("low", "high", "settle")

    def __init__(
        self,
        name: str,
        default: int,
        low: int,
        high: int,
        flags: int = 0,
        old_name: str = "",
        check: Optional[Check] = None,
        settle: Optional[Callable[[int], int]] = None,
    ) -> None:
        Directive.__init__(self, name, default, flags, old_name, check)
        self.low = low
        self.high = high
        self.settle = settle

    def parse(self, words: Sequence[bytes], current: Any) -> int:
        value = self.number(words[0])
        if not self.low <= value <= self.high:
            low, high = self.bound(self.low), self.bound(self.high)
            raise Refused(f"argument must be between {low} and {high} inclusive")
        return value if self.settle is None else self.settle(value)

    def number(self, word: bytes) -> int:
        """The number a word spells; raises Refused."""
        try:
            return parse_int(word)
        except ValueError:
            raise Refused("argument couldn't be parsed into an integer") from None

    def bound(self, value: int) -> str:
        """A limit as the refusal spells it."""
        return str(value)

    def show(self, value: int) -> bytes:
        return b"%d" % value


class Octal(Integer):
    """A number in octal: the mode of a file."""

    __slots__ = ()

    def number(self, word: bytes) -> int:
        if word.strip(b"01234567"):
            raise Refused("argument couldn't be parsed as an octal number")
        return int(word or b"0", 8)

    def bound(self, value: int) -> str:
        return f"{value:o}"

    def show(self, value: int) -> bytes:
        return b"%o" % value


class Memory(Integer):
    """A number of bytes, with units."""

    __slots__ = ()

    def number(self, word: bytes) -> int:
        try:
            return parse_memory(word)
        except ValueError:
            raise Refused("argument must be a memory value") from None

    def lines(self, value: int) -> Lines:
        return [(self.name.encode() + b" " + written_memory(value), value != self.default)]


class MemoryOrPercent(Memory):
    """A number of bytes, or a share of `maxmemory`, kept as a negative number of percent."""

    __slots__ = ()

    def parse(self, words: Sequence[bytes], current: Any) -> int:
        word = words[0]
        if word.endswith(b"%"):
            try:
                percent = parse_int(word[:-1])
            except ValueError:
                percent = -1
            if percent < 0:
                raise Refused("argument must be a memory or percent value")
        else:
            try:
                value = parse_memory(word)
            except ValueError:
                raise Refused("argument must be a memory or percent value") from None
            if value <= self.high:
                return value
            percent = LONG_MAX  # beyond a signed number, Redis takes it for an impossible share
        if percent > 100:
            raise Refused("percentage argument must be less or equal to 100")
        return -percent

    def show(self, value: int) -> bytes:
        return b"%d%%" % -value if value < 0 else b"%d" % value

    def lines(self, value: int) -> Lines:
        written = self.show(value) if value < 0 else written_memory(value)
        return [(self.name.encode() + b" " + written, value != self.default)]


class Choice(Directive):
    """One word of a list; `same` names words that mean another of them."""

    __slots__ = ("words", "same")

    ends_at_nul = True

    def __init__(
        self,
        name: str,
        default: str,
        words: tuple[str, ...],
        flags: int = 0,
        old_name: str = "",
        check: Optional[Check] = None,
        same: tuple[tuple[str, str], ...] = (),
    ) -> None:
        Directive.__init__(self, name, default, flags, old_name, check)
        self.words = words
        self.same = same

    def parse(self, words: Sequence[bytes], current: Any) -> str:
        if len(words) == 1:
            return self.word(words[0])
        raise Refused(self.refusal())

    def word(self, given: bytes) -> str:
        """The word meant; raises Refused."""
        word = given.decode("latin-1").lower()
        for other, meant in self.same:
            if word == other:
                return meant
        if word not in self.words:
            raise Refused(self.refusal())
        return word

    def refusal(self) -> str:
        """The text that lists what is possible, in the order of the declaration."""
        return "argument(s) must be one of the following: " + ", ".join(self.words)

    def show(self, value: Any) -> bytes:
        return str(value).encode()


class Choices(Choice):
    """Several words of a list, kept as a tuple in the list's order; the first means none of the others."""

    __slots__ = ()

    def parse(self, words: Sequence[bytes], current: Any) -> Any:
        if not words:
            raise Refused(self.refusal())
        chosen = [self.word(word) for word in words]
        return tuple([word for word in self.words[1:] if word in chosen])

    def show(self, value: Any) -> bytes:
        return " ".join(value).encode() or self.words[0].encode()


class Text(Directive):
    """Text. Empty text means that the option is not set; `keeps_empty` are those where it is a value."""

    __slots__ = ("keeps_empty",)

    ends_at_nul = True

    def __init__(
        self,
        name: str,
        default: bytes = b"",
        flags: int = 0,
        old_name: str = "",
        check: Optional[Check] = None,
        keeps_empty: bool = False,
    ) -> None:
        Directive.__init__(self, name, default, flags, old_name, check)
        self.keeps_empty = keeps_empty

    def parse(self, words: Sequence[bytes], current: Any) -> bytes:
        return words[0]

    def show(self, value: bytes) -> bytes:
        return value

    def lines(self, value: bytes) -> Lines:
        if not value and not self.keeps_empty:
            return []
        return [(self.name.encode() + b" " + quoted(value), value != self.default)]


class WholeText(Text):
    """Text that may hold any byte: a password."""

    __slots__ = ()

    ends_at_nul = False
