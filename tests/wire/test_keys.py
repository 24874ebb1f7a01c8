"""Commands on keys of any type as a client sees them."""

from __future__ import annotations

import pytest

OUTSIDE = (b"-", b"ERR value is out of range, value must between -2147483648 and 2147483647")


@pytest.mark.parametrize("number", ["2147483648", "-2147483649", "9223372036854775807"])
def test_a_database_beyond_32_bits_is_refused_with_the_range(wire, number):
    assert wire.command("MOVE", "k", number) == OUTSIDE
    assert wire.command("COPY", "k", "other", "DB", number) == OUTSIDE
    assert wire.command("SELECT", number) == OUTSIDE


def test_lcs_refuses_what_would_need_a_table_larger_than_a_bulk_string_may_be(wire):
    wire.ask("MSET", "a", "x" * 11585, "b", "y" * 11584, "c", "y" * 11583)
    refusal = b"-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
    assert wire.ask("LCS", "a", "b", "LEN") == refusal
    assert wire.ask("LCS", "b", "c", "LEN") == 11583
