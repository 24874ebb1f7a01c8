"""Sorted sets on the wire: entries, ranges, pops, draws, scans and algebra, in both protocols."""

from __future__ import annotations

import time

import pytest

from tests.harness.wire import encode, plain

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = "ERR syntax error"
NOT_INTEGER = "ERR value is not an integer or out of range"
NOT_FLOAT = "ERR value is not a valid float"
NOT_POSITIVE = "ERR value is out of range, must be positive"
NOT_RANGE = "ERR min or max is not a float"
NOT_LEX = "ERR min or max not valid string range item"
SMALL = 128  # zset-max-listpack-entries
PATIENCE_S = 5.0
LONG = b"x" * 65  # longer than zset-max-listpack-value


def raw(wire, *command) -> bytes:
    """The bytes of one reply."""
    wire.send(encode(*command))
    return wire.read_raw()


def refusal(wire, *command) -> str:
    reply = raw(wire, *command)
    assert reply[:1] == b"-", reply
    return reply[1:-2].decode()


def until_blocked(wire, count: int) -> None:
    """Return once so many clients wait."""
    deadline = time.monotonic() + PATIENCE_S
    while b"blocked_clients:%d\r\n" % count not in wire.ask("INFO", "clients"):
        assert time.monotonic() < deadline, f"no {count} clients wait"


def scores(wire, key) -> list[bytes]:
    return wire.ask("ZRANGE", key, 0, -1, "WITHSCORES")


# Adding --------------------------------------------------------------------------------------------------------


def test_zadd_counts_new_members_and_with_ch_changed_ones(wire):
    assert wire.ask("ZADD", "z", 1, "a", 2, "b") == 2
    assert wire.ask("ZADD", "z", 5, "a", 3, "c") == 1
    assert wire.ask("ZADD", "z", "CH", 6, "a", 3, "c", 4, "d") == 2
    assert scores(wire, "z") == [b"b", b"2", b"c", b"3", b"d", b"4", b"a", b"6"]


def test_zadd_nx_and_xx_choose_by_existence(wire):
    wire.ask("ZADD", "z", 1, "a")
    assert wire.ask("ZADD", "z", "NX", 9, "a", 2, "b") == 1
    assert wire.ask("ZADD", "z", "XX", "CH", 3, "b", 4, "c") == 1
    assert scores(wire, "z") == [b"a", b"1", b"b", b"3"]
    assert wire.ask("ZADD", "none", "XX", 1, "a") == 0
    assert wire.ask("EXISTS", "none") == 0


def test_zadd_gt_and_lt_add_always_but_change_one_way(wire):
    wire.ask("ZADD", "z", 5, "a")
    assert wire.ask("ZADD", "z", "GT", "CH", 4, "a", 1, "b") == 1
    assert wire.ask("ZADD", "z", "LT", "CH", 4, "a", 2, "b") == 1
    assert scores(wire, "z") == [b"b", b"1", b"a", b"4"]


def test_zadd_incr_answers_the_score_or_null(wire):
    assert wire.ask("ZADD", "z", "INCR", "1.5", "a") == b"1.5"
    assert wire.ask("ZADD", "z", "INCR", "1.5", "a") == b"3"
    assert wire.ask("ZADD", "z", "NX", "INCR", 1, "a") is None
    assert wire.ask("ZADD", "z", "LT", "INCR", 1, "a") is None
    assert wire.ask("ZADD", "none", "XX", "INCR", 1, "a") is None


