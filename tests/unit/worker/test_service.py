"""A whole worker in this process, on the memory driver."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from tenacity import stop_after_attempt, wait_fixed

from cloudq.app import App
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Capabilities, Final, PullDriver, Release
from cloudq.core.outcome import Acked, Outcome
from cloudq.core.policy import DeadLetter, Retry, RetryPolicy
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import BackendUnavailable, ConfigurationError, PermissionDenied, QueueNotFound
from cloudq.tasks.context import Context
from cloudq.testing import FakeClock, profiles
from cloudq.worker import open_polls as open_polls_module
from cloudq.worker import poller as poller_module
from cloudq.worker import watchdog as watchdog_module
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.ids import shown
from tests.ledger import Ledger
from tests.observing import Told
from tests.unit.worker.fakes import HangsOnce, Running, Unreliable, running, until
from tests.unit.worker.intakes import arrive

SHORT = timedelta(milliseconds=400)
AT_ONCE = RetryPolicy(stop=stop_after_attempt(3), wait=wait_fixed(0))


class Gate:
    """Where tasks of a test wait, and what was seen of them."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.started: list[int] = []
        self.ended: list[int] = []

    def run(self, number: int) -> None:
        self.started.append(number)
        assert self.open.wait(20)
        self.ended.append(number)


@pytest.fixture
def driver() -> Unreliable:
    return Unreliable(MemoryDriver())


@pytest.fixture
def app(driver: Unreliable) -> Iterator[App]:
    app = App("memory://", retry=AT_ONCE)
    with app.using(driver):
        yield app


@pytest.fixture
def gate(app: App) -> Iterator[Gate]:
    gate = Gate()
    app.task("wait")(gate_task(gate))
    yield gate
    gate.open.set()


def gate_task(gate: Gate) -> Callable[[int], None]:
    def wait(number: int) -> None:
        gate.run(number)

    return wait


def burst(app: App, **settings: object) -> Worker:
    """Runs a worker until the queues are empty."""
    worker = Worker(app, WorkerSettings(burst=True, **settings))  # type: ignore[arg-type]  # any of its fields
    assert 0 == worker.run()
    return worker


def total(app: App, queue: str = "default") -> int:
    """All messages of a queue, dead ones left out."""
    stats = app.queue(queue).stats()
    return (stats.ready or 0) + (stats.delayed or 0) + (stats.in_flight or 0)


def test_a_burst_runs_everything_once(app: App) -> None:
    """A burst runs each message once, also what tasks send meanwhile, and leaves the queues empty."""
    seen: list[int] = []

    @app.task("count")
    def count(number: int) -> None:
        seen.append(number)
        if number < 50:
            app.send("count", {"number": number + 1000})

    app.send_many(count.call(number=number) for number in range(200))
    worker = burst(app)
    assert Counter([*range(200), *range(1000, 1050)]) == Counter(seen)
    assert 0 == total(app)
    assert (250, 250) == (worker.snapshot().started, worker.snapshot().succeeded)


def test_a_burst_on_empty_queues_ends_at_once(app: App) -> None:
    """With nothing to do a burst is over; delayed messages don't hold it up."""

    @app.task("later")
    def later() -> None:
        raise AssertionError

    later.options(delay=timedelta(hours=1)).send()
    began = time.monotonic()
    burst(app)
    assert time.monotonic() - began < 60
    assert 1 == app.queue("default").stats().delayed


def test_max_tasks(app: App) -> None:
    """With max_tasks a worker ends after so many, and gives back the others."""
    seen: list[int] = []

    @app.task("count")
    def count(number: int) -> None:
        seen.append(number)

    app.send_many(count.call(number=number) for number in range(30))
    assert 0 == Worker(app, WorkerSettings(max_tasks=7)).run()
    assert 7 == len(seen)
    assert 23 == app.queue("default").stats().ready


def test_stop_finishes_what_runs_and_gives_back_the_rest(app: App, gate: Gate, driver: Unreliable) -> None:
    """20 running, others waiting at the first signal: what waits is receivable at once, the running ones finish."""
    app.send_many(app.tasks["wait"].call(number=number) for number in range(70))
    with running(app, concurrency=20, prefetch=50) as worker:
        # The first poll of a queue is for few, so the next one finds some waiting and brings fewer than all.
        until(lambda: len(gate.started) == 20 and worker.worker.snapshot().waiting >= 35)
        worker.worker.stop()
        received: list[object] = []
        until(
            lambda: (
                received.extend(
                    driver.driver.receive("default", limit=100, wait=timedelta(0), lease=timedelta(seconds=60))
                )
                or len(received) == 50
            ),
            within=15,
            what="50 are receivable",
        )
        assert 20 == worker.worker.snapshot().running
        gate.open.set()
        assert 0 == worker.join()
    assert 20 == len(gate.ended)
    assert 50 == total(app)


def test_what_does_not_finish_in_time_is_released(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """At the end of the grace the handler sees lease_lost, its message is released, its late outcome is dropped."""
    seen: list[bool] = []
    leave = threading.Event()

    @app.task("stubborn")
    def stubborn(context: Context) -> None:
        seen.append(context.lease_lost.wait(20))
        leave.wait(20)

    stubborn.send()
    with running(app, grace=timedelta(milliseconds=100)) as worker:
        until(lambda: worker.worker.snapshot().running == 1)
        assert 0 == worker.stop()
    assert 1 == app.queue("default").stats().ready
    leave.set()
    until(lambda: seen == [True])
    assert any("1 tasks didn't finish in time" in line for line in caplog.messages)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("cloudq-task")])
    assert 1 == app.queue("default").stats().ready
    assert 0 == worker.worker.snapshot().succeeded


