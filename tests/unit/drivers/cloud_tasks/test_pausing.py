"""Pausing is the service's own."""

from __future__ import annotations

import pytest
from google.cloud.tasks_v2 import Queue

from cloudq.core.pausing import Pauser
from cloudq.errors import QueueNotFound, UnsupportedError
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks, queue_name


def test_a_queue_is_paused_and_resumed_once():
    """Each says whether it was news; what is so already takes a look and no more."""
    service = FakeCloudTasks("emails")
    driver = service.driver()
    assert isinstance(driver, Pauser)
    assert [True, False] == [driver.pause("emails") for _ in range(2)]
    assert (True, Queue.State.PAUSED) == (driver.is_paused("emails"), service.queues[queue_name("emails")].state)
    assert [True, False] == [driver.resume("emails") for _ in range(2)]
    assert (False, Queue.State.RUNNING) == (driver.is_paused("emails"), service.queues[queue_name("emails")].state)
    assert (1, 1) == (service.calls.count("pause_queue"), service.calls.count("resume_queue"))


def test_what_is_no_pause_is_left_alone():
    """A queue that isn't there, and one that the service has disabled."""
    service = FakeCloudTasks("emails")
    driver = service.driver()
    service.queues[queue_name("emails")].state = Queue.State.DISABLED
    for act in (driver.pause, driver.resume, driver.is_paused):
        with pytest.raises(QueueNotFound):
            act("nowhere")
        with pytest.raises(UnsupportedError, match="is disabled, not paused"):
            act("emails")
