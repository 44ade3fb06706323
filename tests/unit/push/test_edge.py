"""A push is run and settled by its answer; what can't be taken is answered so that it comes again."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from msgspec.structs import replace

import cloudq
from cloudq import App, Context, RetryPolicy
from cloudq.core import wire
from cloudq.core.message import dead_letter_queue
from cloudq.core.push import PushResponse
from cloudq.errors import UnsupportedError
from cloudq.push import PushEdge, PushSettings, ahandle, handle
from cloudq.testing.clock import FakeClock
from tests.ledger import Ledger
from tests.unit.push.fakes import OPEN, Gate, PushedDriver, declare, edge_of, passes_until_lost, push, pushed
from tests.unit.worker.fakes import until


def sync(edge: PushEdge, headers: dict[str, str], body: bytes) -> PushResponse:
    return handle(edge, headers, body)


def on_a_loop(edge: PushEdge, headers: dict[str, str], body: bytes) -> PushResponse:
    return asyncio.run(ahandle(edge, headers, body))


BOTH = pytest.mark.parametrize("answer", [sync, on_a_loop], ids=["thread", "loop"])


@BOTH
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_task_runs_and_is_acked(backend, answer, kind):
    """Plain and async functions run, in a thread and on a loop, and 200 deletes the message."""
    app, _ = backend
    ran = []

    if kind == "def":

        @app.task("t")
        def task(context: Context, n: int) -> None:
            ran.append((n, context.attempt, context.deliveries))
    else:

        @app.task("t")
        async def task(context: Context, n: int) -> None:
            await asyncio.sleep(0)
            ran.append((n, context.attempt, context.deliveries))

    with edge_of(app) as edge:
        assert 200 == answer(edge, *push("t", {"n": 3}, retries=2)).status
        assert (1, 1, 0) == (edge.snapshot().started, edge.snapshot().succeeded, edge.snapshot().running)
    assert [(3, 1, 3)] == ran


@BOTH
def test_a_failure_is_retried_by_a_copy(backend, answer):
    """The next attempt is stored first, then the present one is answered with 200 (semantics 15)."""
    app, driver = backend

    @app.task("t")
    def task() -> None:
        raise cloudq.Retry(reason="later", delay=timedelta(minutes=5))

    with edge_of(app) as edge:
        assert 200 == answer(edge, *push("t", attempt_base=1)).status
    (copy,) = driver.stored("default")
    assert ("m1", 2, 1) == (copy.id, copy.attempt_base, copy.generation)
    assert copy.not_before is not None


@BOTH
def test_an_async_failure_is_retried_by_a_copy(backend, answer):
    """The same for an async function; the copy is stored off the loop."""
    app, driver = backend
    threads = []
    send = driver.send
    driver.send = lambda outgoing: (threads.append(threading.current_thread().name), send(outgoing))[1]

    @app.task("t")
    async def task() -> None:
        raise ValueError("no")

    with edge_of(app) as edge:
        assert 200 == answer(edge, *push("t")).status
    assert 1 == len(driver.stored("default"))
    assert answer is sync or threads[0].startswith("cloudq-task")


@BOTH
def test_what_can_not_be_stored_stays(backend, answer):
    """A copy that isn't stored is never acked: the push is answered with an error, and comes again."""
    app, driver = backend
    driver.full = True

    @app.task("t", retry=RetryPolicy())
    def task() -> None:
        raise cloudq.DeadLetter("no good")

    with edge_of(app) as edge:
        assert 500 == answer(edge, *push("t")).status


@BOTH
def test_an_unknown_task_goes_back_by_a_copy(backend, answer):
    """In its first attempt still, in a while, for whoever knows it; the push is answered with 200."""
    app, driver = backend
    with edge_of(app) as edge:
        assert 200 == answer(edge, *push("nobody", attempt_base=2)).status
    [copy] = driver.sent
    assert ("default", 1) == (copy.queue, wire.decode(copy.body, "default").generation)
    assert 2 == wire.decode(copy.body, "default").attempt_base
    assert timedelta(seconds=5) <= copy.delay <= timedelta(seconds=7)
    assert "unknown task 'nobody': none is declared" == copy.failure.reason


