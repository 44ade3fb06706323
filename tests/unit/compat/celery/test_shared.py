"""Tasks that are declared without an app."""

from __future__ import annotations

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
