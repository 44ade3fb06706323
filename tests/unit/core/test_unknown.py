"""What becomes of messages whose task this program doesn't know."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from tenacity import stop_after_attempt

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Outcome, Snoozed
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Processor
from cloudq.core.unknown import LONGEST_AWAY, SHORTEST_AWAY, UNKNOWN_TASK_PATIENCE, UnknownTasks
from cloudq.testing.clock import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MESSAGE = Message(id="1", task="shop.payy", queue="q", sent_at=NOW - timedelta(days=3))


def delivered(
    deliveries: int = 1, failure: Failure | None = None, *, attempt: int = 1, message: Message = MESSAGE
) -> Delivery:
    lease = Lease(queue="q", receipt=None, expires_at=NOW, ends=timedelta(hours=1))
    made = Delivery.of(wire.encode(message), native_id="1", runs=1, deliveries=deliveries, lease=lease, failure=failure)
    return replace(made, attempt=attempt)


class Rules:
    """The rules on a fake clock."""

    def __init__(self, patience: timedelta = UNKNOWN_TASK_PATIENCE) -> None:
        self.clock = FakeClock(NOW)
        self.unknown = UnknownTasks(patience, self.clock)

    def __call__(self, delivery: Delivery, *, without_end: int = 1, most: int = 20) -> Outcome:
        assert delivery.message is not None
        return self.unknown.decide(
            delivery, delivery.message, known=["shop.pay", "other"], without_end=without_end, most=most
        )


def went_back(outcome: Outcome) -> Snoozed:
    assert isinstance(outcome, Snoozed), outcome
    assert not outcome.counted
    return outcome


def died(outcome: Outcome) -> DeadLettered:
    assert isinstance(outcome, DeadLettered), outcome
    return outcome


@pytest.mark.parametrize("patience", [UNKNOWN_TASK_PATIENCE, timedelta(minutes=10), timedelta(hours=8)])
@pytest.mark.parametrize("way", ["kept beside it", "remembered", "counted"])
def test_it_goes_round_until_the_patience_is_over(patience: timedelta, way: str) -> None:
    """Away for 5 s, then longer, 15 minutes at most; dead once the patience is over, neither sooner nor much later."""
    rules = Rules(patience)
    delivery, waits = delivered(), []
    while isinstance(outcome := rules(delivery, without_end=delivery.deliveries, most=9000), Snoozed):
        assert not outcome.counted
        waits.append(outcome.delay)
        delivery = delivered(
            delivery.deliveries + (way == "counted"), outcome.failure if way == "kept beside it" else None
        )
        rules.clock.advance(outcome.delay)
        if way == "kept beside it":
            rules.unknown = UnknownTasks(patience, rules.clock)  # another process
    assert SHORTEST_AWAY <= waits[0] <= 1.25 * SHORTEST_AWAY
    assert all(SHORTEST_AWAY <= wait <= LONGEST_AWAY for wait in waits)
    assert waits[0] < waits[4] < 4 * waits[0] or way == "counted"
    assert max(waits) > patience / 8 or max(waits) > LONGEST_AWAY / 2
    assert patience <= rules.clock.now() - NOW <= patience + SHORTEST_AWAY
    if patience == UNKNOWN_TASK_PATIENCE:
        # Where a release counts: fewer than half of what a policy allows by default. Else: many chances to be known.
        assert 6 <= len(waits) < 10 if way == "counted" else 14 <= len(waits) <= 22
    reason = died(outcome).reason
    assert "unknown task 'shop.payy': did you mean 'shop.pay'? (for " in reason
    assert reason == outcome.failure.reason
    assert None is outcome.failure.unknown_since


def test_without_patience_it_is_dead_at_once() -> None:
    """With the task's name and the nearest, as a reason."""
    assert "unknown task 'shop.payy': did you mean 'shop.pay'?" == died(Rules(timedelta(0))(delivered())).reason


def test_the_longest_waits_are_spread_too() -> None:
    """Two messages that two wrong programs were handed at the same time must not meet them again at each return."""
    rules = Rules(patience=timedelta(days=30))
    rules(delivered())
    rules.clock.advance(timedelta(days=1))
    waits = {went_back(rules(delivered())).delay for _ in range(60)}
    assert len(waits) > 10
    assert max(waits) <= LONGEST_AWAY
    assert 0.8 * LONGEST_AWAY <= min(waits) < 0.95 * LONGEST_AWAY


