"""What is called in place of what, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest

from cloudq import App, Depends
from cloudq.errors import ConfigurationError
from cloudq.tasks.dependencies.of_app import Dependencies
from cloudq.testing import in_memory, run_all


def engine() -> str:
    return "real engine"


def session(engine: Annotated[str, Depends(engine, scope="process")]) -> str:
    return f"session of {engine}"


Session = Annotated[str, Depends(session)]


@pytest.fixture
def app() -> App:
    app = App("memory://")

    @app.task("t")
    def task(session: Session) -> str:
        return session

    return app


def test_another_is_called_within_the_block(app) -> None:
    """In every way that a task is run; its own dependencies are filled in."""
    ran: list[str] = []

    def fake(engine: Annotated[str, Depends(engine, scope="process")]) -> Iterator[str]:
        yield f"fake of {engine}"
        ran.append("closed")

    task: Any = app.tasks["t"]
    with app.overriding({session: fake}) as same:
        assert same is app
        assert "fake of real engine" == task()
        with in_memory(app):
            app.send("t")
            run_all(app)
        with app.eager():
            app.send("t")
    assert ["closed"] * 3 == ran
    assert "session of real engine" == task()


def test_blocks_may_be_nested_and_values_of_the_process_are_their_own(app) -> None:
    """What was made before isn't made of the fakes, nor left to those that follow; it is closed with the block."""
    closed: list[str] = []

    def fake_engine() -> Iterator[str]:
        yield "fake engine"
        closed.append("engine")

    task: Any = app.tasks["t"]
    assert "session of real engine" == task()
    with app.overriding({engine: fake_engine}):
        assert "session of fake engine" == task()
        with app.overriding({len: len}):
            assert "session of fake engine" == task()
        with app.overriding({session: lambda: "fake session"}):
            assert "fake session" == task()
        assert ["engine"] == closed, "that of the block within"
    assert ["engine"] * 2 == closed
    assert "session of real engine" == task()


def test_a_block_that_fails_ends_all_the_same(app) -> None:
    """The next test has the real ones."""
    task: Any = app.tasks["t"]
    with pytest.raises(KeyError), app.overriding({session: lambda: "fake"}):
        raise KeyError
    assert "session of real engine" == task()


def test_a_value_is_no_function(app) -> None:
    """It would be called."""
    values: Any = {session: "session"}
    with pytest.raises(ConfigurationError, match="overridden by a function"), app.overriding(values):
        pass


def test_an_app_has_one_state_however_many_threads_ask_first() -> None:
    """Two would make a process's values twice."""
    dependencies = Dependencies()
    dependencies.close()  # nothing was made
    all_here = threading.Barrier(8)

    def ask(_: int) -> int:
        all_here.wait(60)
        return id(dependencies.in_force)

    with ThreadPoolExecutor(8) as threads:
        assert 1 == len(set(threads.map(ask, range(8))))
