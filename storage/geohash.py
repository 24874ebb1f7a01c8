"""Positions on the earth as 52-bit geohashes, and which cells of them a circle or a box touches.

Owns the arithmetic of GEOADD and GEOSEARCH: scores, distances, areas. Knows no sorted sets, no argument
vectors and no replies. Scores and distances equal Redis's to the last bit, so every formula keeps Redis's
order of operations: what looks like a simplification here moves a member across a border.

A geohash interleaves the bits of two cell numbers, latitude in the even bits and longitude in the odd ones,
so cells that share a prefix are neighbours and a cell of any size is one contiguous range of scores.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from math import asin, cos, fabs, frexp, inf, pi, sin, sqrt

from storage.numeric import format_fixed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

LONGITUDE_MIN, LONGITUDE_MAX = -180.0, 180.0
LATITUDE_MIN, LATITUDE_MAX = -85.05112878, 85.05112878  # where the web Mercator projection (EPSG:3857) ends
STEPS = 26  # bits of each coordinate in a score: 52 in all, which a double holds exactly
EARTH_RADIUS_M = 6372797.560856
MAX_KEPT_POSITIONS = 4096  # a megabyte
_MERCATOR_MAX_M = 20037726.37  # half of the projected equator
_ALPHABET = b"0123456789bcdefghjkmnpqrstuvwxyz"
_RADIANS = pi / 180.0

METERS_PER_UNIT = {b"m": 1.0, b"km": 1000.0, b"ft": 0.3048, b"mi": 1609.34}


# -- encoding --------------------------------------------------------------------------------------


def _spread(number: int) -> int:
    """Put a zero bit above each of the low 32 bits."""
    number &= 0xFFFFFFFF
    number = (number | number << 16) & 0x0000FFFF0000FFFF
    number = (number | number << 8) & 0x00FF00FF00FF00FF
    number = (number | number << 4) & 0x0F0F0F0F0F0F0F0F
    number = (number | number << 2) & 0x3333333333333333
    return (number | number << 1) & 0x5555555555555555


def _gather(number: int) -> int:
    """Undo `_spread`, ignoring the odd bits."""
    number &= 0x5555555555555555
    number = (number | number >> 1) & 0x3333333333333333
    number = (number | number >> 2) & 0x0F0F0F0F0F0F0F0F
    number = (number | number >> 4) & 0x00FF00FF00FF00FF
    number = (number | number >> 8) & 0x0000FFFF0000FFFF
    return (number | number >> 16) & 0x00000000FFFFFFFF


def is_position(longitude: float, latitude: float) -> bool:
    """Tell whether a position can be stored. False for NaN."""
    return LONGITUDE_MIN <= longitude <= LONGITUDE_MAX and LATITUDE_MIN <= latitude <= LATITUDE_MAX


def _cell_of(longitude: float, latitude: float, steps: int) -> tuple[int, int]:
    x = int((longitude - LONGITUDE_MIN) / (LONGITUDE_MAX - LONGITUDE_MIN) * (1 << steps))
    y = int((latitude - LATITUDE_MIN) / (LATITUDE_MAX - LATITUDE_MIN) * (1 << steps))
    return x, y


def encode(longitude: float, latitude: float) -> float:
    """Return the score of a valid position.

    The northern and eastern borders need a bit more than 52, so there a double may round the last one away.
    """
    x, y = _cell_of(longitude, latitude, STEPS)
    return float(_spread(y) | _spread(x) << 1)


def score_bits(score: float) -> int:
    """Return a score as 64 bits, as C converts it: scores that ZADD put there may be of any size."""
    if -(2.0**63) <= score < 2.0**64:
        return int(score) & 0xFFFFFFFFFFFFFFFF
    return 0 if score > 0 else 1 << 63


def decode_anew(score: float) -> tuple[float, float]:
    """Return (longitude, latitude) of the centre of a score's cell."""
    bits = score_bits(score)
    x = _gather(bits >> 1)
    y = _gather(bits)
    span = LONGITUDE_MAX - LONGITUDE_MIN
    scale = 1.0 / (1 << STEPS)  # a power of two: dividing and multiplying by it are both exact
    longitude = (LONGITUDE_MIN + x * scale * span + (LONGITUDE_MIN + (x + 1) * scale * span)) / 2
    span = LATITUDE_MAX - LATITUDE_MIN
    latitude = (LATITUDE_MIN + y * scale * span + (LATITUDE_MIN + (y + 1) * scale * span)) / 2
    return (
        min(max(longitude, LONGITUDE_MIN), LONGITUDE_MAX),
        min(max(latitude, LATITUDE_MIN), LATITUDE_MAX),
    )


