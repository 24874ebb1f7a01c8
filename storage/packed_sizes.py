"""How many bytes Redis's packed lists take, without making them.

Lists, small containers and the nodes of streams are listpacks in Redis, and sizes decide their encodings and where a
node ends. Must not know the containers; `storage.rdb.listpack` writes the format itself.
"""

from __future__ import annotations

FRAME_BYTES = 7  # the header and the end of a listpack
MAX_INTEGER_CHARS = 20


def packed_size(value: bytes) -> int:
    """The bytes a string takes, with its back length. One that reads as an integer is stored as one."""
    size = len(value)
    if size <= MAX_INTEGER_CHARS and (value.isdigit() or (value[:1] == b"-" and value[1:].isdigit())):
        number = int(value)
        if -(1 << 63) <= number < 1 << 63 and b"%d" % number == value:
            return packed_int_size(number)
    if size < 64:
        return size + 2
    size += 2 if size < 4096 else 5
    if size <= 127:
        return size + 1
    if size < 16383:
        return size + 2
    if size < 2097151:
        return size + 3
    return size + (4 if size < 268435455 else 5)


def packed_int_size(value: int) -> int:
    """The bytes an integer takes, with its back length."""
    if 0 <= value <= 127:
        return 2
    if -4096 <= value <= 4095:
        return 3
    if -32768 <= value <= 32767:
        return 4
    if -8388608 <= value <= 8388607:
        return 5
    if -2147483648 <= value <= 2147483647:
        return 6
    return 10
