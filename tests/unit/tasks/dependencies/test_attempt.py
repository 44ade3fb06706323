"""One attempt with its dependencies: whatever becomes of it, they are closed, the latest first."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Annotated, Any

import pytest

from cloudq import App, Context, DeadLetter, Depends, Retry, RetryPolicy
from cloudq.core.outcome import Acked, DeadLettered, Retried
from cloudq.errors import TimeLimitExceeded
from cloudq.running.time_limits import ThreadTimeLimits
from cloudq.tasks.context import current
from cloudq.testing import FakeClock, in_memory, run_all
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

SOON = timedelta(milliseconds=30)

events: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    events.clear()
    yield
    events.clear()


def outer(context: Context) -> Iterator[str]:
    events.append(f"open outer of {context.attempt}")
    try:
        yield "outer"
    except BaseException as error:
        events.append(f"outer told {type(error).__name__}")
        raise
    finally:
        events.append("close outer")


Outer = Annotated[str, Depends(outer)]


def inner(outer: Outer) -> Iterator[str]:
    events.append("open inner")
    try:
        yield f"{outer}+inner"
    finally:
        events.append("close inner")


async def ainner(outer: Outer) -> AsyncIterator[str]:
    events.append("open inner")
    try:
        yield f"{outer}+inner"
    finally:
        await asyncio.sleep(0)
        events.append("close inner")


OPENED, CLOSED = ["open outer of 1", "open inner"], ["close inner", "close outer"]


def declared(app: App, do: Any, *, asynchronous: bool, **options: Any) -> Any:
    """A task with both dependencies that does this."""

    def task(one: Annotated[str, Depends(inner)], again: Outer) -> Any:
        events.append(f"{one} {again}")
        return do()

    async def atask(one: Annotated[str, Depends(ainner)], again: Outer) -> Any:
        events.append(f"{one} {again}")
        await asyncio.sleep(0)
        return do()

    options.setdefault("retry", RetryPolicy())
    return app.task("t", **options)(atask if asynchronous else task)


def raising(error: BaseException) -> Any:
    def do() -> None:
        raise error

    return do


BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])


@BOTH
@pytest.mark.parametrize(
    ("do", "outcome", "told"),
    [
        (lambda: None, Acked, None),
        (raising(ValueError("x")), Retried, "ValueError"),
        (raising(Retry("later")), Retried, "Retry"),
        (raising(DeadLetter("no")), DeadLettered, "DeadLetter"),
        (raising(SystemExit(3)), DeadLettered, "SystemExit"),
        (raising(TimeLimitExceeded("over")), Retried, "TimeLimitExceeded"),
    ],
    ids=["success", "error", "retry", "dead letter", "SystemExit", "time limit"],
)
def test_they_are_closed_on_every_outcome(asynchronous, do, outcome, told) -> None:
    """Each is told what the attempt failed with, and is open for the whole of the task's own code."""
    app = App("memory://")
    declared(app, do, asynchronous=asynchronous)
    with in_memory(app):
        app.send("t")
        report = run_all(app, delayed=False)
    [run] = report.runs
    assert outcome is type(run.outcome), run.outcome
    assert [
        *OPENED,
        "outer+inner outer",
        "close inner",
        *([f"outer told {told}"] if told else []),
        "close outer",
    ] == events


@BOTH
def test_each_attempt_has_its_own(asynchronous) -> None:
    """What an attempt that failed has used isn't used again."""
    app = App("memory://")
    failing = iter([True, False])
    declared(app, lambda: 1 / 0 if next(failing) else None, asynchronous=asynchronous)
    with in_memory(app):
        app.send("t")
        run_all(app)
    assert ["open outer of 1", "open outer of 2"] == [event for event in events if event.startswith("open outer")]
    assert 2 == events.count("close outer")


def test_a_time_limit_in_a_thread_closes_them() -> None:
    """Wherever it strikes: in the task, or while one is opened or closed."""
    app = App("memory://")
    clock = FakeClock()
    limits = ThreadTimeLimits(clock)

    def pass_time() -> None:
        clock.until_waiting()
        clock.advance(SOON)

    def spin() -> None:
        pass_time()  # now, and not before the first of them is open
        while True:
            time.monotonic()

    def spins_at_its_end(outer: Outer) -> Iterator[str]:
        yield "x"
        spin()

    def spins_at_its_start(outer: Outer) -> Iterator[str]:
        spin()
        yield "x"

    in_task = declared(app, spin, asynchronous=False)

    def task(one: Any) -> None: ...

    try:
        for direct in (
            in_task,
            app.task("end")(with_default(task, Depends(spins_at_its_end))),
            app.task("start")(with_default(task, Depends(spins_at_its_start))),
        ):
            events.clear()
            with pytest.raises(TimeLimitExceeded), limits(SOON):
                direct()
            assert "outer told _Expired" in events
            assert "close outer" == events[-1]
    finally:
        limits.close()


