"""The manifest: which files make up the log, in which order.

Owns its text and the naming of files. Must not touch files: the caller writes the text durably, and deletes what
`take_history` returned before it writes a manifest that names them no more.

A line is `file NAME seq NUMBER type LETTER`, in any order and letter case; b is the base, i an increment, h a file that
is no longer needed. Invariants: at most one base; sequence numbers of increments grow.
"""

from __future__ import annotations

from storage.numeric import leading_long
from storage.text import UnbalancedQuotes, quoted, split_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE_BYTES = 1024  # with its end, as in Redis
BASE, HISTORY, INCREMENT = b"b", b"h", b"i"
BARE = bytes(byte for byte in range(33, 127) if byte not in b"\"'\\")  # letters of words that need no quotes


class BadManifest(Exception):
    """A manifest that cannot be used; `line` is the text at fault, without its end, or None if no line is."""

    def __init__(self, reason: str, number: int = 0, line: bytes | None = None) -> None:
        Exception.__init__(self, reason)
        self.reason = reason
        self.number = number
        self.line = line


class LogFile:
    """One part of the log."""

    __slots__ = ("name", "sequence", "kind")

    def __init__(self, name: bytes, sequence: int, kind: bytes) -> None:
        self.name = name
        self.sequence = sequence
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LogFile)
            and (self.name, self.sequence, self.kind) == (other.name, other.sequence, other.kind)
        )

    def __repr__(self) -> str:
        return f"LogFile({self.name!r}, {self.sequence}, {self.kind!r})"


class Manifest:
    """The parts in the order of loading: the base, then the increments. Change a copy, then swap it in."""

    __slots__ = ("base", "increments", "history", "base_sequence", "increment_sequence")

    def __init__(self) -> None:
        self.base: LogFile | None = None
        self.increments: list[LogFile] = []
        self.history: list[LogFile] = []
        self.base_sequence = 0
        self.increment_sequence = 0

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Read a manifest's text. Raises BadManifest with Redis's reasons."""
        manifest = cls()
        if not data:
            raise BadManifest("Found an empty AOF manifest")
        start = number = 0
        while start < len(data):
            number += 1
            end = data.find(b"\n", start, start + MAX_LINE_BYTES)
            if end < 0:
                raise BadManifest("The AOF manifest file contains too long line")
            line, start = data[start:end], end + 1
            if line[:1] != b"#":
                line = line.strip(b" \t\r\n")
                reason = manifest._add_line(line)
                if reason is not None:
                    raise BadManifest(reason, number, line)
        return manifest

    def _add_line(self, line: bytes) -> str | None:
        """Take a line in; return why it cannot be."""
        try:
            words = split_arguments(line)
        except UnbalancedQuotes:
            words = []
        if len(words) < 6 or len(words) % 2:
            return "Invalid AOF manifest file format"
        name, sequence, kind = b"", 0, b""
        for keyword, word in zip(words[::2], words[1::2]):
            keyword = keyword.lower()
            if keyword == b"file":
                if b"/" in word or b"\\" in word:
                    return "File can't be a path, just a filename"
                name = word
            elif keyword == b"seq":
                sequence = leading_long(word)
            elif keyword == b"type":
                kind = word[:1]
        if not (name and sequence and kind):
            return "Invalid AOF manifest file format"
        part = LogFile(name, sequence, kind)
        if kind == BASE:
            if self.base is not None:
                return "Found duplicate base file information"
            self.base = part
            self.base_sequence = sequence
        elif kind == HISTORY:
            self.history.append(part)
        elif kind == INCREMENT:
            if sequence <= self.increment_sequence:
                return "Found a non-monotonic sequence number"
            self.increments.append(part)
            self.increment_sequence = sequence
        else:
            return "Unknown AOF file type"
        return None

    def format(self) -> bytes:
        """The text to write."""
        return b"".join(
            b"file %s seq %d type %s\n" % (quote_word(part.name), part.sequence, part.kind)
            for part in [*([self.base] if self.base else []), *self.history, *self.increments]
        )

    def copy(self) -> Manifest:
        """An independent manifest, to be changed and written before it replaces this one."""
        other = Manifest()
        other.base = self.base
        other.increments = self.increments[:]
        other.history = self.history[:]
        other.base_sequence = self.base_sequence
        other.increment_sequence = self.increment_sequence
        return other

    def parts(self) -> Iterator[LogFile]:
        """What is to be loaded, in order."""
        if self.base is not None:
            yield self.base
        yield from self.increments

    def add_increment(self, prefix: bytes) -> LogFile:
        """Open another increment; `prefix` is the configured appendfilename."""
        self.increment_sequence += 1
        part = LogFile(b"%s.%d.incr.aof" % (prefix, self.increment_sequence), self.increment_sequence, INCREMENT)
        self.increments.append(part)
        return part

    def replace_base(self, prefix: bytes, is_snapshot: bool) -> LogFile:
        """Note a finished rewrite: a new base, and the last increment alone stays; the others become history."""
        replaced = self.increments[:-1] + ([self.base] if self.base is not None else [])
        self.history[:0] = [LogFile(part.name, part.sequence, HISTORY) for part in replaced]
        self.increments = self.increments[-1:]
        self.base_sequence += 1
        ending = b"rdb" if is_snapshot else b"aof"
        self.base = LogFile(b"%s.%d.base.%s" % (prefix, self.base_sequence, ending), self.base_sequence, BASE)
        return self.base

    def adopt(self, name: bytes) -> LogFile:
        """Make the single file of a server before 7 the base of a new manifest."""
        self.base_sequence = 1
        self.base = LogFile(name, 1, BASE)
        return self.base

    def take_history(self) -> list[LogFile]:
        """The files to remove, which the manifest then no longer names."""
        history, self.history = self.history, []
        return history


def quote_word(word: bytes) -> bytes:
    """A word as it is, or quoted if it would not be read back otherwise."""
    return word if word and not word.translate(None, BARE) else quoted(word)
