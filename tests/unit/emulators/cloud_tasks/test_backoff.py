"""When a failed task is tried again, and when it's given up. Pure."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.emulators.cloud_tasks.backoff import DEFAULT_MAX, DEFAULT_MIN, Retries, delay, is_over, specified
from cloudq.emulators.cloud_tasks.messages import RetryConfigPb, to_duration

SECOND = timedelta(seconds=1)


def config(**fields):
    return RetryConfigPb(**{key: to_duration(v) if isinstance(v, timedelta) else v for key, v in fields.items()})


def test_doublings_then_linear_then_the_longest():
    """RetryConfig.max_doublings: "if min_backoff is 10s, max_backoff is 300s, and max_doublings is 3 [...] the requests
    will retry at 10s, 20s, 40s, 80s, 160s, 240s, 300s, 300s"."""
    retries = Retries(min_backoff=10 * SECOND, max_backoff=300 * SECOND, max_doublings=3)
    assert [10, 20, 40, 80, 160, 240, 300, 300] == [delay(retries, n).total_seconds() for n in range(1, 9)]


def test_huge_numbers_end_at_the_longest_backoff():
    """A retry interval never exceeds max_backoff, however many attempts and doublings there are."""
    retries = Retries(max_doublings=2**31 - 1, max_backoff=timedelta(days=900))
    assert [delay(retries, n) for n in (50, 70, 10**9)] == [timedelta(days=900)] * 3
    assert delay(Retries(max_doublings=1, max_backoff=timedelta(days=9)), 10**12) == timedelta(days=9)


def test_fractions_of_a_second_are_cut():
    """RetryConfig: "min_backoff will be truncated to the nearest second"; so are the two other lengths of time."""
    asked = config(min_backoff=1.9 * SECOND, max_backoff=10.9 * SECOND, max_retry_duration=5.5 * SECOND)
    got = specified(asked, relaxed=False)
    assert (got.min_backoff, got.max_backoff, got.max_duration) == (SECOND, 10 * SECOND, 5 * SECOND)
    got = specified(asked, relaxed=True)
    assert (got.min_backoff, got.max_backoff, got.max_duration) == (1.9 * SECOND, 10.9 * SECOND, 5.5 * SECOND)


def test_what_is_unspecified_has_the_services_defaults():
    """RetryConfig: "If unspecified when the queue is created, Cloud Tasks will pick the default"."""
    got = specified(config(), relaxed=False)
    assert got == Retries(max_attempts=100, min_backoff=DEFAULT_MIN, max_backoff=DEFAULT_MAX, max_doublings=16)
    assert specified(config(min_backoff=0.5 * SECOND), relaxed=False).min_backoff == DEFAULT_MIN
    assert specified(config(max_backoff=SECOND / 100), relaxed=True).min_backoff == SECOND / 100
    assert specified(config(min_backoff=timedelta(days=2)), relaxed=False).max_backoff == timedelta(days=2)


@pytest.mark.parametrize(
    ("attempts", "duration", "made", "age", "over"),
    [
        (3, 0, 2, 1000, False),
        (3, 0, 3, 0, True),
        (3, 60, 3, 59, False),
        (3, 60, 2, 61, False),
        (3, 60, 3, 60, True),
        (-1, 0, 10**6, 10**6, False),
        (-1, 60, 1, 59, False),
        (-1, 60, 1, 60, True),
    ],
)
def test_both_limits_have_to_be_met(attempts, duration, made, age, over):
    """RetryConfig.max_attempts: "Cloud Tasks stops retrying only when max_attempts and max_retry_duration are both
    satisfied"; "-1, which indicates unlimited attempts"."""
    retries = Retries(max_attempts=attempts, max_duration=duration * SECOND)
    assert over is is_over(retries, made, age * SECOND)
