"""Cursors as SCAN and its relatives read them."""

from __future__ import annotations

import pytest

from server.scan_arguments import ScanOptions, parse_cursor
from storage.errors import CommandError


@pytest.mark.parametrize(
    ("argument", "cursor"),
    [
        (b"0", 0),
        (b"18446744073709551615", 2**64 - 1),
        (b"+1", 1),
        (b"01", 1),
        (b" 1", 1),
        (b"\v1", 1),
        (b"-0", 0),
        (b"-01", 2**64 - 1),
        (b"-9223372036854775809", 2**63 - 1),
        (b"7\0 and more", 7),
        (b"0" * 200, 0),
    ],
)
def test_a_cursor_is_what_strtoull_makes_of_it(argument, cursor):
    assert parse_cursor(argument) == cursor


@pytest.mark.parametrize(
    "argument",
    [b"", b"-1", b"-9223372036854775808", b"18446744073709551616", b"1 ", b"- 1", b"--1", b"-", b"0x1", b"a", b"\x000"],
)
def test_negative_numbers_and_other_texts_are_no_cursors(argument):
    with pytest.raises(CommandError) as caught:
        parse_cursor(argument)
    assert caught.value.text == b"ERR invalid cursor"


def test_only_hscan_leaves_values_out():
    assert ScanOptions([b"novalues"], of_hash=True).without_values
    with pytest.raises(CommandError) as caught:
        ScanOptions([b"COUNT", b"5", b"NOVALUES"])
    assert caught.value.text == b"ERR NOVALUES option can only be used in HSCAN"
