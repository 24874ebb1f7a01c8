"""Known answers come from a real 7.4."""

from __future__ import annotations

import hashlib
import math
import random

import pytest

from storage import geohash
from storage.geo_search import find_within
from storage.geohash import Box, Circle
from storage.limits import EncodingLimits
from storage.numeric import format_human
from storage.types.sorted_set import SortedSet

PLACES = {
    "Palermo": (13.361389, 38.115556),
    "Catania": (15.087269, 37.502669),
    "edge": (180.0, 85.05112878),
    "corner": (-180.0, -85.05112878),
    "zero": (0.0, 0.0),
    "Sydney": (151.2093, -33.8688),
}


@pytest.mark.parametrize(
    "name, score, text, longitude, latitude",
    [
        ("Palermo", 3479099956230698, b"sqc8b49rny0", b"13.36138933897018433", b"38.11555639549629859"),
        ("Catania", 3479447370796909, b"sqdtr74hyu0", b"15.08726745843887329", b"37.50266842333162032"),
        ("edge", 13510798882111488, b"bp05b5048p0", b"180", b"85.0511287799999991"),
        ("corner", 0, b"00bh0hbj200", b"-179.99999731779098511", b"-85.05112751263942528"),
        ("zero", 3377699720527872, b"s0000000000", b"0.00000268220901489", b"0.00000126736058093"),
        ("Sydney", 3252046221964352, b"r3gx2f77bj0", b"151.20929986238479614", b"-33.86880091934155956"),
    ],
)
def test_scores_strings_and_coordinates_equal_the_real_ones(name, score, text, longitude, latitude):
    assert geohash.encode(*PLACES[name]) == score
    assert geohash.geohash_string(score) == text
    assert tuple(map(format_human, geohash.decode(score))) == (longitude, latitude)


@pytest.mark.parametrize(
    "one, other, distances",
    [
        ("Palermo", "Catania", [b"166274.1516", b"166.2742", b"545518.8700", b"103.3182"]),
        ("Palermo", "Sydney", [b"16230616.4547", b"16230.6165", b"53250053.9851", b"10085.2626"]),
        ("edge", "corner", [b"18919844.5891", b"18919.8446", b"62072980.9353", b"11756.2756"]),
        ("zero", "edge", [b"10560811.4940", b"10560.8115", b"34648331.6733", b"6562.2003"]),
    ],
)
def test_distances_in_every_unit_equal_the_real_ones(one, other, distances):
    positions = [geohash.decode(geohash.encode(*PLACES[name])) for name in (one, other)]
    metres = geohash.distance_m(*positions[0], *positions[1])
    units = (b"m", b"km", b"ft", b"mi")
    assert [geohash.format_distance(metres / geohash.METERS_PER_UNIT[unit]) for unit in units] == distances


def test_a_decoded_position_is_within_half_a_cell():
    source = random.Random(1)
    for _ in range(500):
        longitude, latitude = source.uniform(-180, 180), source.uniform(-85, 85)
        x, y = geohash.decode(geohash.encode(longitude, latitude))
        assert abs(x - longitude) <= 360 / 2**27
        assert abs(y - latitude) <= 171 / 2**27


@pytest.mark.parametrize(
    "longitude, latitude",
    [(180.1, 0.0), (-180.1, 0.0), (0.0, 85.1), (0.0, -85.1), (math.nan, 0.0), (0.0, math.inf)],
)
def test_positions_off_the_map_are_refused(longitude, latitude):
    assert not geohash.is_position(longitude, latitude)


def test_scores_of_any_size_decode_to_some_position():
    for score in (-1.0, 2.0**63, 1e300, -1e300, math.inf, -math.inf, 0.5):
        assert geohash.is_position(*geohash.decode(score))


def test_opposite_ends_of_the_earth_have_a_distance():
    half = math.pi * geohash.EARTH_RADIUS_M
    source = random.Random(2)
    for _ in range(300):
        longitude, latitude = source.uniform(-180, 0), source.uniform(-85, 85)
        distance = geohash.distance_m(longitude, latitude, longitude + 180, -latitude)
        assert distance == pytest.approx(half, rel=1e-6)


@pytest.fixture(scope="module")
def positions():
    source = random.Random(11)
    scores = {}
    for number in range(300):
        longitude, latitude = source.uniform(-180, 180), source.uniform(-85, 85)
        scores[b"p%d" % number] = geohash.encode(longitude, latitude)
    return SortedSet.build(scores, EncodingLimits())


@pytest.mark.parametrize(
    "area, count, digest",
    [
        (Circle(0, 0, 2000, 1000), 4, "e2ca6683323ffe29"),
        (Circle(179.9, 10, 3000, 1000), 15, "03c7d47fc9d1ad73"),
        (Box(20, 84, 4000, 3000, 1000), 12, "f1a0360e211d95c3"),
        (Box(-70, -40, 30000, 9000, 1000), 130, "43d2084d871873e2"),
        (Circle(10, 10, 30000, 1000), 300, "98d1b1d2709225e2"),
    ],
    ids=["circle", "across the date line", "box near the pole", "wide box", "whole earth"],
)
def test_searches_find_the_real_members_in_the_real_order(positions, area, count, digest):
    members = [found.member for found in find_within(positions, area)]
    assert len(members) == count
    assert hashlib.sha1(b" ".join(members)).hexdigest()[:16] == digest


def test_a_limit_stops_the_search(positions):
    everything = find_within(positions, Circle(10, 10, 30000, 1000))
    some = find_within(positions, Circle(10, 10, 30000, 1000), limit=7)
    assert [found.member for found in some] == [found.member for found in everything[:7]]


def test_a_search_equals_the_examination_of_every_member(positions):
    source = random.Random(12)
    for _ in range(60):
        # Areas that reach neither a pole nor around the earth: there Redis itself leaves members out.
        centre = source.uniform(-150, 150), source.uniform(-55, 55)
        size = source.uniform(1, 1500)
        area = source.choice((Circle(*centre, size, 1000), Box(*centre, size, size * 1.5, 1000)))
        everywhere = {
            member for member, score in positions.items() if area.distance_to(*geohash.decode(score)) is not None
        }
        assert {found.member for found in find_within(positions, area)} == everywhere


def test_a_small_circle_visits_only_small_cells():
    ranges = geohash.score_ranges(Circle(13.36, 38.11, 1, 1000))
    assert 1 <= len(ranges) <= 9
    assert all(high - low <= 1 << 28 for low, high in ranges)


@pytest.mark.parametrize(
    "area",
    [
        Circle(0, 0, math.inf, 1),
        Circle(0, 89, 1e308, 1609.34),
        Box(0, 0, math.inf, 1, 1),
        Box(0, 0, 1, math.inf, 1),
        Circle(0, 0, 0, 1),
    ],
    ids=["endless", "overflowing", "endlessly wide", "endlessly high", "a point"],
)
def test_extreme_areas_are_searched_without_a_fault(positions, area):
    assert len(find_within(positions, area)) <= len(positions)