@BOTH
def test_poison_goes_to_the_dead_letter_queue(backend, answer):
    """An unknown task and a body that is none are copied there with the reason, unchanged, and answered with 200."""
    app, driver = backend
    app.unknown_task_patience = timedelta(0)
    with edge_of(app) as edge:
        headers, body = push("nobody")
        assert 200 == answer(edge, headers, body).status
        assert 200 == answer(edge, {**headers, "content-length": "3"}, b"\xff\x00x").status
    dead = [item for item in driver.sent if item.queue == dead_letter_queue("default")]
    assert [body, b"\xff\x00x"] == [item.body for item in dead]
    assert "unknown task" in dead[0].failure.reason
    assert "undecodable" in dead[1].failure.reason


@BOTH
def test_what_was_refused_often_is_no_poison(backend, answer):
    """The service counts our refusals, too: a message that was turned away forty times still runs."""
    app, driver = backend
    ran = []
    app.task("t")(lambda: ran.append(1))
    with edge_of(app) as edge:
        assert 200 == answer(edge, *push("t", retries=40)).status
        assert [1] == ran
        assert 200 == answer(edge, *push("t", retries=101)).status
    assert [1] == ran
    assert "worker died" in driver.sent[-1].failure.reason


@BOTH
@pytest.mark.parametrize("queue", ["mail-dlq", "default-dlq"])
def test_a_dead_letter_queue_that_was_resumed_loses_nothing(backend, answer, queue):
    """Whatever it pushes is refused with 503: neither run nor deleted (semantics 5)."""
    app, driver = backend
    ran = []
    app.task("t")(lambda: ran.append(1))
    with edge_of(app) as edge:
        headers, body = push("t", queue=queue)
        assert 503 == answer(edge, headers, body).status
        assert 503 == answer(edge, {**headers, "content-length": "1"}, b"x").status
    assert ([], []) == (ran, driver.sent)


@BOTH
def test_a_queue_that_is_not_served_is_refused(backend, answer):
    """With `queues`, pushes of others are answered with 503."""
    app, _ = backend
    app.task("t")(lambda: None)
    with edge_of(app, PushSettings(insecure_no_auth=True, queues=["mail"])) as edge:
        assert 503 == answer(edge, *push("t")).status
        assert 200 == answer(edge, *push("t", queue="mail")).status


@BOTH
@pytest.mark.parametrize(
    "broken",
    [
        {"x-cloudtasks-queuename": ""},
        {"x-cloudtasks-taskretrycount": "many"},
        {"x-cloudtasks-taskname": ""},
    ],
)
def test_what_is_no_push_of_this_backend_is_refused(backend, answer, broken):
    """A header of Cloud Tasks that is wrong makes it 400; it isn't taken for an event instead."""
    app, _ = backend
    ran = []
    app.task("t")(lambda: ran.append(1))
    with edge_of(app) as edge:
        headers, body = push("t")
        assert 400 == answer(edge, {**headers, **broken}, body).status
    assert [] == ran


@BOTH
def test_an_unexpected_error_is_never_acked(backend, answer, caplog, monkeypatch):
    """It is logged, and the push comes again."""
    app, driver = backend
    app.task("t")(lambda: None)

    def broken(_):
        raise RuntimeError("surprise")

    with edge_of(app) as edge:
        monkeypatch.setattr(driver, "decode", broken)
        assert 500 == answer(edge, *push("t")).status
        monkeypatch.undo()
        monkeypatch.setattr(driver, "encode", broken)
        assert 500 == answer(edge, *push("t")).status
        monkeypatch.undo()
        assert 200 == answer(edge, *push("t")).status
        assert 0 == edge.admission.in_hand
    assert 2 == sum("surprise" in str(record.exc_info) for record in caplog.records)


@BOTH
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_a_task_leaves_in_a_context_variable_is_its_own(backend, answer, kind):
    """The next one doesn't see it, nor whoever asked."""
    import contextvars

    app, _ = backend
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    def plain() -> None:
        seen.append(variable.get())
        variable.set("set")

    async def asynchronous() -> None:
        plain()

    app.task("t")(plain if kind == "def" else asynchronous)
    with edge_of(app) as edge:
        for n in range(2):
            assert 200 == answer(edge, *push("t", id=str(n))).status
    assert (["unset", "unset"], "unset") == (seen, variable.get())


