"""Words, quotes and the end of a text, as C and Redis have them."""

from __future__ import annotations

import pytest

from storage.text import UnbalancedQuotes, c_text, quoted, split_arguments

EVERY_BYTE = bytes(range(256))


def test_a_text_ends_at_its_first_nul():
    assert c_text(b"ab\0cd\0") == b"ab"
    assert c_text(b"ab") == b"ab"
    assert split_arguments(b"a b\0 c") == [b"a", b"b"]


@pytest.mark.parametrize(
    "text, shown",
    [
        (b"", b'""'),
        (b"it's", b'"it\'s"'),
        (b'a"b\\', b'"a\\"b\\\\"'),
        (b"\n\r\t\a\b", b'"\\n\\r\\t\\a\\b"'),
        (b"\0\x7f\xff\x0b", b'"\\x00\\x7f\\xff\\x0b"'),
    ],
)
def test_what_cannot_be_printed_is_shown_by_its_escape(text, shown):
    assert quoted(text) == shown


def test_what_is_quoted_is_read_back():
    assert split_arguments(quoted(EVERY_BYTE) + b" " + quoted(b"") + b" 'it\\'s'") == [EVERY_BYTE, b"", b"it's"]


@pytest.mark.parametrize("line", [b'"open', b"'open", b'"a"b', b"'a'b"])
def test_quotes_that_do_not_match_are_refused(line):
    with pytest.raises(UnbalancedQuotes):
        split_arguments(line)
