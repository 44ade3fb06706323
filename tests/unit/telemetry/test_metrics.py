"""What happens, as OpenTelemetry's metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import SendResult
from cloudq.core.ending import Ending
from cloudq.core.message import Message
from cloudq.errors import Throttled
from cloudq.telemetry import conventions as words
from cloudq.telemetry.metrics import Metrics
from tests.unit.telemetry.telling import Told

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGE = Message(id="1", task="shop.paid", queue="q")
OF_SQS = {"messaging__system": "aws_sqs", "server__address": "sqs.eu-west-1.amazonaws.com"}
OF_Q = OF_SQS | {"messaging__destination__name": "q"}


def delivery(task: str = "shop.paid") -> Delivery:
    lease = Lease(queue="q", receipt=None, ends=timedelta(minutes=1), expires_at=NOW)
    message = Message(id="1", task=task, queue="q")
    return Delivery(
        queue="q", id="1", body=b"", message=message, undecodable=None, attempt=1, deliveries=1, lease=lease
    )


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def metrics(told: Told) -> Metrics:
    metrics = Metrics(told.meters.get_meter("test"), {"shop.paid"})
    metrics.opened("aws_sqs", "sqs.eu-west-1.amazonaws.com")
    return metrics


def everything(metrics: Metrics) -> None:
    """Has it told of one of each."""
    one = delivery()
    metrics.sent(MESSAGE, SendResult())
    metrics.started(one, timedelta(seconds=3))
    metrics.ended(one, Ending.DUPLICATE, 0.5)
    metrics.lease_renewed("q", 3)
    metrics.lease_lost(one)
    metrics.held_back("q", "paused")
    metrics.called("SendMessageBatch", "q", 0.02, None)


def test_the_names_and_units_are_those_of_the_conventions(metrics: Metrics, told: Told) -> None:
    """OpenTelemetry's, where it has one; ours are of its form: no unit in a name, no plural of what is measured."""
    everything(metrics)
    assert {
        "messaging.client.sent.messages": "{message}",
        "messaging.client.consumed.messages": "{message}",
        "messaging.process.duration": "s",
        "messaging.client.operation.duration": "s",
        "cloudq.deliveries.ended": "{delivery}",
        "cloudq.deliveries.in_flight": "{delivery}",
        "cloudq.queue.age": "s",
        "cloudq.lease.renewals": "{lease}",
        "cloudq.lease.losses": "{lease}",
        "cloudq.duplicates.stopped": "{message}",
        "cloudq.queue.held_back": "{queue}",
    } == told.units()


@pytest.mark.parametrize("metric", [words.PROCESS_DURATION, words.OPERATION_DURATION])
def test_durations_have_the_buckets_that_the_conventions_advise(metrics: Metrics, told: Told, metric: str) -> None:
    """The SDK's own are for milliseconds."""
    everything(metrics)
    assert [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] == told.bounds(metric)


def test_sends_are_counted_by_what_became_of_them(metrics: Metrics, told: Told) -> None:
    """Those that were there already are duplicates that were stopped."""
    metrics.sent(MESSAGE, SendResult())
    metrics.sent(MESSAGE, SendResult())
    metrics.sent(MESSAGE, SendResult(error=Throttled("slow down")))
    metrics.sent(MESSAGE, SendResult(duplicate=True))
    counts = {dict(key).get("error.type"): value for key, value in told.points(words.SENT).items()}
    assert {None: 3, "cloudq.errors.Throttled": 1} == counts
    assert 1 == told.value(words.SENT, error__type="cloudq.errors.Throttled", messaging__operation__name="send", **OF_Q)
    assert 1 == told.value(words.DUPLICATES, cloudq__where="send", **OF_Q)


def test_a_run_is_counted_from_its_start_to_its_outcome(metrics: Metrics, told: Told) -> None:
    """In flight in between; its age is recorded at the start."""
    one = delivery()
    metrics.started(one, timedelta(seconds=3))
    assert 1 == told.value(words.CONSUMED, messaging__operation__name="process", **OF_Q)
    assert 1 == told.value(words.IN_FLIGHT, cloudq__task="shop.paid", **OF_Q)
    assert 1 == told.value(words.AGE, cloudq__task="shop.paid", **OF_Q)
    metrics.ended(one, Ending.SUCCEEDED, 0.5)
    assert 0 == told.value(words.IN_FLIGHT, cloudq__task="shop.paid", **OF_Q)
    ended = OF_Q | {"cloudq__task": "shop.paid", "cloudq__outcome": "succeeded"}
    assert 1 == told.value(words.ENDED, **ended)
    assert 1 == told.value(words.PROCESS_DURATION, messaging__operation__type="process", **ended)


