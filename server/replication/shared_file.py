"""A snapshot in a file without a name, which several replicas read, each at its own pace.

What stands in for the pipe to a child where there is no fork. A named file would be in the way there: nobody can put
another one in the place of one that is open, and a BGSAVE would fail for as long as a replica reads.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class SharedFile:
    """Gone with its last reader. Raises OSError."""

    def __init__(self, directory: bytes) -> None:
        from tempfile import TemporaryFile

        self.file: Any = TemporaryFile(dir=os.fsdecode(directory), buffering=0)
        self.readers = 0

    def close_unread(self) -> None:
        """To be called when it is known who reads."""
        if not self.readers:
            self.file.close()


class Reader:
    """One replica's place in a shared file; used like a file of its own."""

    def __init__(self, shared: SharedFile) -> None:
        self.shared = shared
        self.place = 0
        shared.readers += 1

    def fileno(self) -> int:
        number: int = self.shared.file.fileno()
        return number

    def read(self, count: int) -> bytes:
        file = self.shared.file
        file.seek(self.place)
        data: bytes = file.read(count)
        self.place += len(data)
        return data

    def close(self) -> None:
        self.shared.readers -= 1
        self.shared.close_unread()
