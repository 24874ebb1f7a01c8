"""The stream type: an entry log, what is remembered of its past, and its consumer groups.

Owns the counters that clients see and the rules that join them: which ID comes next, how far a group has
read, how many entries it lags behind. Must not know commands, clients or time: the caller brings the
milliseconds.

Invariants (`_check`): `last_id` is at or above every entry and never falls but by XSETID; `entries_added` is
at least the length; a stream may be empty and stay.
"""

from __future__ import annotations

from storage.types.consumer_group import UNKNOWN, ConsumerGroup
from storage.types.stream_id import MAX_HALF, MAX_ID, format_id
from storage.types.stream_log import StreamLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from storage.limits import EncodingLimits
    from storage.types.stream_node import Body


class Stream:
    """A log of entries with ascending IDs, and the groups that read it."""

    __slots__ = ("log", "last_id", "max_deleted_id", "entries_added", "groups")

    type_name = b"stream"

    def __init__(self) -> None:
        self.log = StreamLog()
        self.last_id = 0  # the highest ID ever added
        self.max_deleted_id = 0  # the highest ID ever deleted (trimming does not count)
        self.entries_added = 0  # ever
        self.groups: dict[bytes, ConsumerGroup] = {}

    def __len__(self) -> int:
        return self.log.length

    def __bool__(self) -> bool:
        return True  # an empty stream is a value like any other: it stays, with its counters and groups

    def encoding_name(self, limits: EncodingLimits) -> bytes:
        return b"stream"

    def next_id(self, now_ms: int) -> int | None:
        """Return the ID an entry added now gets, None when there is none left."""
        if now_ms > self.last_id >> 64:
            return now_ms << 64
        return self.last_id + 1 if self.last_id < MAX_ID else None

    def next_id_within(self, milliseconds: int) -> int | None:
        """Return the ID an entry added with these milliseconds gets, None when it would not be the top."""
        if milliseconds == self.last_id >> 64:
            return self.last_id + 1 if self.last_id & MAX_HALF < MAX_HALF else None
        return milliseconds << 64 if milliseconds > self.last_id >> 64 else None

    def add(self, entry_id: int, body: Body, limits: EncodingLimits) -> bytes:
        """Append an entry whose ID is above `last_id`, return its text; `body` alternates fields, values."""
        text = format_id(entry_id)
        self.log.append(entry_id, text, body, limits.stream_node_max_entries, limits.stream_node_max_bytes)
        self.last_id = entry_id
        self.entries_added += 1
        return text

    def delete(self, entry_id: int) -> bool:
        """Delete an entry, False if it is not there."""
        if not self.log.delete(entry_id):
            return False
        if entry_id > self.max_deleted_id:
            self.max_deleted_id = entry_id
        return True

    def distance_from_first(self, entry_id: int) -> int:
        """Return how many entries were ever added up to an ID, `UNKNOWN` where deletions leave that open."""
        if not self.entries_added:
            return 0
        length = self.log.length
        if not length and entry_id <= self.last_id:
            return self.entries_added
        if entry_id == self.last_id:
            return self.entries_added
        if entry_id > self.last_id:
            return UNKNOWN
        first_id = self.log.first_id()
        if not self.max_deleted_id or self.max_deleted_id < first_id:
            if entry_id < first_id:
                return self.entries_added - length
            if entry_id == first_id:
                return self.entries_added - length + 1
        return UNKNOWN

    def has_gap_from(self, entry_id: int) -> bool:
        """Tell whether an entry at or above an ID may have been deleted."""
        deleted_id = self.max_deleted_id
        return entry_id <= deleted_id and deleted_id > 0 and self.log.length > 0 and self.log.first_id() <= deleted_id

    def lag(self, group: ConsumerGroup) -> int | None:
        """Return how many entries a group has yet to read, None where that is unknown."""
        if not self.entries_added:
            return 0
        if group.entries_read != UNKNOWN and not self.has_gap_from(group.last_id):
            return self.entries_added - group.entries_read
        read = self.distance_from_first(group.last_id)
        return None if read == UNKNOWN else self.entries_added - read

    def advance(self, group: ConsumerGroup, ids: list[int]) -> bool:
        """Move a group's position over entries it is given now; False if it was there already.

        Each entry is judged for itself, where the counter's rules may differ from one to the next.
        """
        if not ids or ids[-1] <= group.last_id:
            return False
        for index, entry_id in enumerate(ids):
            if entry_id <= group.last_id:
                continue
            if group.entries_read != UNKNOWN and not self.has_gap_from(entry_id):
                # No gap from here on: the rest counts one each.
                group.entries_read += len(ids) - index
                break
            if self.entries_added:
                group.entries_read = self.distance_from_first(entry_id)
            group.last_id = entry_id
        group.last_id = ids[-1]
        return True

    def copy(self) -> Stream:
        """Return an independent stream with its groups."""
        other = Stream()
        other.log = self.log.copy()
        other.last_id = self.last_id
        other.max_deleted_id = self.max_deleted_id
        other.entries_added = self.entries_added
        other.groups = {name: group.copy() for name, group in self.groups.items()}
        return other

    def parts(self) -> list[Any]:
        """What a piecewise release has to empty, last one first."""
        return [*self.log.parts(), *[part for group in self.groups.values() for part in group.parts()]]

    def _check(self) -> None:
        """Assert the invariants of this module and of its parts. O(entries + pending entries)."""
        self.log._check()
        assert self.log.last_live_id() <= self.last_id
        for group in self.groups.values():
            group._check()
