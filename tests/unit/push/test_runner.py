"""A push that has its slot is run, settled and answered, in a thread or on a loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from tenacity import stop_after_attempt

from cloudq import App, Context, Rate, RetryPolicy
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.push import PushRequest, PushResponse
from cloudq.push.admission import Admission, PushInHand
from cloudq.push.hang_up import HangUp
from cloudq.push.refusals import RefusalLog
from cloudq.push.runner import PushRunner
from cloudq.push.sources import Arrivals
from cloudq.running.events import Tally
from tests.observing import Told
from tests.unit.push.fakes import push
from tests.unit.worker.fakes import until


class Bench:
    """A runner of an app, and what it is told."""

    def __init__(self, app: App, threads: int = 2) -> None:
        self.app = app
        self.admission = Admission(threads, 0, SYSTEM_CLOCK)
        self.tally = Tally(observer=app.runtime.observer)
        self.runner = PushRunner(app, self.admission, self.tally, RefusalLog(SYSTEM_CLOCK), threads=threads)
        self._arrivals = Arrivals(app, app.driver(), timedelta(minutes=10))

    def push(self, task: str, **more: Any) -> PushInHand:
        """A push that has its slot."""
        headers, body = push(task, **more)
        clock = self.app.clock
        request = PushRequest(headers=headers, body=body, received_at=clock.now(), received=clock.elapsed())
        assert self.admission.take_slot(lambda _: None)
        return PushInHand(self._arrivals.decode(request), clock, HangUp())


@contextmanager
def bench_of(app: App, threads: int = 2) -> Iterator[Bench]:
    app.load()
    bench = Bench(app, threads)
    try:
        yield bench
    finally:
        bench.runner.close()


def test_a_slot_is_free_again_after_each_end(backend):
    """Whatever the end: done, failed, or an error of ours."""
    app, driver = backend
    app.task("fine")(lambda: None)

    @app.task("fails")
    def fails() -> None:
        raise ValueError("no")

    with bench_of(app) as bench:
        assert 200 == bench.runner.run_here(bench.push("fine")).status
        assert 200 == bench.runner.run_here(bench.push("fails")).status
        driver.encode = lambda _: 1 / 0
        assert 500 == bench.runner.run_here(bench.push("fine")).status
        assert (0, 2, 1) == (
            bench.admission.running,
            bench.tally.counts()["succeeded"],
            bench.tally.counts()["retried"],
        )
        assert bench.admission.take_slot(lambda _: None)
        assert bench.admission.take_slot(lambda _: None)


def test_a_limit_puts_a_push_off_and_refuses_none(backend):
    """A copy that is due later takes its place: the service sees a success, and goes on at its pace."""
    app, _ = backend
    ran: list[int] = []
    app.task("t", rate=Rate("1/h", per_worker=True))(lambda: ran.append(1))
    with bench_of(app) as bench:
        assert [200, 200] == [bench.runner.run_here(bench.push("t")).status for _ in range(2)]
        assert (1, 1) == (bench.tally.counts()["succeeded"], bench.tally.counts()["snoozed"])
    assert [1] == ran


def test_a_push_that_is_given_up_while_it_is_settled_leaves_no_error(backend):
    """A failed async task is being settled in a thread, and the loop gives the request up meanwhile: the thread finds
    nobody who waits for it, and the loop has nothing to complain about.
    """
    app, driver = backend
    storing, goes_on = threading.Event(), threading.Event()
    send = driver.send

    def slow(outgoing: Any) -> Any:
        storing.set()
        goes_on.wait(60)
        return send(outgoing)

    driver.send = slow

    @app.task("fails")
    async def fails() -> None:
        raise ValueError("no")

    complaints: list[dict[str, Any]] = []

    async def give_up(bench: Bench) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        request = asyncio.create_task(bench.runner.run(bench.push("fails")))
        await asyncio.to_thread(storing.wait, 60)
        (task,) = bench.runner._tasks
        task.cancel()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        goes_on.set()
        while not driver.sent:
            await asyncio.sleep(0.002)
        await asyncio.to_thread(until, lambda: not bench.runner._tasks)
        for _ in range(3):
            await asyncio.sleep(0.01)

    with bench_of(app) as bench:
        asyncio.run(give_up(bench))
    assert [] == complaints


def test_a_request_that_is_cancelled_tells_its_task(backend):
    """Whoever serves us has given it up: nobody reads the answer."""
    app, _ = backend
    contexts: list[Context] = []
    goes_on = threading.Event()

    @app.task("t")
    def task(context: Context) -> None:
        contexts.append(context)
        goes_on.wait(60)

    async def cancel(bench: Bench) -> None:
        request = asyncio.create_task(bench.runner.run(bench.push("t")))
        await asyncio.to_thread(until, lambda: contexts)
        assert not contexts[0].lease_lost.is_set()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert contexts[0].lease_lost.is_set()
        goes_on.set()

    with bench_of(app) as bench:
        asyncio.run(cancel(bench))
        until(lambda: not bench.admission.running and not bench.admission.settling)
        assert 1 == bench.tally.counts()["succeeded"]


def test_without_a_thread_it_is_not_run_and_its_slot_is_free(backend, monkeypatch):
    """Neither now nor later, as it comes again: also where a failed async task has nowhere to be settled."""
    app, driver = backend
    ran: list[str] = []
    app.task("plain")(lambda: ran.append("plain"))

    @app.task("fails")
    async def fails() -> None:
        ran.append("fails")
        raise ValueError("no")

    start = threading.Thread.start

    def no_thread(thread: threading.Thread) -> None:
        if thread.name.startswith("cloudq-task"):
            raise RuntimeError("can't start new thread")
        start(thread)

    async def run(bench: Bench, task: str, id_: str) -> PushResponse:
        return await bench.runner.run(bench.push(task, id=id_))

    with bench_of(app, threads=1) as bench:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            asyncio.run(run(bench, "plain", "1"))
        assert 500 == asyncio.run(run(bench, "fails", "2")).status
        monkeypatch.undo()
        assert (0, []) == (bench.admission.running, driver.sent)
        assert 200 == asyncio.run(run(bench, "plain", "3")).status
    assert ["fails", "plain"] == ran


def test_an_async_task_without_a_loop_has_one_of_its_own(backend):
    """Under WSGI; the next one has the same."""
    app, _ = backend
    loops: list[asyncio.AbstractEventLoop] = []

    @app.task("t")
    async def task() -> None:
        loops.append(asyncio.get_running_loop())

    with bench_of(app) as bench:
        for n in range(2):
            assert 200 == bench.runner.run_here(bench.push("t", id=str(n))).status
    assert loops[0] is loops[1]


@pytest.mark.parametrize("kind", ["plain", "async, on the caller's loop", "async, on its own loop"])
def test_what_had_its_last_run_is_not_run_again(backend, kind):
    """Its dead letter can't be stored: pushed again, it is tried to store that, and no run follows the last one."""
    app, driver = backend
    runs = []
    once = RetryPolicy(stop=stop_after_attempt(1))

    @app.task("plain", retry=once)
    def plain(context: Context) -> None:
        runs.append(context.attempt)
        raise ValueError("no such order")

    @app.task("async", retry=once)
    async def later(context: Context) -> None:
        runs.append(context.attempt)
        raise ValueError("no such order")

    with bench_of(app) as bench:
        answers = []
        for retries in range(3):
            driver.full = retries < 2
            run = bench.push(kind.split(",")[0], retries=retries)
            here = asyncio.run(bench.runner.run(run)) if "caller" in kind else bench.runner.run_here(run)
            answers.append(here.status)
    assert ([1], [500, 500, 200]) == (runs, answers)
    (dead,) = app.queue("default").dead_letters
    assert "no such order" in dead.failure.reason


