"""What is the memory driver's own, beyond the conformance kit: it behaves as its capabilities say, to the bound."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloudq.core.delivery import Delivery
from cloudq.core.driver import (
    Cancels,
    Capabilities,
)
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendError, MessageTooLarge, QueueNotFound, UnsupportedError
from cloudq.testing.clock import FakeClock
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_fifo_like, sqs_like
from tests.unit.drivers.memory.bench import MINUTE, ZERO, driver_with, item, leased, receive, send


def test_by_default_it_can_do_nearly_everything() -> None:
    """Without given capabilities it is as able as the embedded database."""
    expected = Capabilities(
        max_batch=500,
        max_body=2_000,
        native_dead_letter=True,
        keeps_failures=True,
        native_retry_delay=timedelta(days=36_500),
        ordering=False,
        fairness=True,
        deduplication=MINUTE,
        attempt_exact=True,
        fenced_settle=True,
        cancels=Cancels.WAITING,
        shared=False,
    )
    driver = MemoryDriver(max_body=2_000, dedup_window=MINUTE)
    assert driver.capabilities("q") == expected
    assert driver.capabilities("q.fifo") == replace(expected, ordering=True, fairness=False)


def test_what_was_sent_is_logged() -> None:
    """`sent` has what was stored, in order, of all queues; no duplicates and nothing that was refused."""
    driver = MemoryDriver(max_body=10)
    first, other = item("1", native_id="key"), item("2", queue="other")
    send(driver, first, item("1b", native_id="key"), item("1c", body=b"x" * 20_000))
    send(driver, other)
    assert driver.sent == [first, other]


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
    with pytest.raises(ValueError, match="longer than zero"):
        receive(MemoryDriver(), lease=ZERO)


def test_a_delay_to_the_end_of_time_is_stored() -> None:
    """A delay that ends after the last moment that there is doesn't overflow."""
    driver = MemoryDriver(clock=FakeClock())
    assert send(driver, item(delay=timedelta.max)) == [None]
    assert driver.stats("q").delayed == 1


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


def test_fairness_keys_have_their_turns() -> None:
    """Once a message has one; what is released, purged or cancelled meanwhile takes none."""
    driver = driver_with(fairness=True, max_batch=10)
    assert send(driver, *(item(f"a{number}", fairness_key="a") for number in range(4))) == [None] * 4
    assert send(driver, item("b0", fairness_key="b"), item("c0", fairness_key="c", delay=MINUTE)) == [None] * 2
    assert [one.id for one in receive(driver, limit=3)] == ["a0", "b0", "a1"]
    assert [one.id for one in receive(driver, limit=1)] == ["a2"]
    assert driver.next_due("q") == driver._clock.now()
    assert driver.purge("q") == 6
    assert receive(driver) == []


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


def test_a_receive_that_is_held_up_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its looks at the clock a busy machine may hold it up for as long as it was to wait."""
    clock = FakeClock()
    driver = MemoryDriver(clock=clock)
    lease_ready = MemoryDriver._lease_ready
    looks: list[str] = []

    def held_up(self: MemoryDriver, *arguments: Any) -> Iterator[Delivery]:
        if not looks:
            looks.append("held up")
            clock.advance(MINUTE)
        return lease_ready(self, *arguments)

    monkeypatch.setattr(MemoryDriver, "_lease_ready", held_up)
    assert list(driver.receive("q", limit=1, wait=MINUTE, lease=MINUTE)) == []
