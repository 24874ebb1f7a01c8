"""Reply values to bytes: two tables, type to encoder, one per RESP version.

`RESP2[type(value)](value)` and `RESP3[...]` return the encoded bytes. Must not know sessions or sockets; adding a
reply type means adding a row to each table and nothing else.

Arrays of bulk strings are the bulk of all output. Interleaving a list of headers with the values and joining once
costs half of formatting each with `%`.
"""

from __future__ import annotations

import sys
from itertools import chain
from math import copysign

from protocol.reply import (
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
    from typing import Any, Callable, Dict, Sequence

    Table = Dict[type, Callable[[Any], bytes]]

CRLF = b"\r\n"
EMPTY_ARRAY = b"*0\r\n"
MAX_KEPT_HEADERS = 4096  # headers of strings up to this long are kept, longer ones made anew
FEW_ENTRIES = 4  # from here on the columns of stream entries pay
MAX_KEPT_SCORES = 4096  # half a megabyte
MAX_LAYOUTS = 256
MAX_LAYOUT_BYTES = 1024  # of names; half a megabyte for all layouts
MAX_LAID_OUT = 64 if sys.implementation.name != "pypy" else 0  # names; PyPy reads a format anew each time
SHORT_LISTS = 24  # on average; longer ones may gain more by strings of one length


class Headers(dict):  # type: ignore[type-arg]
    """Length to the header that says it, filled as lengths are met."""

    __slots__ = ("form",)

    def __init__(self, form: bytes) -> None:
        self.form = form

    def __missing__(self, length: int) -> bytes:
        header = self.form % length
        if length < MAX_KEPT_HEADERS:
            self[length] = header
        return header


BULK = Headers(b"$%d")
header_of = BULK.__getitem__
# What stands between two bulk strings in a row: the end of the one, the header of the next.
lead_of = Headers(b"\r\n$%d\r\n").__getitem__
array_head_of: Callable[[int], bytes] = Headers(b"*%d\r\n").__getitem__
map_head_of: Callable[[int], bytes] = Headers(b"%%%d\r\n").__getitem__


class ScoreTexts(dict):  # type: ignore[type-arg]
    """Score to its text in a `form`. What is read of sorted sets is read again: 0.33 -> 0.03 us a score that was met
    lately, 2.3 -> 0.03 us where it is a fraction. Zero is never kept: its negative would be found in its place.
    """

    __slots__ = ("form", "zero")

    def __init__(self, form: Callable[[bytes], bytes]) -> None:
        self.form = form
        self.zero = form(b"0")

    def __missing__(self, score: float) -> bytes:
        if not score:
            return self.zero if copysign(1.0, score) > 0 else self.form(b"-0")
        text = self.form(format_float(score))
        if len(self) >= MAX_KEPT_SCORES:
            self.clear()
        self[score] = text
        return text


def encode_tail(text: bytes) -> bytes:
    """What follows a bulk string where another comes after it: the end of the one, the other but for its end."""
    return b"\r\n$%d\r\n%b" % (len(text), text)


score_text: Callable[[float], bytes] = ScoreTexts(bytes).__getitem__
score_tail: Callable[[float], bytes] = ScoreTexts(encode_tail).__getitem__


def encode_bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def encode_int(value: int) -> bytes:
    return b":%d\r\n" % value


def encode_status(value: Status) -> bytes:
    return b"+%b\r\n" % value.text


def encode_error(value: ErrorReply) -> bytes:
    return error_line(value.text)


def error_line(text: bytes) -> bytes:
    """An error on one line: a CR or LF around it goes, inside it becomes a space, as Redis does."""
    if b"\n" in text or b"\r" in text:
        text = text.strip(b"\r\n").replace(b"\r", b" ").replace(b"\n", b" ")
    return b"-%b\r\n" % text


def encode_bulk_run(values: Sequence[bytes], head: bytes = b"") -> bytes:
    """Bulk strings, at least one, one after the other, behind the `head` of their array, if there is one."""
    count = len(values)
    length = len(values[0])
    if length == len(values[-1]) and length < MAX_KEPT_HEADERS:
        lengths = list(map(len, values))
        if lengths.count(length) == count:
            # All of one length, as identifiers and counters often are: one separator, 69 -> 27 ns an element.
            return b"%b%b\r\n%b\r\n" % (head, BULK[length], lead_of(length).join(values))
    # Each with all that stands before it: 57 -> 43 ns an element of LRANGE 100, when they were joined on CRLF.
    parts: list[bytes] = [CRLF] * (2 * count + 1)
    parts[0:-1:2] = map(lead_of, map(len, values))
    parts[1::2] = values
    parts[0] = head + parts[0][2:]
    return b"".join(parts)


def encode_run(replies: Sequence[Any], table: Table) -> bytes:
    """The replies to a run of commands, one after the other: at once where they are of one type."""
    kinds = set(map(type, replies))
    if len(kinds) == 1:
        kind = kinds.pop()
        if kind is bytes:
            return encode_bulk_run(replies)
        if kind is Constant:
            first = replies[0]
            if replies.count(first) == len(replies):
                return table[Constant](first) * len(replies)
        if kind is int:
            return b":%d\r\n" * len(replies) % tuple(replies)
        if kind is list or kind is SetReply:
            lists = replies if kind is list else [reply.items for reply in replies]
            if sum(map(len, lists)) <= SHORT_LISTS * len(lists):
                try:
                    return encode_short_lists(lists, table[kind](kind(()))[:1])
                except TypeError:
                    pass  # not all of strings
        if kind is FlatMap:
            names = replies[0].names
            layout = map_layouts.get(names)
            if layout is not None and all(reply.names == names for reply in replies):
                return encode_like_maps(replies, layout, table[kind](FlatMap((), ()))[:1])
        return b"".join(map(table[kind], replies))
    return b"".join([table[reply.__class__](reply) for reply in replies])


def encode_like_maps(maps: Sequence[FlatMap], layout: bytes, sign: bytes) -> bytes:
    """Maps of the same names, one after the other, by their layout: of ten fields, 1.1 -> 0.8 us each."""
    count = len(maps[0].names)
    head = b"*%d\r\n" % (2 * count) if sign == b"*" else b"%%%%%d\r\n" % count
    values = list(chain.from_iterable([one.values for one in maps]))
    filling: list[bytes] = [CRLF] * (2 * len(values))
    filling[0::2] = map(lead_of, map(len, values))
    filling[1::2] = values
    return (head + layout[2:]) * len(maps) % tuple(filling)


def encode_short_lists(lists: Sequence[Sequence[bytes]], sign: bytes) -> bytes:
    """Lists of strings, one after the other, in one join: of ten strings each, 1.3 -> 0.8 us a list.

    `sign` is the byte that their heads begin with.
    """
    values = list(chain.from_iterable(lists))
    lengths = list(map(len, values))
    parts: list[bytes] = []
    if values and lengths.count(lengths[0]) == len(lengths):
        lead = lead_of(lengths[0])  # all strings of one length: 0.8 -> 0.6 us
        for one in lists:
            parts.append(b"\r\n%b%d" % (sign, len(one)))
            if one:
                parts += (lead, lead.join(one))
        parts[0] = parts[0][2:]
        parts.append(CRLF)
        return b"".join(parts)
    parts = [CRLF] * (2 * len(values) + 1)
    parts[0:-1:2] = map(lead_of, lengths)
    parts[1::2] = values
    place = 0
    heads = b""  # of lists that have begun, those of empty ones included
    for one in lists:
        heads += b"\r\n%b%d" % (sign, len(one))
        if one:
            parts[place] = heads + parts[place]
            heads = b""
            place += 2 * len(one)
    parts[-1] = heads + CRLF
    parts[0] = parts[0][2:]
    return b"".join(parts)


class MapLayouts(dict):  # type: ignore[type-arg]
    """Formats of maps by their names: most hashes have the names that others have, too.

    One is made at the second sight of its names, so that hashes that are all different cost only a look.
    """

    __slots__ = ("sights",)

    def __init__(self) -> None:
        self.sights = [0] * MAX_LAYOUTS  # hashes of the names that were seen, each in its place

    def meet(self, names: Sequence[bytes]) -> bytes | None:
        """The format for names that have none yet; None at first sight."""
        sight = hash(names)
        place = sight % MAX_LAYOUTS
        if self.sights[place] != sight:
            self.sights[place] = sight
            return None
        if sum(map(len, names)) > MAX_LAYOUT_BYTES:
            return None
        if len(self) >= MAX_LAYOUTS:
            self.clear()
        # Behind each name the lead of the value, and the value.
        fields = [encode_bulk(name)[:-2].replace(b"%", b"%%") + b"%b%b\r\n" for name in names]
        layout = self[names] = b"%b" + b"".join(fields)
        return layout


map_layouts = MapLayouts()


def encode_map(value: FlatMap, head: bytes) -> bytes:
    """A map of strings to strings behind its head. Ten fields: 1.9 -> 1.2 us by a layout, 1.6 us without."""
    names, values = value.names, value.values
    count = len(names)
    if 0 < count <= MAX_LAID_OUT:
        layout = map_layouts.get(names) or map_layouts.meet(names)
        if layout is not None:
            filling = [head] * (2 * count + 1)
            filling[1::2] = map(lead_of, map(len, values))
            filling[2::2] = values
            return layout % tuple(filling)
    parts = [CRLF] * (4 * count + 2)
    parts[0] = head[:-2]
    parts[1:-1:4] = map(lead_of, map(len, names))
    parts[2::4] = names
    parts[3:-1:4] = map(lead_of, map(len, values))
    parts[4::4] = values
    return b"".join(parts)


def encode_unlike(entries: Sequence[Any]) -> bytes:
    """Stream entries one by one."""
    parts = [b"*%d\r\n" % len(entries)]
    for text, body in entries:
        parts.append(encode_bulk_run(body, b"*2\r\n$%d\r\n%b\r\n*%d\r\n" % (len(text), text, len(body))))
    return b"".join(parts)


def encode_entries(entries: Sequence[Any]) -> bytes:
    """Stream entries, all in one join where they are equally wide.

    What every entry has in common (most have the same fields, and IDs of one length) is written once and interleaved
    with the columns that differ: 3.5 -> 0.2 us an entry of one field.
    """
    count = len(entries)
    if count < FEW_ENTRIES:  # as who waits for the next one gets it: 5.9 -> 1.4 us where columns were made of it
        return encode_unlike(entries)
    texts, bodies = zip(*entries)
    width = len(bodies[0])
    if len(set(map(len, bodies))) > 1:
        return encode_unlike(entries)
    columns: list[Any] = []  # alternates between what all have in common and what differs
    common = b"*2\r\n"
    for place, column in enumerate((texts, *zip(*bodies))):
        if len(set(map(len, column))) == 1:
            common += header_of(len(column[0])) + CRLF
            if place and column.count(column[0]) == count:
                common += column[0] + CRLF
                continue
        else:
            columns += (common, map(header_of, map(len, column)))
            common = CRLF
        columns += (common, column)
        common = CRLF if place else b"\r\n*%d\r\n" % width
    step = len(columns)
    pieces: list[bytes] = [b""] * (count * step)
    for place in range(1, step, 2):
        pieces[place - 1 :: step] = [columns[place - 1]] * count
        pieces[place::step] = columns[place]
    # The end of an entry and the beginning of the next are one piece.
    pieces[::step] = [common + columns[0]] * count
    pieces[0] = b"*%d\r\n%b" % (count, columns[0])
    pieces.append(common)
    return b"".join(pieces)


def encode_sequence(values: Sequence[Any], table: Table, head: bytes = b"") -> bytes:
    """The elements of an aggregate one after the other, behind its `head`."""
    if not values:
        return head
    if values[0].__class__ is bytes and values[-1].__class__ is not float:  # a member with its score: 2.6 -> 1.9 us
        try:
            return encode_bulk_run(values, head)  # Trying first: 110 -> 85 ns an element of LRANGE 600.
        except TypeError:
            pass  # a mixed sequence: len() or join() met something else
    return encode_mixed(values, table, head)


def encode_mixed(values: Sequence[Any], table: Table, head: bytes) -> bytes:
    """`encode_sequence` of what are not all strings."""
    if len(values) == 2 and values[0].__class__ is bytes and values[1].__class__ is float:
        name, score = values  # as ZPOPMIN answers: 1.9 -> 0.7 us
        return b"%b$%d\r\n%b\r\n%b" % (head, len(name), name, table[float](score))
    kinds = set(map(type, values))
    if len(kinds) == 1:
        kind = kinds.pop()
        if kind is int:  # as SMISMEMBER answers: 0.13 -> 0.06 us each
            return head + b":%d\r\n" * len(values) % tuple(values)
        return head + b"".join(map(table[kind], values))
    return head + b"".join([table[value.__class__](value) for value in values])


def encode_named(value: ByName, table: Table, head: bytes) -> bytes:
    """Values after their names, each pair behind a `head`: 3.4 -> 0.9 us where it is one."""
    parts = []
    for name, one in value.items:
        parts.append(b"%b$%d\r\n%b\r\n" % (head, len(name), name))
        parts.append(table[one.__class__](one))
    return b"".join(parts)


def flat(pairs: Sequence[Any]) -> list[Any]:
    """[(a, b), (c, d)] to [a, b, c, d]."""
    return list(chain.from_iterable(pairs))  # 46 -> 32 ns a pair where columns were made and interleaved


# RESP2 ---------------------------------------------------------------------------------------------------------


def _array2(values: Sequence[Any]) -> bytes:
    if not values:
        return EMPTY_ARRAY
    head = array_head_of(len(values))
    # The beginning of `encode_sequence` inlined, and heads kept: ten strings, 1.31 -> 1.0 us.
    if values[0].__class__ is bytes and values[-1].__class__ is not float:
        try:
            return encode_bulk_run(values, head)
        except TypeError:
            pass
    return encode_mixed(values, RESP2, head)


def _items2(value: SetReply | Push) -> bytes:
    return _array2(value.items)


def _pairs2(value: Map | Pairs) -> bytes:
    values = flat(value.items)
    if values and values[1].__class__ is float and set(map(type, values[1::2])) == {float}:
        # Members with scores: 1.3 -> 0.7 us each.
        values[1::2] = map(score_text, values[1::2])
    return _array2(values)


def _scored2(value: ScoredMembers) -> bytes:
    if not value.names:
        return EMPTY_ARRAY
    names = value.names
    count = len(names)
    parts: list[bytes] = [CRLF] * (3 * count + 1)
    parts[0:-1:3] = map(lead_of, map(len, names))
    parts[1::3] = names
    parts[2::3] = map(score_tail, value.values)
    parts[0] = array_head_of(2 * count) + parts[0][2:]
    return b"".join(parts)


def _flat2(value: FlatMap) -> bytes:
    return encode_map(value, array_head_of(2 * len(value.names)))


def _named2(value: ByName) -> bytes:
    return b"*%d\r\n%b" % (len(value.items), encode_named(value, RESP2, b"*2\r\n"))


_float2: Callable[[float], bytes] = ScoreTexts(encode_bulk).__getitem__


def _bool2(value: bool) -> bytes:
    return b":1\r\n" if value else b":0\r\n"


def _none2(value: None) -> bytes:
    return b"$-1\r\n"


def _constant2(value: Constant) -> bytes:
    return value.resp2


def _lasting2(value: Lasting) -> bytes:
    if not value.resp2:
        reply = value.make()
        value.resp2 = RESP2[reply.__class__](reply)
    return value.resp2


def _verbatim2(value: Verbatim) -> bytes:
    return encode_bulk(value.text)


def _bignum2(value: BigNumber) -> bytes:
    return encode_bulk(value.digits)


def _decimal2(value: Decimal) -> bytes:
    return encode_bulk(value.text)


def _attribute2(value: Attribute) -> bytes:
    return RESP2[value.reply.__class__](value.reply)


def _multi2(value: Multi) -> bytes:
    return encode_sequence(value.replies, RESP2)


def _bytearray(value: bytearray) -> bytes:
    return encode_bulk(bytes(value))


RESP2: Table = {
    bytes: encode_bulk,
    bytearray: _bytearray,
    int: encode_int,
    type(None): _none2,
    list: _array2,
    tuple: _array2,
    Constant: _constant2,
    Lasting: _lasting2,
    Status: encode_status,
    ErrorReply: encode_error,
    float: _float2,
    bool: _bool2,
    Map: _pairs2,
    FlatMap: _flat2,
    SetReply: _items2,
    Push: _items2,
    Pairs: _pairs2,
    ScoredMembers: _scored2,
    ByName: _named2,
    Entries: encode_entries,
    Verbatim: _verbatim2,
    BigNumber: _bignum2,
    Decimal: _decimal2,
    Attribute: _attribute2,
    Multi: _multi2,
}

# RESP3 ---------------------------------------------------------------------------------------------------------


def _array3(values: Sequence[Any]) -> bytes:
    return encode_sequence(values, RESP3, b"*%d\r\n" % len(values))


def _set3(value: SetReply) -> bytes:
    return encode_sequence(value.items, RESP3, b"~%d\r\n" % len(value.items))


def _push3(value: Push) -> bytes:
    return encode_sequence(value.items, RESP3, b">%d\r\n" % len(value.items))


def _map3(value: Map) -> bytes:
    return encode_sequence(flat(value.items), RESP3, b"%%%d\r\n" % len(value.items))


def _flat3(value: FlatMap) -> bytes:
    return encode_map(value, map_head_of(len(value.names)))


def _named3(value: ByName) -> bytes:
    return b"%%%d\r\n%b" % (len(value.items), encode_named(value, RESP3, b""))


def _pairs3(value: Pairs) -> bytes:
    pairs = value.items
    if pairs and pairs[0][1].__class__ is float and {type(score) for _, score in pairs} == {float}:
        # Members with scores: 3.7 -> 0.8 us each.
        entries = [b"*2\r\n$%d\r\n%b\r\n,%b\r\n" % (len(name), name, score_text(score)) for name, score in pairs]
        return b"*%d\r\n%b" % (len(pairs), b"".join(entries))
    return _array3([list(pair) for pair in pairs])


def _scored3(value: ScoredMembers) -> bytes:
    # 3.7 -> 0.8 us each.
    pairs = zip(value.names, map(score_text, value.values))
    entries = [b"*2\r\n$%d\r\n%b\r\n,%b\r\n" % (len(name), name, text) for name, text in pairs]
    return array_head_of(len(value.names)) + b"".join(entries)


_float3: Callable[[float], bytes] = ScoreTexts(b",%b\r\n".__mod__).__getitem__


def _bool3(value: bool) -> bytes:
    return b"#t\r\n" if value else b"#f\r\n"


def _none3(value: None) -> bytes:
    return b"_\r\n"


def _constant3(value: Constant) -> bytes:
    return value.resp3


def _lasting3(value: Lasting) -> bytes:
    if not value.resp3:
        reply = value.make()
        value.resp3 = RESP3[reply.__class__](reply)
    return value.resp3


def _verbatim3(value: Verbatim) -> bytes:
    return b"=%d\r\n%b:%b\r\n" % (len(value.text) + 4, value.kind, value.text)


def _decimal3(value: Decimal) -> bytes:
    return b",%b\r\n" % value.text


def _bignum3(value: BigNumber) -> bytes:
    return b"(%b\r\n" % value.digits


def _attribute3(value: Attribute) -> bytes:
    pairs = encode_sequence(flat(value.items), RESP3)
    return b"|%d\r\n%b%b" % (len(value.items), pairs, RESP3[value.reply.__class__](value.reply))


def _multi3(value: Multi) -> bytes:
    return encode_sequence(value.replies, RESP3)


RESP3: Table = dict(RESP2)
RESP3.update(
    {
        type(None): _none3,
        list: _array3,
        tuple: _array3,
        Constant: _constant3,
        Lasting: _lasting3,
        float: _float3,
        bool: _bool3,
        Map: _map3,
        FlatMap: _flat3,
        SetReply: _set3,
        Push: _push3,
        Pairs: _pairs3,
        ScoredMembers: _scored3,
        ByName: _named3,
        Verbatim: _verbatim3,
        BigNumber: _bignum3,
        Decimal: _decimal3,
        Attribute: _attribute3,
        Multi: _multi3,
    }
)
