"""A run of a task with dependencies, and a direct call of one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import pytest

from cloudq import INJECTED, App, Context, Depends
from cloudq.tasks.dependencies.job import InjectedJob
from cloudq.tasks.job import TaskJob
from cloudq.tasks.task import definition_of
from cloudq.testing import in_memory, run_all

closed: list[str] = []


def session(context: Context) -> Iterator[str]:
    yield f"session of {context.task}"
    closed.append("session")


Session = Annotated[str, Depends(session)]


@pytest.fixture
def app() -> App:
    closed.clear()
    return App("memory://")


def test_it_is_called_with_all_that_it_takes(app) -> None:
    """A Context in front, positions, names, and its dependencies."""
    seen: list[object] = []

    @app.task("t")
    def task(context: Context, n: int, /, m: int = 2, session: Session = INJECTED, **rest: int) -> None:
        seen.append((context.task, n, m, session, rest))

    with in_memory(app):
        task.send(1, other=3)
        run_all(app)
    assert [("t", 1, 2, "session of t", {"other": 3})] == seen


def test_a_direct_call_fills_in_what_is_not_given(app) -> None:
    """So that a test of the function gives its own, or a program calls it as it is."""

    @app.task("t")
    def task(context: Context, n: int, session: Session = INJECTED) -> str:
        return f"{n} {session}"

    @app.task("a")
    async def atask(n: int, session: Session = INJECTED) -> str:
        return f"{n} {session}"

    assert "1 session of t" == task(1)
    assert "1 mine" == task(1, session="mine") == task(1, "mine")
    assert "2 session of direct-call".replace("direct-call", "a") == asyncio.run(atask(2))
    assert "2 mine" == asyncio.run(atask(2, "mine"))
    assert ["session"] * 2 == closed


def test_a_wrong_direct_call_is_python_own_error(app) -> None:
    """As of the function itself."""

    @app.task("t")
    def task(n: int, session: Session = INJECTED) -> None: ...

    wrong: Any = task
    with pytest.raises(TypeError, match="unexpected keyword argument 'm'"):
        wrong(m=1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'n'"):
        wrong()


def test_without_dependencies_nothing_of_them_runs(app) -> None:
    """Which kind of run a task has is chosen where it is declared."""

    @app.task("without")
    def without(n: int) -> None: ...

    @app.task("with")
    def with_one(n: int, session: Session) -> None: ...

    assert TaskJob is definition_of(without)._job
    assert InjectedJob is definition_of(with_one)._job
    assert TaskJob._call is not InjectedJob._call
    assert TaskJob.run is InjectedJob.run