@pytest.mark.parametrize(
    "words, error",
    [
        (("1", "a", "2"), SYNTAX),
        (("NX", "a"), SYNTAX),
        (("NX", "XX", "1", "a"), "ERR XX and NX options at the same time are not compatible"),
        (("NX", "XX", "INCR", "1", "a", "x", "b"), "ERR XX and NX options at the same time are not compatible"),
        (("GT", "LT", "1", "a"), "ERR GT, LT, and/or NX options at the same time are not compatible"),
        (("NX", "GT", "1", "a"), "ERR GT, LT, and/or NX options at the same time are not compatible"),
        (("INCR", "1", "a", "x", "b"), "ERR INCR option supports a single increment-element pair"),
        (("1", "a", "x", "b"), NOT_FLOAT),
        (("nan", "a"), NOT_FLOAT),
        (("1e400", "a"), NOT_FLOAT),
    ],
)
def test_a_bad_zadd_names_the_first_fault_and_changes_nothing(wire, words, error):
    wire.ask("ZADD", "z", 7, "a")
    wire.ask("RPUSH", "l", "x")
    assert refusal(wire, "ZADD", "z", *words) == error
    assert refusal(wire, "ZADD", "l", *words) == error
    assert scores(wire, "z") == [b"a", b"7"]


def test_infinities_that_cancel_are_refused(wire):
    wire.ask("ZADD", "z", "inf", "a")
    assert refusal(wire, "ZINCRBY", "z", "-inf", "a") == "ERR resulting score is not a number (NaN)"
    assert refusal(wire, "ZADD", "z", "INCR", "-inf", "a") == "ERR resulting score is not a number (NaN)"
    assert wire.ask("ZSCORE", "z", "a") == b"inf"


@pytest.mark.parametrize(
    "score, printed",
    [
        ("0.1", b"0.1"),
        ("3.0", b"3"),
        ("1e17", b"100000000000000000"),
        ("1e20", b"1e+20"),
        ("-inf", b"-inf"),
        ("0x10", b"16"),
        ("1.7976931348623157e308", b"1.7976931348623157e+308"),
        ("1e-7", b"1e-7"),
    ],
)
def test_a_score_is_printed_in_fewest_digits(wire, wire3, score, printed):
    wire.ask("ZADD", "z", score, "a")
    assert raw(wire, "ZSCORE", "z", "a") == b"$%d\r\n%b\r\n" % (len(printed), printed)
    assert raw(wire3, "ZSCORE", "z", "a") == b",%b\r\n" % printed


def test_a_large_set_keeps_the_sign_of_zero_and_a_small_one_does_not(wire):
    wire.ask("ZADD", "small", "-0", "a")
    wire.ask("ZADD", "large", "-0", LONG)
    wire.ask("ZADD", "converted", "-0", "a", "1", LONG)
    assert wire.ask("ZSCORE", "small", "a") == b"0"
    assert wire.ask("ZSCORE", "large", LONG) == b"-0"
    assert wire.ask("ZSCORE", "converted", "a") == b"0"
    assert wire.ask("ZINCRBY", "new", "-0", "a") == b"-0"


# Encodings -----------------------------------------------------------------------------------------------------


def test_the_encoding_follows_number_and_length_and_never_goes_back(wire):
    wire.ask("ZADD", "z", *(word for n in range(SMALL) for word in (n, n)))
    assert wire.ask("OBJECT", "ENCODING", "z") == b"listpack"
    wire.ask("ZADD", "z", 1, "more")
    wire.ask("ZREMRANGEBYRANK", "z", 1, -1)
    assert wire.ask("OBJECT", "ENCODING", "z") == b"skiplist"
    wire.ask("ZADD", "long", 1, LONG)
    assert wire.ask("OBJECT", "ENCODING", "long") == b"skiplist"


def test_so_many_arguments_convert_a_set_however_often_they_repeat_a_member(wire):
    wire.ask("ZADD", "z", 1, "a")
    wire.ask("ZADD", "z", *([1, "a"] * (SMALL + 1)))
    assert wire.ask("OBJECT", "ENCODING", "z") == b"skiplist"


