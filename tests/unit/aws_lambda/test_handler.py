"""The function as Lambda calls it, over an SQS that behaves like the service's."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from datetime import timedelta

import pytest

from cloudq import App, Context
from cloudq.aws_lambda import handler
from cloudq.core.failure import Failure
from cloudq.drivers.sqs import bodies
from cloudq.errors import BatchFailed, ConfigurationError, PushRefused, TimeLimitExceeded
from tests.unit.aws_lambda.fakes import LATE, ONCE, SECOND, SOON, URL, Invocation, Mapping, fail, ids
from tests.unit.moving import moved

# ── what becomes of a record ─────────────────────────────────────────────────────────────────────────────


def test_done_records_are_left_out_and_nothing_is_called(mapping: Mapping) -> None:
    """The service deletes them: a batch without failures costs no call."""
    ran = []

    @mapping.app.task("t")
    def t(n: int) -> None:
        ran.append(n)

    for n in range(10):
        mapping.app.send("t", {"n": n})
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive())
    assert list(range(10)) == ran
    assert [] == mapping.calls
    assert [] == mapping.messages("default")


def test_a_short_retry_waits_by_its_visibility(mapping: Mapping) -> None:
    """The record is returned as failed, after its receipt handle was given the delay."""
    mapping.app.task("t", retry=SOON)(fail)
    mapping.app.send("t")
    event = mapping.receive()
    assert ids(event) == mapping.invoke(handler(mapping.app), event)
    assert {event["Records"][0]["receiptHandle"]: 7} == mapping.visibilities()
    assert ["ChangeMessageVisibilityBatch"] == mapping.operations()
    assert 1 == len(mapping.messages("default"))


def test_a_long_retry_is_stored_as_a_copy(mapping: Mapping) -> None:
    """Beyond a minute the next attempt is a message of its own, and the record is left out."""
    mapping.app.task("t", retry=LATE)(fail)
    mapping.app.send("t")
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive())
    assert ["SendMessageBatch"] == mapping.operations()
    assert 300 == mapping.calls[0][1]["Entries"][0]["DelaySeconds"]
    (copy,) = mapping.messages("default")
    assert (1, 1) == (json.loads(copy["Body"])["attemptbase"], json.loads(copy["Body"])["generation"])
    assert "boom" in copy["MessageAttributes"][bodies.FAILURE]["StringValue"]


def test_a_dead_letter_is_stored_with_its_details(mapping: Mapping) -> None:
    """The copy lies in the dead-letter queue, body unchanged, and the record is left out."""
    mapping.app.task("t", retry=ONCE)(fail)
    mapping.app.send("t")
    event = mapping.receive()
    assert [] == mapping.invoke(handler(mapping.app), event)
    (dead,) = mapping.messages("default-dlq")
    assert event["Records"][0]["body"] == dead["Body"]
    failure = Failure.decode(dead["MessageAttributes"][bodies.DEAD]["StringValue"])
    assert ("gave up after 1 attempt: RuntimeError: boom", 1) == (failure.reason, failure.attempts)
    assert [] == mapping.messages("default")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no JSON", "undecodable: "),
        ('{"specversion": "1.0", "id": "1", "source": "/x", "type": "other", "data": {}}', "unknown task 'other'"),
        ('{"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": {"m": 1}}', "payload: "),
    ],
)
def test_poison_is_dead_lettered(mapping: Mapping, body: str, reason: str) -> None:
    """What can't be run ends in the dead-letter queue with the reason, its text unchanged."""
    mapping.app.unknown_task_patience = timedelta(0)
    mapping.app.task("t")(lambda n: None)
    mapping.app.send("t", {"n": 1})
    event = mapping.receive()
    event["Records"][0]["body"] = body
    assert [] == mapping.invoke(handler(mapping.app), event)
    (dead,) = mapping.messages("default-dlq")
    assert body == dead["Body"]
    assert Failure.decode(dead["MessageAttributes"][bodies.DEAD]["StringValue"]).reason.startswith(reason)


