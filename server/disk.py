"""Bringing what was written to the disk itself, as each system wants it, and putting whole files in place of others.

Owns the steps of `replace_file`: written beside, synced, renamed, the directory synced, so that at every moment one
whole file has the name. Must not know what is in a file nor what is said when a step fails.

`sync` for a file and what the system keeps about it, `sync_data` for its content and length alone. On macOS `fsync`
hands data to the drive and no further; F_FULLFSYNC also empties the drive's own cache, and Redis asks for it there.
"""

from __future__ import annotations

import os
import sys
from errno import EBADF, EINVAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, Optional, Union

    Path = Union[bytes, str]

NO_SYNC_HERE = (EBADF, EINVAL)  # what some file systems answer for every directory: that is no failure

# What may fail when a file takes another one's place.
OPEN = "open"
WRITE = "write"
SYNC = "fsync"
RENAME = "rename"
SYNC_DIRECTORY = "fsync of the directory"

if sys.platform == "darwin":
    import fcntl

    def sync(descriptor: int) -> None:
        """Raises OSError."""
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:  # a file system that does not know it
            os.fsync(descriptor)

    sync_data = sync

else:
    sync = os.fsync
    sync_data = getattr(os, "fdatasync", os.fsync)


class ReplaceFailure(OSError):
    """What became of `replace_file`: the system's error, and the `step` that met it."""

    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.step = step


def replace_file(
    target: Path, beside: Path, fill: Callable[[BinaryIO], Any], permissions: Optional[int] = None
) -> None:
    """Put a file whose content `fill` writes in the target's place, durably; what stands there stays until then.

    The file is unbuffered. Without `permissions` it gets what the umask leaves. Raises ReplaceFailure.
    """

    def create(name: Any, flags: int) -> int:
        return os.open(name, flags, 0o666 if permissions is None else permissions)

    step = OPEN
    try:
        with open(beside, "wb", buffering=0, opener=create) as file:
            step = WRITE
            if permissions is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), permissions)  # whatever the umask says
            fill(file)
            step = SYNC
            sync(file.fileno())
        step = RENAME
        os.replace(beside, target)
    except OSError as error:
        remove(beside)
        raise ReplaceFailure(step, error) from None
    try:
        sync_directory(os.path.dirname(target))
    except OSError as error:
        raise ReplaceFailure(SYNC_DIRECTORY, error) from None


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write to an unbuffered file, which may take less than it is given. Raises OSError."""
    sent = file.write(data)
    if sent != len(data):
        view = memoryview(data)[sent:]
        while view:
            view = view[file.write(view) :]


def remove(path: Path) -> None:
    """Delete a file, if it is there and may be deleted."""
    try:
        os.unlink(path)
    except OSError:
        pass


def sync_directory(path: Path) -> None:
    """Make names durable, where a directory can be opened and its file system can do that. Raises OSError."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path or b".", os.O_RDONLY)
    try:
        sync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC_HERE:
            raise
    finally:
        os.close(descriptor)
