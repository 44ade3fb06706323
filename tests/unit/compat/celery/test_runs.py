"""A run in a worker: Celery's exceptions and hooks, in cloudq's words."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from cloudq import DeadLetter, TimeLimitExceeded
from cloudq.compat.celery import Task
from cloudq.compat.celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from cloudq.core.outcome import ending_of
from cloudq.errors import TransactionAborted, TransactionBroken
from cloudq.testing import run_all


class Down(Exception):
    """A passing fault."""


class Recorded(Task):
    """Writes down its hooks."""

    def __new__(cls):
        self = super().__new__(cls)
        self.seen = []
        return self

    def before_start(self, task_id, args, kwargs):
        self.seen.append(("before", kwargs))

    def on_success(self, retval, task_id, args, kwargs):
        self.seen.append(("success", retval))

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        self.seen.append(("retry", type(exc).__name__))

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        self.seen.append(("failure", type(exc).__name__, "Traceback" in einfo))

    def after_return(self, status, *_):
        self.seen.append(("after", status))


def ended(app) -> list[str]:
    """What became of each delivery, in order."""
    return [ending_of(run.outcome).value for run in run_all(app).runs]


def test_a_task_runs_with_its_arguments_by_name(app, open_app) -> None:
    """However they were given."""
    seen = []

    @app.task(name="t")
    def task(a, b=2, *, c=3):
        seen.append((a, b, c))

    ours, _ = open_app(app)
    task.delay(1)
    task.delay(1, 5, c=6)
    task.apply_async(kwargs={"a": 7})
    assert ["succeeded"] * 3 == ended(ours)
    assert [(1, 2, 3), (1, 5, 6), (7, 2, 3)] == seen


def test_a_retry_is_after_its_countdown(app, open_app) -> None:
    """And counts: `self.request.retries` says how often it was."""
    seen = []

    @app.task(bind=True, name="t", max_retries=2)
    def task(self):
        seen.append((self.request.retries, ours.clock.now()))
        raise self.retry(exc=Down("no"), countdown=70)

    ours, clock = open_app(app)
    began = clock.now()
    task.delay()
    assert ["retried", "retried", "dead_lettered"] == ended(ours)
    assert [(n, began + n * timedelta(seconds=70)) for n in range(3)] == seen


def test_a_retry_at_a_moment(app, open_app) -> None:
    """`eta` in the place of `countdown`."""

    @app.task(bind=True, name="t")
    def task(self):
        if not self.request.retries:
            raise self.retry(eta=datetime(2026, 6, 1, tzinfo=UTC))
        seen.append(ours.clock.now())

    seen = []
    ours, _ = open_app(app)
    clock_before = ours.clock.now()
    assert clock_before < datetime(2026, 6, 1, tzinfo=UTC)
    task.delay()
    ended(ours)
    assert [datetime(2026, 6, 1, tzinfo=UTC)] == seen


def test_named_errors_have_it_run_again(app, open_app) -> None:
    """After the seconds of the back-off; others don't."""
    times = []

    @app.task(name="t", autoretry_for=(Down,), dont_autoretry_for=(KeyError,), retry_backoff=10, retry_jitter=False)
    def task():
        times.append(ours.clock.now())
        raise Down if len(times) < 3 else ValueError

    ours, clock = open_app(app)
    began = clock.now()
    task.delay()
    assert ["retried", "retried", "dead_lettered"] == ended(ours)
    assert [0, 10, 30] == [(moment - began).total_seconds() for moment in times]


def test_named_errors_are_retried_as_often_as_their_own_number_says(app, open_app) -> None:
    """Also if it is far above the task's: `autoretry_for` was declared with it."""

    @app.task(name="t", autoretry_for=(Down,), retry_kwargs={"max_retries": 90, "countdown": 5})
    def task():
        raise Down

    ours, _ = open_app(app)
    task.apply_async(retries=88)
    assert ["retried", "retried", "dead_lettered"] == ended(ours)


@pytest.mark.parametrize("delay", [30, "30", timedelta(seconds=30)])
def test_a_retry_that_says_no_time_waits_for_the_tasks_own(app, open_app, delay) -> None:
    """In any form that its own countdown may have."""
    times = []

    @app.task(bind=True, name="t", default_retry_delay=delay, max_retries=1)
    def task(self):
        times.append(ours.clock.now())
        raise self.retry()

    ours, _ = open_app(app)
    task.delay()
    assert ["retried", "dead_lettered"] == ended(ours)
    assert timedelta(seconds=30) == times[1] - times[0]


def test_what_isnt_retried_is_dead_at_once(app, open_app) -> None:
    """As with Celery, where it would be a failure."""

    @app.task(name="t")
    def task():
        raise ValueError("no")

    ours, _ = open_app(app)
    task.delay()
    assert ["dead_lettered"] == ended(ours)


@pytest.mark.parametrize(
    ("error", "ending"),
    [(Ignore(), "succeeded"), (Reject("bad"), "dead_lettered"), (TimeLimitExceeded(), "dead_lettered")],
)
def test_a_predicate_says_what_becomes_of_it(app, open_app, error, ending) -> None:
    """Ignored is done, rejected is a dead letter."""

    @app.task(name="t", autoretry_for=(Exception,), dont_autoretry_for=(TimeLimitExceeded,))
    def task():
        raise error

    ours, _ = open_app(app)
    task.delay()
    assert [ending] == ended(ours)


