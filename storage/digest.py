"""DEBUG DIGEST: one hash of a whole data set, equal on two servers that hold the same.

Computed as a real server does, so that two servers are compared in one call. What has an order (list elements, stream
entries) is mixed: the SHA-1 of the text is xored into the digest, and the digest becomes the SHA-1 of itself. What
has none (set members, fields, keys) is xored in only. Dictionaries walked in any order thus give one digest. Absolute
deadlines are no part of it, that there is one is.
"""

from __future__ import annotations

from hashlib import sha1

from storage.numeric import format_digits
from storage.types.hash import Hash
from storage.types.list import List
from storage.types.set import Set
from storage.types.sorted_set import SortedSet
from storage.types.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

    from storage.database import Database

DIGEST_BYTES = 20
TYPE_NUMBERS: dict[type, int] = {bytes: 0, bytearray: 0, List: 1, Set: 2, SortedSet: 3, Hash: 4, Stream: 6}
HAS_DEADLINE = b"!!expire!!"
HAS_FIELD_DEADLINE = b"!!hexpire!!"


def absorb(digest: int, text: bytes | bytearray) -> int:
    """Xor the hash of a text into the digest: order does not matter."""
    return digest ^ int.from_bytes(sha1(text).digest(), "big")


def mix(digest: int, text: bytes | bytearray) -> int:
    """Absorb a text so that order matters."""
    return int.from_bytes(sha1(_bytes(absorb(digest, text))).digest(), "big")


def _bytes(digest: int) -> bytes:
    return digest.to_bytes(DIGEST_BYTES, "big")


def digest_value(value: Any, has_deadline: bool, digest: int = 0) -> int:
    """The digest of a value, on top of one of its key. O(n)."""
    digest = mix(digest, TYPE_NUMBERS[value.__class__].to_bytes(4, "big"))
    if isinstance(value, (bytes, bytearray)):
        digest = mix(digest, value)
    elif isinstance(value, List):
        for element in value:
            digest = mix(digest, element)
    elif isinstance(value, Set):
        for member in value:
            digest = absorb(digest, member)
    elif isinstance(value, SortedSet):
        for member, score in value.items():
            digest = absorb(digest, _bytes(mix(mix(0, member), format_digits(score))))
    elif isinstance(value, Hash):
        digest = _digest_hash(value, digest)
    else:
        digest = _digest_stream(value, digest)
    return absorb(digest, HAS_DEADLINE) if has_deadline else digest


def _digest_hash(value: Hash, digest: int) -> int:
    deadlines = value.deadlines.live if value.deadlines is not None else {}
    for field, text in value.items():
        pair = mix(mix(0, field), text)
        if field in deadlines:
            pair = absorb(pair, HAS_FIELD_DEADLINE)
        digest = absorb(digest, _bytes(pair))
    return digest


def _digest_stream(value: Stream, digest: int) -> int:
    for node in value.log.nodes():
        ids, _, bodies = value.log.entries_of(node)
        for entry_id, body in zip(ids, bodies):
            digest = mix(digest, b"%d.%d" % (entry_id >> 64, entry_id & 0xFFFFFFFFFFFFFFFF))
            for item in body:
                digest = mix(digest, item)
    return digest


def digest_databases(databases: Iterable[Database]) -> bytes:
    """The digest of everything, in hexadecimal; all zeros for an empty server. O(n)."""
    digest = 0
    for db in databases:
        if not db.data:
            continue
        digest = mix(digest, db.number.to_bytes(4, "big"))
        for key, value in db.data.items():
            digest = absorb(digest, _bytes(digest_value(value, key in db.lapses, mix(0, key))))
    return b"%040x" % digest


def digest_key(db: Database, key: bytes) -> bytes:
    """The digest of the value at a key, in hexadecimal; all zeros if there is none. O(n)."""
    value = db.peek(key)
    return b"%040x" % (0 if value is None else digest_value(value, key in db.lapses))
