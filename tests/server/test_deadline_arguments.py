"""Times among the options of SET and GETEX."""

from __future__ import annotations

import pytest

from server.deadline_arguments import StringOptions
from storage.errors import CommandError


def test_a_second_time_of_the_same_unit_replaces_the_first():
    options = StringOptions([b"PX", b"GET", b"px", b"20"], of_set=True)
    assert (options.unit, options.amount, options.returns_old) == (b"PX", b"20", False)


@pytest.mark.parametrize(
    ("text", "of_set"),
    [(b"PX 1 EX 1", True), (b"KEEPTTL EX 1", True), (b"EX 1 KEEPTTL", True), (b"PERSIST EX 1", False), (b"EX", True)],
)
def test_times_that_contradict_each_other_are_a_syntax_error(text, of_set):
    with pytest.raises(CommandError) as caught:
        StringOptions(text.split(), of_set)
    assert caught.value.text == b"ERR syntax error"
