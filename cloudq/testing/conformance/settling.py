"""Behaviours of `PullDriver.settle`: acks, releases, and late settlements."""

from __future__ import annotations

import pytest

from cloudq.core.driver import Ack, Final, FinalStep, NativeDeadLetter, Release
from cloudq.core.failure import Failure
from cloudq.errors import LeaseLost, UnsupportedError
from cloudq.testing.conformance.bench import Bench, errors_of

STEPS: list[FinalStep] = [Ack(), Release(), NativeDeadLetter(failure=Failure(reason="too late"))]
STEP_NAMES = ["ack", "release", "dead-letter"]


class Settling:
    """Saying what becomes of a message."""

    def test_an_acked_message_is_gone(self, bench: Bench) -> None:
        """An acked message must never be handed over again, not even after its lease has ended."""
        bench.send()
        bench.ack(bench.one(lease=bench.unit))
        bench.nothing()
        bench.advance(bench.unit + bench.grain)
        bench.nothing()

    def test_an_ack_is_for_one_message(self, bench: Bench) -> None:
        """Acking one message must leave the others."""
        messages = {bench.send().id for _ in range(3)}
        first = bench.one()
        bench.ack(first)
        assert {delivery.id for delivery in bench.receive(3, sure=2)} == messages - {first.id}

    def test_a_released_message_comes_again(self, bench: Bench) -> None:
        """A released message must be handed over again at once, to anyone, as another delivery."""
        other = bench.client()
        bench.send()
        first = bench.one()
        assert bench.settle(first, Release()) is None
        again = bench.one(driver=other)
        assert (again.id, again.deliveries) == (first.id, 2)

    @pytest.mark.parametrize("second", STEPS, ids=STEP_NAMES)
    def test_a_second_settlement_is_lease_lost(self, bench: Bench, second: FinalStep) -> None:
        """A lease settles once: after an ack, each further step must report LeaseLost and do nothing."""
        bench.send()
        delivery = bench.one()
        bench.ack(delivery)
        assert _too_late(bench, second, bench.settle(delivery, second))
        bench.nothing()
        assert list(bench.dead()) == []

    @pytest.mark.parametrize("second", STEPS, ids=STEP_NAMES)
    def test_a_settlement_after_a_release_is_lease_lost(self, bench: Bench, second: FinalStep) -> None:
        """A released lease is over: each further step must report LeaseLost and, where fenced, change nothing."""
        bench.send()
        delivery = bench.one()
        assert bench.settle(delivery, Release()) is None
        assert _too_late(bench, second, bench.settle(delivery, second))
        if bench.capabilities.fenced_settle or not isinstance(second, Ack):
            assert bench.one().id == delivery.id
        assert list(bench.dead()) == []

    @pytest.mark.parametrize("step", STEPS, ids=STEP_NAMES)
    def test_a_late_settlement_is_lease_lost(self, bench: Bench, step: FinalStep) -> None:
        """A settlement after the lease's end must report LeaseLost and, where fenced, change nothing."""
        bench.send()
        delivery = bench.one(lease=bench.unit)
        bench.advance(bench.unit + bench.grain)
        assert _too_late(bench, step, bench.settle(delivery, step))
        if bench.capabilities.fenced_settle or not isinstance(step, Ack):
            assert bench.one().id == delivery.id
        assert list(bench.dead()) == []

    @pytest.mark.parametrize("step", STEPS, ids=STEP_NAMES)
    def test_a_late_settlement_does_not_touch_the_next_holder(self, bench: Bench, step: FinalStep) -> None:
        """When another client holds the message, a late step must be LeaseLost; its own is confirmed, where fenced."""
        bench.send()
        old = bench.one(lease=bench.unit)
        bench.advance(bench.unit + bench.grain)
        new = bench.one()
        assert _too_late(bench, step, bench.settle(old, step))
        bench.nothing()
        if bench.capabilities.fenced_settle or not isinstance(step, Ack):
            assert bench.settle(new, Ack()) is None
        assert list(bench.dead()) == []

    def test_one_lost_lease_does_not_hide_the_other_settlements(self, bench: Bench) -> None:
        """Of several steps in one call, each must have its own answer, in order; the good ones are carried out."""
        for _ in range(3):
            bench.send()
        deliveries = bench.receive(3, lease=bench.unit, sure=3)
        bench.ack(deliveries[1])
        results = bench.driver.settle([Final(lease=delivery.lease, step=Ack()) for delivery in deliveries])
        assert errors_of(results) == [None, LeaseLost, None]
        bench.advance(bench.unit + bench.grain)
        bench.nothing()

    def test_one_call_may_hold_different_steps(self, bench: Bench) -> None:
        """One call acks one message and releases another."""
        bench.send()
        bench.send()
        first, second = bench.receive(2, sure=2)
        results = bench.driver.settle([Final(lease=first.lease, step=Ack()), Final(lease=second.lease, step=Release())])
        assert errors_of(results) == [None, None]
        bench.advance(bench.harness.back_off)
        assert [delivery.id for delivery in bench.receive(2)] == [second.id]

    def test_settling_nothing_answers_nothing(self, bench: Bench) -> None:
        """An empty settlement must be allowed."""
        assert list(bench.driver.settle([])) == []

    def test_a_native_dead_letter_is_kept_or_refused(self, bench: Bench) -> None:
        """NativeDeadLetter is carried out where it is declared; elsewhere it is UnsupportedError, nothing lost."""
        bench.send()
        delivery = bench.one(lease=bench.unit)
        error = bench.settle(delivery, NativeDeadLetter(failure=bench.failure()))
        if bench.capabilities.native_dead_letter:
            assert error is None
            assert [dead.id for dead in bench.dead()] == [delivery.id]
        else:
            assert isinstance(error, UnsupportedError)
            assert list(bench.dead()) == []
            bench.advance(bench.unit + bench.grain)
            assert bench.one().id == delivery.id


def _too_late(bench: Bench, step: FinalStep, error: Exception | None) -> bool:
    """Whether the answer to a late step is LeaseLost; a step that isn't known at all may be refused as such."""
    if isinstance(step, NativeDeadLetter) and not bench.capabilities.native_dead_letter:
        return isinstance(error, (LeaseLost, UnsupportedError))
    return isinstance(error, LeaseLost)
