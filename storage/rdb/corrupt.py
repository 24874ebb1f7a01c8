"""The one way in which bytes that came from outside fail to decode."""

from __future__ import annotations


class CorruptData(Exception):
    """Bytes that are not what their format promises; `offset` is where in them, or in the file, it was noticed."""

    def __init__(self, reason: str, offset: int) -> None:
        Exception.__init__(self, reason, offset)
        self.reason = reason
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.reason} at offset {self.offset}"
