"""The bitmap commands: strings as arrays of bits and of small integers.

Argument grammar, keyspace calls, replies; the arithmetic is `storage.bitmap`.
"""

from __future__ import annotations

from operator import and_, or_, xor

from server.key_runs import setbit_run
from server.keyfinders import bitfield_keys
from server.keyspecs import ACCESS, OW, RO, RW, UPDATE, VARIABLE_FLAGS, key_range, one_key
from server.number_arguments import integer
from server.read_runs import getbit_run
from server.registry import DENYOOM, FAST, READONLY, SWELLS, WRITE, Group
from storage import bitmap, events
from storage.errors import (
    BIT_OFFSET_OUT_OF_RANGE,
    BIT_OUT_OF_RANGE,
    SYNTAX_ERROR,
    CommandError,
    WrongType,
)
from storage.numeric import parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Optional

    from server.session import Session

    Argv = Sequence[bytes]

bitmaps = Group("bitmap")

BIT_NOT_ZERO_OR_ONE = b"ERR The bit argument must be 1 or 0."
NOT_TAKES_ONE_SOURCE = b"ERR BITOP NOT must be called with a single source key."
INVALID_FIELD = (
    b"ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
)
INVALID_OVERFLOW = b"ERR Invalid OVERFLOW type specified"
NO_STRING = bytearray()  # reads as an empty string, and is told from a stored one by identity
ONLY_GET = b"ERR BITFIELD_RO only supports the GET subcommand"


def bit_offset(ctx: Session, argument: bytes, width: int = 0) -> int:
    """An offset in bits; with a width also `#n`, the n-th field of that width."""
    try:
        if width and argument[:1] == b"#":
            offset = parse_int(argument[1:]) * width
        else:
            offset = parse_int(argument)
    except ValueError:
        raise CommandError(BIT_OFFSET_OUT_OF_RANGE) from None
    # What a log or a master says was accepted once, perhaps under a higher limit.
    if offset < 0 or offset >> 3 >= ctx.server.config.proto_max_bulk_len:
        raise CommandError(BIT_OFFSET_OUT_OF_RANGE)
    return offset


def editable(ctx: Session, key: bytes, length: int) -> tuple[bytearray, bool]:
    """The string at a key ready for edits in place, of at least `length` bytes, and whether it had to grow.

    O(value) the first time a string is edited, later O(1).
    """
    value = ctx.db.find_string(key)
    if value is None:
        buffer = bytearray(length)
        ctx.db.put_made(key, buffer)
        return buffer, True
    if value.__class__ is bytes:
        value = bytearray(value)
        ctx.db.rebind(key, value)
    grows = len(value) < length
    if grows:
        ctx.keyspace.unseen_bytes += length - len(value)
        bitmap.grow(value, length)  # type: ignore[arg-type]
    return value, grows  # type: ignore[return-value]


@bitmaps.command(
    "SETBIT",
    arity=4,
    flags=WRITE | DENYOOM | SWELLS,
    keys=one_key(RW | ACCESS | UPDATE),
    since="2.2.0",
    complexity="O(1)",
    syntax="key offset value:integer",
    together=setbit_run,
)
def setbit(ctx: Session, argv: Argv) -> int:
    """Set one bit of a string and return what it was."""
    offset = bit_offset(ctx, argv[2])
    bit = argv[3]
    if bit != b"0" and bit != b"1":
        raise CommandError(BIT_OUT_OF_RANGE)
    buffer, grows = editable(ctx, argv[1], (offset >> 3) + 1)
    old = bitmap.set_bit(buffer, offset, bit == b"1")
    if grows or old != (bit == b"1"):
        ctx.db.changed(argv[1], events.SETBIT, 1)
    return old


@bitmaps.command(
    "GETBIT",
    arity=3,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="2.2.0",
    complexity="O(1)",
    syntax="key offset",
    together=getbit_run,
)
def getbit(ctx: Session, argv: Argv) -> int:
    """Return one bit of a string."""
    offset = bit_offset(ctx, argv[2])
    value = stored_string(ctx, argv[1])
    return bitmap.get_bit(value, offset)


