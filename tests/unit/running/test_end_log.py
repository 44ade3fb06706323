"""The line that says what became of a delivery."""

from __future__ import annotations

import gc
import logging
import re
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from cloudq.app import App
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.ending import Ending
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DUPLICATE, Acked, DeadLettered, Expired, Outcome, Retried, Snoozed, Why
from cloudq.core.policy import Retry
from cloudq.core.processor import no_time_limit
from cloudq.core.run_fields import RunFields
from cloudq.drivers.memory import MemoryDriver
from cloudq.running.end_log import _LEVELS, log_end, log_verdict
from cloudq.running.processing import processor_of

SOON = datetime(2026, 1, 2, tzinfo=UTC)
FAILURE = Failure(reason="boom")
MESSAGE = Message(id="1", task="shop.welcome", queue="q", payload={})


def delivery(message: Message | None = MESSAGE) -> Delivery:
    lease = Lease(queue="q", receipt=None, ends=timedelta(minutes=1), expires_at=SOON)
    return Delivery(
        id="1", queue="q", body=b"", message=message, undecodable=None, attempt=2, deliveries=2, lease=lease
    )


def run_of(one: Delivery) -> RunFields:
    return RunFields(one.message.task if one.message else None, one.id, one.queue, one.attempt)


def logged(outcome: Outcome, caplog: pytest.LogCaptureFixture, *, lost: bool = False) -> logging.LogRecord:
    over = Event()
    if lost:
        over.set()
    with caplog.at_level(logging.DEBUG, "cloudq.worker"):
        log_end(delivery(), outcome, run_of(delivery()), over)
    [line] = [record for record in caplog.records if record.getMessage().startswith("shop.welcome 1 (attempt 2")]
    return line


