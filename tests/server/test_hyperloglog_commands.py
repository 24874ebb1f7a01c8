from __future__ import annotations

import pytest

from protocol.reply import OK, Status
from server.commands import hyperloglog
from storage import hyperloglog as hll
from storage.types.list import List
from tests.harness.handlers import Desk

WRONG_TYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_A_HYPERLOGLOG = b"WRONGTYPE Key is not a valid HyperLogLog string value."


@pytest.fixture
def desk():
    return Desk()


def test_pfadd_tells_whether_the_estimate_may_have_changed(desk):
    assert desk.run(hyperloglog.pfadd, "PFADD", "h", "a", "b") == 1
    assert desk.events == [(b"h", b"pfadd", 3)]
    assert desk.run(hyperloglog.pfadd, "PFADD", "h", "a") == 0
    assert desk.events == []


def test_pfadd_without_elements_creates_a_key_once(desk):
    assert desk.run(hyperloglog.pfadd, "PFADD", "h") == 1
    assert desk.run(hyperloglog.pfadd, "PFADD", "h") == 0
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "h") == 0


@pytest.mark.parametrize("rank", [50, 51, 63])
def test_registers_that_no_elements_make_count_for_more_than_an_integer_holds(desk, rank):
    value = hll.create()
    hll.raise_registers(value, bytes([rank]) * hll.REGISTERS, True, 3000)
    desk.db.put(b"h", bytes(value))
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "h") == -(2**63)
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "h", "h") == -(2**63)
    assert hll.cached_count(desk.db.peek(b"h")) is None


def test_pfcount_keeps_its_estimate_in_the_value_and_announces_no_event(desk):
    desk.run(hyperloglog.pfadd, "PFADD", "h", "a", "b", "c")
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "h") == 3
    assert desk.events == [(b"h", b"", 1)]
    assert hll.cached_count(desk.db.peek(b"h")) == 3
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "h") == 3
    assert desk.events == []


def test_pfcount_of_a_stored_plain_string_works_on_a_copy(desk):
    desk.run(hyperloglog.pfadd, "PFADD", "h", "a")
    stored = bytes(desk.db.peek(b"h"))
    desk.db.put(b"copy", stored)
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "copy") == 1
    assert hll.cached_count(stored) is None


def test_pfcount_of_missing_keys_is_zero(desk):
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "x") == 0
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "x", "y") == 0


def test_pfmerge_creates_the_destination_even_of_nothing(desk):
    assert desk.run(hyperloglog.pfmerge, "PFMERGE", "d", "x") is OK
    assert desk.events == [(b"d", b"pfadd", 1)]
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "d") == 0


def test_pfmerge_includes_the_destination(desk):
    desk.run(hyperloglog.pfadd, "PFADD", "a", "1", "2")
    desk.run(hyperloglog.pfadd, "PFADD", "d", "2", "3")
    desk.run(hyperloglog.pfmerge, "PFMERGE", "d", "a")
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "d") == 3


@pytest.mark.parametrize("value, text", [(b"abc", NOT_A_HYPERLOGLOG), (List(), WRONG_TYPE)], ids=["string", "list"])
def test_what_is_no_hyperloglog_is_refused_and_kept(desk, value, text):
    desk.db.put(b"k", value)
    assert desk.run(hyperloglog.pfadd, "PFADD", "k", "a") == text
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "k") == text
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "none", "k") == text
    assert desk.run(hyperloglog.pfmerge, "PFMERGE", "d", "k") == text
    assert desk.run(hyperloglog.pfmerge, "PFMERGE", "k", "d") == text
    assert desk.run(hyperloglog.pfdebug, "PFDEBUG", "ENCODING", "k") == text
    assert desk.db.peek(b"k") is value
    assert len(desk.db) == 1


def test_corrupted_opcodes_are_refused(desk):
    desk.db.put(b"k", bytes(hll.create()[: hll.HEADER_BYTES]))
    text = b"INVALIDOBJ Corrupted HLL object detected"
    assert desk.run(hyperloglog.pfadd, "PFADD", "k", "a") == text
    assert desk.run(hyperloglog.pfcount, "PFCOUNT", "k") == text
    assert desk.run(hyperloglog.pfmerge, "PFMERGE", "d", "k") == text
    assert desk.run(hyperloglog.pfdebug, "PFDEBUG", "GETREG", "k") == text
    assert len(desk.db) == 1


def test_pfdebug_shows_and_changes_the_encoding(desk):
    desk.run(hyperloglog.pfadd, "PFADD", "h", "one", "two", "three")
    run = desk.run
    assert run(hyperloglog.pfdebug, "PFDEBUG", "encoding", "h") == Status(b"sparse")
    assert run(hyperloglog.pfdebug, "PFDEBUG", "DECODE", "h") == b"Z:1784 v:1,1 Z:4564 v:1,1 Z:1127 v:1,1 Z:8906"
    assert run(hyperloglog.pfdebug, "PFDEBUG", "TODENSE", "h") == 1
    assert run(hyperloglog.pfdebug, "PFDEBUG", "TODENSE", "h") == 0
    assert run(hyperloglog.pfdebug, "PFDEBUG", "ENCODING", "h") == Status(b"dense")
    assert run(hyperloglog.pfdebug, "PFDEBUG", "DECODE", "h") == b"ERR HLL encoding is not sparse"
    registers = run(hyperloglog.pfdebug, "PFDEBUG", "GETREG", "h")
    assert len(registers) == hll.REGISTERS and sum(registers) == 3


def test_pfdebug_refuses_missing_keys_and_unknown_subcommands(desk):
    assert desk.run(hyperloglog.pfdebug, "PFDEBUG", "x", "h") == b"ERR The specified key does not exist"
    desk.run(hyperloglog.pfadd, "PFADD", "h")
    assert desk.run(hyperloglog.pfdebug, "PFDEBUG", "x", "h") == b"ERR Unknown PFDEBUG subcommand 'x'"