def stored_string(ctx: Session, key: bytes) -> bytes | bytearray:
    """The string at a key as it is stored, not to be edited or kept; NO_STRING if there is none."""
    value = ctx.db.read(key)
    if value is None:
        return NO_STRING
    if value.__class__ is not bytes and value.__class__ is not bytearray:
        raise WrongType()
    return value


def counts_bits(argument: bytes) -> bool:
    """Whether a range is one of BITs and not of BYTEs."""
    unit = argument.upper()
    if unit == b"BIT":
        return True
    if unit == b"BYTE":
        return False
    raise CommandError(SYNTAX_ERROR)


@bitmaps.command(
    "BITCOUNT",
    arity=-2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.6.0",
    complexity="O(N)",
    history=(("7.0.0", "BYTE or BIT."),),
    syntax="key range=[start end [BYTE | BIT]@7.0.0]",
)
def bitcount(ctx: Session, argv: Argv) -> int:
    """Count the ones in a string or a part of it."""
    if len(argv) == 2:
        return bitmap.count(stored_string(ctx, argv[1]))
    if len(argv) not in (4, 5):
        raise CommandError(SYNTAX_ERROR)
    start, end = integer(argv[2]), integer(argv[3])
    in_bits = len(argv) == 5 and counts_bits(argv[4])
    return bitmap.count_range(stored_string(ctx, argv[1]), start, end, in_bits)


@bitmaps.command(
    "BITPOS",
    arity=-3,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="2.8.7",
    complexity="O(N)",
    history=(("7.0.0", "BYTE or BIT."),),
    syntax="key bit range=[start end-unit-block=[end [BYTE | BIT]@7.0.0]]",
)
def bitpos(ctx: Session, argv: Argv) -> int:
    """Find the first one or the first zero in a string or a part of it."""
    bit = integer(argv[2])
    if bit != 0 and bit != 1:
        raise CommandError(BIT_NOT_ZERO_OR_ONE)
    if len(argv) > 6:
        raise CommandError(SYNTAX_ERROR)
    start = integer(argv[3]) if len(argv) > 3 else 0
    in_bits = len(argv) == 6 and counts_bits(argv[5])
    end = integer(argv[4]) if len(argv) > 4 else None
    value = stored_string(ctx, argv[1])
    if value is NO_STRING:
        # An endless row of zeros, whatever the range.
        return -1 if bit else 0
    return bitmap.position(value, bit, start, end, in_bits)


OPERATIONS = {b"AND": and_, b"OR": or_, b"XOR": xor, b"NOT": None}


@bitmaps.command(
    "BITOP",
    arity=-4,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(OW | UPDATE, at=2),
        key_range(RO | ACCESS, first=3),
    ),
    since="2.6.0",
    complexity="O(N)",
    syntax="operation=(AND | OR | XOR | NOT) destkey key...",
)
def bitop(ctx: Session, argv: Argv) -> int:
    """Combine strings bit by bit into another one and return its length."""
    name = argv[1].upper()
    if name not in OPERATIONS:
        raise CommandError(SYNTAX_ERROR)
    operation = OPERATIONS[name]
    if operation is None and len(argv) != 4:
        raise CommandError(NOT_TAKES_ONE_SOURCE)
    values = [stored_string(ctx, key) for key in argv[3:]]
    result = bitmap.invert(values[0]) if operation is None else bitmap.combine(operation, values)
    db, destination = ctx.db, argv[2]
    if result:
        db.put_made(destination, bytearray(result))  # What BITOP makes is raw, however short.
        db.changed(destination, events.SET, 1)
    else:
        db.delete(destination)
    return len(result)


class Field:
    """One operation of BITFIELD: `action` is b"GET", b"SET" or b"INCRBY"."""

    __slots__ = ("action", "signed", "width", "offset", "number", "overflow")

    def __init__(
        self, action: bytes, signed: bool, width: int, offset: int, number: int, overflow: int
    ) -> None:
        self.action = action
        self.signed = signed
        self.width = width
        self.offset = offset
        self.number = number
        self.overflow = overflow

    def end_bytes(self) -> int:
        return (self.offset + self.width + 7) >> 3

    def read(self, value: bytes | bytearray) -> int:
        return bitmap.get_field(value, self.offset, self.width, self.signed)

    def new_value(self, old: int) -> Optional[int]:
        if self.action == b"SET":
            return bitmap.fit_assigned(self.number, self.width, self.signed, self.overflow)
        return bitmap.fit(old + self.number, self.width, self.signed, self.overflow)


