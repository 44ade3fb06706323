"""Counting the ends of tasks, logging them, and passing them on."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DUPLICATE, Acked, DeadLettered, Outcome, Retried, Snoozed, Why
from cloudq.running.events import Finished, Tally

SOON = datetime(2026, 1, 2, tzinfo=UTC)
FAILURE = Failure(reason="boom")


def delivery(message: Message | None = None) -> Delivery:
    lease = Lease(queue="q", receipt=None, ends=timedelta(minutes=1), expires_at=SOON)
    return Delivery(
        id="1", queue="q", body=b"", message=message, undecodable=None, attempt=2, deliveries=2, lease=lease
    )


MESSAGE = Message(id="1", task="shop.welcome", queue="q", payload={})
ENDS: list[tuple[Outcome, str, int, str]] = [
    (Acked(), "succeeded", logging.DEBUG, "succeeded"),
    (Retried(delay=timedelta(seconds=7), reason="boom"), "retried", logging.WARNING, "retried, again in 7.0 s: boom"),
    (
        Retried(delay=timedelta(seconds=7), reason="early", counted=False),
        "snoozed", logging.DEBUG, "snoozed, again in 7.0 s: early",
    ),
    (
        Snoozed(delay=timedelta(seconds=7), reason="early"),
        "snoozed", logging.DEBUG, "snoozed, again in 7.0 s: early",
    ),
    (DeadLettered(reason="gave up", failure=FAILURE), "dead_lettered", logging.ERROR, "dead_lettered: gave up"),
    (DUPLICATE, "duplicate", logging.DEBUG, "duplicate"),
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "count", "level", "text"), ENDS, ids=lambda value: str(value)[:20])
def test_each_end_is_counted_logged_and_passed_on(
    outcome: Outcome, count: str, level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure stands out in the log; what only waits for its time doesn't."""
    caplog.set_level(logging.DEBUG, "cloudq.worker")
    told: list[Finished] = []
    tally = Tally(told.append)
    tally.count(delivery(MESSAGE), outcome, 0.25)
    assert {count: 1} == tally.counts()
    assert [(outcome, 0.25)] == [(one.outcome, one.seconds) for one in told]
    # What another test left behind may log, too.
    [line] = [record for record in caplog.records if record.getMessage().startswith("shop.welcome 1 ")]
    assert (level, f"shop.welcome 1 (attempt 2, 0.250 s) {text}") == (line.levelno, line.getMessage())
    assert (count, 0.25) == (line.cloudq_outcome, line.cloudq_seconds)


def test_a_body_that_cannot_be_decoded_has_no_task(caplog: pytest.LogCaptureFixture) -> None:
    """The line says so."""
    Tally().count(delivery(), DeadLettered(reason="undecodable: no", failure=FAILURE), 0)
    assert caplog.messages[0].startswith("undecodable 1 (attempt 2")


@pytest.mark.parametrize("error", [ValueError("slip"), SystemExit(1)])
def test_a_listener_that_fails_is_logged_and_costs_nothing(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the count nor the thread that ran the task, be it `sys.exit`."""

    def fail(finished: Finished) -> None:
        raise error

    tally = Tally(fail)
    tally.count(delivery(MESSAGE), Acked(), 0)
    assert {"succeeded": 1} == tally.counts()
    assert "on_event failed" in caplog.messages


def test_ctrl_c_in_a_listener_ends_it() -> None:
    """Whoever runs the worker in the main thread wants out."""

    def interrupt(finished: Finished) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tally(interrupt).count(delivery(MESSAGE), Acked(), 0)


def test_ends_in_many_threads_are_all_counted() -> None:
    """None is lost between reading and writing a count."""
    tally = Tally()
    go = threading.Barrier(8)

    def count() -> None:
        go.wait(20)
        for _ in range(500):
            tally.count(delivery(MESSAGE), Acked(), 0)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {"succeeded": 8 * 500} == tally.counts()


def test_names_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A task's name and an id are the sender's, who may make them as long as a body."""
    one = replace(delivery(replace(MESSAGE, task="t" * 300)), id="i" * 300)
    Tally().count(one, DeadLettered(reason="no", failure=FAILURE), 0)
    assert caplog.messages[0].startswith("t" * 199 + "… " + "i" * 199 + "… (attempt 2")


def test_the_line_of_what_waits_says_for_what(caplog: pytest.LogCaptureFixture) -> None:
    """In a field, for those who count."""
    caplog.set_level(logging.DEBUG, "cloudq.worker")
    Tally().count(delivery(MESSAGE), Snoozed(delay=timedelta(seconds=7), why=Why.STORE_DOWN, reason="away"), 0.25)
    Tally().count(delivery(MESSAGE), Acked(), 0.25)
    asleep, done = [record for record in caplog.records if record.getMessage().startswith("shop.welcome 1 ")]
    assert ("snoozed", "store down") == (asleep.cloudq_outcome, asleep.cloudq_why)
    assert not hasattr(done, "cloudq_why")
