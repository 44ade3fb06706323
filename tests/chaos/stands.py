"""The polled backends, each with a queue `default` of a test's own, for chaos that is the same on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from tests.integration.sqs.conftest import Place

BACKENDS: Final = ("sqlite", "sqs_stand", "service_bus")
"""The names of the fixtures below."""

LEASE: Final = timedelta(seconds=3)
CONNECTION_STRING: Final = "CLOUDQ_SERVICEBUS_CONNECTION_STRING"


class Stand(NamedTuple):
    """A backend with the queue `default`.

    Attributes:
        url: The backend's.
        driver: `module:class` of its driver.
        environment: What a worker needs besides.
    """

    url: str
    driver: str
    environment: dict[str, str]


@pytest.fixture
def sqlite(tmp_path: Path) -> Stand:
    """A new database."""
    return Stand(f"sqlite:///{tmp_path}/queue.db", "cloudq.drivers.sqlite.driver:SQLiteDriver", {})


@pytest.fixture
def sqs_stand(place: Place, queue: str) -> Stand:
    """Queues on LocalStack."""
    return Stand(place.url, "cloudq.drivers.sqs.driver:SQSDriver", {})


@pytest.fixture
def service_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """An emulator in this process; the lock is the lease of these tests."""
    with ServiceBusEmulator() as emulator:
        emulator.create_queue("default", QueueSettings(lock_duration=LEASE, max_delivery_count=1000))
        monkeypatch.setenv(CONNECTION_STRING, emulator.connection_string)
        yield Stand(
            f"servicebus://?admin_endpoint={emulator.admin_url}",
            "cloudq.drivers.service_bus.driver:ServiceBusDriver",
            {CONNECTION_STRING: emulator.connection_string},
        )
