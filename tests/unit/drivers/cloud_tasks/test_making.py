"""Making queues, and purging them."""

from __future__ import annotations

from google.cloud.tasks_v2 import Queue

from cloudq.core.driver import Outgoing, QueueMaker
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


def test_a_purge_is_the_service_s_own():
    """It doesn't say how many there were."""
    service = FakeCloudTasks("emails", "emails-dlq")
    driver = service.driver()
    driver.send([Outgoing(id="1", queue="emails", body=b"")])
    driver.send([Outgoing(id="1", queue="emails-dlq", body=b"")])
    assert driver.purge("emails") is None
    assert ([], 1) == (service.stored("emails"), len(service.stored("emails-dlq")))
