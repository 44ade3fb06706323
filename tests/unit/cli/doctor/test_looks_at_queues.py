"""Queues are looked at through the driver of the app's backend."""

from __future__ import annotations

import pytest

from cloudq import App
from cloudq.cli.doctor.looks_at_queues import look_at_queues
from cloudq.cli.queue_needs import Cloud
from cloudq.drivers.sqs import SQSDriver
from tests.unit.cli.doctor.test_queue_law import NEEDS
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks
from tests.unit.drivers.sqs.fakes import FakeSqs

pytestmark = pytest.mark.cloudq_allow_real


def test_a_queue_and_its_dead_letter_queue():
    """With the prefix of the backend's URL, what the tasks ask for, and what the driver takes the queue for."""
    app = App("sqs://test?prefix=p-")
    driver = SQSDriver("test", client=FakeSqs(), prefix="p-")
    driver.make_queue("mail")
    with app.using(driver):
        mail, other = look_at_queues(app, ["mail", "other"], {"mail": NEEDS})
    assert (Cloud.AWS, "p-mail", NEEDS) == (mail.cloud, mail.native, mail.needs)
    assert mail.settings is not None
    assert mail.dead is not None
    assert ("p-mail", "p-mail-dlq") == (mail.settings.name, mail.dead.name)
    assert mail.capabilities == driver.capabilities("mail")
    assert ("p-other", None, None, None) == (other.native, other.settings, other.dead, other.needs)


def test_a_queue_that_the_service_can_not_have():
    """Nothing is asked of it; the worker's host is that of the backend's URL."""
    service = FakeCloudTasks()
    app = App("cloudtasks://my-project/europe-west1?target=https://worker.example:8443/tasks")
    driver = service.driver()
    driver.make_queue("mail")
    service.calls.clear()
    with app.using(driver):
        mail, ordered = look_at_queues(app, ["mail", "orders.fifo"], {})
    assert (True, "worker.example") == (mail.possible, mail.target)
    assert (False, None) == (ordered.possible, ordered.settings)
    assert ["get_queue", "get_queue"] == service.calls


def test_a_backend_whose_queues_have_no_settings(tmp_path):
    """There is nothing to look at."""
    app = App(f"sqlite:///{tmp_path / 'queue.db'}")
    assert [] == list(look_at_queues(app, ["mail"], {}))
    app.close()
