"""What a worker has counted, by its own metrics."""

from __future__ import annotations

import sys

import pytest

from cloudq.cli import counted
from cloudq.cli.counted import QueueCounts, WorkerCounts, counted_by, read
from cloudq.core.driver import SendResult
from cloudq.core.ending import Ending
from cloudq.core.message import Message
from cloudq.errors import ConfigurationError
from cloudq.running.metrics import MetricsServer
from cloudq.telemetry.prometheus import Metrics
from cloudq.telemetry.standing import Standing
from tests.unit.cli.conftest import AT
from tests.unit.telemetry.test_prometheus import of

pytestmark = pytest.mark.cloudq_allow_real


def worked() -> Metrics:
    """What a worker's metrics are after some work."""
    metrics = Metrics(known={"welcome"}, version="1")
    metrics.opened("aws_sqs", None)
    metrics.watch(lambda: Standing(ready=True, slots=10, waiting=0, running=0, settling=0))
    metrics.expect("emails", "welcome")
    metrics.expect("reports", "welcome")
    for ending in Ending:
        metrics.ended(of("welcome"), ending, 0.5)
    metrics.called("ReceiveMessage", "emails", 0.1, None)
    metrics.called("ReceiveMessage", "emails", 0.1, OSError())
    metrics.called("DeleteMessageBatch", "emails", 0.1, None)
    metrics.called("GetQueueUrl", None, 0.1, None)
    message = Message(id="1", task="welcome", queue="emails", payload={}, sent_at=AT)
    metrics.sent(message, SendResult())
    metrics.sent(message, SendResult(error=OSError()))
    return metrics


@pytest.mark.usefixtures("patient")
def test_a_worker_is_asked_over_http() -> None:
    """All that it has counted of a queue: what left it, how long its tasks ran, and its calls, tried again or not."""
    server = MetricsServer(("127.0.0.1", 0), worked())
    server.start()
    try:
        found = counted_by("{}:{}".format(*server.address))
    finally:
        server.stop()
    assert (None, "aws_sqs", 10) == (found.unreachable, found.system, found.slots)
    assert {"emails", "reports"} == found.serves
    assert (
        QueueCounts(
            sent=1, ended=9, left=5, runs=9, run_seconds=4.5, calls={"ReceiveMessage": 2, "DeleteMessageBatch": 1}
        )
        == (found.queues["emails"])
    )
    assert {"GetQueueUrl": 1} == found.queues[""].calls


@pytest.mark.parametrize(
    "page", [b"", b"\xff", b"<html>", b"# TYPE x counter\nx_total 1\n", b"cloudq_worker{", b"a b c"]
)
def test_what_is_no_page_of_a_worker_says_so(page: bytes) -> None:
    """Whatever is at that address may be anything."""
    assert WorkerCounts(address="w:1", unreachable="what answers there has no metrics of a worker") == read("w:1", page)


def test_only_a_workers_own_lines_are_read() -> None:
    """A program's other collectors may say anything, and no name of ours makes a line that long."""
    ours = b'cloudq_worker_slots 3\ncloudq_tasks_started_total{queue="q",task="t"} 1\n'
    long = b'cloudq_tasks_started_total{queue="' + b"x" * 9000 + b'",task="t"} 1\n'
    found = read("w:1", b"other{ 1\n" + ours + long)
    assert (None, 3, {"q"}) == (found.unreachable, found.slots, found.serves)


def test_one_that_does_not_answer_says_why() -> None:
    """And nothing is raised."""
    assert "refused" in (counted_by("127.0.0.1:1").unreachable or "")


def test_what_reads_metrics_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of an extra."""
    monkeypatch.setitem(sys.modules, "prometheus_client.parser", None)
    with pytest.raises(ConfigurationError, match="isn't installed") as caught:
        read("w:1", b"")
    assert "cloudq[prometheus]" in str(caught.value.hint)


def test_ends_that_leave_the_queue_are_told_from_others() -> None:
    """What is retried, snoozed, given back or whose lease was lost is in it still."""
    assert {Ending.RETRIED, Ending.SNOOZED, Ending.RELEASED, Ending.LEASE_LOST} == set(Ending) - counted.LEAVES
