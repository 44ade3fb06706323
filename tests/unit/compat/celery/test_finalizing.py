"""An app's tasks, from their decorators to the App that declares them."""

from __future__ import annotations

from threading import Thread

import pytest

from cloudq.compat.celery import Task
from cloudq.compat.celery.declaring import made
from cloudq.compat.celery.finalizing import Declarations
from cloudq.errors import TaskDefinitionError

PATIENCE = 60


def task(name: str) -> Task:
    return made(lambda: None, Task, None, {"name": name})


def in_another_thread(do) -> bool:
    """Whether it ends there while this one goes no further."""
    thread = Thread(target=do, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return not thread.is_alive()


class Steps:
    """What is done with an app's tasks, in its order; each step may do something of a test's."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.meanwhile = {}
        self.shared: list[Task] = []
        self.of = Declarations(
            find=lambda: self.step("find"),
            shared=self.taken,
            begin=lambda: self.step("begin"),
            declare=lambda one: self.step(one.name),
            end=lambda: self.step("end"),
        )

    def taken(self) -> list[Task]:
        taken, self.shared = self.shared, []
        return taken

    def step(self, name: str) -> None:
        self.meanwhile.get(name, lambda: None)()
        self.done.append(name)


def fail() -> None:
    raise TaskDefinitionError("no task")


@pytest.fixture
def steps() -> Steps:
    return Steps()


def test_tasks_are_declared_together_and_later_ones_at_once(steps) -> None:
    """Each once."""
    steps.of.add([task("a"), task("b")])
    assert [] == steps.done
    for _ in range(2):
        steps.of.finalize()
    steps.of.add([task("c")])
    assert ["find", "begin", "a", "b", "end", "c"] == steps.done
    assert ["a", "b", "c"] == list(steps.of.by_name)


@pytest.mark.parametrize("when", ["find", "begin", "a", "end", "late", "used"])
def test_no_decorator_waits_for_another_thread(steps, when) -> None:
    """It runs while its module is imported, and what the other one does may need that module: they would wait forever.

    What it leaves to that thread is declared there.
    """
    steps.of.add([task("a")])
    ended = []
    steps.meanwhile[when] = lambda: ended.append(in_another_thread(lambda: steps.of.add([task("b")])))
    steps.of.finalize()
    steps.of.add([task("late")])
    steps.of.declare(task("used"))
    assert [True] == ended
    assert {"a", "b", "late", "used"} < set(steps.done)


@pytest.mark.parametrize("when", ["find", "begin", "end", "late"])
def test_what_is_shared_meanwhile_is_declared_too(steps, when) -> None:
    """No app has it yet, and this one is used."""

    def share() -> None:
        steps.shared.append(task("b"))
        steps.of.take_late()

    steps.meanwhile[when] = share
    steps.of.finalize()
    steps.of.add([task("late")])
    assert "b" in steps.done


def test_what_is_shared_before_the_app_is_used_waits_for_an_app_that_is(steps) -> None:
    """It may be another one."""
    steps.shared.append(task("a"))
    steps.of.take_late()
    assert ([], ["a"]) == (list(steps.of.by_name), [one.name for one in steps.shared])


def test_modules_are_imported_without_the_lock(steps) -> None:
    """One of them may be on its way in another thread already, and have a task declared."""
    ended = []
    steps.meanwhile["find"] = lambda: ended.append(in_another_thread(lambda: steps.of.declare(task("a"))))
    steps.of.finalize()
    assert [True] == ended


def test_what_uses_the_app_while_it_is_made_goes_on_without(steps) -> None:
    """A module that is found, or a base of the program's own."""
    steps.of.add([task("a")])
    steps.meanwhile = dict.fromkeys(["find", "a"], steps.of.finalize)
    steps.of.finalize()
    assert ["find", "begin", "a", "end"] == steps.done


def test_what_isnt_declared_waits_for_the_next_time(steps) -> None:
    """The app isn't made without it: its messages would be those of an unknown task."""
    steps.of.add([task("a"), task("b"), task("c")])
    steps.meanwhile["b"] = fail
    for _ in range(2):
        with pytest.raises(TaskDefinitionError):
            steps.of.finalize()
        assert not steps.of.done
    steps.meanwhile.clear()
    steps.of.finalize()
    assert ["a", "b", "c", "end"] == [step for step in steps.done if step not in {"find", "begin"}]


def test_a_late_one_that_cant_be_declared_is_refused_once(steps) -> None:
    """At its own decorator; those after it are declared."""
    steps.of.finalize()
    steps.meanwhile["a"] = fail
    with pytest.raises(TaskDefinitionError):
        steps.of.add([task("a"), task("b")])
    assert ["find", "begin", "end", "b"] == steps.done
