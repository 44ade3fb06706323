"""Pausing by the queue's status, against the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from azure.servicebus.management import EntityStatus

from cloudq.core.driver import Outgoing
from cloudq.core.pausing import Pauser
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.emulators.service_bus.broker.settings import QueueSettings, Status
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.errors import QueuePaused, UnsupportedError

SECOND = timedelta(seconds=1)


@pytest.fixture
def emulator() -> Iterator[ServiceBusEmulator]:
    with ServiceBusEmulator() as emulator:
        emulator.create_queue("mail", QueueSettings())
        yield emulator


@pytest.fixture
def driver(emulator: ServiceBusEmulator) -> Iterator[ServiceBusDriver]:
    driver = ServiceBusDriver(
        "127.0.0.1", connection_string=emulator.connection_string, admin_endpoint=emulator.admin_url
    )
    yield driver
    driver.close()


def test_a_pause_is_the_service_s_own_and_reads_as_one(driver: ServiceBusDriver) -> None:
    """A link that is open is detached; one that is opened is refused. Messages are taken all the while."""
    assert isinstance(driver, Pauser)
    assert [] == list(driver.receive("mail", limit=1, wait=SECOND / 10, lease=SECOND))  # a link is open
    assert driver.pause("mail")
    for _ in range(2):
        with pytest.raises(QueuePaused, match="queue 'mail' is paused"):
            driver.receive("mail", limit=1, wait=20 * SECOND, lease=SECOND)
    assert driver.send([Outgoing(id="1", queue="mail", body=b"{}")])[0].error is None
    with driver._admin._make() as client:
        assert EntityStatus.RECEIVE_DISABLED == client.get_queue("mail").status
    assert driver.resume("mail")
    [delivery] = driver.receive("mail", limit=1, wait=20 * SECOND, lease=SECOND)
    assert b"{}" == delivery.body


@pytest.mark.parametrize("status", [Status.DISABLED, Status.SEND_DISABLED])
def test_what_somebody_else_disabled_is_left_alone(
    emulator: ServiceBusEmulator, driver: ServiceBusDriver, status: Status
) -> None:
    """It is more than paused, or another thing: neither is undone by a resume."""
    emulator.create_queue("off", QueueSettings(status=status))
    for change in (driver.pause, driver.resume):
        with pytest.raises(UnsupportedError, match="which is more than paused"):
            change("off")
    assert driver.is_paused("off") is (status is Status.DISABLED)


def test_a_subscription_is_not_paused(driver: ServiceBusDriver) -> None:
    """Its status is its topic's owner's."""
    with pytest.raises(UnsupportedError, match="is a subscription"):
        driver.pause("orders/Subscriptions/mail")
    assert not driver.is_paused("orders/Subscriptions/mail")
