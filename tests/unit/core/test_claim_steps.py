"""The claim as steps of the Processor: before a run and after it, for sync and async tasks alike."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, current_thread
from typing import Any

import pytest
import tenacity

from cloudq.core import wire
from cloudq.core.claiming import Begun
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.core.middleware import Middleware
from cloudq.core.outcome import ACKED, Acked, DeadLettered, Decided, Outcome, Retried, Snoozed, Why
from cloudq.core.policy import DeadLetter, RetryPolicy
from cloudq.core.processor import Processor
from cloudq.core.store import ClaimKey, RecordState
from cloudq.errors import PayloadError, StoreUnavailable, TimeLimitExceeded
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock
from tests.unit.core.claims_for_tests import LEASE, StoreBegun, StoreClaims

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ClaimKey("t", "order-1")
DOWN = StoreUnavailable("no route to the store")


class Job:
    def __init__(self, task: Task, claim: Begun | None) -> None:
        self.context = claim
        self._task = task

    def run(self) -> object:
        self._task.ran.append(self.context)
        return self._task.function()

    async def arun(self) -> object:
        result = self.run()
        return await result if asyncio.iscoroutine(result) else result


class Task:
    """A declared task."""

    name = "t"
    queues = ("q",)
    time_limit = None
    is_async = False

    def __init__(self, function: Callable[[], Any] = lambda: "result") -> None:
        self.function = function
        self.ran: list[Begun | None] = []
        self.retry_policy = RetryPolicy(wait=tenacity.wait_fixed(7))
        self.binding_error: Exception | None = None

    def load(self, message: Message) -> Message:
        return message

    def bind(
        self,
        delivery: Delivery,
        message: Message,
        *,
        deadline: datetime | None,
        lease_lost: Event,
        claim: Begun | None = None,
    ) -> Job:
        if self.binding_error is not None:
            raise self.binding_error
        return Job(self, claim)


class Bench:
    """A task with a key, whose claims are in a store; run in one of the two ways."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.clock = FakeClock(NOW)
        self.store = MemoryStore(self.clock)
        self.claims = StoreClaims(self.store)

    def processor(self, task: Task, *middleware: Middleware[Any]) -> Processor[Any]:
        return Processor({"t": task}, clock=self.clock, claims=self.claims, middleware=middleware)

    def run(self, task: Task, *middleware: Middleware[Any], key: str | None = "order-1") -> Outcome:
        return self.process(self.processor(task, *middleware), delivered(key))

    def process(self, processor: Processor[Any], delivery: Delivery) -> Outcome:
        if self.way == "async":
            return asyncio.run(processor.aprocess(delivery))
        return processor.process(delivery)

    @property
    def state(self) -> RecordState | None:
        record = self.store.show(KEY)
        return None if record is None else record.state


