"""Directives with a grammar of their own: save points, buffer limits, addresses, keyspace events, ...

Owns those grammars, the value each becomes (see the class), and Redis's texts for what it refuses. Must
not know the file format, nor who uses a value.
"""

from __future__ import annotations

import os

from server.config.kinds import (
    MULTIPLE,
    Choices,
    Directive,
    Refused,
    Text,
    parse_memory,
    written_memory,
)
from storage.numeric import format_float, parse_float
from storage.text import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Optional

    from server.config.kinds import Lines

MAX_BIND_ADDRESSES = 16  # as in Redis


def _whole_number(word: bytes) -> int:
    """A decimal number as C's strtoll reads it to the end of the word; raises ValueError."""
    digits = word.lstrip(b" \t\n\v\f\r")
    if b"_" in digits or digits != digits.strip():
        raise ValueError(word)
    return int(digits or b"0")


class SavePoints(Directive):
    """`save`: a tuple of (seconds, changes)."""

    __slots__ = ()

    def parse(self, words: Sequence[bytes], current: Any) -> Any:
        if list(words) == [b""]:
            words = []
        try:
            numbers = [_whole_number(word) for word in words]
        except ValueError:
            raise Refused("Invalid save parameters") from None
        points = tuple(zip(numbers[::2], numbers[1::2]))
        if len(numbers) % 2 or any(seconds < 1 or changes < 0 for seconds, changes in points):
            raise Refused("Invalid save parameters")
        return points

    def show(self, value: Any) -> bytes:
        return b" ".join([b"%d %d" % point for point in value])

    def lines(self, value: Any) -> Lines:
        if not value:
            return [(b'save ""', True)]
        return [(b"save %d %d" % point, True) for point in value]


# Classes of clients that have limits of their own, in the order in which they are shown.
_LIMITED = (b"normal", b"replica", b"pubsub")