@BOTH
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_task_that_exits_is_a_failure_like_any_other(backend, answer, kind):
    """`SystemExit` and a cancellation of its own end neither thread nor loop."""
    app, driver = backend

    def plain() -> None:
        raise SystemExit(3)

    async def asynchronous() -> None:
        asyncio.current_task().cancel()
        await asyncio.sleep(10)

    app.task("t")(plain if kind == "def" else asynchronous)
    with edge_of(app) as edge:
        assert 200 == answer(edge, *push("t")).status
        assert 1 == len(driver.sent)
        app.task("fine")(lambda: None)
        assert 200 == answer(edge, *push("fine")).status


@pytest.mark.parametrize("limit", [timedelta(minutes=1), timedelta(minutes=20), None])
def test_the_deadline_is_the_earlier_one(limit):
    """Of the task's time limit and the dispatch deadline, less two seconds in which it is settled."""
    clock = FakeClock()
    seen = []
    with pushed(clock=clock) as (app, _), edge_of(app) as edge:
        options = {} if limit is None else {"time_limit": limit}

        @app.task("t", **options)
        def task(context: Context) -> None:
            seen.append(context.deadline - clock.now())

        assert 200 == handle(edge, *push("t", headers={"cloudq-deadline": "600"})).status
    assert [min(limit or timedelta.max, timedelta(seconds=598))] == seen


def test_a_task_is_told_that_its_lease_is_over(caplog):
    """`lease_lost` is set once the service waits no more. What fails then isn't copied, as it is pushed again."""
    clock = FakeClock()
    gate = Gate()
    seen = []
    with pushed(clock=clock) as (app, driver), edge_of(app) as edge, ThreadPoolExecutor(1) as pool:
        # Async, since the time limit of such a task goes by the loop's own time: it isn't over in this test.
        @app.task("t")
        async def task(context: Context) -> None:
            seen.append(context.lease_lost)
            await asyncio.to_thread(gate.goes_on.wait, 60)
            raise ValueError("too late")

        answer = pool.submit(handle, edge, *push("t", headers={"cloudq-deadline": "60"}))
        until(lambda: seen)
        until(lambda: edge.admission._next_look is not None)
        assert not seen[0].is_set()
        clock.advance(timedelta(seconds=61))
        passes_until_lost(clock, seen[0])
        until(lambda: edge.snapshot().lease_lost == 1)
        gate.goes_on.set()
        assert 500 == answer.result(60).status
    assert [] == driver.sent
    assert "after its lease was over" in caplog.text


def test_late_success_is_acked_all_the_same():
    """Finished work should not run again."""
    clock = FakeClock()
    with pushed(clock=clock) as (app, _), edge_of(app) as edge:
        app.task("t")(lambda: clock.advance(timedelta(hours=1)))
        assert 200 == handle(edge, *push("t")).status


def test_a_time_limit_is_raised_in_the_task(backend):
    """As in the polling worker's threads: it counts as a failed attempt, and is retried by a copy."""
    app, driver = backend

    @app.task("t", time_limit=timedelta(milliseconds=50))
    def task() -> None:
        while True:
            threading.Event().wait(0.005)

    with edge_of(app) as edge:
        assert 200 == handle(edge, *push("t")).status
    assert "TimeLimitExceeded" in driver.sent[-1].failure.error_type


@BOTH
def test_overload(backend, answer):
    """One runs, one waits, the third is refused at once with 429 and told when to come again; then the second runs."""
    app, _ = backend
    gate = Gate()

    @app.task("t")
    def task(name: str) -> None:
        gate(name)

    settings = PushSettings(insecure_no_auth=True, concurrency=1, waiting=1)
    with edge_of(app, settings) as edge, ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(answer, edge, *push("t", {"name": "1"}, id="1"))]
        gate.wait_started()
        answers.append(pool.submit(answer, edge, *push("t", {"name": "2"}, id="2")))
        until(lambda: edge.admission.waiting)
        refused = answer(edge, *push("t", {"name": "3"}, id="3"))
        assert (429, "1") == (refused.status, refused.headers["Retry-After"])
        gate.goes_on.set()
        assert [200, 200] == [one.result(60).status for one in answers]
        assert 200 == answer(edge, *push("t", {"name": "3"}, id="3", retries=1)).status
    assert ["1", "2", "3"] == gate.ran


