"""Async code on trio sends, cancels and runs tasks as code on asyncio does; where neither runs nothing is stored."""

from __future__ import annotations

import asyncio
import threading
import warnings

import anyio
import pytest
import sniffio
import trio

from cloudq.app import App
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import MessageTooLarge, SendManyError, UnsupportedError
from cloudq.tasks.async_libraries import in_a_loop, in_asyncio, in_trio
from cloudq.testing import in_memory, run_all


@pytest.fixture
def app():
    """An app in memory."""
    app = App("sqs://never-opened")
    with in_memory(app):
        yield app


BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@BACKENDS
def test_every_async_call_works(app, backend):
    """By asend, asend_many and acancel, each message is stored once, and told to be."""
    ran = []
    task = app.task("t")(lambda n: ran.append(n))  # noqa: PLW0108 - a signature is needed

    async def main():
        assert not (await task.asend(1)).duplicate
        assert 2 == len(await app.asend_many([task.call(2), task.call(3)]))
        late = await task.asend(4)
        assert await app.acancel(late)

    anyio.run(main, backend=backend)
    run_all(app)
    assert [1, 2, 3] == ran


@BACKENDS
def test_errors_arrive(app, backend):
    """What can't be stored raises as it does for sync code."""
    task = app.task("t")(lambda text: None)

    async def main():
        with pytest.raises(MessageTooLarge):
            await task.asend("x" * 2**25)
        with pytest.raises(SendManyError):
            await app.asend_many([task.call("x" * 2**25)])

    anyio.run(main, backend=backend)


@BACKENDS
def test_the_first_send_opens_the_backend_beside_the_loop(backend, tmp_path):
    """Opening reads and writes files."""
    app = App(f"sqlite:///{tmp_path / 'q.db'}")
    task = app.task("t")(lambda: None)
    try:
        anyio.run(task.asend, backend=backend)
        assert 1 == app.queue("default").stats().ready
    finally:
        app.close()


@BACKENDS
def test_cancelling_does_not_unsend(backend):
    """Whoever waits is let go at once; the message is stored."""
    go_on = threading.Event()

    class Slow(MemoryDriver):
        def send(self, items):
            assert go_on.wait(60)
            return super().send(items)

    app, driver = App("sqs://never-opened"), Slow()
    task = app.task("t")(lambda: None)

    async def main():
        with anyio.move_on_after(0.05) as scope:
            await task.asend()
        assert scope.cancelled_caught
        go_on.set()
        with anyio.fail_after(60):
            while not app.queue("default").stats().ready:
                await anyio.sleep(0.001)

    with app.using(driver):
        anyio.run(main, backend=backend)


@pytest.mark.parametrize("method", ["asend", "asend_many", "acancel"])
def test_another_library_is_refused_before_anything_is_stored(app, method):
    """Whoever tries again after an error must not send twice."""
    task = app.task("t")(lambda: None)
    sent = task.send()
    calls = {
        "asend": lambda: app.asend(task),
        "asend_many": lambda: app.asend_many([task.call()]),
        "acancel": lambda: app.acancel(sent),
    }
    coroutine = calls[method]()
    with pytest.raises(UnsupportedError, match=f"{method} is for asyncio and trio"):
        coroutine.send(None)
    assert 1 == app.queue("default").stats().ready


def test_trio_as_a_guest_of_asyncio_is_trio(app):
    """Its tasks can't await asyncio's futures, though a loop of asyncio runs in their thread."""
    task = app.task("t")(lambda: None)

    async def guest():
        assert (in_asyncio(), in_trio()) == (True, True)
        await task.asend()
        return "done"

    async def host():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        outcome = await done
        assert not in_trio()
        return outcome.unwrap()

    assert "done" == asyncio.run(host())
    assert 1 == app.queue("default").stats().ready
    assert not in_a_loop()


@BACKENDS
@pytest.mark.parametrize("way", ["asend", "send", "run_all"])
def test_tasks_run_beside_a_loop_of_either(app, backend, way):
    """Eager mode and run_all give async tasks a loop of asyncio, as a worker does."""
    ran = []

    @app.task("async")
    async def async_task() -> None:
        await asyncio.sleep(0)
        ran.append((sniffio.current_async_library(), asyncio.current_task() is not None))

    @app.task("sync")
    def sync_task() -> None:
        ran.append("sync")

    async def main():
        if way == "run_all":
            await async_task.asend()
            await sync_task.asend()
            run_all(app)
            return
        with app.eager():
            for task in (async_task, sync_task):
                if way == "asend":
                    await task.asend()
                else:
                    task.send()

    anyio.run(main, backend=backend)
    assert [("asyncio", True), "sync"] == ran


def test_a_blocking_send_on_trio_warns(app):
    """As on asyncio: nothing else runs meanwhile."""
    task = app.task("t")(lambda: None)

    async def main():
        task.send()

    with pytest.warns(RuntimeWarning, match=r"await asend\(\.\.\.\)"):
        trio.run(main)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task.send()
