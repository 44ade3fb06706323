"""What is read of a queue, and what this account may do with it, by the service's own dry run."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.api_core import exceptions as api
from google.cloud.tasks_v2 import HttpTarget, Queue, RateLimits, RetryConfig, UriOverride
from google.protobuf.duration_pb2 import Duration

from cloudq.core.driver import PermissionProber, QueueInspector
from cloudq.core.queue_settings import QueueSettings
from cloudq.errors import PermissionDenied, UnsupportedError
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks, queue_name


@pytest.fixture
def service():
    return FakeCloudTasks()


@pytest.fixture
def driver(service):
    driver = service.driver()
    driver.make_queue("emails")
    return driver


def test_all_that_the_service_tells(driver):
    """Of a queue that cloudq makes: it gives up nothing, and keeps a message for 31 days."""
    assert isinstance(driver, QueueInspector)
    made = QueueSettings(
        name="emails", retention=timedelta(days=31), max_backoff=timedelta(minutes=5), max_concurrent=10
    )
    assert made == driver.queue_settings("emails")
    dead = driver.queue_settings("emails-dlq")
    assert ("emails-dlq", "paused") == (dead.name, dead.stopped)
    assert driver.queue_settings("other") is None


Mode = UriOverride.UriOverrideEnforceMode


def override(mode):
    return HttpTarget(uri_override=UriOverride(host="elsewhere.example", uri_override_enforce_mode=mode))


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"state": Queue.State.DISABLED}, "stopped", "disabled"),
        ({"retry_config": RetryConfig(max_attempts=100)}, "max_deliveries", 100),
        ({"retry_config": RetryConfig()}, "max_deliveries", 0),
        (
            {"retry_config": RetryConfig(max_attempts=-1, max_retry_duration=Duration(seconds=60))},
            "gives_up_after",
            timedelta(minutes=1),
        ),
        ({"retry_config": RetryConfig(max_attempts=-1)}, "max_backoff", None),
        ({"rate_limits": RateLimits()}, "max_concurrent", 0),
        (
            {"http_target": override(Mode.ALWAYS)},
            "pushes_to",
            "elsewhere.example",
        ),
        (
            {"http_target": override(Mode.IF_NOT_EXISTS)},
            "pushes_to",
            None,
        ),
    ],
)
def test_what_a_setting_means(driver, service, changes, name, value):
    """What isn't set is the service's own default, or nothing."""
    for changed, to in changes.items():
        setattr(service.queues[queue_name("emails")], changed, to)
    assert value == getattr(driver.queue_settings("emails"), name)


def test_who_may_not_look_is_told(driver, service):
    """It is nothing that is wrong with the queue; no order is refused before anything is asked."""
    service.fail = lambda method: api.PermissionDenied("no")
    with pytest.raises(PermissionDenied):
        driver.queue_settings("emails")
    with pytest.raises(UnsupportedError):
        driver.queue_settings("emails.fifo")


def test_permissions_are_the_services_own_answer(driver, service):
    """A worker's for its dead-letter queue, too; of a queue that isn't there nothing is known."""
    assert isinstance(driver, PermissionProber)
    assert [] == driver.missing_permissions("emails", works=True)
    service.denied = {queue_name("emails-dlq")}
    assert [] == driver.missing_permissions("emails", works=False)
    assert ["cloudtasks.tasks.create on emails-dlq"] == driver.missing_permissions("emails", works=True)
    assert [] == driver.missing_permissions("other", works=True)
    assert {"get_queue", "test_iam_permissions"} == set(service.calls[-4:])
