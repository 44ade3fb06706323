"""The structured fields of log lines about a delivery."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.running.log_fields import NAMES, fields


def delivery(message: Message | None) -> Delivery:
    lease = Lease(queue="q", receipt=None, ends=timedelta(0), expires_at=datetime(2026, 1, 2, tzinfo=UTC))
    return Delivery(
        id="1", queue="q", body=b"", message=message, undecodable=None, attempt=2, deliveries=3, lease=lease
    )


def test_a_line_says_which_delivery_it_is_about() -> None:
    """Task, id, queue and attempt, and what else is given; all of them are known by name to the JSON log."""
    message = Message(id="1", task="shop.welcome", queue="q", payload={"user_id": "secret"})
    found = fields(delivery(message), outcome="succeeded", seconds=0.5)
    assert {
        "cloudq_task": "shop.welcome",
        "cloudq_id": "1",
        "cloudq_queue": "q",
        "cloudq_attempt": 2,
        "cloudq_outcome": "succeeded",
        "cloudq_seconds": 0.5,
    } == found
    assert set(NAMES) == {name.removeprefix("cloudq_") for name in found}


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
    assert not any(hasattr(record, name) for name in fields(delivery(None), **dict.fromkeys(NAMES)))