@pytest.fixture(params=["sync", "async"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


def delivered(key: str | None = "order-1") -> Delivery:
    message = Message(id="id-1", task="t", queue="q", sent_at=NOW, idempotency_key=key)
    lease = Lease(queue="q", receipt=None, expires_at=NOW, ends=timedelta(minutes=2))
    return Delivery.of(wire.encode(message), native_id="n-1", runs=1, deliveries=1, lease=lease)


def raising(error: BaseException) -> Callable[[], object]:
    def function() -> object:
        raise error

    return function


def test_a_key_is_claimed_before_the_run_and_completed_after_it(bench: Bench) -> None:
    """With what the handler returned; the run knows its claim."""
    states: list[RecordState | None] = []
    task = Task(lambda: states.append(bench.state) or "the result")  # type: ignore[func-returns-value]
    assert bench.run(task) == ACKED
    assert (states, bench.state) == ([RecordState.IN_PROGRESS], RecordState.COMPLETED)
    record = bench.store.show(KEY)
    assert record is not None
    assert record.result == b"the result"
    assert task.ran == [bench.claims.begun[0]]


def test_what_was_done_before_is_acknowledged_unrun(bench: Bench) -> None:
    """Whichever delivery it was."""
    bench.run(Task())
    again = Task()
    assert bench.run(again) == ACKED
    assert not again.ran


def test_what_somebody_else_has_is_snoozed_and_uses_no_attempt(bench: Bench) -> None:
    """Until about when the other claim ends, if it isn't renewed."""
    bench.store.claim(KEY, owner="other", lease=LEASE, fingerprint=None, keep=LEASE)
    task = Task()
    outcome = bench.run(task)
    assert isinstance(outcome, Snoozed)
    assert (outcome.why, outcome.counted, task.ran) == (Why.CLAIMED, False, [])
    assert LEASE <= outcome.delay <= 1.25 * LEASE


def test_a_message_without_a_key_asks_no_store(bench: Bench) -> None:
    """Even one that is down."""
    bench.claims.broken = DOWN
    task = Task()
    assert bench.run(task, key=None) == ACKED
    assert (bench.claims.calls, task.ran) == ([], [None])


@pytest.mark.parametrize("error", [ValueError("it broke"), DeadLetter("never")])
def test_what_failed_releases_its_claim(bench: Bench, error: Exception) -> None:
    """So that its retry, or its redrive, can start at once."""
    outcome = bench.run(Task(raising(error)))
    assert isinstance(outcome, (Retried, DeadLettered))
    assert bench.state is RecordState.RELEASED
    assert bench.run(Task()) == ACKED


def test_what_cannot_be_bound_releases_its_claim(bench: Bench) -> None:
    """It is poison: somebody edits it and redrives it."""
    task = Task()
    task.binding_error = PayloadError("no such parameter")
    assert isinstance(bench.run(task), DeadLettered)
    assert bench.state is RecordState.RELEASED


def test_the_middleware_has_the_last_word_before_the_claim_ends(bench: Bench) -> None:
    """What it makes of a success is what is recorded."""

    def doubts(_: object) -> Any:
        yield
        return Retried(delay=timedelta(1), reason="no")

    assert isinstance(bench.run(Task(), doubts), Retried)
    assert bench.state is RecordState.RELEASED


def test_a_store_that_is_down_stops_the_run_and_is_asked_by_one_only(bench: Bench) -> None:
    """Fail closed: nothing runs that may have run. Other deliveries don't each wait for a call of their own."""
    bench.claims.broken = DOWN
    task = Task()
    processor = bench.processor(task)
    outcomes = [bench.process(processor, delivered(f"order-{number}")) for number in range(5)]
    assert [(type(one), getattr(one, "why", None)) for one in outcomes] == [(Snoozed, Why.STORE_DOWN)] * 5
    assert (bench.claims.calls, task.ran) == (["begin"], [])
    assert all(isinstance(one, Snoozed) and one.delay >= timedelta(minutes=5) for one in outcomes)
    assert processor.store_watch is not None
    assert processor.store_watch.is_down


def test_a_store_that_is_back_is_found_by_the_next_delivery_after_a_pause(bench: Bench) -> None:
    """Nothing else is needed where an edge has no thread of its own."""
    bench.claims.broken = DOWN
    task = Task()
    processor = bench.processor(task)
    bench.process(processor, delivered())
    bench.claims.broken = None
    assert isinstance(bench.process(processor, delivered()), Snoozed)
    bench.clock.advance(timedelta(seconds=1))
    assert bench.process(processor, delivered()) == ACKED
    assert len(task.ran) == 1


@pytest.mark.parametrize(("error", "traced"), [(DOWN, False), (RuntimeError("a slip in the store"), True)])
def test_work_that_is_done_is_acknowledged_though_the_store_cannot_be_told(
    bench: Bench, error: Exception, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A retry would surely repeat it; without one, only another message with its key may. Which is said.

    In an outage each task that ends says it, so in the store's words; a slip of ours has its traceback, and nothing
    else waits for it.
    """

    def run() -> None:
        bench.claims.broken = error

    processor = bench.processor(Task(run))
    with caplog.at_level(logging.ERROR, "cloudq"):
        assert bench.process(processor, delivered()) == ACKED
    assert [begun.given_up for begun in bench.claims.begun] == [1]
    said = next(record for record in caplog.records if "couldn't be marked so" in record.message)
    assert str(error) in said.message
    assert bool(said.exc_info) is traced
    assert processor.store_watch is not None
    assert processor.store_watch.is_down is not traced


def test_a_claim_that_cannot_be_released_lapses(bench: Bench) -> None:
    """The retry waits for its end."""

    def run() -> None:
        bench.claims.broken = DOWN
        raise ValueError("it broke")

    assert isinstance(bench.run(Task(run)), Retried)
    bench.claims.broken = None
    assert isinstance(bench.run(Task()), Snoozed)
    bench.clock.advance(LEASE)
    assert bench.run(Task()) == ACKED


def test_a_slip_in_the_claiming_costs_its_delivery_an_attempt(bench: Bench) -> None:
    """It may be the message's fault, and must not stop all others as a store does that is down."""
    bench.claims.broken = TypeError("a key function of the user's")
    task = Task()
    processor = bench.processor(task)
    assert isinstance(bench.process(processor, delivered()), Retried)
    assert processor.store_watch is not None
    assert not processor.store_watch.is_down
    assert not task.ran


def test_an_interrupted_run_gives_its_claim_up(bench: Bench) -> None:
    """Nobody knows how far it came: the claim isn't ended for it, and lapses."""
    with pytest.raises(KeyboardInterrupt):
        bench.run(Task(raising(KeyboardInterrupt())))
    assert [begun.given_up for begun in bench.claims.begun] == [1]
    assert bench.state is RecordState.IN_PROGRESS


def test_a_cancelled_run_gives_its_claim_up() -> None:
    """As a coroutine that a shutdown ends."""
    bench = Bench("async")
    started = asyncio.Event()

    async def sleep() -> None:
        started.set()
        await asyncio.Event().wait()

    async def cancelled() -> None:
        running = asyncio.ensure_future(bench.processor(Task(sleep)).aprocess(delivered()))
        await started.wait()
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert [begun.given_up for begun in bench.claims.begun] == [1]


def test_a_store_that_hangs_holds_up_no_loop() -> None:
    """An async task's claim is asked for on a thread: the loop's other tasks go on."""
    bench = Bench("async")
    threads: list[str] = []
    bench.claims.broken = lambda: threads.append(current_thread().name)
    main = current_thread().name
    assert bench.run(Task()) == ACKED
    assert main not in threads
    assert len(threads) == 2


def test_a_decision_raised_in_a_task_is_no_failure(bench: Bench) -> None:
    """Whatever the policy says: for code of the library that knows what becomes of the delivery."""
    snoozed = Snoozed(delay=timedelta(seconds=1), why=Why.CONFLICT, reason="40001")
    outcome = bench.run(Task(raising(Decided(snoozed))))
    assert isinstance(outcome, Snoozed)
    assert outcome.why is Why.CONFLICT
    assert bench.state is RecordState.RELEASED
    assert isinstance(bench.run(Task(raising(Decided(ACKED)))), Acked)
    assert bench.state is RecordState.COMPLETED


def test_the_end_of_a_claim_may_change_the_outcome(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a stale owner."""
    stale = Snoozed(delay=timedelta(minutes=1), why=Why.CLAIMED, reason="somebody took it over")
    monkeypatch.setattr(StoreBegun, "end", lambda *_: stale)
    outcome = bench.run(Task())
    assert isinstance(outcome, Snoozed)
    assert outcome.why is Why.CLAIMED


@pytest.mark.parametrize(("left", "is_down"), [(timedelta(seconds=5), False), (timedelta(hours=1), True)])
def test_an_edge_whose_time_is_over_says_nothing_of_the_store(left: timedelta, is_down: bool) -> None:
    """Its delivery waits; those of other edges, with more time, aren't kept from asking."""
    bench = Bench("sync")
    bench.claims.broken = TimeLimitExceeded("too long")
    processor = bench.processor(Task())
    outcome = processor.process(delivered(), until=bench.clock.elapsed() + left)
    assert isinstance(outcome, Snoozed)
    assert processor.store_watch is not None
    assert processor.store_watch.is_down is is_down


def test_a_delivery_that_is_lost_while_its_key_is_claimed_is_not_started(bench: Bench) -> None:
    """The store took its time, and a shutdown released the message meanwhile: another worker has it.

    Its claim is released, whatever its kind: no run of it has begun.
    """
    lost = Event()
    bench.claims.broken = lost.set
    task = Task()
    processor = bench.processor(task)
    if bench.way == "async":
        outcome = asyncio.run(processor.aprocess(delivered(), lease_lost=lost))
    else:
        outcome = processor.process(delivered(), lease_lost=lost)
    assert isinstance(outcome, Snoozed)
    assert (outcome.why, task.ran) == (Why.UNSTARTED, [])
    assert bench.state is RecordState.RELEASED
