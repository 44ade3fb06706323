"""The token bucket. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cloudq.emulators.cloud_tasks.bucket import TokenBucket

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_burst_then_the_rate():
    """RateLimits.max_burst_size: "Tasks will be dispatched until the queue's bucket runs out of tokens. The bucket
    will be continuously refilled with new tokens based on max_dispatches_per_second"."""
    bucket = TokenBucket(2.0, 3, NOW)
    assert [True, True, True, False] == [bucket.take(NOW) for _ in range(4)]
    assert [False, True, False] == [bucket.take(NOW + after * SECOND) for after in (0.4, 0.5, 0.9)]
    assert [True, True, True, False] == [bucket.take(NOW + 60 * SECOND) for _ in range(4)]


def test_the_next_token_is_there_when_it_was_said_to_be():
    """Whoever waits for the time that `next_at` gives gets a token, whatever the rate: no wait is a moment too
    short."""
    for rate in (0.001, 0.3, 1.0, 3.0, 7.0, 499.9, 500.0, 1e6):
        bucket, now = TokenBucket(rate, 1, NOW), NOW
        for _ in range(50):
            assert bucket.take(now)
            assert bucket.next_at(now) > now
            now = bucket.next_at(now)


def test_a_rate_next_to_nothing_is_no_overflow():
    """A wait of more years than a date has is cut."""
    bucket = TokenBucket(5e-324, 1, NOW)
    assert bucket.take(NOW)
    assert bucket.next_at(NOW) > NOW + timedelta(days=300)


def test_a_change_keeps_the_tokens_that_fit():
    """Other limits don't fill the bucket anew."""
    bucket = TokenBucket(10.0, 10, NOW)
    bucket.change(10.0, 2, NOW)
    assert [True, True, False] == [bucket.take(NOW) for _ in range(3)]
    bucket.change(10.0, 100, NOW)
    assert not bucket.take(NOW)


def test_a_clock_that_goes_back_gives_no_tokens():
    """Nor does it take any."""
    bucket = TokenBucket(1.0, 1, NOW)
    assert bucket.take(NOW)
    assert not bucket.take(NOW - 100 * SECOND)
    assert bucket.take(NOW + SECOND)
