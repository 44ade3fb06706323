"""Executors: whatever a task raises, or does to the event loop that it shares, the others run on."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from queue import SimpleQueue

import pytest
from tenacity import stop_after_attempt, wait_fixed

from cloudq.app import App
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.outcome import ACKED, Outcome
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Processor
from cloudq.drivers.memory import MemoryDriver
from cloudq.running.events import Finished
from cloudq.running.held import HeldLease
from cloudq.running.runs import Runs
from cloudq.tasks.context import Context
from cloudq.worker.executors import ThreadExecutor
from cloudq.worker.intake import Intake
from cloudq.worker.series import Series
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.unit.worker.fakes import NoNotes, NoText, NoThreads, delivery, running, until
from tests.unit.worker.intakes import arrive


class Beyond(BaseException):
    """Neither an Exception nor one that Python knows."""


class TenantFilter(logging.Filter):
    """As an app's may be that expects its own fields in every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.tenant != "muted"  # type: ignore[attr-defined]


@pytest.fixture
def broken_logging() -> Iterator[None]:
    """An app whose logging raises, wherever cloudq logs."""
    handler = logging.StreamHandler()
    handler.addFilter(TenantFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield
    root.removeHandler(handler)


@pytest.fixture
def app() -> Iterator[App]:
    app = App("memory://", retry=RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(0)))
    with app.using(MemoryDriver()):
        yield app


class NoSettler:
    """For executors whose outcomes are taken as they come."""

    def settle(self, held: HeldLease, outcome: Outcome) -> None:
        raise AssertionError("nothing is kept")


def make_executor(app: App, intake: Intake, *, threads: int, ended: Callable[[Outcome], object]) -> ThreadExecutor:
    """One that tells outcomes, and keeps nothing."""

    def tell(held: HeldLease, outcome: Outcome, seconds: float, series: Series | None = None) -> None:
        ended(outcome)

    return ThreadExecutor(
        intake,
        Processor(app.runtime.handlers),
        NoSettler(),  # type: ignore[arg-type]  # as much of a settler as is used
        threads=threads,
        queues=1,
        ended=tell,
        clock=SYSTEM_CLOCK,
    )


def work_off(app: App, seen: list[int]) -> list[str]:
    """Runs a worker until ten harmless tasks have run beside the harmful one. The reasons of the dead letters."""

    @app.task("harmless")
    def harmless(number: int) -> None:
        seen.append(number)

    @app.task("aharmless")
    async def aharmless(number: int) -> None:
        await asyncio.sleep(0)
        seen.append(number)

    for number in range(5):
        harmless.send(number=number)
        aharmless.send(number=number + 5)
    queue = app.queue("default")
    with running(app, concurrency=2):
        until(lambda: len(seen) == 10, what="the harmless tasks ran")
        until(lambda: not (queue.stats().in_flight or queue.stats().ready), what="nothing is left in hand")
    assert list(range(10)) == sorted(seen)
    return [dead.failure.reason for dead in queue.dead_letters if dead.failure]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, Beyond])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_no_exception_ends_its_own_task_alone(app: App, kind: type[BaseException], is_async: bool) -> None:
    """A task that raises what no `except Exception` catches is dead-lettered, and its thread or loop works on."""

    @app.task("harmful")
    def harmful() -> None:
        raise kind

    @app.task("aharmful")
    async def aharmful() -> None:
        raise kind

    app.send("aharmful" if is_async else "harmful", {})
    assert [f"not retried: {kind.__name__}"] == work_off(app, [])


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", [NoText, NoNotes])
def test_an_exception_that_cant_be_printed_costs_an_attempt(app: App, kind: type[Exception], is_async: bool) -> None:
    """What `__str__` or `__notes__` of a task's exception raises, even SystemExit, costs no thread and no slot."""

    @app.task("harmful")
    def harmful() -> None:
        raise kind("x")

    @app.task("aharmful")
    async def aharmful() -> None:
        raise kind("x")

    for _ in range(3):  # one more than there are slots
        app.send("aharmful" if is_async else "harmful", {})
    said = "<its text is unreadable: SystemExit>" if kind is NoText else "x"
    assert [f"gave up after 2 attempts: {kind.__name__}: {said}"] * 3 == work_off(app, [])


