"""Executors: whatever a task raises, or does to the event loop that it shares, the others run on."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import timedelta
from functools import partial
from queue import SimpleQueue

import pytest
from tenacity import stop_after_attempt, wait_fixed

from cloudq.app import App
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Final, SettleResult
from cloudq.core.handler import Handler
from cloudq.core.outcome import ACKED, Outcome
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Processor
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable
from cloudq.running.events import Finished
from cloudq.running.held import HeldLease
from cloudq.running.runs import Runs
from cloudq.tasks.context import Context
from cloudq.testing import FakeClock, profiles
from cloudq.worker.executors import ThreadExecutor
from cloudq.worker.intake import Intake
from cloudq.worker.pace import Pace
from cloudq.worker.series import Series
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.unit.worker.fakes import NoNotes, NoText, NoThreads, Unreliable, delivery, running, until
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
    thread.join(60)
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
    assert ACKED == ended.get(timeout=60)
    assert not executor.starved
    intake.close()
    executor.stop()


def test_a_thread_that_could_not_start_is_tried_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while another one is busy: it takes no slot for ever."""
    gate = threading.Event()
    ended: SimpleQueue[Outcome] = SimpleQueue()

    @app.task("noop")
    def noop() -> None:
        assert gate.wait(60)

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
    assert [ACKED] * 2 == [ended.get(timeout=60) for _ in range(2)]
    intake.close()
    executor.stop()


@pytest.fixture
def exhausted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """No event loop can be had until it is cleared; what waits for one asks every 10 ms."""
    exhausted = [True]
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "cloudq-async" and exhausted:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr("cloudq.running.event_loop.NO_LOOP_DELAY", timedelta(milliseconds=10))
    return exhausted


def test_healthz_tells_that_no_event_loop_can_be_had(app: App, exhausted: list[bool]) -> None:
    """As long as async tasks can't start, and no longer."""

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
        until(lambda: worker.worker.snapshot().succeeded == 1)


def test_what_waits_for_an_event_loop_is_no_poison_where_each_release_is_counted(exhausted: list[bool]) -> None:
    """On a FIFO queue of Amazon SQS: it goes back four times, and is held then, and its key waits behind it."""
    app, driver = App("memory://"), MemoryDriver(capabilities=profiles.sqs_like)
    ran: list[tuple[int, int]] = []

    @app.task("anoop", queue="q.fifo", ordering_key="k")
    async def anoop(context: Context, number: int) -> None:
        ran.append((number, context.attempt))

    with app.using(driver):
        anoop.send(1)
        anoop.send(2)
        with running(app, concurrency=2) as worker:
            until(lambda: worker.worker.snapshot().snoozed >= 6)
            exhausted.clear()
            until(lambda: worker.worker.snapshot().succeeded == 2)
    assert [(1, 5), (2, 1)] == ran


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


# ── short tasks ──────────────────────────────────────────────────────────────────────────────────────────────


class Short(Pace):
    """As measured, whatever this machine is busy with."""

    is_short = is_tiny = True  # type: ignore[assignment]  # properties


class Recording(Unreliable):
    """A driver like SQS's that says who settled what."""

    def __init__(self) -> None:
        super().__init__(MemoryDriver(capabilities=profiles.sqs_like))
        self.settled: list[tuple[str, int]] = []

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        results = super().settle(finals)
        self.settled.append((threading.current_thread().name, len(finals)))
        return results

    @property
    def confirmed(self) -> int:
        """How many are settled."""
        return sum(count for _, count in self.settled)


class Stage:
    """An app with short tasks, and tasks that only count as such, on a driver that tells what happens."""

    def __init__(self, app: App, driver: Recording) -> None:
        self.app = app
        self.driver = driver
        self.ran: list[tuple[str, int]] = []
        self.at_the_gate = threading.Event()
        self.gate = threading.Event()

        @app.task("quick")
        def quick(number: int) -> None:
            self.note(number)

        @app.task("waits")
        def waits() -> None:
            self.at_the_gate.set()
            assert self.gate.wait(20)

    def note(self, number: int) -> None:
        """A task runs."""
        self.ran.append((threading.current_thread().name, number))

    def send_quick(self, count: int) -> None:
        for number in range(count):
            self.app.send("quick", {"number": number})

    @property
    def threads(self) -> set[str]:
        """Those that ran quick ones."""
        return {thread for thread, _ in self.ran}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Where what counts as short is said, not measured."""
    monkeypatch.setattr("cloudq.worker.executors.Pace", Short)
    driver = Recording()
    app = App("memory://", retry=RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(0)), strict_queues=False)
    with app.using(driver):
        stage = Stage(app, driver)
        yield stage
        stage.gate.set()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lookout never thinks that a thread is at one task for too long, or keeps something for too long."""
    monkeypatch.setattr("cloudq.worker.lookout.LONG", timedelta(seconds=60))
    monkeypatch.setattr("cloudq.worker.lookout.LONGEST_KEPT", timedelta(hours=1))


