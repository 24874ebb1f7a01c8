"""The geo commands: positions kept as scores of a sorted set.

Argument grammar, keyspace calls, replies; the arithmetic is `storage.geohash`, the search `storage.geo_search`.
"""

from __future__ import annotations

from protocol.reply import NULL_ARRAY, Decimal
from server.keyfinders import georadius_keys
from server.keyspecs import ACCESS, OW, RO, RW, UPDATE, keyword, one_key
from server.number_arguments import integer
from server.registry import DENYOOM, READONLY, SWELLS, WRITE, Group
from storage import events, geohash
from storage.errors import NOT_A_FLOAT, SYNTAX_ERROR, CommandError
from storage.geo_search import find_within
from storage.numeric import format_human, parse_float
from storage.partial_sort import first_in_order
from storage.types.sorted_set import ADDED, CHANGED, SKIPLIST, SortedSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Optional

    from server.session import Session
    from storage.geo_search import Found

    Argv = Sequence[bytes]

geo = Group("geo")

INVALID_POSITION = b"ERR invalid longitude,latitude pair %f,%f"
UNKNOWN_UNIT = b"ERR unsupported unit provided. please use M, KM, FT, MI"
RADIUS_NOT_NUMERIC = b"ERR need numeric radius"
RADIUS_NEGATIVE = b"ERR radius cannot be negative"
WIDTH_NOT_NUMERIC = b"ERR need numeric width"
HEIGHT_NOT_NUMERIC = b"ERR need numeric height"
BOX_NEGATIVE = b"ERR height or width cannot be negative"
NO_SUCH_MEMBER = b"ERR could not decode requested zset member"
COUNT_NOT_POSITIVE = b"ERR COUNT must be > 0"
ANY_WITHOUT_COUNT = b"ERR the ANY argument requires COUNT argument"
STORE_WITH_DETAILS = b"ERR %b is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
ONE_CENTRE = b"ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %b"
ONE_SHAPE = b"ERR exactly one of BYRADIUS and BYBOX can be specified for %b"


# Arguments ---------------------------------------------------------------------------------------------


def number(argument: bytes, refusal: bytes = NOT_A_FLOAT) -> float:
    try:
        return parse_float(argument)
    except ValueError:
        raise CommandError(refusal) from None


def position(longitude: bytes, latitude: bytes) -> tuple[float, float]:
    """A position that can be stored."""
    x, y = number(longitude), number(latitude)
    if not geohash.is_position(x, y):
        raise CommandError(INVALID_POSITION % (x, y))
    return x, y


def unit_m(argument: bytes) -> float:
    """How many metres a unit has."""
    metres = geohash.METERS_PER_UNIT.get(argument.lower())
    if metres is None:
        raise CommandError(UNKNOWN_UNIT)
    return metres


def radius(argument: bytes) -> float:
    size = number(argument, RADIUS_NOT_NUMERIC)
    if size < 0:
        raise CommandError(RADIUS_NEGATIVE)
    return size


def member_position(positions: SortedSet, member: bytes) -> tuple[float, float]:
    score = positions.get(member)
    if score is None:
        raise CommandError(NO_SUCH_MEMBER)
    return geohash.decode(score)


# Members -----------------------------------------------------------------------------------------------