@pytest.mark.parametrize(
    "command, encoding",
    [
        (("ZUNIONSTORE", "d", 2, "large", "small"), b"skiplist"),
        (("ZINTERSTORE", "d", 2, "large", "small"), b"listpack"),
        (("ZDIFFSTORE", "d", 2, "large", "small"), b"skiplist"),
        (("ZRANGESTORE", "d", "large", 0, 3), b"listpack"),
        (("ZRANGESTORE", "d", "large", 0, SMALL), b"skiplist"),
        (("ZRANGESTORE", "d", "large", "-inf", "+inf", "BYSCORE"), b"skiplist"),
        (("ZRANGESTORE", "d", "large", 0, 0, "REV"), b"listpack"),
    ],
)
def test_a_stored_result_has_the_encoding_of_its_size(wire, command, encoding):
    wire.ask("ZADD", "large", *(word for n in range(SMALL + 2) for word in (n, n)))
    wire.ask("ZADD", "small", 1, "1")
    assert wire.ask(*command) > 0
    assert wire.ask("OBJECT", "ENCODING", "d") == encoding


def test_lower_thresholds_apply_from_the_next_change_on(start_server):
    server = start_server("--zset-max-ziplist-entries", 2, "--zset-max-listpack-value", 4)
    with server.wire() as wire:
        wire.ask("ZADD", "z", 1, "a", 2, "b")
        assert wire.ask("OBJECT", "ENCODING", "z") == b"listpack"
        wire.ask("CONFIG", "SET", "zset-max-listpack-entries", 3)
        wire.ask("ZADD", "z", 3, "c")
        assert wire.ask("OBJECT", "ENCODING", "z") == b"listpack"
        wire.ask("ZADD", "z", 4, "d")
        assert wire.ask("OBJECT", "ENCODING", "z") == b"skiplist"
        wire.ask("ZADD", "y", 1, "abcde")
        assert wire.ask("OBJECT", "ENCODING", "y") == b"skiplist"


# Asking --------------------------------------------------------------------------------------------------------


def test_scores_and_ranks_of_members_there_and_not_there(wire, wire3):
    wire.ask("ZADD", "z", 1, "a", 2, "b", "2.5", "c")
    assert wire.ask("ZMSCORE", "z", "a", "x", "c") == [b"1", None, b"2.5"]
    assert wire.ask("ZMSCORE", "none", "a", "b") == [None, None]
    assert (wire.ask("ZRANK", "z", "c"), wire.ask("ZREVRANK", "z", "c")) == (2, 0)
    assert raw(wire, "ZRANK", "z", "c", "WITHSCORE") == b"*2\r\n:2\r\n$3\r\n2.5\r\n"
    assert raw(wire3, "ZREVRANK", "z", "c", "withscore") == b"*2\r\n:0\r\n,2.5\r\n"
    assert raw(wire, "ZRANK", "z", "x") == b"$-1\r\n"
    assert raw(wire, "ZRANK", "none", "x", "WITHSCORE") == b"*-1\r\n"
    assert raw(wire3, "ZRANK", "z", "x", "WITHSCORE") == b"_\r\n"
    assert refusal(wire, "ZRANK", "z", "a", "junk") == SYNTAX
    assert refusal(wire, "ZRANK", "z", "a", "b", "c") == "ERR wrong number of arguments for 'zrank' command"


@pytest.mark.parametrize("protocol", [2, 3])
def test_scores_nest_with_their_members_in_resp3_only(server, protocol):
    with server.wire(protocol=protocol) as wire:
        wire.ask("ZADD", "z", 1, "a")
        flat, nested = b"*2\r\n$1\r\na\r\n$1\r\n1\r\n", b"*1\r\n*2\r\n$1\r\na\r\n,1\r\n"
        expected = flat if protocol == 2 else nested
        for command in (
            ("ZRANGE", "z", 0, -1, "WITHSCORES"),
            ("ZREVRANGEBYSCORE", "z", 9, 0, "WITHSCORES"),
            ("ZUNION", 1, "z", "WITHSCORES"),
            ("ZINTER", 1, "z", "WITHSCORES"),
            ("ZDIFF", 1, "z", "WITHSCORES"),
            ("ZRANDMEMBER", "z", 1, "WITHSCORES"),
            ("ZPOPMIN", "z", 1),
        ):
            assert raw(wire, *command) == expected, command
        wire.ask("ZADD", "z", 1, "a")
        pair = flat if protocol == 2 else b"*2\r\n$1\r\na\r\n,1\r\n"
        assert raw(wire, "ZPOPMAX", "z") == pair
        wire.ask("ZADD", "z", 1, "a")
        score = b"$1\r\n1\r\n" if protocol == 2 else b",1\r\n"
        assert raw(wire, "ZMPOP", 1, "z", "MIN") == b"*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\na\r\n" + score
        wire.ask("ZADD", "z", 1, "a")
        assert raw(wire, "BZPOPMIN", "z", 0) == b"*3\r\n$1\r\nz\r\n$1\r\na\r\n" + score