@pytest.mark.usefixtures("patient")
def test_short_tasks_are_run_and_settled_by_one_thread(stage: Stage) -> None:
    """Ten that came together: one after the other, in one thread, which settles them all by one call."""
    stage.send_quick(10)
    with running(stage.app, concurrency=10):
        until(lambda: stage.driver.confirmed == 10)
    assert list(range(10)) == [number for _, number in stage.ran]
    assert 1 == len(stage.threads)
    assert [(*stage.threads, 10)] == stage.driver.settled


@pytest.mark.usefixtures("patient")
def test_a_series_goes_on_in_calls_of_ten(stage: Stage) -> None:
    """As many as the driver takes in one call, before the next one is run; the rest when nothing waits any more."""
    ran: Counter[str] = Counter()
    unsettled: list[int] = []

    @stage.app.task("looks")
    def looks() -> None:
        me = threading.current_thread().name
        unsettled.append(ran[me] - sum(count for thread, count in stage.driver.settled if thread == me))
        ran[me] += 1

    for _ in range(25):
        stage.app.send("looks")
    with running(stage.app, concurrency=25):
        until(lambda: stage.driver.confirmed == 25)
    assert max(count for _, count in stage.driver.settled) == 10
    # Of each thread: they come ten at a poll, and another series may begin while one settles.
    assert max(unsettled) <= 10


