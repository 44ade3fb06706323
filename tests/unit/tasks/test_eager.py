"""Eager mode: a send runs its task at once, here."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import threading
from datetime import timedelta

import pytest

import cloudq
from cloudq import Acked, App, Context, DeadLetter, Retried, Retry
from cloudq.errors import PayloadError, SendManyError, TimeLimitExceeded, UnknownTaskError
from cloudq.tasks.context import maybe_current
from tests.ids import shown


@dataclasses.dataclass
class Order:
    id: int


@pytest.fixture
def app(monkeypatch):
    # Another test of this process may have loaded it, and where it is loaded sync code has a thread of its own.
    monkeypatch.delitem(sys.modules, "django", raising=False)
    app = App("sqs://never-opened")
    with app.eager():
        yield app
    assert not app.is_open, "eager mode opens no backend"


def test_a_sync_task_runs_within_the_send(app):
    """It is done when `send` returns; the payload went through JSON and came back typed."""
    ran = []

    @app.task("t")
    def task(order: Order, note: str = "default") -> None:
        ran.append((order, note, threading.current_thread()))

    sent = task.send(Order(1))
    assert [(Order(1), "default", threading.main_thread())] == ran
    assert (False, True) == (sent.duplicate, bool(sent.id))


def test_every_way_to_send_runs(app):
    """By task, by name, by call, many at once; delays and queues don't matter."""
    ran = []
    task = app.task("t", queues=["default", "other"])(lambda n: ran.append(n))  # noqa: PLW0108 - a signature is needed
    task.send(1)
    app.send(task, {"n": 2})
    app.send("t", {"n": 3})
    app.send(task.call(4))
    task.options(delay=timedelta(days=1), queue="other").send(5)
    app.send_many([task.call(6), task.call(7)])
    assert [1, 2, 3, 4, 5, 6, 7] == ran


def test_an_async_task_runs_on_a_loop_of_its_own(app):
    """From sync code there is none to run on."""
    ran = []

    @app.task("t")
    async def task(n: int) -> None:
        await asyncio.sleep(0)
        ran.append((n, cloudq.current().task))

    task.send(1)
    assert [(1, "t")] == ran


def test_within_a_running_loop_a_send_finishes_too(app):
    """An async task runs on another thread's loop, for the running one can't be entered again; no warning."""
    ran = []

    @app.task("async")
    async def asynchronous(n: int) -> None:
        await asyncio.sleep(0)
        ran.append(("async", n, threading.current_thread() is threading.main_thread()))

    @app.task("sync")
    def sync(n: int) -> None:
        ran.append(("sync", n, threading.current_thread() is threading.main_thread()))

    async def main() -> None:
        asynchronous.send(1)
        sync.send(2)
        await asynchronous.asend(3)
        await sync.asend(4)
        await app.asend_many([sync.call(5)])

    asyncio.run(main())
    assert [("async", 1, False), ("sync", 2, True), ("async", 3, True), ("sync", 4, True)] == ran[:4]
    assert ("sync", 5) == ran[4][:2]


class OwnError(Exception):
    pass


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "error", [OwnError("x"), Retry("later"), DeadLetter("never"), SystemExit(3), KeyboardInterrupt()], ids=shown
)
@pytest.mark.parametrize("loop", [False, True])
def test_what_a_task_raises_the_send_raises(app, asynchronous, error, loop):
    """The very exception, whichever kind, sync or async, on a running loop or not."""

    def sync() -> None:
        raise error

    async def on_loop() -> None:
        raise error

    task = app.task("t")(on_loop if asynchronous else sync)

    def send() -> None:
        with pytest.raises(type(error)) as caught:
            task.send()
        # A KeyboardInterrupt that passes through an event loop may be made anew.
        assert caught.value is error or isinstance(error, KeyboardInterrupt)

    async def main() -> None:
        send()

    if not loop:
        send()
    elif not isinstance(error, (KeyboardInterrupt, SystemExit)):
        asyncio.run(main())


def test_an_asynchronous_send_raises_too(app):
    """`asend` passes the error on."""

    @app.task("t")
    async def task() -> None:
        raise OwnError

    with pytest.raises(OwnError):
        asyncio.run(task.asend())