@pytest.mark.parametrize(
    ("when", "seconds"),
    [(lambda _: None, 70), (lambda _: 120, 120), (lambda now: (now + timedelta(hours=1)).replace(tzinfo=None), 3600)],
    ids=["no moment", "seconds", "a moment without a zone"],
)
def test_a_retry_that_a_task_raises_itself_is_held_to_its_retries(app, open_app, when, seconds) -> None:
    """Its reason and its moment are its own; without one it comes after `default_retry_delay`."""
    seen = []

    @app.task(name="t", max_retries=2, default_retry_delay=70)
    def task():
        seen.append(ours.clock.now())
        raise Retry("again", when=when(seen[-1]))

    ours, _ = open_app(app)
    task.delay()
    report = run_all(ours)
    assert ["retried", "retried", "dead_lettered"] == [ending_of(run.outcome).value for run in report.runs]
    assert "again" == report.runs[0].outcome.reason
    assert "MaxRetriesExceededError" in report.runs[-1].outcome.reason
    assert timedelta(seconds=seconds) == seen[1] - seen[0]


def test_a_retry_that_a_task_raises_itself_ends_where_it_is_called(app) -> None:
    """An eager run too, with the error that the task gave."""

    @app.task(name="t", max_retries=2)
    def task():
        seen.append(1)
        if len(seen) > 3:
            raise SystemExit("this goes on for ever")
        raise Retry(exc=Down("no"))

    seen = []
    result = task.apply()
    assert (3, "Down('no')") == (len(seen), repr(result.result))


def test_a_rejected_message_is_dead_for_its_reason(app, open_app) -> None:
    """And not for an error of the task's."""

    @app.task(name="t")
    def task():
        raise Reject("bad", requeue=False)

    ours, _ = open_app(app)
    task.delay()
    (run,) = run_all(ours).runs
    assert "rejected: bad" == run.outcome.reason


def test_what_asks_for_a_retry_itself_isnt_retried_by_its_error(app, open_app) -> None:
    """Though `autoretry_for` names all errors: its own countdown holds."""
    times = []

    @app.task(bind=True, name="t", autoretry_for=(Exception,), retry_backoff=500, retry_jitter=False)
    def task(self):
        times.append(ours.clock.now())
        if len(times) == 1:
            raise self.retry(countdown=7)

    ours, clock = open_app(app)
    began = clock.now()
    task.delay()
    assert ["retried", "succeeded"] == ended(ours)
    assert [0, 7] == [(moment - began).total_seconds() for moment in times]


@pytest.mark.parametrize(
    "error", [TransactionBroken("ended within its block"), DeadLetter("no use")], ids=["broken", "dead"]
)
def test_what_decides_for_itself_isnt_retried_by_its_error(app, open_app, error) -> None:
    """What a broken transaction kept would be done twice."""

    @app.task(name="t", autoretry_for=(Exception,))
    def task():
        raise error

    ours, _ = open_app(app)
    task.delay()
    assert ["dead_lettered"] == ended(ours)


def test_a_run_that_asks_for_another_itself_has_not_failed_for_good(app, open_app) -> None:
    """Its hooks say so: a transaction that was in another one's way comes back."""
    told = []

    @app.task(name="t", autoretry_for=(Exception,))
    def task():
        if not told:
            raise TransactionAborted("deadlock")

    vars(task).update(on_retry=lambda *_: told.append("retry"), on_failure=lambda *_: told.append("failure"))
    ours, _ = open_app(app)
    task.delay()
    assert (["succeeded"], ["retry"]) == (ended(ours), told)


def test_a_rejected_message_may_go_back(app, open_app) -> None:
    """Which counts as an attempt."""
    seen = []

    @app.task(name="t")
    def task():
        seen.append(1)
        if len(seen) == 1:
            raise Reject("later", requeue=True)

    ours, _ = open_app(app)
    task.delay()
    assert ["retried", "succeeded"] == ended(ours)


def test_a_soft_time_limit_is_what_cloudq_raises() -> None:
    """So that a task which catches Celery's name catches it, and a test may raise it without a text."""
    assert SoftTimeLimitExceeded is TimeLimitExceeded
    assert "time limit" in str(SoftTimeLimitExceeded())


def test_hooks_are_called(app, open_app) -> None:
    """In Celery's order."""
    outcomes = iter([Down(), ValueError(), "done"])

    @app.task(name="t", base=Recorded, autoretry_for=(Down,))
    def task(n):
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    ours, _ = open_app(app)
    task.delay(1)
    task.delay(2)
    run_all(ours)
    assert ("before", {"n": 1}) in task.seen
    assert [("retry", "Down"), ("after", "RETRY")] == task.seen[1:3]
    assert sorted(
        [("success", "done"), ("after", "SUCCESS"), ("failure", "ValueError", True), ("after", "FAILURE")]
    ) == sorted(entry for entry in task.seen[3:] if entry[0] != "before")


def test_a_hook_that_fails_is_logged(app, open_app, caplog) -> None:
    """What became of the task stays."""

    class Broken(Task):
        def on_success(self, *_):
            raise RuntimeError("the hook")

    @app.task(name="t", base=Broken)
    def task(): ...

    ours, _ = open_app(app)
    task.delay()
    with caplog.at_level(logging.ERROR, "cloudq.compat.celery"):
        assert ["succeeded"] == ended(ours)
    assert ["on_success of t failed"] == [r.message for r in caplog.records if r.name == "cloudq.compat.celery"]


def test_annotated_arguments_arrive_as_what_they_are(app, open_app) -> None:
    """A date under its annotation; what nothing says what it is, is refused at the send."""
    from cloudq import PayloadError

    seen = []

    @app.task(name="t")
    def task(day: datetime):
        seen.append(day)

    @app.task(name="u")
    def untyped(day): ...

    ours, _ = open_app(app)
    day = datetime(2026, 1, 1, tzinfo=UTC)
    task.delay(day)
    run_all(ours)
    assert [day] == seen
    with pytest.raises(PayloadError, match="annotate"):
        untyped.delay(day)