@pytest.mark.usefixtures("patient")
def test_tasks_that_were_never_measured_have_a_thread_each(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    """Whatever they turn out to be: both of these wait for each other."""
    monkeypatch.setattr("cloudq.worker.executors.Pace", Pace)
    barrier = threading.Barrier(3)
    stage.app.task("meets")(lambda: barrier.wait(60) and None)
    for _ in range(3):
        stage.app.send("meets")
    with running(stage.app, concurrency=3):
        until(lambda: stage.driver.confirmed == 3)
    assert 0 == stage.app.queue("default").stats().dead
    # Their Acks are left to flushers, which collect those of all threads.
    assert {"cloudq-settle-default"} == {thread.rpartition("-")[0] for thread, _ in stage.driver.settled}


def test_what_waits_behind_a_long_task_is_handed_on(stage: Stage) -> None:
    """Though it counted as short: the lookout sees that it isn't, and other threads take the rest."""
    barrier = threading.Barrier(10)
    stage.app.task("meets")(lambda: barrier.wait(60) and None)
    for _ in range(10):
        stage.app.send("meets")
    with running(stage.app, concurrency=10):
        until(lambda: stage.driver.confirmed == 10)
    assert 0 == stage.app.queue("default").stats().dead


def test_what_has_ended_does_not_wait_for_a_long_task(stage: Stage) -> None:
    """One that counted as short: what ended before it in its thread is settled while it still runs."""
    stage.send_quick(5)
    stage.app.send("waits")
    with running(stage.app, concurrency=1, prefetch=10):
        assert stage.at_the_gate.wait(60)
        until(lambda: stage.driver.confirmed == 5)
        assert 1 == stage.app.queue("default").stats().in_flight
        stage.gate.set()
        until(lambda: stage.driver.confirmed == 6)


@pytest.mark.usefixtures("patient")
def test_before_a_task_that_counts_as_long_the_series_ends(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    """Nothing has to be noticed then: what ended is settled, and others take what waits, before it begins."""
    monkeypatch.setattr("cloudq.worker.executors.defaultdict", lambda _: {"quick": Short(), "waits": Pace()})
    stage.send_quick(3)
    stage.app.send("waits")
    stage.send_quick(3)
    with running(stage.app, concurrency=2, prefetch=10):
        until(lambda: stage.driver.confirmed == 6)
        assert stage.at_the_gate.wait(60)
        stage.gate.set()
        until(lambda: stage.driver.confirmed == 7)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["ordered", "failing"])
def test_what_must_not_wait_for_others_does_not(stage: Stage, kind: str) -> None:
    """The Ack of an ordered message, and what becomes of a failure, are under way before the next task begins."""

    @stage.app.task("fails")
    def fails() -> None:
        raise ValueError

    queue = "orders.fifo" if kind == "ordered" else "default"
    for number in range(3):
        if kind == "ordered":
            stage.app.send("quick", {"number": number}, queue=queue, ordering_key=f"k{number}")
        else:
            stage.app.send("fails")
    if kind == "ordered":
        stage.app.send("waits", queue=queue, ordering_key="w")
    else:
        stage.app.send("waits")
    with running(stage.app, queues={queue: 1}, concurrency=1, prefetch=10):
        assert stage.at_the_gate.wait(60)
        until(lambda: stage.driver.confirmed >= 3)
        stage.gate.set()


@pytest.mark.usefixtures("patient")
def test_each_task_of_a_series_has_its_own_context(stage: Stage) -> None:
    """A context variable that one sets is unset in the next."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    seen: list[int | None] = []

    @stage.app.task("sets")
    def sets(number: int) -> None:
        stage.note(number)
        seen.append(variable.get(None))
        variable.set(number)

    for number in range(5):
        sets.send(number=number)
    with running(stage.app, concurrency=5):
        until(lambda: stage.driver.confirmed == 5)
    assert [None] * 5 == seen
    assert 1 == len(stage.threads)


@pytest.mark.usefixtures("patient")
def test_each_task_of_a_series_has_its_time_limit_from_its_own_start(stage: Stage) -> None:
    """A series may take longer than the limit of each; and one that takes too long is ended, and those after it run."""
    clock, began, ended = FakeClock(), list[timedelta](), list[timedelta]()
    before = set(threading.enumerate())

    @stage.app.task("limited", time_limit=timedelta(seconds=1))
    def limited(number: int) -> None:
        stage.note(number)
        began.append(clock.elapsed())
        try:
            clock.advance(timedelta(seconds=0 if number == 3 else 0.4))
            any(time.sleep(0.02) or number != 3 for _ in range(3000))  # for real, so that the limit may strike
        finally:
            ended.append(clock.elapsed())

    stage.app.send_many(limited.call(number=number) for number in range(5))
    with stage.app.using(stage.driver, clock=clock), running(stage.app, concurrency=5) as worker:
        for runs, succeeded in ((4, 3), (6, 4)):  # the one that is too slow is tried again
            until(lambda at=(runs, succeeded): at == (len(began), worker.worker.snapshot().succeeded))  # type: ignore[misc]
            clock.advance(timedelta(seconds=1))
            until(lambda runs=runs: len(ended) >= runs or clock.advance(timedelta(0)))  # type: ignore[misc]
    until(lambda: not set(threading.enumerate()) - before or clock.advance(timedelta(minutes=1)))  # those that idle
    assert [0, 1, 2, 3, 4, 3] == [number for _, number in stage.ran]
    assert (1, timedelta(seconds=1)) == (len({thread for thread, _ in stage.ran[:5]}), ended[3] - began[3])


@pytest.mark.usefixtures("patient")
def test_a_stop_in_the_middle_of_a_series_gives_back_what_was_not_started(stage: Stage) -> None:
    """What ended is settled, what runs may finish, what waits is anybody's."""
    stage.send_quick(2)
    stage.app.send("waits")
    stage.send_quick(4)
    queue = stage.app.queue("default")
    with running(stage.app, concurrency=1, prefetch=10, grace=timedelta(seconds=20)) as worker:
        assert stage.at_the_gate.wait(60)
        worker.worker.stop()
        until(lambda: queue.stats().ready == 4)
        stage.gate.set()
        assert 0 == worker.join()
    assert (4, 0) == (queue.stats().ready, queue.stats().in_flight)
    assert 2 == len(stage.ran)


@pytest.mark.usefixtures("patient")
def test_what_lost_its_lease_waiting_in_a_series_is_not_started(stage: Stage) -> None:
    """Another worker may have it by now; the series goes on with the next one."""
    stage.app.send("waits")
    stage.send_quick(3)
    with running(stage.app, concurrency=1, prefetch=10) as worker:
        assert stage.at_the_gate.wait(60)
        until(lambda: worker.worker.snapshot().waiting == 3)
        first = worker.worker._intake._books.queues["default"].waiting[0].held
        first.lost.set()
        stage.gate.set()
        until(lambda: stage.driver.confirmed == 3)
    assert [1, 2] == [number for _, number in stage.ran]


def test_settlements_that_fail_in_a_series_are_tried_again(stage: Stage) -> None:
    """No task runs twice for it, and nothing is left behind."""
    stage.driver.failing["settle"] = BackendUnavailable("down")
    stage.send_quick(10)
    with running(stage.app, concurrency=10):
        until(lambda: len(stage.ran) == 10 and stage.driver.calls["settle"])
        stage.driver.failing.clear()
        until(lambda: stage.driver.confirmed == 10)
    assert list(range(10)) == sorted(number for _, number in stage.ran)
    assert 0 == stage.app.queue("default").stats().in_flight


@pytest.mark.parametrize("ahead", [10, 11])
def test_a_settlement_that_hangs_holds_up_no_task(stage: Stage, ahead: int) -> None:
    """Another thread takes the place of the one that waits for the backend, also where there is to be one only."""
    hanging = stage.driver.hanging["settle"] = threading.Event()
    stage.send_quick(ahead)
    with running(stage.app, concurrency=1, prefetch=20):
        until(lambda: stage.driver.calls["settle"])
        stage.send_quick(10)
        until(lambda: len(stage.ran) == ahead + 10)
        hanging.set()
        until(lambda: stage.driver.confirmed == ahead + 10)


@pytest.mark.usefixtures("patient")
def test_where_calls_take_their_time_others_go_on_meanwhile(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that settles by a call that isn't short hands on first: nothing has to be noticed."""
    monkeypatch.setattr("cloudq.worker.executors.defaultdict", lambda _: {"quick": Short()})
    monkeypatch.setattr("cloudq.worker.executors.Pace", Pace)
    stage.driver.latency = timedelta(milliseconds=20)
    with running(stage.app, concurrency=1, prefetch=20) as worker:
        stage.send_quick(10)
        until(lambda: not worker.worker._executor._calls.is_short)  # measured now
        hanging = stage.driver.hanging["settle"] = threading.Event()
        stage.send_quick(20)
        until(lambda: len(stage.ran) == 30)
        hanging.set()
        until(lambda: stage.driver.confirmed == 30)


def test_without_a_thread_for_the_lookout_nothing_relies_on_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then every task counts as long: what ended is settled at once, and others take what waits."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("cloudq-lookout"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    barrier = threading.Barrier(3)
    stage.app.task("meets")(lambda: barrier.wait(60) and None)
    stage.send_quick(3)
    for _ in range(3):
        stage.app.send("meets")
    with running(stage.app, concurrency=3, prefetch=10):
        until(lambda: stage.driver.confirmed == 6)
    assert 0 == stage.app.queue("default").stats().dead


@pytest.mark.usefixtures("patient")
def test_async_tasks_are_taken_by_one_thread(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    """It only passes them to the event loop, where they run beside each other as ever."""
    monkeypatch.setattr("cloudq.worker.executors.Pace", Pace)
    met: list[int] = []
    everybody = asyncio.Event()

    @stage.app.task("ameets")
    async def ameets() -> None:
        met.append(threading.get_ident())
        if len(met) == 10:
            everybody.set()
        await asyncio.wait_for(everybody.wait(), 60)

    for _ in range(10):
        ameets.send()
    before = set(threading.enumerate())
    with running(stage.app, concurrency=10):
        until(lambda: stage.driver.confirmed == 10)
        of_this = set(threading.enumerate()) - before
        assert 1 == sum(thread.name.startswith("cloudq-task") for thread in of_this)
    assert 1 == len(set(met))
    assert 0 == stage.app.queue("default").stats().dead


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much was waiting whenever a thread left off to take."""
    ends: list[int] = []
    take = ThreadExecutor._take

    def note(executor: ThreadExecutor, series: Series) -> None:
        try:
            take(executor, series)
        finally:
            ends.append(executor._intake.in_hand().waiting)

    monkeypatch.setattr(ThreadExecutor, "_take", note)
    return ends


@pytest.mark.usefixtures("patient")
def test_a_series_goes_on_after_a_full_call_and_a_failure(stage: Stage, ends: list[int]) -> None:
    """Which isn't kept: the series is empty then, and neither full nor at its end."""

    @stage.app.task("fails")
    def fails() -> None:
        raise ValueError

    stage.app.send("waits")
    stage.send_quick(9)
    stage.app.send("fails")
    stage.send_quick(5)
    with running(stage.app, concurrency=1, prefetch=20) as worker:
        until(lambda: worker.worker.snapshot().waiting == 15)
        stage.gate.set()
        until(lambda: len(stage.ran) == 14)
        assert [] == ends


@pytest.mark.usefixtures("patient")
def test_a_series_that_is_emptied_in_between_goes_on(
    stage: Stage, ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the lookout, after its thread has found that nothing waits, and before it looks what is to be settled."""
    take = Intake.take

    def take_and_empty(intake: Intake, series: object, *, wait: bool = True) -> HeldLease | None:
        held = take(intake, series, wait=wait)
        if held is None and not wait:
            assert isinstance(series, Series)
            emptied.extend(series.take_all())
        return held

    emptied: list[HeldLease] = []
    monkeypatch.setattr(Intake, "take", take_and_empty)
    with running(stage.app, concurrency=1) as worker:
        for number in range(3):
            stage.app.send("quick", {"number": number})
            until(lambda: len(stage.ran) == len(emptied) == number + 1)  # noqa: B023 - called at once
        assert [] == ends
        for held in emptied:
            worker.worker._settler.settle(held, ACKED)


def test_of_two_that_come_back_from_a_call_one_goes_on(stage: Stage) -> None:
    """Also where both see each other: else nobody would take, until something else is received."""
    executor = make_executor(
        stage.app,
        Intake({}, leases={}, slots=1, runs=Runs(SYSTEM_CLOCK), clock=SYSTEM_CLOCK),
        threads=1,
        ended=lambda _: None,
    )
    first, second = Series(SYSTEM_CLOCK), Series(SYSTEM_CLOCK)
    assert [True, False] == [executor._join(first), executor._join(second)]
    executor._withdraw(first)
    assert [True, False] == [executor._join(second), executor._join(first)]


@pytest.mark.usefixtures("patient")
def test_whatever_ends_a_thread_its_series_is_settled(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else knows of what it keeps; and another thread takes its place."""
    began = Processor.handler_for

    def fail(processor: Processor[Context], delivery: Delivery) -> Handler[Context] | None:
        if delivery.message is not None and delivery.message.task == "waits":
            raise SystemExit
        return began(processor, delivery)

    monkeypatch.setattr(Processor, "handler_for", fail)
    stage.send_quick(5)
    stage.app.send("waits")
    stage.send_quick(3)
    with running(stage.app, concurrency=2, prefetch=20):
        until(lambda: stage.driver.confirmed == 8)
    assert 8 == len(stage.ran)


@pytest.mark.usefixtures("patient")
def test_what_ended_beside_a_task_that_is_given_up_is_settled(stage: Stage) -> None:
    """The worker leaves at once, while the thread that keeps it is at that task."""
    stage.send_quick(5)
    stage.app.send("waits")
    queue = stage.app.queue("default")
    with running(stage.app, concurrency=1, prefetch=10) as worker:
        assert stage.at_the_gate.wait(60)
        worker.stop(now=True)
        assert 0 == worker.worker.snapshot().settling
    assert (1, 0) == (queue.stats().ready, queue.stats().in_flight)
    assert 5 == len(stage.ran)


def test_a_queue_that_hangs_keeps_no_settlement_of_another_waiting(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that a series has kept of both: the thread that makes the call can't be waited for."""
    hanging, settle = threading.Event(), stage.driver.settle

    def hang(finals: Sequence[Final]) -> Sequence[SettleResult]:
        if finals[0].lease.queue == "a":
            assert hanging.wait(20)
        return settle(finals)

    monkeypatch.setattr(stage.driver, "settle", hang)
    for number in range(3):
        for queue in ("a", "b"):
            stage.app.send("quick", {"number": number}, queue=queue)
    with running(stage.app, queues={"a": 1, "b": 1}, concurrency=1, prefetch=10):
        until(lambda: len(stage.ran) == 6)
        until(lambda: stage.driver.confirmed == 3)
        hanging.set()
        until(lambda: stage.driver.confirmed == 6)


@pytest.mark.usefixtures("patient")
def test_what_waits_for_an_async_task_to_end_is_not_held_up_by_a_call(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only thread settles what it has kept, as no slot is free; once one is, another thread takes its place."""
    monkeypatch.setattr("cloudq.running.main_loop.ROUND", timedelta(seconds=60))
    hanging = stage.driver.hanging["settle"] = threading.Event()
    go_on: list[Callable[[], object]] = []

    @stage.app.task("awaits")
    async def awaits() -> None:
        event = asyncio.Event()
        go_on.append(partial(asyncio.get_running_loop().call_soon_threadsafe, event.set))
        await event.wait()

    stage.send_quick(1)
    awaits.send()
    stage.send_quick(1)
    with running(stage.app, concurrency=1, prefetch=10):
        until(lambda: go_on and stage.driver.calls["settle"])
        go_on[0]()
        until(lambda: len(stage.ran) == 2)
        hanging.set()
        until(lambda: stage.driver.confirmed == 3)