def test_an_observer_is_told_of_each_run_once(backend):
    """Done, failed, or ended by an error of ours: nothing stays in flight."""
    app, driver = backend
    app.observe(told := Told())
    app.task("fine")(lambda: None)

    @app.task("fails")
    async def fails() -> None:
        raise ValueError("no")

    with bench_of(app) as bench:
        bench.runner.run_here(bench.push("fine"))
        asyncio.run(bench.runner.run(bench.push("fails")))
        driver.encode = lambda _: 1 / 0
        bench.runner.run_here(bench.push("fine"))
    runs = [what for what in told.log if what[0] != "sent"]
    began, ended = ("started", "fine"), ("ended", "fine", "succeeded")
    assert [began, ended, ("started", "fails"), ("ended", "fails", "retried"), began, ended] == runs


def test_a_run_that_was_given_up_is_told_as_released(backend):
    """Its push is answered without it; it is in flight until its thread comes back."""
    app, _ = backend
    app.observe(told := Told())
    began, goes_on = threading.Event(), threading.Event()

    @app.task("slow")
    def slow() -> None:
        began.set()
        goes_on.wait(60)

    async def give_up(bench: Bench) -> None:
        request = asyncio.create_task(bench.runner.run(bench.push("slow")))
        await asyncio.to_thread(began.wait, 60)
        assert 1 == bench.admission.give_up()
        await request

    with bench_of(app) as bench:
        asyncio.run(give_up(bench))
        assert 1 == told.in_flight
        goes_on.set()
        until(lambda: told.in_flight == 0)
    assert ("ended", "slow", "released") == told.log[-1]


@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_task_logs_names_its_delivery(backend, caplog, is_async):
    """In a thread as on the loop of the web server."""
    app, _ = backend

    def pay() -> None:
        logging.getLogger("bank").warning("slow")

    async def apay() -> None:
        pay()

    app.task("pay")(apay if is_async else pay)
    with bench_of(app) as bench:
        run = bench.push("pay")
        assert 200 == asyncio.run(bench.runner.run(run)).status
    [slow] = [record for record in caplog.records if record.name == "bank"]
    assert ("pay", run.delivery.id, 1) == (slow.cloudq_task, slow.cloudq_id, slow.cloudq_attempt)