def test_an_unknown_task_goes_back_by_a_copy(mapping: Mapping) -> None:
    """In its first attempt still, in a while, for whoever knows it; the record itself is done with."""
    mapping.app.task("t")(lambda n: None)
    mapping.app.send("other", {}, queue="default")
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive())
    assert [] == mapping.messages("default-dlq")
    copy = mapping.messages("default")[-1]
    failure = Failure.decode(copy["MessageAttributes"][bodies.FAILURE]["StringValue"])
    assert "unknown task 'other': known: t" == failure.reason
    assert None is not failure.unknown_since
    assert 0 == json.loads(copy["Body"]).get("attemptbase", 0)


def test_records_that_were_never_started_are_no_poison(mapping: Mapping) -> None:
    """What was often handed back for want of time runs; what was handed over a hundred times is stopped."""
    ran = []
    mapping.app.task("t")(lambda: ran.append(1))
    for count in ("60", "101"):
        mapping.app.send("t")
        event = mapping.receive()
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = count
        assert [] == mapping.invoke(handler(mapping.app), event)
    assert [1] == ran
    (dead,) = mapping.messages("default-dlq")
    assert "worker died or lease expired" in dead["MessageAttributes"][bodies.DEAD]["StringValue"]


# ── tasks of every kind ──────────────────────────────────────────────────────────────────────────────────


def test_a_task_may_send(mapping: Mapping) -> None:
    """What a task sends is on its way when the function answers."""
    mapping.app.task("second")(lambda: None)
    mapping.app.task("first")(lambda: mapping.app.send("second") and None)
    mapping.app.send("first")
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive())
    assert ["second"] == [json.loads(message["Body"])["type"] for message in mapping.messages("default")]


# ── the function's time ──────────────────────────────────────────────────────────────────────────────────


def test_the_deadline_is_the_functions_or_the_tasks(mapping: Mapping) -> None:
    """The context says when the task is stopped: at its time limit, or in time for the answer."""
    deadlines = []

    @mapping.app.task("limited", time_limit=5 * SECOND)
    def limited(context: Context) -> None:
        deadlines.append(context.time_left)

    @mapping.app.task("unlimited")
    def unlimited(context: Context) -> None:
        deadlines.append(context.time_left)

    mapping.app.send("limited")
    mapping.app.send("unlimited")
    mapping.invoke(handler(mapping.app), mapping.receive())
    assert [5 * SECOND, 27 * SECOND] == deadlines


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_is_set_changes_no_time_that_is_left(mapping: Mapping, step: timedelta) -> None:
    """Set meanwhile, forwards or backwards: the rest of the batch runs, in the time that there is."""
    left: list[timedelta | None] = []

    @mapping.app.task("first")
    def first() -> None:
        mapping.clock.advance(2 * SECOND)
        mapping.clock.step(step)

    @mapping.app.task("second")
    def second(context: Context) -> None:
        left.append(context.time_left)

    mapping.app.send("first")
    mapping.app.send("second")
    event = mapping.receive()
    assert [] == mapping.invoke(handler(mapping.app, concurrency=1), event, timeout=30 * SECOND)
    assert [25 * SECOND] == left


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_task_is_stopped_before_the_function_is_killed(mapping: Mapping, kind: str) -> None:
    """What had succeeded before it is left out of the answer; it itself failed, as at a time limit."""
    raised, begun = [], threading.Event()

    def spin(until: float) -> None:
        # A function of its own: see "Time limits" in how-to/run-a-worker.md.
        while time.monotonic() < until:
            pass

    def sync_task() -> None:
        try:
            begun.set()
            spin(time.monotonic() + 60)
        except TimeLimitExceeded as error:
            raised.append(error)
            raise

    async def async_task() -> None:
        try:
            begun.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            raised.append(error)
            raise

    mapping.app.task("t", retry=SOON)(sync_task if kind == "sync" else async_task)
    mapping.app.task("ok")(lambda: None)
    mapping.app.send("ok")
    mapping.app.send("t")
    event = mapping.receive()
    with moved(mapping.clock, 27 * SECOND, begun):
        assert ids(event)[1:] == mapping.invoke(handler(mapping.app), event, timeout=30 * SECOND)
    assert 1 == len(raised)
    assert [7] == list(mapping.visibilities().values())


