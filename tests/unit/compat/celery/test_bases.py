"""The class of a task: its own base, or its app's."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from cloudq.compat.celery import Celery, Task, shared_task
from cloudq.compat.celery.bases import loaded
from cloudq.errors import ConfigurationError, TaskDefinitionError
from cloudq.testing import run_all


class Counting(Task):
    """A program's own base, which begins with something."""

    level = "info"

    def __init__(self, *args, **kwargs):
        self.started = f"at {self.level}"
        self.around = []
        super().__init__(*args, **kwargs)

    def __call__(self, *args, **kwargs):
        self.around.append(args or tuple(kwargs.values()))
        return super().__call__(*args, **kwargs)


def test_a_base_begins_as_it_says(app) -> None:
    """With what the declaration gave it, as with Celery."""
    assert "at info" == app.task(name="a", base=Counting)(lambda: None).started
    assert "at debug" == app.task(name="b", base=Counting, level="debug")(lambda: None).started


def test_a_class_with_a_run_may_begin_with_something_too(app) -> None:
    """And is a task all the same."""

    class Job(Counting):
        name = "job"

        def run(self, n):
            return n

    task = app.register_task(Job())
    assert ("at info", "job", 5) == (task.started, task.name, task(5))


def test_shared_tasks_are_of_their_apps_base(open_app) -> None:
    """As Flask's documentation has it: the app's base goes around tasks that don't know the app."""
    app = Celery("proj", broker="memory://", task_cls=Counting)

    @shared_task(name="shared", level="debug", max_retries=7)
    def task(n: int): ...

    @shared_task(name="other", base=Task)
    def other(): ...

    ours, _ = open_app(app)
    task.delay(3)
    run_all(ours)
    assert ("at debug", 7, [(3,)]) == (task.started, task.max_retries, task.around)
    assert type(other) is Task

    @shared_task(name="late")
    def late(): ...

    assert "at info" == late.started


def test_a_refused_option_of_the_apps_base_is_refused_for_shared_tasks() -> None:
    """By its name, once the app takes them."""

    class Pickled(Task):
        serializer = "pickle"

    shared_task(name="shared")(lambda: None)
    with pytest.raises(TaskDefinitionError, match="'serializer' can't be honoured"):
        Celery("proj", broker="memory://", task_cls=Pickled).finalize()


def test_a_base_may_be_named_by_a_text(monkeypatch) -> None:
    """It is imported when tasks are declared: its module may import the app."""
    module = ModuleType("bases_of_a_test")
    app = Celery("proj", broker="memory://", task_cls="bases_of_a_test:Counting")
    early = app.task(name="early")(lambda: None)
    module.Counting = Counting
    monkeypatch.setitem(sys.modules, module.__name__, module)
    app.finalize()
    assert "at info" == early.started == app.task(name="late")(lambda: None).started
    assert app.Task is Counting is loaded("bases_of_a_test.Counting")


@pytest.mark.parametrize("base", ["no_module_of_h:Base", "cloudq.compat.celery:Nothing", "os:path", "Base", object])
def test_what_is_no_base_is_refused(base) -> None:
    """By its name."""
    with pytest.raises(ConfigurationError, match="task_cls="):
        loaded(base)