def with_default(function: Any, mark: Any) -> Any:
    def copy(one: Any = mark) -> Any:
        return function(one)

    return copy


def test_a_cancelled_task_closes_them() -> None:
    """As at the end of a worker, or when somebody wants its run cancelled."""
    app = App("memory://")
    waiting = threading.Event()

    @app.task("waits")
    async def waits(one: Annotated[str, Depends(ainner)]) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(waits())  # type: ignore[call-arg]
        while not waiting.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [*OPENED, "close inner", "outer told CancelledError", "close outer"] == events


def failing_commit(outer: Outer) -> Iterator[str]:
    yield "x"
    raise OSError("commit")


async def afailing_commit(outer: Outer) -> AsyncIterator[str]:
    yield "x"
    raise OSError("commit")


@BOTH
def test_an_error_in_closing_after_success_costs_the_attempt(asynchronous) -> None:
    """A commit may stand behind the yield; the others are told of it."""
    app = App("memory://")

    async def atask(one: Annotated[str, Depends(afailing_commit)]) -> None: ...
    def task(one: Annotated[str, Depends(failing_commit)]) -> None: ...

    app.task("t", retry=RetryPolicy())(atask if asynchronous else task)
    with in_memory(app):
        app.send("t")
        [run] = run_all(app, delayed=False).runs
    assert isinstance(run.outcome, Retried)
    assert "commit" == str(run.error)
    assert ["open outer of 1", "outer told OSError", "close outer"] == events


@BOTH
def test_an_error_in_closing_after_a_failure_costs_nothing_more(asynchronous, caplog) -> None:
    """It is logged; a dead letter isn't tried again since a rollback failed, too."""
    app = App("memory://")

    def failing_rollback(outer: Outer) -> Iterator[str]:
        try:
            yield "x"
        finally:
            raise OSError("rollback")

    async def atask(one: Any = Depends(failing_rollback)) -> None:
        raise DeadLetter("no such user")

    def task(one: Any = Depends(failing_rollback)) -> None:
        raise DeadLetter("no such user")

    app.task("t")(atask if asynchronous else task)
    with in_memory(app):
        app.send("t")
        [run] = run_all(app).runs
    assert isinstance(run.outcome, DeadLettered)
    assert "no such user" in run.outcome.reason
    assert ["open outer of 1", "outer told DeadLetter", "close outer"] == events
    assert any("failing_rollback failed at its end" in record.message for record in caplog.records)


@BOTH
def test_where_one_cannot_be_opened_those_before_it_are_closed(asynchronous) -> None:
    """And the task isn't run: the policy decides."""
    app = App("memory://")

    def refuses(outer: Outer) -> str:
        raise ConnectionError("down")

    def task(one: Any = Depends(refuses)) -> None:
        events.append("ran")

    async def atask(one: Any = Depends(refuses)) -> None:
        events.append("ran")

    app.task("t", retry=RetryPolicy())(atask if asynchronous else task)
    with in_memory(app):
        app.send("t")
        [run] = run_all(app, delayed=False).runs
    assert isinstance(run.outcome, Retried)
    assert ["open outer of 1", "outer told ConnectionError", "close outer"] == events


def test_they_run_within_the_tasks_run() -> None:
    """`cloudq.current()` is there; those of plain tasks share thread and context variables with the task."""
    app = App("memory://")
    seen: list[object] = []

    def who() -> Iterator[int]:
        seen.append((current().id, threading.get_ident()))
        yield 1
        seen.append((current().id, threading.get_ident()))

    @app.task("t")
    def task(one: Any = Depends(who)) -> None:
        seen.append((current().id, threading.get_ident()))

    @app.task("a")
    async def atask(one: Any = Depends(who)) -> None:
        seen.append((current().id, threading.get_ident()))

    with in_memory(app):
        sent = [app.send("t").id, app.send("a").id]
        run_all(app)
    plain, asynchronous = seen[:3], seen[3:]
    assert 1 == len(set(plain))
    assert sent == [plain[0][0], asynchronous[0][0]]
    assert asynchronous[0][1] != asynchronous[1][1], "the loop isn't blocked"


def test_a_worker_runs_with_them_after_its_lease_was_lost(tmp_path) -> None:
    """A lost lease interrupts no run; they are open until it ends, and closed then."""
    app = App(f"sqlite:///{tmp_path / 'q.db'}")

    @app.task("t")
    def task(context: Context, one: Annotated[str, Depends(inner)]) -> None:
        context.lease_lost.set()
        events.append("ran on")

    app.send("t")
    try:
        assert 0 == Worker(app, WorkerSettings(burst=True)).run()
    finally:
        app.close()
    assert [*OPENED, "ran on", *CLOSED] == events
