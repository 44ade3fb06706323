"""Answers that are cut at each byte, left out, or replaced by a web page: nothing counts as done that wasn't named."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq.core.driver import Ack, Final, Outgoing
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.errors import BackendUnavailable, LeaseLost
from tests.chaos.scale import sized
from tests.integration.service_bus.amqp_proxy import AmqpProxy, Kind, Once
from tests.integration.service_bus.place import PLAIN, Place

pytestmark = pytest.mark.slow

LEASE = timedelta(minutes=1)
WAIT = timedelta(seconds=30)
# Every byte of a disposition, of which the longest has some 60; in the suite every seventh.
CUTS = [(Kind.CUT, at) for at in range(0, 60, sized(7, 1))] + [(Kind.EMPTIED, 0), (Kind.REPLACED, 0)]


@pytest.fixture
def proxy(place: Place) -> Iterator[AmqpProxy]:
    place.make(PLAIN, LEASE)
    with AmqpProxy(place.emulator.port) as made:
        yield made


@pytest.fixture
def driver(proxy: AmqpProxy) -> Iterator[ServiceBusDriver]:
    made = ServiceBusDriver("", connection_string=proxy.connection_string)
    yield made
    made.close()


def outgoing(count: int, **options: object) -> list[Outgoing]:
    return [Outgoing(id=uuid.uuid4().hex, queue=PLAIN, body=b"{}", **options) for _ in range(count)]


def test_a_send_whose_answer_is_spoilt(place: Place, proxy: AmqpProxy, driver: ServiceBusDriver) -> None:
    """It is an error that says that all may have been stored; what is accepted is there, each of it."""
    driver.send(outgoing(1))
    accepted, spoilt = 1, 0
    for kind, at in CUTS:
        proxy.policy = once = Once(kind, at=at)
        results = driver.send(outgoing(3))
        assert once.done.is_set()
        errors = [result.error for result in results]
        assert {BackendUnavailable} == set(map(type, errors)), (kind, at)
        assert "may have been stored" in str(errors[0])
        spoilt += 3
        # The next one goes over a new connection.
        assert [None] == [result.error for result in driver.send(outgoing(1))]
        accepted += 1
    assert place.counts().active == accepted + spoilt  # the emulator had stored it each time


def test_a_schedule_whose_answer_is_spoilt(place: Place, proxy: AmqpProxy, driver: ServiceBusDriver) -> None:
    """As a send; a message without a number can't be cancelled, and isn't said to be scheduled."""
    later = {"delay": timedelta(hours=1), "cancellable": True}
    assert None is driver.send(outgoing(1, **later))[0].error
    for at in range(0, 200, sized(40, 3)):
        proxy.policy = once = Once(Kind.CUT, at=at)
        (result,) = driver.send(outgoing(1, **later))
        assert once.done.is_set()
        assert (BackendUnavailable, None) == (type(result.error), result.receipt), at
        proxy.policy = None
        assert None is driver.send(outgoing(1, **later))[0].error


@pytest.mark.parametrize("after", [0, 1], ids=["the first answer", "the second answer"])
def test_settlements_whose_answers_are_spoilt(
    place: Place, proxy: AmqpProxy, driver: ServiceBusDriver, after: int
) -> None:
    """Each is reported as confirmed only if it is; the others are settled by another link at once, or another time."""
    for kind, at in CUTS:
        driver.send(outgoing(3))
        deliveries = []
        while len(deliveries) < 3:
            deliveries += driver.receive(PLAIN, limit=3 - len(deliveries), wait=WAIT, lease=LEASE)
        proxy.policy = once = Once(kind, at=at, after=after)
        finals = [Final(lease=one.lease, step=Ack()) for one in deliveries]
        results = driver.settle(finals)
        proxy.policy = None
        left = [final for final, result in zip(finals, results, strict=True) if result.error is not None]
        assert {type(result.error) for result in results} <= {type(None), BackendUnavailable, LeaseLost}, (kind, at)
        assert once.done.is_set()
        assert place.counts().active <= len(left), (kind, at)
        for final, result in zip(finals, results, strict=True):
            if isinstance(result.error, BackendUnavailable):
                (again,) = driver.settle([final])
                assert again.error is None or isinstance(again.error, LeaseLost), (kind, at)
        assert place.is_empty(), (kind, at)


def test_extensions_whose_answers_are_spoilt(place: Place, proxy: AmqpProxy, driver: ServiceBusDriver) -> None:
    """A lease is extended only if a moment was named for it; it is never lost for an answer that wasn't one."""
    driver.send(outgoing(3))
    deliveries = []
    while len(deliveries) < 3:
        deliveries += driver.receive(PLAIN, limit=3 - len(deliveries), wait=WAIT, lease=LEASE)
    leases = [one.lease for one in deliveries]
    assert {None} == {result.error for result in driver.extend(leases, LEASE)}
    for at in range(0, 200, sized(40, 3)):
        for kind in (Kind.CUT, Kind.REPLACED):
            proxy.policy = once = Once(kind, at=at)
            results = driver.extend(leases, LEASE)
            assert once.done.is_set()
            assert {BackendUnavailable} == {type(result.error) for result in results}, (kind, at)
            proxy.policy = None
            assert {None} == {result.error for result in driver.extend(leases, LEASE)}
    assert {None} == {one.error for one in driver.settle([Final(lease=lease, step=Ack()) for lease in leases])}
    assert place.is_empty()


def test_messages_that_are_cut_on_their_way(place: Place, proxy: AmqpProxy, driver: ServiceBusDriver) -> None:
    """What came whole is handed over; what didn't stays locked, and comes again later."""
    driver.receive(PLAIN, limit=1, wait=timedelta(0), lease=LEASE)  # the link is open
    for number, at in enumerate(range(0, 200, sized(40, 3)), 1):
        assert [None] == [result.error for result in driver.send(outgoing(1))]
        proxy.policy = once = Once(Kind.CUT, at=at)
        with pytest.raises(BackendUnavailable):
            driver.receive(PLAIN, limit=1, wait=WAIT, lease=LEASE)
        assert once.done.is_set()
        proxy.policy = None
        assert number == place.locked()
        # Over a new connection.
        driver.send(outgoing(1))
        (delivery,) = driver.receive(PLAIN, limit=1, wait=WAIT, lease=LEASE)
        assert None is driver.settle([Final(lease=delivery.lease, step=Ack())])[0].error
    assert number == place.counts().active
