"""A service that says nothing, from its first word on or in the middle of a talk, holds nobody up for long."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from cloudq.core.driver import Ack, Final, Outgoing
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.service_bus.links import DRAIN_PATIENCE
from cloudq.errors import BackendUnavailable
from tests.integration.service_bus.amqp_proxy import AmqpProxy, Kind, Spoil
from tests.integration.service_bus.place import ORDERED, PLAIN, Place

pytestmark = pytest.mark.slow

LEASE = timedelta(minutes=1)
WAIT = timedelta(seconds=60)
NONE = timedelta(0)
TIMEOUT = timedelta(seconds=3)
CALL = TIMEOUT / 3
# A read that has begun ends by itself, and the machine may be busy. Without bounds all take a minute, or for ever.
SLACK = 20.0


def outgoing(queue: str = PLAIN, **options: object) -> Outgoing:
    key = "a" if queue.endswith(".fifo") else None
    return Outgoing(id=uuid.uuid4().hex, queue=queue, body=b"{}", ordering_key=key, **options)


def took(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def fails(call: Callable[[], object]) -> Callable[[], object]:
    def work() -> None:
        with pytest.raises(BackendUnavailable):
            call()

    return work


@contextlib.contextmanager
def patient(driver: ServiceBusDriver) -> Iterator[None]:
    """For what has to work before, however busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "_patience", LEASE)
        yield


def silent(frame: bytes) -> None:
    """A policy: from the next word on nothing comes."""
    raise Spoil(Kind.WITHHELD)


@pytest.fixture
def proxy(place: Place) -> Iterator[AmqpProxy]:
    place.make(PLAIN, LEASE)
    place.make(ORDERED, LEASE)
    with AmqpProxy(place.emulator.port) as made:
        yield made


@pytest.fixture
def driver(place: Place, proxy: AmqpProxy) -> Iterator[ServiceBusDriver]:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        made = ServiceBusDriver(
            "",
            connection_string=proxy.connection_string,
            timeout=TIMEOUT,
            admin_endpoint=f"http://127.0.0.1:{mute.getsockname()[1]}",
        )
        yield made
        proxy.cut_all()
        made.close()


def test_a_service_that_never_says_a_word(proxy: AmqpProxy, driver: ServiceBusDriver) -> None:
    """Each call ends by its third of the timeout, opening a connection included."""
    proxy.policy = silent
    dead = driver.dead_letters(PLAIN)
    calls: dict[str, Callable[[], object]] = {
        "send": lambda: driver.send([outgoing()]),
        "send of 20": lambda: driver.send([outgoing() for _ in range(20)]),
        "scheduling": lambda: driver.send([outgoing(delay=LEASE, cancellable=True)]),
        "cancel": fails(lambda: driver.cancel(PLAIN, f"1@127.0.0.1:{proxy.port}/{PLAIN}")),
        "stats": fails(lambda: driver.stats(PLAIN)),
        "purge": fails(lambda: driver.purge(PLAIN)),
        "dead letters": fails(lambda: dead.peek(limit=1)),
        "receive": fails(lambda: driver.receive(PLAIN, limit=1, wait=NONE, lease=LEASE)),
    }
    spans = {name: took(call) for name, call in calls.items()}
    print(f"\n[silence] {spans}")
    assert {name: span for name, span in spans.items() if span > CALL.total_seconds() + SLACK} == {}


@pytest.mark.parametrize("queue", [PLAIN, ORDERED])
def test_a_service_that_falls_silent(proxy: AmqpProxy, driver: ServiceBusDriver, queue: str) -> None:
    """What is asked of open links ends in time as well, and by what says that it may have been done."""
    count = 1 if queue == ORDERED else 3
    deliveries = []
    with patient(driver):
        driver.send([outgoing(queue) for _ in range(count)])
        while len(deliveries) < count:
            deliveries += driver.receive(queue, limit=count, wait=WAIT, lease=LEASE)
        leases = [one.lease for one in deliveries]
        assert {None} == {one.error for one in driver.extend(leases, LEASE)}
    proxy.policy = silent
    results: list = []
    spans = {
        "extend": took(lambda: results.extend(driver.extend(leases, LEASE))),
        "settle": took(lambda: results.extend(driver.settle([Final(lease=one, step=Ack()) for one in leases]))),
        "send": took(lambda: results.extend(driver.send([outgoing(queue)]))),
    }
    print(f"\n[silence] {spans}")
    assert {BackendUnavailable} == {type(one.error) for one in results}
    assert {name: span for name, span in spans.items() if span > CALL.total_seconds() + SLACK} == {}


def test_answers_that_come_byte_by_byte(proxy: AmqpProxy, driver: ServiceBusDriver) -> None:
    """Though each byte is in time, the answer isn't."""
    with patient(driver):
        driver.send([outgoing()])
        (delivery,) = driver.receive(PLAIN, limit=1, wait=WAIT, lease=LEASE)
    proxy.drip = 0.15
    results: list = []
    spans = {
        "extend": took(lambda: results.extend(driver.extend([delivery.lease], LEASE))),
        "settle": took(lambda: results.extend(driver.settle([Final(lease=delivery.lease, step=Ack())]))),
        "send": took(lambda: results.extend(driver.send([outgoing()]))),
    }
    with contextlib.suppress(BackendUnavailable):
        receive = took(lambda: driver.receive(PLAIN, limit=1, wait=NONE, lease=LEASE))
        assert receive < DRAIN_PATIENCE.total_seconds() + SLACK
    print(f"\n[drip] {spans}")
    proxy.drip = 0
    assert {BackendUnavailable} == {type(one.error) for one in results}
    assert {name: span for name, span in spans.items() if span > CALL.total_seconds() + SLACK} == {}


def test_a_name_that_is_not_found_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's patience is its own; one thread is left with it, however many calls there are."""
    may, asked = threading.Event(), []

    def look_up(host: str, *arguments: object, **options: object) -> list:
        asked.append(host)
        may.wait(60)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    text = (
        "Endpoint=sb://nowhere.localhost:5672;SharedAccessKeyName=any;SharedAccessKey=any;UseDevelopmentEmulator=true"
    )
    driver = ServiceBusDriver("", connection_string=text, timeout=TIMEOUT)
    for _ in range(2):
        assert took(lambda: driver.send([outgoing()])) <= CALL.total_seconds() + SLACK
    may.set()
    driver.close()
    assert ["nowhere.localhost"] == asked


def test_a_silent_link_keeps_no_other_call_longer(proxy: AmqpProxy, driver: ServiceBusDriver) -> None:
    """Eight threads that send, of which four have a connection, and a settlement beside a receive that opens."""
    proxy.policy = silent
    spans: list[float] = []

    def send() -> None:
        spans.append(took(lambda: driver.send([outgoing()])))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(spans) <= CALL.total_seconds() + SLACK