def test_a_second_stop_does_not_wait(app: App, gate: Gate) -> None:
    """The second signal releases what runs at once, whatever the grace."""
    app.tasks["wait"].send(number=1)
    with running(app, grace=timedelta(minutes=10)) as worker:
        until(lambda: gate.started)
        began = time.monotonic()
        assert 0 == worker.stop(now=True)
        assert time.monotonic() - began < 60
    assert 1 == app.queue("default").stats().ready


@pytest.mark.slow
def test_a_task_of_three_leases_runs_once_with_two_workers(app: App, gate: Gate) -> None:
    """The lease is kept while the task runs: the second worker never gets it."""
    clock, lease, before = FakeClock(), timedelta(seconds=60), set(threading.enumerate())
    with app.using(driver := MemoryDriver(clock=clock), clock=clock):
        app.send("wait", {"number": 1})
        with running(app, lease=lease) as one, running(app, lease=lease) as two:
            until(lambda: gate.started)
            for _ in range(6):  # a look before a step may begin to wait after it: moving by nothing ends its wait
                clock.advance(lease / 2)
                until(lambda: clock.advance(0 * lease) or driver.next_due("default") == clock.now() + lease)
            gate.open.set()
            until(lambda: one.worker.snapshot().succeeded + two.worker.snapshot().succeeded == 1 and total(app) == 0)
    until(lambda: not set(threading.enumerate()) - before or clock.advance(lease))  # those that idle for a while end
    assert [1] == gate.started


def test_failing_renewals_tell_the_handler_and_its_late_end_changes_nothing(
    app: App, driver: Unreliable, caplog: pytest.LogCaptureFixture
) -> None:
    """With renewing broken the handler sees lease_lost; somebody else has the message, and keeps it."""
    lost: list[bool] = []
    end = threading.Event()

    @app.task("long")
    def long(context: Context) -> None:
        lost.append(context.lease_lost.wait(20))
        end.wait(20)

    long.send()
    driver.failing["extend"] = BackendUnavailable("down")
    with running(app, lease=SHORT, max_tasks=1) as worker:
        until(lambda: lost == [True])
        [other] = driver.driver.receive("default", limit=1, wait=timedelta(seconds=5), lease=timedelta(seconds=60))
        end.set()
        assert 0 == worker.join()
    assert 1 == app.queue("default").stats().in_flight
    assert 2 == other.deliveries
    assert [] == [result.error for result in driver.driver.extend([other.lease], timedelta(seconds=60)) if result.error]
    assert any("its settlement came too late" in line for line in caplog.messages)


@pytest.fixture
def ordered() -> Iterator[tuple[App, Unreliable]]:
    """An app with an ordered queue, on a backend where a lease is fenced."""
    app, driver = App("memory://", retry=AT_ONCE), Unreliable(MemoryDriver())
    with app.using(driver):
        yield app, driver


@pytest.mark.slow
@pytest.mark.parametrize("succeeds", [True, False])
def test_nothing_runs_beside_its_own_unfinished_run(ordered: tuple[App, Unreliable], succeeds: bool) -> None:
    """A run that lost its lease goes on: its redelivery and its key's followers wait for it, in this process.

    If it succeeds, the redelivery is acknowledged unrun; if not, it runs then.
    """
    app, driver = ordered
    gate, started = threading.Event(), list[int]()
    at_once: Counter[str] = Counter()

    @app.task("book", queue="o.fifo", ordering_key="{account}")
    def book(account: str, number: int) -> None:
        first = not started
        started.append(number)
        at_once[account] += 1
        assert at_once[account] == 1
        try:
            assert not first or gate.wait(20)
            assert succeeds or not first
        finally:
            at_once[account] -= 1

    for number in (1, 2, 3):
        book.send("a", number)
    with running(app, lease=timedelta(seconds=4), wait=timedelta(milliseconds=50)) as worker:
        until(lambda: started == [1])
        driver.failing["extend"] = BackendUnavailable("no route")
        until(lambda: worker.worker.snapshot().lease_lost >= 1)
        until(lambda: worker.worker.snapshot().waiting == 1, what="its redelivery waits")
        assert [1] == started
        driver.failing.clear()
        gate.set()
        until(lambda: total(app, "o.fifo") == 0)
    assert ([1, 2, 3] if succeeds else [1, 1, 2, 3]) == started


@pytest.mark.slow
def test_a_redelivery_that_waits_in_vain_goes_back_uncounted(app: App, driver: Unreliable, gate: Gate) -> None:
    """After half a lease it is given back, with a delay, and the wait has used up no attempt."""
    app.send("wait", {"number": 1})
    with running(app, lease=timedelta(seconds=2), wait=timedelta(milliseconds=50)) as worker:
        until(lambda: gate.started == [1])
        driver.failing["extend"] = BackendUnavailable("no route")
        until(lambda: worker.worker.snapshot().waiting == 1, what="its redelivery waits")
        del driver.failing["extend"]
        until(lambda: app.queue("default").stats().delayed == 1)
        assert [1] == gate.started
        gate.open.set()