@BOTH
def test_waiting_has_an_end(backend, answer):
    """Who waits for longer than the patience is refused, and leaves nothing behind."""
    app, _ = backend
    gate = Gate()

    @app.task("t")
    def task(name: str) -> None:
        gate(name)

    settings = PushSettings(insecure_no_auth=True, concurrency=1, waiting=1, patience=timedelta(milliseconds=20))
    with edge_of(app, settings) as edge, ThreadPoolExecutor(1) as pool:
        first = pool.submit(answer, edge, *push("t", {"name": "1"}, id="1"))
        gate.wait_started()
        assert 429 == answer(edge, *push("t", {"name": "2"}, id="2")).status
        gate.goes_on.set()
        assert 200 == first.result(60).status
        assert 200 == answer(edge, *push("t", {"name": "2"}, id="2")).status


@BOTH
def test_stopping(backend, answer):
    """What runs is finished; what waits and what comes is answered with 503."""
    app, _ = backend
    gate = Gate()

    @app.task("t")
    def task(name: str) -> None:
        gate(name)

    settings = PushSettings(insecure_no_auth=True, concurrency=1, waiting=1)
    with edge_of(app, settings) as edge, ThreadPoolExecutor(2) as pool:
        first = pool.submit(answer, edge, *push("t", {"name": "1"}, id="1"))
        gate.wait_started()
        second = pool.submit(answer, edge, *push("t", {"name": "2"}, id="2"))
        until(lambda: edge.admission.waiting)
        edge.stop()
        assert 503 == second.result(60).status
        assert 503 == answer(edge, *push("t", {"name": "3"}, id="3")).status
        assert not first.done()
        gate.goes_on.set()
        assert 200 == first.result(60).status
    assert ["1"] == gate.ran


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_is_given_up_is_answered_at_once(backend, kind):
    """At the end of the grace a running task is told, its push is answered so that it comes again, and its end counts
    no more: a late failure stores no copy.
    """
    app, driver = backend
    started, goes_on, ended = threading.Event(), threading.Event(), threading.Event()
    contexts: list[Context] = []

    @app.task("plain")
    def plain(context: Context) -> None:
        contexts.append(context)
        started.set()
        goes_on.wait(60)
        ended.set()
        raise ValueError("too late")

    @app.task("asynchronous")
    async def asynchronous(context: Context) -> None:
        contexts.append(context)
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def given_up(edge: PushEdge) -> PushResponse:
        answer = asyncio.create_task(ahandle(edge, *push("plain" if kind == "def" else "asynchronous")))
        await asyncio.to_thread(started.wait, 60)
        edge.stop()
        assert 1 == edge.admission.give_up()
        response = await asyncio.wait_for(answer, 60)
        goes_on.set()
        assert await asyncio.to_thread(ended.wait, 60)
        return response

    with edge_of(app) as edge:
        assert 500 == asyncio.run(given_up(edge)).status
        until(lambda: not edge.admission.running)
    assert contexts[0].lease_lost.is_set()
    assert [] == driver.sent


def test_a_request_that_is_cancelled_leaves_its_task_running(backend):
    """A framework that gives up a request doesn't cut its task in two: the task is told that its lease is lost, and a
    redelivery waits for it rather than run beside it.
    """
    app, _ = backend
    gate = Gate()
    contexts: list[Context] = []

    @app.task("t")
    def task(context: Context, name: str) -> None:
        contexts.append(context)
        gate(name)

    async def cancelled(edge: PushEdge) -> None:
        request = asyncio.create_task(ahandle(edge, *push("t", {"name": "1"})))
        await asyncio.to_thread(gate.wait_started)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert contexts[0].lease_lost.is_set()
        again = asyncio.create_task(ahandle(edge, *push("t", {"name": "1"}, retries=1)))
        while not edge.admission.in_hand:
            await asyncio.sleep(0.002)
        gate.goes_on.set()
        assert 200 == (await again).status
        late = await ahandle(edge, *push("t", {"name": "1"}, retries=2))
        assert 200 == late.status, "it comes after the end: unrun, too"
        assert 200 == (await ahandle(edge, *push("t", {"name": "3"}, id="m2"))).status

    with edge_of(app) as edge:
        asyncio.run(cancelled(edge))
    assert ["1", "3"] == gate.ran