def field_type(argument: bytes) -> tuple[bool, int]:
    """i8 or u8: whether it is signed and how many bits it has."""
    signed = argument[:1] == b"i"
    if signed or argument[:1] == b"u":
        try:
            width = parse_int(argument[1:])
        except ValueError:
            width = 0
        # A 64-bit unsigned number has no reply: RESP2 integers are signed.
        if 1 <= width <= (64 if signed else 63):
            return signed, width
    raise CommandError(INVALID_FIELD)


OVERFLOWS = {b"WRAP": bitmap.WRAP, b"SAT": bitmap.SAT, b"FAIL": bitmap.FAIL}
OPERANDS = {b"GET": 2, b"SET": 3, b"INCRBY": 3, b"OVERFLOW": 1}


def parse_fields(ctx: Session, argv: Argv) -> list[Field]:
    """The operations in order; each OVERFLOW holds for those behind it."""
    fields = []
    overflow = bitmap.WRAP
    at = 2
    while at < len(argv):
        action = argv[at].upper()
        operands = OPERANDS.get(action)
        if operands is None or at + operands >= len(argv):
            raise CommandError(SYNTAX_ERROR)
        if action == b"OVERFLOW":
            policy = OVERFLOWS.get(argv[at + 1].upper())
            if policy is None:
                raise CommandError(INVALID_OVERFLOW)
            overflow = policy
        else:
            signed, width = field_type(argv[at + 1])
            offset = bit_offset(ctx, argv[at + 2], width)
            number = integer(argv[at + 3]) if operands == 3 else 0
            fields.append(Field(action, signed, width, offset, number, overflow))
        at += operands + 1
    return fields


@bitmaps.command(
    "BITFIELD_RO",
    arity=-2,
    flags=READONLY | FAST,
    keys=one_key(RO | ACCESS),
    since="6.0.0",
    complexity="O(1) for each operation",
    syntax="key get-block=[GET (encoding offset)]...",
)
def bitfield_ro(ctx: Session, argv: Argv) -> list[Any]:
    """Read integers of any width at any offset of a string."""
    fields = parse_fields(ctx, argv)
    if any(field.action != b"GET" for field in fields):
        raise CommandError(ONLY_GET)
    value = stored_string(ctx, argv[1])
    return [field.read(value) for field in fields]


@bitmaps.command(
    "BITFIELD",
    arity=-2,
    flags=WRITE | DENYOOM | SWELLS,
    keys=one_key(RW | ACCESS | UPDATE | VARIABLE_FLAGS, notes="ACCESS for GET, UPDATE for the other operations"),
    keys_by=bitfield_keys,
    since="3.2.0",
    complexity="O(1) for each operation",
    syntax=(
        "key operation=[(get-block=GET (encoding offset) | write=(overflow-block=[OVERFLOW (WRAP | SAT | "
        "FAIL)] write-operation=(set-block=SET (encoding offset value:integer) | incrby-block=INCRBY "
        "(encoding offset increment))))...]"
    ),
)
def bitfield(ctx: Session, argv: Argv) -> list[Any]:
    """Read, set and increment integers of any width at any offset of a string."""
    fields = parse_fields(ctx, argv)
    length = max((field.end_bytes() for field in fields if field.action != b"GET"), default=0)
    if not length:
        value = stored_string(ctx, argv[1])
        return [field.read(value) for field in fields]
    buffer, grows = editable(ctx, argv[1], length)
    changes = 0
    replies: list[Any] = []
    for field in fields:
        old = field.read(buffer)
        if field.action == b"GET":
            replies.append(old)
            continue
        new = field.new_value(old)
        if new is None:
            replies.append(None)
            continue
        bitmap.set_field(buffer, field.offset, field.width, new)
        replies.append(old if field.action == b"SET" else new)
        changes += grows or old != new
    if changes or grows:
        # Zeros appended by operations that all failed are no event, but the log must know of them.
        ctx.db.changed(argv[1], events.SETBIT if changes else events.LOGGED, max(changes, 1))
    return replies
