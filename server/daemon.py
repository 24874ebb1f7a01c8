"""Becoming a background process on POSIX, before anything is opened."""

from __future__ import annotations

import os
import sys

assert sys.platform != "win32"  # it has no fork


def detach() -> None:
    """Leave the terminal and the session: the caller goes on in the child, the parent exits with 0."""
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)