# Ranges --------------------------------------------------------------------------------------------------------


@pytest.fixture
def letters(wire):
    wire.ask("ZADD", "z", 1, "a", 2, "b", 2, "c", 3, "d", 4, "e")
    return wire


@pytest.mark.parametrize(
    "words, members",
    [
        ("0 -1", b"abcde"),
        ("-2 9", b"de"),
        ("-99 0", b"a"),
        ("3 1", b""),
        ("0 1 REV", b"ed"),
        ("(1 3 BYSCORE", b"bcd"),
        ("3 (1 BYSCORE REV", b"dcb"),
        ("-inf +inf BYSCORE LIMIT 1 2", b"bc"),
        ("+inf -inf BYSCORE REV LIMIT 1 2", b"dc"),
        ("-inf +inf BYSCORE LIMIT 2 -1", b"cde"),
        ("-inf +inf BYSCORE LIMIT -1 2", b""),
        ("0 -1 LIMIT 5 -1", b"abcde"),
    ],
)
def test_zrange_by_rank_and_score(letters, words, members):
    assert b"".join(letters.ask("ZRANGE", "z", *words.split())) == members


def test_an_offset_before_the_start_counts_from_the_other_end_of_a_large_set_only(letters):
    letters.ask("ZADD", "z", 100, LONG)
    assert letters.ask("ZRANGE", "z", 1, 4, "BYSCORE", "LIMIT", -2, 5) == [b"d", b"e"]
    assert letters.ask("ZRANGE", "z", 4, 1, "BYSCORE", "REV", "LIMIT", -1, 5) == [b"a"]
    assert letters.ask("ZRANGE", "z", 1, 4, "BYSCORE", "LIMIT", -9, 5) == []


@pytest.mark.parametrize(
    "words, members",
    [
        ("- +", b"abcd"),
        ("[b (d", b"bc"),
        ("(b + LIMIT 1 1", b"d"),
        ("+ - REV LIMIT 0 2", b"dc"),
        ("(d [b REV", b"cb"),
        ("+ -", b""),
    ],
)
def test_zrange_by_name(wire, words, members):
    wire.ask("ZADD", "z", *(word for name in "abcd" for word in (0, name)))
    first, last, *options = words.split()
    assert b"".join(wire.ask("ZRANGE", "z", first, last, "BYLEX", *options)) == members


@pytest.mark.parametrize(
    "words, error",
    [
        ("0 x", NOT_INTEGER),
        ("0 -1 junk", SYNTAX),
        ("0 -1 LIMIT 0 1", "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"),
        ("- + BYLEX WITHSCORES", "ERR syntax error, WITHSCORES not supported in combination with BYLEX"),
        ("x y BYSCORE LIMIT 0 z", NOT_INTEGER),
        ("x 1 BYSCORE", NOT_RANGE),
        ("nan 1 BYSCORE", NOT_RANGE),
        ("a + BYLEX", NOT_LEX),
        ("0 1 BYSCORE BYLEX", SYNTAX),
    ],
)
def test_a_bad_range_is_refused_before_the_key_is_looked_at(wire, words, error):
    wire.ask("SET", "s", "x")
    assert refusal(wire, "ZRANGE", "s", *words.split()) == error
    assert refusal(wire, "ZRANGE", "none", *words.split()) == error


