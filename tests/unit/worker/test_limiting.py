"""Workers under limits: whole ones in this process, and four beside each other on one clock."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tenacity import stop_after_attempt

from cloudq import App, AtOnce, Breaker, Rate, RetryPolicy
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.sqs import limits as sqs
from cloudq.flow.seats import StoredRegister
from cloudq.running.held import HeldLease
from cloudq.running.limits import limits_of
from cloudq.running.runs import Runs
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock
from cloudq.worker.gate import Gate
from cloudq.worker.intake import Intake
from cloudq.worker.limiting import Limiting, limiting_of
from cloudq.worker.open_polls import Reach
from cloudq.worker.service import CALLS_AT_ONCE, Worker
from cloudq.worker.settings import WorkerSettings
from tests.unit.worker.fakes import delivery, running, until
from tests.unit.worker.intakes import make_intake

SECOND = timedelta(seconds=1)
MS = timedelta(milliseconds=1)
LEASE = timedelta(seconds=120)
ZERO = timedelta(0)  # a clock that is moved by it ends the waits that began after a step, for a look before it


# ── whole workers ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def app(clock: FakeClock) -> Iterator[App]:
    app = App("memory://")
    with app.using(MemoryDriver(clock=clock), clock=clock, store=MemoryStore(clock)):
        yield app
    clock.advance(timedelta(minutes=1))  # threads that wait for more to send end


def counted(app: App, *, name: str = "t", **options: Any) -> list[int]:
    """A task that notes its runs."""
    seen: list[int] = []

    @app.task(name, **options)
    def task(n: int) -> None:
        seen.append(n)

    return seen


def send(app: App, count: int, name: str = "t") -> None:
    app.send_many(app.tasks[name].call(n=n) for n in range(count))


@pytest.mark.parametrize("rate", ["1/s", Rate("1/s", per_worker=True), Rate("1/s", key="{n}-{n}")])
def test_a_task_starts_no_faster_than_its_rate(app: App, clock: FakeClock, rate: str | Rate) -> None:
    """Of each key, of each worker, or of all; and it uses no attempt to wait."""
    seen = counted(app, rate=rate)
    app.send_many(app.tasks["t"].call(n=7) for _ in range(3))
    with running(app) as work:
        until(lambda: len(seen) == 1)
        for expected in (2, 3):
            until(lambda: work.worker.snapshot().waiting or app.queue("default").stats().ready == 0)
            clock.advance(SECOND / 2)
            clock.until_waiting()
            assert len(seen) == expected - 1
            clock.advance(SECOND / 2)
            until(lambda: len(seen) == expected or clock.advance(ZERO))  # noqa: B023 - called before the next round
        until(lambda: work.worker.snapshot().succeeded == 3)
    assert work.worker.snapshot().retried == 0


def test_other_tasks_of_the_queue_start_meanwhile(app: App) -> None:
    """A limited one holds up nobody else that is in hand."""
    slow = counted(app, name="slow", rate="1/h")
    fast = counted(app, name="fast")
    send(app, 3, "slow")
    send(app, 3, "fast")
    with running(app):
        until(lambda: len(fast) == 3 and len(slow) == 1)


def test_what_would_have_to_wait_for_too_long_comes_back_later(app: App, clock: FakeClock) -> None:
    """One after the other, uncounted, where other tasks of its queue are polled for."""
    seen = counted(app, rate="1/h")
    counted(app, name="other")
    send(app, 3)
    queue = app.queue("default")
    with running(app):
        # And the first one is settled: an hour is more than its lease, and it would take the turn of another.
        until(lambda: (stats := queue.stats()).delayed == 2 and not stats.in_flight and seen)
        assert len(seen) == 1
        clock.advance(timedelta(hours=1))
        # A poll may have looked before that hour, and begin to wait after it: its wait has to end.
        until(lambda: clock.advance(ZERO) or len(seen) == 2)
    assert queue.stats().delayed == 1


def test_what_waits_in_hand_is_anybodys_at_once_after_a_shutdown(app: App) -> None:
    """Nothing of it is counted."""
    seen = counted(app, rate="1/s")
    send(app, 3)
    with running(app) as work:
        until(lambda: len(seen) == 1 and work.worker.snapshot().waiting == 2 == app.queue("default").stats().in_flight)
    assert app.queue("default").stats().ready == 2
    driver = app.driver()
    assert isinstance(driver, MemoryDriver)
    assert [1, 1] == [one.attempt for one in driver.receive("default", limit=10, wait=ZERO, lease=LEASE)]


@pytest.mark.parametrize("at_once", [2, AtOnce(2, per_worker=True), AtOnce(2, key="{n}-{n}")])
def test_no_more_run_at_once_than_is_said(app: App, at_once: int | AtOnce) -> None:
    """What waits starts when one has ended."""
    release = threading.Semaphore(0)
    running_now: list[int] = []
    most: list[int] = []

    @app.task("t", at_once=at_once)
    def task(n: int) -> None:
        running_now.append(n)
        most.append(len(running_now))
        assert release.acquire(timeout=20)
        running_now.pop()

    app.send_many(task.call(n=7) for _ in range(5))
    with running(app) as work:
        until(lambda: len(running_now) == 2)
        for _ in range(5):
            release.release()
        until(lambda: work.worker.snapshot().succeeded == 5)
    assert max(most) == 2


def test_a_broken_task_is_left_in_its_queue_for_a_while(app: App, clock: FakeClock) -> None:
    """Then one run tries; what waited used no attempt."""
    seen: list[int] = []
    broken = threading.Event()
    broken.set()

    @app.task(
        "t", breaker=Breaker(failures=3, pause=timedelta(minutes=1)), retry=RetryPolicy(stop=stop_after_attempt(1))
    )
    def task(n: int) -> None:
        seen.append(n)
        if broken.is_set():
            raise ValueError("down")

    app.send_many(task.call(n=n) for n in range(12))
    with running(app, concurrency=1) as work:
        until(lambda: work.worker.snapshot().dead_lettered == 3)
        broken.clear()
        clock.advance(timedelta(seconds=59))
        assert len(seen) == 3
        clock.advance(timedelta(seconds=1))
        until(lambda: work.worker.snapshot().succeeded == 9 or clock.advance(ZERO))
    assert len(seen) == 12


def test_a_worker_that_stops_gives_its_seats_back(app: App) -> None:
    """Others needn't wait for its lease to end."""
    seen = counted(app, at_once=3)
    send(app, 3)
    with running(app):
        until(lambda: len(seen) == 3)
    store = app.runtime.store
    assert store is not None
    assert StoredRegister(lambda: store.notes, "task t", 3).set(3) == 3


