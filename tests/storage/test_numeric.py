"""What counts as a number and how numbers print; expected texts were asked of Redis 7.4."""

from __future__ import annotations

import random
import struct

import pytest

from storage import numeric
from storage.numeric import (
    NotFinite,
    format_fixed,
    format_float,
    format_human,
    leading_int,
    long_double_add,
    parse_float,
    parse_int,
    parse_lex_bound,
    parse_long_double,
    parse_score_bound,
    parse_unsigned,
)

INF = float("inf")

# Refused as doubles and as long doubles.
NOT_NUMBERS = [
    b"", b" ", b" 1", b"1 ", b"\t1", b"1\n", b"1\0", b"\x001", b"1_0", b"_1", b"0x_1",
    b"nan", b"-nan", b"NaN", b"nan(12)",
    b".", b"-", b"+", b"+-1", b"--1", b".e5", b"1e", b"1e+", b"1d5", b"1e5.0", b"1.2.3", b"0x", b"0x.", b"0x.p1",
    b"0x1p", b"0x1p+", b"0xg", b"infinit", b"infinityy", b"in", b"\xff", b"1,5", b"\xb2",
]  # fmt: skip


@pytest.mark.parametrize(
    "text", [b"0", b"7", b"-1", b"10", b"9223372036854775807", b"-9223372036854775808", b"1000000000000000000"]
)
def test_a_canonical_integer_is_read(text):
    assert parse_int(text) == int(text)
    assert parse_int(bytearray(text)) == int(text)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"-", b"+1", b"-0", b"00", b"01", b"-01", b" 1", b"1 ", b"1\n", b"1\0", b"1_0", b"1.0", b"1e3", b"0x1",
        b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"1" * 5000, b"-" + b"1" * 5000,
        b"--1", b"\xb2",
    ],
)  # fmt: skip
def test_what_is_not_a_canonical_integer_is_refused(text):
    with pytest.raises(ValueError):
        parse_int(text)


@pytest.mark.parametrize(
    "text, number",
    [
        (b"0", 0),
        (b"5", 5),
        (b"05", 5),
        (b" 5", 5),
        (b"+5", 5),
        (b"5\0x", 5),
        (b"0" * 30 + b"5", 5),
        (b"9223372036854775808", 2**63),
        (b"18446744073709551615", 2**64 - 1),
        (b"-05", 2**64 - 5),
        (b"-018446744073709551615", 1),
    ],
)
def test_an_unsigned_integer_is_read_as_by_strtoull(text, number):
    assert parse_unsigned(text) == number


@pytest.mark.parametrize(
    "text", [b"", b"-5", b"5 ", b"18446744073709551616", b"+ 5", b"-", b"a", b"1" * 5000, b"\0", b"0x5", b"--5"]
)
def test_what_is_not_unsigned_is_refused(text):
    with pytest.raises(ValueError):
        parse_unsigned(text)


@pytest.mark.parametrize(
    "text, number",
    [
        (b"1", 1.0),
        (b"+1.5", 1.5),
        (b"-.5", -0.5),
        (b"5.", 5.0),
        (b"1.e5", 1e5),
        (b"1E5", 1e5),
        (b"0e99999999999999999999", 0.0),
        (b"0x10", 16.0),
        (b"-0x1", -1.0),
        (b"0X.8", 0.5),
        (b"+0X1P-3", 0.125),
        (b"0x1.8p+1", 3.0),
        (b"0x1p-1074", 5e-324),
        (b"0x0p99999999999999999999", 0.0),
        (b"0x1.fffffffffffff7p1023", 1.7976931348623157e308),
        (b"inf", INF),
        (b"-INF", -INF),
        (b"+InFinity", INF),
        (b"3e-324", 5e-324),
        (b"0" * 6000 + b"1", 1.0),
    ],
)
def test_doubles_are_read_as_by_strtod(text, number):
    assert parse_float(text) == number


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_what_is_not_a_number_is_neither_double_nor_long_double(text):
    with pytest.raises(ValueError):
        parse_float(text)
    with pytest.raises(ValueError):
        parse_long_double(text)


