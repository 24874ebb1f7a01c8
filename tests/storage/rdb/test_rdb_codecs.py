from __future__ import annotations

import random
import struct

import pytest

from storage.rdb import intset, listpack, lzf, ziplist, zipmap
from storage.rdb.corrupt import CorruptData
from storage.rdb.crc64 import CHUNK_BYTES, FOLDING_PAYS_FROM, TABLE, crc64
from tests.storage.rdb import old_forms

INTEGERS = [
    0, 1, 12, 13, 63, 64, 127, 128, -1, -128, -129, 255, 4095, 4096, -4096, -4097, 32767, 32768, -32768, -32769,
    (1 << 23) - 1, 1 << 23, -(1 << 23), -(1 << 23) - 1, (1 << 31) - 1, 1 << 31, -(1 << 31), -(1 << 31) - 1,
    (1 << 63) - 1, -(1 << 63),
]  # fmt: skip
LOOKALIKES = [b"", b"-", b"+1", b"-0", b"00", b"007", b" 1", b"1 ", b"1.0", b"--1", b"9223372036854775808",
              b"-9223372036854775809", b"12345678901234567890123", b"\xb2"]  # fmt: skip
SIZES = [1, 12, 63, 64, 126, 127, 128, 250, 4095, 4096, 16380, 16383, 16384, 70000]


def bytewise(data: bytes, crc: int = 0) -> int:
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc


def test_crc64_gives_the_check_value_of_its_description():
    assert crc64(b"123456789") == 0xE9C6D914C4B8D9CA
    assert crc64(b"") == 0


def test_folding_agrees_with_the_table_at_every_size_and_start():
    rng = random.Random(1)
    sizes = [*range(FOLDING_PAYS_FROM - 4, FOLDING_PAYS_FROM + 12), 700, 2223, 2224, 4448, 4449, 8897, 20000]
    for size in sizes:
        data = rng.randbytes(size) if hasattr(rng, "randbytes") else bytes(rng.getrandbits(8) for _ in range(size))
        start = rng.getrandbits(64)
        assert crc64(data, start) == bytewise(data, start), size


def test_a_checksum_in_pieces_is_the_checksum_of_the_whole():
    data = bytes(range(256)) * (CHUNK_BYTES // 256 + 3)
    crc = 0
    for start in range(0, len(data), 50021):
        crc = crc64(data[start : start + 50021], crc)
    assert crc == crc64(data) == crc64(memoryview(data))


@pytest.mark.parametrize("data", [b"a" * 30, b"abc" * 2000, b"the same line\n" * 9, bytes(64) + b"x" * 300, b"ab" * 9])
def test_what_lzf_compresses_expands_to_the_same(data):
    packed = lzf.compress(data)
    assert packed is not None and len(packed) <= len(data) - 4
    assert lzf.decompress(packed, len(data)) == data


def test_lzf_over_random_texts_of_few_letters_is_faithful():
    rng = random.Random(2)
    packed_any = 0
    for _ in range(400):
        letters = rng.randrange(1, 9)
        data = bytes(rng.randrange(97, 97 + letters) for _ in range(rng.randrange(600)))
        packed = lzf.compress(data)
        if packed is not None:
            packed_any += 1
            assert len(packed) <= len(data) - 4
            assert lzf.decompress(packed, len(data)) == data
    assert packed_any > 200


def test_compression_is_tried_only_where_it_would_about_halve():
    rng = random.Random(4)
    assert lzf.pays(b"abc" * 20) and lzf.pays(b"the same line\n" * 2000)
    assert not lzf.pays(bytes(rng.randrange(256) for _ in range(2000)))
    assert not lzf.pays(b"one sentence without any of its words twice")


def test_lzf_leaves_alone_what_it_cannot_shorten():
    assert lzf.compress(bytes(range(256))) is None
    assert lzf.compress(b"") is None
    assert lzf.compress(b"aaaaa") is None


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (b"\x05abc", 6),  # literals past the end
        (b"\x00a\x20\x05", 4),  # a match before the beginning
        (b"\x00a\xe0", 4),  # a match without its bytes
        (b"\x00a\x20", 4),
        (b"\x02abc", 2),
        (b"\x02abc", 4),
        (b"\x02abc", 1 << 60),
        (b"", 1),
    ],
)
def test_lzf_refuses_what_does_not_give_the_declared_size(packed, size):
    with pytest.raises(CorruptData):
        lzf.decompress(packed, size)


def test_listpack_keeps_integers_lookalikes_and_strings_of_every_size():
    values = [b"%d" % number for number in INTEGERS] + LOOKALIKES + [b"x" * size for size in SIZES]
    assert listpack.decode(listpack.encode(values)) == values


@pytest.mark.parametrize("values", [[], [b"word"] * 3, [b":", b"w" * 63], [b"w", b"w" * 64], [b"w", b"5"], [b"w", b""]])
def test_entries_made_together_are_those_made_one_by_one(values):
    one_by_one = [listpack.encode_entry(value) for value in values]
    assert listpack.encode_entries(values) == one_by_one
    known = listpack.KnownEntries()
    for _ in range(2):
        assert list(map(known.__getitem__, values)) == one_by_one


