from __future__ import annotations

import pytest

from server.commands import bitmaps, objects
from storage.types.list import List
from tests.harness.handlers import Desk

WRONG_TYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"
OFFSET_REFUSED = b"ERR bit offset is not an integer or out of range"


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def with_list(desk):
    desk.db.put(b"l", List())
    return desk


def test_setbit_creates_a_string_and_states_the_change(desk):
    assert desk.run(bitmaps.setbit, "SETBIT", "k", "9", "1") == 0
    assert desk.db.peek(b"k") == b"\0\x40"
    assert desk.events == [(b"k", b"setbit", 1)]


def test_setbit_to_what_it_is_already_changes_nothing(desk):
    desk.run(bitmaps.setbit, "SETBIT", "k", "9", "1")
    assert desk.run(bitmaps.setbit, "SETBIT", "k", "9", "1") == 1
    assert desk.events == []


def test_setbit_that_only_grows_a_string_is_a_change(desk):
    desk.db.put(b"k", b"a")
    assert desk.run(bitmaps.setbit, "SETBIT", "k", "23", "0") == 0
    assert desk.db.peek(b"k") == b"a\0\0"
    assert desk.events == [(b"k", b"setbit", 1)]


@pytest.mark.parametrize(
    "offset, bit, text",
    [
        ("-1", "1", OFFSET_REFUSED),
        ("4294967296", "1", OFFSET_REFUSED),
        ("x", "2", OFFSET_REFUSED),
        ("1", "2", b"ERR bit is not an integer or out of range"),
    ],
)
def test_setbit_refuses_bad_arguments_and_creates_nothing(desk, offset, bit, text):
    assert desk.run(bitmaps.setbit, "SETBIT", "k", offset, bit) == text
    assert len(desk.db) == 0


@pytest.mark.parametrize(
    "handler, words",
    [
        (bitmaps.setbit, "SETBIT l 1 1"),
        (bitmaps.getbit, "GETBIT l 1"),
        (bitmaps.bitcount, "BITCOUNT l"),
        (bitmaps.bitpos, "BITPOS l 1"),
        (bitmaps.bitop, "BITOP AND d l"),
        (bitmaps.bitfield, "BITFIELD l SET u8 0 1"),
        (bitmaps.bitfield, "BITFIELD l GET u8 0"),
        (bitmaps.bitfield_ro, "BITFIELD_RO l GET u8 0"),
    ],
)
def test_every_command_on_a_list_is_wrongtype_and_keeps_the_key(with_list, handler, words):
    assert with_list.run(handler, *words.split()) == WRONG_TYPE
    assert isinstance(with_list.db.peek(b"l"), List)
    assert with_list.events == []


def test_a_missing_key_is_an_endless_row_of_zeros(desk):
    assert desk.run(bitmaps.getbit, "GETBIT", "k", "100") == 0
    assert desk.run(bitmaps.bitcount, "BITCOUNT", "k") == 0
    assert desk.run(bitmaps.bitpos, "BITPOS", "k", "0", "5", "6") == 0
    assert desk.run(bitmaps.bitpos, "BITPOS", "k", "1") == -1


def test_an_empty_string_has_no_zero_either(desk):
    desk.db.put(b"k", b"")
    assert desk.run(bitmaps.bitpos, "BITPOS", "k", "0") == -1


@pytest.mark.parametrize(
    "handler, words, text",
    [
        (bitmaps.bitcount, "BITCOUNT k 1", b"ERR syntax error"),
        (bitmaps.bitcount, "BITCOUNT k 1 2 WORD", b"ERR syntax error"),
        (bitmaps.bitcount, "BITCOUNT k 1 x BIT", b"ERR value is not an integer or out of range"),
        (bitmaps.bitpos, "BITPOS k 2", b"ERR The bit argument must be 1 or 0."),
        (bitmaps.bitpos, "BITPOS k 1 0 1 BIT x", b"ERR syntax error"),
        (bitmaps.bitop, "BITOP NAND d k", b"ERR syntax error"),
        (bitmaps.bitop, "BITOP NOT d a b", b"ERR BITOP NOT must be called with a single source key."),
        (bitmaps.bitfield_ro, "BITFIELD_RO k SET u8 0 1", b"ERR BITFIELD_RO only supports the GET subcommand"),
        (bitmaps.bitfield, "BITFIELD k OVERFLOW x", b"ERR Invalid OVERFLOW type specified"),
        (bitmaps.bitfield, "BITFIELD k GET u8", b"ERR syntax error"),
        (bitmaps.bitfield, "BITFIELD k GET u8 #-1", OFFSET_REFUSED),
        (
            bitmaps.bitfield,
            "BITFIELD k GET u64 0",
            b"ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ),
    ],
)
def test_refusals(desk, handler, words, text):
    assert desk.run(handler, *words.split()) == text
    assert len(desk.db) == 0


def test_bitop_replaces_a_key_of_any_type_with_a_string(with_list):
    with_list.db.put(b"a", b"\x0f")
    assert with_list.run(bitmaps.bitop, "BITOP", "not", "l", "a") == 1
    assert with_list.db.peek(b"l") == b"\xf0"
    assert with_list.events == [(b"l", b"set", 1)]


def test_what_bitop_makes_is_raw_however_short(desk):
    desk.db.put(b"a", b"12")
    desk.run(bitmaps.bitop, "BITOP", "OR", "d", "a")
    assert desk.run(objects.object_encoding, "OBJECT", "ENCODING", "d") == b"raw"


def test_bitop_without_any_bits_deletes_the_destination(desk):
    desk.db.put(b"d", b"x")
    assert desk.run(bitmaps.bitop, "BITOP", "OR", "d", "none") == 0
    assert desk.db.peek(b"d") is None
    assert desk.events == [(b"d", b"del", 1)]


def test_bitfield_answers_old_values_of_set_and_new_ones_of_incrby(desk):
    words = "BITFIELD k SET u8 #1 200 INCRBY u8 #1 100 OVERFLOW SAT INCRBY u8 #1 255 GET u8 8"
    assert desk.run(bitmaps.bitfield, *words.split()) == [0, 44, 255, 255]
    assert desk.events == [(b"k", b"setbit", 3)]


def test_bitfield_that_fails_answers_null_and_keeps_the_value(desk):
    desk.db.put(b"k", b"\xff")
    words = "BITFIELD k OVERFLOW FAIL INCRBY u8 0 1"
    assert desk.run(bitmaps.bitfield, *words.split()) == [None]
    assert desk.db.peek(b"k") == b"\xff"
    assert desk.events == []


def test_bitfield_that_only_reads_creates_no_key(desk):
    assert desk.run(bitmaps.bitfield, "BITFIELD", "k", "GET", "i8", "0") == [0]
    assert len(desk.db) == 0
