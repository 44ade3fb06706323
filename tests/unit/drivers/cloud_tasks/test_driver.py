"""`CloudTasksDriver` as a whole: the contracts it keeps, and its end."""

from __future__ import annotations

from typing import Any

import pytest

from cloudq.core.driver import Canceller, Outgoing, PermissionProber, QueueInspector, QueueMaker
from cloudq.errors import BackendError, UnsupportedError
from tests.unit.drivers.cloud_tasks.fakes import URL, FakeCloudTasks


@pytest.mark.parametrize("contract", [QueueMaker, QueueInspector, PermissionProber, Canceller])
def test_it_keeps_the_optional_contracts(contract: Any) -> None:
    """By which the command line makes queues and looks at them, and an app cancels."""
    assert isinstance(FakeCloudTasks().driver(), contract)


def test_a_token_is_for_the_target_if_nothing_else_is_said() -> None:
    """Its audience is the target's URL."""
    driver = FakeCloudTasks().driver(service_account="a@b")
    assert (URL, "a@b", URL) == (driver.target.url, driver.target.service_account, driver.target.audience)


@pytest.mark.parametrize("queue", ["orders.fifo", "a_b", "x" * 101])
def test_a_queue_that_the_service_cannot_have_is_refused(queue: str) -> None:
    """Before any call: one with an order, and names that aren't the service's."""
    service = FakeCloudTasks()
    with pytest.raises(UnsupportedError):
        service.driver().capabilities(queue)
    assert [] == service.calls


def test_nothing_sent_is_no_call() -> None:
    """An empty batch."""
    service = FakeCloudTasks("emails")
    assert [] == service.driver().send([])
    assert [] == service.calls


def test_a_closed_driver_stores_nothing() -> None:
    """Each item has its error, and the client is closed."""
    service = FakeCloudTasks("emails")
    driver = service.driver()
    driver.send([Outgoing(id="1", queue="emails", body=b"")])
    driver.close()
    results = driver.send([Outgoing(id=str(number), queue="emails", body=b"") for number in range(2)])
    assert 2 == len(results)
    assert all(isinstance(result.error, BackendError) for result in results)
    assert service.closed
    assert 1 == len(service.stored("emails"))
