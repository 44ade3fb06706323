"""A worker that only empties the queues finds what lies in sessions, too."""

from __future__ import annotations

from datetime import timedelta

import pytest

import cloudq
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

pytestmark = pytest.mark.slow


def test_a_burst_empties_sessions() -> None:
    """A receive that may not wait asks the service before it says that there is nothing."""
    ran: list[int] = []
    app = cloudq.App()

    @app.task("shop.pack", queue="orders.fifo", ordering_key="order-{number}")
    def pack(number: int) -> None:
        ran.append(number)

    with ServiceBusEmulator(admin_port=None) as emulator:
        emulator.create_queue("orders.fifo", QueueSettings(requires_session=True))
        driver = ServiceBusDriver(
            "127.0.0.1", connection_string=emulator.connection_string, timeout=timedelta(minutes=3)
        )
        with app.using(driver):
            app.send_many([pack.call(number=number % 7) for number in range(20)])
            assert Worker(app, WorkerSettings(burst=True)).run() == 0
        driver.close()
    assert sorted(ran) == sorted(number % 7 for number in range(20))
