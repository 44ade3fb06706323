"""What is the memory driver's own, beyond the conformance kit: it behaves as its capabilities say, to the bound."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.clock import from_micros
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import (
    Ack,
    Cancels,
    Capabilities,
    Final,
    NativeDeadLetter,
    Outgoing,
    Release,
)
from cloudq.core.failure import Failure
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.memory.store import SENT_KEPT
from cloudq.errors import BackendError, LeaseLost, MessageTooLarge, QueueNotFound, UnsupportedError
from cloudq.testing.clock import FakeClock
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_fifo_like, sqs_like

ZERO = timedelta(0)
MINUTE = timedelta(minutes=1)
BARE = Capabilities(max_batch=2, max_body=100)


def driver_with(**changes: object) -> MemoryDriver:
    capabilities = replace(BARE, **changes)
    return MemoryDriver(clock=FakeClock(), capabilities=lambda _: capabilities)


def item(id_: str = "1", *, queue: str = "q", **changes: object) -> Outgoing:
    return replace(Outgoing(id=id_, queue=queue, body=b"{}"), **changes)


def send(driver: MemoryDriver, *items: Outgoing) -> list[Exception | None]:
    return [result.error for result in driver.send(items)]


def receive(driver: MemoryDriver, *, limit: int = 10, lease: timedelta = MINUTE) -> list[Delivery]:
    return list(driver.receive("q", limit=limit, wait=ZERO, lease=lease))


def leased(driver: MemoryDriver, **changes: object) -> Delivery:
    assert send(driver, item(**changes)) == [None]
    (delivery,) = receive(driver)
    return delivery


def settle(driver: MemoryDriver, delivery: Delivery, step: Ack | Release | NativeDeadLetter) -> Exception | None:
    (result,) = driver.settle([Final(lease=delivery.lease, step=step)])
    return result.error


# ── its own form ─────────────────────────────────────────────────────────────────────────────────────────


def test_by_default_it_can_do_nearly_everything() -> None:
    """Without given capabilities it is as able as the embedded database, fairness left out."""
    expected = Capabilities(
        max_batch=500,
        max_body=2_000,
        native_dead_letter=True,
        native_retry_delay=timedelta(days=36_500),
        ordering=False,
        deduplication=MINUTE,
        attempt_exact=True,
        fenced_settle=True,
        cancels=Cancels.WAITING,
        shared=False,
    )
    driver = MemoryDriver(max_body=2_000, dedup_window=MINUTE)
    assert driver.capabilities("q") == expected
    assert driver.capabilities("q.fifo") == replace(expected, ordering=True)


def test_what_was_sent_is_logged() -> None:
    """`sent` has what was stored, in order, of all queues; no duplicates and nothing that was refused."""
    driver = MemoryDriver(max_body=10)
    first, other = item("1", native_id="key"), item("2", queue="other")
    send(driver, first, item("1b", native_id="key"), item("1c", body=b"x" * 20_000))
    send(driver, other)
    assert driver.sent == [first, other]


def test_the_log_is_bounded() -> None:
    """A process that sends for ever doesn't keep every body."""
    driver = driver_with(max_batch=SENT_KEPT + 5)
    send(driver, *(item(str(number)) for number in range(SENT_KEPT + 5)))
    assert len(driver.sent) == SENT_KEPT
    assert driver.sent[-1].id == str(SENT_KEPT + 4)


def test_only_named_queues_exist() -> None:
    """With `queues` given, another queue is a QueueNotFound everywhere; their dead-letter queues exist."""
    driver = MemoryDriver(queues=["q"])
    assert send(driver, item()) == [None]
    assert send(driver, item(queue="q-dlq")) == [None]
    assert [type(error) for error in send(driver, item(queue="other"), item(queue="other"))] == [QueueNotFound] * 2
    for call in (
        lambda: driver.receive("other", limit=1, wait=ZERO, lease=MINUTE),
        lambda: driver.stats("other"),
        lambda: driver.purge("other"),
    ):
        with pytest.raises(QueueNotFound, match="there is no queue 'other'"):
            call()


def test_clients_share_messages_and_are_closed_alone() -> None:
    """A shared client sees the same messages, is limited to the same queues, and goes on when the other is closed."""
    driver = MemoryDriver(queues=["q"])
    other = driver.share()
    send(driver, item())
    driver.close()
    assert receive(driver) == []
    assert [delivery.id for delivery in receive(other)] == ["1"]
    assert [type(error) for error in send(other, item(queue="other"))] == [QueueNotFound]


