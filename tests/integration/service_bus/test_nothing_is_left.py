"""What the service has handed over reaches somebody, whatever happens on the way; a link never runs dry."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from azure.servicebus._pyamqp.error import AMQPConnectionError, ErrorCondition

from cloudq.core.driver import Ack, Final, Outgoing
from cloudq.drivers.service_bus import ServiceBusDriver, links, sdk
from cloudq.errors import BackendUnavailable
from tests.integration.service_bus.place import ORDERED, PLAIN, Place

pytestmark = pytest.mark.slow

LEASE = timedelta(minutes=1)
WAIT = timedelta(seconds=60)
NONE = timedelta(0)
# Of which a third is for one call.
TIMEOUT = timedelta(seconds=3)


def outgoing(count: int, body: bytes = b"{}") -> list[Outgoing]:
    return [Outgoing(id=uuid.uuid4().hex, queue=PLAIN, body=body) for _ in range(count)]


@pytest.fixture
def driver(place: Place) -> ServiceBusDriver:
    place.make(PLAIN, LEASE)
    return place.app.driver()


def test_credit_that_is_taken_back_late_leaves_a_link_that_receives(
    place: Place, driver: ServiceBusDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer to the drain that comes too late doesn't leave the service counting other credit than the link."""
    assert [] == list(driver.receive(PLAIN, limit=10, wait=NONE, lease=LEASE))
    monkeypatch.setattr(links, "DRAIN_PATIENCE", timedelta(milliseconds=100))
    place.emulator.faults.delay = timedelta(milliseconds=400)
    assert [] == list(driver.receive(PLAIN, limit=10, wait=NONE, lease=LEASE))
    place.emulator.faults.delay = NONE
    monkeypatch.undo()
    driver.send(outgoing(10))
    assert len(driver.receive(PLAIN, limit=10, wait=WAIT, lease=LEASE)) > 0


