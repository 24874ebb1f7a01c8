"""Known answers come from a real 7.4: lengths, SHA-1 prefixes and counts of its strings."""

from __future__ import annotations

import hashlib
import random

import pytest

from storage import hyperloglog as hll
from storage import hyperloglog_selftest

SPARSE_MAX_BYTES = 3000

# Elements added; then of the string: its length, its digest, the count, the digest with the count cached.
GROWTH = [
    (1, 21, "d111dd27cb94748a", 1, "946a3f384bd41aea"),
    (10, 48, "dd7cf3784918baa4", 10, "e3e04df1a81a6ff6"),
    (100, 285, "adb8b211e8f1c583", 99, "4d1b3bef5d497d64"),
    (1000, 1897, "0e960765508b760a", 997, "600cc26e1c0791fc"),
    (1500, 2722, "b100a66eeab600d2", 1500, "e31c9dd1080de9d2"),
    (3000, 12304, "66aa5c54fd1fce02", 3002, "a456ded68989065f"),
    (20000, 12304, "760926999ca4cd24", 19986, "0aff780e7abbc86b"),
]


def digest(value):
    return hashlib.sha1(value).hexdigest()[:16]


def holding(elements):
    value = hll.create()
    hll.add(value, elements, SPARSE_MAX_BYTES)
    return value


def merged(*values):
    result = hll.create()
    dense = any(hll.encoding_of(value) == hll.DENSE for value in values)
    hll.raise_registers(result, hll.merge_registers(values), dense, SPARSE_MAX_BYTES)
    return result


@pytest.mark.parametrize("count, length, fresh, estimate, counted", GROWTH, ids=lambda field: str(field))
def test_a_string_that_grows_equals_the_real_one_byte_for_byte(count, length, fresh, estimate, counted):
    value = holding(b"element:%d" % number for number in range(count))
    assert (len(value), digest(value)) == (length, fresh)
    assert hll.cached_count(value) is None
    assert hll.refresh_count(value) == estimate
    assert hll.cached_count(value) == estimate
    assert digest(value) == counted


def test_the_higher_of_each_register_is_found_for_all_at_once():
    rng = random.Random(5)
    columns = [bytes(rng.choices(range(64), k=hll.REGISTERS)) for _ in range(3)]
    assert hll.merge(columns) == bytes(map(max, *columns))
    assert hll.merge([]) == bytes(hll.REGISTERS)
    assert hll.merge([bytes(hll.REGISTERS), columns[0]]) == columns[0]


def test_what_follows_all_registers_counts_only_if_it_begins_with_an_empty_run():
    value = holding([b"one"])
    assert hll.registers(value + b"\x80\x80") == hll.registers(value)
    with pytest.raises(hll.Corrupted):
        hll.registers(value + b"\x00")


def test_opcodes_of_three_elements():
    value = holding([b"one", b"two", b"three"])
    assert bytes(value).hex() == "48594c4c01000000000000000000008046f78051d38044668062c9"
    assert hll.decode_opcodes(value) == b"Z:1784 v:1,1 Z:4564 v:1,1 Z:1127 v:1,1 Z:8906"


@pytest.fixture
def three():
    shared = [b"x%d" % number for number in range(100)]
    return [holding([b"%c%d" % (name, number) for number in range(400)] + shared) for name in b"abc"]


def test_the_union_counts_what_several_strings_share_once(three):
    assert hll.estimate_union(three) == 1305


def test_merging_sparse_strings_equals_the_real_merge(three):
    result = merged(*three)
    assert (len(result), digest(result)) == (2400, "c511a81e0eef5f37")
    assert hll.refresh_count(result) == 1305


def test_merging_a_dense_string_makes_the_result_dense(three):
    result = merged(three[0], holding([b"d%d" % number for number in range(5000)]))
    assert (hll.encoding_of(result), len(result)) == (hll.DENSE, 12304)
    assert digest(result) == "eeb1a603fcd34066"
    assert hll.refresh_count(result) == 5532


def test_adding_what_is_there_changes_nothing():
    elements = [b"e%d" % number for number in range(300)]
    value = holding(elements)
    hll.refresh_count(value)
    before = bytes(value)
    assert hll.add(value, elements, SPARSE_MAX_BYTES) == 0
    assert value == before
    assert hll.cached_count(value) is not None


def test_sparse_and_dense_forms_hold_the_same_registers():
    elements = [b"r%d" % number for number in range(700)]
    sparse = holding(elements)
    dense = hll.create()
    assert hll.to_dense(dense)
    assert not hll.to_dense(dense)
    hll.add(dense, elements, SPARSE_MAX_BYTES)
    assert hll.registers(sparse) == hll.registers(dense)
    assert hll.refresh_count(sparse) == hll.refresh_count(dense)
    hll.to_dense(sparse)
    assert sparse == dense


def test_a_rank_above_32_makes_the_string_dense():
    value = hll.create()
    assert hll._set_sparse(value, 5, 33, SPARSE_MAX_BYTES) == 1
    assert hll.encoding_of(value) == hll.DENSE
    assert hll.registers(value)[5] == 33


def test_the_size_limit_makes_the_string_dense():
    value = hll.create()
    hll.add(value, [b"1", b"2", b"3", b"4"], 25)
    assert hll.encoding_of(value) == hll.DENSE


def test_registers_of_a_random_walk_agree_with_a_plain_list():
    source = random.Random(8)
    for limit in (200, 3000):
        value = hll.create()
        plain = bytearray(hll.REGISTERS)
        for _ in range(1500):
            index = source.choice((source.randrange(hll.REGISTERS), source.randrange(60)))
            rank = min(1 + int(source.expovariate(0.5)), 32)
            if hll.encoding_of(value) == hll.DENSE:
                changed = hll._set_dense(value, index, rank)
            else:
                changed = hll._set_sparse(value, index, rank, limit)
            assert changed == (rank > plain[index])
            plain[index] = max(plain[index], rank)
        assert hll.registers(value) == plain


def test_only_a_header_of_the_format_is_valid():
    value = bytes(hll.create())
    assert hll.is_valid(value)
    assert not hll.is_valid(b"")
    assert not hll.is_valid(b"HYLL")
    assert not hll.is_valid(b"HYLX" + value[4:])
    assert not hll.is_valid(b"HYLL\2" + value[5:])
    assert not hll.is_valid(b"HYLL\0" + value[5:])  # dense, but not of the one length dense strings have


@pytest.mark.parametrize("opcodes", [b"", b"\x7f", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xfe\x81"])
def test_opcodes_that_do_not_cover_the_registers_are_refused(opcodes):
    value = hll.create()[: hll.HEADER_BYTES] + opcodes
    with pytest.raises(hll.Corrupted):
        hll.registers(value)
    with pytest.raises(hll.Corrupted):
        hll.refresh_count(value)
    with pytest.raises(hll.Corrupted):
        hll.to_dense(value)


def test_adding_to_opcodes_that_end_too_early_is_refused():
    value = hll.create()[: hll.HEADER_BYTES]
    with pytest.raises(hll.Corrupted):
        hll.add(value, [b"a"], SPARSE_MAX_BYTES)


def test_the_self_test_passes_and_notices_a_wrong_register(monkeypatch):
    assert hyperloglog_selftest.examine() == b""
    unpack = hll._unpack
    monkeypatch.setattr(hll, "_unpack", lambda value: unpack(value).replace(b"\x3f", b"\x3e"))
    assert hyperloglog_selftest.examine() != b""