def test_a_closed_driver_refuses_to_send() -> None:
    """After close a send is an error, not a loss."""
    driver = MemoryDriver()
    driver.close()
    with pytest.raises(BackendError, match="closed"):
        driver.send([item()])


def test_one_call_is_for_one_queue() -> None:
    """A core that mixes queues in a send is caught."""
    with pytest.raises(ValueError, match="one send is for one queue"):
        MemoryDriver().send([item(), item(queue="other")])


def test_a_lease_of_no_time_is_refused() -> None:
    """A lease that is over when it begins is a mistake."""
    with pytest.raises(ValueError, match="is none"):
        receive(MemoryDriver(), lease=ZERO)


def test_a_delay_to_the_end_of_time_is_stored() -> None:
    """A delay that ends after the last moment that there is doesn't overflow."""
    driver = MemoryDriver(clock=FakeClock())
    assert send(driver, item(delay=timedelta.max)) == [None]
    assert driver.stats("q").delayed == 1


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


def test_the_lease_of_a_dead_letter_is_none_of_the_queue_s() -> None:
    """Settled as a message of the queue, a dead letter is a lost lease, and the other way round."""
    driver = MemoryDriver()
    settle(driver, leased(driver), NativeDeadLetter(failure=Failure(reason="broken")))
    alive = leased(driver, id="2")
    (dead,) = driver.dead_letters("q").take(None, limit=1, lease=MINUTE)
    assert isinstance(settle(driver, dead, Ack()), LeaseLost)
    (result,) = driver.dead_letters("q").settle([Final(lease=alive.lease, step=Ack())])
    assert isinstance(result.error, LeaseLost)


# ── it behaves as its capabilities say ───────────────────────────────────────────────────────────────────


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


def test_a_batch_of_too_many_bytes_is_refused() -> None:
    """Bodies of more than `max_batch_bytes` in one call are refused; exactly as many are stored."""
    driver = driver_with(max_batch_bytes=10)
    five = item(body=b"12345")
    assert [type(error) for error in send(driver, five, replace(five, body=b"123456"))] == [UnsupportedError] * 2
    assert send(driver, five, five) == [None, None]


def test_a_body_may_be_16_kib_larger_than_a_producer_s() -> None:
    """So that every copy fits; a byte more is refused."""
    driver = driver_with()
    fits = item(body=b"x" * (100 + 16 * 1024))
    assert send(driver, fits) == [None]
    assert [type(error) for error in send(driver, replace(fits, body=fits.body + b"x"))] == [MessageTooLarge]


def test_a_delay_beyond_the_bound_is_refused() -> None:
    """A core that doesn't hop is caught."""
    driver = driver_with(max_delay=MINUTE)
    errors = send(driver, item(delay=MINUTE), item(delay=MINUTE * 2))
    assert [type(error) for error in errors] == [type(None), UnsupportedError]


@pytest.mark.parametrize("field", ["ordering_key", "fairness_key"])
def test_a_key_that_has_no_effect_is_refused(field: str) -> None:
    """A core that passes a key to a queue that ignores it is caught."""
    assert [type(error) for error in send(driver_with(), item(**{field: "a"}))] == [UnsupportedError]
    assert send(driver_with(ordering=True, fairness=True), item(**{field: "a"})) == [None]


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


def test_a_lease_beyond_the_bound_is_refused() -> None:
    """A receive or an extension that asks for more than `max_lease` is refused; within it, the hard limit holds."""
    driver = driver_with(max_lease=3 * MINUTE)
    with pytest.raises(UnsupportedError, match="is longer than"):
        receive(driver, lease=4 * MINUTE)
    delivery = leased(driver)
    hard_limit = driver._clock.now() + 3 * MINUTE
    assert delivery.lease.hard_limit == hard_limit
    assert isinstance(driver.extend([delivery.lease], 4 * MINUTE)[0].error, UnsupportedError)
    driver._clock.advance(MINUTE / 2)
    assert driver.extend([delivery.lease], 3 * MINUTE)[0].expires_at == hard_limit


def test_what_cannot_be_extended_is_refused() -> None:
    """With `extendable` false every extension is UnsupportedError, and the lease is as it was."""
    driver = driver_with(extendable=False)
    delivery = leased(driver)
    assert isinstance(driver.extend([delivery.lease], 2 * MINUTE)[0].error, UnsupportedError)
    driver._clock.advance(MINUTE)
    assert len(receive(driver)) == 1


