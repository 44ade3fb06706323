"""`Noting`: an app's side that tells what became of its messages; the default app's functions are the same."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from datetime import timedelta

import pytest

import cloudq
from cloudq import App, CancelAnswer
from cloudq.testing import FakeClock, in_memory, run_all

HOUR = timedelta(hours=1)


@pytest.fixture
def app() -> Iterator[App]:
    with in_memory(App(), clock=FakeClock()) as app:
        yield app


def test_a_sent_or_its_id(app: App) -> None:
    """Both name the message."""

    @app.task("t", keep_result=HOUR)
    def task() -> int:
        return 7

    sent = task.send()
    run_all(app)
    assert app.result(sent) == app.result(sent.id)
    assert app.result(sent).value == 7
    assert app.cancel_run(sent) is app.cancel_run(sent.id) is CancelAnswer.TOO_LATE


def test_by_name_too(app: App) -> None:
    """A send of a task that isn't declared here can be waited for."""
    sent = app.send("elsewhere.task", {"n": 1})
    app.runtime.results.notes().know(sent.id, "elsewhere.task", b"[1]", "", keep=HOUR)
    assert sent.result(timedelta(0)) == [1]


def test_what_keeps_no_result_is_refused_at_once(app: App) -> None:
    """Nobody waits a minute for it."""

    @app.task("t")
    def task() -> int: ...  # type: ignore[empty-body]

    with pytest.raises(cloudq.UnsupportedError, match="no result is kept"):
        task.send().result()


def test_on_a_loop_it_warns(app: App) -> None:
    """As each blocking call does, once."""

    async def main() -> None:
        app.result("1")
        app.cancel_run("1")

    with pytest.warns(RuntimeWarning, match="aresult"):
        asyncio.run(main())


async def _awaited(app: App) -> tuple[str, CancelAnswer]:
    return (await app.aresult("1")).status, await app.acancel_run("1")


def test_it_is_awaited(app: App) -> None:
    """Without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(_awaited(app)) == ("unknown", CancelAnswer.UNKNOWN)


def test_the_default_apps_functions_are_its_methods() -> None:
    """For programs that want no object of their own."""
    from cloudq.default_app import default

    assert cloudq.result == default.result
    assert cloudq.aresult == default.aresult
    assert cloudq.cancel_run == default.cancel_run
    assert cloudq.acancel_run == default.acancel_run
