"""SORT on the wire: orders, weights and values from other keys, what is stored, what is refused."""

from __future__ import annotations

import pytest

from tests.harness.wire import encode

NOT_NUMBERS = "ERR One or more scores can't be converted into double"
SYNTAX = "ERR syntax error"
NOT_INTEGER = "ERR value is not an integer or out of range"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
SMALL_LIST_BYTES = 8192


def refusal(wire, *command) -> str:
    wire.send(encode(*command))
    reply = wire.read_raw()
    assert reply[:1] == b"-", reply
    return reply[1:-2].decode()


def sort(wire, words: str) -> list:
    return wire.ask("SORT", *words.split())


@pytest.fixture
def numbers(wire):
    wire.ask("RPUSH", "l", 3, 10, 1, "2.5")
    return wire


@pytest.fixture
def weighed(wire):
    """Elements a, b, c, d with numbers, names and hashes under their names; d has none of these."""
    wire.ask("RPUSH", "l", "a", "b", "c", "d")
    wire.ask("MSET", "w_a", 3, "w_b", 1, "w_c", 2)
    wire.ask("MSET", "n_a", "zoe", "n_b", "Ann", "n_c", "bob")
    for place, name in enumerate("abc"):
        wire.ask("HSET", f"h_{name}", "weight", 10 - place, "text", f"<{name}>")
    return wire


@pytest.mark.parametrize(
    "words, order",
    [
        ("l", "1 2.5 3 10"),
        ("l DESC", "10 3 2.5 1"),
        ("l DESC ASC", "1 2.5 3 10"),
        ("l ALPHA", "1 10 2.5 3"),
        ("l ALPHA DESC", "3 2.5 10 1"),
        ("l LIMIT 1 2", "2.5 3"),
        ("l LIMIT 2 -1", "3 10"),
        ("l LIMIT -5 2", "1 2.5"),
        ("l LIMIT 4 2", ""),
        ("l LIMIT 0 0", ""),
        ("l LIMIT 1 9223372036854775807", "2.5 3 10"),
        ("l BY nosort", "3 10 1 2.5"),
        ("l BY nosort DESC", "2.5 1 10 3"),
        ("l BY nosort DESC LIMIT 1 2", "1 10"),
        ("l BY nosort LIMIT 1 2", "10 1"),
        ("none", ""),
    ],
)
def test_a_list_is_sorted_and_cut(numbers, words, order):
    assert b" ".join(sort(numbers, words)).decode() == order


@pytest.mark.parametrize(
    "words, order",
    [
        ("l BY w_*", "d b c a"),
        ("l BY w_* DESC", "a c b d"),
        ("l BY h_*->weight", "d c b a"),
        ("l BY n_* ALPHA", "d b c a"),
        ("l BY none_* ALPHA", "a b c d"),
        ("l BY w_* GET n_*", "None Ann bob zoe"),
        ("l BY w_* LIMIT 1 2 GET # GET h_*->text", "b <b> c <c>"),
        ("l BY nosort GET h_*->missing GET constant", "None None None None None None None None"),
        ("l BY w_* GET h_*", "None None None None"),
        ("l BY w_* GET w_*->weight", "None None None None"),
        ("l BY w_* BY nosort LIMIT 0 1", "a"),
    ],
)
def test_weights_and_values_come_from_other_keys(weighed, words, order):
    found = sort(weighed, words)
    assert " ".join("None" if one is None else one.decode() for one in found) == order


def test_an_arrow_at_the_end_is_part_of_the_name(wire):
    wire.ask("RPUSH", "l", "a")
    wire.ask("SET", "k_a->", "text")
    assert wire.ask("SORT", "l", "BY", "nosort", "GET", "k_*->") == [b"text"]


def test_sets_and_sorted_sets_are_sorted_too(wire):
    wire.ask("SADD", "s", 3, 20, 1)
    wire.ask("ZADD", "z", 5, 3, 1, 20, 2, 1)
    assert sort(wire, "s") == sort(wire, "z") == [b"1", b"3", b"20"]
    assert sort(wire, "z BY nosort") == [b"20", b"1", b"3"]
    assert sort(wire, "z BY nosort DESC LIMIT 0 2") == [b"3", b"1"]
    assert sort(wire, "s BY nosort") == [b"1", b"3", b"20"]


def test_a_sorted_set_that_was_sorted_is_kept_as_a_skiplist(wire):
    wire.ask("ZADD", "z", 1, 1)
    assert wire.ask("OBJECT", "ENCODING", "z") == b"listpack"
    assert sort(wire, "z") == [b"1"]
    assert wire.ask("OBJECT", "ENCODING", "z") == b"skiplist"


def test_equal_weights_are_ordered_by_element(wire):
    wire.ask("RPUSH", "l", "b", "c", "a")
    assert sort(wire, "l BY none_*") == [b"a", b"b", b"c"]
    assert sort(wire, "l BY none_* DESC") == [b"c", b"b", b"a"]


# Storing -------------------------------------------------------------------------------------------------------


def test_a_result_is_stored_as_a_list_with_empty_strings_for_what_is_missing(weighed):
    weighed.ask("SET", "d", "text", "EX", 100)
    assert sort(weighed, "l BY w_* GET # GET n_* STORE d") == 8
    assert weighed.ask("LRANGE", "d", 0, -1) == [b"d", b"", b"b", b"Ann", b"c", b"bob", b"a", b"zoe"]
    assert weighed.ask("TTL", "d") == -1
    assert weighed.ask("OBJECT", "ENCODING", "d") == b"listpack"


