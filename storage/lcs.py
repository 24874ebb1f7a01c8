"""The longest common subsequence of two strings, by whole rows of bits.

Row i of the dynamic-programming table is kept as the bits in which neighbouring cells do not differ, computed from the
row above with one addition and one subtraction of long integers (Hyyro 2004, "Bit-parallel LCS-length computation
revisited"). Two strings of 10,000 bytes take 0.1 s instead of a minute, and 12 MB for the walk back instead of 400 MB.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Tuple

    Match = Tuple[int, int, int, int]  # first and last index in a, first and last index in b


def _rows(a: bytes, b: bytes) -> List[int]:
    """Bit j of row i is 0 where LCS(a[:i+1], b[:j+1]) is one more than LCS(a[:i+1], b[:j])."""
    mask = (1 << len(b)) - 1
    places = {}
    for byte in set(a):
        bits = 0
        start = b.find(byte)
        while start >= 0:
            bits |= 1 << start
            start = b.find(byte, start + 1)
        places[byte] = bits
    row = mask
    rows = []
    for byte in a:
        common = row & places[byte]
        row = ((row + common) | (row - common)) & mask
        rows.append(row)
    return rows


def length(a: bytes, b: bytes) -> int:
    """The length of the longest common subsequence."""
    if not a or not b:
        return 0
    return len(b) - bin(_rows(a, b)[-1]).count("1")


def trace(a: bytes, b: bytes) -> Tuple[bytes, List[Match]]:
    """The subsequence that Redis finds, and its ranges from the last to the first."""
    if not a or not b:
        return b"", []
    width = (len(b) + 7) // 8
    rows = [row.to_bytes(width, "little") for row in _rows(a, b)]
    found = bytearray()
    matches: List[Match] = []
    first_a = last_a = first_b = last_b = -1
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            found.append(a[i - 1])
            if first_a < 0:
                last_a, last_b = i - 1, j - 1
            i -= 1
            j -= 1
            first_a, first_b = i, j
            if i and j:
                continue
        elif rows[i - 1][(j - 1) >> 3] >> ((j - 1) & 7) & 1:
            j -= 1
        else:
            i -= 1
        if first_a >= 0:
            matches.append((first_a, last_a, first_b, last_b))
            first_a = -1
    found.reverse()
    return bytes(found), matches
