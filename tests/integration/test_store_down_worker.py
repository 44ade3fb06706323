"""A store that is down for half an hour costs a worker's messages nothing, and its queue hardly a call.

Service Bus without sessions is its emulator, which goes by the same fake clock. The queues of Amazon SQS, whose
stand-ins go by a clock of their own, and sessions, which the driver awaits in real time, are the memory driver's, with
what their drivers say that they can do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.app import App
from cloudq.core.driver import Capabilities, PullDriver
from cloudq.core.snooze_ways import Place, worker_place
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.service_bus import limits as service_bus
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.drivers.sqs import limits as sqs
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.running.lease_life import State
from cloudq.testing.clock import FakeClock
from tests.integration.store_outages import OUTAGE, TROUBLES, Ran, Recorder, Troubled, busiest, declare, slow
from tests.unit.worker.fakes import Running, running, until

STEP = timedelta(seconds=15)
IN_FLIGHT = {State.EXTENDING, State.SETTLING_EXTENDING, State.RELEASE_WAITS}
MESSAGES = 20


def sessions_like(queue: str) -> Capabilities:
    return service_bus.capabilities(queue, max_message=256 * 1024, dedup_window=timedelta(minutes=10))


BACKENDS = {
    "memory": ("q", Place.WORKER_DELAYED),
    "memory, ordered": ("q.fifo", Place.WORKER_DELAYED),
    "sqlite": ("q", Place.WORKER_DELAYED),
    "sqlite, ordered": ("q.fifo", Place.WORKER_DELAYED),
    "sqs": ("q", Place.WORKER_COUNTED),
    "sqs, ordered": ("q.fifo", Place.WORKER_COUNTED_ORDER),
    "service bus": ("q", Place.WORKER_BARE),
    "service bus, sessions": ("q.fifo", Place.WORKER_KEPT),
}
LIKE = {"sqs": sqs.capabilities, "sqs, ordered": sqs.capabilities, "service bus, sessions": sessions_like}
# Of the emulator's queue: the longest that Service Bus has.
LOCK = timedelta(minutes=5)


class Bench:
    """A worker, its queue, and the store that its keys are claimed in."""

    def __init__(self, kind: str, folder: Path, stack: ExitStack) -> None:
        self.queue, self.place = BACKENDS[kind]
        self.clock = FakeClock()
        self.emulator: ServiceBusEmulator | None = None
        driver: PullDriver
        if kind == "service bus":
            self.emulator = stack.enter_context(ServiceBusEmulator(clock=self.clock))
            driver = stack.enter_context(closing(self.on(self.emulator)))
        elif kind.startswith("sqlite"):
            driver = stack.enter_context(closing(SQLiteDriver(folder / "q.db", clock=self.clock)))
        elif kind in LIKE:
            driver = MemoryDriver(clock=self.clock, capabilities=LIKE[kind])
        else:
            driver = MemoryDriver(clock=self.clock)
        self.driver = Recorder(driver, self.clock)
        self.store = Troubled(self.clock)
        self.app = App("memory://")
        self.ran: Ran = []
        self.work = declare(self.app, self.ran, queue=self.queue)

    def on(self, emulator: ServiceBusEmulator) -> ServiceBusDriver:
        """A driver of the emulator, which has the queue."""
        emulator.create_queue(
            self.queue,
            QueueSettings(lock_duration=LOCK, requires_duplicate_detection=True, max_delivery_count=1000),
        )
        return ServiceBusDriver(
            "127.0.0.1",
            connection_string=emulator.connection_string,
            admin_endpoint=emulator.admin_url,
            clock=self.clock,
        )

    def send(self, count: int = MESSAGES) -> None:
        ordered = self.queue.endswith(".fifo")
        for number in range(count):
            options = {"ordering_key": f"group-{number}"} if ordered else {}
            self.app.send("work", {"key": f"key-{number}"}, **options)  # type: ignore[arg-type]  # one of its options

    def advance(self, worker: Running, span: timedelta) -> None:
        """Lets time pass, step by step, and the worker do what it does then."""
        ends = self.clock.elapsed() + span
        while self.clock.elapsed() < ends:
            self.clock.advance(min(STEP, span))
            if self.emulator is not None:
                self.emulator.tick()
            worker.worker._keeper.tick(self.clock.elapsed())
            worker.worker._look_after()
            self.settle_down(worker)

    @staticmethod
    def settle_down(worker: Running) -> None:
        """Waits until nothing runs, waits for a slot, is being settled or extended, and nobody asks for the store."""
        books, snoozes, keeper = worker.worker._intake._books, worker.worker._snoozes, worker.worker._keeper

        def idle() -> bool:
            with keeper.changed:
                extending = any(held.life.state in IN_FLIGHT for held in keeper._held)
            busy = extending or books.running or books.waiting or books.settling
            return not busy and snoozes._asking_since is None

        until(idle)

    def dead(self) -> int:
        return sum(1 for _ in self.driver.dead_letters(self.queue).peek(limit=100))


@pytest.fixture(params=BACKENDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        bench = Bench(request.param, tmp_path, stack)
        with bench.app.using(bench.driver, clock=bench.clock, store=bench.store):
            yield bench


def test_the_places_are_those_of_the_table(bench: Bench) -> None:
    """So that the rest of this file is about them."""
    assert worker_place(bench.driver.capabilities(bench.queue)) is bench.place


@pytest.mark.parametrize("trouble", TROUBLES)
def test_half_an_hour_without_the_store(bench: Bench, trouble: str) -> None:
    """No attempt is used, nothing is dead-lettered, and no message takes more than one call in five minutes.

    Which found the store down was received before. Then each runs once, in its first attempt.
    """
    bench.send()
    bench.store.trouble = TROUBLES[trouble](bench.clock)
    with running(bench.app, queues={bench.queue: 1}, concurrency=4, lease=timedelta(minutes=2)) as worker:
        until(lambda: worker.worker.snapshot().snoozed)
        until(lambda: not worker.worker._intake.polled())  # one may have been under way
        bench.settle_down(worker)
        found = len(bench.driver.made)
        bench.advance(worker, OUTAGE)
        outage = bench.driver.made[found:]
        assert not bench.ran
        assert not bench.dead()
        of_each = Counter(id_ for call in outage for id_ in call.messages)
        assert all(busiest([call for call in outage if id_ in call.messages]) <= 1 for id_ in of_each), outage
        assert busiest(outage) <= MESSAGES
        assert not [call for call in outage if call.method == "receive"]
        bench.store.trouble = None

        def all_ran() -> bool:
            bench.advance(worker, STEP / 5)
            return len(bench.ran) >= MESSAGES

        until(all_ran, within=60)
    assert Counter({f"key-{number}": 1 for number in range(MESSAGES)}) == Counter(key for key, _ in bench.ran)
    assert {attempt for _, attempt in bench.ran} == {1}
    assert not bench.dead()


def test_a_slow_store_is_no_outage(bench: Bench) -> None:
    """Each run takes that much longer; nothing waits."""
    bench.send()
    bench.store.trouble = slow(bench.clock)
    # One at a time: each call of the store moves the clock of all by 2 s. Thirty calls of other threads within a claim
    # would make it a minute long, which is CLAIM_LIMIT, and the store would be taken to be down.
    with running(bench.app, queues={bench.queue: 1}, concurrency=1, lease=timedelta(minutes=10)) as worker:
        until(lambda: len(bench.ran) >= MESSAGES, within=60)
        bench.settle_down(worker)
        assert not worker.worker.snapshot().snoozed
    assert {attempt for _, attempt in bench.ran} == {1}
    assert not bench.dead()


def test_what_is_in_hand_goes_back_at_a_shutdown_in_an_outage(bench: Bench) -> None:
    """Soon, and uncounted where the queue can: another worker runs it once the store is back."""
    bench.send()
    bench.store.trouble = TROUBLES["down"](bench.clock)
    with running(bench.app, queues={bench.queue: 1}, concurrency=4, lease=timedelta(minutes=2)) as worker:
        until(lambda: worker.worker.snapshot().snoozed)
        bench.settle_down(worker)
        bench.advance(worker, timedelta(minutes=7))
    assert not bench.ran
    bench.store.trouble = None
    with running(bench.app, queues={bench.queue: 1}, concurrency=4, lease=timedelta(minutes=2)) as worker:

        def all_ran() -> bool:
            bench.advance(worker, STEP / 5)
            return len(bench.ran) >= MESSAGES

        until(all_ran, within=60)
    assert Counter({f"key-{number}": 1 for number in range(MESSAGES)}) == Counter(key for key, _ in bench.ran)
    least = {1, 2} if bench.place is Place.WORKER_COUNTED_ORDER else {1}  # whose queue counts each handing-over
    assert {attempt for _, attempt in bench.ran} <= least
    assert not bench.dead()


def test_a_burst_without_the_store_ends_and_says_what_it_leaves(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """By 1: what has a key is left, in its first attempt where the queue can tell."""
    bench.send()
    bench.store.trouble = TROUBLES["down"](bench.clock)
    with running(bench.app, queues={bench.queue: 1}, concurrency=4, lease=timedelta(minutes=2), burst=True) as worker:
        until(lambda: bench.clock.advance(timedelta(seconds=1)) or worker.code is not None, within=60)  # type: ignore[func-returns-value]
        assert worker.code == 1
    assert "the burst ends with work left: what has an idempotency key" in caplog.text
    assert not bench.ran
    assert not bench.dead()
