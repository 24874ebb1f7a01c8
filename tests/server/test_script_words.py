"""Numbers of Lua as the words of a command."""

from __future__ import annotations

from server.scripting import words
from server.scripting.words import words_of


def test_the_digits_of_one_float_are_worked_out_once_for_a_call(monkeypatch):
    counted = []
    digits = words.number_text
    monkeypatch.setattr(words, "number_text", lambda value: counted.append(value) or digits(value))
    now = 1795610222.6245017
    moments = [float(str(now)) for _ in range(500)]  # each argument arrives as an object of its own
    assert words_of([b"LPUSH", b"k", *moments, 0.5]) == [b"LPUSH", b"k", *[b"1.7956102226245017e+9"] * 500, b"0.5"]
    assert counted == [now, 0.5]


def test_zeros_are_written_with_their_signs_and_what_is_no_word_is_refused():
    assert words_of([0.0, -0.0, 0.0, 7, float("nan"), float("nan")]) == [b"0", b"-0", b"0", b"7", b"-nan", b"-nan"]
    assert words_of([1.5, None]) is None
