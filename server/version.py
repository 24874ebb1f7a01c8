"""Which Redis this server is compatible with, and its own version."""

from __future__ import annotations

REDIS_VERSION = "7.4.1"  # what clients and launchers compare
VERSION = "0.1.0"
ALLOCATOR = "python"  # never "jemalloc": tools would ask for what only that can do
MONOTONIC_CLOCK = "POSIX clock_gettime"  # as Redis calls it