@pytest.mark.parametrize(
    "text",
    [
        b"1e309", b"-1e309", b"2e-324", b"1e-400", b"1e99999999999", b"-1e-99999999999", b"0x1p1024", b"0x1p-1075",
        b"0x1p99999999999", b"0x1.fffffffffffff8p1023",
    ],
)  # fmt: skip
def test_doubles_out_of_range_are_refused(text):
    with pytest.raises(ValueError):
        parse_float(text)


@pytest.mark.parametrize(
    "text, bound",
    [
        (b"1.5", (1.5, False)),
        (b"(1.5", (1.5, True)),
        (b"(-inf", (-INF, True)),
        (b"", (0.0, False)),
        (b"(", (0.0, True)),
        (b" 1", (1.0, False)),
        (b"( 1", (1.0, True)),
        (b"1\0x", (1.0, False)),
        (b"1e400", (INF, False)),
        (b"-1e400", (-INF, False)),
        (b"1e-400", (0.0, False)),
        (b"0x1p9999", (INF, False)),
        (b"-0x1p9999", (-INF, False)),
        (b"0x1p-9999", (0.0, False)),
    ],
)
def test_score_bounds_are_read_loosely(text, bound):
    assert parse_score_bound(text) == bound


@pytest.mark.parametrize("text", [b"nan", b"(nan", b"((1", b"1 ", b"1_0", b"0x", b" ", b"a", b"[1"])
def test_what_is_not_a_score_bound_is_refused(text):
    with pytest.raises(ValueError):
        parse_score_bound(text)


def test_lex_bounds_have_a_mark_or_are_an_end():
    assert parse_lex_bound(b"-") == (-1, b"", False)
    assert parse_lex_bound(b"+\0x") == (1, b"", False)
    assert parse_lex_bound(b"[") == (0, b"", False)
    assert parse_lex_bound(b"(a b") == (0, b"a b", True)


@pytest.mark.parametrize(
    "number, text",
    [
        (0.0, b"0"),
        (-0.0, b"-0"),
        (-3.0, b"-3"),
        (INF, b"inf"),
        (-INF, b"-inf"),
        (float("nan"), b"nan"),
        (0.1, b"0.1"),
        (1e15, b"1000000000000000"),
        (1e18, b"1000000000000000000"),
        (2.0**62, b"4611686018427387904"),
        (4.7e18, b"4.7e+18"),
        (2.0**63, b"9223372036854776000"),
        (1e20, b"1e+20"),
        (123456789012345680000.0, b"123456789012345680000"),
        (398080999999999970000.0, b"398080999999999970000"),
        (1.2345e25, b"1.2345e+25"),
        (1.7976931348623157e308, b"1.7976931348623157e+308"),
        (5e-324, b"5e-324"),
        (0.00001, b"0.00001"),
        (0.000025, b"0.000025"),
        (0.0001234, b"1.234e-4"),
        (1e-7, b"1e-7"),
        (0.00123456789, b"0.00123456789"),
        (9999.123456789, b"9999.123456789"),
        (10000.123456, b"10000.123456"),
        (10000.1234567, b"1.00001234567e+4"),
        (-12345.678901234567, b"-1.2345678901234567e+4"),
        (99999999999.5, b"99999999999.5"),
        (-1039514241563211.75, b"-1039514241563211.7"),
        (794647065275e6, b"794647065275000064"),
    ],
)
def test_doubles_print_as_redis_74_prints_them(number, text):
    assert format_float(number) == text


def test_printed_doubles_read_back_as_the_same_double():
    rng = random.Random(17)
    for _ in range(3000):
        number = struct.unpack("<d", rng.getrandbits(64).to_bytes(8, "little"))[0]
        if number - number == 0.0:
            assert parse_float(format_float(number)) == number
    for _ in range(3000):
        number = round(rng.uniform(-1, 1) * 10.0 ** rng.randrange(-9, 12), rng.randrange(16))
        assert parse_float(format_float(number)) == number


