"""Globs: the grammar, byte by byte, and that no pattern is expensive."""

from __future__ import annotations

import random
import time

import pytest

from storage.globbing import compile_glob, glob_match


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (b"", b"", True),
        (b"", b"a", False),
        (b"*", b"", False),
        (b"**", b"", False),
        (b"a*", b"a", True),
        (b"a**", b"a", True),
        (b"*a", b"ba", True),
        (b"*a*", b"bab", True),
        (b"a*b*c", b"aXbYc", True),
        (b"a*b*c", b"aXcYb", False),
        (b"ab*ba", b"aba", False),  # the two ends may not share a byte
        (b"h?llo", b"hello", True),
        (b"h?llo", b"hllo", False),
        (b"*?", b"", False),
        (b"h[ae]llo", b"hallo", True),
        (b"h[ae]llo", b"hillo", False),
        (b"h[^e]llo", b"hello", False),
        (b"h[^e]llo", b"hbllo", True),
        (b"h[a-c]llo", b"hbllo", True),
        (b"h[c-a]llo", b"hbllo", True),
        (b"[a-", b"a", True),  # unclosed, no range: both bytes stand for themselves
        (b"[a-", b"-", True),
        (b"[a-]", b"]", True),  # a range up to the bracket itself
        (b"[a-]", b"_", True),
        (b"[]", b"]", False),
        (b"[^]", b"x", True),
        (b"[^", b"x", True),
        (b"[", b"[", False),
        (b"[\\]]", b"]", True),
        (b"\\*", b"*", True),
        (b"\\*", b"a", False),
        (b"a\\", b"a\\", True),
        (b"[a-\xff]", b"\xff", True),  # a signed range: from -1 up to "a"
        (b"[a-\xff]", b"b", False),
        (b"?", b"\n", True),
        (b"*[ab]*\r\n?", b"xxb\r\n\r\n\n", True),
    ],
)
def test_pattern_means_what_redis_means(pattern, text, matches):
    assert compile_glob(pattern)(text) is matches
    assert glob_match(pattern, text) is matches


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (b"MaxMemory", b"maxmemory", True),
        (b"MAX*", b"maxmemory", True),
        (b"*[M-N]ory", b"maxmemory", True),
        (b"[\\A]", b"a", False),  # an escaped byte in brackets stays exact
        (b"[\\A]", b"A", True),
        (b"[^A]", b"a", False),
    ],
)
def test_without_case(pattern, text, matches):
    assert compile_glob(pattern, nocase=True)(text) is matches


def reference(pattern: bytes, text: bytes) -> bool:
    """Plain backtracking over `*`, `?` and bytes: slow and obviously right."""
    if not text:
        return not pattern
    if not pattern:
        return False
    if pattern[:1] == b"*":
        rest = pattern.lstrip(b"*")
        return not rest or any(reference(rest, text[at:]) for at in range(len(text)))
    if pattern[:1] in (b"?", text[:1]):
        return not pattern[1:].strip(b"*") if not text[1:] else reference(pattern[1:], text[1:])
    return False


def test_stars_and_question_marks_agree_with_backtracking():
    chance = random.Random(74)
    for _ in range(20_000):
        pattern = bytes(chance.choices(b"ab*?", k=chance.randint(0, 7)))
        text = bytes(chance.choices(b"ab", k=chance.randint(0, 8)))
        assert compile_glob(pattern)(text) is reference(pattern, text), (pattern, text)


@pytest.mark.parametrize(
    "pattern",
    [b"a*" * 500 + b"b", b"*a?" * 500 + b"b", b"[ab]*" * 500 + b"c", b"?*" * 500, b"*" * 100_000 + b"b"],
)
def test_no_pattern_backtracks(pattern):
    text = b"a" * 20_000
    started = time.process_time()
    compile_glob(pattern)(text)
    assert time.process_time() - started < 2.0  # backtracking would outlive the test run
