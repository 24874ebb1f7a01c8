"""Replies as Lua values, by the protocol version that the script has chosen.

Owns Redis's conversion tables. A container becomes plain lists and dictionaries here, and a Lua table in one call of
the interpreter: no proxy of a Python object ever reaches a script. Must not know scripts or sessions.
"""

from __future__ import annotations

from protocol.reply import (
    NO_REPLY,
    NULL_ARRAY,
    Attribute,
    BigNumber,
    ByName,
    Constant,
    Decimal,
    Entries,
    ErrorReply,
    FlatMap,
    Lasting,
    Map,
    Multi,
    Pairs,
    Push,
    ScoredMembers,
    SetReply,
    Status,
    Verbatim,
)
from storage.numeric import format_float

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict

    Converter = Callable[[Any], Any]

IGNORED = b"ignore_error_stats_update"


def itself(value: Any) -> Any:
    return value


def constant(value: Constant) -> Any:
    if value is NULL_ARRAY:
        return False
    if value is NO_REPLY:
        return None
    return {b"ok": value.resp2[1:-2]}


def lasting2(value: Lasting) -> Any:
    reply = value.make()
    return IN_RESP2[reply.__class__](reply)


def status(value: Status) -> Any:
    return {b"ok": value.text}


def error(value: ErrorReply) -> Any:
    return {b"err": value.text, IGNORED: True}


# RESP2 ---------------------------------------------------------------------------------------------------------


def list2(value: Any) -> Any:
    return [IN_RESP2[item.__class__](item) for item in value]


def flat2(value: Any) -> Any:
    result = []
    for key, item in value.items:
        result.append(IN_RESP2[key.__class__](key))
        result.append(IN_RESP2[item.__class__](item))
    return result


def by_name2(value: ByName) -> Any:
    return [list2(pair) for pair in value.items]


def items2(value: Any) -> Any:
    return list2(value.items)


IN_RESP2: Dict[type, Converter] = {
    bytes: itself,
    int: itself,
    type(None): lambda value: False,
    bool: int,
    float: format_float,
    bytearray: bytes,
    list: list2,
    tuple: list2,
    Entries: list2,
    Constant: constant,
    Lasting: lasting2,
    Status: status,
    ErrorReply: error,
    Map: flat2,
    FlatMap: flat2,
    Pairs: flat2,
    ScoredMembers: flat2,
    SetReply: items2,
    Push: items2,
    ByName: by_name2,
    Verbatim: lambda value: value.text,
    BigNumber: lambda value: value.digits,
    Decimal: lambda value: value.text,
    Attribute: lambda value: IN_RESP2[value.reply.__class__](value.reply),
    Multi: lambda value: IN_RESP2[value.replies[0].__class__](value.replies[0]),
}

# RESP3 ---------------------------------------------------------------------------------------------------------


def list3(value: Any) -> Any:
    return [IN_RESP3[item.__class__](item) for item in value]


def as_key(value: Any) -> Any:
    """What may be a key while the table is built: containers may not, and stand for themselves as text."""
    converted = IN_RESP3[value.__class__](value)
    return converted if converted.__class__ in (bytes, int, bool) else repr(converted).encode()


def map3(value: Any) -> Any:
    return {b"map": {as_key(key): IN_RESP3[item.__class__](item) for key, item in value.items}}


def pairs3(value: Any) -> Any:
    return [list3(pair) for pair in value.items]


def set3(value: SetReply) -> Any:
    return {b"set": {as_key(item): True for item in value.items}}


def constant3(value: Constant) -> Any:
    return None if value is NULL_ARRAY else constant(value)


def lasting3(value: Lasting) -> Any:
    reply = value.make()
    return IN_RESP3[reply.__class__](reply)


IN_RESP3: Dict[type, Converter] = {
    **IN_RESP2,
    type(None): itself,
    bool: itself,
    float: lambda value: {b"double": value},
    list: list3,
    tuple: list3,
    Entries: list3,
    Constant: constant3,
    Lasting: lasting3,
    Map: map3,
    FlatMap: map3,
    ByName: map3,
    Pairs: pairs3,
    ScoredMembers: pairs3,
    SetReply: set3,
    Push: lambda value: list3(value.items),
    Verbatim: lambda value: {b"verbatim_string": {b"format": value.kind, b"string": value.text}},
    BigNumber: lambda value: {b"big_number": value.digits},
    Decimal: lambda value: {b"double": float(value.text)},
    Attribute: lambda value: IN_RESP3[value.reply.__class__](value.reply),
    Multi: lambda value: IN_RESP3[value.replies[0].__class__](value.replies[0]),
}