def test_short_decimals_print_the_same_with_and_without_the_short_cut():
    rng = random.Random(23)
    for _ in range(3000):
        number = round(rng.uniform(0.001, 1000.0), rng.randrange(1, 13))
        digits, exponent = numeric._grisu2(number)
        if number != int(number):
            assert format_float(number) == numeric._lay_out(False, digits, exponent)


def test_fixed_decimals_round_the_scaled_double_to_even():
    assert format_fixed(0.0, 4) == b"0.0000"
    assert format_fixed(166274.15156960039, 4) == b"166274.1516"
    assert format_fixed(0.00005, 4) == b"0.0000"
    assert format_fixed(0.00025, 4) == b"0.0002"
    assert format_fixed(-1.5, 4) == b"-1.5000"


def test_human_doubles_have_17_exact_decimals():
    assert format_human(13.361389338970184) == b"13.36138933897018433"
    assert format_human(2.0) == b"2"
    assert format_human(-1e-30) == b"0"
    assert format_human(100.0) == b"100"


@pytest.mark.parametrize(
    "a, b, total",
    [
        (b"0.1", b"0.2", b"0.3"),
        (b"10.5", b"0.1", b"10.6"),
        (b"3", b"-3", b"0"),
        (b"-0", b"-0", b"0"),
        (b"0", b"-1e-30", b"0"),
        (b"-1e-17", b"0", b"-0.00000000000000001"),
        (b"100", b"0", b"100"),
        (b"5.0e3", b"200", b"5200"),
        (b"0x1P4", b"1", b"17"),
        (b"0", b"0x1p-60", b"0"),
        (b"9223372036854775807", b"1", b"9223372036854775808"),
        (b"18446744073709551615", b"1", b"18446744073709551616"),
        (b"18446744073709551615", b"0.5", b"18446744073709551616"),
        (b"1e23", b"1", b"100000000000000000000000"),
        (b"0", b"0" * 5118 + b"1", b"1"),
    ],
)
def test_long_doubles_add_in_80_bits(a, b, total):
    assert long_double_add(a, b) == total


def test_a_long_double_prints_every_digit_of_a_huge_number():
    text = long_double_add(b"0", b"1e4930")
    assert len(text) == 4931
    assert text.startswith(b"1000000000000000000")
    assert long_double_add(text, b"-" + text) == b"0"


def test_a_chain_of_increments_does_not_drift():
    total = b"0"
    for _ in range(1000):
        total = long_double_add(total, b"0.1")
    assert total == b"100"


@pytest.mark.parametrize(
    "text, number",
    [
        (b"", 0),
        (b"12", 12),
        (b" \t-07x", -7),
        (b"+3.9", 3),
        (b"- 1", 0),
        (b"2147483648", -(2**31)),
        (b"4294967297", 1),
        (b"0" * 5000 + b"5", 5),
        (b"9" * 5000, -1),
        (b"-" + b"9" * 5000, 0),
    ],
)
def test_atoi_reads_a_beginning_and_keeps_32_bits(text, number):
    assert leading_int(text) == number


@pytest.mark.parametrize("a, b", [(b"inf", b"1"), (b"1", b"-inf"), (b"inf", b"-inf"), (b"1.1e4932", b"1.1e4932")])
def test_a_sum_that_is_not_finite_has_its_own_error(a, b):
    with pytest.raises(NotFinite):
        long_double_add(a, b)


@pytest.mark.parametrize(
    "text",
    [b"1e4933", b"1e-4951", b"0x1p16384", b"0x1p-16446", b"1e9999999999", b"0" * 5119 + b"1", b"1" * 5000],
)
def test_long_doubles_out_of_range_or_too_long_are_refused(text):
    with pytest.raises(ValueError) as refusal:
        long_double_add(b"0", text)
    assert not isinstance(refusal.value, NotFinite)
