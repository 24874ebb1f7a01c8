"""How long failed rewrites of the log hold the next one back."""

from __future__ import annotations

from server.log_rewrite import FAILURES_BEFORE_DELAY, FailureLimit


def test_rewrites_that_failed_hold_the_next_one_back_from_when_it_is_wanted_and_twice_as_long_each_time():
    limit = FailureLimit()
    limit.failures = FAILURES_BEFORE_DELAY - 1
    assert not limit.holds_back(1000.0)
    limit.failures += 1
    now_s = 2000.0
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        assert limit.holds_back(now_s) and limit.minutes == minutes
        assert limit.holds_back(now_s + minutes * 60 - 1)
        now_s += minutes * 60
        assert not limit.holds_back(now_s), "this one may begin"
        limit.failures += 1


def test_a_rewrite_that_succeeds_or_is_asked_for_ends_the_waiting():
    limit = FailureLimit()
    limit.failures = FAILURES_BEFORE_DELAY
    assert limit.holds_back(1000.0)
    limit.failures = 0
    assert not limit.holds_back(1001.0)
    limit.failures = FAILURES_BEFORE_DELAY
    assert limit.holds_back(1002.0) and limit.minutes == 1
