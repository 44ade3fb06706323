"""Messages of Azure Functions' trigger as deliveries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest

from cloudq.core.driver import Ack, Final
from cloudq.drivers.service_bus import ServiceBusDriver, dispositions
from cloudq.drivers.service_bus.trigger import RENEWED, arrival
from cloudq.errors import PushRefused

LOCK = "6f1a4c6e-6e5f-4c53-9d6e-0d7a3d4f5a10"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ELAPSED = timedelta(hours=3)


def message(**changed) -> SimpleNamespace:
    values = {
        "get_body": lambda: b"body",
        "application_properties": {},
        "user_properties": {},
        "message_id": "m-1",
        "session_id": None,
        "delivery_count": 3,
        "lock_token": LOCK,
        "locked_until": NOW + timedelta(seconds=30),
    }
    return SimpleNamespace(**values | changed)


def test_the_hosts_count_has_the_present_delivery_in_it() -> None:
    """Unlike the SDK's for Python, which counts those before."""
    delivery = arrival(message(), "orders", now=NOW, elapsed=ELAPSED, renewed=False).delivery
    assert (3, 3) == (delivery.attempt, delivery.deliveries)
    assert (
        1
        == arrival(message(delivery_count=None), "orders", now=NOW, elapsed=ELAPSED, renewed=False).delivery.deliveries
    )


def test_a_lease_is_the_lock() -> None:
    """As long as the message says; of one that the host renews, for as long as it does."""
    assert (
        NOW + timedelta(seconds=30)
        == arrival(message(), "o", now=NOW, elapsed=ELAPSED, renewed=False).delivery.lease.expires_at
    )
    assert NOW + RENEWED == arrival(message(), "o", now=NOW, elapsed=ELAPSED, renewed=True).delivery.lease.expires_at
    naive = message(locked_until=datetime(2026, 1, 1, 0, 0, 30))  # noqa: DTZ001 - what the decoder may make of it
    assert (
        NOW + timedelta(seconds=30)
        == arrival(naive, "o", now=NOW, elapsed=ELAPSED, renewed=False).delivery.lease.expires_at
    )
    assert (
        NOW + RENEWED
        == arrival(message(locked_until=None), "o", now=NOW, elapsed=ELAPSED, renewed=False).delivery.lease.expires_at
    )
    lock = arrival(message(), "o", now=NOW, elapsed=ELAPSED, renewed=False).delivery.lease
    assert ELAPSED + timedelta(seconds=30) == lock.ends


def test_a_body_may_be_a_text() -> None:
    """It is bytes to the rest; what can't be decoded has the service's id."""
    delivery = arrival(message(get_body=lambda: "täxt"), "orders", now=NOW, elapsed=ELAPSED, renewed=False).delivery
    assert ("täxt".encode(), "m-1") == (delivery.body, delivery.id)


@pytest.mark.parametrize("changed", [{"lock_token": None}, {"lock_token": "no"}, {"get_body": lambda: 1j}])
def test_what_cannot_be_settled_is_refused(changed: dict) -> None:
    """Without a lock token it isn't run at all: where would it go if it failed?"""
    with pytest.raises(PushRefused):
        arrival(message(**changed), "orders", now=NOW, elapsed=ELAPSED, renewed=False)


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize(
    "changed",
    [
        {"session_id": "s"},
        {"locked_until": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
        {"locked_until": datetime(9999, 12, 31, 23, 59, 59)},  # noqa: DTZ001 - what the decoder may make of it
    ],
)
def test_a_message_of_a_session_is_refused(changed: dict, renewed: bool) -> None:
    """Also where the host leaves its session's id out: a lock that ends with the calendar is no lock of its own."""
    with pytest.raises(PushRefused, match="is of a session"):
        arrival(message(**changed), "orders", now=NOW, elapsed=ELAPSED, renewed=renewed)


def test_the_token_is_not_shown() -> None:
    """It settles the message for whoever reads it."""
    assert LOCK not in repr(arrival(message(), "orders", now=NOW, elapsed=ELAPSED, renewed=False))


def test_a_driver_settles_what_came_elsewhere_by_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the queue's own link, in which nothing was received."""
    settled = []

    class Link:
        def settle(self, steps):
            settled.extend(steps)
            return [None] * len(steps)

    driver = ServiceBusDriver("example.servicebus.windows.net")
    monkeypatch.setattr(driver, "_link", lambda queue: {"orders": Link()}[queue])
    lease = driver.lease_by_token("orders", UUID(LOCK), expires_at=NOW)
    (result,) = driver.settle([Final(lease=lease, step=Ack())])
    assert result.error is None
    ((given, disposition),) = settled
    assert (UUID(LOCK), None, dispositions.COMPLETE) == (given.lock_token, given._receiver, disposition)
