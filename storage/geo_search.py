"""Members of a sorted set of positions that lie within an area.

Owns the walk over the cells that cover the area. Knows no argument vectors and no replies.
"""

from __future__ import annotations

from storage.geohash import decode, score_ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from storage.geohash import Area
    from storage.types.sorted_set import SortedSet


class Found:
    """A member within the area, its score, its position, and its distance from the centre in metres."""

    __slots__ = ("member", "score", "longitude", "latitude", "distance_m")

    def __init__(
        self, member: bytes, score: float, longitude: float, latitude: float, distance_m: float
    ) -> None:
        self.member = member
        self.score = score
        self.longitude = longitude
        self.latitude = latitude
        self.distance_m = distance_m


def find_within(positions: SortedSet, area: Area, limit: int = 0) -> list[Found]:
    """Return the members within an area, cell by cell and by score within a cell; any `limit` of them unless 0.

    O(log n) a cell and O(1) a member of the up to nine cells around the area.
    """
    found: list[Found] = []
    for low, high in score_ranges(area):
        if limit and len(found) >= limit:
            break
        members, scores = positions.between(float(low), float(high))
        for member, score in zip(members, scores):
            longitude, latitude = decode(score)
            distance_m = area.distance_to(longitude, latitude)
            if distance_m is not None:
                found.append(Found(member, score, longitude, latitude, distance_m))
                if len(found) == limit:
                    break
    return found