def test_attempts_are_deliveries_where_they_are_not_exact() -> None:
    """With `attempt_exact` false a release gives no attempt back."""
    for exact, expected in ((False, 2), (True, 1)):
        driver = driver_with(attempt_exact=exact, native_retry_delay=ZERO)
        settle(driver, leased(driver), Release(counted=False))
        (again,) = receive(driver)
        assert (again.attempt, again.deliveries) == (expected, 2)


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


def test_without_a_window_every_native_id_is_new() -> None:
    """With `deduplication` None nothing is a duplicate, and the driver doesn't claim to know."""
    driver = driver_with()
    results = driver.send([item(native_id="a"), item("2", native_id="a")])
    assert [(result.error, result.duplicate) for result in results] == [(None, None)] * 2
    assert driver.stats("q").ready == 2


def test_a_duplicate_names_the_original() -> None:
    """With a window, the second of one native id says whose it was."""
    driver = driver_with(deduplication=MINUTE)
    results = driver.send([item("first", native_id="a"), item("second", native_id="a")])
    assert [(result.duplicate, result.original_id) for result in results] == [(False, None), (True, "first")]


def test_ended_windows_are_forgotten() -> None:
    """The memory of native ids doesn't grow without end."""
    driver = driver_with(deduplication=MINUTE)
    for number in range(5):
        send(driver, item(native_id=str(number)))
        driver._clock.advance(MINUTE)
    send(driver, item(native_id="last"))
    assert list(driver._shelf("q").seen) == ["last"]


def test_without_native_dead_letters_they_are_in_an_ordinary_queue() -> None:
    """NativeDeadLetter is refused; what is sent to `q-dlq` is a dead letter of `q`, with its failure."""
    driver = driver_with()
    failure = Failure(reason="broken")
    delivery = leased(driver)
    assert isinstance(settle(driver, delivery, NativeDeadLetter(failure=failure)), UnsupportedError)
    send(driver, item("dead", queue="q-dlq", failure=failure))
    assert [(dead.id, dead.failure) for dead in driver.dead_letters("q").peek(limit=10)] == [("dead", failure)]
    assert driver.stats("q").dead == 1
    assert [d.id for d in driver.receive("q-dlq", limit=1, wait=ZERO, lease=MINUTE)] == ["dead"]


def test_dead_letters_of_an_ordered_queue_are_taken_without_regard_to_order() -> None:
    """Whoever redrives chooses; a key's first dead letter doesn't block the second."""
    driver = MemoryDriver(clock=FakeClock(), capabilities=sqs_fifo_like)
    for number in "12":
        driver.send([item(number, queue="q-dlq.fifo", ordering_key="a")])
    letters = driver.dead_letters("q.fifo")
    keys = [dead.key for dead in letters.peek(limit=10)]
    assert [delivery.id for delivery in letters.take(keys[1:], limit=10, lease=MINUTE)] == ["2"]
    assert [delivery.id for delivery in letters.take(None, limit=10, lease=MINUTE)] == ["1"]


@pytest.mark.parametrize("key", ["", "x", "-1", "\N{FULLWIDTH DIGIT ONE}", "9" * 30])
def test_a_key_that_none_has_finds_nothing(key: str) -> None:
    """Whatever text is given as a dead letter's key, it is at worst not found."""
    driver = MemoryDriver()
    settle(driver, leased(driver), NativeDeadLetter(failure=Failure(reason="broken")))
    letters = driver.dead_letters("q")
    assert letters.get(key) is None
    assert letters.purge([key]) == 0
    assert list(letters.take([key], limit=1, lease=MINUTE)) == []


# ── the profiles ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_profiles_say_what_the_services_document() -> None:
    """The features that decide what is emulated are those of the services."""
    sqs, fifo = sqs_like("q"), sqs_like("q.fifo")
    tasks, bus = cloud_tasks_like("q"), service_bus_like("q.fifo")
    assert (sqs.native_retry_delay, sqs.max_delay, sqs.deduplication) == (MINUTE, 15 * MINUTE, None)
    assert fifo == sqs_fifo_like("q.fifo")
    assert (fifo.ordering, fifo.deduplication, fifo.max_delay) == (True, 5 * MINUTE, ZERO)
    assert (tasks.native_retry_delay, tasks.native_dead_letter, tasks.max_delay) == (None, False, timedelta(days=30))
    assert (bus.native_retry_delay, bus.native_dead_letter, bus.deduplication) == (ZERO, True, 10 * MINUTE)
    assert (bus.ordering, service_bus_like("q").ordering) == (True, False)
