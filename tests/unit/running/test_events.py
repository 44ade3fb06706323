"""Counting the ends of tasks, and passing them on."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DUPLICATE, Acked, DeadLettered, Outcome, Retried, Snoozed
from cloudq.running.events import Finished, Tally

SOON = datetime(2026, 1, 2, tzinfo=UTC)
FAILURE = Failure(reason="boom")


def delivery(message: Message | None = None) -> Delivery:
    lease = Lease(queue="q", receipt=None, ends=timedelta(minutes=1), expires_at=SOON)
    return Delivery(
        id="1", queue="q", body=b"", message=message, undecodable=None, attempt=2, deliveries=2, lease=lease
    )


MESSAGE = Message(id="1", task="shop.welcome", queue="q", payload={})
ENDS: list[tuple[Outcome, str]] = [
    (Acked(), "succeeded"),
    (DUPLICATE, "duplicate"),
    (Retried(delay=timedelta(seconds=7), reason="boom"), "retried"),
    (Retried(delay=timedelta(seconds=7), reason="early", counted=False), "snoozed"),
    (Snoozed(delay=timedelta(seconds=7), reason="early"), "snoozed"),
    (DeadLettered(reason="gave up", failure=FAILURE), "dead_lettered"),
]


@pytest.mark.parametrize(("outcome", "word"), ENDS, ids=lambda value: str(value)[:20])
def test_each_end_is_counted_and_passed_on(outcome: Outcome, word: str) -> None:
    """By its word."""
    told: list[Finished] = []
    tally = Tally(told.append)
    tally.count(delivery(MESSAGE), outcome, 0.25)
    assert {word: 1} == tally.counts()
    assert [(outcome, 0.25)] == [(one.outcome, one.seconds) for one in told]


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
