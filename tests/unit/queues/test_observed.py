"""Who is told of a backend in use, and of its driver's calls."""

from __future__ import annotations

import pytest

from cloudq.core.call_reports import CallReports
from cloudq.core.observing import Observer
from cloudq.drivers.memory import MemoryDriver
from cloudq.queues.observed import Observed


class Recorder(Observer):
    def __init__(self) -> None:
        self.systems: list[tuple[str, str | None]] = []

    def opened(self, system: str, server: str | None) -> None:
        self.systems.append((system, server))


class Telling(MemoryDriver):
    """A driver that tells of its calls."""

    system = "servicebus"
    server = "shop.servicebus.windows.net"
    reports: CallReports | None = None

    def report_to(self, reports: CallReports | None) -> None:
        self.reports = reports


@pytest.mark.parametrize(
    ("scheme", "system"),
    [("sqs", "aws_sqs"), ("cloudtasks", "gcp_cloud_tasks"), ("sqlite", "sqlite"), (None, "memory")],
)
def test_a_driver_that_says_nothing_is_named_by_its_url(scheme: str | None, system: str) -> None:
    """Else, where it was lent, by its class."""
    observed, recorder = Observed(), Recorder()
    observed.add(recorder)
    observed.bind(MemoryDriver(), scheme)
    assert [(system, None)] == recorder.systems


def test_a_driver_that_tells_of_its_calls_is_told_whom() -> None:
    """And nobody once it goes back to whom it was lent by."""
    observed, recorder, driver = Observed(), Recorder(), Telling()
    observed.add(recorder)
    observed.bind(driver, None)
    assert [("servicebus", "shop.servicebus.windows.net")] == recorder.systems
    assert driver.reports is not None
    observed.unbind(driver)
    assert driver.reports is None


def test_without_observers_a_driver_tells_nobody() -> None:
    """Which costs it nothing."""
    observed, driver = Observed(), Telling()
    observed.bind(driver, "sqs")
    assert driver.reports is None
    assert observed.observer is None
