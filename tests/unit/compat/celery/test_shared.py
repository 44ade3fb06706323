"""Tasks that are declared without an app."""

from __future__ import annotations

import pytest

from cloudq.compat.celery import Celery, current_app, shared_task


def test_a_shared_task_is_of_the_app_that_is_current_then() -> None:
    """When it is first used, not when it is declared."""

    @shared_task(name="shared")
    def task(): ...

    @shared_task
    def plain(): ...

    app = Celery("proj", broker="memory://")
    assert {"shared", f"{__name__}.plain"} == set(app.tasks)
    assert task.app is plain.app is app
    assert current_app.main == "proj"


def test_it_isnt_of_another_app_that_is_used_before() -> None:
    """That one has its own tasks, and perhaps another backend."""
    other = Celery("other", broker="memory://", set_as_current=False)
    app = Celery("proj", broker="memory://")

    @shared_task(name="shared")
    def task(): ...

    assert [] == list(other.tasks)
    assert app is task.app
    assert ["shared"] == list(app.tasks) == list(app.cloudq.tasks)


def test_one_that_was_used_stays_with_its_app() -> None:
    """Though another one is current by the time that either declares its tasks."""
    first = Celery("first", broker="memory://")
    task = shared_task(name="shared")(lambda: None)
    assert first is task.app
    second = Celery("second", broker="memory://")
    assert [[], ["shared"]] == [list(app.tasks) for app in (second, first)]


def test_where_no_app_is_current_it_is_of_the_first_one() -> None:
    """A program may have one alone, which isn't to be current."""
    task = shared_task(name="shared")(lambda: None)
    app = Celery("proj", broker="memory://", set_as_current=False)
    assert ["shared"] == list(app.tasks)
    assert app is task.app


@pytest.mark.parametrize("becomes", [Celery.__cloudq_app__, Celery.set_current, Celery.set_default])
def test_an_app_that_becomes_current_has_it(becomes) -> None:
    """As that of a worker does, which has to know all of its tasks, also if it was used before."""
    served = Celery("served", broker="memory://", set_as_current=False)
    Celery("last", broker="memory://")
    shared_task(name="shared")(lambda: None)
    served.finalize()
    becomes(served)
    assert ["shared"] == list(served.cloudq.tasks)
    assert current_app.main == "served"


def test_one_that_comes_late_is_declared_at_once() -> None:
    """As the app's others are by then: a worker has to know it."""
    app = Celery("proj", broker="memory://", task_always_eager=True)
    app.finalize()

    @shared_task(name="late")
    def task(a):
        return a

    assert ["late"] == list(app.cloudq.tasks)
    assert 5 == task.delay(5).get()


def test_one_whose_app_came_later_is_declared_at_its_first_use() -> None:
    """Of the app that is current then."""
    first = Celery("first", broker="memory://")
    first.finalize()
    Celery("second", broker="memory://", task_always_eager=True)

    @shared_task(name="t")
    def task(a):
        return a

    first.set_current()
    assert 5 == task.apply((5,)).get()
    assert task.app is first
