"""Thresholds between the encodings that OBJECT ENCODING names, and what else those names depend on.

Owns no values. The containers here are the same on both sides of a threshold; clients and snapshots are
promised Redis's names. Defaults are those of Redis 7.4's configuration, whose directives have the same names with
dashes.
"""

from __future__ import annotations

from storage.types.byte_strings import Spelled

# Those that are directives.
THRESHOLDS = (
    "hash_max_listpack_entries",
    "hash_max_listpack_value",
    "set_max_intset_entries",
    "set_max_listpack_entries",
    "set_max_listpack_value",
    "zset_max_listpack_entries",
    "zset_max_listpack_value",
    "list_max_listpack_size",
    "stream_node_max_entries",
    "stream_node_max_bytes",
    "hll_sparse_max_bytes",
)


class EncodingLimits:
    """The current thresholds; CONFIG SET assigns its attributes, value types read them at each change."""

    __slots__ = (*THRESHOLDS, "spelled")

    def __init__(self) -> None:
        self.hash_max_listpack_entries = 512
        self.hash_max_listpack_value = 64
        self.set_max_intset_entries = 512
        self.set_max_listpack_entries = 128
        self.set_max_listpack_value = 64
        self.zset_max_listpack_entries = 128
        self.zset_max_listpack_value = 64
        self.list_max_listpack_size = -2  # negative: a size class, -1 is 4 KiB, each further one doubles it
        self.stream_node_max_entries = 100
        self.stream_node_max_bytes = 4096
        self.hll_sparse_max_bytes = 3000
        self.spelled = Spelled()