@geo.command(
    "GEOADD",
    arity=-5,
    flags=WRITE | DENYOOM,
    keys=one_key(RW | UPDATE),
    since="3.2.0",
    complexity="O(log(N)) for each member, N = members of the sorted set",
    history=(("6.2.0", "CH, NX and XX."),),
    syntax="key [NX | XX]@6.2.0 [CH@6.2.0] (longitude latitude member)...",
)
def geoadd(ctx: Session, argv: Argv) -> int:
    """Set the positions of members."""
    first = 2
    options = set()
    while first < len(argv):
        option = argv[first].upper()
        if option not in (b"NX", b"XX", b"CH"):
            break
        options.add(option)
        first += 1
    only_new, only_old = b"NX" in options, b"XX" in options
    if (len(argv) - first) % 3 or only_new and only_old:
        raise CommandError(SYNTAX_ERROR)
    entries = [
        (geohash.encode(*position(argv[at], argv[at + 1])), argv[at + 2]) for at in range(first, len(argv), 3)
    ]
    if not entries:
        raise CommandError(SYNTAX_ERROR)
    db, key = ctx.db, argv[1]
    limits = ctx.keyspace.limits
    positions = db.find_as(key, SortedSet)
    if positions is None:
        if only_old:
            return 0
        positions = SortedSet.create(len(entries), max(len(member) for _, member in entries), limits)
        db.put(key, positions)
    elif len(entries) > limits.zset_max_listpack_entries:
        positions.encoding = SKIPLIST  # as in ZADD, the number of arguments decides beforehand
    added = changed = 0
    for score, member in entries:
        if only_new and member in positions or only_old and member not in positions:
            continue
        outcome = positions.add(member, score, limits)
        added += outcome == ADDED
        changed += outcome == CHANGED
    if added or changed:
        db.changed(key, events.ZADD, added + changed)
        if ctx.keyspace.recording:
            scores = [word for score, member in entries for word in (b"%d" % int(score), member)]
            ctx.propagate_as(b"zadd", key, *argv[2:first], *scores)
    return added + changed if b"CH" in options else added


@geo.command(
    "GEODIST",
    arity=-4,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="3.2.0",
    complexity="O(1)",
    syntax="key member1 member2 [M | KM | FT | MI]",
)
def geodist(ctx: Session, argv: Argv) -> Optional[bytes]:
    """Return the distance between two members."""
    if len(argv) > 5:
        raise CommandError(SYNTAX_ERROR)
    metres = unit_m(argv[4]) if len(argv) == 5 else 1.0
    positions = ctx.db.read_as(argv[1], SortedSet)
    if positions is None:
        return None
    one, other = positions.get(argv[2]), positions.get(argv[3])
    if one is None or other is None:
        return None
    distance_m = geohash.distance_m(*geohash.decode(one), *geohash.decode(other))
    return geohash.format_distance(distance_m / metres)


def scores_of(ctx: Session, argv: Argv) -> list[Optional[float]]:
    positions = ctx.db.read_as(argv[1], SortedSet)
    return [None if positions is None else positions.get(member) for member in argv[2:]]


@geo.command(
    "GEOHASH",
    arity=-2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="3.2.0",
    complexity="O(1) for each member",
    syntax="key [member...]",
)
def geohashes(ctx: Session, argv: Argv) -> list[Optional[bytes]]:
    """Return the positions of members as geohash strings."""
    return [None if score is None else geohash.geohash_string(score) for score in scores_of(ctx, argv)]


def coordinates(longitude: float, latitude: float) -> list[Decimal]:
    return [Decimal(format_human(longitude)), Decimal(format_human(latitude))]


@geo.command(
    "GEOPOS",
    arity=-2,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="3.2.0",
    complexity="O(1) for each member",
    syntax="key [member...]",
)
def geopos(ctx: Session, argv: Argv) -> list[Any]:
    """Return the positions of members as longitudes and latitudes."""
    return [
        NULL_ARRAY if score is None else coordinates(*geohash.decode(score)) for score in scores_of(ctx, argv)
    ]


# Searches ----------------------------------------------------------------------------------------------

ASCENDING, DESCENDING = 1, -1


def distance_of(entry: Found) -> float:
    return entry.distance_m


