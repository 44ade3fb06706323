"""`in_memory` and `sent`: an app in memory, and what it sent."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta

import pytest

from cloudq import App, DeadLetter, Retry
from cloudq.core.driver import Outgoing
from cloudq.errors import ConfigurationError, MessageTooLarge, ResultTimeout
from cloudq.testing import FakeClock, in_memory, run_all, sent
from cloudq.testing.profiles import cloud_tasks_like


def test_the_app_is_in_memory_within_the_block_and_as_before_after_it():
    """Whatever its URL is, nothing is opened; the clock stands still."""
    app = App("nobodys://backend")
    clock = app.clock
    with in_memory(app) as same:
        assert same is app
        app.send("t")
        now = app.clock.now()
        assert isinstance(app.clock, FakeClock)
        assert now == app.clock.now()
    assert clock is app.clock
    assert not app.is_open


def test_each_block_starts_empty_also_a_nested_one():
    """Nothing from before; the outer block's messages are still there afterwards."""
    app = App()
    with in_memory(app):
        app.send("outer")
        with in_memory(app):
            assert [] == sent(app)
            app.send("inner")
            assert ["inner"] == [message.task for message in sent(app)]
        assert ["outer"] == [message.task for message in sent(app)]


def test_an_error_in_the_block_puts_the_app_back():
    """As any context manager."""
    app = App("memory://")
    with pytest.raises(ZeroDivisionError), in_memory(app):
        _ = 1 / 0
    assert not app.is_open


def test_the_clock_starts_at_the_real_time_or_is_the_tests_own():
    """So a task's own `datetime.now(UTC) + delay` is in its future."""
    app = App()
    before = datetime.now(UTC)
    with in_memory(app):
        assert before <= app.clock.now() <= datetime.now(UTC)
    clock = FakeClock()
    with in_memory(app, clock=clock):
        assert app.clock is clock


def test_the_limits_of_another_backend_can_be_stood_for():
    """A message that this backend would refuse is refused in the test."""
    with in_memory(App(), capabilities=cloud_tasks_like) as app:
        with pytest.raises(MessageTooLarge):
            app.send("t", {"x": "y" * 200_000})
        assert [] == sent(app)


def test_what_was_sent_is_listed_whatever_became_of_it():
    """In the order of sending, over all queues, also what was worked since; a duplicate or a worker's copy isn't."""
    with in_memory(App(), capabilities=cloud_tasks_like) as app:  # retries and dead letters are copies there

        @app.task("fails", idempotency_key="{n}")
        def fails(n: int) -> None:
            raise DeadLetter("no") if n else Retry("later")

        fails.send(0)
        fails.send(1)
        fails.send(1)
        app.send("elsewhere", queue="other")
        app.driver().send([Outgoing(id="raw", queue="default", body=b"no message")])
        run_all(app)
        assert [("fails", {"n": 0}), ("fails", {"n": 1}), ("elsewhere", {})] == [
            (message.task, message.payload) for message in sent(app)
        ]


@pytest.mark.parametrize("look", [sent, run_all])
def test_an_app_that_is_not_in_memory_says_what_to_do(look):
    """And its backend isn't opened by the question."""
    app = App("nobodys://backend")
    with pytest.raises(ConfigurationError, match="isn't in memory") as caught:
        look(app)
    assert "in_memory(app)" in caught.value.hint


def test_an_app_on_a_file_is_not_in_memory(tmp_path):
    """Nor is one whose backend is open."""
    app = App(f"sqlite:///{tmp_path}/q.db")
    app.send("t")
    with pytest.raises(ConfigurationError, match="isn't in memory"):
        sent(app)
    app.close()


def test_an_app_on_memory_by_url_can_be_looked_at():
    """`memory://` is memory too, on a real clock: what is due now runs, what is delayed can't be moved to."""
    app = App("memory://")
    ran = []
    app.task("t")(lambda n: ran.append(n))  # noqa: PLW0108 - a signature is needed
    app.send("t", {"n": 1})
    assert 1 == len(sent(app))
    run_all(app)
    app.send("t", {"n": 2}, delay=timedelta(hours=1))
    run_all(app, delayed=False)
    with pytest.raises(ConfigurationError, match="clock is a real one"):
        run_all(app)
    assert [1] == ran
    app.close()


@pytest.mark.parametrize("asked", [sent, run_all, lambda app: in_memory(app).__enter__()])
def test_a_task_in_an_apps_place_is_told_so(asked):
    """Whoever asks a task what it sent is told to ask its App."""
    app = App("memory://")
    task = app.task("t")(lambda: None)
    with pytest.raises(ConfigurationError, match=r"takes an App, not Task\('t'\)") as refused:
        asked(task)
    assert "task.app" in refused.value.hint
    with pytest.raises(ConfigurationError, match="takes an App, not 5"):
        asked(5)


def kept() -> App:
    app = App()
    app.task("double", keep_result=timedelta(hours=1))(lambda n: 2 * n)
    return app


def test_a_result_that_nobody_would_make_is_not_waited_for():
    """Nothing runs by itself, so the wait would end by its time alone; the error says what to do."""
    with in_memory(kept()) as app:
        sent = app.send("double", {"n": 2})
        with pytest.raises(ResultTimeout, match="nothing runs here by itself: it is unknown") as raised:
            sent.result()
        assert "cloudq.testing.run_all(app)" in str(raised.value.hint)
        with pytest.raises(ResultTimeout, match="nothing runs here"):
            asyncio.run(sent.aresult())
        run_all(app)
        assert 4 == sent.result()


def test_while_a_run_all_is_under_way_a_result_is_waited_for():
    """In another thread, by the clock that the run moves."""
    app = kept()
    with in_memory(app), ThreadPoolExecutor(1) as pool:
        sent = app.send("double", {"n": 2}, delay=timedelta(seconds=1))
        waits: list[Future[object]] = []

        @app.task("first")
        def first() -> None:
            waits.append(pool.submit(sent.result))
            app.clock.until_waiting()

        app.send("first")
        run_all(app)
        while not wait(waits, timeout=0.01).done:  # it may look a last time after a pause
            app.clock.advance(timedelta(milliseconds=10))
        assert 4 == waits[0].result()
