"""Making queues, checking them, and purging them."""

from __future__ import annotations

import pytest
from google.cloud.tasks_v2 import Queue, RateLimits, RetryConfig
from google.protobuf.duration_pb2 import Duration

from cloudq.core.driver import Outgoing, QueueChecker, QueueMaker
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks, queue_name


def test_a_queue_is_made_with_its_paused_dead_letter_queue():
    """The queue gives up nothing; what was there stays as it is."""
    service = FakeCloudTasks()
    driver = service.driver()
    assert isinstance(driver, QueueMaker)
    assert (True, False) == (driver.make_queue("emails"), driver.make_queue("emails"))
    queue, dead = (service.queues[queue_name(name)] for name in ("emails", "emails-dlq"))
    assert (Queue.State.RUNNING, Queue.State.PAUSED) == (queue.state, dead.state)
    assert -1 == queue.retry_config.max_attempts == dead.retry_config.max_attempts
    assert 10 == queue.rate_limits.max_concurrent_dispatches, "what a worker runs at once by default"
    assert 1 == service.calls.count("pause_queue")
    assert [] == list(driver.check_queue("emails"))


def test_what_is_missing_is_found():
    """The queue, and its dead-letter queue."""
    driver = FakeCloudTasks().driver()
    assert isinstance(driver, QueueChecker)
    missing = list(driver.check_queue("emails"))
    assert ["no queue 'emails'" in missing[0], "no dead-letter queue 'emails-dlq'" in missing[1]] == [True, True]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"retry_config": RetryConfig(max_attempts=100)}, "max_attempts=100"),
        ({"retry_config": RetryConfig(max_attempts=-1, max_retry_duration=Duration(seconds=60))}, "max_retry_duration"),
        ({"retry_config": RetryConfig(max_attempts=-1, max_backoff=Duration(seconds=10))}, "max_backoff=0:00:10"),
        ({"rate_limits": RateLimits()}, "max_concurrent_dispatches=0, the service's own default"),
        ({"rate_limits": RateLimits(max_concurrent_dispatches=1000)}, "max_concurrent_dispatches=1000"),
        ({"state": Queue.State.PAUSED}, "is paused"),
        ({"state": Queue.State.DISABLED}, "is disabled"),
    ],
)
def test_settings_that_lose_messages_are_found(changes, said):
    """After its last attempt the service deletes a task, which no retry policy could prevent."""
    service = FakeCloudTasks()
    driver = service.driver()
    driver.make_queue("emails")
    for name, value in changes.items():
        setattr(service.queues[queue_name("emails")], name, value)
    (problem,) = driver.check_queue("emails")
    assert said in problem


def test_a_dead_letter_queue_that_runs_is_found():
    """It would push its dead letters once they are due."""
    service = FakeCloudTasks()
    driver = service.driver()
    driver.make_queue("emails")
    service.queues[queue_name("emails-dlq")].state = Queue.State.RUNNING
    (problem,) = driver.check_queue("emails")
    assert "isn't paused" in problem


def test_a_purge_is_the_service_s_own():
    """It doesn't say how many there were."""
    service = FakeCloudTasks("emails", "emails-dlq")
    driver = service.driver()
    driver.send([Outgoing(id="1", queue="emails", body=b"")])
    driver.send([Outgoing(id="1", queue="emails-dlq", body=b"")])
    assert driver.purge("emails") is None
    assert ([], 1) == (service.stored("emails"), len(service.stored("emails-dlq")))