def test_the_older_range_commands_take_no_words_their_names_say(letters):
    assert letters.ask("ZREVRANGE", "z", 0, 1) == [b"e", b"d"]
    assert letters.ask("ZRANGEBYSCORE", "z", "(1", 2, "WITHSCORES", "LIMIT", 1, 1) == [b"c", b"2"]
    assert letters.ask("ZREVRANGEBYSCORE", "z", 2, 1) == [b"c", b"b", b"a"]
    assert letters.ask("ZREVRANGEBYLEX", "none", "+", "-") == []
    assert refusal(letters, "ZREVRANGE", "z", 0, 1, "REV") == SYNTAX
    assert refusal(letters, "ZRANGEBYSCORE", "z", 0, 1, "BYSCORE") == SYNTAX
    assert refusal(letters, "ZRANGEBYLEX", "z", "-", "+", "REV") == SYNTAX


def test_ranges_are_counted_and_removed(letters):
    assert letters.ask("ZCOUNT", "z", "(1", "+inf") == 4
    assert letters.ask("ZREMRANGEBYSCORE", "z", 2, 2) == 2
    assert letters.ask("ZREMRANGEBYRANK", "z", 0, 0) == 1
    letters.ask("ZADD", "same", 0, "a", 0, "b", 0, "c")
    assert letters.ask("ZLEXCOUNT", "same", "[b", "+") == 2
    assert letters.ask("ZREMRANGEBYLEX", "same", "-", "(c") == 2
    assert letters.ask("ZREMRANGEBYRANK", "z", 0, -1) == 2
    assert letters.ask("EXISTS", "z", "same") == 1


def test_zrangestore_replaces_its_destination_or_deletes_it(letters):
    letters.ask("SET", "d", "text", "EX", 100)
    assert letters.ask("ZRANGESTORE", "d", "z", 2, 3, "BYSCORE", "LIMIT", 1, 9) == 2
    assert scores(letters, "d") == [b"c", b"2", b"d", b"3"]
    assert letters.ask("TTL", "d") == -1
    assert letters.ask("ZRANGESTORE", "z", "z", 0, 0, "REV") == 1
    assert letters.ask("ZRANGESTORE", "d", "none", 0, -1) == 0
    assert letters.ask("EXISTS", "d") == 0
    assert refusal(letters, "ZRANGESTORE", "d", "z", 0, -1, "WITHSCORES") == SYNTAX


# Pops ----------------------------------------------------------------------------------------------------------


def test_pops_take_from_the_ends_and_the_key_with_the_last(letters):
    assert letters.ask("ZPOPMIN", "z") == [b"a", b"1"]
    assert letters.ask("ZPOPMAX", "z", 2) == [b"e", b"4", b"d", b"3"]
    assert letters.ask("ZPOPMIN", "z", 0) == []
    assert letters.ask("ZPOPMIN", "z", 99) == [b"b", b"2", b"c", b"2"]
    assert letters.ask("EXISTS", "z") == 0
    assert letters.ask("ZPOPMIN", "z") == []
    for count in (-1, "x"):
        assert refusal(letters, "ZPOPMIN", "z", count) == NOT_POSITIVE
    assert refusal(letters, "ZPOPMIN", "z", 1, 1) == SYNTAX


def test_zmpop_takes_from_the_first_set_there_is(letters):
    assert letters.ask("ZMPOP", 2, "none", "z", "MAX", "COUNT", 2) == [b"z", [[b"e", b"4"], [b"d", b"3"]]]
    assert raw(letters, "ZMPOP", 1, "none", "MIN") == b"*-1\r\n"