def test_a_store_that_does_not_answer_keeps_no_lease_from_being_renewed(
    app: App, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More keys are asked for than there are threads for it; what runs meanwhile is kept."""
    store = app.runtime.store
    assert store is not None
    answer, end, asked = threading.Event(), threading.Event(), Counter[str]()

    def silent(_: str) -> None:
        asked["store"] += 1
        answer.wait(60)

    def renewed(*args: Any) -> Any:
        asked["renewed"] += 1
        return extend(*args)

    extend = app.driver().extend  # type: ignore[attr-defined]
    monkeypatch.setattr(store.notes, "read", silent)
    monkeypatch.setattr(app.driver(), "extend", renewed)
    counted(app, name="limited", rate=Rate("1/s", key="{n}"))

    @app.task("long")
    def long() -> None:
        end.wait(60)

    long.send()
    send(app, 2 * CALLS_AT_ONCE, "limited")
    with running(app) as work:
        try:
            until(lambda: work.worker.snapshot().running == 1 and asked["store"] == CALLS_AT_ONCE)
            clock.advance(LEASE / 2)
            until(lambda: asked["renewed"], within=20)  # less than the clock's patience with the threads that wait
        finally:
            answer.set()
            end.set()
    assert work.worker.snapshot().lease_lost == 0


def gated(app: App, clock: FakeClock, queue: str, *, believed: bool = True) -> Gate:
    """The gate of a worker that serves a queue of SQS."""
    return limited(app, clock, queue, believed=believed, run=lambda _: False)._gate


def limited(
    app: App, clock: FakeClock, queue: str, *, run: Callable[[Callable[[], None]], bool], believed: bool = True
) -> Limiting:
    """The limits of a worker that serves a queue of SQS."""
    driver: Any = SimpleNamespace(capabilities=sqs.capabilities)
    intake = make_intake(clock, {queue: 1})
    limiting = limiting_of(
        app,
        intake,
        driver,
        {queue: LEASE},
        believed=lambda _: believed,
        give_back=lambda *_: None,
        started=lambda: None,
        run=run,
    )
    assert limiting is not None
    assert limiting._gate is intake.gate
    return limiting


def test_a_worker_that_stops_waits_for_its_seats_for_so_long_and_no_longer(app: App, clock: FakeClock) -> None:
    """A store that doesn't answer keeps it from ending for as long as it is told; one that does for no time."""
    counted(app, at_once=AtOnce(1, key="{n}"))
    jobs: list[Callable[[], None]] = []
    limiting = limited(app, clock, "default", run=lambda job: not jobs.append(job))
    for late in (False, True):
        stopping = threading.Thread(target=limiting.stop, args=(3 * SECOND,))
        stopping.start()
        clock.until_waiting()
        if late:
            clock.advance(3 * SECOND)
        else:
            jobs.pop()()
        stopping.join(20)  # less than the clock's patience
        assert not stopping.is_alive()


@pytest.mark.parametrize("believed", [True, False])
def test_what_is_not_signed_takes_no_turn(app: App, clock: FakeClock, believed: bool) -> None:
    """Its run is refused: those who can write to the queue can't use up the rate."""
    counted(app, rate="1/s")
    held = HeldLease(delivery(clock, task="t", queue="default"), clock.elapsed(), extendable=True)
    gated(app, clock, "default", believed=believed).know([held])
    assert bool(held.limits) is believed


@pytest.mark.parametrize(("queue", "keeps"), [("q", False), ("q.fifo", True)])
def test_where_a_release_is_counted_and_a_copy_loses_its_place_it_stays(
    app: App, clock: FakeClock, queue: str, keeps: bool
) -> None:
    """In hand, on a FIFO queue of SQS, however long its turn is away."""
    counted(app, queue=queue, rate="1/h")
    assert gated(app, clock, queue)._keeps(queue) is keeps


def test_a_worker_without_limits_has_no_gate(app: App) -> None:
    """So that what nobody uses costs nothing."""
    counted(app)
    worker = Worker(app, WorkerSettings())
    assert worker._limiting is None
    assert worker._intake.gate is None


# ── four workers beside each other ───────────────────────────────────────────────────────────────────────────


class Backlog:
    """A queue that always has more; what a killed worker had in hand is handed over again once its lease is over."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.numbers = iter(range(10**9))
        self.again: deque[tuple[timedelta, str]] = deque()
        self.receives = 0
        self.given_back = 0

    def receive(self, count: int) -> list[HeldLease]:
        self.receives += 1
        return [self._held() for _ in range(min(count, 10))]

    def _held(self) -> HeldLease:
        now = self.clock.elapsed()
        again = bool(self.again) and self.again[0][0] <= now
        name = self.again.popleft()[1] if again else str(next(self.numbers))
        delivery = Delivery.of(
            wire.encode(Message(id=name, task="t", queue="default")),
            native_id=name,
            runs=1,
            deliveries=1 + again,
            lease=Lease(queue="default", receipt=name, ends=now + LEASE, expires_at=self.clock.now() + LEASE),
        )
        return HeldLease(delivery, now, extendable=True)


class Beside:
    """One of several workers: what its threads do, done in turns. Each poll is under way for 30 ms."""

    def __init__(self, app: App, clock: FakeClock, backlog: Backlog) -> None:
        self.clock = clock
        self.backlog = backlog
        self.started: list[timedelta] = []
        self.names: list[str] = []
        self.longest = ZERO
        self.poll: Any = None
        self.intake = Intake(
            {"default": 1},
            leases={"default": LEASE},
            reach={"default": Reach(each=10)},
            slots=10,
            runs=Runs(clock),
            clock=clock,
        )
        limits = limits_of(app, ["default"])
        assert limits is not None
        self.gate = self.intake.limit(
            lambda books: Gate(
                books,
                limits_of=lambda one: limits.of(one.delivery),
                queue_limits=lambda queue: limits.of_queue(queue, app.runtime.handlers.values()),
                keeps=lambda _: False,
                clock=clock,
            )
        )

    def turn(self) -> None:
        self._poll()
        now = self.clock.elapsed()
        with self.gate.lock:
            self.backlog.given_back += len(self.gate.take_overdue(now))
            self.gate.release(now)
            asks = self.gate.asks(now)
        for limit, count in asks:
            self.gate.ask(limit, count)
        while (held := self.intake.take(wait=False)) is not None:
            self.started.append(now)
            self.names.append(held.delivery.id)
            self.longest = max(self.longest, now - held.since)
            self.gate.leave(held, failed=False)
            self.intake.end(held, succeeded=True)
            self.intake.note_settled("default")

    def _poll(self) -> None:
        now = self.clock.elapsed()
        if self.poll is None:
            with self.gate.lock:
                count = self.intake._polls.wanted(self.intake._books.queues["default"], now)
            if count:
                self.poll = self.intake.next_poll("default")
        elif now - self.poll.began >= 30 * MS:
            self.intake.offer(self.poll, self.backlog.receive(self.poll.limit))
            self.poll = None

    def die(self) -> None:
        in_hand = self.intake.close()
        ends = self.clock.elapsed() + LEASE
        self.backlog.again.extend((ends, one.delivery.id) for one in in_hand)


def most_in(span: timedelta, starts: list[timedelta]) -> int:
    """The most starts in any span of that length."""
    return max(place - bisect_left(starts, at - span + MS / 1000) + 1 for place, at in enumerate(starts))


@pytest.mark.parametrize("kills", [(), (20, 35)], ids=["undisturbed", "two are killed"])
def test_four_workers_start_fifty_a_second_together(clock: FakeClock, kills: tuple[int, ...]) -> None:
    """In 60 s: 3,000 within three percent, and no more than 60 in any second; at most half a call more for each.

    What waits isn't given back, so it uses no attempt; and it waits for seconds, not for its lease. Where two workers
    are killed the rate stays: no more is lost than the turns that they had asked for.
    """
    app = App("memory://")
    counted(app, rate="50/s")
    store = MemoryStore(clock)
    asked = Counter[str]()
    for call in ("read", "write"):
        counting(store.notes, call, asked)
    with app.using(MemoryDriver(clock=clock), clock=clock, store=store):
        backlog = Backlog(clock)
        alive = [Beside(app, clock, backlog) for _ in range(4)]
        everybody = list(alive)
        for step in range(60_000 // 5):
            if step * 5 in [1000 * kill for kill in kills]:
                alive.pop(0).die()
                alive.append(Beside(app, clock, backlog))
                everybody.append(alive[-1])
            for worker in alive:
                worker.turn()
            clock.advance(5 * MS)
    starts = sorted(start for worker in everybody for start in worker.started)
    assert 2_910 <= len(starts) <= 3_090
    assert most_in(SECOND, starts) <= 60
    assert backlog.given_back == 0
    assert max(worker.longest for worker in everybody) < 3 * SECOND
    assert len({name for worker in everybody for name in worker.names}) == len(starts)
    print(f"\n{len(starts)} starts, most in a second {most_in(SECOND, starts)}, {backlog.receives} receives, {asked}")
    assert backlog.receives < 0.5 * len(starts)
    assert asked["read"] + asked["write"] < 0.5 * len(starts)


def counting(notes: Any, name: str, calls: Counter[str]) -> None:
    call = getattr(notes, name)

    def counted_call(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return call(*args, **kwargs)

    setattr(notes, name, counted_call)