class Search:
    """What a search asks for: the centre and the shape, the order and how many, and the details of the reply.

    `parse` reads the options of all the commands, each of which allows some of them. Where there is no sorted set,
    FROMMEMBER is accepted unseen, as in Redis: the reply is empty either way.
    """

    __slots__ = (
        "positions",
        "searches_shapes",
        "may_store",
        "store_key",
        "stores_distance",
        "centre",
        "sizes",
        "unit_m",
        "has_centre",
        "with_distance",
        "with_hash",
        "with_coordinates",
        "any",
        "count",
        "order",
    )

    def __init__(
        self,
        positions: Optional[SortedSet],
        searches_shapes: bool = False,
        may_store: bool = False,
        store_key: Optional[bytes] = None,
    ) -> None:
        self.positions = positions
        self.searches_shapes = searches_shapes  # GEOSEARCH names its centre and shape in options
        self.may_store = may_store
        self.store_key = store_key
        self.stores_distance = False
        self.centre = (0.0, 0.0)
        self.has_centre = b""  # the option that named it
        self.sizes: tuple[float, ...] = ()  # a radius, or a width and a height
        self.unit_m = 1.0
        self.with_distance = self.with_hash = self.with_coordinates = False
        self.any = False
        self.count = 0
        self.order = 0

    def set_circle(self, size: bytes, unit: bytes) -> None:
        self.sizes = (radius(size),)
        self.unit_m = unit_m(unit)

    def set_box(self, width: bytes, height: bytes, unit: bytes) -> None:
        self.sizes = (number(width, WIDTH_NOT_NUMERIC), number(height, HEIGHT_NOT_NUMERIC))
        if min(self.sizes) < 0:
            raise CommandError(BOX_NEGATIVE)
        self.unit_m = unit_m(unit)

    def parse(self, words: Argv) -> None:
        """Read the options, left to right."""
        at = 0
        while at < len(words):
            at += 1 + self.parse_option(words[at].upper(), words[at + 1 :])

    def parse_option(self, option: bytes, rest: Argv) -> int:
        """Read one option and return how many of the words after it belong to it."""
        if option == b"WITHDIST":
            self.with_distance = True
        elif option == b"WITHHASH":
            self.with_hash = True
        elif option == b"WITHCOORD":
            self.with_coordinates = True
        elif option == b"ANY":
            self.any = True
        elif option == b"ASC":
            self.order = ASCENDING
        elif option == b"DESC":
            self.order = DESCENDING
        elif option == b"COUNT" and rest:
            self.count = integer(rest[0])
            if self.count <= 0:
                raise CommandError(COUNT_NOT_POSITIVE)
            return 1
        elif self.searches_shapes:
            return self.parse_shape(option, rest)
        elif self.may_store and option in (b"STORE", b"STOREDIST") and rest:
            self.store_key = rest[0]
            self.stores_distance = option == b"STOREDIST"
            return 1
        else:
            raise CommandError(SYNTAX_ERROR)
        return 0

    def parse_shape(self, option: bytes, rest: Argv) -> int:
        """`parse_option` for the centre and the shape: one of either kind, which may be said again."""
        if option == b"FROMMEMBER" and rest and self.has_centre != b"FROMLONLAT":
            if self.positions is not None:
                self.centre = member_position(self.positions, rest[0])
            self.has_centre = option
            return 1
        if option == b"FROMLONLAT" and len(rest) >= 2 and self.has_centre != b"FROMMEMBER":
            self.centre = position(rest[0], rest[1])
            self.has_centre = option
            return 2
        if option == b"BYRADIUS" and len(rest) >= 2 and len(self.sizes) != 2:
            self.set_circle(rest[0], rest[1])
            return 2
        if option == b"BYBOX" and len(rest) >= 3 and len(self.sizes) != 1:
            self.set_box(rest[0], rest[1], rest[2])
            return 3
        if option == b"STOREDIST" and self.store_key is not None:
            self.stores_distance = True
            return 0
        raise CommandError(SYNTAX_ERROR)

    def judge(self, command: bytes) -> None:
        """Refuse options that contradict each other or are missing; `command` as the client spelled it."""
        if self.store_key is not None and (self.with_distance or self.with_hash or self.with_coordinates):
            name = b"GEOSEARCHSTORE" if self.searches_shapes else b"STORE option in GEORADIUS"
            raise CommandError(STORE_WITH_DETAILS % name)
        if self.searches_shapes:
            if not self.has_centre:
                raise CommandError(ONE_CENTRE % command)
            if not self.sizes:
                raise CommandError(ONE_SHAPE % command)
        if self.any and not self.count:
            raise CommandError(ANY_WITHOUT_COUNT)

    def run(self, ctx: Session) -> Any:
        """Search, then reply or store."""
        found = [] if self.positions is None else self.find(self.positions)
        if self.store_key is not None:
            return self.store(ctx, self.store_key, found)
        if not (self.with_distance or self.with_hash or self.with_coordinates):
            return [entry.member for entry in found]
        return [self.details(entry) for entry in found]

    def find(self, positions: SortedSet) -> list[Found]:
        area: geohash.Area
        if len(self.sizes) == 1:
            area = geohash.Circle(*self.centre, self.sizes[0], self.unit_m)
        else:
            area = geohash.Box(*self.centre, self.sizes[0], self.sizes[1], self.unit_m)
        found = find_within(positions, area, self.count if self.any else 0)
        # The nearest ones are meant by a count, unless any will do.
        order = self.order or (ASCENDING if self.count and not self.any else 0)
        count = self.count or len(found)
        if order:
            return first_in_order(found, count, distance_of, order == DESCENDING)
        return found[:count]

    def details(self, entry: Found) -> list[Any]:
        row: list[Any] = [entry.member]
        if self.with_distance:
            row.append(geohash.format_distance(entry.distance_m / self.unit_m))
        if self.with_hash:
            row.append(int(entry.score))
        if self.with_coordinates:
            row.append(coordinates(entry.longitude, entry.latitude))
        return row

    def store(self, ctx: Session, key: bytes, found: list[Found]) -> int:
        db = ctx.db
        if not found:
            db.delete(key)
            return 0
        table = {
            entry.member: entry.distance_m / self.unit_m if self.stores_distance else entry.score
            for entry in found
        }
        db.put_made(key, SortedSet.build(table, ctx.keyspace.limits))
        event = events.GEOSEARCHSTORE if self.searches_shapes else events.GEORADIUSSTORE
        db.changed(key, event, len(found))
        return len(found)


