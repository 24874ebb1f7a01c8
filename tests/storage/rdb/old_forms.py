"""Snapshots in the forms of old servers, put together from the description of the format, byte by byte.

Deliberately shares nothing with the code under test but the checksum.
"""

from __future__ import annotations

import struct

from storage.rdb.crc64 import crc64


def length(number: int) -> bytes:
    if number < 64:
        return bytes([number])
    if number < 16384:
        return struct.pack(">H", number | 0x4000)
    return b"\x80" + struct.pack(">I", number)


def text(data: bytes) -> bytes:
    return length(len(data)) + data


def snapshot(*records: bytes, version: int = 9, checksum: int | None = None) -> bytes:
    body = b"REDIS%04d" % version + b"".join(records) + b"\xff"
    if version < 5:
        return body
    return body + struct.pack("<Q", crc64(body) if checksum is None else checksum)


def key(kind: int, name: bytes, value: bytes) -> bytes:
    return bytes([kind]) + text(name) + value


def ziplist_entry(value: bytes | int, previous: int) -> bytes:
    head = bytes([previous]) if previous < 254 else b"\xfe" + struct.pack("<I", previous)
    if isinstance(value, bytes):
        size = len(value)
        if size < 64:
            return head + bytes([size]) + value
        if size < 16384:
            return head + struct.pack(">H", size | 0x4000) + value
        return head + b"\x80" + struct.pack(">I", size) + value
    if 0 <= value <= 12:
        return head + bytes([0xF1 + value])
    if -128 <= value < 128:
        return head + b"\xfe" + struct.pack("<b", value)
    if -32768 <= value < 32768:
        return head + b"\xc0" + struct.pack("<h", value)
    if -(1 << 23) <= value < 1 << 23:
        return head + b"\xf0" + struct.pack("<i", value)[:3]
    if -(1 << 31) <= value < 1 << 31:
        return head + b"\xd0" + struct.pack("<i", value)
    return head + b"\xe0" + struct.pack("<q", value)


def ziplist(values: list[bytes | int]) -> bytes:
    entries = []
    previous = 0
    for value in values:
        entries.append(ziplist_entry(value, previous))
        previous = len(entries[-1])
    body = b"".join(entries)
    tail = 10 + len(body) - (previous if entries else 0)
    return struct.pack("<IIH", 11 + len(body), tail, len(values)) + body + b"\xff"


def zipmap(pairs: list[tuple[bytes, bytes, int]]) -> bytes:
    """Fields, values, and how many unused bytes follow each value."""

    def size(data: bytes) -> bytes:
        return bytes([len(data)]) if len(data) < 254 else b"\xfe" + struct.pack("<I", len(data))

    out = bytes([len(pairs)])
    for field, value, unused in pairs:
        out += size(field) + field + size(value) + bytes([unused]) + value + b"\0" * unused
    return out + b"\xff"


def intset(width: int, numbers: list[int]) -> bytes:
    code = {2: "h", 4: "i", 8: "q"}[width]
    return struct.pack(f"<II{len(numbers)}{code}", width, len(numbers), *numbers)
