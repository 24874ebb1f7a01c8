"""Bringing what was written to the disk itself, as each system wants it.

`sync` for a file and what the system keeps about it, `sync_data` for its content and length alone. On macOS `fsync`
hands data to the drive and no further; F_FULLFSYNC also empties the drive's own cache, and Redis asks for it there.
"""

from __future__ import annotations

import os
import sys

sync = os.fsync
sync_data = getattr(os, "fdatasync", os.fsync)

if sys.platform == "darwin":
    import fcntl

    def sync(descriptor: int) -> None:
        """Raises OSError."""
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:  # a file system that does not know it
            os.fsync(descriptor)

    sync_data = sync
