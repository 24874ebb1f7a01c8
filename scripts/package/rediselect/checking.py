"""`rediselect check FILE [--fix]`: read a snapshot, a log or a whole log by its manifest, and say what is wrong.

Reads with the server's own readers, so what passes here loads. `--fix` cuts a log behind its last complete command, as
redis-check-aof does, but keeps what it cuts in a file beside it; only the last file of a manifest may be cut, since a
cut in the middle would be a data set that never was. A snapshot cannot be mended: it has no place to begin again at.
"""

from __future__ import annotations

import os
import sys

from storage.aof.manifest import BadManifest, Manifest
from storage.aof.records import BadLog, LogReader
from storage.limits import EncodingLimits
from storage.rdb.corrupt import CorruptData
from storage.rdb.reader import Reader, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, List, Optional

PIECE_BYTES = 1 << 20
SNAPSHOT_MAGIC = (b"REDIS", b"VALKE")
CUT_SUFFIX = ".cut-off"
USAGE = "Usage: rediselect check FILE [--fix]\n"
SOUND, DAMAGED, MISUSED = 0, 1, 2


class Counter(Sink):
    """Counts what a snapshot holds."""

    def __init__(self) -> None:
        self.version = 0
        self.keys: dict[str, int] = {}
        self.with_deadline = 0
        self.functions = 0
        self.last_key = b""

    def header(self, version: int) -> None:
        self.version = version

    def function(self, source: bytes) -> None:
        self.functions += 1

    def entry(
        self,
        db: int,
        key: bytes,
        value: Any,
        deadline_ms: Optional[int],
        idle_s: Optional[int],
        freq: Optional[int],
    ) -> None:
        kind = getattr(value, "type_name", b"string").decode()
        self.keys[kind] = self.keys.get(kind, 0) + 1
        self.with_deadline += deadline_ms is not None
        self.last_key = key

    def describe(self) -> str:
        kinds = ", ".join("%d %s" % (count, kind) for kind, count in sorted(self.keys.items()))
        text = "%d keys%s" % (sum(self.keys.values()), " (%s)" % kinds if kinds else "")
        if self.with_deadline:
            text += ", %d with a deadline" % self.with_deadline
        if self.functions:
            text += ", %d function libraries" % self.functions
        return text


def main(arguments: List[str]) -> int:
    """The exit code: 0 sound (or mended), 1 damaged, 2 cannot be read at all."""
    fixes = "--fix" in arguments
    names = [argument for argument in arguments if argument != "--fix"]
    if len(names) != 1 or names[0].startswith("-"):
        sys.stderr.write(USAGE)
        return MISUSED
    try:
        if names[0].endswith(".manifest"):
            return check_manifest(names[0], fixes)
        return check_file(names[0], fixes)
    except OSError as error:
        sys.stderr.write("%s: %s\n" % (names[0], error.strerror or error))
        return MISUSED


def check_manifest(path: str, fixes: bool) -> int:
    """Check every file of a log."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        manifest = Manifest.parse(data)
    except BadManifest as error:
        place = " (line %d)" % error.number if error.number else ""
        return report(path, "%s%s" % (error, place), DAMAGED)
    parts = [*([manifest.base] if manifest.base else []), *manifest.increments]
    report(path, "a manifest of %d files" % len(parts), SOUND)
    code = SOUND
    for at, part in enumerate(parts):
        name = os.path.join(os.path.dirname(path), os.fsdecode(part.name))
        if not os.path.exists(name):
            code = report(name, "is missing", DAMAGED)
            continue
        may_be_cut = at == len(parts) - 1
        code = check_file(name, fixes and may_be_cut) or code
        if code and fixes and not may_be_cut:
            report(name, "is not the last file of the log and is left as it is", DAMAGED)
    return code


def check_file(path: str, fixes: bool) -> int:
    """Check a snapshot, or a log with or without a snapshot at its beginning."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size and path.endswith(".rdb"):
            return report(path, "is empty: a log may be that, a snapshot not", DAMAGED)
        magic = file.read(len(SNAPSHOT_MAGIC[0]))
        file.seek(0)
        rest, start = b"", 0
        if magic in SNAPSHOT_MAGIC:
            counter = Counter()
            reader = Reader(counter, EncodingLimits(), size=size)
            try:
                rest = read_snapshot(file, reader)
            except CorruptData as error:
                report(path, "%s at offset %d of %d" % (error.reason, error.offset, size), DAMAGED)
                last = ", the last is %r" % counter.last_key if counter.last_key else ""
                return report(path, "readable before it: %s%s" % (counter.describe(), last), DAMAGED)
            start = file.tell() - len(rest)
            report(path, "a snapshot of version %d: %s" % (counter.version, counter.describe()), SOUND)
            if start == size:
                return SOUND
        return check_log(path, file, rest, start, size, fixes)


def read_snapshot(file: BinaryIO, reader: Reader) -> bytes:
    """Read to the snapshot's end; returns what was read beyond it. Raises CorruptData."""
    while True:
        piece = file.read(PIECE_BYTES)
        if not piece:
            reader.close()
        if reader.feed(piece):
            return reader.rest()


def check_log(path: str, file: BinaryIO, piece: bytes, start: int, size: int, fixes: bool) -> int:
    """Check the commands from `start` on; `piece` is what of them was read already."""
    reader = LogReader(start, size)
    count = 0
    fault = ""
    try:
        piece = piece or file.read(PIECE_BYTES)
        while piece:
            for _ in reader.feed(piece):
                count += 1
            piece = file.read(PIECE_BYTES)
    except BadLog as error:
        fault = "%s at offset %d of %d" % (error.reason, error.offset, size)
    else:
        if reader.is_truncated():
            fault = "ends in the middle of a command or a transaction that begins at offset %d" % reader.whole
    report(path, "a log of %d commands" % count, SOUND)
    if not fault:
        return SOUND
    report(path, fault, DAMAGED)
    lost = size - reader.whole
    if not fixes:
        return report(path, "--fix would cut off %d bytes at offset %d" % (lost, reader.whole), DAMAGED)
    cut(path, reader.whole)
    return report(path, "cut at offset %d; the %d bytes are in %s" % (reader.whole, lost, path + CUT_SUFFIX), SOUND)


def cut(path: str, whole: int) -> None:
    """Shorten a file; what is cut off is kept, and is on the disk before it is gone from here."""
    with open(path, "r+b") as file:
        file.seek(whole)
        with open(path + CUT_SUFFIX, "wb") as kept:
            while True:
                piece = file.read(PIECE_BYTES)
                if not piece:
                    break
                kept.write(piece)
            kept.flush()
            os.fsync(kept.fileno())
        file.truncate(whole)
        file.flush()
        os.fsync(file.fileno())


def report(path: str, text: str, code: int) -> int:
    print("%s: %s" % (path, text))
    return code
