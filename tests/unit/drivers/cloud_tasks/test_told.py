"""A client whose calls are told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.call_reports import CallReports, ReportsCalls
from cloudq.core.driver import Outgoing
from cloudq.errors import QueueNotFound
from tests.observing import Told
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks


@pytest.fixture
def told() -> Told:
    return Told()


def item(id_: str, queue: str = "emails") -> Outgoing:
    return Outgoing(id=id_, queue=queue, body=b"{}")


def test_each_request_is_told_by_the_services_name_of_it(told: Told) -> None:
    """One for one task, one for several."""
    driver = FakeCloudTasks("emails", "emails-dlq").driver()
    driver.report_to(CallReports(told, None))
    driver.send([item("1")])
    driver.send([item("2"), item("3")])
    driver.purge("emails")
    names = ["CreateTask", "BatchCreateTasks", "PurgeQueue"]
    assert [(name, "emails", None) for name in names] == told.calls


def test_a_request_that_fails_is_told_too(told: Told) -> None:
    """By the error as the SDK raised it."""
    driver = FakeCloudTasks("emails").driver()
    driver.report_to(CallReports(told, None))
    assert isinstance(driver.send([item("1", "other")])[0].error, QueueNotFound)
    [(name, queue, error)] = told.calls
    assert ("CreateTask", "other") == (name, queue)
    assert error is not None


def test_it_says_what_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service, or the emulator."""
    driver = FakeCloudTasks("emails").driver()
    assert isinstance(driver, ReportsCalls)
    assert ("gcp_cloud_tasks", "cloudtasks.googleapis.com") == (driver.system, driver.server)
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:8123")
    assert "127.0.0.1" == driver.server


def test_without_reports_nothing_is_between(told: Told) -> None:
    """The client itself makes the calls."""
    service = FakeCloudTasks("emails")
    driver = service.driver()
    calls = driver._service.calls(most=timedelta(seconds=1))
    assert calls._client("emails") is driver.client