def test_cancelled_while_it_waits(backend):
    """A request that is cancelled while it waits gives its place back."""
    app, _ = backend
    gate = Gate()

    @app.task("t")
    def task(name: str) -> None:
        gate(name)

    async def cancelled(edge: PushEdge) -> None:
        first = asyncio.create_task(ahandle(edge, *push("t", {"name": "1"}, id="1")))
        await asyncio.to_thread(gate.wait_started)
        second = asyncio.create_task(ahandle(edge, *push("t", {"name": "2"}, id="2")))
        while not edge.admission.waiting:
            await asyncio.sleep(0.002)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (0, 1) == (edge.admission.waiting, edge.admission.in_hand)
        gate.goes_on.set()
        assert 200 == (await first).status
        assert 200 == (await ahandle(edge, *push("t", {"name": "2"}, id="2"))).status

    with edge_of(app, PushSettings(insecure_no_auth=True, concurrency=1, waiting=1)) as edge:
        asyncio.run(cancelled(edge))


@BOTH
def test_the_size_is_looked_at_before_the_body(backend, answer):
    """A declared length that is too large is 413, one that is none 400, without a byte of the body being read."""
    app, driver = backend
    with edge_of(app) as edge:
        headers, body = push("t")
        assert 413 == answer(edge, {**headers, "content-length": str(10 * 1024 * 1024)}, body).status
        assert 400 == answer(edge, {**headers, "content-length": "-1"}, body).status
        assert 413 == answer(edge, {"x-cloudtasks-queuename": "q"}, b" " * (edge.settings.max_body + 1)).status
    assert [] == driver.decoded


def test_an_app_keeps_its_edge(backend):
    """`handle(app, ...)` makes one edge for an app, with the settings of its URL."""
    app, driver = backend
    assert 401 == handle(app, *push("t")).status
    assert 401 == handle(app, *push("t")).status
    assert [] == driver.decoded


def test_settings_are_the_edges_own(backend):
    """Settings together with an edge would be ignored, so they are refused."""
    app, _ = backend
    with edge_of(app) as edge, pytest.raises(cloudq.ConfigurationError):
        cloudq.push.asgi(edge, OPEN)


def test_refusals_do_not_fill_the_log(backend, caplog):
    """Of each status there is a line a minute, which says how many there were besides."""
    clock = FakeClock()
    with pushed(clock=clock) as (app, _), edge_of(app) as edge:
        for _ in range(50):
            handle(edge, *push("t", queue="a-dlq"))
        assert 400 == handle(edge, {}, b"").status
        clock.advance(timedelta(minutes=1))
        handle(edge, *push("t", queue="a-dlq"))
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["with 503", "with 400", "49 more"] == [
        next(word for word in ("49 more", "with 503", "with 400") if word in line) for line in lines
    ]


def test_max_tasks(backend):
    """After so many tasks nothing more is taken; what waits then is sent away at once."""
    app, _ = backend
    gate = Gate()

    @app.task("t")
    def task(name: str) -> None:
        gate(name)

    settings = PushSettings(insecure_no_auth=True, concurrency=1, waiting=2, patience=timedelta(minutes=1))
    with edge_of(app, settings, max_tasks=2) as edge, ThreadPoolExecutor(3) as pool:
        answers = []
        for name in "123":
            answers.append(pool.submit(handle, edge, *push("t", {"name": name}, id=name)))
            until(
                lambda: (
                    edge.admission.in_hand == len(answers)
                    and edge.admission.running + edge.admission.waiting == len(answers)
                )
            )
        gate.goes_on.set()
        assert [200, 200, 503] == [answer.result(60).status for answer in answers]
        assert 503 == handle(edge, *push("t", {"name": "4"}, id="4")).status
    assert ["1", "2"] == gate.ran