# What is searched is searched again: 1.6 -> 0.1 us a position that was met lately. PyPy's own cache is not faster.
decode = lru_cache(MAX_KEPT_POSITIONS)(decode_anew) if sys.implementation.name != "pypy" else decode_anew


def geohash_string(score: float) -> bytes:
    """Return the standard geohash of 11 characters; 52 bits fill ten of them, so the last is always 0.

    The standard divides latitudes from -90 to 90, scores do not: the position is encoded anew.
    """
    longitude, latitude = decode(score)
    x = int((longitude + 180.0) / 360.0 * (1 << STEPS))
    y = int((latitude + 90.0) / 180.0 * (1 << STEPS))
    bits = _spread(y) | _spread(x) << 1
    return bytes(_ALPHABET[bits >> shift & 31] for shift in range(47, 0, -5)) + b"0"


# -- distances -------------------------------------------------------------------------------------


def distance_m(longitude1: float, latitude1: float, longitude2: float, latitude2: float) -> float:
    """Return the great-circle distance in metres (haversine, spherical earth)."""
    v = sin((longitude2 * _RADIANS - longitude1 * _RADIANS) / 2)
    if v == 0.0:
        return _meridian_distance_m(latitude1, latitude2)
    south = latitude1 * _RADIANS
    north = latitude2 * _RADIANS
    u = sin((north - south) / 2)
    a = u * u + cos(south) * cos(north) * v * v
    # Between opposite ends of the earth rounding may bring `a` above 1.
    return 2.0 * EARTH_RADIUS_M * asin(sqrt(a) if a < 1.0 else 1.0)


def _meridian_distance_m(latitude1: float, latitude2: float) -> float:
    return EARTH_RADIUS_M * fabs(latitude2 * _RADIANS - latitude1 * _RADIANS)


def format_distance(distance: float) -> bytes:
    """Print a distance as GEODIST does, with four decimals."""
    return format_fixed(distance, 4)


# -- areas -----------------------------------------------------------------------------------------


class Circle:
    """What lies within a radius of a position. `radius` is in the unit of `meters_per_unit`."""

    __slots__ = (
        "longitude",
        "latitude",
        "radius_m",
        "reach_m",
        "half_width_m",
        "half_height_m",
        "_meridian",
        "_parallel",
        "_shrinking",
        "_rise",
    )

    def __init__(self, longitude: float, latitude: float, radius: float, meters_per_unit: float) -> None:
        self.longitude = longitude
        self.latitude = latitude
        self.radius_m = radius * meters_per_unit
        self.reach_m = self.half_width_m = self.half_height_m = meters_per_unit * radius
        self._meridian = longitude * _RADIANS
        self._parallel = latitude * _RADIANS
        self._shrinking = cos(self._parallel)
        # So many degrees of latitude from the centre all is outside, however the arithmetic rounds.
        self._rise = self.radius_m / EARTH_RADIUS_M / _RADIANS * (1 + 1e-9) + 1e-9

    def distance_to(self, longitude: float, latitude: float) -> Optional[float]:
        """Return the distance of a position from the centre in metres, None outside."""
        if fabs(latitude - self.latitude) > self._rise:
            return None
        # `distance_m`, what concerns the centre computed once: 0.9 -> 0.6 us, and 0.2 us for what is told above.
        v = sin((longitude * _RADIANS - self._meridian) / 2)
        if v == 0.0:
            distance = _meridian_distance_m(self.latitude, latitude)
        else:
            parallel = latitude * _RADIANS
            u = sin((parallel - self._parallel) / 2)
            a = u * u + self._shrinking * cos(parallel) * v * v
            distance = 2.0 * EARTH_RADIUS_M * asin(sqrt(a) if a < 1.0 else 1.0)
        return None if distance > self.radius_m else distance


class Box:
    """What lies within a box around a position, its sides along meridians and parallels."""

    __slots__ = ("longitude", "latitude", "width_m", "height_m", "reach_m", "half_width_m", "half_height_m")

    def __init__(
        self, longitude: float, latitude: float, width: float, height: float, meters_per_unit: float
    ) -> None:
        self.longitude = longitude
        self.latitude = latitude
        self.width_m = width * meters_per_unit
        self.height_m = height * meters_per_unit
        self.half_width_m = meters_per_unit * (width / 2)
        self.half_height_m = meters_per_unit * (height / 2)
        self.reach_m = sqrt((width / 2) * (width / 2) + (height / 2) * (height / 2)) * meters_per_unit

    def distance_to(self, longitude: float, latitude: float) -> Optional[float]:
        """Return the distance of a position from the centre in metres, None outside."""
        if _meridian_distance_m(latitude, self.latitude) > self.height_m / 2:
            return None
        # Widths are measured along the member's own parallel.
        if distance_m(longitude, latitude, self.longitude, latitude) > self.width_m / 2:
            return None
        return distance_m(self.longitude, self.latitude, longitude, latitude)


