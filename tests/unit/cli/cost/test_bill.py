"""Which operations a task takes that are billed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloudq import App
from cloudq.cli.cost.bill import ESTIMATES, PUSHES, SYSTEMS, counted, estimates
from cloudq.cli.counted import QueueCounts, WorkerCounts
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import ConfigurationError
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks
from tests.unit.drivers.sqs.fakes import FakeSqs

BENCHMARKS = Path(__file__).parents[4] / "docs" / "reference" / "benchmarks.md"


def worker(address: str = "w:1", system: str = "aws_sqs", **counts: object) -> WorkerCounts:
    return WorkerCounts(address=address, system=system, queues={"q": QueueCounts(**counts)})  # type: ignore[arg-type]


def test_estimates_are_what_was_measured() -> None:
    """They stand in the page of benchmarks."""
    row = r"^\| \*\*cloudq\*\*, `(\w+)` \|[^|]+\|[^|]+\| ([0-9.]+) \|"
    said = dict(re.findall(row, BENCHMARKS.read_text(), re.MULTILINE))
    many, single = ESTIMATES["sqs"]
    assert float(said["send_many"]) + float(said["work"]) == pytest.approx(many.per_task)
    assert float(said["send"]) + float(said["work"]) == pytest.approx(single.per_task)


@pytest.mark.cloudq_allow_real
def test_a_task_of_cloud_tasks_is_created_by_one_call() -> None:
    """As the estimate says; its push is the service's own."""
    service = FakeCloudTasks("q")
    app = App("cloudtasks://my-project/europe-west1?target=https://worker.example")
    with app.using(service.driver()):
        for number in range(3):
            app.send("t", {"n": number}, queue="q")
    assert ["create_task"] * 3 == service.calls
    assert {"CreateTask": 1.0, PUSHES: 1.0} == estimates("cloudtasks")[0].operations


def test_what_workers_have_counted_is_shared_by_their_tasks() -> None:
    """Of the one queue; another service's calls aren't in it."""
    way = counted(
        "sqs",
        "q",
        [
            worker("a:1", left=60, ended=70, calls={"ReceiveMessage": 10, "CreateSchedule": 5}),
            worker("b:1", left=40, ended=40, calls={"ReceiveMessage": 10, "DeleteMessageBatch": 10}),
        ],
    )
    assert {"DeleteMessageBatch": 0.1, "ReceiveMessage": 0.2} == way.operations
    assert (100, 0.24) == (way.tasks, pytest.approx(way.usd(2_000_000, 0.40)))
    assert "a:1, b:1" in way.source


def test_cloud_tasks_bills_tasks_and_pushes() -> None:
    """A call that creates ten is billed ten times, and an attempt to push as often as there was one."""
    way = counted(
        "cloudtasks",
        "q",
        [
            worker(
                system="gcp_cloud_tasks",
                left=10,
                ended=15,
                sent=10,
                calls={"BatchCreateTasks": 1, "CreateTask": 5, "GetTask": 2},
            )
        ],
    )
    assert {"CreateTask": 1.0, "GetTask": 0.2, PUSHES: 1.5} == way.operations


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ([WorkerCounts(address="w:1", unreachable="timed out")], "w:1 has no counts: timed out"),
        ([worker(calls={"ReceiveMessage": 9})], "nothing to divide by"),
        ([WorkerCounts(address="w:1", system="aws_sqs")], "nothing to divide by"),
        ([worker(system="", left=1)], "isn't on sqs://, but on no service"),
        ([worker(system="servicebus", left=1)], "isn't on sqs://, but on servicebus"),
    ],
)
def test_without_counts_nothing_is_said(workers: list[WorkerCounts], words: str) -> None:
    """And nothing is made up."""
    with pytest.raises(ConfigurationError, match=words):
        counted("sqs", "q", workers)


@pytest.mark.parametrize("scheme", ["sqlite", "servicebus"])
def test_what_nobody_measured_or_bills_has_no_estimate(scheme: str) -> None:
    """With what to do."""
    with pytest.raises(ConfigurationError) as caught:
        estimates(scheme)
    assert caught.value.hint


@pytest.mark.cloudq_allow_real
def test_services_are_known_by_their_drivers_names() -> None:
    """Which a worker's metrics say."""
    drivers = {
        "sqs": SQSDriver("test", client=FakeSqs()),
        "cloudtasks": FakeCloudTasks("q").driver(),
        "servicebus": ServiceBusDriver("x.servicebus.windows.net"),
    }
    assert {scheme: driver.system for scheme, driver in drivers.items()} == SYSTEMS
    for driver in drivers.values():
        driver.close()
