"""Dependencies of the process: one for all runs, closed after the last."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Annotated, Any

import pytest

from cloudq import App, Depends
from cloudq.core.shield import interrupter
from cloudq.errors import TimeLimitExceeded
from cloudq.running.time_limits import ThreadTimeLimits
from cloudq.testing import FakeClock, in_memory, run_all
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.unit.worker.fakes import until

events: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    events.clear()
    yield
    events.clear()


@pytest.fixture
def app(tmp_path) -> Iterator[App]:
    app = App(f"sqlite:///{tmp_path / 'q.db'}")
    yield app
    app.close()


def settings() -> Iterator[str]:
    events.append("open settings")
    yield "settings"
    events.append("close settings")


def engine(of: Annotated[str, Depends(settings, scope="process")]) -> Iterator[str]:
    events.append("open engine")
    yield f"engine of {of}"
    events.append("close engine")


async def client(of: Annotated[str, Depends(settings, scope="process")]) -> AsyncIterator[str]:
    events.append("open client")
    yield f"client of {of}"
    await asyncio.sleep(0)
    events.append("close client")


Engine = Annotated[str, Depends(engine, scope="process")]
Client = Annotated[str, Depends(client, scope="process")]


def test_a_worker_makes_them_once_and_closes_them_after_its_last_task(app) -> None:
    """The latest first; those of its event loop on that loop, while it is there; before what `on_stop` declares."""
    app.on_stop(lambda: events.append("stop"))

    @app.task("t")
    def task(engine: Engine) -> None:
        events.append(engine)

    @app.task("a")
    async def atask(client: Client) -> None:
        events.append(client)

    for name in ("t", "a", "t", "a"):
        app.send(name)
    assert 0 == Worker(app, WorkerSettings(burst=True, concurrency=1)).run()
    assert 2 == events.count("engine of settings")
    assert 2 == events.count("client of settings")
    assert ["open client", "open engine", "open settings"] == sorted(one for one in events if one.startswith("open"))
    assert ["close client", "close engine", "close settings", "stop"] == events[-4:]


def test_threads_that_ask_at_once_share_one(app) -> None:
    """Whoever comes first makes it; the others wait for it."""
    all_here = threading.Barrier(4)

    second = threading.Event()

    def slow() -> object:
        if events:
            second.set()
        events.append("made")
        second.wait(0.3)  # there is time for another one to come here, too
        return object()

    @app.task("t")
    def task(one: Any = Depends(slow, scope="process")) -> int:
        return id(one)

    def run() -> int:
        all_here.wait(60)
        return task()

    with ThreadPoolExecutor(4) as threads:
        assert 1 == len({future.result() for future in [threads.submit(run) for _ in range(4)]})
    assert ["made"] == events


def test_what_fails_to_be_made_is_tried_again_by_the_next_run(app) -> None:
    """A database that is down for a moment isn't down for good."""
    failing = iter([True, False])

    def flaky() -> str:
        if next(failing):
            raise ConnectionError("down")
        return "up"

    @app.task("t")
    def task(one: Any = Depends(flaky, scope="process")) -> str:
        return str(one)

    with pytest.raises(ConnectionError):
        task()
    assert "up" == task()


def test_an_async_one_is_made_for_each_loop_once(app) -> None:
    """However many coroutines ask at once; a value of one loop can't be awaited on another."""

    @app.task("a")
    async def atask(client: Client) -> str:
        return client

    async def main() -> None:
        assert {"client of settings"} == set(await asyncio.gather(*(atask() for _ in range(3))))
        await asyncio.to_thread(app.close)

    asyncio.run(main())
    asyncio.run(main())
    assert ["open settings", "open client", "close client", "close settings"] * 2 == events


def test_a_loop_that_stands_still_runs_once_more_to_close_them(app) -> None:
    """As that of a child process, which runs while a task does."""

    @app.task("a")
    async def atask(client: Client) -> str:
        return client

    with asyncio.Runner() as runner:
        assert "client of settings" == runner.run(atask())
        app.close()
        assert ["close client", "close settings"] == events[-2:]


def test_a_loop_that_is_closed_already_needs_nothing(app) -> None:
    """Python throws its async generators away at its end: what stands in `finally` has run."""

    async def tidy() -> AsyncIterator[str]:
        try:
            yield "tidy"
        finally:
            events.append("close tidy")

    @app.task("a")
    async def atask(one: Any = Depends(tidy, scope="process")) -> str:
        return str(one)

    asyncio.run(atask())
    assert ["close tidy"] == events
    app.close()
    assert ["close tidy"] == events


def test_a_time_limit_strikes_once_a_value_is_made(app) -> None:
    """So a value of the process is made whole, and served to the runs that follow."""
    clock = FakeClock()
    limits = ThreadTimeLimits(clock)

    def slow() -> str:
        events.append("made")
        guard: Any = interrupter()
        until(lambda: guard._kept or clock.advance(timedelta(milliseconds=20)))  # until the value is there
        return "value"

    @app.task("t")
    def task(one: Any = Depends(slow, scope="process")) -> str:
        return str(one)

    try:
        with pytest.raises(TimeLimitExceeded), limits(timedelta(milliseconds=20)):
            task()
        assert "value" == task()
    finally:
        limits.close()
    assert ["made"] == events


def test_an_async_one_that_fails_is_tried_again(app) -> None:
    """And what it had opened by then is closed."""
    failing = iter([True, False])

    async def flaky() -> AsyncIterator[str]:
        if next(failing):
            raise ConnectionError("down")
        yield "up"

    @app.task("a")
    async def atask(one: Any = Depends(flaky, scope="process")) -> str:
        return str(one)

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await atask()
        assert "up" == await atask()

    asyncio.run(main())


def test_one_that_fails_to_close_keeps_no_other_open(app, caplog) -> None:
    """It is logged: there is no attempt left that it could cost."""

    def breaks(engine: Engine) -> Iterator[str]:
        yield "x"
        raise OSError("broken")

    async def abreaks(engine: Engine) -> AsyncIterator[str]:
        yield "x"
        raise OSError("broken")

    @app.task("t")
    def task(one: Any = Depends(breaks, scope="process")) -> None: ...

    @app.task("a")
    async def atask(one: Any = Depends(abreaks, scope="process")) -> None: ...

    async def main() -> None:
        await atask()
        await asyncio.to_thread(app.close)

    task()
    app.close()
    asyncio.run(main())
    assert ["close engine", "close settings"] == events[-2:]
    assert 2 == sum("breaks failed at the end of the process" in record.message for record in caplog.records)


def test_a_fork_has_its_own(app) -> None:
    """What the parent has opened is the parent's to use and to close."""

    @app.task("t")
    def task(engine: Engine) -> int:
        return len(events)

    assert 2 == task()
    if (child := os.fork()) == 0:
        made = task()
        app.close()
        os._exit(0 if made == 4 and events[-2:] == ["close engine", "close settings"] else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ["open settings", "open engine"] == events
    if (child := os.fork()) == 0:
        app.close()
        os._exit(len(events) - 2)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_run_all_keeps_them_until_the_app_is_closed(app) -> None:
    """A test's process doesn't end with its messages."""

    @app.task("t")
    def task(engine: Engine) -> None: ...

    with in_memory(app):
        app.send("t")
        app.send("t")
        run_all(app)
    assert ["open settings", "open engine"] == events
    app.close()
    assert ["close engine", "close settings"] == events[2:]