@pytest.mark.parametrize(
    ("profile", "queue", "copied"),
    [
        (None, "default", False),
        (profiles.sqs_like, "default", True),
        (profiles.sqs_like, "o.fifo", False),
        (profiles.service_bus_like, "default", True),
    ],
    ids=shown,
)
def test_giving_back_has_one_path(
    profile: Callable[[str], Capabilities] | None, queue: str, copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes back unstarted uses up no attempt: a copy where attempts are deliveries, a release elsewhere."""
    app, driver = App("memory://"), MemoryDriver(capabilities=profile)
    key = {"ordering_key": "k"} if queue.endswith(".fifo") else {}
    app.task("count", queue=queue, **key)(lambda: None)  # type: ignore[arg-type]  # a key is an option
    with app.using(driver):
        worker = Worker(app, WorkerSettings(wait=timedelta(0)))
        app.send("count")
        held = worker._keeper.attach(driver.receive(queue, limit=1, wait=timedelta(0), lease=timedelta(seconds=60)))
        arrive(worker._intake, queue, held)
        worker.stop()
        assert 0 == worker.run()
        (again,) = driver.receive(queue, limit=9, wait=timedelta(0), lease=timedelta(seconds=60))
        assert again.message is not None
        # A poll under way at the stop may bring a copy once more, which goes back the same way.
        assert (copied, copied or profile is None) == (again.message.generation > 0, again.attempt == 1)


def test_a_thread_that_cannot_be_started_stops_no_poller(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """ "Can't start new thread" costs a moment: the queue is polled on, and what came is run."""
    ran: list[bool] = []
    app.task("count")(lambda: ran.append(True))
    start, failed = threading.Thread.start, list[str]()

    def start_but_not_the_first(thread: threading.Thread) -> None:
        if thread.name.startswith("cloudq-task") and not failed:
            failed.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_but_not_the_first)
    with running(app, wait=timedelta(milliseconds=50)):
        app.send("count")
        until(lambda: failed)
        app.send("count")
        until(lambda: len(ran) == 2)


@pytest.mark.parametrize("fails", [True, False], ids=["dead-letters", "works"])
def test_after_the_lease_only_an_ack_is_tried(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A lease that is over: no copy is sent, since somebody else has the message; an ack is tried (semantics 10)."""
    driver = Unreliable(MemoryDriver(capabilities=profiles.sqs_like))
    app = App("memory://")

    @app.task("long")
    def long(context: Context) -> None:
        context.lease_lost.wait(20)
        if fails:
            raise DeadLetter("too late to matter")

    with app.using(driver):
        long.send()
        driver.failing["extend"] = BackendUnavailable("down")
        driver.calls.clear()
        assert 0 == Worker(app, WorkerSettings(lease=SHORT, max_tasks=1)).run()
        assert 0 == len(driver.dead_letters("default").peek(limit=10))
    assert 0 == driver.calls["send"]
    assert (0 if fails else 1) == driver.calls["settle"]
    assert any("may run a second time" in line for line in caplog.messages)


def test_failing_settlements_are_tried_again_and_stop_receiving(
    app: App, driver: Unreliable, caplog: pytest.LogCaptureFixture
) -> None:
    """While the backend doesn't confirm nothing is received; then all is confirmed, nothing runs twice."""
    caplog.set_level(logging.INFO)
    seen: list[int] = []

    @app.task("count")
    def count(number: int) -> None:
        seen.append(number)

    app.send_many(count.call(number=number) for number in range(5))
    driver.failing["settle"] = BackendUnavailable("down")
    with running(app, concurrency=5) as worker:
        until(lambda: driver.calls["settle"] >= 8 and worker.worker.snapshot().settling == 5)
        app.send_many(count.call(number=number) for number in range(5, 20))
        until(lambda: driver.calls["settle"] >= 12)
        before = len(seen)
        del driver.failing["settle"]
        until(lambda: total(app) == 0)
    # A poll that was under way when the settlements began to fail may have brought some.
    assert before <= 10
    assert Counter(range(20)) == Counter(seen)
    assert 1 == sum("settlements of queue default fail" in line for line in caplog.messages)
    assert 1 == sum(
        line.startswith("settlements of queue default are confirmed again, after ") for line in caplog.messages
    )


def test_a_backend_that_goes_down_and_comes_up(
    app: App, driver: Unreliable, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls are tried again for ever; each change is logged once; then work goes on."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(poller_module, "FIRST_PAUSE", timedelta(milliseconds=20))
    seen: list[int] = []

    @app.task("count")
    def count(number: int) -> None:
        seen.append(number)

    driver.failing["receive"] = BackendUnavailable("no route")
    with running(app):
        until(lambda: driver.calls["receive"] >= 5)
        count.send(number=1)
        del driver.failing["receive"]
        until(lambda: seen == [1])
    assert 1 == sum("can't be received from" in line for line in caplog.messages)
    assert 1 == sum("can be received from again" in line for line in caplog.messages)


@pytest.mark.parametrize("error", [QueueNotFound("there is no queue"), PermissionDenied("not yours")])
def test_a_worker_that_is_to_fail_fast(
    app: App, driver: Unreliable, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with 3 where a queue is missing or forbidden from the start; otherwise it waits for that to pass."""
    monkeypatch.setattr(poller_module, "FIRST_PAUSE", timedelta(milliseconds=20))
    app.task("count")(lambda: None)
    driver.failing["receive"] = error
    assert 3 == Worker(app, WorkerSettings(queues={"default": 1}, fail_fast=True, wait=timedelta(0))).run()
    with running(app):
        until(lambda: driver.calls["receive"] >= 3)


def test_a_worker_that_is_to_fail_fast_waits_for_what_passes(
    app: App, driver: Unreliable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut, say; and a queue that goes missing later is waited for, too."""
    monkeypatch.setattr(poller_module, "FIRST_PAUSE", timedelta(milliseconds=20))
    seen: list[int] = []

    @app.task("count")
    def count(number: int) -> None:
        seen.append(number)

    driver.failing["receive"] = BackendUnavailable("no route")
    with running(app, fail_fast=True):
        until(lambda: driver.calls["receive"] >= 2)
        del driver.failing["receive"]
        count.send(number=1)
        until(lambda: seen == [1])
        before = driver.calls["receive"]
        driver.failing["receive"] = QueueNotFound("there is no queue")
        until(lambda: driver.calls["receive"] >= before + 3)
        del driver.failing["receive"]
        count.send(number=2)
        until(lambda: seen == [1, 2])


def test_polls_that_come_back_early_do_not_spin(app: App, driver: Unreliable) -> None:
    """A backend that returns nothing without having waited (a closed driver) is asked ten times a second at most."""
    app.task("count")(lambda: None)
    driver.driver.close()
    with running(app):
        until(lambda: driver.calls["receive"] >= 1)
        began, before = time.monotonic(), driver.calls["receive"]
        until(lambda: driver.calls["receive"] >= before + 4)
        assert time.monotonic() - began > 0.25


def test_a_pause_is_interrupted_by_stop(app: App, driver: Unreliable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poller that waits half a minute before its next try leaves at once when told to stop."""
    monkeypatch.setattr(poller_module, "FIRST_PAUSE", timedelta(seconds=300))
    monkeypatch.setattr(poller_module, "LONGEST_PAUSE", timedelta(seconds=300))
    app.task("count")(lambda: None)
    driver.failing["receive"] = BackendUnavailable("no route")
    with running(app) as worker:
        until(lambda: driver.calls["receive"] == 1)
        began = time.monotonic()
        assert 0 == worker.stop()
        assert time.monotonic() - began < 60


@pytest.mark.slow
def test_a_poll_that_hangs_is_replaced(
    app: App, driver: Unreliable, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog leaves a stuck poll behind; another poller takes over; what the late one brings is released."""
    monkeypatch.setattr(watchdog_module, "PATIENCE", timedelta(milliseconds=200))
    ran: list[int] = []

    @app.task("count")
    def count(number: int) -> None:
        ran.append(number)

    hang = driver.hanging["receive"] = threading.Event()
    try:
        with running(app, wait=timedelta(milliseconds=50)) as worker:
            until(lambda: driver.calls["receive"] >= 1)
            del driver.hanging["receive"]
            until(lambda: worker.worker.snapshot().pollers_replaced >= 1)
            count.send(number=1)
            until(lambda: ran == [1])
            app.send_many(count.call(number=number) for number in range(2, 50))
            hang.set()
            until(lambda: len(ran) == 49 and total(app) == 0)
    finally:
        hang.set()
    assert Counter(range(1, 50)) == Counter(ran)
    assert any("overdue" in line for line in caplog.messages)


def test_what_an_abandoned_poll_brings_is_released(
    app: App, driver: Unreliable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll that comes back after it was given up gives back what it brings: its slots are another poll's by then."""
    ran: list[bool] = []

    @app.task("count")
    def count() -> None:
        ran.append(True)

    first = driver.hanging["receive"] = threading.Event()
    second = threading.Event()
    try:
        with running(app, wait=timedelta(milliseconds=50)) as worker:
            until(lambda: driver.calls["receive"] == 1)
            driver.hanging["receive"] = second
            monkeypatch.setattr(watchdog_module, "PATIENCE", timedelta(milliseconds=200))
            until(lambda: driver.calls["receive"] >= 2)
            monkeypatch.setattr(watchdog_module, "PATIENCE", timedelta(hours=1))
            count.send()
            first.set()
            until(lambda: driver.calls["settle"] == 1 and worker.worker.snapshot().settling == 0)
            assert 1 == app.queue("default").stats().ready
            assert [] == ran
            second.set()
            until(lambda: ran == [True])
    finally:
        first.set()
        second.set()


def test_what_the_last_poll_brings_is_released(app: App, driver: Unreliable) -> None:
    """A poll that was open at the stop may still be handed messages: they go back at once (semantics 14)."""
    app.task("count")(lambda: None)
    hang = driver.hanging["receive"] = threading.Event()
    try:
        with running(app) as worker:
            until(lambda: driver.calls["receive"] == 1)
            app.send("count")
            worker.worker.stop()
            until(lambda: worker.worker._stopping)
            hang.set()
            assert 0 == worker.join()
    finally:
        hang.set()
    assert 1 == driver.calls["settle"]
    assert 1 == app.queue("default").stats().ready
    assert 0 == worker.worker.snapshot().started


def test_a_poll_that_begins_at_the_stop_is_interrupted_too(app: App, driver: Unreliable) -> None:
    """A poll that was asked for, but has not begun when the worker is stopped, doesn't hold it up for a whole wait."""
    app.task("count")(lambda: None)
    hang = driver.hanging["receive"] = threading.Event()
    with running(app) as worker:
        until(lambda: driver.calls["receive"] == 1)
        worker.worker.stop()
        until(lambda: driver.calls["interrupt"] >= 1)
        began = time.monotonic()
        hang.set()  # only now it reaches the backend, to wait for 20 s
        assert 0 == worker.join()
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "profile", [None, profiles.sqs_like, profiles.service_bus_like, profiles.cloud_tasks_like], ids=shown
)
def test_retries_and_dead_letters_on_any_backend(profile: Callable[[str], Capabilities] | None) -> None:
    """On every profile: two retries, then a dead letter with its reason; a DeadLetter at once; poison, too."""
    app = App("memory://", retry=AT_ONCE, unknown_task_patience=timedelta(0))
    attempts: list[int] = []
    driver = MemoryDriver(capabilities=profile)

    @app.task("broken")
    def broken(context: Context) -> None:
        attempts.append(context.attempt)
        raise ValueError("no good")

    @app.task("hopeless")
    def hopeless() -> None:
        raise DeadLetter("never")

    with app.using(driver):
        broken.send()
        hopeless.send()
        app.send("unheard-of", {}, queue="default")
        worker = burst(app, lease=timedelta(seconds=60))
        dead = [letter.failure for letter in driver.dead_letters("default").peek(limit=10)]
        left = total(app)
    assert [1, 2, 3] == attempts
    reasons = sorted(failure.reason for failure in dead if failure)
    assert ["gave up after 3 attempts: ValueError: no good", "never"] == reasons[:2]
    assert reasons[2].startswith("unknown task 'unheard-of'")
    assert 0 == left
    assert (2, 3) == (worker.snapshot().retried, worker.snapshot().dead_lettered)


@pytest.mark.parametrize("make", [lambda _: MemoryDriver(), SQLiteDriver], ids=["memory", "sqlite"])
def test_what_was_given_back_a_hundred_times_runs(make: Callable[[Path], PullDriver], tmp_path: Path) -> None:
    """It waited for a limit, say, and killed no worker: it isn't dead-lettered as if its workers had died."""
    app = App("memory://", retry=AT_ONCE)
    attempts: list[int] = []

    @app.task("limited")
    def limited(context: Context) -> None:
        attempts.append(context.attempt)

    with closing(make(tmp_path / "q.db")) as driver, app.using(driver):
        limited.send()
        for _ in range(100):
            [delivery] = driver.receive("default", limit=1, wait=timedelta(0), lease=timedelta(minutes=1))
            [result] = driver.settle([Final(lease=delivery.lease, step=Release(counted=False))])
            assert result.error is None
        burst(app)
    assert [1] == attempts


def test_a_copy_that_cant_be_stored_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """If the dead-letter copy isn't stored the original stays, and dies properly once copies work again."""
    driver = Unreliable(MemoryDriver(capabilities=profiles.sqs_like))
    driver.latency = timedelta(milliseconds=3)  # what comes up meanwhile shares the next call
    app = App("memory://", retry=AT_ONCE)

    @app.task("hopeless")
    def hopeless() -> None:
        raise DeadLetter("never")

    with app.using(driver):
        hopeless.send()
        driver.fail_copies_to = "default-dlq"
        burst(app, lease=timedelta(seconds=60))
        stats = app.queue("default").stats()
        dead = driver.dead_letters("default").peek(limit=10)
    assert [] == list(dead)
    assert 1 == (stats.ready or 0) + (stats.delayed or 0) + (stats.in_flight or 0)
    assert any("could not be stored" in line for line in caplog.messages)


def test_many_failures_share_calls() -> None:
    """Copies of many failed tasks are stored in batches, and their acks are, too."""
    driver = Unreliable(MemoryDriver(capabilities=profiles.sqs_like))
    driver.latency = timedelta(milliseconds=10)  # what comes up meanwhile shares the next call
    app = App("memory://", retry=AT_ONCE)

    @app.task("hopeless")
    def hopeless(number: int) -> None:
        raise DeadLetter("never")

    with app.using(driver):
        app.send_many(hopeless.call(number=number) for number in range(200))
        driver.calls.clear()
        burst(app)
        assert 200 == len(driver.dead_letters("default").peek(limit=1000))
    assert driver.calls["send"] < 120
    assert driver.calls["settle"] < 120


def test_async_tasks_run_at_once_on_one_loop(app: App) -> None:
    """As many coroutines as slots are under way at once, in one thread, each in a context of its own."""
    threads: set[str] = set()
    together = 0
    most = 0

    @app.task("sleepy")
    async def sleepy(number: int) -> None:
        import asyncio

        nonlocal together, most
        together += 1
        most = max(most, together)
        threads.add(threading.current_thread().name)
        await asyncio.sleep(0.05)
        together -= 1

    app.send_many(sleepy.call(number=number) for number in range(20))
    worker = burst(app, concurrency=5)
    assert 20 == worker.snapshot().succeeded
    assert {"cloudq-async"} == threads
    assert 5 == most


def test_async_tasks_are_cancelled_at_the_end_of_the_grace(app: App) -> None:
    """A coroutine that doesn't end in time is cancelled, may tidy up, and its message is released."""
    tidied: list[bool] = []

    @app.task("forever")
    async def forever() -> None:
        import asyncio

        try:
            await asyncio.sleep(1000)
        finally:
            tidied.append(True)

    forever.send()
    with running(app, grace=timedelta(0)) as worker:
        until(lambda: worker.worker.snapshot().running == 1)
        until(lambda: [thread for thread in threading.enumerate() if thread.name == "cloudq-async"])
        assert 0 == worker.stop()
    assert 1 == app.queue("default").stats().ready


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_time_limits(app: App, kind: str) -> None:
    """A task that runs longer than its time limit is stopped in its tracks, and fails with TimeLimitExceeded."""

    @app.task("sync", time_limit=timedelta(milliseconds=50), retry=RetryPolicy(stop=stop_after_attempt(1)))
    def endless() -> None:
        while True:
            time.monotonic()

    @app.task("async", time_limit=timedelta(milliseconds=50), retry=RetryPolicy(stop=stop_after_attempt(1)))
    async def aendless() -> None:
        import asyncio

        await asyncio.sleep(1000)

    app.send(kind)
    burst(app)
    [letter] = app.driver().dead_letters("default").peek(limit=10)
    assert letter.failure is not None
    assert "cloudq.errors.TimeLimitExceeded" == letter.failure.error_type


def test_explicit_retry(app: App) -> None:
    """Retry(delay=0) runs the task again, with the next attempt."""
    attempts: list[int] = []

    @app.task("again")
    def again(context: Context) -> None:
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise Retry("not yet", delay=timedelta(0))

    again.send()
    burst(app)
    assert [1, 2, 3] == attempts


def test_middleware_is_around_each_task(driver: Unreliable) -> None:
    """The app's middleware runs around tasks in the worker."""
    seen: list[str] = []

    def noting(context: Context) -> Generator[None, Outcome, Outcome]:
        seen.append(f"before {context.message.task}")
        outcome = yield
        seen.append(f"after {isinstance(outcome, Acked)}")
        return outcome

    app = App("memory://", middleware=[noting])
    app.task("count")(lambda: None)
    with app.using(driver):
        app.send("count")
        burst(app)
    assert ["before count", "after True"] == seen


def test_context_variables_do_not_leak_between_tasks(app: App) -> None:
    """What one task leaves in a context variable the next one doesn't see."""
    variable = contextvars.ContextVar("variable", default="clean")
    seen: list[str] = []

    @app.task("stain")
    def stain() -> None:
        seen.append(variable.get())
        variable.set("dirty")

    app.send_many(stain.call() for _ in range(3))
    burst(app, concurrency=1)
    assert ["clean"] * 3 == seen


def test_weights_decide_who_is_served(app: App, gate: Gate) -> None:
    """With one slot and weights 3 and 1, three of four starts are of the heavier queue."""
    order: list[str] = []

    @app.task("a", queue="a")
    def a() -> None:
        order.append("a")

    @app.task("b", queue="b")
    def b() -> None:
        order.append("b")

    app.tasks["wait"].send(number=1)
    with running(app, concurrency=1, prefetch=20, queues={"default": 1, "a": 3, "b": 1}) as worker:
        until(lambda: gate.started)
        app.send_many([*(a.call() for _ in range(12)), *(b.call() for _ in range(12))])
        until(lambda: worker.worker.snapshot().waiting == 24)
        gate.open.set()
        until(lambda: len(order) == 24)
    assert {"a": 12, "b": 4} == dict(Counter(order[:16]))


def test_on_event_hears_of_each_task(app: App) -> None:
    """A program is told of every finished task; its slips don't hurt the worker."""
    heard: list[str] = []

    def on_event(event: object) -> None:
        heard.append(type(event).__name__)
        raise RuntimeError("a slip in a progress display")

    app.task("count")(lambda: None)
    app.send("count")
    app.send("count")
    assert 0 == Worker(app, WorkerSettings(burst=True), on_event=on_event).run()
    assert ["Finished"] * 2 == heard


def test_log_levels_by_outcome(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """Done is debug, retried a warning, dead-lettered an error; each line carries the fields of its delivery."""
    caplog.set_level(logging.DEBUG)

    @app.task("fails")
    def fails(context: Context) -> None:
        if context.attempt == 1:
            raise ValueError
        if context.attempt == 2:
            raise DeadLetter("enough")

    app.task("works")(lambda: None)
    sent = app.send("fails")
    burst(app)
    app.send("works")
    burst(app)
    lines = [record for record in caplog.records if getattr(record, "cloudq_outcome", None)]
    assert ["WARNING", "ERROR", "DEBUG"] == [line.levelname for line in lines]
    assert [("fails", sent.id, 1), ("fails", sent.id, 2)] == [
        (vars(line)["cloudq_task"], vars(line)["cloudq_id"], vars(line)["cloudq_attempt"]) for line in lines[:2]
    ]
    assert not any("by an earlier run" in line for line in caplog.messages)  # which is said of what didn't run


def test_a_queue_is_leased_as_long_as_its_tasks_want(app: App) -> None:
    """A task's own lease decides for its queue; the longest wins; the worker's own stands for those without."""
    app.task("a", queue="a", lease=timedelta(minutes=10))(lambda: None)
    app.task("b", queue="b", lease=timedelta(seconds=30))(lambda: None)
    app.task("c", queue="c", lease=timedelta(seconds=30))(lambda: None)
    app.task("d", queue="c")(lambda: None)
    leases = Worker(app).leases
    assert {
        "a": timedelta(minutes=10),
        "b": timedelta(seconds=30),
        "c": timedelta(seconds=120),
    } == dict(leases)


class Pushing:
    """A backend that can't be polled."""

    def capabilities(self, queue: str) -> Capabilities:
        return Capabilities(max_batch=1, max_body=1)


def test_refused_at_the_start(app: App) -> None:
    """What can't work is refused before anything is polled: nothing to serve, a push backend, too long a lease."""
    with pytest.raises(ConfigurationError, match="no task is declared"):
        Worker(app)
    app.task("count")(lambda: None)
    with app.using(Pushing()), pytest.raises(ConfigurationError, match="pushes"):  # type: ignore[arg-type]  # that's it
        Worker(app)
    with app.using(MemoryDriver(capabilities=profiles.sqs_like)), pytest.raises(ConfigurationError, match="at most"):
        Worker(app, WorkerSettings(lease=timedelta(hours=13)))
    with pytest.raises(ConfigurationError, match="lent to it"):
        Worker(app, WorkerSettings(processes=1))


def test_child_processes_need_a_backend_that_they_can_open() -> None:
    """With processes, a backend that others don't see is refused, and a lent driver whatever the app's URL says."""
    app = App("memory://")
    app.task("count")(lambda: None)
    with pytest.raises(ConfigurationError, match="one process"):
        Worker(app, WorkerSettings(processes=2))


@pytest.mark.slow
def test_nothing_is_left_behind(app: App) -> None:
    """After run every thread of the worker ends; each has a name that says whose it is."""
    before = set(threading.enumerate())
    app.task("count")(lambda: None)
    app.send("count")
    worker = Running(app)
    until(lambda: worker.worker.snapshot().succeeded == 1)
    names = {thread.name for thread in set(threading.enumerate()) - before} - {"test-worker"}
    assert {"cloudq-leases", "cloudq-poller-default", "cloudq-task-1"} <= names
    assert all(name.startswith("cloudq-") for name in names)
    worker.stop()
    until(lambda: not set(threading.enumerate()) - before, what="all threads have ended")


# ── several polls ────────────────────────────────────────────────────────────────────────────────────────


DEFAULT = {"default": 1}


class Distant(Unreliable):
    """A backend behind a network: ten messages a receive, of which many may be under way."""

    def __init__(self) -> None:
        super().__init__(MemoryDriver(capabilities=profiles.sqs_like))
        self.latency = timedelta(milliseconds=10)
        self.waits: list[timedelta] = []
        self.most = 0
        self._open = 0
        self._lock = threading.Lock()

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        with self._lock:
            self.waits.append(wait)
            self._open += 1
            self.most = max(self.most, self._open)
        try:
            return super().receive(queue, limit=limit, wait=wait, lease=lease)
        finally:
            with self._lock:
                self._open -= 1


@pytest.fixture
def distant(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[App, Distant, Counter[int]]]:
    """An app on such a backend, and how often each number was run. More polls are earned sooner than in earnest."""
    monkeypatch.setattr(open_polls_module, "EARNED_BY", 1)
    app, driver, ran = App("memory://"), Distant(), Counter[int]()

    @app.task("count")
    def count(number: int) -> None:
        ran[number] += 1

    @app.task("in_order", queue="o.fifo", ordering_key="{number}")
    def in_order(number: int) -> None:
        ran[number] += 1

    with app.using(driver):
        yield app, driver, ran


def send(app: App, task: str, count: int) -> None:
    """So many of the task, with numbers of their own."""
    app.send_many(app.tasks[task].call(number=number) for number in range(count))


def test_a_backlog_takes_several_polls(distant: tuple[App, Distant, Counter[int]]) -> None:
    """As many as the setting says; each message is run once, and ten come by a call."""
    app, driver, ran = distant
    send(app, "count", 900)
    driver.calls.clear()
    with running(app, queues=DEFAULT, wait=timedelta(seconds=2), polls=4):
        until(lambda: ran.total() == 900, within=60)
        until(lambda: not app.queue("default").stats().in_flight)
    assert 4 == driver.most
    assert set(range(900)) == set(ran)
    assert 1 == max(ran.values())
    assert 90 <= driver.calls["receive"] <= 110, "the rest found the queue empty"


def test_an_idle_queue_costs_the_calls_of_one_poll(distant: tuple[App, Distant, Counter[int]]) -> None:
    """Also after a backlog: no poll but the own one follows, which waits as long as it was told to."""
    app, driver, ran = distant
    send(app, "count", 700)
    wait = timedelta(milliseconds=100)
    with running(app, queues=DEFAULT, wait=wait):
        until(lambda: ran.total() == 700, within=60)
        until(lambda: [wait] * 2 == driver.waits[-2:], what="the queue was found empty")
        assert driver.most > 1
        driver.waits.clear()
        until(lambda: len(driver.waits) >= 5)
        assert {wait} == set(driver.waits)
        assert driver._open <= 1


@pytest.mark.parametrize(("polls", "flights"), [(1, 4), (16, 16)])
def test_as_many_batches_settle_at_once_as_there_may_be_polls(app: App, polls: int, flights: int) -> None:
    """What several polls bring takes as many calls to settle; four may always be under way."""
    app.task("count")(lambda: None)
    worker = Worker(app, WorkerSettings(polls=polls))
    assert flights == worker._settler._finals.way("default").finals._max_flights


def test_an_ordered_queue_is_polled_by_one(distant: tuple[App, Distant, Counter[int]]) -> None:
    """However long its backlog: what a second poll brought could begin before what the first is about to bring."""
    app, driver, ran = distant
    send(app, "in_order", 60)
    with running(app, queues={"o.fifo": 1}, wait=timedelta(milliseconds=100)):
        until(lambda: ran.total() == 60, within=60)
    assert 1 == driver.most


def test_a_burst_of_several_polls_leaves_nothing(distant: tuple[App, Distant, Counter[int]]) -> None:
    """It ends when all has been run, with no poll under way, whose messages would be hidden for a whole lease."""
    app, driver, ran = distant
    send(app, "count", 700)
    burst(app, queues=DEFAULT)
    assert driver.most > 1
    assert (0, 700, 1) == (driver._open, ran.total(), max(ran.values()))
    stats = app.queue("default").stats()
    assert (0, 0) == (stats.ready, stats.in_flight)


def test_max_tasks_is_exact_with_several_polls(distant: tuple[App, Distant, Counter[int]]) -> None:
    """So many are started, and what else came goes back."""
    app, driver, ran = distant
    send(app, "count", 700)
    with running(app, queues=DEFAULT, wait=timedelta(seconds=1), max_tasks=507) as worker:
        assert 0 == worker.join()
    assert driver.most > 1
    assert (507, 507) == (ran.total(), worker.worker.snapshot().started)
    stats = app.queue("default").stats()
    assert (193, 0) == (stats.ready, stats.in_flight)


def test_what_several_polls_bring_after_a_stop_goes_back(distant: tuple[App, Distant, Counter[int]]) -> None:
    """None of those under way is cut, and the worker ends when the last one has come back."""
    app, driver, ran = distant
    go_on = driver.hanging["receive"] = HangsOnce(lambda: driver.most == 8)
    send(app, "count", 1500)
    with running(app, queues=DEFAULT, wait=timedelta(seconds=1)) as worker:
        until(lambda: driver._open == 8)
        worker.worker.stop()
        until(lambda: worker.worker._stopping)
        go_on.set()
        began = time.monotonic()
        assert 0 == worker.join()
        assert time.monotonic() - began < 20
    assert 0 == driver.calls["interrupt"]
    stats = app.queue("default").stats()
    assert (1500 - ran.total(), 0) == (stats.ready, stats.in_flight)
    assert 1 == max(ran.values())


def test_a_transaction_is_committed_once(app: App, driver: Unreliable, tmp_path: Path) -> None:
    """Though the worker hands the message over again, as its settlement was lost."""
    ledger = Ledger(tmp_path)
    ledger.declare(app)
    app.send("book", {"n": 1})
    [outgoing] = driver.driver.sent
    assert 0 == Worker(app, WorkerSettings(burst=True)).run()
    driver.driver.send([outgoing])
    assert 0 == Worker(app, WorkerSettings(burst=True)).run()
    assert 2 == len(driver.driver.sent)
    assert ["1"] == ledger.entries()


@pytest.mark.parametrize("is_async", [False, True])
def test_an_observer_is_told_of_each_run_from_its_start_to_its_end(app: App, is_async: bool) -> None:
    """Once each, in the words of the outcomes; of what is due now, with hardly any age."""
    app.observe(told := Told())

    @app.task("plain")
    def plain() -> None: ...

    @app.task("coroutine")
    async def coroutine() -> None: ...

    @app.task("fails", retry=RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(0)))
    def fails() -> None:
        raise ValueError("no")

    name = "coroutine" if is_async else "plain"
    app.send(name)
    burst(app)
    app.send("fails")
    burst(app)
    began, again = ("started", "fails"), ("ended", "fails", "retried")
    assert [
        *[("sent", name, "stored"), ("started", name), ("ended", name, "succeeded"), ("sent", "fails", "stored")],
        *[began, again, began, ("ended", "fails", "dead_lettered")],
    ] == told.log
    assert all(age is not None and age < timedelta(minutes=1) for age in told.ages)


def test_what_a_shutdown_takes_from_its_handler_is_no_longer_in_flight(app: App, gate: Gate) -> None:
    """It is told as released, once, when its handler comes back."""
    app.observe(told := Told())
    app.send("wait", {"number": 1})
    with running(app, grace=timedelta(0)) as worker:
        until(lambda: gate.started)
        worker.stop(now=True)
    assert 1 == told.in_flight
    gate.open.set()
    until(lambda: told.in_flight == 0)
    assert ("ended", "wait", "released") == told.log[-1]
