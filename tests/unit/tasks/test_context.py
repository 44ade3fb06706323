"""What a running task can know of its delivery."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from datetime import timedelta

import pytest

import cloudq
from cloudq import App, Context
from cloudq.core.message import Message
from cloudq.errors import NotInTask
from cloudq.tasks.context import Running, maybe_current
from cloudq.testing import FakeClock, in_memory, run_all

MESSAGE = Message(id="m1", task="shop.welcome", queue="mail", headers={"tenant": "a"}, payload={"secret": "hunter2"})


@pytest.fixture
def app():
    with in_memory(App()) as app:
        yield app


def test_a_context_gives_the_message():
    """Id, task, queue and headers are the message's."""
    context = Context(MESSAGE, attempt=2)
    assert ("m1", "shop.welcome", "mail", {"tenant": "a"}) == (context.id, context.task, context.queue, context.headers)


def test_a_context_does_not_show_the_payload():
    """Its repr may be logged."""
    assert "hunter2" not in repr(Context(MESSAGE))


def test_time_left_ends_at_nothing():
    """It counts down to the deadline and is never negative; without a limit there is none."""
    clock = FakeClock()
    context = Context(MESSAGE, deadline=clock.now() + timedelta(seconds=10), clock=clock)
    assert timedelta(seconds=10) == context.time_left
    clock.advance(timedelta(seconds=4))
    assert timedelta(seconds=6) == context.time_left
    clock.advance(timedelta(seconds=60))
    assert timedelta(0) == context.time_left
    assert Context(MESSAGE).time_left is None


def test_a_task_with_a_time_limit_sees_its_deadline(app):
    """The deadline is the limit from the start of the run."""
    seen = []

    @app.task("t", time_limit=timedelta(minutes=1))
    def task(context: Context) -> None:
        app.clock.advance(timedelta(seconds=20))
        seen.append((context.time_left, context.deadline - app.clock.now(), context.lease_lost.is_set()))

    task.send()
    run_all(app, raise_errors=True)
    assert [(timedelta(seconds=40), timedelta(seconds=40), False)] == seen


def test_the_logger_adds_what_identifies_the_run(caplog):
    """The record has the task, the message's id, the queue and the attempt, beside the call's own extra."""
    context = Context(MESSAGE, attempt=3)
    with caplog.at_level(logging.INFO):
        context.logger.info("charged %s", 5, extra={"order": 7})
        context.logger.info("plain")
    first, second = caplog.records
    assert ("cloudq.task.shop.welcome", "charged 5") == (first.name, first.getMessage())
    assert ("shop.welcome", "m1", "mail", 3) == (first.task, first.message_id, first.queue, first.attempt)
    assert 7 == first.order
    assert (3, False) == (second.attempt, hasattr(second, "order"))


def test_current_is_the_running_tasks_context(app):
    """Sync and async tasks have it, without taking it as a parameter."""
    seen = []

    @app.task("sync")
    def sync() -> None:
        seen.append((cloudq.current().id, cloudq.current().attempt))

    @app.task("async")
    async def asynchronous() -> None:
        await asyncio.sleep(0)
        seen.append((cloudq.current().id, cloudq.current().attempt))

    ids = [sync.send().id, asynchronous.send().id]
    run_all(app, raise_errors=True)
    assert [(ids[0], 1), (ids[1], 1)] == seen


def test_outside_of_a_task_there_is_none():
    """`current()` says what to do instead; afterwards as before."""
    with Running(Context(MESSAGE)):
        assert "m1" == cloudq.current().id
    with pytest.raises(NotInTask, match="no task is running") as caught:
        cloudq.current()
    assert "pass the Context on" in caught.value.hint
    assert maybe_current() is None


def test_nested_runs_each_have_their_own():
    """The inner one ends with its block, also by an error."""

    def fail() -> None:
        with Running(Context(Message(id="m2", task="t", queue="q"))):
            raise ZeroDivisionError(cloudq.current().id)

    with Running(Context(MESSAGE)):
        with pytest.raises(ZeroDivisionError, match="m2"):
            fail()
        assert "m1" == cloudq.current().id


def test_two_async_tasks_at_once_do_not_see_each_others_context():
    """The context is of the asyncio task, not of the thread."""

    async def run(id_: str, barrier: asyncio.Barrier) -> str:
        with Running(Context(Message(id=id_, task="t", queue="q"))):
            await barrier.wait()
            return cloudq.current().id

    async def both() -> list[str]:
        barrier = asyncio.Barrier(2)
        return await asyncio.gather(run("a", barrier), run("b", barrier))

    assert ["a", "b"] == asyncio.run(both())


def test_a_thread_of_a_task_sees_the_context_only_in_a_copy():
    """Python gives a new thread an empty context, unless it runs in a copy."""
    seen = []

    def look() -> None:
        context = maybe_current()
        seen.append(context and context.id)

    with Running(Context(MESSAGE)):
        for target, args in ((look, ()), (contextvars.copy_context().run, (look,))):
            thread = threading.Thread(target=target, args=args)
            thread.start()
            thread.join()
    assert [None, "m1"] == seen