if TYPE_CHECKING:
    from typing import Union

    Area = Union[Circle, Box]


def _steps_for(reach_m: float, latitude: float) -> int:
    """Return how many bits a coordinate of a cell may have so that nine cells cover the reach."""
    if reach_m == 0:
        return STEPS
    steps = -1
    if reach_m < _MERCATOR_MAX_M:
        # How often it is doubled until it is not less, by exponents: 1.0 -> 0.3 us for a kilometre.
        (fraction, exponent), (most, above) = frexp(reach_m), frexp(_MERCATOR_MAX_M)
        steps += above - exponent + (fraction < most)
    if latitude > 66 or latitude < -66:
        # Cells narrow towards the poles.
        steps -= 1
        if latitude > 80 or latitude < -80:
            steps -= 1
    return min(max(steps, 1), STEPS)


def _bounds(area: Area) -> tuple[float, float, float, float]:
    """Return (west, east, south, north) of an area, its width measured at the side nearer to the pole."""
    latitude = area.latitude
    rise = area.half_height_m / EARTH_RADIUS_M / _RADIANS
    if rise == inf:
        return -inf, inf, -inf, inf
    widest = latitude - rise if latitude < 0 else latitude + rise
    reach = area.half_width_m / EARTH_RADIUS_M / cos(widest * _RADIANS) / _RADIANS
    return area.longitude - reach, area.longitude + reach, latitude - rise, latitude + rise


def _edges(cell: int, steps: int, low: float, high: float) -> tuple[float, float]:
    scale = 1.0 / (1 << steps)
    span = high - low
    return low + cell * scale * span, low + (cell + 1) * scale * span


def score_ranges(area: Area) -> list[tuple[int, int]]:
    """Return the half-open score ranges of the up to nine cells that cover an area.

    They come in the order in which GEOSEARCH visits them, which an unsorted reply shows: centre, north,
    south, east, west and the corners. Around the whole earth cells repeat; a repetition of the one just
    visited is left out, others are visited twice, as in Redis.
    """
    west, east, south, north = _bounds(area)
    steps = _steps_for(area.reach_m, area.latitude)
    x, y = _cell_of(area.longitude, area.latitude, steps)
    mask = (1 << steps) - 1
    if steps > 1 and (
        _edges((y + 1) & mask, steps, LATITUDE_MIN, LATITUDE_MAX)[1] < north
        or _edges((y - 1) & mask, steps, LATITUDE_MIN, LATITUDE_MAX)[0] > south
        or _edges((x + 1) & mask, steps, LONGITUDE_MIN, LONGITUDE_MAX)[1] < east
        or _edges((x - 1) & mask, steps, LONGITUDE_MIN, LONGITUDE_MAX)[0] > west
    ):
        steps -= 1
        x, y = _cell_of(area.longitude, area.latitude, steps)
        mask = (1 << steps) - 1
    rows = {-1, 0, 1}
    columns = {-1, 0, 1}
    if steps >= 2:
        # What the centre's own cell covers on one side needs no neighbours there.
        low, high = _edges(y, steps, LATITUDE_MIN, LATITUDE_MAX)
        if low < south:
            rows.discard(-1)
        if high > north:
            rows.discard(1)
        low, high = _edges(x, steps, LONGITUDE_MIN, LONGITUDE_MAX)
        if low < west:
            columns.discard(-1)
        if high > east:
            columns.discard(1)
    shift = 52 - steps * 2
    ranges: list[tuple[int, int]] = []
    last = -1
    # Only a step wraps around: a centre on the eastern or northern border keeps its bit too many.
    spread_rows = {dy: _spread(y + dy & mask if dy else y) for dy in rows}
    spread_columns = {dx: _spread(x + dx & mask if dx else x) << 1 for dx in columns}
    for dx, dy in _VISITING_ORDER:
        if dx not in columns or dy not in rows:
            continue
        cell = spread_rows[dy] | spread_columns[dx]
        if cell == last:
            continue
        if dx or dy:
            last = cell  # Redis compares with any cell but the centre.
        ranges.append((cell << shift, (cell + 1) << shift))
    return ranges


_VISITING_ORDER = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
