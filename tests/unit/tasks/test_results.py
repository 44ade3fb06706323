"""Reading what is noted of a message, and waiting for it, on asyncio and trio as well."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import trio

from cloudq import App, CancelAnswer, NoResult, OptionError, PayloadError, Result, ResultTimeout, UnsupportedError
from cloudq.core.run_life import RunState
from cloudq.core.run_notes import Run
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import StoreUnavailable
from cloudq.stores.memory import MemoryStore
from cloudq.testing import FakeClock
from tests.unit.worker.fakes import until

SECOND = timedelta(seconds=1)


class Bench:
    def __init__(self, app: App, clock: FakeClock) -> None:
        self.app, self.clock = app, clock
        self.results = app.runtime.results
        self.notes = self.results.notes()

    def start(self, id_: str = "1", task: str = "t") -> Run:
        run = self.notes.start(id_, task, owner=f"owner of {id_}", attempt=1, keep=None)
        assert isinstance(run, Run)
        return run


@pytest.fixture
def bench() -> Iterator[Bench]:
    app, clock = App(), FakeClock()

    @app.task("t", keep_result=timedelta(hours=1))
    def task() -> tuple[int, str]: ...  # type: ignore[empty-body]

    with app.using(MemoryDriver(clock=clock), clock=clock, store=MemoryStore(clock)):
        yield Bench(app, clock)


def wait(bench: Bench, do: Callable[[], object], timeout: timedelta = 10 * SECOND) -> Any:
    """What a waiting thread gets, if `do` happens while it waits, and the time passes."""
    got: list[Any] = []

    def value() -> None:
        try:
            got.append(bench.results.value("1", timeout))
        except Exception as error:
            got.append(error)

    thread = threading.Thread(target=value)
    thread.start()
    bench.clock.until_waiting()
    do()
    until(lambda: got or bench.clock.advance(SECOND) or thread.join(0.01))
    thread.join(60)
    return got[0]


def test_nothing_is_known_at_first(bench: Bench) -> None:
    """That is a status, not an error."""
    assert bench.app.result("1") == Result(id="1", status="unknown")


@pytest.mark.parametrize("state", list(RunState))
def test_every_state_has_a_status(bench: Bench, state: RunState) -> None:
    """By its name."""
    bench.start().end(state, "why")
    found = bench.app.result("1")
    assert (found.status, found.reason, found.task) == (state.value, "why", "t")


def test_a_value_is_of_the_declared_type(bench: Bench) -> None:
    """JSON's own where the task isn't declared here, or declares another type by now."""
    bench.start("1").end(RunState.SUCCEEDED, result=b'[1,"x"]')
    bench.start("2", "other").end(RunState.SUCCEEDED, result=b'[1,"x"]')
    bench.start("3").end(RunState.SUCCEEDED, result=b'{"a":1}')
    assert [bench.app.result(id_).value for id_ in "123"] == [(1, "x"), [1, "x"], {"a": 1}]
    assert bench.results.value("1", timedelta(0)) == (1, "x")
    with pytest.raises(PayloadError):
        bench.results.value("3", timedelta(0))


def test_a_waiting_thread_gets_the_result(bench: Bench) -> None:
    """Soon after it is there."""
    run = bench.start()
    assert wait(bench, lambda: run.end(RunState.SUCCEEDED, result=b'[1,"x"]')) == (1, "x")


def test_a_failure_that_is_tried_again_is_waited_for(bench: Bench) -> None:
    """It isn't the end."""
    bench.start().end(RunState.RETRIED, "no disk")
    error = wait(bench, lambda: None)
    assert isinstance(error, ResultTimeout)
    assert error.status == "retried"
    assert "10 s" in str(error) or "10 seconds" in str(error)


@pytest.mark.parametrize("state", [RunState.DEAD_LETTERED, RunState.CANCELLED])
def test_what_has_no_result_ends_the_wait(bench: Bench, state: RunState) -> None:
    """At once, with the reason."""
    run = bench.start()
    error = wait(bench, lambda: run.end(state, "wrong order"))
    assert isinstance(error, NoResult)
    assert error.status == state.value
    assert "wrong order" in error.message


def test_what_keeps_no_result_says_so(bench: Bench) -> None:
    """It is done, and how to keep it is in the hint."""
    bench.start().end(RunState.SUCCEEDED)
    with pytest.raises(NoResult, match="keeps no results") as caught:
        bench.results.value("1", timedelta(0))
    assert "keep_result" in (caught.value.hint or "")


