"""What Cloud Tasks takes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.drivers.cloud_tasks import limits
from cloudq.errors import UnsupportedError
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks


def test_a_whole_task_of_default_size_is_below_the_smaller_of_the_documented_limits():
    """A body, the details of a dead letter and all that goes with them: less than 100 KB, however KB is meant."""
    assert limits.DEFAULT_MAX_BODY + limits.ROOM + limits.ENVELOPE < 100_000
    assert limits.MOST_MAX_BODY + limits.ROOM + limits.ENVELOPE < 1_048_569


@pytest.mark.parametrize("queue", ["orders.fifo", "orders-dlq.fifo"])
def test_a_fifo_name_is_refused_at_its_first_use(queue):
    """It asks for an order that the service doesn't keep; the hint names what does."""
    driver = FakeCloudTasks().driver()
    for first_use in (driver.capabilities, driver.make_queue, driver.queue_settings):
        with pytest.raises(UnsupportedError, match="keep the order") as raised:
            first_use(queue)
        assert "SQS" in str(raised.value.hint)


def test_capabilities_are_those_of_a_push():
    """Never extended, retried and dead-lettered by copies."""
    found = FakeCloudTasks().driver(max_body=200_000).capabilities("emails")
    assert (found.extendable, found.native_dead_letter) == (False, False)
    assert (found.native_retry_delay, found.max_delay) == (None, timedelta(days=30))
    assert (found.max_lease, found.max_body) == (timedelta(minutes=30), 200_000)


def test_a_name_that_cloud_tasks_cannot_have_is_refused_at_its_first_use():
    """Rather than by the service at the first send."""
    with pytest.raises(UnsupportedError):
        FakeCloudTasks().driver().capabilities("my_queue")