def test_a_failure_has_an_error_type(metrics: Metrics, told: Told) -> None:
    """As the conventions want it of what failed; which one it was is in the span."""
    for ending in (Ending.RETRIED, Ending.DEAD_LETTERED, Ending.SNOOZED):
        metrics.ended(delivery(), ending, 0.5)
    types = {dict(key)["cloudq.outcome"]: dict(key).get("error.type") for key in told.points(words.PROCESS_DURATION)}
    assert {"retried": "_OTHER", "dead_lettered": "_OTHER", "snoozed": None} == types


def test_what_was_given_up_has_no_duration(metrics: Metrics, told: Told) -> None:
    """It may run on. It isn't in flight any more."""
    metrics.started(delivery(), None)
    metrics.ended(delivery(), Ending.RELEASED, None)
    assert {} == told.points(words.PROCESS_DURATION) == told.points(words.AGE)
    assert 0 == told.value(words.IN_FLIGHT)
    assert 1 == told.value(words.ENDED, cloudq__outcome="released")


def test_duplicates_are_counted_whether_they_were_begun_or_not(metrics: Metrics, told: Told) -> None:
    """By a claim, or by what this process remembers."""
    metrics.ended(delivery(), Ending.DUPLICATE, 0.001)
    metrics.unrun(delivery(), Ending.DUPLICATE)
    assert 2 == told.value(words.DUPLICATES, cloudq__where="process", **OF_Q)
    assert 2 == told.value(words.ENDED, cloudq__outcome="duplicate", **OF_Q)


def test_only_the_programs_own_tasks_are_attributes(metrics: Metrics, told: Told) -> None:
    """Anybody can send a message of any task: a thousand names make one data point."""
    for number in range(1_000):
        metrics.started(delivery(f"stranger.{number}"), timedelta(seconds=1))
        metrics.ended(delivery(f"stranger.{number}"), Ending.DEAD_LETTERED, 0.0)
    assert {"_OTHER"} == {dict(key)["cloudq.task"] for key in told.points(words.ENDED)}
    assert 1_000 == told.value(words.ENDED)


def test_leases_are_counted(metrics: Metrics, told: Told) -> None:
    """Those that were extended, and those that were lost."""
    metrics.lease_renewed("q", 3)
    metrics.lease_renewed("q", 2)
    metrics.lease_lost(delivery())
    assert (5, 1) == (told.value(words.RENEWALS, **OF_Q), told.value(words.LOSSES, **OF_Q))


def test_a_queue_is_held_back_for_one_reason_at_a_time(metrics: Metrics, told: Told) -> None:
    """1 for the reason that holds, 0 for those that did."""
    metrics.held_back("q", "paused")
    metrics.held_back("q", "store down")
    reasons = {dict(key)["cloudq.reason"]: value for key, value in told.points(words.HELD_BACK).items()}
    assert {"paused": 0, "store down": 1} == reasons
    metrics.held_back("q", None)
    metrics.held_back("q", None)
    assert {0} == set(told.points(words.HELD_BACK).values())


def test_requests_are_counted_by_their_operation(metrics: Metrics, told: Told) -> None:
    """Each is billed; one that failed, too."""
    metrics.called("SendMessageBatch", "q", 0.02, None)
    metrics.called("DeleteMessageBatch", "q", 0.02, None)
    metrics.called("DeleteMessageBatch", "q", 0.02, Throttled("slow down"))
    metrics.called("GetQueueUrl", None, 0.02, None)
    points = {
        (dict(key)["messaging.operation.name"], dict(key).get("messaging.operation.type"), dict(key).get("error.type"))
        for key in told.points(words.OPERATION_DURATION)
    }
    assert {
        ("SendMessageBatch", "send", None),
        ("DeleteMessageBatch", "settle", None),
        ("DeleteMessageBatch", "settle", "cloudq.errors.Throttled"),
        ("GetQueueUrl", None, None),
    } == points


def test_what_is_kept_has_a_bound(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes a queue for each customer pays in time, not in memory."""
    monkeypatch.setattr("cloudq.telemetry.metrics._MOST_KEPT", 10)
    for number in range(100):
        metrics.lease_renewed(f"q-{number}", 1)
    assert len(metrics._kept) <= 10


def test_another_backend_has_its_own_name(metrics: Metrics, told: Told) -> None:
    """An app can be lent another driver."""
    metrics.lease_renewed("q", 1)
    metrics.opened("memory", None)
    metrics.lease_renewed("q", 1)
    assert {"aws_sqs", "memory"} == {dict(key)["messaging.system"] for key in told.points(words.RENEWALS)}