# ── without ReportBatchItemFailures ──────────────────────────────────────────────────────────────────────


def test_without_reports_a_failure_raises_and_done_work_is_deleted(mapping: Mapping) -> None:
    """Lambda deletes nothing of a batch that raised; so what is done is deleted first."""
    mapping.app.task("ok")(lambda: None)
    mapping.app.task("t", retry=SOON)(fail)
    mapping.app.task("dead", retry=ONCE)(fail)
    for task in ("ok", "t", "dead"):
        mapping.app.send(task)
    event = mapping.receive()
    with pytest.raises(BatchFailed, match="1 of 3 records failed"):
        mapping.invoke(handler(mapping.app, report_failures=False), event)
    assert ids(event)[1:2] == [message["MessageId"] for message in mapping.messages("default")]
    assert ["SendMessageBatch", "ChangeMessageVisibilityBatch", "DeleteMessageBatch"] == mapping.operations()


def test_without_reports_a_batch_that_succeeds_calls_nothing(mapping: Mapping) -> None:
    """Lambda deletes all of it."""
    mapping.app.task("ok")(lambda: None)
    mapping.app.send("ok")
    assert [] == mapping.invoke(handler(mapping.app, report_failures=False), mapping.receive())
    assert [] == mapping.calls


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_opened_before_the_first_invocation() -> None:
    """A handler is made at import, where neither URL nor tasks are known yet; the first event opens the app."""
    app = App("memory://")
    function = handler(app)
    with pytest.raises(ConfigurationError, match="backend is memory://") as caught:
        function({"Records": []}, None)
    assert "CLOUDQ_URL" in str(caught.value.hint)


def test_an_event_of_another_kind_is_refused(mapping: Mapping) -> None:
    """Before anything runs, with what to do."""
    with pytest.raises(PushRefused, match="EventBridge"):
        handler(mapping.app)({"detail-type": "t", "source": "s", "detail": {}}, Invocation(mapping.clock))


def test_an_empty_batch_has_no_failures(mapping: Mapping) -> None:
    """Whoever sends one; a context isn't needed to try the function out."""
    assert {"batchItemFailures": []} == handler(mapping.app)({"Records": []})


@pytest.mark.parametrize("concurrency", [0, 101, True, 1.5, None])
def test_a_concurrency_out_of_bounds_is_refused(concurrency: object) -> None:
    """When the handler is made."""
    with pytest.raises(ConfigurationError, match="concurrency is"):
        handler(App(URL), concurrency=concurrency)


def test_what_a_task_logs_names_its_delivery(mapping: Mapping, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever logs it; and its failure is logged with its exception."""

    @mapping.app.task("pay", retry=ONCE)
    def pay() -> None:
        logging.getLogger("bank").warning("slow")
        raise ValueError("no such order")

    sent = mapping.app.send("pay")
    mapping.invoke(handler(mapping.app), mapping.receive())
    [slow] = [record for record in caplog.records if record.name == "bank"]
    assert ("pay", sent.id, 1) == (slow.cloudq_task, slow.cloudq_id, slow.cloudq_attempt)  # type: ignore[attr-defined]
    [end] = [record for record in caplog.records if hasattr(record, "cloudq_outcome")]
    assert "dead_lettered" == end.cloudq_outcome
    assert end.exc_info is not None
    assert isinstance(end.exc_info[1], ValueError)
