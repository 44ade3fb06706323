"""How often and when a task runs again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from celery.utils.time import get_exponential_backoff_interval

from cloudq.compat.celery.exceptions import Retry
from cloudq.compat.celery.retrying import asked, backoff, moment, most_deliveries, most_retries, policy_of, seconds
from cloudq.core import policy
from cloudq.core.outcome import DeadLettered, Retried
from cloudq.errors import OptionError, WorkerDied

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("factor", [1, 2.5, 0.5, 7])
@pytest.mark.parametrize("most", [10, 600])
def test_the_seconds_of_a_backoff_are_celerys(factor, most) -> None:
    """For as many retries as there are."""
    theirs = [get_exponential_backoff_interval(int(max(1.0, factor)), n, most, full_jitter=False) for n in range(20)]
    assert theirs == [backoff(n, factor=factor, most=most, jitter=False) for n in range(20)]


def test_jitter_is_from_zero_to_the_backoff() -> None:
    """All of it."""
    drawn = {backoff(2, factor=1, most=600, jitter=True) for _ in range(500)}
    assert drawn == {0, 1, 2, 3, 4}


def test_a_backoff_of_many_retries_has_its_bound() -> None:
    """And takes no time to compute."""
    assert 600 == backoff(10**6, factor=1, most=600, jitter=False)


def decide(error, attempt=1, max_retries=3):
    return policy_of(max_retries).decide(error, attempt=attempt, age=timedelta(0))


def test_what_asks_for_it_runs_again() -> None:
    """As `self.retry` knows when it is enough; not an error."""
    assert isinstance(decide(policy.Retry("x"), attempt=84), Retried)
    assert isinstance(decide(ValueError()), DeadLettered)


@pytest.mark.parametrize(("retries", "runs"), [(3, 85), (200, 201), (None, 1000)])
def test_what_asks_for_ever_has_an_end(retries, runs) -> None:
    """By its runs, which a copy of the message doesn't begin anew; the reason says so."""
    assert isinstance(decide(policy.Retry("poll"), runs - 1, retries), Retried)
    dead = decide(policy.Retry("poll"), runs, retries)
    assert isinstance(dead, DeadLettered)
    assert f"gave up after {runs} attempts: poll" == dead.reason


def test_what_died_with_its_worker_runs_again() -> None:
    """As often as its task may be retried."""
    assert [Retried, Retried, DeadLettered] == [type(decide(WorkerDied("x"), n, 2)) for n in (1, 2, 3)]
    assert isinstance(decide(WorkerDied("x"), 500, None), Retried)


@pytest.mark.parametrize(("retries", "most"), [(3, 100), (0, 100), (200, 216), (None, 1015)])
def test_a_message_that_kills_its_workers_has_a_bound(retries, most) -> None:
    """Above what it may ask for: so a healthy task never ends for that reason."""
    assert most == most_deliveries(retries) == policy_of(retries).max_deliveries


@pytest.mark.parametrize(
    ("own", "automatic", "most"),
    [(3, {}, 3), (3, {"max_retries": 200}, 200), (5, {"max_retries": 1}, 5), (5, {"max_retries": None}, 5)],
)
def test_a_task_is_retried_as_often_as_either_may(own, automatic, most) -> None:
    """By itself, or by `autoretry_for`."""
    task = SimpleNamespace(max_retries=own, retry_kwargs=automatic)
    assert most == most_retries(task)
    task.max_retries = None
    assert None is most_retries(task)


@pytest.mark.parametrize(
    ("when", "delay"),
    [(5, 5), (0, 0), (-3, 0), (None, None), (NOW + timedelta(minutes=1), 60), (NOW - timedelta(days=1), 0)],
)
def test_a_retry_is_asked_for_in_cloudqs_words(when, delay) -> None:
    """A moment that is over is now."""
    ours = asked(Retry(exc=ValueError("no"), when=when), NOW)
    assert "ValueError: no" == ours.reason
    assert (None if delay is None else timedelta(seconds=delay)) == ours.delay


def test_moments_and_spans_are_celerys() -> None:
    """Texts too; anything else is refused."""
    assert NOW == moment("2026-01-01T00:00:00+00:00", UTC)
    assert timedelta(seconds=1.5) == seconds("countdown", "1.5")
    for refused in (lambda: moment(object(), UTC), lambda: seconds("countdown", None), lambda: seconds("x", 1e300)):
        with pytest.raises(OptionError):
            refused()
