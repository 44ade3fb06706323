"""Final steps and extensions in memory: what the capabilities refuse, and late ones."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.clock import from_micros
from cloudq.core.delivery import Lease
from cloudq.core.driver import (
    Ack,
    Final,
    NativeDeadLetter,
    Release,
)
from cloudq.core.failure import Failure
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import LeaseLost, UnsupportedError
from tests.unit.drivers.memory.bench import MINUTE, driver_with, item, leased, receive, send, settle


def test_a_foreign_receipt_is_a_lost_lease() -> None:
    """A lease that this driver never gave settles nothing."""
    driver = MemoryDriver()
    leased(driver)
    foreign = Lease(queue="q", receipt="somebody's", expires_at=from_micros(0), ends=timedelta(0))
    assert isinstance(driver.settle([Final(lease=foreign, step=Ack())])[0].error, LeaseLost)
    assert driver.stats("q").in_flight == 1


def test_a_dead_letter_is_not_dead_lettered() -> None:
    """A dead letter that was taken can be acked or released; there is no further place for it."""
    driver = MemoryDriver()
    settle(driver, leased(driver), NativeDeadLetter(failure=Failure(reason="broken")))
    letters = driver.dead_letters("q")
    (taken,) = letters.take(None, limit=1, lease=MINUTE)
    (result,) = letters.settle([Final(lease=taken.lease, step=NativeDeadLetter(failure=Failure(reason="again")))])
    assert isinstance(result.error, UnsupportedError)
    assert [dead.id for dead in letters.peek(limit=10)] == ["1"]


def test_a_batch_beyond_the_bound_is_refused() -> None:
    """More items than `max_batch`, in any call, are refused as a whole; a receive just brings fewer."""
    driver = driver_with()
    too_many = [item(str(number)) for number in range(3)]
    assert [type(error) for error in send(driver, *too_many)] == [UnsupportedError] * 3
    assert driver.stats("q").ready == 0
    for one in too_many:
        send(driver, one)
    first = receive(driver)
    deliveries = [*first, *receive(driver)]
    assert (len(first), len(deliveries)) == (2, 3)
    finals = [Final(lease=delivery.lease, step=Ack()) for delivery in deliveries]
    assert [type(result.error) for result in driver.settle(finals)] == [UnsupportedError] * 3
    leases = [delivery.lease for delivery in deliveries]
    assert [type(result.error) for result in driver.extend(leases, MINUTE)] == [UnsupportedError] * 3
    assert driver.stats("q").in_flight == 3


def test_a_release_beyond_the_bound_is_refused() -> None:
    """A core that releases for longer than the backend can is caught; the message stays leased."""
    driver = driver_with(native_retry_delay=MINUTE)
    delivery = leased(driver)
    assert isinstance(settle(driver, delivery, Release(delay=MINUTE * 2)), UnsupportedError)
    assert driver.stats("q").in_flight == 1
    assert settle(driver, delivery, Release(delay=MINUTE)) is None


def test_without_releases_there_is_one_at_once() -> None:
    """Where single deliveries can't be released, a failed one still comes again: at once, not after a delay."""
    driver = driver_with(native_retry_delay=None)
    delivery = leased(driver)
    assert isinstance(settle(driver, delivery, Release(delay=MINUTE)), UnsupportedError)
    assert settle(driver, delivery, Release()) is None
    assert len(receive(driver)) == 1


def test_what_cannot_be_extended_is_refused() -> None:
    """With `extendable` false every extension is UnsupportedError, and the lease is as it was."""
    driver = driver_with(extendable=False)
    delivery = leased(driver)
    assert isinstance(driver.extend([delivery.lease], 2 * MINUTE)[0].error, UnsupportedError)
    driver._clock.advance(MINUTE)
    assert len(receive(driver)) == 1


def test_an_unfenced_late_ack_deletes_what_nobody_holds() -> None:
    """As with a stale receipt handle: the message is gone, and still the lease is reported as lost."""
    driver = driver_with(fenced_settle=False)
    delivery = leased(driver)
    driver._clock.advance(MINUTE)
    assert isinstance(settle(driver, delivery, Ack()), LeaseLost)
    assert receive(driver) == []


def test_an_unfenced_late_ack_deletes_nothing_that_somebody_holds() -> None:
    """A receipt is void once the message was handed to somebody else, and a late release frees nothing."""
    driver = driver_with(fenced_settle=False)
    old = leased(driver)
    driver._clock.advance(MINUTE)
    (new,) = receive(driver)
    assert isinstance(settle(driver, old, Ack()), LeaseLost)
    assert isinstance(settle(driver, old, Release()), LeaseLost)
    assert receive(driver) == []
    assert settle(driver, new, Ack()) is None
