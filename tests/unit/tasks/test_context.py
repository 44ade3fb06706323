"""What a running task can know of its delivery."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta

import pytest

import cloudq
from cloudq import App, Context
from cloudq.core.message import Message
from cloudq.core.outcome import Acked, DeadLettered, Retried
from cloudq.errors import NotInTask
from cloudq.tasks.context import Running, maybe_current
from cloudq.testing import FakeClock, in_memory, run_all
from tests.ledger import Ledger

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


class TestTransaction:
    """`context.transaction` by way of a whole run; what it does to databases: tests/unit/user_database."""

    def test_a_failure_after_the_commit_runs_nothing_twice(self, app, tmp_path):
        """The next delivery learns that the work is done, and the message is."""
        ledger = Ledger(tmp_path)
        fails = iter([True])

        def fail_once(context):
            if next(fails, False):
                raise RuntimeError("behind the block")

        ledger.declare(app, before_end=fail_once)
        app.send("book", {"n": 1})
        app.send("book", {"n": 2})
        report = run_all(app)
        assert ["1", "2"] == ledger.entries()
        assert [Retried, Acked, Acked] == [type(run.outcome) for run in report.runs]
        assert {1} == {run.attempt for run in report.runs if isinstance(run.outcome, Retried)}

    def test_the_rest_of_a_task_is_not_run_again(self, app, tmp_path):
        """Whatever the handler makes of being told; a middleware sees a run that succeeded."""
        ledger = Ledger(tmp_path)
        rest = []

        def go_on(context):
            rest.append(context.attempt)
            raise RuntimeError("behind the block")

        @app.task("stubborn")
        def stubborn(context: Context) -> None:
            with closing(ledger.connect()) as connection:
                try:
                    with context.transaction(connection):
                        connection.execute("insert into entry values ('stubborn')")
                    go_on(context)
                except Exception:
                    raise LookupError from None
                except BaseException:
                    raise LookupError("something else") from None

        app.send("stubborn")
        report = run_all(app)
        assert [1] == rest
        assert [Retried, Acked] == [type(run.outcome) for run in report.runs]
        assert ["stubborn"] == ledger.entries()

    def test_async_tasks_and_task_groups(self, app, tmp_path):
        """The news passes through a task group, too."""
        ledger = Ledger(tmp_path)
        seen = []

        @app.task("grouped")
        async def grouped(context: Context) -> None:
            async def part() -> None:
                with closing(ledger.connect()) as connection, context.transaction(connection):
                    connection.execute("insert into entry values ('grouped')")

            async with asyncio.TaskGroup() as group:
                group.create_task(part())
            seen.append(context.attempt)
            raise RuntimeError("behind the block")

        app.send("grouped")
        report = run_all(app)
        assert [1] == seen
        assert [Retried, Acked] == [type(run.outcome) for run in report.runs]
        assert ["grouped"] == ledger.entries()

    def test_an_interruption_is_none_of_the_tasks_ends(self, app, tmp_path):
        """Ctrl-C and a cancellation from outside go their way, also once the work is known to be done."""
        ledger = Ledger(tmp_path)

        @app.task("interrupted")
        def interrupted(context: Context) -> None:
            try:
                with closing(ledger.connect()) as connection, context.transaction(connection):
                    pass
            except BaseException:
                raise KeyboardInterrupt from None
            raise RuntimeError("behind the block")

        app.send("interrupted")
        with pytest.raises(KeyboardInterrupt):
            run_all(app)

    def test_a_transaction_given_up_for_anothers_sake_is_no_attempt(self, app, tmp_path):
        """The delivery waits a moment and is tried again."""
        ledger = Ledger(tmp_path)
        attempts = []

        @app.task("busy")
        def busy(context: Context) -> None:
            attempts.append(context.attempt)
            with (
                closing(ledger.connect()) as other,
                closing(sqlite3.connect(ledger.path, timeout=0)) as connection,
            ):
                if len(attempts) < 9:
                    other.execute("begin immediate")
                with context.transaction(connection):
                    connection.execute("insert into entry values ('busy')")

        app.send("busy")
        assert [Acked] == [type(run.outcome) for run in run_all(app).runs]
        assert [1] * 9 == attempts
        assert ["busy"] == ledger.entries()

    def test_a_transaction_that_was_none_is_dead_at_once(self, app, tmp_path):
        """What was committed would be repeated by each attempt."""
        ledger = Ledger(tmp_path)

        @app.task("commits")
        def commits(context: Context) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                connection.execute("insert into entry values ('kept')")
                connection.commit()

        app.send("commits")
        report = run_all(app)
        assert [DeadLettered] == [type(run.outcome) for run in report.runs]
        assert "TransactionBroken" in report.runs[0].outcome.reason
        assert ["kept"] == ledger.entries()

    def test_sends_leave_with_the_commit(self, app, tmp_path):
        """In memory too: of a transaction that is rolled back nothing is sent."""
        ledger = Ledger(tmp_path)
        ran = []

        @app.task("child")
        def child(n: int) -> None:
            ran.append(n)

        fails = iter([True])

        @app.task("parent")
        def parent(context: Context) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                app.send("child", {"n": context.attempt})
                app.send_many([])
                assert app.queue("default").stats().ready == 0
                if next(fails, False):
                    raise RuntimeError("within the block")

        app.send("parent")
        run_all(app)
        assert [2] == ran

    def test_eager_sends_run_after_the_commit(self, tmp_path):
        """And not at all if it is rolled back."""
        app = App()
        ledger = Ledger(tmp_path)
        seen = []
        app.task("child")(lambda: seen.append(ledger.entries()))

        @app.task("parent")
        def parent(context: Context, fail: bool) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                connection.execute("insert into entry values ('parent')")
                app.send("child")
                if fail:
                    raise LookupError("within the block")

        with app.eager():
            with pytest.raises(LookupError):
                app.send("parent", {"fail": True})
            assert [] == seen
            app.send("parent", {"fail": False})
        assert [["parent"]] == seen

    def test_keys_and_old_names_are_looked_at(self, app, tmp_path):
        """The task's own key, also of a message that another program sent without; its aliases with it."""
        ledger = Ledger(tmp_path)

        @app.task("pay", idempotency_key="order-{order}", aliases=["pay.old"])
        def pay(context: Context, order: int) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                connection.execute("insert into entry values (?)", [f"{order}"])

        definition = app.runtime.handlers["pay"]
        for id_, key, order in (("1", "order-7", 7), ("2", None, 7), ("3", None, 8), ("4", "own", 8)):
            message = Message(id=id_, task="pay", queue="default", payload={"order": order}, idempotency_key=key)
            completion = definition.completion_of(message, None)
            assert {"pay", "pay.old"} == set(completion.tasks)
            assert completion.key == (key or f"order-{order}")

    def test_a_key_that_is_unique_until_the_start_is_none_of_the_effect(self, app):
        """Another message of it may come as soon as the first has begun, and is other work."""

        @app.task("index", idempotency_key="page-{page}", unique_until="start")
        def index(page: int) -> None: ...

        message = Message(id="1", task="index", queue="default", payload={"page": 1}, idempotency_key="page-1")
        completion = app.runtime.handlers["index"].completion_of(message, None)
        assert (None, ("index",)) == (completion.key, completion.tasks)

    def test_a_context_of_no_delivery_has_none(self, tmp_path):
        """There is nothing that could be done twice."""
        ledger = Ledger(tmp_path)
        with closing(ledger.connect()) as connection, pytest.raises(NotInTask):
            Context(MESSAGE).transaction(connection)
