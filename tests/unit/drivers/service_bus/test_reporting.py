"""Calls of a namespace, as they are reported."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from azure.servicebus.exceptions import MessageLockLostError

from cloudq.core.call_reports import CallReports, ReportsCalls
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.errors import LeaseLost
from tests.observing import Told

MINUTE = timedelta(minutes=1)


@pytest.fixture
def driver() -> ServiceBusDriver:
    return ServiceBusDriver("example.servicebus.windows.net")


def test_each_call_is_told(driver: ServiceBusDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it does to the service, with its queue; what failed, with the SDK's own error."""
    told = Told()
    assert isinstance(driver, ReportsCalls)
    assert ("servicebus", "example.servicebus.windows.net") == (driver.system, driver.server)
    driver.report_to(CallReports(told, None))

    def gone(*_: object) -> None:
        raise MessageLockLostError

    link = SimpleNamespace(receive=lambda limit, wait: [], close=lambda: None)
    monkeypatch.setattr(driver, "_link", lambda queue: link)
    driver.receive("mail", limit=1, wait=MINUTE, lease=MINUTE)
    link.receive = gone
    with pytest.raises(LeaseLost):
        driver.receive("mail", limit=1, wait=MINUTE, lease=MINUTE)
    driver.settle([])
    driver.extend([], MINUTE)
    assert [
        ("Receive", "mail", None),
        ("Receive", "mail", MessageLockLostError),
        ("Settle", None, None),
        ("RenewLock", None, None),
    ] == told.calls