class OutputBufferLimits(Directive):
    """`client-output-buffer-limit`: a dict of class -> (hard bytes, soft bytes, soft seconds).

    The classes are b"normal", b"replica", b"pubsub", and b"master", whose limits are always 0, which means
    none. The dict is never changed in place.
    """

    __slots__ = ()

    def parse(self, words: Sequence[bytes], current: Any) -> Any:
        if list(words) == [b""]:
            words = []
        if len(words) % 4:
            raise Refused("Wrong number of arguments in buffer limit configuration.")
        limits = dict(current)
        for at in range(0, len(words), 4):
            name = words[at].lower()
            if name == b"slave":
                name = b"replica"
            if name not in _LIMITED:
                raise Refused("Invalid client class specified in buffer limit configuration.")
            try:
                hard, soft = parse_memory(words[at + 1]), parse_memory(words[at + 2])
                seconds = _whole_number(words[at + 3])
            except ValueError:
                seconds = -1
            if seconds < 0:
                raise Refused("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
            limits[name] = (hard, soft, seconds)
        return limits

    def show(self, value: Any) -> bytes:
        shown = []
        for name in _LIMITED:
            old_name = b"slave" if name == b"replica" else name  # what clients of Redis look for to this day
            shown.append(b"%s %d %d %d" % ((old_name,) + value[name]))
        return b" ".join(shown)

    def lines(self, value: Any) -> Lines:
        written = []
        for name in _LIMITED:
            hard, soft, seconds = value[name]
            limits = (name, written_memory(hard), written_memory(soft), seconds)
            line = b"client-output-buffer-limit %s %s %s %d" % limits
            written.append((line, value[name] != self.default[name]))
        return written


class OomScores(Directive):
    """`oom-score-adj-values`: three ints, for a master, a replica and a child."""

    __slots__ = ()

    def parse(self, words: Sequence[bytes], current: Any) -> Any:
        if len(words) != 3:
            raise Refused("wrong number of arguments")
        try:
            values = tuple([_whole_number(word) for word in words])
        except ValueError:
            values = (2001,)
        if min(values) < -2000 or max(values) > 2000:
            raise Refused("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
        return values

    def show(self, value: Any) -> bytes:
        return b"%d %d %d" % value


class Percentiles(Directive):
    """`latency-tracking-info-percentiles`: a tuple of floats."""

    __slots__ = ()

    def parse(self, words: Sequence[bytes], current: Any) -> Any:
        if list(words) == [b""]:
            words = []
        try:
            values = tuple([parse_float(word) for word in words])
        except ValueError:
            raise Refused("Invalid latency-tracking-info-percentiles parameters") from None
        if any(not 0.0 <= value <= 100.0 for value in values):
            raise Refused("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
        return values

    def show(self, value: Any) -> bytes:
        return b" ".join([format_float(number) for number in value])

    def lines(self, value: Any) -> Lines:
        return [(b"latency-tracking-info-percentiles " + (self.show(value) or b'""'), True)]


class BindAddresses(Directive):
    """`bind`: a tuple of addresses as given; a leading "-" means that it may be missing on this machine."""

    __slots__ = ()

    ends_at_nul = True

    def parse(self, words: Sequence[bytes], current: Any) -> Any:
        if list(words) == [b""]:
            words = []
        if len(words) > MAX_BIND_ADDRESSES:
            raise Refused("Too many bind addresses specified.")
        return tuple([word.decode("utf-8", "surrogateescape") for word in words])

    def show(self, value: Any) -> bytes:
        return " ".join(value).encode("utf-8", "surrogateescape")

    def lines(self, value: Any) -> Lines:
        if value == self.default:
            return []
        return [(b"bind " + (self.show(value) or b'""'), True)]


class MasterAddress(Directive):
    """`replicaof`: (host, port), or None for a master."""

    __slots__ = ()

    def parse(self, words: Sequence[bytes], current: Any) -> Any:
        if len(words) != 2:
            raise Refused("wrong number of arguments")
        host, port = words
        if host.lower() == b"no" and port.lower() == b"one":
            return None
        try:
            number = _whole_number(port)
        except ValueError:
            number = -1
        if not 0 <= number <= 65535:
            raise Refused("Invalid master port")
        return host.decode("utf-8", "surrogateescape"), number

    def show(self, value: Any) -> bytes:
        return "{} {}".format(*value).encode("utf-8", "surrogateescape") if value else b""

    def lines(self, value: Any) -> Lines:
        return [(b"replicaof " + self.show(value), True)] if value else []


# Bits of notify-keyspace-events, numbered as in Redis.
NOTIFY_KEYSPACE = 1 << 0
NOTIFY_KEYEVENT = 1 << 1
NOTIFY_MISS = 1 << 11
NOTIFY_NEW = 1 << 14
_CLASSES_OF_ALL = (
    (ord("g"), 1 << 2),
    (ord("$"), 1 << 3),
    (ord("l"), 1 << 4),
    (ord("s"), 1 << 5),
    (ord("h"), 1 << 6),
    (ord("z"), 1 << 7),
    (ord("x"), 1 << 8),
    (ord("e"), 1 << 9),
    (ord("t"), 1 << 10),
    (ord("d"), 1 << 13),
)
NOTIFY_ALL = sum([bit for _, bit in _CLASSES_OF_ALL])
_OTHERS = (
    (ord("K"), NOTIFY_KEYSPACE),
    (ord("E"), NOTIFY_KEYEVENT),
    (ord("m"), NOTIFY_MISS),
)


_BIT_OF_CLASS = {chr(letter): bit for letter, bit in _CLASSES_OF_ALL}
_BIT_OF_CLASS.update({"n": NOTIFY_NEW, "m": NOTIFY_MISS, "": 0})


def class_bit(letter: str) -> int:
    """The bit of a class letter; no letter belongs to an event that nobody can ask for."""
    return _BIT_OF_CLASS[letter]


class EventClasses(Directive):
    """`notify-keyspace-events`: an int of NOTIFY_* bits."""

    __slots__ = ()

    ends_at_nul = True

    def parse(self, words: Sequence[bytes], current: Any) -> int:
        bits = {ord("A"): NOTIFY_ALL, ord("n"): NOTIFY_NEW}
        bits.update(_CLASSES_OF_ALL)
        bits.update(_OTHERS)
        value = 0
        for byte in words[0]:
            if byte not in bits:
                raise Refused("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
            value |= bits[byte]
        return value

    def show(self, value: int) -> bytes:
        shown = bytearray()
        if value & NOTIFY_ALL == NOTIFY_ALL:
            shown += b"A"  # and, as in Redis, nothing of n
        else:
            shown += bytes([letter for letter, bit in _CLASSES_OF_ALL if value & bit])
            if value & NOTIFY_NEW:
                shown += b"n"
        shown += bytes([letter for letter, bit in _OTHERS if value & bit])
        return bytes(shown)

    def lines(self, value: int) -> Lines:
        return [(b"notify-keyspace-events " + quoted(self.show(value)), value != 0)]


class WorkingDirectory(Directive):
    """`dir`: the process's directory, changed as soon as it is named: later paths are meant from there."""

    __slots__ = ()

    def parse(self, words: Sequence[bytes], current: Any) -> bytes:
        return words[0]

    def assign(self, value: bytes) -> bytes:
        try:
            os.chdir(value)
        except OSError as error:
            raise Refused(os.strerror(error.errno or 0)) from None
        except ValueError:
            raise Refused("No such file or directory") from None
        return self.show(value)

    def show(self, value: bytes) -> bytes:
        try:
            return os.getcwdb()
        except OSError:
            return b""

    def lines(self, value: bytes) -> Lines:
        return [(b"dir " + quoted(self.show(value)), True)]


class Collation(Text):
    """`locale-collate`: how SORT ALPHA compares."""

    __slots__ = ()

    def assign(self, value: bytes) -> bytes:
        import _locale  # the C half alone: start-up needs nothing of the rest

        try:
            _locale.setlocale(_locale.LC_COLLATE, value.decode("latin-1"))
        except (_locale.Error, ValueError):  # type: ignore[attr-defined]
            raise Refused("Invalid locale name") from None
        return value


class ShutdownOptions(Choices):
    """`shutdown-on-sigint`, `shutdown-on-sigterm`: the words of SHUTDOWN; none is its default behaviour."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        words = ("default", "save", "nosave", "now", "force")
        Choices.__init__(self, name, (), words, MULTIPLE, check=_contradiction)  # type: ignore[arg-type]


def _contradiction(value: tuple[str, ...]) -> Optional[str]:
    if "save" in value and "nosave" in value:
        return "shutdown options SAVE and NOSAVE can't be used simultaneously"
    return None
