"""What a command answers, before anybody knows which RESP version the client speaks.

Replies are Python values: None, bytes, int, float, bool, list (also tuple), and the closed set of markers here for what
Python cannot say. Encoders (`protocol.encoder`) are tables from these types; scripts and EXEC treat them as values.
Must not know sockets, sessions or keys. A reply never aliases a stored container or bytearray.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence, Tuple


class Status:
    """A simple string such as +OK. One line, no CR or LF."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "Status(%r)" % self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Status) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class ErrorReply:
    """An error as a value: inside EXEC, from scripts. `text` has no leading dash."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "ErrorReply(%r)" % self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ErrorReply) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class _Items:
    """Markers that wrap one sequence."""

    __slots__ = ("items",)

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __repr__(self) -> str:
        return "%s(%r)" % (self.__class__.__name__, self.items)

    def __eq__(self, other: object) -> bool:
        return other.__class__ is self.__class__ and other.items == self.items

    __hash__ = None  # type: ignore[assignment]


class Map(_Items):
    """Pairs in order; a flat array in RESP2. A list of pairs, since a name may come twice (XREAD)."""

    __slots__ = ()
    items: Sequence[Tuple[Any, Any]]


class _Columns:
    """Markers that wrap names and what belongs to each of them, apart: no pair is made of a hundred of them."""

    __slots__ = ("names", "values")

    def __init__(self, names: Sequence[bytes], values: Sequence[Any]) -> None:
        self.names = names
        self.values = values

    @property
    def items(self) -> Sequence[Tuple[bytes, Any]]:
        return list(zip(self.names, self.values))

    def __repr__(self) -> str:
        return "%s(%r, %r)" % (self.__class__.__name__, self.names, self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.__class__) and other.items == self.items

    __hash__ = None  # type: ignore[assignment]


class FlatMap(_Columns):
    """A `Map` of a whole hash: strings after their names, which come in a tuple."""

    __slots__ = ()
    names: Tuple[bytes, ...]
    values: Sequence[bytes]


class ScoredMembers(_Columns):
    """`Pairs` of members and their scores."""

    __slots__ = ()
    values: Sequence[float]


class SetReply(_Items):
    """An unordered collection; an array in RESP2."""

    __slots__ = ()


class Push(_Items):
    """Out-of-band data: a push in RESP3, an array in RESP2."""

    __slots__ = ()


class Pairs(_Items):
    """Pairs that nest in RESP3 ([[a, b], ...]) and are flat in RESP2 ([a, b, ...]): members with scores."""

    __slots__ = ()
    items: Sequence[Tuple[Any, Any]]


class ByName(_Items):
    """Pairs of a name and a value: a map in RESP3, an array of pairs in RESP2 (what XREAD found, by stream)."""

    __slots__ = ()
    items: Sequence[Tuple[Any, Any]]


class Entries(list):  # type: ignore[type-arg]
    """Stream entries as pairs (ID, fields and values in turn): nested arrays, encoded all at once."""

    __slots__ = ()


class Attribute(_Items):
    """Pairs sent before the reply they describe in RESP3, left out in RESP2. `reply` follows them."""

    __slots__ = ("reply",)

    def __init__(self, items: Sequence[Tuple[Any, Any]], reply: Any) -> None:
        self.items = items
        self.reply = reply


class Verbatim:
    """Text with a three-letter format (txt, mkd); a bulk string in RESP2."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: bytes, text: bytes) -> None:
        self.kind = kind
        self.text = text

    def __repr__(self) -> str:
        return "Verbatim(%r, %r)" % (self.kind, self.text)


class BigNumber:
    """An integer of any size as decimal digits; a bulk string in RESP2."""

    __slots__ = ("digits",)

    def __init__(self, digits: bytes) -> None:
        self.digits = digits


class Decimal:
    """A double whose digits are decided by the command, not by the encoder; a bulk string in RESP2."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "Decimal(%r)" % self.text


class Multi:
    """Several replies to one command, one after the other: SUBSCRIBE confirms each channel."""

    __slots__ = ("replies",)

    def __init__(self, replies: Sequence[Any]) -> None:
        self.replies = replies


class Lasting:
    """A reply that never changes and costs much to make: encoded when first asked for, once for each RESP version.

    `make` returns it as a value; what is no encoder asks for that anew.
    """

    __slots__ = ("make", "resp2", "resp3")

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.resp2 = b""
        self.resp3 = b""


class Constant:
    """A marker whose bytes never change, encoded once. `resp2` and `resp3` are those bytes."""

    __slots__ = ("name", "resp2", "resp3")

    def __init__(self, name: str, resp2: bytes, resp3: bytes) -> None:
        self.name = name
        self.resp2 = resp2
        self.resp3 = resp3

    def __repr__(self) -> str:
        return self.name


OK = Constant("OK", b"+OK\r\n", b"+OK\r\n")
PONG = Constant("PONG", b"+PONG\r\n", b"+PONG\r\n")
QUEUED = Constant("QUEUED", b"+QUEUED\r\n", b"+QUEUED\r\n")
NULL = Constant("NULL", b"$-1\r\n", b"_\r\n")  # where None says something else
NULL_ARRAY = Constant("NULL_ARRAY", b"*-1\r\n", b"_\r\n")
NO_REPLY = Constant("NO_REPLY", b"", b"")


class Block:
    """The answer of a blocking command that finds nothing: run it again when one of `keys` changes.

    `timeout_ms` 0 waits for ever; `on_timeout` is the reply when time is up, and at once where nothing may block
    (inside EXEC and scripts). `kind` is the type of value that can serve it (a class of storage.types), so that waiters
    for another type are not woken. `wakes_on_loss` also wakes it when the key goes away or changes type (XREADGROUP).
    `again` is the vector to run then, where it is not the command's own (the `$` of XREAD means now, not later).
    """

    __slots__ = ("keys", "timeout_ms", "on_timeout", "kind", "wakes_on_loss", "again")

    def __init__(
        self,
        keys: Sequence[bytes],
        timeout_ms: int,
        on_timeout: Any,
        kind: type,
        wakes_on_loss: bool = False,
        again: Sequence[bytes] | None = None,
    ) -> None:
        self.keys = keys
        self.timeout_ms = timeout_ms
        self.on_timeout = on_timeout
        self.kind = kind
        self.wakes_on_loss = wakes_on_loss
        self.again = again