def test_what_was_read_before_a_cut_is_handed_over(
    place: Place, driver: ServiceBusDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that were read while the credit was taken back are locked to us: a cut then doesn't lose them."""
    driver.receive(PLAIN, limit=1, wait=NONE, lease=LEASE)
    driver.send(outgoing(5))
    read = sdk.read

    def read_three(receiver: Any, wait: timedelta = sdk.READ) -> bool:
        came = read(receiver, wait)
        if sdk.incoming(receiver).qsize() == 3:
            receiver._handler._connection._error = AMQPConnectionError(ErrorCondition.SocketError, description="cut")
        return came

    monkeypatch.setattr(sdk, "read", read_three)
    # As from a network that brings them one by one; else one read takes all five.
    monkeypatch.setattr(sdk.TimelySocket, "has_more", False)
    taken = list(driver.receive(PLAIN, limit=10, wait=WAIT, lease=LEASE))
    monkeypatch.undo()
    assert len(taken) == 4
    results = driver.settle([Final(lease=one.lease, step=Ack()) for one in taken])
    assert {None} == {result.error for result in results}


def test_a_settlement_that_can_not_be_sent_goes_by_another_link(place: Place, driver: ServiceBusDriver) -> None:
    """A connection that was cut, which nobody has noticed: what is finished is settled, and so doesn't run again."""
    driver.send(outgoing(2))
    taken = list(driver.receive(PLAIN, limit=2, wait=WAIT, lease=LEASE))
    link = taken[0].lease.receipt.holder
    link._receiver._handler._connection._transport.sock.shutdown(socket.SHUT_WR)
    results = driver.settle([Final(lease=one.lease, step=Ack()) for one in taken])
    assert [None] * len(taken) == [result.error for result in results]


def test_large_messages_all_come(place: Place, driver: ServiceBusDriver) -> None:
    """No more than was asked for, and none is left locked to nobody."""
    for _ in range(15):
        driver.send(outgoing(1, b"x" * 200_000) + outgoing(4, b"y"))
    count = 0
    while count < 75:
        taken = driver.receive(PLAIN, limit=50, wait=WAIT, lease=LEASE)
        assert 0 < len(taken) <= 50
        assert len(taken) == place.locked()
        assert all(result.error is None for result in driver.settle([Final(lease=o.lease, step=Ack()) for o in taken]))
        count += len(taken)
    assert place.is_empty()


def test_a_service_that_falls_silent_is_not_awaited_once_a_message(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten settlements that get no answer, the waits don't add up: the leases are to be renewed meanwhile."""
    place.make(PLAIN, LEASE)
    driver = ServiceBusDriver("", connection_string=place.emulator.connection_string, timeout=20 * TIMEOUT)
    driver.send(outgoing(10))
    taken: list[Any] = []
    while len(taken) < 10:
        taken += driver.receive(PLAIN, limit=10, wait=WAIT, lease=LEASE)
    monkeypatch.setattr(driver, "_patience", TIMEOUT / 3)  # now that all is open, which takes a busy machine longer
    place.emulator.faults.delay = timedelta(minutes=10)
    began = time.monotonic()
    results = driver.settle([Final(lease=one.lease, step=Ack()) for one in taken])
    took = time.monotonic() - began
    assert {BackendUnavailable} == {type(result.error) for result in results}
    assert took < 8  # added up they take ten
    driver.close()


def test_a_service_that_takes_connections_and_says_nothing() -> None:
    """Who sends, receives or closes has an error in time, with sessions or without; nobody is held up for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        driver = ServiceBusDriver(
            "",
            connection_string=(
                f"Endpoint=sb://127.0.0.1:{silent.getsockname()[1]};SharedAccessKeyName=any;SharedAccessKey=any;"
                "UseDevelopmentEmulator=true;"
            ),
            timeout=TIMEOUT,
        )
        began = time.monotonic()
        assert isinstance(driver.send(outgoing(1))[0].error, BackendUnavailable)
        for queue in (PLAIN, "orders.fifo"):
            with pytest.raises(BackendUnavailable):
                driver.receive(queue, limit=1, wait=WAIT, lease=LEASE)
        driver.close()
        assert time.monotonic() - began < 40


@pytest.mark.parametrize("ending", ["interrupt", "close"])
@pytest.mark.parametrize("queue", [PLAIN, ORDERED])
def test_what_a_receive_that_is_ended_brings_stays_locked_to_nobody(
    place: Place, queue: str, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credit is taken back, and the answer awaited: what came by then is handed over, or given back on closing."""
    place.make(queue, LEASE)
    driver = ServiceBusDriver("", connection_string=place.emulator.connection_string)
    key = "a" if queue == ORDERED else None
    sent = [Outgoing(id=uuid.uuid4().hex, queue=queue, body=b"{}", ordering_key=key) for _ in range(3)]
    take_back = sdk.take_credit_back

    def take_back_late(receiver: Any, patience: timedelta) -> bool:
        # Messages that come while the receive ends.
        monkeypatch.undo()
        driver.send(sent) if ending == "interrupt" else other.send(sent)
        return take_back(receiver, patience)

    other = ServiceBusDriver("", connection_string=place.emulator.connection_string)
    if queue == PLAIN:
        driver.receive(queue, limit=10, wait=NONE, lease=LEASE)
        monkeypatch.setattr(sdk, "take_credit_back", take_back_late)
    brought: list[Any] = []

    def receive() -> None:
        brought.extend(driver.receive(queue, limit=10, wait=timedelta(seconds=120), lease=LEASE))

    thread = threading.Thread(target=receive)
    thread.start()
    time.sleep(0.3)  # it waits by now; if it doesn't, the test says less
    began = time.monotonic()
    getattr(driver, ending)()
    thread.join(100)
    took = time.monotonic() - began
    assert not thread.is_alive()
    assert took < 60, "half of the wait"
    assert len(brought) == place.locked(queue)
    if ending == "close":
        assert [] == brought
    driver.close()
    other.close()
