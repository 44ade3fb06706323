"""A machine whose clock is wrong, or is set while it works, works off its queues all the same."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus._pyamqp import cbs

import cloudq
from cloudq.core.clock import SystemClock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, Final, Outgoing
from cloudq.drivers.service_bus import ServiceBusDriver, links
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

pytestmark = pytest.mark.slow


class Behind:
    """The time, two minutes late."""

    def now(self) -> datetime:
        return datetime.now(UTC) - timedelta(minutes=2)


@pytest.mark.parametrize("queue", ["orders", "orders.fifo"])
def test_a_clock_that_is_ahead_repeats_nothing(queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each lock would be over as it comes: nothing would run, or, with sessions, everything without end."""
    monkeypatch.setattr(links, "DRAIN_PATIENCE", timedelta(minutes=1))  # else a late answer ends the burst
    ran: list[int] = []
    app = cloudq.App()
    ordered = queue.endswith(".fifo")

    @app.task("shop.pack", queue=queue, **({"ordering_key": "order-{number}"} if ordered else {}))
    def pack(number: int) -> None:
        ran.append(number)

    with ServiceBusEmulator(admin_port=None, clock=Behind()) as emulator:
        settings = QueueSettings(requires_session=ordered, lock_duration=timedelta(minutes=1))
        emulator.create_queue(queue, settings)
        driver = ServiceBusDriver(
            "127.0.0.1", connection_string=emulator.connection_string, timeout=timedelta(minutes=3)
        )
        with app.using(driver):
            app.send_many([pack.call(number=number) for number in range(5)])
            worker = Worker(app, WorkerSettings(burst=True))
            assert worker.run() == 0
        driver.close()
    assert [0, 1, 2, 3, 4] == sorted(ran)
    assert 0 == worker.snapshot().lease_lost


@pytest.mark.parametrize("queue", ["orders", "orders.fifo"])
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_changes_no_lease(queue: str, hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those that were granted before nor those after; no connection is cut, nor any session lost with it."""
    lock, clock, wait = timedelta(minutes=1), SystemClock(), timedelta(seconds=60)
    ordered = queue.endswith(".fifo")
    with ServiceBusEmulator(admin_port=None) as emulator:
        emulator.create_queue(queue, QueueSettings(requires_session=ordered, lock_duration=lock))
        driver = ServiceBusDriver("127.0.0.1", connection_string=emulator.connection_string, clock=clock)

        def receive() -> Delivery:
            key = uuid.uuid4().hex if ordered else None
            sent = Outgoing(id=uuid.uuid4().hex, queue=queue, body=b"{}", ordering_key=key)
            assert driver.send([sent])[0].error is None
            (delivery,) = driver.receive(queue, limit=1, wait=wait, lease=lock)
            return delivery

        first = receive()
        told: list[str] = []
        driver.watch(first.lease, told.append)
        wall = time.time
        monkeypatch.setattr(time, "time", lambda: wall() + hours * 3600)
        monkeypatch.setattr(cbs, "utc_now", clock.now)
        second = receive()
        time.sleep(0.5)  # the links are looked at meanwhile
        for delivery in (first, second):
            assert timedelta(seconds=50) < delivery.lease.ends - clock.elapsed() <= lock
            (extended,) = driver.extend([delivery.lease], lock)
            assert extended.error is None
            assert timedelta(seconds=50) < extended.ends - clock.elapsed() <= lock
            assert abs(extended.expires_at - clock.now()) <= lock
        assert [] == told
        results = driver.settle([Final(lease=delivery.lease, step=Ack()) for delivery in (first, second)])
        assert [None, None] == [result.error for result in results]
        driver.close()
