"""What a server says to names and vectors that it does not have, byte for byte as a real one."""

from __future__ import annotations

import pytest

VECTORS = [
    [b"nosuch"],
    [b"nosuch", b"a", b"b c"],
    [b"", b"a"],
    [b"n" * 127],
    [b"n" * 129, b"a"],
    [b"nosuch", b"a" * 127, b"b"],
    [b"nosuch", b"a" * 128, b"b"],
    [b"nosuch", b"a" * 300, b"b"],
    [b"nosuch", b"a" * 60, b"b" * 60, b"c" * 60, b"d"],
    [b"nosuch", b"", b"", b""],
    [b"nosuch\r\n+OK", b"\n\r"],
    [b"no\0such", b"a\0b", b"c"],
    [b"nosuch", b"\xff\xfe"],
    [b"get|x", b"a"],
    [b"object|encoding", b"k"],
    [b"object"],
    [b"ObJeCt", b"NoSuch"],
    [b"object", b"nosuch", b"a"],
    [b"object", b"n" * 300],
    [b"object", b"a\0b"],
    [b"object", b"a\r\nb"],
    [b"object", b""],
    [b"object", b"encoding"],
    [b"OBJECT", b"ENCODING", b"a", b"b"],
    [b"object", b"help", b"a"],
    [b"command", b"nosuch"],
    [b"command", b"count", b"a"],
    [b"get"],
    [b"GET", b"a", b"b"],
    [b"SET", b"a"],
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: repr(vector)[:40])
def test_a_refusal_has_the_words_of_a_real_server_and_ends_nothing(vector, server, real_server):
    with server.wire() as own, real_server.wire() as real:
        assert own.command(*vector) == real.command(*vector)
        assert own.command("STRLEN", "nokey") == (b":", b"0")
