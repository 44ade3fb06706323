"""The pause of a queue after 429 or 503. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cloudq.emulators.cloud_tasks.throttle import MOST_RETRY_AFTER, Throttle

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def pause(throttle: Throttle, now: datetime = NOW) -> float:
    end = throttle.held_until(now)
    return 0 if end is None else (end - now).total_seconds()


def test_the_pause_doubles_while_the_worker_refuses():
    """HttpRequest: "if the worker returns 429 (Too Many Requests), 503 (Service Unavailable) [...] Cloud Tasks will use
    a higher backoff rate"."""
    throttle, now, pauses = Throttle(SECOND, 5 * SECOND), NOW, []
    for _ in range(5):
        throttle.refused(now, now, None)
        pauses.append(pause(throttle, now))
        now = throttle.until or now
    assert [1, 2, 4, 5, 5] == pauses
    throttle.accepted(now)
    throttle.refused(now, now, None)
    assert pause(throttle, now) == 1


def test_what_was_dispatched_together_is_one_refusal():
    """A hundred attempts of one moment that are all refused don't double the pause a hundred times."""
    throttle = Throttle(SECOND, 60 * SECOND)
    for after in range(100):
        throttle.refused(NOW + after * SECOND / 1000, NOW - SECOND, None)
    assert throttle.until == NOW + 1.099 * SECOND


def test_retry_after_decides():
    """HttpRequest: "The retry specified in the Retry-After HTTP response header is considered"."""
    throttle = Throttle()
    throttle.refused(NOW, NOW, 30 * SECOND)
    assert pause(throttle) == 30
    throttle.refused(NOW, NOW, timedelta(days=9))
    assert pause(throttle) == MOST_RETRY_AFTER.total_seconds()
    assert pause(throttle, NOW + MOST_RETRY_AFTER) == 0


def test_an_old_success_ends_nothing():
    """An attempt from before the pause says nothing about the worker now."""
    throttle = Throttle(SECOND, 60 * SECOND)
    throttle.refused(NOW, NOW, None)
    throttle.accepted(NOW - SECOND)
    throttle.refused(NOW + SECOND, NOW + SECOND, None)
    assert pause(throttle, NOW + SECOND) == 2
