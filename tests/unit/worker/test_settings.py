"""Settings are refused at the start where they can't work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cloudq import App
from cloudq.errors import ConfigurationError
from cloudq.worker.settings import WorkerSettings, queue_leases
from tests.ids import shown


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"max_tasks": 0}, "max_tasks"),
        ({"polls": 0}, "polls"),
        ({"processes": -1}, "processes"),
        ({"prefetch": -1}, "prefetch"),
        ({"queues": {"mail": 0}}, "mail"),
        ({"grace": seconds(-1)}, "grace"),
        ({"lease": seconds(0)}, "lease"),
        ({"settle_timeout": seconds(0)}, "settle_timeout"),
        ({"wait": seconds(-1)}, "wait"),
        ({"lease": seconds(40), "wait": seconds(20)}, "too short"),
    ],
    ids=shown,
)
def test_refused(given: dict[str, Any], named: str) -> None:
    """A value out of its range is refused, and named."""
    with pytest.raises(ConfigurationError, match=named):
        WorkerSettings(**given)


def test_the_wait_fits_the_lease() -> None:
    """A poll waits 8 s, or less where the lease is short; a burst doesn't wait."""
    assert seconds(8) == WorkerSettings().poll_wait
    assert seconds(4) == WorkerSettings(lease=seconds(10)).poll_wait
    assert seconds(1) == WorkerSettings(wait=seconds(1)).poll_wait
    assert seconds(0) == WorkerSettings(burst=True).poll_wait


def test_processes_replace_concurrency() -> None:
    """With processes there are as many slots as processes."""
    assert 10 == WorkerSettings().slots
    assert 3 == WorkerSettings(processes=3).slots


def test_the_queues_given_else_those_declared() -> None:
    """Named queues win over declared ones, which weigh what their priorities say."""
    assert {"a": 5} == WorkerSettings(queues={"a": 5}).weights({"b": 1})
    assert {"b": 2, "c": 1} == WorkerSettings().weights({"b": 2, "c": 1})


def test_a_lease_is_that_of_each_queue_that_its_task_names() -> None:
    """As a receive can't know which of the tasks it will get."""
    app = App("memory://")
    app.task("t", queues=["a", "b"], lease=timedelta(minutes=9))(lambda: None)
    leases = queue_leases(WorkerSettings(), ["a", "b", "c"], app.runtime.handlers.values())
    assert {"a": timedelta(minutes=9), "b": timedelta(minutes=9), "c": timedelta(minutes=2)} == leases
