"""Behaviours of retries, natively and by copy, through the real `plan()` and `Processor`."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace
from tenacity import stop_after_attempt, wait_none

from cloudq.core.driver import Ack, Release
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, DeadLettered, Retried, Snoozed
from cloudq.core.plan import COPY_FAILED_DELAY, plan
from cloudq.core.policy import RetryPolicy
from cloudq.errors import LeaseLost
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.edge import store
from cloudq.testing.conformance.faults import FailingSends
from cloudq.testing.conformance.harness import ZERO

AGAIN = Retried(delay=ZERO, reason="again")
UNCOUNTED = Snoozed(delay=ZERO, reason="another worker has it")


class Retries:
    """Handing a message over again."""

    def test_a_retry_comes_again(self, bench: Bench) -> None:
        """A message that is to be retried at once is handed over again at once, with the next attempt's number."""
        message = bench.send()
        assert bench.carry_out(bench.one(), AGAIN).error is None
        again = bench.one()
        assert (again.id, again.attempt) == (message.id, 2)

    def test_a_retry_is_not_early(self, bench: Bench) -> None:
        """A retry with a delay isn't handed over before it, and is after it, natively or by a copy."""
        message = bench.send()
        delay = 2 * bench.unit
        bench.carry_out(bench.one(), Retried(delay=delay, reason="later"))
        if _clamped(bench, delay):
            assert bench.one().id == message.id  # an ordered queue can't copy: it releases for as long as it can
            return
        bench.advance(delay - bench.lead - bench.harness.quiet)
        bench.nothing()
        bench.advance(bench.lead + bench.grain + bench.harness.quiet)
        again = bench.one()
        assert (again.id, again.attempt) == (message.id, 2)

    def test_a_retry_beyond_the_native_limit_goes_by_copy(self, bench: Bench) -> None:
        """A retry too late for a release is copied, under a new generation, and must not come early."""
        message = bench.send()
        limit = bench.capabilities.native_retry_delay
        delay = 2 * bench.unit if limit is None else limit + bench.unit
        carried = bench.carry_out(bench.one(), Retried(delay=delay, reason="much later"))
        assert (carried.copied, carried.error) == (True, None)
        if bench.capabilities.ordering:
            assert carried.plan.copies == ()  # a copy would lose its place in the order
            return
        assert [copy.id for copy in carried.plan.copies] == [message.id]
        bench.nothing()
        if not bench.affordable(delay) or _beyond_max_delay(bench, delay):
            return
        bench.advance(delay - bench.lead - bench.harness.quiet)
        bench.nothing()
        bench.advance(bench.lead + bench.grain + bench.harness.quiet)
        copy = bench.one()
        assert (copy.id, copy.attempt) == (message.id, 2)
        assert copy.message is not None
        assert copy.message.generation == 1

    def test_attempts_are_counted_across_retries(self, bench: Bench) -> None:
        """Each retry, native or copied, is one more attempt."""
        bench.send()
        attempts = []
        for _ in range(4):
            delivery = bench.one()
            attempts.append(delivery.attempt)
            bench.carry_out(delivery, AGAIN)
        assert attempts == [1, 2, 3, 4]

    def test_attempts_are_counted_across_copies(self, bench: Bench) -> None:
        """A copy that says how many attempts were made before it goes on from there."""
        bench.send(replace(bench.message(), attempt_base=3, generation=1))
        delivery = bench.one()
        assert (delivery.attempt, delivery.deliveries) == (4, 1)

    def test_an_uncounted_retry_uses_no_attempt(self, bench: Bench) -> None:
        """A retry that isn't to count leaves the attempt's number, or (ordered, not exact) an upper bound of it."""
        bench.send()
        attempts = []
        for _ in range(3):
            delivery = bench.one()
            attempts.append(delivery.attempt)
            assert bench.carry_out(delivery, UNCOUNTED).error is None
        if bench.capabilities.attempt_exact or not bench.capabilities.ordering:
            assert attempts == [1, 1, 1]
        else:
            assert attempts == [1, 2, 3]

    def test_only_the_present_attempt_is_taken_back(self, bench: Bench) -> None:
        """An uncounted retry after a counted one leaves the counted one counted."""
        bench.send()
        bench.carry_out(bench.one(), AGAIN)
        bench.carry_out(bench.one(), UNCOUNTED)
        expected = 2 if bench.capabilities.attempt_exact or not bench.capabilities.ordering else 3
        assert bench.one().attempt == expected

    def test_deliveries_are_counted_also_where_attempts_are_not(self, bench: Bench) -> None:
        """A release that gives the attempt back is a delivery where they are counted; a copy starts to count anew."""
        bench.send()
        carried = bench.carry_out(bench.one(), UNCOUNTED)
        counted = bench.harness.counts_given_back and not carried.plan.copies
        assert bench.one().deliveries == (2 if counted else 1)

    def test_all_that_a_message_says_survives_a_retry(self, bench: Bench) -> None:
        """Payload, keys, headers and foreign attributes are the same after a retry, native or copied."""
        sent = replace(
            bench.message(key="k", payload={"n": 1}), headers={"tenant": "ü"}, extensions={"subject": "order/42"}
        )
        bench.send(sent)
        bench.carry_out(bench.one(), AGAIN)
        again = bench.one().message
        assert again is not None
        assert replace(again, attempt_base=0, generation=0, not_before=None) == sent

    def test_the_largest_message_survives_a_retry(self, bench: Bench) -> None:
        """A body of `max_body` bytes is retried too, though its copy says more and so is larger (semantics 6)."""
        message = bench.send(bench.message_of(bench.capabilities.max_body))
        carried = bench.carry_out(bench.one(), _long_retry(bench))
        assert (carried.copied, carried.error) == (True, None)
        assert [copy.id for copy in carried.plan.copies] in ([message.id], [])

    def test_the_last_failure_stays_with_the_message_or_is_not_said(self, bench: Bench) -> None:
        """A retried delivery carries its last failure where the backend has room for it, never another one."""
        bench.send()
        failure = bench.failure("first")
        bench.carry_out(bench.one(), Retried(delay=ZERO, reason="again", failure=failure))
        assert bench.one().failure in (None, failure)

    def test_a_policy_gives_up_after_its_attempts(self, bench: Bench) -> None:
        """A task that always fails runs as often as its policy says, then is a dead letter with the right counts."""
        worker = bench.processor(_fails, RetryPolicy(stop=stop_after_attempt(3), wait=wait_none()))
        bench.send()
        outcomes = [worker.work() for _ in range(3)]
        assert [type(outcome) for outcome in outcomes] == [Retried, Retried, DeadLettered]
        bench.nothing()
        (dead,) = bench.dead()
        assert dead.failure is not None
        assert (len(worker.script.ran), dead.failure.attempts) == (3, 3)

    def test_a_message_that_kills_its_worker_ends_as_a_dead_letter(self, bench: Bench) -> None:
        """A message whose holders never settle it is dead-lettered once it was handed over too often."""
        worker = bench.processor(_fails, RetryPolicy(max_deliveries=2))
        bench.send()
        for _ in range(2):
            bench.one(lease=bench.unit)
            bench.advance(bench.unit + bench.grain)
        assert isinstance(worker.work(), DeadLettered)
        (dead,) = bench.dead()
        assert dead.failure is not None
        assert "worker died or lease expired" in dead.failure.reason
        assert worker.script.ran == []

    def test_a_retry_whose_copy_fails_loses_nothing(self, bench: Bench) -> None:
        """If the copy can't be stored the message isn't settled away: it is handed over again. Natively, no copy."""
        message = bench.send()
        faulty = FailingSends(bench.driver)
        carried = bench.carry_out(bench.one(lease=bench.unit), _long_retry(bench), driver=faulty)
        assert carried.copied is (not carried.plan.copies)
        assert [copy.id for copy in faulty.refused] == [copy.id for copy in carried.plan.copies]
        assert carried.error is None
        if carried.plan.copies and bench.affordable(COPY_FAILED_DELAY):
            bench.advance(COPY_FAILED_DELAY + bench.grain)
            assert bench.one().id == message.id

    def test_a_crash_between_copy_and_settlement_loses_nothing(self, bench: Bench) -> None:
        """A worker that dies after it stored the copy leaves the message, perhaps twice, never none."""
        message = bench.send()
        delivery = bench.one(lease=bench.unit)
        planned = plan(delivery, AGAIN, bench.capabilities, bench.now())
        assert store(bench.driver, planned.copies)
        bench.advance(bench.unit + bench.grain)
        found = [delivery.id for delivery in bench.receive(3, sure=1 + len(planned.copies))]
        assert found == [message.id] * (1 + len(planned.copies))

    def test_an_outcome_that_comes_too_late_is_lease_lost(self, bench: Bench) -> None:
        """Carrying out an outcome after the lease's end reports LeaseLost: its work may be done again."""
        bench.send()
        delivery = bench.one(lease=bench.unit)
        bench.advance(bench.unit + bench.grain)
        assert isinstance(bench.carry_out(delivery, ACKED).error, LeaseLost)

    def test_a_release_keeps_other_messages_as_they_are(self, bench: Bench) -> None:
        """Releasing one message neither hides nor frees another."""
        bench.send()
        bench.send()
        first, second = bench.receive(2, sure=2)
        assert bench.settle(first, Release()) is None
        assert [delivery.id for delivery in bench.receive(2)] == [first.id]
        assert bench.settle(second, Ack()) is None


def _fails(message: Message) -> None:
    raise RuntimeError(f"{message.task} always fails")


def _clamped(bench: Bench, delay: timedelta) -> bool:
    """Whether an ordered queue's release can't be delayed for that long."""
    limit = bench.capabilities.native_retry_delay
    return bench.capabilities.ordering and (limit is None or limit < delay)


def _beyond_max_delay(bench: Bench, delay: timedelta) -> bool:
    return bench.capabilities.max_delay is not None and delay > bench.capabilities.max_delay


def _long_retry(bench: Bench) -> Retried:
    """A retry that is copied wherever a retry can be."""
    limit = bench.capabilities.native_retry_delay
    return Retried(delay=2 * bench.unit if limit is None else limit + bench.unit, reason="much later")
