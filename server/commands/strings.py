"""The string commands: values of bytes, and numbers written as bytes.

Argument grammar, keyspace calls, replies. SET and GETEX share the grammar of deadlines with EXPIRE
(`storage.deadline_grammar`); LCS has its algorithm in `storage.lcs`.
"""

from __future__ import annotations

from protocol.reply import OK
from server.keyspecs import ACCESS, DELETE, INSERT, OW, RO, RW, UPDATE, VARIABLE_FLAGS, key_range, one_key
from server.registry import DENYOOM, FAST, READONLY, WRITE, Group
from storage import events
from storage.errors import (
    DECREMENT_OVERFLOW,
    NAN_OR_INFINITY,
    NOT_A_FLOAT,
    NOT_AN_INTEGER,
    OVERFLOW,
    STRING_TOO_LONG,
    SYNTAX_ERROR,
    CommandError,
    WrongType,
)
from storage.numeric import INT64_MAX, INT64_MIN, parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from server.session import Session

    Argv = Sequence[bytes]

strings = Group("string")


@strings.command("GET", arity=2, flags=READONLY | FAST, keys=one_key(RO | ACCESS), since="1.0.0", complexity="O(1)", syntax="key")
def get(ctx: Session, argv: Argv) -> Any:
    """Return the string at a key."""
    value = ctx.db.read(argv[1])
    if value is None or value.__class__ is bytes:
        return value
    if value.__class__ is bytearray:
        return bytes(value)
    raise WrongType()


def set_plain(ctx: Session, key: bytes, value: bytes) -> Any:
    ctx.db.put(key, value)
    ctx.db.changed(key, events.SET, 1)
    return OK


@strings.command("SET", arity=-3, flags=WRITE | DENYOOM, keys=one_key(RW | ACCESS | UPDATE | VARIABLE_FLAGS), since="1.0.0",
    complexity="O(1)", syntax="key value")
def set_(ctx: Session, argv: Argv) -> Any:
    """Set a key to a string, whatever it held."""
    if len(argv) == 3:
        return set_plain(ctx, argv[1], argv[2])
    raise CommandError(SYNTAX_ERROR)


@strings.command("INCR", arity=2, flags=WRITE | DENYOOM | FAST, keys=one_key(RW | ACCESS | UPDATE), since="1.0.0", complexity="O(1)", syntax="key")
def incr(ctx: Session, argv: Argv) -> int:
    """Add one to the integer at a key."""
    return add_integer(ctx, argv[1], 1)


def add_integer(ctx: Session, key: bytes, amount: int) -> int:
    db = ctx.db
    old = db.find_string(key)
    if old is None:
        db.put(key, b"%d" % amount)
        db.changed(key, events.INCRBY, 1)
        return amount
    try:
        number = parse_int(old) + amount
    except ValueError:
        raise CommandError(NOT_AN_INTEGER) from None
    if not INT64_MIN <= number <= INT64_MAX:
        raise CommandError(OVERFLOW)
    db.rebind(key, b"%d" % number)
    db.changed(key, events.INCRBY, 1)
    return number


@strings.command("MSET", arity=-3, flags=WRITE | DENYOOM, keys=key_range(OW | UPDATE, 1, -1, 2), since="1.0.1", complexity="O(N)", syntax="<key value>...")
def mset(ctx: Session, argv: Argv) -> Any:
    """Set several keys."""
    for i in range(1, len(argv), 2):
        set_plain(ctx, argv[i], argv[i + 1])
    return OK
