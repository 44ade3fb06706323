"""A store that is down for some seconds, with real drivers on stand-ins of the services: no attempt, no other delivery.

Half an hour of it, in fake time, is in test_store_down_worker.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import pytest

from cloudq import App, Context
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import PullDriver
from cloudq.core.message import dead_letter_queue
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.sqs import SQSDriver
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.errors import StoreUnavailable
from cloudq.worker import holds
from localstack.start import CREDENTIALS
from tests.integration.store_outages import Troubled
from tests.moto_server import moto_server
from tests.unit.worker.fakes import running, until

pytestmark = pytest.mark.slow
SECOND = timedelta(seconds=1)
MESSAGES = 6
REGION = "us-east-1"


class Ran(NamedTuple):
    """One run.

    Attributes:
        key: Of its message.
        attempt: Its number.
        deliveries: How often the service had handed it over.
    """

    key: str
    attempt: int
    deliveries: int


@contextmanager
def on_sqs(queue: str) -> Iterator[PullDriver]:
    with pytest.MonkeyPatch.context() as patch, moto_server() as url:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        driver = SQSDriver(REGION, endpoint_url=url)
        for name in (queue, dead_letter_queue(queue)):
            driver.client.create_queue(
                QueueName=name, Attributes={"FifoQueue": "true"} if queue.endswith(".fifo") else {}
            )
        yield driver
        driver.close()


@contextmanager
def on_service_bus(queue: str) -> Iterator[PullDriver]:
    settings = QueueSettings(
        lock_duration=5 * SECOND, requires_session=queue.endswith(".fifo"), requires_duplicate_detection=True
    )
    with ServiceBusEmulator() as emulator:
        emulator.create_queue(queue, settings)
        driver = ServiceBusDriver(
            "127.0.0.1", connection_string=emulator.connection_string, admin_endpoint=emulator.admin_url
        )
        yield driver
        driver.close()


SERVICES = {"sqs": on_sqs, "service bus": on_service_bus}


@pytest.mark.parametrize("suffix", ["", ".fifo"])
@pytest.mark.parametrize("service", SERVICES)
def test_an_outage_costs_no_attempt(service: str, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was in hand runs in its first attempt; on SQS it stayed in hand, so it is still in its first delivery."""
    monkeypatch.setattr(holds, "STRETCH", 60 * SECOND)
    queue = f"q-{uuid.uuid4().hex[:8]}{suffix}"
    ran: list[Ran] = []
    store = Troubled(SYSTEM_CLOCK)
    app = App("memory://")

    @app.task("work", queue=queue, idempotency_key="{key}")
    def work(context: Context, key: str) -> None:
        ran.append(Ran(key, context.attempt, context.deliveries))

    def fail() -> None:
        raise StoreUnavailable("no route to the store")

    with SERVICES[service](queue) as driver, app.using(driver, store=store):  # type: ignore[arg-type]  # it passes calls on
        for number in range(MESSAGES):
            group = {"ordering_key": f"group-{number}"} if suffix else {}
            work.options(**group).send(key=f"key-{number}")  # type: ignore[arg-type]  # one of its options
        store.trouble = fail
        # Its lease is over within the outage, if nobody extends it. The lock of Service Bus is its queue's.
        lease = {"lease": 3 * SECOND} if service == "sqs" else {}
        with running(app, queues={queue: 1}, concurrency=2, wait=SECOND, **lease) as it:
            until(lambda: it.worker.snapshot().snoozed, within=60)
            until(lambda: store.asked >= 5, within=60)  # some of them are looks: seconds later
            assert not ran
            store.trouble = None
            until(lambda: len(ran) >= MESSAGES, within=60)
            until(lambda: not it.worker.snapshot().settling, within=60)
        dead = list(driver.dead_letters(queue).peek(limit=10))
    assert {f"key-{number}" for number in range(MESSAGES)} == {one.key for one in ran}
    assert {1} == {one.attempt for one in ran}
    assert {1} == {one.deliveries for one in ran}
    assert not dead
