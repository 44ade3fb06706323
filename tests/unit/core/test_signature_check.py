"""What becomes of a message that isn't signed, or isn't what was signed."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.signature_check import SignatureCheck
from cloudq.core.signatures import sign
from cloudq.core.signing_keys import parse_signing_keys

KEYS = parse_signing_keys(f"new:{'0f' * 32}", "KEYS")
LEASE = Lease(queue="q", receipt=None, expires_at=datetime(2027, 1, 1, tzinfo=UTC), ends=timedelta(days=1))


def delivery(task: str = "t", *, by_us: bool = False, queue: str = "q") -> Delivery:
    body = json.dumps({"specversion": "1.0", "id": "7", "source": "s", "type": task}).encode()
    lease = Lease(queue=queue, receipt=None, expires_at=LEASE.expires_at, ends=LEASE.ends)
    return Delivery.of(sign(body, KEYS.first) if by_us else body, native_id="1", runs=1, deliveries=1, lease=lease)


POISON = Delivery.of(b"?", native_id="1", runs=1, deliveries=1, lease=LEASE)


def test_required_what_is_not_signed_must_not_run(caplog: pytest.LogCaptureFixture) -> None:
    """Each time, and with the reason; what is undecodable has one of its own."""
    check = SignatureCheck(KEYS, required=True, known=["t"])
    assert (None, True) == (check.reason_against(delivery(by_us=True)), check.accepts(delivery(by_us=True)))
    for _ in range(2):
        assert "signature: it has no signature" == check.reason_against(delivery())
        assert not check.accepts(delivery())
    assert (None, True) == (check.reason_against(POISON), check.accepts(POISON))
    assert [] == caplog.records


def test_warned_of_it_runs_and_each_task_of_a_queue_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """All unknown tasks are one: whoever sends them can make up any names."""
    check = SignatureCheck(KEYS, required=False, known=["t", "u"])
    with caplog.at_level(logging.WARNING, "cloudq"):
        for task, queue in (("t", "q"), ("t", "q"), ("t", "r"), ("u", "q"), ("x1", "q"), ("x2", "q")):
            assert check.reason_against(delivery(task, queue=queue)) is None
        assert check.reason_against(delivery("t", by_us=True, queue="s")) is None
    told = [record.getMessage() for record in caplog.records]
    assert ["queue q: a message of t ", "queue r: a message of t ", "queue q: a message of u "] == [
        line.partition("is run")[0] for line in told[:3]
    ]
    assert 4 == len(told)
    assert "a message of an unknown task is run though it has no signature" in told[3]
    assert check.accepts(delivery("x1"))


def test_a_sender_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Queues and tasks beyond a thousand are told no more."""
    check = SignatureCheck(KEYS, required=False, known=["t"])
    with caplog.at_level(logging.WARNING, "cloudq"):
        for number in range(1100):
            assert check.reason_against(delivery(queue=f"q{number}")) is None
    assert 1000 == len(caplog.records)