@pytest.mark.parametrize(
    "words, error",
    [
        ("0 z MIN", "ERR numkeys should be greater than 0"),
        ("x z MIN", "ERR numkeys should be greater than 0"),
        ("2 z MIN", SYNTAX),
        ("1 z MID", SYNTAX),
        ("1 z MIN COUNT", SYNTAX),
        ("1 z MIN COUNT 0", "ERR count should be greater than 0"),
        ("1 z MIN COUNT 1 COUNT 1", SYNTAX),
    ],
)
def test_a_bad_zmpop_takes_nothing(letters, words, error):
    assert refusal(letters, "ZMPOP", *words.split()) == error
    assert refusal(letters, "BZMPOP", 0, *words.split()) == error
    assert letters.ask("ZCARD", "z") == 5


@pytest.mark.parametrize(
    "command, reply",
    [
        (("BZPOPMIN", "none", "z", 0), [b"z", b"a", b"1"]),
        (("BZPOPMAX", "none", "z", 0), [b"z", b"b", b"2"]),
        (("BZMPOP", 0, 2, "none", "z", "MAX", "COUNT", 9), [b"z", [[b"b", b"2"], [b"a", b"1"]]]),
    ],
)
def test_a_blocking_pop_takes_what_is_there_and_waits_for_what_is_not(server, wire, command, reply):
    wire.ask("ZADD", "z", 1, "a", 2, "b")
    assert wire.ask(*command) == reply
    wire.ask("DEL", "z")
    with server.wire() as waiter:
        waiter.send(encode(*command))
        until_blocked(wire, 1)
        wire.ask("RPUSH", "z", "not a sorted set")
        waiter.expect_silence()
        wire.ask("DEL", "z")
        wire.ask("ZADD", "z", 1, "a", 2, "b")
        assert plain(waiter.read()) == reply


def test_blocking_pops_time_out_with_a_null_array(wire, wire3):
    for command in (("BZPOPMIN", "z", "0.01"), ("BZPOPMAX", "z", "0.01"), ("BZMPOP", "0.01", 1, "z", "MIN")):
        assert raw(wire, *command) == b"*-1\r\n"
        assert raw(wire3, *command) == b"_\r\n"


def test_waiters_for_one_set_are_served_in_the_order_they_came(server, wire):
    with server.wire() as first, server.wire() as second:
        for place, waiter in enumerate((first, second)):
            waiter.send(encode("BZPOPMIN", "z", 0))
            until_blocked(wire, place + 1)
        wire.ask("ZADD", "z", 2, "b", 1, "a")
        assert plain(first.read()) == [b"z", b"a", b"1"]
        assert plain(second.read()) == [b"z", b"b", b"2"]
    assert wire.ask("EXISTS", "z") == 0


# Draws and scans -----------------------------------------------------------------------------------------------


def test_zrandmember_draws_distinct_members_or_with_repetition(letters):
    names = [b"a", b"b", b"c", b"d", b"e"]
    assert letters.ask("ZRANDMEMBER", "z") in names
    assert sorted(letters.ask("ZRANDMEMBER", "z", 99)) == names
    assert len(set(letters.ask("ZRANDMEMBER", "z", 3))) == 3
    drawn = letters.ask("ZRANDMEMBER", "z", -50)
    assert len(drawn) == 50 and set(drawn) <= set(names)
    pairs = letters.ask("ZRANDMEMBER", "z", 5, "WITHSCORES")
    assert dict(zip(pairs[::2], pairs[1::2])) == {b"a": b"1", b"b": b"2", b"c": b"2", b"d": b"3", b"e": b"4"}
    assert letters.ask("ZRANDMEMBER", "none") is None
    assert letters.ask("ZRANDMEMBER", "none", 3) == []
    assert letters.ask("ZRANDMEMBER", "z", 0) == []


