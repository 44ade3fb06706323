"""A machine whose clock is ahead of the service's by more than a lock lasts works off its queues all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import cloudq
from cloudq.drivers.service_bus import ServiceBusDriver
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
def test_a_clock_that_is_ahead_repeats_nothing(queue: str) -> None:
    """Each lock would be over as it comes: nothing would run, or, with sessions, everything without end."""
    ran: list[int] = []
    app = cloudq.App()
    ordered = queue.endswith(".fifo")

    @app.task("shop.pack", queue=queue, **({"ordering_key": "order-{number}"} if ordered else {}))
    def pack(number: int) -> None:
        ran.append(number)

    with ServiceBusEmulator(admin_port=None, clock=Behind()) as emulator:
        settings = QueueSettings(requires_session=ordered, lock_duration=timedelta(minutes=1))
        emulator.create_queue(queue, settings)
        driver = ServiceBusDriver("127.0.0.1", connection_string=emulator.connection_string)
        with app.using(driver):
            app.send_many([pack.call(number=number) for number in range(5)])
            worker = Worker(app, WorkerSettings(burst=True))
            assert worker.run() == 0
        driver.close()
    assert [0, 1, 2, 3, 4] == sorted(ran)
    assert 0 == worker.snapshot().lease_lost
