"""The structured fields of log lines about a delivery, and of all that is logged while one is worked on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.core.run_fields import RunFields, add_run_field
from cloudq.core.safe_log import SafeLogger
from cloudq.running.log_fields import carry_run_fields, fields


def delivery(message: Message | None) -> Delivery:
    lease = Lease(queue="q", receipt=None, ends=timedelta(0), expires_at=datetime(2026, 1, 2, tzinfo=UTC))
    return Delivery(
        id="1", queue="q", body=b"", message=message, undecodable=None, attempt=2, deliveries=3, lease=lease
    )


def test_a_line_says_which_delivery_it_is_about() -> None:
    """Task, id, queue and attempt, and what else is given."""
    message = Message(id="1", task="shop.welcome", queue="q", payload={"user_id": "secret"})
    assert {
        "cloudq_task": "shop.welcome",
        "cloudq_id": "1",
        "cloudq_queue": "q",
        "cloudq_attempt": 2,
        "cloudq_outcome": "succeeded",
        "cloudq_seconds": 0.5,
    } == fields(delivery(message), outcome="succeeded", seconds=0.5)


def test_a_body_that_cannot_be_decoded_has_no_task() -> None:
    """The rest is known."""
    assert {"cloudq_task": None, "cloudq_id": "1", "cloudq_queue": "q", "cloudq_attempt": 2} == fields(delivery(None))


def test_names_are_cut() -> None:
    """They come from senders, who may make them as long as a body: 200 characters tell them apart."""
    found = fields(replace(delivery(Message(id="1", task="t" * 300, queue="q", payload={})), id="i" * 300))
    assert [200, 200] == [len(str(found[name])) for name in ("cloudq_task", "cloudq_id")]


def test_no_field_has_a_name_of_the_log_records_own() -> None:
    """logging raises for those."""
    record = logging.makeLogRecord({})
    assert not any(hasattr(record, name) for name in fields(delivery(None), outcome="", seconds=0))


# ── on every record ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def factory() -> Iterator[None]:
    """The factory of log records is as before afterwards."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(before)


def carried(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name.startswith("cloudq_")}


EXPECTED = {"cloudq_task": "t", "cloudq_id": "1", "cloudq_queue": "q", "cloudq_attempt": 1}


@pytest.mark.usefixtures("factory")
def test_whoever_logs_has_the_fields_of_the_delivery_at_hand(caplog: pytest.LogCaptureFixture) -> None:
    """In any logger, for any handler, with an extra of its own; elsewhere there are none."""
    carry_run_fields()
    with RunFields("t", "1", "q", 1):
        logging.getLogger("shop").warning("slow", extra={"task": "mine", "id": 42})
    logging.getLogger("shop").warning("idle")
    slow, idle = caplog.records
    assert EXPECTED == carried(slow)
    assert ("mine", 42) == (slow.task, slow.id)  # type: ignore[attr-defined]
    assert {} == carried(idle)


@pytest.mark.usefixtures("factory")
def test_a_program_s_own_factory_is_asked_as_before(caplog: pytest.LogCaptureFixture) -> None:
    """A tracer's, say, which adds its own; and a second call adds nothing."""

    class Traced(logging.LogRecord):
        trace = "abc"

    logging.setLogRecordFactory(Traced)
    carry_run_fields()
    once = logging.getLogRecordFactory()
    carry_run_fields()
    assert once is logging.getLogRecordFactory()
    with RunFields("t", "1", "q", 1):
        logging.getLogger("shop").warning("slow")
    assert "abc" == caplog.records[0].trace  # type: ignore[attr-defined]
    assert EXPECTED == carried(caplog.records[0])


@pytest.mark.usefixtures("factory")
def test_a_line_of_ours_about_another_delivery_names_that_one(caplog: pytest.LogCaptureFixture) -> None:
    """Where code that is called by a task's run has something to say of others."""
    carry_run_fields()
    with RunFields("t", "other", "q", 9):
        SafeLogger("cloudq.worker").warning("late", extra=fields(delivery(None)))
        logging.getLogger("shop").warning("slow")
    late, slow = caplog.records
    assert ("1", 2) == (late.cloudq_id, late.cloudq_attempt)  # type: ignore[attr-defined]
    assert "other" == slow.cloudq_id  # type: ignore[attr-defined]


@pytest.mark.usefixtures("factory")
def test_a_line_of_ours_about_a_queue_is_written_while_a_task_runs(caplog: pytest.LogCaptureFixture) -> None:
    """Though a record can't be given a field a second time."""
    carry_run_fields()
    with RunFields("t", "1", "q", 1):
        SafeLogger("cloudq").warning("slow", extra={"cloudq_queue": "q", "cloudq_hint": "look"})
    assert {**EXPECTED, "cloudq_hint": "look"} == carried(caplog.records[0])


@pytest.mark.usefixtures("factory")
def test_what_is_added_later_is_on_the_records_that_follow(caplog: pytest.LogCaptureFixture) -> None:
    """And the records of one delivery share nothing that a handler could spoil for the next."""
    carry_run_fields()
    with RunFields("t", "1", "q", 1):
        logging.getLogger("shop").warning("before")
        caplog.records[0].__dict__["cloudq_id"] = "spoilt"
        add_run_field("trace_id", "abc")
        logging.getLogger("shop").warning("after")
    before, after = caplog.records
    assert not hasattr(before, "cloudq_trace_id")
    assert {**EXPECTED, "cloudq_trace_id": "abc"} == carried(after)