@pytest.mark.parametrize(("without_end", "most", "is_dead"), [(9, 20, False), (10, 20, True), (49, 9000, False)])
def test_half_of_the_deliveries_are_left_for_whoever_knows_it(without_end: int, most: int, *, is_dead: bool) -> None:
    """Where a release counts as a delivery it is dead-lettered before the other half is touched."""
    outcome = Rules()(delivered(without_end), without_end=without_end, most=most)
    assert is_dead == isinstance(outcome, DeadLettered)


@pytest.mark.parametrize(
    "policy", [RetryPolicy(), RetryPolicy(stop=stop_after_attempt(20)), RetryPolicy(max_deliveries=15)]
)
def test_where_a_release_counts_the_right_worker_is_left_half_of_its_deliveries(policy: RetryPolicy) -> None:
    """FIFO queues of SQS, whose `attempt` is an upper bound: the bound that decision 0037 and "Run a worker" name."""
    for _ in range(20):
        rules, returns = Rules(), 0
        while isinstance(
            outcome := rules(delivered(returns + 1), without_end=returns + 1, most=policy.max_deliveries), Snoozed
        ):
            returns += 1
            rules.clock.advance(outcome.delay)
        assert 6 <= returns <= 9
        assert returns < policy.max_deliveries / 2


def test_a_policy_without_bound_is_no_reason_to_use_up_the_services_own() -> None:
    """Ordered queues of SQS count to 100, as `cloudq queues create` makes them."""
    reason = died(Rules()(delivered(50), without_end=50, most=9000)).reason
    assert reason.startswith("unknown task 'shop.payy': did you mean 'shop.pay'?")
    assert "50 times, half" in reason


def test_where_nothing_is_kept_the_deliveries_say_how_long_it_has_waited() -> None:
    """To a process that hasn't seen it before: it needn't begin with 5 s again."""
    assert 8 * SHORTEST_AWAY <= went_back(Rules()(delivered(4))).delay <= 1.25 * 8 * SHORTEST_AWAY


def test_what_it_was_given_back_for_before_is_no_wait_for_its_task() -> None:
    """It waited for a limit, say, where its task was known; so it begins with 5 s."""
    delivery = replace(delivered(40), known_ends=39)
    assert SHORTEST_AWAY <= went_back(Rules()(delivery)).delay <= 1.25 * SHORTEST_AWAY


def test_what_somebody_ran_meanwhile_begins_anew() -> None:
    """Whoever knows it retries it: that it was unknown here an hour ago says nothing."""
    rules = Rules()
    went_back(rules(delivered()))
    rules.clock.advance(2 * UNKNOWN_TASK_PATIENCE)
    ran = Failure(reason="ValueError", error_type="ValueError", last_at=rules.clock.now())
    assert went_back(rules(delivered(2, ran))).delay <= 1.25 * SHORTEST_AWAY
    rules.clock.advance(UNKNOWN_TASK_PATIENCE)
    died(rules(delivered(3, ran)))  # the same failure: nobody ran it since


def test_what_is_redriven_begins_anew() -> None:
    """Also where this process remembers it."""
    rules = Rules()
    went_back(rules(delivered()))
    rules.clock.advance(UNKNOWN_TASK_PATIENCE)
    died(rules(delivered()))
    went_back(rules(delivered()))


def test_a_wall_clock_that_is_set_ends_nothing_that_is_remembered() -> None:
    """What this process remembers goes by time that can't be set."""
    rules = Rules()
    went_back(rules(delivered()))
    rules.clock.step(timedelta(days=1))
    rules.clock.advance(MINUTE)
    assert went_back(rules(delivered())).delay <= 1.25 * MINUTE / 2


def test_the_wait_for_a_payload_goes_on() -> None:
    """That a program which doesn't know the task saw it meanwhile doesn't begin that patience anew."""
    waiting = Failure(reason="payload", waiting_since=NOW - timedelta(hours=20))
    assert NOW - timedelta(hours=20) == went_back(Rules()(delivered(2, waiting))).failure.waiting_since


def test_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each name, however often and however many."""
    rules = Rules()
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            rules(delivered(message=replace(MESSAGE, id=str(number))))
        rules(delivered(message=replace(MESSAGE, task="else")))
    assert 2 == len(caplog.messages)
    assert "queue q holds messages of an unknown task 'shop.payy': did you mean 'shop.pay'?" in caplog.messages[0]


def test_the_right_workers_deliveries_are_untouched() -> None:
    """What went back is told beside the message, so that it counts as no worker's death (semantics 4)."""
    processor = Processor({}, clock=FakeClock(NOW))  # type: ignore[var-annotated]  # of no task
    delivery = delivered(1)
    for count in range(2, 90):
        outcome = processor.process(delivery)
        assert isinstance(outcome, Snoozed), outcome
        delivery = replace(delivered(count, outcome.failure), known_ends=count - 1)
