"""What OBJECT ENCODING calls a string, and other facts about bytes as values.

A string is bytes, or a bytearray once it was edited in place; the names follow Redis's thresholds. Redis looks for
an integer when a client sets a string, not when INCRBYFLOAT does: what that wrote is remembered by `Spelled`, so that
nobody else has to know of it.
"""

from __future__ import annotations

from storage.numeric import is_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from storage.limits import EncodingLimits

EMBSTR_BYTES = 44  # as in Redis: header and text fill one 64-byte allocation
SHARED_INTEGERS = 10_000  # Redis keeps one object for each of 0..9999

SPELLED_KEPT = 1024  # a sum that is whole is rare, and to ask for its encoding is rarer

INT, EMBSTR, RAW = b"int", b"embstr", b"raw"


class Spelled:
    """The whole numbers that INCRBYFLOAT wrote last: text to Redis until they are set anew.

    Known by identity: they may be renamed, moved and copied, and the next write brings another object. O(1).
    """

    __slots__ = ("numbers",)

    def __init__(self) -> None:
        self.numbers: dict[int, bytes] = {}  # by id, which is theirs while they are held here

    def __contains__(self, value: object) -> bool:
        return id(value) in self.numbers

    def add(self, value: bytes) -> bytes:
        """Return the number as an object of its own, remembered if it is an integer."""
        if not is_integer(value):
            return value
        # A buffer is copied. An interpreter to which equal strings of one letter are one object has no other to give.
        value = bytes(memoryview(value))
        if value is not bytes(list(value)):
            if len(self.numbers) >= SPELLED_KEPT:
                del self.numbers[next(iter(self.numbers))]
            self.numbers[id(value)] = value
        return value


def encoding_name(value: bytes | bytearray, limits: EncodingLimits) -> bytes:
    """int for a canonical 64-bit integer, embstr up to 44 bytes, raw for longer or edited strings."""
    if value.__class__ is bytearray:
        return RAW
    if is_integer(value) and value not in limits.spelled:
        return INT
    return EMBSTR if len(value) <= EMBSTR_BYTES else RAW


def is_shared(value: bytes | bytearray, limits: EncodingLimits) -> bool:
    """Whether Redis would keep one object for all keys with this value."""
    return value.__class__ is bytes and encoding_name(value, limits) is INT and 0 <= int(value) < SHARED_INTEGERS
