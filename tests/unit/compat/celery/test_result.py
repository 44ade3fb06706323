"""What a call gives back, in Celery's words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.compat.celery import AsyncResult, Celery, EagerResult
from cloudq.compat.celery.exceptions import TaskError, TaskRevokedError, TimeoutError  # noqa: A004 - Celery's name
from cloudq.errors import UnsupportedError
from cloudq.testing import run_all
from tests.unit.compat.celery.reading import public


def test_a_result_is_read_from_the_store(app, open_app) -> None:
    """Before and after the run, by the same id anywhere."""
    task = app.task(name="t")(lambda a: a * 2)
    ours, _ = open_app(app)
    result = task.delay(21)
    assert ("PENDING", False, None) == (result.state, result.ready(), result.result)
    with pytest.raises(TimeoutError):
        result.get(timeout=0)
    run_all(ours)
    assert (42, "SUCCESS", True, True) == (result.get(), result.status, result.ready(), result.successful())
    again = app.AsyncResult(str(result))
    assert (42, "t", 0, again) == (again.get(timeout=1), again.name, again.retries, result)
    assert result.id == result.task_id == task.AsyncResult(result.id).id
    assert 1 == len({result, again})
    assert 42 == AsyncResult(result.id).get(timeout=1)  # of the current app


def test_a_failure_is_raised_with_its_reason(app, open_app) -> None:
    """The error itself doesn't travel."""

    @app.task(name="t")
    def task():
        raise ValueError("the reason")

    ours, _ = open_app(app)
    result = task.delay()
    run_all(ours)
    assert ("FAILURE", True) == (result.state, result.failed())
    with pytest.raises(TaskError, match="the reason"):
        result.get(timeout=1)
    assert isinstance(result.get(timeout=1, propagate=False), TaskError)
    assert isinstance(result.info, TaskError)


def test_a_call_that_is_revoked_doesnt_run(app, open_app) -> None:
    """None is killed: options that ask for that are refused by name."""
    ran = []
    task = app.task(name="t", track_started=True)(lambda: ran.append(1))
    ours, _ = open_app(app)
    result = task.delay()
    with pytest.raises(UnsupportedError, match="'terminate'"):
        result.revoke(terminate=True)
    result.revoke()
    run_all(ours)
    assert ("REVOKED", []) == (result.state, ran)


def test_an_expired_one_is_revoked(app, open_app) -> None:
    """Celery's word for what didn't run."""
    task = app.task(name="t", track_started=True)(lambda: None)
    ours, clock = open_app(app)
    result = task.apply_async(expires=1)
    clock.advance(timedelta(seconds=5))
    run_all(ours)
    assert "REVOKED" == result.state
    with pytest.raises(TaskRevokedError):
        result.get(timeout=1)


def test_what_is_refused_says_what_to_do(app) -> None:
    """Every name that Celery's result has is there, or is refused with a hint."""
    import celery.result

    result = AsyncResult("1", app=app)
    for name in public(celery.result.AsyncResult):
        if not hasattr(AsyncResult, name) and name not in vars(result):
            with pytest.raises(AttributeError, match="; hint: "):
                getattr(result, name)
    with pytest.raises(UnsupportedError, match="'callback'"):
        result.get(callback=print)


def test_without_a_store_there_are_no_results(open_app) -> None:
    """As with Celery's disabled backend."""
    app = Celery("proj", broker="memory://")
    app.conf.task_ignore_result = True
    task = app.task(name="t")(lambda: 1)
    ours, _ = open_app(app)
    result = task.delay()
    run_all(ours)
    assert "PENDING" == result.state


def test_an_eager_result_has_ended() -> None:
    """Whatever it is asked."""
    result = EagerResult("1", 42, "SUCCESS", traceback=None, name="t")
    assert (42, 42, True, True, False) == (
        result.get(timeout=1, interval=0),
        result.result,
        result.ready(),
        result.successful(),
        result.failed(),
    )
    assert ("1", "<EagerResult: 1>", None) == (str(result), repr(result), result.forget())
    failed = EagerResult("1", KeyError("k"), "FAILURE", traceback="...", name="t")
    assert failed.failed()
    assert isinstance(failed.get(propagate=False), KeyError)
    with pytest.raises(KeyError):
        failed.get()