def test_known_entries_do_not_grow_without_end():
    known = listpack.KnownEntries()
    for number in range(2 * listpack.MAX_KNOWN + 5):
        known[b"f%d" % number]
    assert len(known) == 5


@pytest.mark.parametrize(
    ("number", "entry"),
    [
        (127, b"\x7f\x01"),
        (128, b"\xc0\x80\x02"),
        (-1, b"\xdf\xff\x02"),
        (4096, b"\xf1\x00\x10\x03"),
        (32768, b"\xf2\x00\x80\x00\x04"),
        (1 << 23, b"\xf3\x00\x00\x80\x00\x05"),
        (1 << 31, b"\xf4\x00\x00\x00\x80\x00\x00\x00\x00\x09"),
    ],
)
def test_listpack_integers_take_the_narrowest_form(number, entry):
    assert listpack.encode_entry(b"%d" % number) == entry == listpack.encode_integer(number)


def test_listpack_counts_beyond_16_bits_by_walking():
    values = [b"1"] * 70000
    packed = listpack.encode(values)
    assert packed[4:6] == b"\xff\xff"
    assert listpack.decode(packed) == values


def test_ziplist_entries_of_every_form_are_read():
    values = [*INTEGERS, b"", b"a", b"b" * 63, b"c" * 64, b"d" * 260, 5, b"e" * 16383, b"f" * 16384, -7]
    expected = [b"%d" % value if isinstance(value, int) else value for value in values]
    assert ziplist.decode(old_forms.ziplist(values)) == expected
    assert ziplist.decode(old_forms.ziplist([])) == []


def test_ziplist_may_spell_a_small_link_back_in_five_bytes():
    # A server that shortened an entry left the next one's link as wide as it was.
    body = b"\x00\x01a" + b"\xfe\x03\0\0\0" + b"\x01b"
    blob = struct.pack("<IIH", 11 + len(body), 13, 2) + body + b"\xff"
    assert ziplist.decode(blob) == [b"a", b"b"]


def test_zipmap_with_unused_bytes_and_long_values_is_read():
    pairs = [(b"f", b"v", 0), (b"g", b"", 3), (b"h" * 253, b"i" * 254, 1), (b"", b"j" * 70000, 0)]
    blob = old_forms.zipmap(pairs)
    assert zipmap.decode(blob) == [part for field, value, _ in pairs for part in (field, value)]
    assert zipmap.decode(b"\xfe" + blob[1:]) == zipmap.decode(blob)  # too many to count


@pytest.mark.parametrize(
    ("numbers", "width"), [([3, -1, 2], 2), ([32767, -32768], 2), ([32768], 4), ([-(1 << 31)], 4), ([1 << 31, 0], 8)]
)
def test_intset_takes_the_narrowest_width_and_sorts(numbers, width):
    blob = intset.encode(numbers)
    assert blob == old_forms.intset(width, sorted(numbers))
    assert intset.decode(blob) == sorted(numbers)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\x02\0\0\0\x01\0\0\0",
        b"\x03\0\0\0\x01\0\0\0abc",
        old_forms.intset(2, [2, 1]),
        old_forms.intset(2, [1, 1]),
        old_forms.intset(2, []),
        old_forms.intset(2, [1]) + b"\0",
        struct.pack("<II", 8, 0xFFFFFFFF),
    ],
)
def test_intset_that_is_not_sorted_distinct_or_whole_is_refused(blob):
    with pytest.raises(CorruptData):
        intset.decode(blob)


DECODERS = {
    "listpack": (listpack.decode, listpack.encode([b"a", b"5", b"-300", b"70000", b"x" * 70, b"y" * 200, b"1" * 19])),
    "ziplist": (ziplist.decode, old_forms.ziplist([b"a", 5, -300, 70000, b"x" * 70, b"y" * 260, 1 << 40, b"z"])),
    "zipmap": (zipmap.decode, old_forms.zipmap([(b"f", b"v", 1), (b"gg", b"w" * 260, 0)])),
    "intset": (intset.decode, old_forms.intset(4, [1, 2, 70000])),
}


@pytest.mark.parametrize("name", DECODERS)
def test_a_packed_value_cut_anywhere_is_refused(name):
    decode, blob = DECODERS[name]
    decode(blob)
    for size in range(len(blob)):
        with pytest.raises(CorruptData):
            decode(blob[:size])
    with pytest.raises(CorruptData):
        decode(blob + b"\0")


@pytest.mark.parametrize("name", DECODERS)
def test_a_packed_value_with_any_byte_changed_is_read_or_refused(name):
    decode, blob = DECODERS[name]
    refused = 0
    for at in range(len(blob)):
        for change in (1, 0x7F, 0x80, 0xFF):
            damaged = bytearray(blob)
            damaged[at] ^= change
            try:
                decode(bytes(damaged))
            except CorruptData as error:
                refused += 1
                assert 0 <= error.offset <= len(blob)
    assert refused > 20