def test_a_handler_that_is_cancelled_does_not_hang_the_send(app):
    """A CancelledError of its own comes out, also through the other thread."""

    @app.task("t")
    async def task() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - which class the thread's future makes of it
            task.send()
        assert "Cancelled" in type(caught.value).__name__

    asyncio.run(main())


def test_a_payload_that_does_not_fit_runs_nothing(app):
    """The check is the same as for a real send."""
    ran = []

    @app.task("t")
    def task(n: int) -> None:
        ran.append(n)

    with pytest.raises(PayloadError):
        task.send("x")
    assert [] == ran


def test_a_task_of_another_program_cannot_run_here(app):
    """An unknown name is an error, with the nearest."""
    app.task("shop.welcome")(lambda: None)
    with pytest.raises(UnknownTaskError, match=r"did you mean 'shop\.welcome'"):
        app.send("shop.welcom")


def test_nested_sends_run_inside_and_the_context_is_restored(app):
    """The inner task has its own context; afterwards the outer's is back; outside there is none."""
    seen = []

    @app.task("inner")
    def inner(context: Context) -> None:
        seen.append((context.task, context.id))

    @app.task("async inner")
    async def async_inner(context: Context) -> None:
        seen.append((context.task, cloudq.current().task))

    @app.task("outer")
    def outer(context: Context) -> None:
        first = inner.send()
        seen.append((cloudq.current().task, cloudq.current().id == context.id != first.id))
        async_inner.send()
        seen.append((cloudq.current().task, True))

    outer.send()
    assert ["inner", "outer", "async inner", "outer"] == [task for task, _ in seen]
    assert [True, "async inner", True] == [second for _, second in seen[1:]]
    assert maybe_current() is None


def test_the_middleware_is_around_the_task(app):
    """The first outermost; it sees the outcome."""
    seen = []

    def middleware(name):
        def run(context: Context):
            seen.append(f"{name} before {context.task}")
            outcome = yield
            seen.append(f"{name} after {type(outcome).__name__}")
            return outcome

        return run

    app.configure(middleware=[middleware("a"), middleware("b")])
    app.task("t")(lambda: seen.append("task")).send()
    assert ["a before t", "b before t", "task", "b after Acked", "a after Acked"] == seen


def test_a_middleware_decides_what_the_send_raises(app):
    """One that makes a success of an error swallows it; one that makes a failure of a success raises its reason."""

    def forgive(context: Context):
        yield
        return Acked()

    def refuse(context: Context):
        yield
        return Retried(delay=timedelta(0), reason="not today")

    app.configure(middleware=[forgive])

    @app.task("fails")
    def fails() -> None:
        raise OwnError

    fails.send()
    app.configure(middleware=[refuse])
    with pytest.raises(RuntimeError, match="not today"):
        app.task("succeeds")(lambda: None).send()


def test_an_async_tasks_time_limit_holds(app):
    """It ends with the library's error."""

    @app.task("t", time_limit=timedelta(milliseconds=1))
    async def task() -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeLimitExceeded):
        task.send()


def test_many_end_at_the_first_that_raises(app):
    """The error itself comes out, no SendManyError: nothing was to be stored."""
    ran = []

    @app.task("t")
    def task(n: int) -> None:
        ran.append(n)
        if n == 1:
            raise OwnError

    with pytest.raises(OwnError) as caught:
        app.send_many([task.call(n) for n in range(3)])
    assert not isinstance(caught.value, SendManyError)
    assert [0, 1] == ran


def test_eager_mode_ends_with_its_block():
    """Also nested, and by an error."""
    app = App("memory://")
    ran = []

    @app.task("t")
    def task() -> None:
        ran.append(1)

    def fail() -> None:
        with app.eager() as same:
            assert same is app
            with app.eager():
                task.send()
            task.send()
            raise OwnError

    with pytest.raises(OwnError):
        fail()
    task.send()
    assert [1, 1] == ran
    assert 1 == app.queue("default").stats().ready
    app.close()


def test_apps_are_eager_each_for_itself():
    """One app's mode doesn't touch another's."""
    eager, other = App("memory://"), App("memory://")
    ran = []
    eager.task("t")(lambda: ran.append("eager"))
    other.task("t")(lambda: ran.append("other"))
    with eager.eager():
        eager.send("t")
        other.send("t")
    assert ["eager"] == ran
