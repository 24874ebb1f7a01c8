"""The numbers of the snapshot format: record types, opcodes, length and string encodings.

Facts of Redis's format up to version 12 (7.4); owns no code that reads or writes.
"""

from __future__ import annotations

MAGIC = b"REDIS"
VALKEY_MAGIC = b"VALKEY"  # and three digits; its types are Redis's up to 21, and one of its own
HEADER_BYTES = 9  # the magic and four digits of the version
NEWEST_VERSION = 12
VALKEY_VERSION = 80  # Valkey 9; it left 12 to 79 to Redis
DEFAULT_VERSION = 10  # 7.0; 11 (7.2) adds packed sets and the third stream form, 12 (7.4) field deadlines
SET_PACKED_SINCE = 11
FIELD_DEADLINES_SINCE = 12
CHECKSUM_SINCE = 5

# Opcodes between keys.
SLOT_INFO = 244
FUNCTION = 245
FUNCTION_PRE_RELEASE = 246
MODULE_AUX = 247
IDLE = 248
FREQ = 249
AUX = 250
RESIZE_DB = 251
EXPIRE_MS = 252
EXPIRE_S = 253
SELECT_DB = 254
EOF = 255

# Types of values.
STRING = 0
LIST = 1
SET = 2
ZSET = 3  # scores as text
HASH = 4
ZSET_2 = 5  # scores as 8 bytes
MODULE_PRE_RELEASE = 6
MODULE = 7
HASH_ZIPMAP = 9
LIST_ZIPLIST = 10
SET_INTSET = 11
ZSET_ZIPLIST = 12
HASH_ZIPLIST = 13
LIST_QUICKLIST = 14
STREAM = 15
HASH_LISTPACK = 16
ZSET_LISTPACK = 17
LIST_QUICKLIST_2 = 18
STREAM_2 = 19
SET_LISTPACK = 20
STREAM_3 = 21
HASH_DEADLINES_PRE_RELEASE = 22
HASH_LISTPACK_DEADLINES_PRE_RELEASE = 23
HASH_DEADLINES = 24
HASH_LISTPACK_DEADLINES = 25
NEWEST_TYPE = 25
VALKEY_HASH_DEADLINES = 22  # in a file or payload of Valkey's version

# Lengths: below 0x40 the byte itself, below 0x80 14 bits, then these, then encoded strings.
LENGTH_32 = 0x80
LENGTH_64 = 0x81
ENCODED = 0xC0
ENCODED_INT8 = 0xC0
ENCODED_INT16 = 0xC1
ENCODED_INT32 = 0xC2
ENCODED_LZF = 0xC3

# Nodes of a quicklist.
NODE_PLAIN = 1
NODE_PACKED = 2

# Values inside a module's auxiliary data.
MODULE_EOF = 0
MODULE_SIGNED = 1
MODULE_UNSIGNED = 2
MODULE_FLOAT = 3
MODULE_DOUBLE = 4
MODULE_STRING = 5

# Old scores: a length, or these instead of one.
SCORE_NAN = 253
SCORE_INFINITE = 254
SCORE_MINUS_INFINITE = 255
