"""The grammar that stream commands share: IDs, ranges, trimming and reading options, refused in Redis's words.

Knows no key. Everything here is parsed before a keyspace is asked, as Redis does.
"""

from __future__ import annotations

from server.admission import IS_MASTER, LOADING_DATA
from server.number_arguments import integer
from server.timeout_arguments import timeout_of_milliseconds
from storage.errors import (
    SYNTAX_ERROR,
    CommandError,
)
from storage.types.stream_id import MAX_HALF, MAX_ID, format_id, parse_bound, parse_id, parse_partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

    from server.session import Session
    from storage.types.consumer_group import ConsumerGroup, Pending
    from storage.types.stream import Stream

    Argv = Sequence[bytes]

INVALID_ID = b"ERR Invalid stream ID specified as stream command argument"
INVALID_START = b"ERR invalid start ID for the interval"
INVALID_END = b"ERR invalid end ID for the interval"
TWO_STRATEGIES = b"ERR syntax error, MAXLEN and MINID options at the same time are not compatible"
LIMIT_WITHOUT_STRATEGY = b"ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"
LIMIT_WITHOUT_TILDE = b"ERR syntax error, LIMIT cannot be used without the special ~ option"
NO_STRATEGY = b"ERR syntax error, XTRIM must be called with a trimming strategy"
UNBALANCED = b"ERR Unbalanced '%b' list of streams: for each stream key an ID or '%b' must be specified."
NODES_A_TRIM = 100  # as in Redis: without LIMIT, approximate trimming removes at most this many nodes at a time
DEFAULT_LIMIT = 10_000  # and this many entries where a node has no maximum
MAX_LIMIT = 1_000_000


def strict_id(argument: bytes) -> int:
    """An ID that must be one: neither `-` nor `+`."""
    try:
        return parse_id(argument)
    except ValueError:
        raise CommandError(INVALID_ID) from None


def any_id(argument: bytes) -> int:
    """An ID, where `-` and `+` are the least and the greatest one."""
    try:
        return parse_bound(argument)
    except ValueError:
        raise CommandError(INVALID_ID) from None


def range_start(argument: bytes) -> int:
    """The lowest ID a range includes."""
    try:
        if argument[:1] != b"(" or len(argument) == 1:
            return parse_bound(argument)
        start = parse_id(argument[1:])
    except ValueError:
        raise CommandError(INVALID_ID) from None
    if start == MAX_ID:
        raise CommandError(INVALID_START)
    return start + 1


def range_end(argument: bytes) -> int:
    """The highest ID a range includes; without a sequence all of its milliseconds."""
    try:
        if argument[:1] != b"(" or len(argument) == 1:
            return parse_bound(argument, MAX_HALF)
        end = parse_id(argument[1:], MAX_HALF)
    except ValueError:
        raise CommandError(INVALID_ID) from None
    if end == 0:
        raise CommandError(INVALID_END)
    return end - 1


class AddOrTrim:
    """The options of XADD and XTRIM. For XADD `end` is the place of the ID, and `entry_id` None stands for `*`."""

    __slots__ = ("end", "entry_id", "has_sequence", "creates", "strategy", "threshold", "approximate", "limit", "place")

    def __init__(self, argv: Argv, adds: bool) -> None:
        self.entry_id: int | None = None
        self.has_sequence = True
        self.creates = True
        self.strategy = b""
        self.threshold = 0
        self.approximate = False
        self.limit = 0
        self.place = 0  # of the threshold
        has_limit = False
        at, argc = 2, len(argv)
        while at < argc:
            argument = argv[at]
            if adds and argument == b"*":
                break
            option = argument.upper()
            has_more = at + 1 < argc
            if (option == b"MAXLEN" or option == b"MINID") and has_more:
                if self.strategy:
                    raise CommandError(TWO_STRATEGIES)
                if at + 2 < argc and argv[at + 1] in (b"~", b"="):
                    at += 1
                    self.approximate = argv[at] == b"~"
                at += 1
                if option == b"MAXLEN":
                    self.threshold = integer(argv[at])
                    if self.threshold < 0:
                        raise CommandError(b"ERR The MAXLEN argument must be >= 0.")
                else:
                    self.threshold = strict_id(argv[at])
                self.strategy = option
                self.place = at
            elif option == b"LIMIT" and has_more:
                at += 1
                self.limit = integer(argv[at])
                if self.limit < 0:
                    raise CommandError(b"ERR The LIMIT argument must be >= 0.")
                has_limit = True
            elif adds and option == b"NOMKSTREAM":
                self.creates = False
            elif adds:
                try:
                    self.entry_id, self.has_sequence = parse_partial(argument)
                except ValueError:
                    raise CommandError(INVALID_ID) from None
                break
            else:
                raise CommandError(SYNTAX_ERROR)
            at += 1
        self.end = at
        if self.limit and not self.strategy:
            raise CommandError(LIMIT_WITHOUT_STRATEGY)
        if not adds and not self.strategy:
            raise CommandError(NO_STRATEGY)
        if not has_limit:
            self.limit = -1

    def settle_limit(self, node_entries: int, obeys: bool) -> None:
        """Decide how much one call may remove. What a master or the log says is carried out without a limit."""
        if obeys:
            self.limit = 0
        elif self.limit >= 0:
            if not self.approximate:
                raise CommandError(LIMIT_WITHOUT_TILDE)
        elif self.approximate:
            self.limit = min(NODES_A_TRIM * node_entries, MAX_LIMIT) or DEFAULT_LIMIT
        else:
            self.limit = 0

    def trim(self, stream: Stream) -> int:
        """Trim a stream as asked, return how many entries went."""
        if self.strategy == b"MAXLEN":
            return stream.log.trim_to_length(self.threshold, self.approximate, self.limit)
        return stream.log.trim_below(self.threshold, self.approximate, self.limit)

    def exact_form(self, argv: Argv, stream: Stream) -> list[bytes]:
        """The vector that trims another copy to what this one has now."""
        vector = list(argv)
        if self.approximate:
            vector[self.place - 1] = b"="
            if self.strategy == b"MAXLEN":
                vector[self.place] = b"%d" % len(stream)
            else:
                vector[self.place] = format_id(stream.log.lower_bound())
        return vector