@pytest.mark.usefixtures("broken_logging")
@pytest.mark.parametrize("is_async", [False, True])
def test_a_logging_filter_that_raises_costs_nothing(app: App, is_async: bool) -> None:
    """Where the app's logging raises, the outcome of a failed task is carried out all the same."""

    @app.task("harmful")
    def harmful() -> None:
        raise ValueError("x")

    @app.task("aharmful")
    async def aharmful() -> None:
        raise ValueError("x")

    for _ in range(3):
        app.send("aharmful" if is_async else "harmful", {})
    assert ["gave up after 2 attempts: ValueError: x"] * 3 == work_off(app, [])


@pytest.mark.parametrize("is_async", [False, True])
def test_a_retry_predicate_that_exits_costs_its_own_task_alone(app: App, is_async: bool) -> None:
    """`sys.exit` in a strategy of the policy dead-letters the message, and its thread or loop works on."""
    policy = RetryPolicy(retry=lambda state: sys.exit(1))

    @app.task("harmful", retry=policy)
    def harmful() -> None:
        raise ValueError("x")

    @app.task("aharmful", retry=policy)
    async def aharmful() -> None:
        raise ValueError("x")

    for _ in range(3):
        app.send("aharmful" if is_async else "harmful", {})
    assert ["the retry policy raised SystemExit: 1"] * 3 == work_off(app, [])


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("where", ["before", "after"])
def test_whatever_a_middleware_raises_costs_its_own_task_alone(where: str, is_async: bool) -> None:
    """Also what no `except Exception` catches."""

    def raises(context: Context) -> Generator[None, Outcome, Outcome]:
        harmful = context.task in ("harmful", "aharmful")
        if harmful and where == "before":
            raise Beyond
        outcome = yield
        if harmful:
            raise Beyond
        return outcome

    app = App("memory://", middleware=[raises])

    @app.task("harmful")
    def harmful() -> None:
        """Does nothing."""

    @app.task("aharmful")
    async def aharmful() -> None:
        """Does nothing."""

    with app.using(MemoryDriver()):
        for _ in range(3):
            app.send("aharmful" if is_async else "harmful", {})
        assert ["not retried: Beyond"] * 3 == work_off(app, [])


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, Beyond])
def test_on_event_may_raise_whatever_it_likes(app: App, kind: type[BaseException]) -> None:
    """A slip in a progress display costs neither a thread nor a settlement."""

    def exits(_: Finished) -> None:
        raise kind

    ran: list[int] = []

    @app.task("harmless")
    def harmless(number: int) -> None:
        ran.append(number)

    for number in range(3):
        harmless.send(number=number)
    worker = Worker(app, WorkerSettings(concurrency=1, burst=True), on_event=exits)
    thread = threading.Thread(target=worker.run, daemon=True)  # on_event is called in threads of the worker's
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert [0, 1, 2] == sorted(ran)
    assert 0 == app.queue("default").stats().in_flight