def test_an_edge_opens_once_and_says_what_is_wrong():
    """Without a service account nobody could be told from anybody: that is refused at the start."""
    app = App("cloudtasks://project-1/europe-west1?target=https://worker.example/")
    with app.using(PushedDriver()), edge_of(app, PushSettings()) as edge:
        with pytest.raises(cloudq.ConfigurationError, match="who may push"):
            edge.open()
        assert 500 == handle(edge, *push("t")).status


def test_a_task_that_may_run_longer_than_the_service_waits_is_refused_at_the_start(backend):
    """Not when its first message comes: no answer of it would ever be in time. The error says where it is declared."""
    app, _ = backend
    app.task("shop.report", time_limit=timedelta(minutes=30))(lambda: None)
    with edge_of(app) as edge:
        edge.open()
    app.task("shop.audit", time_limit=timedelta(minutes=31))(lambda: None)
    with edge_of(app) as edge, pytest.raises(UnsupportedError, match=r"shop.audit.*test_edge.py.*at most") as refused:
        edge.open()
    assert "steps" in str(refused.value.hint)


def test_a_time_limit_has_to_fit_each_queue_that_its_task_names(backend, monkeypatch):
    """Not the first alone."""
    app, driver = backend
    able = driver.capabilities
    limits = {"short": timedelta(minutes=1)}
    monkeypatch.setattr(
        driver, "capabilities", lambda queue: replace(able(queue), max_lease=limits.get(queue, timedelta(hours=1)))
    )
    app.task("shop.report", time_limit=timedelta(minutes=30), queues=["long", "short"])(lambda: None)
    with edge_of(app) as edge, pytest.raises(UnsupportedError, match="queue 'short' waits 1 min at most"):
        edge.open()


def test_a_thread_that_can_not_be_started_costs_no_slot(backend, monkeypatch):
    """The push comes again, and by then there may be threads: nothing of the one before is in its way."""
    app, _ = backend
    ran = []

    @app.task("t")
    def task() -> None:
        ran.append(1)

    start = threading.Thread.start

    def no_thread(thread: threading.Thread) -> None:
        if thread.name.startswith("cloudq-task"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with edge_of(app) as edge:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        for _ in range(edge.settings.concurrency + 1):
            assert 500 == on_a_loop(edge, *push("t")).status
        monkeypatch.undo()
        assert 0 == edge.snapshot().running
        assert 200 == on_a_loop(edge, *push("t")).status
    assert [1] == ran


@BOTH
def test_a_transaction_is_committed_once(backend, answer, tmp_path):
    """However often the service pushes a task: each is answered 200."""
    app, _ = backend
    ledger = Ledger(tmp_path)
    ledger.declare(app)
    with edge_of(app, OPEN) as edge:
        assert [200, 200] == [answer(edge, *push("book", {"n": 1})).status for _ in range(2)]
    assert ["1"] == ledger.entries()


@BOTH
def test_a_closed_edge_stays_closed_until_it_is_opened(backend, answer):
    """No push opens it again; `open` does, with slots, threads and counts of its own."""
    app, _ = backend
    ran = declare(app)
    with edge_of(app) as edge:
        for number in (1, 2):
            edge.open()
            for task in ("t", "async-t"):
                assert 200 == answer(edge, *push(task, {"n": number}, id=f"{task} {number}")).status
            assert (2, 2) == (edge.snapshot().started, edge.snapshot().succeeded)
            assert edge.watched
            edge.close()
            assert 503 == answer(edge, *push("t", {"n": 3}, id="3")).status
    assert [1, 1, 2, 2] == ran


def test_what_is_called_at_the_end_may_close_the_edge(backend):
    """As a framework's clean-up does that is one of the hooks: it waits for nobody, least of all for itself."""
    app, _ = backend
    declare(app)
    edge = PushEdge(app, OPEN)
    ended = []
    app.on_stop(lambda: (edge.close(), ended.append("stop")))
    edge.open()
    closing = threading.Thread(target=edge.close, daemon=True)
    closing.start()
    closing.join(60)
    assert ["stop"] == ended