class Reading:
    """The options of XREAD and XREADGROUP. `keys` and `ids` are what STREAMS names; the IDs are unparsed."""

    __slots__ = ("group", "consumer", "block_ms", "count", "acknowledges", "keys", "ids")

    def __init__(self, argv: Argv, in_group: bool, now_ms: int) -> None:
        self.group: bytes | None = None
        self.consumer = b""
        self.block_ms: int | None = None
        self.count = 0  # 0: all
        self.acknowledges = False
        streams = 0
        at, argc = 1, len(argv)
        while at < argc:
            option = argv[at].upper()
            more = argc - at - 1
            if option == b"BLOCK" and more:
                at += 1
                self.block_ms = timeout_of_milliseconds(argv[at], now_ms)
            elif option == b"COUNT" and more:
                at += 1
                self.count = max(0, integer(argv[at]))
            elif option == b"STREAMS" and more:
                streams = at + 1
                if more % 2:
                    names = (b"xreadgroup", b">") if in_group else (b"xread", b"$")
                    raise CommandError(UNBALANCED % names)
                break
            elif option == b"GROUP" and more >= 2:
                if not in_group:
                    raise group_only(b"GROUP")
                self.group, self.consumer = argv[at + 1], argv[at + 2]
                at += 2
            elif option == b"NOACK":
                if not in_group:
                    raise group_only(b"NOACK")
                self.acknowledges = True
            else:
                raise CommandError(SYNTAX_ERROR)
            at += 1
        if not streams:
            raise CommandError(SYNTAX_ERROR)
        if in_group and self.group is None:
            raise CommandError(b"ERR Missing GROUP option for XREADGROUP")
        half = streams + (argc - streams) // 2
        self.keys = argv[streams:half]
        self.ids = argv[half:]


def group_only(option: bytes) -> CommandError:
    text = b"ERR The %b option is only supported by XREADGROUP. You called XREAD instead."
    return CommandError(text % option)


def obeys(ctx: Session) -> bool:
    """Whether a session only repeats what was decided elsewhere: the link to the master, the log being loaded."""
    return bool(ctx.mode & IS_MASTER or ctx.server.dispatch.mode & LOADING_DATA)


def claim_form(key: bytes, name: bytes, last_id: int, entry_id: int, pending: Pending) -> Argv:
    """The vector that brings another copy's pending entry, and its group's position, to the state of this one."""
    return (
        b"XCLAIM",
        key,
        name,
        pending.consumer.name,
        b"0",
        format_id(entry_id),
        b"TIME",
        b"%d" % pending.delivered_ms,
        b"RETRYCOUNT",
        b"%d" % pending.deliveries,
        b"FORCE",
        b"JUSTID",
        b"LASTID",
        format_id(last_id),
    )


def group_form(key: bytes, name: bytes, group: ConsumerGroup) -> Argv:
    """The vector that brings another copy's group to this one's position."""
    position = format_id(group.last_id)
    return (b"XGROUP", b"SETID", key, name, position, b"ENTRIESREAD", b"%d" % group.entries_read)