SEARCH_COMPLEXITY = "O(N+log(M)), N = members in the cells around the shape, M = members in the shape"
RADIUS_COMPLEXITY = "O(N+log(M)), N = members in the bounding box of the circle, M = members in the index"


@geo.command(
    "GEOSEARCH",
    arity=-7,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="6.2.0",
    complexity=SEARCH_COMPLEXITY,
    history=(("7.0.0", "Units in upper case."),),
    syntax=(
        "key from=(FROMMEMBER member | FROMLONLAT (longitude latitude)) by=(circle=(BYRADIUS radius (M | "
        "KM | FT | MI)) | box=(BYBOX width height (M | KM | FT | MI))) [ASC | DESC] count-block=[COUNT "
        "count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]"
    ),
)
def geosearch(ctx: Session, argv: Argv) -> Any:
    """Find the members within a circle or a box."""
    search = Search(ctx.db.read_as(argv[1], SortedSet), searches_shapes=True)
    search.parse(argv[2:])
    search.judge(argv[0])
    return search.run(ctx)


@geo.command(
    "GEOSEARCHSTORE",
    arity=-8,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(OW | UPDATE),
        one_key(RO | ACCESS, at=2),
    ),
    since="6.2.0",
    complexity=SEARCH_COMPLEXITY,
    history=(("7.0.0", "Units in upper case."),),
    syntax=(
        "destination source from=(FROMMEMBER member | FROMLONLAT (longitude latitude)) "
        "by=(circle=(BYRADIUS radius (M | KM | FT | MI)) | box=(BYBOX width height (M | KM | FT | MI))) "
        "[ASC | DESC] count-block=[COUNT count [ANY]] [STOREDIST]"
    ),
)
def geosearchstore(ctx: Session, argv: Argv) -> Any:
    """Store the members within a circle or a box in another key."""
    search = Search(ctx.db.read_as(argv[2], SortedSet), searches_shapes=True, store_key=argv[1])
    search.parse(argv[3:])
    search.judge(argv[0])
    return search.run(ctx)


