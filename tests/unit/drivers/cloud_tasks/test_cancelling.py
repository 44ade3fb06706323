"""Deleting a task whose time hasn't come."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.api_core import exceptions as api

from cloudq.core.driver import Outgoing
from cloudq.drivers.cloud_tasks.limits import CANCEL_NOTICE
from cloudq.errors import BackendError, BackendUnavailable
from cloudq.testing.clock import FakeClock
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks

HOUR = timedelta(hours=1)


@pytest.fixture
def service():
    return FakeCloudTasks("emails", "emails-dlq", "others")


@pytest.fixture
def clock():
    return FakeClock()


def item(id_="1", **changes):
    return Outgoing(**{"id": id_, "queue": "emails", "body": b"{}", "delay": HOUR, "cancellable": True, **changes})


def test_each_of_a_batch_is_cancelled_by_its_own_name(service, clock):
    """Whatever order the service answers in."""
    driver = service.driver(clock)
    results = driver.send([item("1"), item("2", native_id="key"), item("3")])
    assert driver.cancel("emails", results[1].receipt) is True
    assert driver.cancel("emails", results[0].receipt) is True
    assert driver.cancel("emails", results[0].receipt) is False
    (left,) = service.stored("emails")
    assert results[2].receipt.endswith(left.name)


@pytest.mark.parametrize("changes", [{"delay": timedelta(0)}, {"delay": CANCEL_NOTICE}, {"cancellable": False}])
def test_what_cannot_or_need_not_be_cancelled_has_no_name_of_its_own(service, clock, changes):
    """Names make a call slower."""
    (result,) = service.driver(clock).send([item(**changes)])
    assert result.receipt is None
    assert service.stored("emails")[0].name.rpartition("/")[2].isdecimal()


def test_what_may_be_under_way_is_not_deleted(service, clock):
    """The service would delete a task that is being pushed as well, and say that it had."""
    driver = service.driver(clock)
    (result,) = driver.send([item()])
    clock.advance(HOUR - CANCEL_NOTICE)
    service.calls.clear()
    assert driver.cancel("emails", result.receipt) is False
    assert ([], 1) == (service.calls, len(service.stored("emails")))


def test_a_send_whose_answer_was_lost_is_no_duplicate(service, clock):
    """Tried again, it finds its own task by the message's id: it is stored, and can be cancelled."""
    driver = service.driver(clock)
    first, second = (driver.send([item()])[0] for _ in range(2))
    assert (False, first.receipt) == (second.duplicate, second.receipt)
    assert 1 == len(service.stored("emails"))


def test_a_known_key_is_a_duplicate_without_a_handle(service, clock):
    """The task is another send's."""
    driver = service.driver(clock)
    first, second = (driver.send([item(id_, native_id="key")])[0] for id_ in "12")
    assert (True, None) == (second.duplicate, second.receipt)
    assert first.receipt is not None


def test_receipts_of_elsewhere_are_refused(service, clock):
    """Of another queue, project or backend: the name would be somebody else's."""
    driver = service.driver(clock)
    (result,) = driver.send([item(queue="others")])
    for handle in (result.receipt, "7-abc", "", "x" * 100, result.receipt.replace("my-project", "theirs")):
        with pytest.raises(ValueError, match="no receipt"):
            driver.cancel("emails", handle)


def test_errors_come_through(service, clock):
    """What the service refuses, or can't be asked, is neither done nor too late."""
    driver = service.driver(clock)
    (result,) = driver.send([item()])
    for raised, meant in ((api.ServiceUnavailable("no"), BackendUnavailable), (api.Forbidden("no"), BackendError)):
        service.fail = lambda method, raised=raised: raised
        with pytest.raises(meant):
            driver.cancel("emails", result.receipt)