def test_a_store_that_fails_for_a_moment_ends_no_wait(bench: Bench) -> None:
    """Only one that fails at the end does."""
    store = bench.app.runtime.store
    assert store is not None
    read = store.notes.read

    def fail(name: str) -> Any:
        raise StoreUnavailable("down")

    bench.start().end(RunState.SUCCEEDED, result=b'[1,"x"]')
    store.notes.read = fail  # type: ignore[method-assign]

    def recover() -> None:
        store.notes.read = read  # type: ignore[method-assign]

    assert wait(bench, recover) == (1, "x")
    store.notes.read = fail  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        bench.results.value("1", timedelta(0))


class Jumping(FakeClock):
    """Its waits are over at once, and have taken their time."""

    def wait(self, condition: threading.Condition, timeout: timedelta | None) -> bool:
        del condition
        self.suspend(timeout or timedelta(0))
        return False


def test_pauses_grow_to_a_second() -> None:
    """A store isn't asked a hundred times for a task that takes minutes."""
    app, clock = App(), Jumping()
    looks: list[timedelta] = []

    class Counted(MemoryStore):
        @property
        def notes(self) -> Any:
            looks.append(clock.elapsed())
            return self._kept

        @notes.setter
        def notes(self, kept: Any) -> None:
            self._kept = kept

    with app.using(MemoryDriver(clock=clock), clock=clock, store=Counted(clock)), pytest.raises(ResultTimeout):
        app.runtime.results.value("1", 10 * SECOND)
    gaps = [later - earlier for earlier, later in pairwise(looks)]
    assert gaps[0] == timedelta(milliseconds=50)
    assert gaps == sorted(gaps[:-1]) + gaps[-1:]
    assert max(gaps) == SECOND
    assert looks[-1] == 10 * SECOND


@pytest.mark.parametrize("timeout", [5, -SECOND, None], ids=str)
def test_a_timeout_is_a_span(bench: Bench, timeout: Any) -> None:
    """Bare numbers are refused, as everywhere."""
    with pytest.raises(OptionError, match="timeout is a timedelta"):
        bench.results.value("1", timeout)


@pytest.mark.parametrize("id_", ["", None, 5])
def test_an_id_is_a_text(bench: Bench, id_: Any) -> None:
    """Anything else is a mistake."""
    with pytest.raises(OptionError, match="id is a text"):
        bench.results.look(id_)
    with pytest.raises(OptionError, match="id is a text"):
        bench.results.cancel(id_)


def test_it_is_cancelled_by_id(bench: Bench) -> None:
    """Or by what the send gave back."""
    bench.start()
    assert bench.app.cancel_run("1") is CancelAnswer.ASKED
    assert bench.app.result("1").unwanted
    assert bench.app.cancel_run("2") is CancelAnswer.UNKNOWN


def test_without_a_store_there_are_none() -> None:
    """Saying how to have one."""
    app = App("memory://", store="none")
    for call in (app.result, app.cancel_run):
        with pytest.raises(UnsupportedError, match="without a store") as caught:
            call("1")
        assert "CLOUDQ_STORE_URL" in (caught.value.hint or "")


async def _awaited(bench: Bench) -> list[Any]:
    with pytest.raises(ResultTimeout):
        await bench.results.avalue("2", timedelta(0))
    return [
        await bench.results.avalue("1", SECOND),
        (await bench.app.aresult("1")).status,
        await bench.app.acancel_run("1"),
    ]


@pytest.mark.parametrize("run", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)], ids=["asyncio", "trio"])
def test_it_is_awaited_on_either_library(bench: Bench, run: Callable[[Any], Any]) -> None:
    """The loop is never blocked."""
    bench.start().end(RunState.SUCCEEDED, result=b'[1,"x"]')
    assert run(_awaited(bench)) == [(1, "x"), "succeeded", CancelAnswer.TOO_LATE]


def test_an_awaiting_task_gets_the_result(bench: Bench) -> None:
    """While others run on its loop."""

    async def main() -> Any:
        waiting = asyncio.create_task(bench.results.avalue("1", 20 * SECOND))
        await asyncio.sleep(0.01)
        run.end(RunState.SUCCEEDED, result=b'[1,"x"]')
        return await waiting

    run = bench.start()
    assert asyncio.run(main()) == (1, "x")
