"""Behaviours of leases: exclusivity, expiry, extension."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, ExtendResult, Release
from cloudq.errors import LeaseLost, TransientError, UnsupportedError
from cloudq.testing.clock import FakeClock
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.harness import STUCK, Stall
from cloudq.testing.conformance.push import PushHarness


class Leases:
    """Holding a message."""

    def test_a_lease_is_exclusive(self, bench: Bench) -> None:
        """A leased message must not be handed to another client, nor to the same one again."""
        other = bench.client()
        bench.send()
        bench.one()
        bench.nothing(driver=other)
        bench.nothing()

    def test_a_lease_lasts_as_long_as_it_says(self, bench: Bench) -> None:
        """Until just before it `ends` no other client must get the message, and its holder can settle it."""
        other = bench.client()
        bench.send()
        delivery = bench.one()
        bench.advance_to(delivery.lease.ends - bench.lead - bench.harness.quiet)
        bench.nothing(driver=other)
        bench.ack(delivery)

    def test_a_lease_that_ends_hands_the_message_over_again(self, bench: Bench) -> None:
        """Once the lease is over, the same message must come again, counted as another delivery and attempt."""
        bench.send()
        first = bench.one(lease=bench.unit)
        bench.advance(bench.unit + bench.grain)
        again = bench.one()
        assert (again.id, again.body) == (first.id, first.body)
        # A message pushed again by its backend isn't another attempt: there retries are copies, which say their number.
        pushed = isinstance(bench.harness, PushHarness)
        assert (again.deliveries, again.attempt) == (2, 1 if pushed else 2)

    def test_every_crash_counts_as_a_delivery(self, bench: Bench) -> None:
        """A message whose holders keep dying says how often it was handed over."""
        bench.send()
        seen = []
        for _ in range(3):
            seen.append(bench.one(lease=bench.unit).deliveries)
            bench.advance(bench.unit + bench.grain)
        assert seen == [1, 2, 3]

    def test_a_lease_is_counted_from_before_the_message_came(self, bench: Bench) -> None:
        """A lease must never be reported as longer than what is left of it when the receive returns."""
        bench.send()
        start = bench.elapsed()
        ends = bench.one().lease.ends
        assert start < ends <= bench.elapsed() + bench.lease

    def test_different_leases_may_be_asked_for(self, bench: Bench) -> None:
        """A receive's lease holds for what it brought: a short one ends while a long one lasts; or the queue says."""
        bench.send()
        short = bench.one(lease=bench.unit)
        bench.send()
        long = bench.one(lease=4 * bench.unit)
        if not bench.capabilities.chosen_lease:
            assert long.lease.ends - bench.elapsed() < 4 * bench.unit
            return
        bench.advance(bench.unit + bench.grain)
        assert [delivery.id for delivery in bench.receive(2)] == [short.id]

    def test_an_extension_grants_what_it_reports(self, bench: Bench) -> None:
        """An extended lease keeps others away until the time granted; an unextendable one is UnsupportedError."""
        other = bench.client()
        bench.send()
        delivery = bench.one(lease=2 * bench.unit)
        bench.advance(bench.unit / 2)
        start = bench.elapsed()
        result = _extend(bench, delivery, 3 * bench.unit)
        if not bench.capabilities.extendable:
            assert isinstance(result.error, UnsupportedError)
            bench.ack(delivery)
            return
        assert result.error is None
        assert result.ends is not None
        assert start < result.ends <= bench.elapsed() + 3 * bench.unit
        bench.advance_to(result.ends - bench.lead - bench.harness.quiet)
        bench.nothing(driver=other)
        bench.ack(delivery)

    def test_an_extended_lease_ends_when_it_says(self, bench: Bench) -> None:
        """After the time granted the message is handed over again; where nothing is granted, after the lease."""
        bench.send()
        delivery = bench.one(lease=2 * bench.unit)
        result = _extend(bench, delivery, bench.unit)
        bench.advance_to((result.ends or delivery.lease.ends) + bench.grain)
        assert bench.one().deliveries == 2
        assert isinstance(bench.settle(delivery, Ack()), LeaseLost)

    def test_an_extension_is_never_beyond_the_hard_limit(self, bench: Bench) -> None:
        """The longest extension of a lease ends no later than its `hard_end`, if it has one."""
        bench.send()
        delivery = bench.one()
        bench.advance(bench.unit / 2)
        result = _extend(bench, delivery, bench.capabilities.max_lease or timedelta(days=1))
        if not bench.capabilities.extendable:
            assert isinstance(result.error, UnsupportedError)
            return
        assert result.ends is not None
        assert result.ends > bench.elapsed()
        if bench.capabilities.max_lease is not None:
            assert delivery.lease.hard_end is not None
            assert result.ends <= delivery.lease.hard_end

    def test_a_lost_lease_is_not_extended(self, bench: Bench) -> None:
        """Extending a lease that is over must report LeaseLost, and must not hide the message again."""
        bench.send()
        delivery = bench.one(lease=bench.unit)
        bench.advance(bench.unit + bench.grain)
        assert _extend_is_refused(bench, delivery)
        assert bench.one().id == delivery.id

    def test_an_extension_does_not_touch_the_next_holder(self, bench: Bench) -> None:
        """If another client holds the message, extending the old lease must be LeaseLost and not touch the new one."""
        bench.send()
        old = bench.one(lease=bench.unit)
        bench.advance(bench.unit + bench.grain)
        new = bench.one(lease=2 * bench.unit)
        assert _extend_is_refused(bench, old)
        bench.advance(bench.unit / 2)
        bench.nothing()
        bench.ack(new)

    def test_a_settled_lease_is_not_extended(self, bench: Bench) -> None:
        """Extending the lease of an acked message must report LeaseLost, and must not bring the message back."""
        bench.send()
        delivery = bench.one(lease=bench.unit)
        bench.ack(delivery)
        assert _extend_is_refused(bench, delivery)
        bench.advance(bench.unit + bench.grain)
        bench.nothing()

    @pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)], ids=["forwards", "backwards"])
    def test_a_clock_that_is_set_changes_no_lease(self, bench: Bench, step: timedelta) -> None:
        """However the wall clock is set, no other client must get the message before the lease's span is over."""
        if (clock := _settable(bench)) is None:
            return  # the driver's time can't be set
        other = bench.client()
        bench.send()
        delivery = bench.one(lease=2 * bench.unit)
        clock.step(step)
        bench.advance(2 * bench.unit - bench.grain)
        bench.nothing(driver=other)
        bench.advance(2 * bench.grain)
        assert bench.one(driver=other).id == delivery.id
        assert isinstance(bench.settle(delivery, Ack()), LeaseLost)

    @pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)], ids=["forwards", "backwards"])
    def test_a_clock_that_is_set_changes_no_extension(self, bench: Bench, step: timedelta) -> None:
        """A lease is extended, by the span that was asked for, before and after the wall clock is set; then acked."""
        if (clock := _settable(bench)) is None or not bench.capabilities.extendable:
            return  # the driver's time can't be set, or there are no extensions
        other = bench.client()
        bench.send()
        delivery = bench.one(lease=2 * bench.unit)
        for _ in range(2):
            clock.step(step)
            result = _extend(bench, delivery, 2 * bench.unit)
            assert (result.error, result.ends) == (None, clock.elapsed() + 2 * bench.unit)
        bench.advance(2 * bench.unit - bench.grain)
        bench.nothing(driver=other)
        bench.ack(delivery)

    def test_a_machine_that_slept_finds_its_lease_over(self, bench: Bench) -> None:
        """The time asleep counts: any client gets the message; its former holder can neither extend nor settle it."""
        if (clock := _settable(bench)) is None:
            return  # the driver's machine can't be suspended
        bench.send()
        delivery = bench.one(lease=2 * bench.unit)
        clock.suspend(2 * bench.unit + bench.grain)
        assert _extend_is_refused(bench, delivery)
        assert isinstance(bench.settle(delivery, Release()), LeaseLost)
        assert bench.one().id == delivery.id

    def test_an_extension_beside_a_settlement_in_flight_is_for_real(self, bench: Bench) -> None:
        """While an ack hangs, an extension must not be LeaseLost, and must hold if the ack fails: it is tried again."""
        other, stall = bench.client(), Stall()
        bench.send()
        lease = 2 * bench.unit if bench.capabilities.chosen_lease else bench.unit
        delivery = bench.one(lease=lease)
        if not bench.harness.stall(bench.driver, stall):
            return  # no settlement is ever in flight
        settling = bench.start(lambda: bench.settle(delivery, Ack()))
        stall.await_flight()
        bench.advance(lease / 2)
        result = _extend(bench, delivery, 3 * bench.unit)
        stall.cut()
        assert isinstance(settling.result(STUCK), TransientError)
        if bench.capabilities.extendable:
            assert result.error is None
            bench.advance(lease / 2 + bench.grain)
        else:
            assert isinstance(result.error, UnsupportedError)
        bench.nothing(driver=other)
        bench.ack(delivery)

    def test_one_lost_lease_does_not_hide_the_others(self, bench: Bench) -> None:
        """Of several leases extended by one call, each must have its own answer, in order."""
        for _ in range(3):
            bench.send()
        deliveries = bench.receive(3, sure=3)
        bench.ack(deliveries[1])
        results = bench.driver.extend([delivery.lease for delivery in deliveries], 2 * bench.unit)
        if bench.capabilities.extendable:
            assert [result.error is None for result in results] == [True, False, True]
            assert isinstance(results[1].error, LeaseLost)
        else:
            assert [type(result.error) for result in results] == [UnsupportedError] * 3
        bench.ack(deliveries[0], deliveries[2])

    def test_extending_nothing_answers_nothing(self, bench: Bench) -> None:
        """An extension of no leases is allowed."""
        assert list(bench.driver.extend([], bench.unit)) == []


def _extend(bench: Bench, delivery: Delivery, by: timedelta) -> ExtendResult:
    (result,) = bench.driver.extend([delivery.lease], by)
    return result


def _settable(bench: Bench) -> FakeClock | None:
    clock = bench.clock
    return clock if bench.harness.sets_the_clock and isinstance(clock, FakeClock) else None


def _extend_is_refused(bench: Bench, delivery: Delivery) -> bool:
    """Whether an extension reports that the lease is lost, or that no lease can be extended."""
    result = _extend(bench, delivery, 2 * bench.unit)
    expected = (LeaseLost,) if bench.capabilities.extendable else (LeaseLost, UnsupportedError)
    return isinstance(result.error, expected) and result.ends is None
