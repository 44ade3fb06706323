"""In eager mode a send knows what its task returned, as it would come from the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

import cloudq
from cloudq import App, NoResult

HOUR = timedelta(hours=1)


@pytest.fixture
def app() -> Iterator[App]:
    app = App("memory://")
    with app.eager():
        yield app


def test_what_a_task_returned_is_known(app: App) -> None:
    """Of the declared type, by way of JSON."""

    @app.task("t", keep_result=HOUR)
    def task(n: int) -> tuple[int, str]:
        return n, "x"

    assert task.send(7).result() == (7, "x")
    assert [sent.result() for sent in app.send_many([task.call(1), task.call(2)])] == [(1, "x"), (2, "x")]


def test_async_tasks_too(app: App) -> None:
    """And awaited."""

    @app.task("t", keep_result=HOUR)
    async def task(n: int) -> int:
        return n + 1

    async def main() -> int:
        return await (await task.asend(7)).aresult()

    assert asyncio.run(main()) == 8
    assert task.send(8).result() == 9


def test_what_would_not_be_kept_is_not(app: App) -> None:
    """A test finds it before production does."""

    @app.task("t", keep_result=HOUR)
    def task():  # type: ignore[no-untyped-def]  # nothing says what it is
        return (1, 2)

    with pytest.raises(NoResult, match="nothing says what it is"):
        task.send().result()


def test_what_is_raised_is_raised_by_the_send(app: App) -> None:
    """As without a result."""

    @app.task("t", keep_result=HOUR)
    def task() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        task.send()


def test_without_keep_result_nothing_is_known(app: App) -> None:
    """As with a worker."""

    @app.task("t")
    def task() -> int:
        return 7

    with pytest.raises(cloudq.UnsupportedError):
        task.send().result()
