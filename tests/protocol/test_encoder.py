"""One value, two versions of the protocol."""

from __future__ import annotations

import pytest

from protocol.encoder import RESP2, RESP3, encode_bulk_run, encode_run, error_line
from protocol.reply import (
    NULL_ARRAY,
    OK,
    Attribute,
    BigNumber,
    ErrorReply,
    FlatMap,
    Lasting,
    Map,
    Multi,
    Pairs,
    Push,
    SetReply,
    Status,
    Verbatim,
)


def both(value) -> tuple[bytes, bytes]:
    return RESP2[value.__class__](value), RESP3[value.__class__](value)


@pytest.mark.parametrize(
    "value, resp2, resp3",
    [
        (b"ab", b"$2\r\nab\r\n", b"$2\r\nab\r\n"),
        (b"", b"$0\r\n\r\n", b"$0\r\n\r\n"),
        (-7, b":-7\r\n", b":-7\r\n"),
        (None, b"$-1\r\n", b"_\r\n"),
        (True, b":1\r\n", b"#t\r\n"),
        (False, b":0\r\n", b"#f\r\n"),
        (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
        (float("inf"), b"$3\r\ninf\r\n", b",inf\r\n"),
        (OK, b"+OK\r\n", b"+OK\r\n"),
        (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
        (Status(b"none"), b"+none\r\n", b"+none\r\n"),
        (ErrorReply(b"ERR no"), b"-ERR no\r\n", b"-ERR no\r\n"),
        ([], b"*0\r\n", b"*0\r\n"),
        ([b"a", 1, None], b"*3\r\n$1\r\na\r\n:1\r\n$-1\r\n", b"*3\r\n$1\r\na\r\n:1\r\n_\r\n"),
        ([[b"a"], [b"b"]], b"*2\r\n*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n", b"*2\r\n*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n"),
        (Map([(b"a", 1)]), b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
        (SetReply([b"a"]), b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
        (Push([b"a"]), b"*1\r\n$1\r\na\r\n", b">1\r\n$1\r\na\r\n"),
        (Pairs([(b"a", 1.0)]), b"*2\r\n$1\r\na\r\n$1\r\n1\r\n", b"*1\r\n*2\r\n$1\r\na\r\n,1\r\n"),
        (Verbatim(b"txt", b"hi"), b"$2\r\nhi\r\n", b"=6\r\ntxt:hi\r\n"),
        (BigNumber(b"123"), b"$3\r\n123\r\n", b"(123\r\n"),
        (Attribute([(b"k", 1)], b"v"), b"$1\r\nv\r\n", b"|1\r\n$1\r\nk\r\n:1\r\n$1\r\nv\r\n"),
        (Multi([1, 2]), b":1\r\n:2\r\n", b":1\r\n:2\r\n"),
    ],
)
def test_each_kind_of_reply_in_both_versions(value, resp2, resp3):
    assert both(value) == (resp2, resp3)


def test_an_array_that_begins_with_bytes_may_go_on_with_anything():
    assert RESP2[list]([b"id", [b"f", b"v"]]) == b"*2\r\n$2\r\nid\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
    assert RESP2[list]([b"a", b"b", 3]) == b"*3\r\n$1\r\na\r\n$1\r\nb\r\n:3\r\n"
    assert RESP2[list]([b"a", bytearray(b"bc")]) == b"*2\r\n$1\r\na\r\n$2\r\nbc\r\n"


def test_long_runs_of_strings_keep_their_lengths():
    values = [b"x" * length for length in (0, 1, 9, 10, 4095, 4096, 70_000)]
    assert encode_bulk_run(values) == b"".join(b"$%d\r\n%b\r\n" % (len(v), v) for v in values)


def test_an_error_stays_on_its_line():
    assert error_line(b"ERR a\r\nb\nc") == b"-ERR a  b c\r\n"


def test_a_score_of_zero_keeps_its_sign_whatever_was_encoded_before():
    for score, text in ((0.0, b"0"), (-0.0, b"-0"), (0.0, b"0"), (2.5, b"2.5"), (2.5, b"2.5")):
        assert RESP2[Pairs](Pairs([(b"m", score)])) == b"*2\r\n$1\r\nm\r\n$%d\r\n%b\r\n" % (len(text), text)
        assert RESP3[float](score) == b",%b\r\n" % text


def test_a_whole_hash_is_a_map_or_in_turn():
    reply = FlatMap((b"one", b"%s"), (b"1", b""))
    for _ in range(3):  # from the second time on by what was kept of the names
        assert RESP2[FlatMap](reply) == b"*4\r\n$3\r\none\r\n$1\r\n1\r\n$2\r\n%s\r\n$0\r\n\r\n"
        assert RESP3[FlatMap](reply) == b"%2\r\n$3\r\none\r\n$1\r\n1\r\n$2\r\n%s\r\n$0\r\n\r\n"
    assert RESP3[FlatMap](FlatMap((), ())) == b"%0\r\n" and RESP2[FlatMap](FlatMap((), ())) == b"*0\r\n"


def test_replies_to_a_run_are_what_each_of_them_is_alone():
    lists = [[], [b"a"], [], [], [b"", b"\r\n"], [], [b"x"] * 3, []]
    maps = [FlatMap((b"100%", b"%s"), (b"%d", b"v" * length)) for length in range(4)]
    others = [FlatMap((), ()), FlatMap((b"100%",), (b"",))]
    for table in (RESP2, RESP3):
        for replies in (lists, lists[:1], [*lists, [1]], list(map(SetReply, lists)), maps, maps, maps + others):
            assert encode_run(replies, table) == b"".join([table[reply.__class__](reply) for reply in replies])


def test_a_reply_that_lasts_is_made_once_for_each_version():
    made = []
    reply = Lasting(lambda: made.append(1) or Map([(b"f", None)]))
    assert [both(reply), both(reply)] == [(b"*2\r\n$1\r\nf\r\n$-1\r\n", b"%1\r\n$1\r\nf\r\n_\r\n")] * 2
    assert len(made) == 2
