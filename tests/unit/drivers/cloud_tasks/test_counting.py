"""How full a queue is: its tasks are counted."""

from __future__ import annotations

from datetime import timedelta

from google.cloud.tasks_v2.types import Attempt

from cloudq.core.driver import Outgoing, QueueStats
from cloudq.drivers.cloud_tasks import counting
from cloudq.testing.clock import FakeClock
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks


def test_a_queue_is_counted_by_its_tasks(monkeypatch):
    """Ready, delayed, in flight, dead, and since when the oldest is due; of a huge queue nothing."""
    service, clock = FakeCloudTasks("emails", "emails-dlq"), FakeClock()
    driver = service.driver(clock)
    for seconds in (10, 20, 3600):
        driver.send([Outgoing(id="1", queue="emails", body=b"", delay=timedelta(seconds=seconds))])
    driver.send([Outgoing(id="1", queue="emails-dlq", body=b"")])
    clock.advance(timedelta(seconds=50))
    expected = QueueStats(ready=2, delayed=1, in_flight=0, dead=1, oldest_age=timedelta(seconds=40))
    assert expected == driver.stats("emails")
    running = service.stored("emails")[0]
    running.dispatch_count = 1
    running.last_attempt = Attempt(dispatch_time=running.schedule_time + timedelta(seconds=1))
    assert (1, 1, 1) == (driver.stats("emails").ready, driver.stats("emails").delayed, driver.stats("emails").in_flight)
    running.schedule_time = clock.now() + timedelta(minutes=1)  # it failed, and waits for its next attempt
    assert (1, 2, 0) == (driver.stats("emails").ready, driver.stats("emails").delayed, driver.stats("emails").in_flight)
    monkeypatch.setattr(counting, "MOST", 2)
    assert QueueStats(dead=1) == driver.stats("emails")


def test_where_nothing_is_ready_nothing_has_an_age():
    """As on any backend."""
    service = FakeCloudTasks("emails")
    driver = service.driver()
    driver.send([Outgoing(id="1", queue="emails", body=b"", delay=timedelta(hours=1))])
    assert (0, 1, None) == (
        driver.stats("emails").ready,
        driver.stats("emails").delayed,
        driver.stats("emails").oldest_age,
    )


def test_stats_without_a_dead_letter_queue_say_nothing_of_dead_letters():
    """The first dead letter says it loudly."""
    assert FakeCloudTasks("emails").driver().stats("emails").dead is None


def test_of_very_many_dead_letters_nothing_is_said(monkeypatch):
    """The queue's own figures are."""
    service = FakeCloudTasks("emails", "emails-dlq")
    driver = service.driver()
    driver.send([Outgoing(id=str(number), queue="emails-dlq", body=b"") for number in range(3)])
    monkeypatch.setattr(counting, "MOST", 2)
    assert (0, None) == (driver.stats("emails").ready, driver.stats("emails").dead)
