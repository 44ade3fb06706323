"""What the driver's connections do when the service doesn't, and what they leave behind."""

from __future__ import annotations

import gc
import threading
import time
import uuid
import warnings
from datetime import timedelta

import pytest

from cloudq.core.clock import SystemClock
from cloudq.core.driver import Ack, Final, Outgoing, SettleResult
from cloudq.drivers.service_bus import ServiceBusDriver, links
from cloudq.drivers.service_bus.limits import TIMEOUT
from cloudq.errors import BackendUnavailable
from tests.integration.processes import wait_until
from tests.integration.service_bus.place import PLAIN, Place

pytestmark = pytest.mark.slow

LEASE = timedelta(minutes=1)
WAIT = timedelta(seconds=60)
NONE = timedelta(0)
PATIENCE = timedelta(seconds=30)


def outgoing(count: int) -> list[Outgoing]:
    return [Outgoing(id=uuid.uuid4().hex, queue=PLAIN, body=b"{}") for _ in range(count)]


def another(place: Place, timeout: timedelta = TIMEOUT) -> ServiceBusDriver:
    return ServiceBusDriver("", connection_string=place.emulator.connection_string, timeout=timeout)


@pytest.fixture
def driver(place: Place) -> ServiceBusDriver:
    place.make(PLAIN, LEASE)
    return place.app.driver()


class Hurried(SystemClock):
    """A clock that a test may set forward."""

    __slots__ = ("by",)

    def __init__(self) -> None:
        self.by = NONE

    def elapsed(self) -> timedelta:
        return super().elapsed() + self.by


def test_an_unanswered_settlement_keeps_nobody_waiting(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its answer is awaited, leases are renewed, others are settled and new messages come; then it is settled."""
    place.make(PLAIN, LEASE)
    driver = another(place, timeout=6 * PATIENCE)  # of whose call half is for the answer
    driver.send(outgoing(3))
    deliveries = []
    while len(deliveries) < 3:
        deliveries += driver.receive(PLAIN, limit=3, wait=WAIT, lease=LEASE)
    stuck, renewed, other = deliveries
    clock = Hurried()
    monkeypatch.setattr(links, "SYSTEM_CLOCK", clock)
    place.emulator.faults.lose_settlements(applied=False, times=1)
    results: list[SettleResult] = []
    began = time.monotonic()
    thread = threading.Thread(target=lambda: results.extend(driver.settle([Final(lease=stuck.lease, step=Ack())])))
    thread.start()
    wait_until(lambda: place.emulator.faults._loss is None, within=60, what="the service has ignored it")
    assert driver.extend([renewed.lease], LEASE)[0].error is None
    assert driver.settle([Final(lease=other.lease, step=Ack())])[0].error is None
    driver.send(outgoing(1))
    (new,) = driver.receive(PLAIN, limit=1, wait=WAIT, lease=LEASE)
    assert time.monotonic() - began < PATIENCE.total_seconds()
    clock.by = PATIENCE
    thread.join()
    assert [None] == [result.error for result in results]
    driver.settle([Final(lease=one.lease, step=Ack()) for one in (renewed, new)])
    driver.close()
    assert place.is_empty()


def test_no_message_is_locked_to_a_receiver_that_is_idle(place: Place, driver: ServiceBusDriver) -> None:
    """One of ten asked for comes; what is sent after that another client gets at once, all of it."""
    driver.send(outgoing(1))
    (first,) = driver.receive(PLAIN, limit=10, wait=WAIT, lease=LEASE)
    driver.send(outgoing(9))
    other = another(place)
    began = time.monotonic()
    taken = []
    while len(taken) < 9 and time.monotonic() - began < 30:
        taken += other.receive(PLAIN, limit=10, wait=timedelta(seconds=1), lease=LEASE)
    took = time.monotonic() - began
    other.close()
    print(f"\n[credit] 9 of 9 after {took:.3f} s")
    assert 9 == len(taken)
    assert {1} == {delivery.deliveries for delivery in [first, *taken]}


def test_polls_of_an_empty_queue_lock_nothing(place: Place, driver: ServiceBusDriver) -> None:
    """After thirty of them, nobody holds credit: what is sent is locked to nobody, and the next who asks gets it."""
    driver.receive(PLAIN, limit=10, wait=NONE, lease=LEASE)
    began = time.monotonic()
    for _ in range(30):
        assert [] == list(driver.receive(PLAIN, limit=10, wait=NONE, lease=LEASE))
    took = (time.monotonic() - began) / 30
    print(f"\n[credit] a poll that doesn't wait took {took * 1000:.0f} ms (where the SDK reads it takes 200)")
    driver.send(outgoing(10))
    assert (10, 0) == (place.counts().active, place.locked())
    assert 10 == len(driver.receive(PLAIN, limit=10, wait=WAIT, lease=LEASE))


@pytest.mark.parametrize("noticed", [False, True], ids=["by the settlement", "by a receive"])
def test_what_was_received_before_a_cut_is_settled_after_it(
    place: Place, driver: ServiceBusDriver, noticed: bool
) -> None:
    """By another link, at once: a lock is the message's, and not the connection's. A renewal works as well."""
    driver.send(outgoing(20))
    deliveries = []
    while len(deliveries) < 20:
        deliveries += driver.receive(PLAIN, limit=20, wait=WAIT, lease=LEASE)
    place.emulator.faults.drop_connections()
    wait_until(lambda: not place.emulator._listener.connections, within=60, what="all are cut")
    if noticed:
        with pytest.raises(BackendUnavailable):
            driver.receive(PLAIN, limit=1, wait=NONE, lease=LEASE)
    results = driver.settle([Final(lease=one.lease, step=Ack()) for one in deliveries[1:]])
    assert {None} == {result.error for result in results}
    assert driver.extend([deliveries[0].lease], LEASE)[0].error is None
    driver.settle([Final(lease=deliveries[0].lease, step=Ack())])
    assert place.is_empty()


def test_a_cut_leaves_no_socket_behind(place: Place, driver: ServiceBusDriver) -> None:
    """The SDK forgets the socket of a connection that it finds cut; the driver doesn't."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()  # what other tests have left
    driver.send(outgoing(1))
    driver.receive(PLAIN, limit=1, wait=WAIT, lease=LEASE)
    place.emulator.faults.drop_connections()
    driver.send(outgoing(1))
    driver.close()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gc.collect()
    assert [] == [str(one.message) for one in said]