def test_a_large_stored_result_is_a_quicklist(wire):
    wire.ask("RPUSH", "l", *range(SMALL_LIST_BYTES))
    assert sort(wire, "l STORE d") == SMALL_LIST_BYTES
    assert wire.ask("OBJECT", "ENCODING", "d") == b"quicklist"


def test_an_empty_result_deletes_the_destination(wire):
    wire.ask("SET", "d", "x")
    assert sort(wire, "none STORE d") == 0
    assert wire.ask("EXISTS", "d") == 0


def test_a_list_can_be_sorted_into_itself(numbers):
    assert sort(numbers, "l STORE l") == 4
    assert numbers.ask("LRANGE", "l", 0, -1) == [b"1", b"2.5", b"3", b"10"]


def test_a_set_that_is_not_to_be_sorted_is_stored_in_order_of_names(wire):
    wire.ask("SADD", "s", "c", "a", "10", "b", "9")
    assert sort(wire, "s BY nosort STORE d") == 5
    assert wire.ask("LRANGE", "d", 0, -1) == [b"10", b"9", b"a", b"b", b"c"]
    assert sort(wire, "s BY nosort DESC LIMIT 0 2 STORE d") == 2
    assert wire.ask("LRANGE", "d", 0, -1) == [b"c", b"b"]


def test_names_are_compared_up_to_a_zero_byte_unless_stored(wire):
    wire.ask("RPUSH", "l", b"a\0z", b"a\0b")
    assert sort(wire, "l ALPHA") == [b"a\0z", b"a\0b"]
    assert sort(wire, "l ALPHA STORE d") == 2
    assert wire.ask("LRANGE", "d", 0, -1) == [b"a\0b", b"a\0z"]


# Refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("element", ["x", "1x", "1 ", "nan", "1e400", "1e-310", " ", "1_0"])
def test_what_is_no_number_cannot_be_sorted_by_number(wire, element):
    wire.ask("RPUSH", "l", 1, element)
    wire.ask("SET", "d", "kept")
    assert refusal(wire, "SORT", "l") == NOT_NUMBERS
    assert refusal(wire, "SORT", "l", "LIMIT", 0, 1, "STORE", "d") == NOT_NUMBERS
    assert wire.ask("GET", "d") == b"kept"
    assert len(wire.ask("SORT", "l", "BY", "nosort")) == 2


def test_weights_are_read_as_c_reads_them(wire):
    wire.ask("RPUSH", "l", "", " 5", "0x10", "-inf", b"3\0x", "1e2")
    assert wire.ask("SORT", "l") == [b"-inf", b"", b"3\0x", b" 5", b"0x10", b"1e2"]


def test_a_weight_that_is_no_number_is_refused(weighed):
    assert refusal(weighed, "SORT", "l", "BY", "n_*") == NOT_NUMBERS
    assert refusal(weighed, "SORT_RO", "l", "BY", "h_*->text") == NOT_NUMBERS


@pytest.mark.parametrize(
    "words, error",
    [
        ("BY", SYNTAX),
        ("GET", SYNTAX),
        ("STORE", SYNTAX),
        ("LIMIT 1", SYNTAX),
        ("LIMIT x 1", NOT_INTEGER),
        ("LIMIT 1 x junk", NOT_INTEGER),
        ("junk", SYNTAX),
    ],
)
def test_arguments_are_judged_before_the_key(wire, words, error):
    wire.ask("SET", "s", "x")
    assert refusal(wire, "SORT", "s", *words.split()) == error


def test_only_collections_can_be_sorted(wire):
    wire.ask("SET", "s", "x")
    wire.ask("HSET", "h", "f", "v")
    for key in ("s", "h"):
        assert refusal(wire, "SORT", key) == refusal(wire, "SORT_RO", key, "BY", "nosort") == WRONG_TYPE


def test_sort_ro_sorts_and_stores_nothing(numbers):
    assert numbers.ask("SORT_RO", "l", "DESC", "LIMIT", 0, 1) == [b"10"]
    assert refusal(numbers, "SORT_RO", "l", "STORE", "d") == SYNTAX


def test_missing_values_are_nulls_of_the_protocol(wire, wire3):
    wire.ask("RPUSH", "l", "a")
    for connection, null in ((wire, b"$-1\r\n"), (wire3, b"_\r\n")):
        connection.send(encode("SORT", "l", "BY", "nosort", "GET", "none_*"))
        assert connection.read_raw() == b"*1\r\n" + null


def test_fields_whose_time_has_come_are_no_weights(wire):
    wire.ask("RPUSH", "l", "a", "b")
    wire.ask("HSET", "h_a", "f", 2, "g", 1)
    wire.ask("HSET", "h_b", "f", 1)
    wire.ask("HPEXPIREAT", "h_a", 1, "FIELDS", 1, "f")
    assert wire.ask("SORT", "l", "BY", "nosort", "GET", "h_*->f") == [None, b"1"]
    assert wire.ask("SORT", "l", "BY", "h_*->f") == [b"a", b"b"]


def test_a_script_sees_a_set_in_order_even_unsorted(wire):
    wire.command("SADD", "s", "10", "9", "-2", "1", "a")
    reply = wire.ask("EVAL", "return redis.call('SORT', 's', 'BY', 'nosort')", 0)
    if isinstance(reply, bytes) and b"pip install lupa" in reply:
        pytest.skip("the interpreter that runs the server has no lupa")
    assert reply == [b"-2", b"1", b"10", b"9", b"a"]
