"""Patience: a snoozed message comes back in good time, costs no attempt, and isn't kept forever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import tenacity
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, DeadLettered, Outcome, Retried, Snoozed, Why
from cloudq.core.patience import PATIENCE, Patience
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Processor
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock
from tests.unit.core.claims_for_tests import StoreClaims
from tests.unit.core.test_claim_steps import DOWN, Task, raising

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def delivered(deliveries: int = 1, *, failure: Failure | None = None, copy: str = "c", **fields: Any) -> Delivery:
    """As an ordered queue of SQS counts: each handing-over is taken for an attempt, and nothing is kept beside it."""
    message = Message(**{"id": "id-1", "task": "t", "queue": "q", "sent_at": NOW, "idempotency_key": "k", **fields})
    lease = Lease(queue="q", receipt=None, expires_at=NOW, ends=timedelta(minutes=2))
    return Delivery.of(
        wire.encode(message),
        native_id="n",
        runs=deliveries,
        deliveries=deliveries,
        lease=lease,
        failure=failure,
        copy=copy,
    )


def snoozed(why: Why = Why.STORE_DOWN, delay: timedelta = timedelta(0)) -> Snoozed:
    return Snoozed(delay=delay, why=why, reason="because")


def asleep(outcome: Outcome) -> Snoozed:
    assert isinstance(outcome, Snoozed), outcome
    return outcome


def since(outcome: Outcome) -> datetime | None:
    failure = asleep(outcome).failure
    return None if failure is None else failure.waiting_since


@pytest.mark.parametrize("waited", [timedelta(0), 20 * MINUTE, timedelta(hours=5)])
def test_a_message_that_found_the_store_down_comes_back_after_five_minutes_at_least(waited: timedelta) -> None:
    """And after a quarter of an hour, spread, at most: not all together."""
    patience = Patience(PATIENCE, FakeClock(NOW + waited))
    delivery = delivered(failure=Failure(reason="x", waiting_since=NOW))
    delays = {asleep(patience.bounded(delivery, snoozed(), delivery)).delay for _ in range(50)}
    assert 5 * MINUTE <= min(delays)
    assert max(delays) <= 1.25 * 15 * MINUTE
    assert len(delays) > 1


def test_a_claim_in_progress_is_waited_for_until_it_ends() -> None:
    """Of one that is renewed again and again less and less often: a one-hour task has no sixty redeliveries an hour."""
    early, late = Patience(PATIENCE, FakeClock(NOW)), Patience(PATIENCE, FakeClock(NOW + timedelta(hours=1)))
    delivery = delivered(failure=Failure(reason="x", waiting_since=NOW))
    left = snoozed(Why.CLAIMED, timedelta(seconds=90))
    assert 90 <= asleep(early.bounded(delivery, left, delivery)).delay.total_seconds() <= 112.5
    assert 300 <= asleep(late.bounded(delivery, left, delivery)).delay.total_seconds() <= 375


def test_what_waited_for_a_day_is_dead_lettered_and_says_for_what() -> None:
    """By time, never by number: a thousand snoozes within it are none too many."""
    clock = FakeClock(NOW)
    patience = Patience(PATIENCE, clock)
    failure: Failure | None = None
    for _ in range(1000):
        clock.advance(DAY / 1001)
        delivery = delivered(failure=failure)
        failure = asleep(patience.bounded(delivery, snoozed(), delivery)).failure
    clock.advance(DAY / 500)
    delivery = delivered(failure=failure)
    outcome = patience.bounded(delivery, snoozed(), delivery)
    assert isinstance(outcome, DeadLettered)
    assert "store down" in outcome.reason
    assert "1 d" in outcome.reason


def test_a_limit_is_waited_for_without_an_end_but_asked_about_less_and_less_often() -> None:
    """A backlog behind a rate is no fault; each round of it costs calls."""
    delivery = delivered(failure=Failure(reason="x", waiting_since=NOW))
    left = snoozed(Why.LIMITED, timedelta(seconds=2))
    delays = [
        asleep(Patience(PATIENCE, FakeClock(NOW + waited)).bounded(delivery, left, delivery)).delay.total_seconds()
        for waited in (timedelta(0), 4 * MINUTE, 9 * DAY)
    ]
    assert 2 <= delays[0] <= 2.5
    assert 60 <= delays[1] <= 75
    assert 300 <= delays[2] <= 375


def test_snoozes_that_a_backend_counts_as_attempts_are_none() -> None:
    """Nor deliveries, which the backstop against messages that kill their worker counts."""
    patience = Patience(PATIENCE, FakeClock(NOW))
    for number in range(1, 60):
        delivery = patience.recall(delivered(number))
        assert (delivery.attempt, delivery.deliveries) == (1, 1)
        patience.bounded(delivery, snoozed(), delivered(number))
    ran = patience.recall(delivered(60))
    assert (ran.attempt, ran.deliveries, ran.known_ends) == (1, 1, 0)
    patience.bounded(ran, Retried(delay=MINUTE, reason="it broke"), delivered(60))
    again = patience.recall(delivered(61))
    assert (again.attempt, again.deliveries) == (2, 2)


def test_waits_that_the_driver_says_itself_are_not_taken_off_twice() -> None:
    """A message has waited thirty times; three of its workers died since, and these, with the present one, are left."""
    patience = Patience(PATIENCE, FakeClock(NOW))
    for number in range(1, 31):
        delivery = replace(delivered(number), attempt=1, known_ends=number - 1)
        seen = patience.recall(delivery)
        assert (seen.attempt, seen.deliveries, seen.known_ends) == (1, 1, 0)
        patience.bounded(seen, snoozed(), delivery)
    for died in range(4):
        seen = patience.recall(replace(delivered(31 + died), attempt=1 + died, known_ends=30))
        assert (seen.attempt, seen.without_end) == (1 + died, 1 + died)


def test_an_attempt_that_a_backend_takes_back_is_not_taken_back_twice() -> None:
    """Where releases can be uncounted, nothing is to be set right."""
    patience = Patience(PATIENCE, FakeClock(NOW))
    first, second = delivered(3), replace(delivered(4), attempt=3)
    patience.bounded(first, snoozed(), first)
    seen = patience.recall(second)
    assert (seen.attempt, seen.deliveries) == (3, 3)


def test_a_wait_that_nobody_keeps_beside_the_message_is_remembered_here() -> None:
    """Since when it lasts, too: so that it ends after a day on any backend."""
    clock = FakeClock(NOW)
    patience = Patience(PATIENCE, clock)
    patience.bounded(delivered(1), snoozed(), delivered(1))
    clock.advance(DAY / 2)
    second = patience.recall(delivered(2))
    assert since(patience.bounded(second, snoozed(), delivered(2))) == NOW
    clock.advance(DAY / 2)
    assert isinstance(patience.bounded(patience.recall(delivered(3)), snoozed(), delivered(3)), DeadLettered)
    # What is redriven begins anew.
    redriven = patience.recall(delivered(4))
    assert (redriven.attempt, redriven.failure) == (4, None)


def test_another_copy_is_another_wait() -> None:
    """Its counts are its own, and its failure says since when it waits."""
    patience = Patience(PATIENCE, FakeClock(NOW))
    patience.bounded(delivered(1), snoozed(), delivered(1))
    other = delivered(7, copy="d")
    assert patience.recall(other) is other


def test_time_spent_waiting_counts_for_no_age_based_stop() -> None:
    """Five minutes of retries are five minutes of retries, whatever came between them."""
    clock = FakeClock(NOW)
    claims = StoreClaims(MemoryStore(clock))
    task = Task(raising(ValueError("it broke")))
    task.retry_policy = RetryPolicy(stop=tenacity.stop_after_delay(300), wait=tenacity.wait_fixed(1))
    processor: Processor[Any] = Processor({"t": task}, clock=clock, claims=claims)
    claims.broken = DOWN
    failure = asleep(processor.process(delivered())).failure
    claims.broken = None
    clock.advance(timedelta(hours=3))
    outcome = processor.process(delivered(failure=failure))
    assert isinstance(outcome, Retried), outcome
    assert outcome.failure is not None
    assert (outcome.failure.waited, outcome.failure.waiting_since) == (timedelta(hours=3), None)
    clock.advance(6 * MINUTE)
    assert isinstance(processor.process(delivered(failure=outcome.failure)), DeadLettered)


def test_what_a_middleware_snoozes_is_bounded_as_well() -> None:
    """It runs each time, and the wait is still one wait."""
    clock = FakeClock(NOW)

    def paused(_: object) -> Any:
        return snoozed(Why.OTHER, timedelta(hours=1))
        yield

    processor: Processor[Any] = Processor({"t": Task()}, clock=clock, middleware=[paused])
    failure = None
    for _ in range(24):
        outcome = asleep(processor.process(delivered(failure=failure)))
        assert (outcome.delay, since(outcome)) == (timedelta(hours=1), NOW)
        failure = outcome.failure
        clock.advance(timedelta(hours=1))
    assert isinstance(processor.process(delivered(failure=failure)), DeadLettered)


def test_patience_is_a_setting() -> None:
    """For those who want to see sooner, or can wait longer."""
    clock = FakeClock(NOW + MINUTE)
    claims = StoreClaims(MemoryStore(clock))
    claims.broken = DOWN
    processor: Processor[Any] = Processor({"t": Task()}, clock=clock, claims=claims, patience=MINUTE)
    waiting = Failure(reason="x", waiting_since=NOW)
    assert isinstance(processor.process(delivered(failure=waiting)), DeadLettered)


def test_what_ends_is_forgotten() -> None:
    """A message that comes again under the same id is another one."""
    patience = Patience(PATIENCE, FakeClock(NOW))
    patience.bounded(delivered(1), snoozed(), delivered(1))
    patience.bounded(patience.recall(delivered(2)), ACKED, delivered(2))
    same = delivered(3)
    assert patience.recall(same) is same


def test_what_lay_in_its_queue_while_the_store_was_down_is_no_older_for_that() -> None:
    """A worker leaves it there meanwhile, so nothing beside it says so."""
    clock = FakeClock(NOW)
    claims = StoreClaims(MemoryStore(clock))
    task = Task(raising(ValueError("it broke")))
    task.retry_policy = RetryPolicy(stop=tenacity.stop_after_delay(300), wait=tenacity.wait_fixed(1))
    processor: Processor[Any] = Processor({"t": task}, clock=clock, claims=claims)
    claims.broken = DOWN
    processor.process(delivered(id="id-2", idempotency_key="k2"))
    clock.advance(timedelta(hours=3))
    claims.broken = None
    assert isinstance(processor.process(delivered()), Retried)
    clock.advance(6 * MINUTE)
    assert isinstance(processor.process(delivered(idempotency_key="k3")), DeadLettered)