def test_without_a_thread_tasks_wait_for_one(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no thread to give stops nothing for good: what came in meanwhile runs once it has one."""
    ran: list[str] = []
    ended: SimpleQueue[Outcome] = SimpleQueue()

    @app.task("noop")
    def noop() -> None:
        ran.append("noop")

    intake = Intake({"q": 1}, leases={"q": timedelta(minutes=1)}, slots=1, runs=Runs(SYSTEM_CLOCK), clock=SYSTEM_CLOCK)
    executor = make_executor(app, intake, threads=1, ended=ended.put)
    machine = NoThreads(monkeypatch)
    arrive(intake, "q", [HeldLease(delivery(SYSTEM_CLOCK), SYSTEM_CLOCK.elapsed(), extendable=True)])
    executor.more()
    executor.more()
    assert 2 == machine.tries
    assert executor.starved
    machine.exhausted = False
    executor.more()
    assert ACKED == ended.get(timeout=10)
    assert not executor.starved
    intake.close()
    executor.stop()


def test_a_thread_that_could_not_start_is_tried_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while another one is busy: it takes no slot for ever."""
    gate = threading.Event()
    ended: SimpleQueue[Outcome] = SimpleQueue()

    @app.task("noop")
    def noop() -> None:
        assert gate.wait(10)

    intake = Intake({"q": 1}, leases={"q": timedelta(minutes=1)}, slots=2, runs=Runs(SYSTEM_CLOCK), clock=SYSTEM_CLOCK)
    executor = make_executor(app, intake, threads=2, ended=ended.put)
    arrive(intake, "q", [HeldLease(delivery(SYSTEM_CLOCK), SYSTEM_CLOCK.elapsed(), extendable=True)])
    executor.more()
    until(lambda: intake.in_hand().running == 1)
    machine = NoThreads(monkeypatch)
    arrive(intake, "q", [HeldLease(delivery(SYSTEM_CLOCK), SYSTEM_CLOCK.elapsed(), extendable=True)])
    executor.more()
    assert not executor.starved
    machine.exhausted = False
    executor.more()
    until(lambda: intake.in_hand().running == 2)
    gate.set()
    assert [ACKED] * 2 == [ended.get(timeout=10) for _ in range(2)]
    intake.close()
    executor.stop()


def test_healthz_tells_that_no_event_loop_can_be_had(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as async tasks can't start, and no longer."""
    exhausted = [True]
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "cloudq-async" and exhausted:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr("cloudq.running.event_loop.NO_LOOP_DELAY", timedelta(milliseconds=10))

    @app.task("anoop")
    async def anoop() -> None:
        """Does nothing."""

    anoop.send()
    with running(app, concurrency=2, health=("127.0.0.1", 0)) as worker:

        def status() -> int:
            until(lambda: worker.worker.health_address)
            host, port = worker.worker.health_address or ("", 0)
            try:
                with urllib.request.urlopen(f"http://{host}:{port}/healthz") as page:
                    return int(page.status)
            except urllib.error.HTTPError as error:
                error.close()
                return error.code

        until(lambda: status() == 503)
        exhausted.clear()
        until(lambda: status() == 200)
        until(lambda: worker.worker.snapshot().acked == 1)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_coroutine_that_is_left_behind_cant_end_the_loop(
    app: App, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """What a task leaves running on the loop may raise whatever it likes: the tasks on it go on."""
    left: list[asyncio.Task[None]] = []

    async def raises() -> None:
        raise kind

    @app.task("leaves")
    async def leaves() -> None:
        left.append(asyncio.ensure_future(raises()))
        await asyncio.sleep(0.01)

    leaves.send()
    assert [] == work_off(app, [])
    assert isinstance(left[0].exception(), kind)
    assert "the loop goes on" in caplog.text


def test_a_task_cant_stop_the_loop(app: App) -> None:
    """A task that stops the loop goes on itself, and so do the others."""
    ended: list[bool] = []

    @app.task("stops")
    async def stops() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)
        ended.append(True)

    stops.send()
    assert [] == work_off(app, [])
    assert [True] == ended


def test_a_task_that_cancels_itself_is_retried(app: App) -> None:
    """A cancellation that doesn't come from the worker is a failure like any other."""
    runs: list[int] = []

    @app.task("cancels")
    async def cancels() -> None:
        runs.append(1)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(60)

    cancels.send()
    assert ["gave up after 2 attempts: CancelledError: the task was cancelled by a task"] == work_off(app, [])
    assert [1, 1] == runs


def test_exit_in_a_thread_is_the_tasks_own(app: App) -> None:
    """`sys.exit` in a task neither ends the worker nor one of its threads."""

    @app.task("exits")
    def exits() -> None:
        sys.exit(3)

    exits.send()
    assert ["not retried: SystemExit: 3"] == work_off(app, [])
