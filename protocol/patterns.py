"""Packets of different commands that come again and again: programs send few pipelines, each with other arguments.

A *pattern* is what such packets have in common: the names of their commands and how many arguments each has. Where a
packet fits one that is known, its lines need not be walked over: those that are the same are compared at once, and so
are the lengths of all arguments with what their headers say. SET, GET and INCR in turn, 0.46 -> 0.30 us each; four
transactions of SET, INCR and LPUSH, 0.42 -> 0.22. Knows nothing of what a command means.

A large packet may be a few commands many times, as a bulk load is; what follows one another in it is taken column by
column, like a run of one command. 500 transactions of SET and INCR, 1.95 -> 0.8 us each.

Patterns are learned from packets that were split the plain way: one in so many is looked at, and what is met a second
time is worth keeping. Where nothing comes again that costs a hundredth.
"""

from __future__ import annotations

from itertools import chain
from operator import itemgetter

from protocol.encoder import header_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Sequence, Tuple

    Vector = Sequence[bytes]
    Key = Tuple[Tuple[bytes, ...], Tuple[int, ...]]
    Known = Tuple[int, bytes, "Pattern"]

MIN_COMMANDS = 2
MAX_LINES = 768  # of a packet that is remembered, about 100 commands; such a pattern takes 30 KB
MAX_NAME_BYTES = 32  # longer ones are no command's
MAX_PATTERNS = 128
MIN_REPEATED = 8  # times a large packet must begin with the same commands
MAX_ALIKE = 4  # of one number of lines: all of them are tried
MAX_CANDIDATES = 64
SAMPLED = 64  # one of so many unknown packets is looked at: where none comes again, that is all it costs


class Patterned(list):  # type: ignore[type-arg]
    """A list of vectors that came in a known pattern."""

    __slots__ = ("pattern",)

    pattern: Pattern


class Pattern:
    """The `names` of the commands of a packet and their `widths`, how many words each has."""

    __slots__ = (
        "names",
        "widths",
        "lines",
        "probe",
        "_places",
        "_common_of",
        "_common",
        "_headers",
        "_headers_of",
        "_arguments_of",
        "_slices",
    )

    def __init__(self, names: Sequence[bytes], widths: Sequence[int]) -> None:
        self.names = names
        self.widths = widths
        common: List[bytes] = []
        places: List[int] = []
        headers: List[int] = []
        self._slices: List[slice] = []
        start = 0
        for name, width in zip(names, widths):
            stop = start + 2 * width + 1
            common += (b"*%d" % width, b"$%d" % len(name), name)
            places += (start, start + 1, start + 2)
            headers += range(start + 3, stop, 2)
            self._slices.append(slice(start + 2, stop, 2))
            start = stop
        self.lines = start
        self._places = tuple(places)
        self._headers = tuple(headers)
        middle = 3 * (len(names) // 2) + 2
        self.probe = places[middle], common[middle]  # a line that most other packets do not have
        self._common = tuple(common)
        self._common_of = itemgetter(*places)
        self._headers_of = itemgetter(*headers)
        self._arguments_of = itemgetter(*(place + 1 for place in headers))

    def take(self, pieces: List[bytes]) -> Patterned | None:
        """The vectors of lines of which there are as many as here, unless they differ; O(lines)."""
        if self._common_of(pieces) != self._common:
            return None
        if tuple(map(header_of, map(len, self._arguments_of(pieces)))) != self._headers_of(pieces):
            return None
        vectors = Patterned(map(pieces.__getitem__, self._slices))
        vectors.pattern = self
        return vectors


    def take_repeated(self, pieces: List[bytes]) -> Tuple[Patterned, int] | None:
        """The vectors of the packets of this kind that follow one another, and how many lines they take.

        Column by column, as runs of one command are. None if there are few, or a length differs anywhere.
        """
        lines = self.lines
        count = len(pieces) // lines
        for place, line in zip(self._places, self._common):
            column = pieces[place : count * lines : lines]
            if column.count(line) != count:
                count = next(number for number, other in enumerate(column) if other != line)
                if count < MIN_REPEATED:
                    return None
        stop = count * lines
        for place in self._headers:
            if list(map(header_of, map(len, pieces[place + 1 : stop : lines]))) != pieces[place:stop:lines]:
                return None
        columns = []
        for words in self._slices:
            column_of_each = [pieces[place:stop:lines] for place in range(words.start, words.stop, 2)]
            columns.append(zip(*column_of_each))
        vectors = Patterned(chain.from_iterable(zip(*columns)))
        vectors.pattern = self
        return vectors, stop


class Patterns(dict):  # type: ignore[type-arg]
    """Number of lines to the patterns that have as many, each behind a line to try first: its place, what it says."""

    __slots__ = ("count", "unknown", "candidates", "repeated")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.unknown = 0
        self.candidates: Dict[Key, None] = {}  # met once
        self.repeated: Dict[Key, Pattern] = {}  # what large packets have many times

    def take_repeated(self, pieces: List[bytes], key: Key) -> Tuple[Patterned, int] | None:
        """`Pattern.take_repeated` of the pattern of this key."""
        pattern = self.repeated.get(key)
        if pattern is None:
            names, widths = key
            if max(map(len, names)) > MAX_NAME_BYTES or sum(widths) < len(names) + 2:
                return None
            if len(self.repeated) >= MAX_PATTERNS:
                self.repeated.clear()
            pattern = self.repeated[key] = Pattern(names, widths)
        return pattern.take_repeated(pieces)

    def note(self, vectors: Sequence[Vector], lines: int) -> None:
        """Packets of this kind were not known; `vectors` are all that one of them had."""
        self.unknown += 1
        if self.unknown % SAMPLED or lines > MAX_LINES or len(vectors) < MIN_COMMANDS:
            return
        names = tuple([vector[0] for vector in vectors])
        key = names, tuple(map(len, vectors))
        if key not in self.candidates:
            if len(self.candidates) >= MAX_CANDIDATES:
                self.candidates.clear()
            if max(map(len, names)) <= MAX_NAME_BYTES:
                self.candidates[key] = None
            return
        del self.candidates[key]
        if sum(key[1]) < len(names) + 2:
            return  # `itemgetter` of one thing is another one
        if self.count >= MAX_PATTERNS:
            self.clear()
            self.count = 0
        alike: Tuple[Known, ...] = self.get(lines, ())
        pattern = Pattern(*key)
        self[lines] = ((*pattern.probe, pattern), *alike[: MAX_ALIKE - 1])
        self.count += 1