def search_around_position(ctx: Session, argv: Argv, may_store: bool) -> Any:
    search = Search(ctx.db.read_as(argv[1], SortedSet), may_store=may_store)
    search.centre = position(argv[2], argv[3])
    search.set_circle(argv[4], argv[5])
    search.parse(argv[6:])
    search.judge(argv[0])
    return search.run(ctx)


def search_around_member(ctx: Session, argv: Argv, may_store: bool) -> Any:
    positions = ctx.db.read_as(argv[1], SortedSet)
    search = Search(positions, may_store=may_store)
    if positions is not None:
        search.centre = member_position(positions, argv[2])
        search.set_circle(argv[3], argv[4])
    search.parse(argv[5:])
    search.judge(argv[0])
    return search.run(ctx)


@geo.command(
    "GEORADIUS",
    arity=-6,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(RO | ACCESS),
        keyword(OW | UPDATE, b"STORE", start=6),
        keyword(OW | UPDATE, b"STOREDIST", start=6),
    ),
    keys_by=georadius_keys,
    since="3.2.0",
    complexity=RADIUS_COMPLEXITY,
    history=(("6.2.0", "ANY and COUNT."), ("7.0.0", "Units in upper case.")),
    syntax=(
        "key longitude latitude radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] "
        "count-block=[COUNT count [ANY@6.2.0]] [ASC | DESC] store=[STORE storekey{key} | STOREDIST "
        "storedistkey{key}]"
    ),
    deprecated=("6.2.0", "GEOSEARCH and GEOSEARCHSTORE with BYRADIUS"),
)
def georadius(ctx: Session, argv: Argv) -> Any:
    """Find the members within a circle around a position; may store them."""
    return search_around_position(ctx, argv, True)


@geo.command(
    "GEORADIUS_RO",
    arity=-6,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="3.2.10",
    complexity=RADIUS_COMPLEXITY,
    history=(("6.2.0", "ANY and COUNT."), ("7.0.0", "Units in upper case.")),
    syntax=(
        "key longitude latitude radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] "
        "count-block=[COUNT count [ANY@6.2.0]] [ASC | DESC]"
    ),
    deprecated=("6.2.0", "GEOSEARCH with BYRADIUS"),
)
def georadius_ro(ctx: Session, argv: Argv) -> Any:
    """Find the members within a circle around a position."""
    return search_around_position(ctx, argv, False)


@geo.command(
    "GEORADIUSBYMEMBER",
    arity=-5,
    flags=WRITE | DENYOOM | SWELLS,
    keys=(
        one_key(RO | ACCESS),
        keyword(OW | UPDATE, b"STORE", start=5),
        keyword(OW | UPDATE, b"STOREDIST", start=5),
    ),
    keys_by=georadius_keys,
    since="3.2.0",
    complexity=RADIUS_COMPLEXITY,
    history=(("6.2.0", "ANY and COUNT."), ("7.0.0", "Units in upper case.")),
    syntax=(
        "key member radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] count-block=[COUNT count "
        "[ANY]] [ASC | DESC] store=[STORE storekey{key} | STOREDIST storedistkey{key}]"
    ),
    deprecated=("6.2.0", "GEOSEARCH and GEOSEARCHSTORE with BYRADIUS and FROMMEMBER"),
)
def georadiusbymember(ctx: Session, argv: Argv) -> Any:
    """Find the members within a circle around a member; may store them."""
    return search_around_member(ctx, argv, True)


@geo.command(
    "GEORADIUSBYMEMBER_RO",
    arity=-5,
    flags=READONLY,
    keys=one_key(RO | ACCESS),
    since="3.2.10",
    complexity=RADIUS_COMPLEXITY,
    history=(("6.2.0", "ANY and COUNT."), ("7.0.0", "Units in upper case.")),
    syntax=(
        "key member radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] count-block=[COUNT count "
        "[ANY]] [ASC | DESC]"
    ),
    deprecated=("6.2.0", "GEOSEARCH with BYRADIUS and FROMMEMBER"),
)
def georadiusbymember_ro(ctx: Session, argv: Argv) -> Any:
    """Find the members within a circle around a member."""
    return search_around_member(ctx, argv, False)
