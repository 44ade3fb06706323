"""A purge deletes at the service, through the real SDK, and receives only what that leaves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Final, NativeDeadLetter, Outgoing
from cloudq.core.failure import Failure
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.service_bus.dead_letters import ServiceBusDeadLetters
from cloudq.drivers.service_bus.links import Link
from cloudq.emulators.service_bus.dialect.faults import FaultPoint
from tests.integration.service_bus.place import PLAIN, Place

pytestmark = pytest.mark.slow

LEASE = timedelta(minutes=1)
WAIT = timedelta(seconds=60)


@pytest.fixture
def driver(place: Place) -> Iterator[ServiceBusDriver]:
    place.make(PLAIN, LEASE)
    made = ServiceBusDriver("", connection_string=place.emulator.connection_string)
    yield made
    made.close()


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages each receive brought that brought any."""
    counts: list[int] = []
    receive = Link.receive

    def counted(link: Link, limit: int, wait: timedelta) -> list[object]:
        taken = receive(link, limit, wait)
        counts.extend([len(taken)] if taken else [])
        return taken  # type: ignore[return-value]  # as it is

    monkeypatch.setattr(Link, "receive", counted)
    return counts


def send(driver: ServiceBusDriver, count: int) -> None:
    for start in range(0, count, 100):
        some = range(start, min(start + 100, count))
        results = driver.send([Outgoing(id=uuid.uuid4().hex, queue=PLAIN, body=b"%d" % n) for n in some])
        assert [result.error for result in results] == [None] * len(some)


def die(driver: ServiceBusDriver, count: int) -> ServiceBusDeadLetters:
    send(driver, count)
    step = NativeDeadLetter(failure=Failure(reason="why"))
    left = count
    while left:
        deliveries = receive(driver, min(left, 50))
        settled = driver.settle([Final(lease=delivery.lease, step=step) for delivery in deliveries])
        assert {result.error for result in settled} == {None}
        left -= len(deliveries)
    return driver.dead_letters(PLAIN)


def receive(driver: ServiceBusDriver, limit: int) -> Sequence[Delivery]:
    return driver.receive(PLAIN, limit=limit, wait=WAIT, lease=LEASE)


def test_dead_letters_are_deleted_at_the_service(place: Place, driver: ServiceBusDriver, received: list[int]) -> None:
    """Over a thousand by four requests; none of them is received, and the number is exact."""
    letters = die(driver, 1_050)
    received.clear()
    assert letters.purge(None) == 1_050
    assert received == []
    assert place.counts().dead_letter == 0


def test_what_somebody_has_taken_stays(place: Place, driver: ServiceBusDriver) -> None:
    """A redrive under way keeps what it has leased; the rest goes."""
    letters = die(driver, 5)
    taken = letters.take(None, limit=2, lease=LEASE)
    other = ServiceBusDriver("", connection_string=place.emulator.connection_string)
    assert other.dead_letters(PLAIN).purge(None) == 3
    other.close()
    assert [dead.body for dead in letters.peek(limit=10)] == [delivery.body for delivery in taken]


def test_where_it_is_refused_they_are_received(place: Place, driver: ServiceBusDriver, received: list[int]) -> None:
    """As partitioned entities refuse it: all are deleted all the same, and counted."""
    letters = die(driver, 120)
    received.clear()
    place.emulator.faults.fail(FaultPoint.MANAGE, "amqp:internal-error", times=1)
    assert letters.purge(None) == 120
    assert sum(received) == 120
    assert place.counts().dead_letter == 0


def test_chosen_dead_letters_are_received(driver: ServiceBusDriver) -> None:
    """The service deletes the oldest, and can't be told which."""
    letters = die(driver, 3)
    first, second, third = letters.peek(limit=3)
    assert letters.purge([second.key]) == 1
    assert [dead.key for dead in letters.peek(limit=3)] == [first.key, third.key]


def test_a_queue_is_purged_in_the_same_way(place: Place, driver: ServiceBusDriver, received: list[int]) -> None:
    """Ready messages go at once, the locked one stays."""
    send(driver, 700)
    assert len(receive(driver, 1)) == 1
    received.clear()
    assert driver.purge(PLAIN) == 699
    assert received == []
    assert place.counts().active == 1