@pytest.mark.parametrize(
    ("outcome", "word", "level", "text"),
    [
        (Acked(), "succeeded", logging.DEBUG, "succeeded"),
        (DUPLICATE, "duplicate", logging.DEBUG, "duplicate"),
        (Expired(reason="expired 4 min ago"), "expired", logging.INFO, "expired 4 min ago"),
        (
            Retried(delay=timedelta(seconds=7), reason="boom"),
            "retried", logging.WARNING, "retried, again in 7.0 s: boom",
        ),
        (
            Snoozed(delay=timedelta(seconds=7), reason="early"),
            "snoozed", logging.DEBUG, "snoozed, again in 7.0 s: early",
        ),
        (
            DeadLettered(reason="gave up", failure=FAILURE),
            "dead_lettered", logging.ERROR, "dead_lettered: gave up",
        ),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_each_end_has_its_word_and_its_level(
    outcome: Outcome, word: str, level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure stands out in the log; what only waits for its time doesn't."""
    line = logged(outcome, caplog)
    assert (level, word) == (line.levelno, line.cloudq_outcome)  # type: ignore[attr-defined]
    assert line.getMessage().endswith(f" s) {text}")
    fields = {name: getattr(line, f"cloudq_{name}") for name in ("task", "id", "queue", "attempt")}
    assert {"task": "shop.welcome", "id": "1", "queue": "q", "attempt": 2} == fields
    assert 0 <= line.cloudq_seconds < 60  # type: ignore[attr-defined]


def test_the_page_on_logs_has_each_level() -> None:
    """Whoever filters by level goes by its table."""
    page = (Path(__file__).parents[3] / "docs/how-to/logs.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE))
    words = [ending for ending in Ending if ending is not Ending.RELEASED]  # which has no line
    assert {one.value: logging.getLevelName(_LEVELS.get(one, logging.DEBUG)).lower() for one in words} == said


def test_a_failure_after_the_lease_was_over_counts_for_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is handed over again whatever the policy decided. Work that is done is done all the same."""
    line = logged(DeadLettered(reason="gave up", failure=FAILURE), caplog, lost=True)
    assert ("lease_lost", logging.WARNING) == (line.cloudq_outcome, line.levelno)  # type: ignore[attr-defined]
    assert line.getMessage().endswith("lease_lost: gave up")
    caplog.clear()
    assert "succeeded" == logged(Acked(), caplog, lost=True).cloudq_outcome  # type: ignore[attr-defined]


def test_what_waits_says_for_what(caplog: pytest.LogCaptureFixture) -> None:
    """In a field, for those who count."""
    line = logged(Snoozed(delay=timedelta(seconds=7), why=Why.STORE_DOWN, reason="away"), caplog)
    assert "store down" == line.cloudq_why  # type: ignore[attr-defined]


def test_a_body_that_cannot_be_decoded_has_no_task(caplog: pytest.LogCaptureFixture) -> None:
    """The line says so."""
    log_verdict(delivery(None), DeadLettered(reason="undecodable: no", failure=FAILURE))
    assert caplog.messages[0].startswith("undecodable 1 (attempt 2")


# ── as edges have it ─────────────────────────────────────────────────────────────────────────────────────


class Order:
    """Something that a task works on."""


def failed(app: App, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    app.send("pay")
    driver = app.driver()
    assert isinstance(driver, MemoryDriver)
    [one] = driver.receive("default", limit=1, wait=timedelta(0), lease=timedelta(minutes=1))
    processor_of(app, no_time_limit).process(one)
    [line] = [record for record in caplog.records if getattr(record, "cloudq_outcome", None)]
    return line


@pytest.mark.parametrize(("error", "level"), [(ValueError("no"), "WARNING"), (SystemExit(3), "ERROR")])
def test_a_failed_attempt_has_its_exception(error: BaseException, level: str, caplog: pytest.LogCaptureFixture) -> None:
    """The very one, with its traceback, so that whatever collects errors has the stack; the dead letter too."""
    app = App()

    @app.task("pay")
    def pay() -> None:
        raise error

    with app.using(MemoryDriver()):
        line = failed(app, caplog)
    assert level == line.levelname
    assert line.exc_info is not None
    assert error is line.exc_info[1]
    assert line.exc_info[2] is not None


def test_a_run_that_was_asked_for_has_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing went wrong: the line says why it is wanted."""
    app = App()

    @app.task("pay")
    def pay() -> None:
        raise Retry("the bank is closed")

    with app.using(MemoryDriver()):
        line = failed(app, caplog)
    assert line.getMessage().endswith(": the bank is closed")
    assert line.exc_info is None


def test_what_a_run_was_asked_for_from_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """`raise Retry(...) from error`: the error is what went wrong."""
    app = App()
    error = ConnectionError("no route to the bank")

    @app.task("pay")
    def pay() -> None:
        try:
            raise error
        except ConnectionError:
            raise Retry("the bank can't be reached")  # noqa: B904 - what is raised within `except` has it as its context

    with app.using(MemoryDriver()):
        line = failed(app, caplog)
    assert line.exc_info is not None
    assert error is line.exc_info[1]


def test_the_line_is_written_by_the_apps_own_redact(caplog: pytest.LogCaptureFixture) -> None:
    """It names what failed in the words of the failure."""
    app = App(redact=lambda text: text.replace("tenant-7", "T"))

    @app.task("pay")
    def pay() -> None:
        raise ValueError("of tenant-7")

    with app.using(MemoryDriver()):
        assert "ValueError: of T" in failed(app, caplog).getMessage()


def test_nothing_holds_on_to_a_failed_tasks_variables(caplog: pytest.LogCaptureFixture) -> None:
    """Once its line is written: no circle, which only a look for garbage would end."""
    app, kept = App(), []

    @app.task("pay")
    def pay() -> None:
        order = Order()
        kept.append(weakref.ref(order))
        raise ValueError("no")

    gc.disable()
    try:
        with app.using(MemoryDriver()), caplog.at_level(logging.CRITICAL, "cloudq.worker"):
            app.send("pay")
            driver = app.driver()
            assert isinstance(driver, MemoryDriver)
            [one] = driver.receive("default", limit=1, wait=timedelta(0), lease=timedelta(minutes=1))
            processor_of(app, no_time_limit).process(one)
        assert kept[0]() is None
    finally:
        gc.enable()