@pytest.mark.parametrize(
    "words, error",
    [
        ("x", NOT_INTEGER),
        ("1 junk", SYNTAX),
        ("1 WITHSCORES 1", SYNTAX),
        (
            "-9223372036854775808",
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("9223372036854775807 WITHSCORES", "ERR value is out of range"),
    ],
)
def test_a_bad_count_for_zrandmember(wire, words, error):
    assert refusal(wire, "ZRANDMEMBER", "none", *words.split()) == error


def test_zscan_meets_every_member_of_a_large_set_and_a_small_one_at_once(wire):
    wire.ask("ZADD", "z", *(word for n in range(1000) for word in (f"{n}.1", f"m{n}")))
    seen, cursor = {}, b"0"
    while True:
        cursor, found = wire.ask("ZSCAN", "z", cursor, "COUNT", 50)
        seen.update(zip(found[::2], found[1::2]))
        if cursor == b"0":
            break
    assert len(seen) == 1000
    assert seen[b"m7"] == b"7.0999999999999996"  # a large set's scores come with 17 digits, as from Redis
    wire.ask("ZADD", "small", "7.1", "a", 8, "b")
    assert wire.ask("ZSCAN", "small", 0, "COUNT", 1) == [b"0", [b"a", b"7.1", b"b", b"8"]]
    assert wire.ask("ZSCAN", "small", 0, "MATCH", "b*") == [b"0", [b"b", b"8"]]


def test_zscan_judges_the_cursor_before_the_key_and_the_key_before_options(wire):
    wire.ask("SET", "s", "x")
    assert refusal(wire, "ZSCAN", "s", "x") == "ERR invalid cursor"
    assert refusal(wire, "ZSCAN", "s", 0, "COUNT", "x") == WRONG_TYPE
    assert wire.ask("ZSCAN", "none", 0, "COUNT", "x") == [b"0", []]


# Algebra -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sources(wire):
    wire.ask("ZADD", "x", 1, "a", 2, "b", 3, "c")
    wire.ask("ZADD", "y", 10, "b", 20, "c", 30, "d")
    wire.ask("SADD", "s", "c", "e")
    return wire


@pytest.mark.parametrize(
    "words, reply",
    [
        ("ZUNION 2 x y WITHSCORES", b"a 1 b 12 c 23 d 30"),
        ("ZUNION 2 x y WEIGHTS 2 1 AGGREGATE MAX WITHSCORES", b"a 2 b 10 c 20 d 30"),
        ("ZUNION 3 x y s AGGREGATE MIN WITHSCORES", b"a 1 c 1 e 1 b 2 d 30"),
        ("ZUNION 2 x none", b"a b c"),
        ("ZINTER 2 x y WITHSCORES", b"b 12 c 23"),
        ("ZINTER 3 x s y WEIGHTS 1 5 1 WITHSCORES", b"c 28"),
        ("ZINTER 2 x none", b""),
        ("ZINTER 2 x x WITHSCORES", b"a 2 b 4 c 6"),
        ("ZDIFF 2 x s WITHSCORES", b"a 1 b 2"),
        ("ZDIFF 2 s x WITHSCORES", b"e 1"),
        ("ZDIFF 2 x x", b""),
    ],
)
def test_algebra_combines_scores(sources, words, reply):
    assert sources.ask(*words.split()) == reply.split()


def test_infinities_and_weights_never_make_what_is_not_a_number(wire):
    wire.ask("ZADD", "x", "inf", "a")
    wire.ask("ZADD", "y", "-inf", "a")
    assert wire.ask("ZUNION", 2, "x", "y", "WITHSCORES") == [b"a", b"0"]
    assert wire.ask("ZUNION", 1, "x", "WEIGHTS", 0, "WITHSCORES") == [b"a", b"0"]
    assert wire.ask("ZINTER", 2, "x", "y", "WEIGHTS", 1, "inf", "WITHSCORES") == [b"a", b"0"]


def test_stored_algebra_counts_replaces_and_deletes(sources):
    assert sources.ask("ZUNIONSTORE", "x", 2, "x", "s") == 4
    assert scores(sources, "x") == [b"a", b"1", b"e", b"1", b"b", b"2", b"c", b"4"]
    assert sources.ask("ZINTERSTORE", "d", 2, "x", "y") == 2
    assert sources.ask("ZDIFFSTORE", "d", 2, "x", "y") == 2
    assert sources.ask("ZDIFFSTORE", "d", 2, "x", "x") == 0
    assert sources.ask("EXISTS", "d") == 0
    assert sources.ask("ZINTERCARD", 2, "x", "y") == 2
    assert sources.ask("ZINTERCARD", 2, "x", "y", "LIMIT", 1) == 1
    assert sources.ask("ZINTERCARD", 2, "x", "none") == 0


@pytest.mark.parametrize(
    "words, error",
    [
        ("ZUNION 0 x", "ERR at least 1 input key is needed for 'zunion' command"),
        ("ZUNIONSTORE d -1 x", "ERR at least 1 input key is needed for 'zunionstore' command"),
        ("ZINTERCARD 0 x", "ERR at least 1 input key is needed for 'zintercard' command"),
        ("ZDIFFSTORE d 0 x", "ERR at least 1 input key is needed for 'zdiffstore' command"),
        ("ZINTER x x", NOT_INTEGER),
        ("ZINTER 2 x", SYNTAX),
        ("ZINTER 2 x text WEIGHTS 1", WRONG_TYPE),
        ("ZINTER 2 x y WEIGHTS 1", SYNTAX),
        ("ZINTER 2 x y WEIGHTS 1 z", "ERR weight value is not a float"),
        ("ZINTER 2 x y AGGREGATE AVG", SYNTAX),
        ("ZINTERSTORE d 1 x WITHSCORES", SYNTAX),
        ("ZDIFF 1 x WEIGHTS 1", SYNTAX),
        ("ZINTERCARD 1 x LIMIT -1", "ERR LIMIT can't be negative"),
        ("ZINTERCARD 1 x LIMIT x", "ERR LIMIT can't be negative"),
        ("ZINTERCARD 1 x WITHSCORES", SYNTAX),
    ],
)
def test_bad_algebra_stores_nothing(sources, words, error):
    sources.ask("SET", "text", "x")
    sources.ask("SET", "d", "kept")
    assert refusal(sources, *words.split()) == error
    assert sources.ask("GET", "d") == b"kept"


# Wrong types ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "ZADD s 1 a",
        "ZADD s NX 1 a",
        "ZINCRBY s 1 a",
        "ZREM s a",
        "ZCARD s",
        "ZSCORE s a",
        "ZMSCORE s a",
        "ZRANK s a",
        "ZREVRANK s a",
        "ZRANDMEMBER s",
        "ZRANDMEMBER s 1",
        "ZSCAN s 0",
        "ZRANGE s 0 -1",
        "ZRANGESTORE d s 0 -1",
        "ZREVRANGE s 0 -1",
        "ZRANGEBYSCORE s 0 1",
        "ZREVRANGEBYSCORE s 1 0",
        "ZRANGEBYLEX s - +",
        "ZREVRANGEBYLEX s + -",
        "ZCOUNT s 0 1",
        "ZLEXCOUNT s - +",
        "ZREMRANGEBYRANK s 0 1",
        "ZREMRANGEBYSCORE s 0 1",
        "ZREMRANGEBYLEX s - +",
        "ZPOPMIN s",
        "ZPOPMIN s 0",
        "ZPOPMAX s 1",
        "ZMPOP 1 s MIN",
        "BZPOPMIN none s 0",
        "BZPOPMAX s 0",
        "BZMPOP 0 2 none s MAX",
        "ZUNION 1 s",
        "ZINTERCARD 1 s",
        "ZDIFFSTORE d 1 s",
    ],
)
def test_another_type_is_refused_and_left_alone(wire, words):
    wire.ask("SET", "s", "text")
    assert refusal(wire, *words.split()) == WRONG_TYPE
    assert wire.ask("GET", "s") == b"text"
    assert wire.ask("EXISTS", "d") == 0
