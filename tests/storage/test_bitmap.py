from __future__ import annotations

import operator
import random

import pytest

from storage import bitmap

BIG = bitmap.CHUNK_BYTES * 2 + 5


def bits_of(value):
    return "".join(format(byte, "08b") for byte in value)


def random_bytes(source, length):
    return bytes(source.randrange(256) for _ in range(length))


def test_bit_0_is_the_highest_of_the_first_byte():
    assert bitmap.get_bit(b"\x80", 0) == 1
    assert bitmap.get_bit(b"\x80", 7) == 0
    assert bitmap.get_bit(b"\x01", 7) == 1


def test_a_bit_beyond_the_end_reads_as_zero():
    assert bitmap.get_bit(b"\xff", 8) == 0
    assert bitmap.get_bit(b"", 2**32) == 0


def test_setting_a_bit_grows_the_buffer_and_returns_the_old_bit():
    buffer = bytearray()
    assert bitmap.set_bit(buffer, 17, 1) == 0
    assert buffer == b"\0\0\x40"
    assert bitmap.set_bit(buffer, 17, 0) == 1
    assert buffer == b"\0\0\0"


@pytest.mark.parametrize(
    "count", [bitmap.count, bitmap._count_with_tables, bitmap._count_in_a_loop], ids=lambda f: f.__name__
)
def test_every_way_of_counting_agrees_with_binary_digits(count):
    source = random.Random(1)
    for length in (0, 1, 7, 1023, 1024, 5000, BIG):
        value = random_bytes(source, length)
        expected = bin(int.from_bytes(value, "big")).count("1")
        assert count(value) == expected
        assert count(bytearray(value)) == expected


def test_counters_of_a_byte_do_not_overflow_over_many_chunks():
    length = bitmap.CHUNK_BYTES * (bitmap._BYTE_COUNTERS + 1) + 3
    assert bitmap._count_with_tables(b"\xff" * length) == 8 * length


# Answers of a real 7.4.
@pytest.mark.parametrize(
    "start, end, in_bits, answer",
    [
        (0, 0, False, 4),
        (1, 1, False, 6),
        (0, -5, False, 10),
        (5, 30, True, 17),
        (0, -100, False, 4),
        (-100, -200, False, 0),
        (-1, -2, False, 0),
        (3, 2, False, 0),
        (0, -100, True, 0),
    ],
)
def test_counts_of_foobar_in_a_range(start, end, in_bits, answer):
    assert bitmap.count_range(b"foobar", start, end, in_bits) == answer


def test_counts_in_bit_ranges_agree_with_binary_digits():
    source = random.Random(2)
    for _ in range(300):
        value = random_bytes(source, source.randrange(1, 12))
        start, end = sorted(source.randrange(len(value) * 8) for _ in range(2))
        assert bitmap.count_range(value, start, end, True) == bits_of(value)[start : end + 1].count("1")


def test_the_first_zero_of_a_string_of_ones_follows_it_unless_an_end_is_given():
    assert bitmap.position(b"\xff\xff", 0) == 16
    assert bitmap.position(b"\xff\xff", 0, 1) == 16
    assert bitmap.position(b"\xff\xff", 0, 0, -1) == -1
    assert bitmap.position(b"\xff\xff", 0, 5) == -1


def test_a_string_of_zeros_has_no_one():
    assert bitmap.position(bytes(BIG), 1) == -1
    assert bitmap.position(b"", 1) == -1


def test_positions_in_bit_ranges_agree_with_binary_digits():
    source = random.Random(3)
    for _ in range(500):
        value = b"".join(source.choice((b"\0", b"\xff", b"\x10", b"\xfe")) for _ in range(6))
        start, end = sorted(source.randrange(48) for _ in range(2))
        bit = source.randrange(2)
        assert bitmap.position(value, bit, start, end, True) == bits_of(value).find(str(bit), start, end + 1)


def test_a_bit_is_found_across_chunks():
    value = bytearray(BIG)
    value[-1] = 1
    assert bitmap.position(value, 1) == BIG * 8 - 1
    assert bitmap.position(bitmap.invert(value), 0) == BIG * 8 - 1


@pytest.mark.parametrize("operation", [operator.and_, operator.or_, operator.xor])
def test_shorter_strings_are_padded_with_zeros(operation):
    source = random.Random(4)
    for lengths in ((3, 5), (0, 4, 2), (BIG, 10, BIG - 7)):
        values = [random_bytes(source, length) for length in lengths]
        longest = max(lengths)
        expected = int.from_bytes(values[0].ljust(longest, b"\0"), "big")
        for value in values[1:]:
            expected = operation(expected, int.from_bytes(value.ljust(longest, b"\0"), "big"))
        assert bitmap.combine(operation, values) == expected.to_bytes(longest, "big")


def test_combining_nothing_but_empty_strings_gives_an_empty_string():
    assert bitmap.combine(operator.or_, [b"", b""]) == b""


def test_inverting_twice_changes_nothing():
    value = random_bytes(random.Random(5), 1000)
    assert bitmap.invert(value) != value
    assert bitmap.invert(bitmap.invert(value)) == value


def test_a_field_reads_back_what_was_written_and_leaves_its_neighbours():
    source = random.Random(6)
    for _ in range(500):
        buffer = bytearray(random_bytes(source, 20))
        width = source.randrange(1, 65)
        offset = source.randrange(100)
        before = bits_of(buffer)
        number = source.randrange(-(1 << (width - 1)), 1 << (width - 1))
        bitmap.set_field(buffer, offset, width, number)
        assert bitmap.get_field(buffer, offset, width, True) == number
        assert bitmap.get_field(buffer, offset, width, False) == number % (1 << width)
        after = bits_of(buffer)
        assert after[:offset] == before[:offset]
        assert after[offset + width : 160] == before[offset + width :]


def test_a_field_partly_beyond_the_end_reads_zeros_there():
    assert bitmap.get_field(b"\xff", 4, 8, False) == 0xF0
    assert bitmap.get_field(b"", 100, 8, False) == 0


@pytest.mark.parametrize(
    "number, width, signed, wrapped, saturated",
    [
        (256, 8, False, 0, 255),
        (-1, 8, False, 255, 0),
        (128, 8, True, -128, 127),
        (-129, 8, True, 127, -128),
        (1 << 63, 64, True, -(1 << 63), (1 << 63) - 1),
    ],
)
def test_overflow_wraps_saturates_or_fails(number, width, signed, wrapped, saturated):
    assert bitmap.fit(number, width, signed, bitmap.WRAP) == wrapped
    assert bitmap.fit(number, width, signed, bitmap.SAT) == saturated
    assert bitmap.fit(number, width, signed, bitmap.FAIL) is None


def test_a_negative_number_assigned_to_an_unsigned_field_saturates_to_its_highest():
    assert bitmap.fit_assigned(-1, 8, False, bitmap.SAT) == 255


def test_the_lowest_number_assigned_to_a_narrow_signed_field_saturates_to_its_highest():
    assert bitmap.fit_assigned(-(1 << 63), 8, True, bitmap.SAT) == 127
    assert bitmap.fit_assigned(-129, 8, True, bitmap.SAT) == -128
    assert bitmap.fit_assigned(-(1 << 63), 64, True, bitmap.SAT) == -(1 << 63)
