"""What a push says, and how it is answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloudq.core import wire
from cloudq.core.driver import Ack, Final, NativeDeadLetter, Release
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.push import PushRequest
from cloudq.drivers.cloud_tasks import headers
from cloudq.errors import PushRefused, UnsupportedError
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEADERS = {
    "x-cloudtasks-queuename": "prod-emails",
    "x-cloudtasks-taskname": "4711",
    "x-cloudtasks-taskretrycount": "0",
    "x-cloudtasks-taskexecutioncount": "0",
    "x-cloudtasks-tasketa": "1767268800.123456",
}
ELAPSED = timedelta(hours=3)
DRIVER = FakeCloudTasks().driver(prefix="prod-")


def pushed(body=b"{}", **changes):
    given = {**HEADERS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    kept = {name: value for name, value in given.items() if value is not None}
    return PushRequest(headers=kept, body=body, received_at=NOW, received=ELAPSED)


def test_a_push_is_a_delivery():
    """Its queue without the prefix, the message as it was sent, the lease for as long as the service waits."""
    message = Message(id="m", task="t", queue="emails", attempt_base=2, generation=3)
    delivery = DRIVER.decode(pushed(wire.encode(message), cloudq_deadline="330"))
    assert (delivery.queue, delivery.id, delivery.message) == ("emails", "m", message)
    assert (delivery.attempt, delivery.deliveries, delivery.failure) == (3, 1, None)
    assert NOW + timedelta(seconds=330) == delivery.lease.expires_at == delivery.lease.hard_limit
    assert ELAPSED + timedelta(seconds=330) == delivery.lease.ends == delivery.lease.hard_end


def test_a_push_that_the_service_repeats_is_another_delivery_and_no_other_attempt():
    """The retry count has our own 500s in it, and pushes that reached nobody (semantics 8)."""
    body = wire.encode(Message(id="m", task="t", queue="emails", attempt_base=2))
    delivery = DRIVER.decode(pushed(body, x_cloudtasks_taskretrycount="7", x_cloudtasks_taskexecutioncount="3"))
    assert (delivery.attempt, delivery.deliveries) == (3, 8)
    assert delivery.copy == DRIVER.decode(pushed(body)).copy
    assert delivery.copy != DRIVER.decode(pushed(body, x_cloudtasks_taskname="another")).copy


def test_without_a_deadline_the_service_s_own_holds():
    """As for a task that another program created: ten minutes."""
    assert NOW + timedelta(minutes=10) == DRIVER.decode(pushed()).lease.expires_at


def test_what_cannot_be_decoded_is_handed_over():
    """With the task's name for an id, the bytes as they are, and the failure that came with them."""
    failure = Failure(reason="undecodable", generation=2)
    delivery = DRIVER.decode(pushed(b"\xff", cloudq_failure=headers.failure_text(failure, 4096)))
    assert ("4711", b"\xff", None, failure) == (delivery.id, delivery.body, delivery.message, delivery.failure)
    assert delivery.undecodable


@pytest.mark.parametrize(
    "changes",
    [
        {"x_cloudtasks_queuename": None},
        {"x_cloudtasks_queuename": "dev-emails"},
        {"x_cloudtasks_queuename": "prod-"},
        {"x_cloudtasks_taskname": None},
        {"x_cloudtasks_taskname": ""},
        {"x_cloudtasks_taskretrycount": None},
        {"x_cloudtasks_taskretrycount": "-1"},
        {"x_cloudtasks_taskretrycount": "many"},
        {"x_cloudtasks_taskretrycount": "\N{ARABIC-INDIC DIGIT ONE}"},
        {"x_cloudtasks_taskretrycount": "9" * 5_000},
    ],
    ids=str,
)
def test_what_is_no_push_of_ours_is_refused(changes):
    """A header that the service always sets is missing or wrong, or the queue isn't one of this URL's."""
    with pytest.raises(PushRefused):
        DRIVER.decode(pushed(**changes))


def test_the_answer_is_the_settlement():
    """200 deletes the task. 500 keeps it, and unlike 503 and 429 doesn't slow its queue down."""
    lease = DRIVER.decode(pushed()).lease
    assert 200 == DRIVER.encode(Final(lease=lease, step=Ack())).status
    assert 500 == DRIVER.encode(Final(lease=lease, step=Release())).status
    with pytest.raises(UnsupportedError):
        DRIVER.encode(Final(lease=lease, step=NativeDeadLetter(failure=Failure(reason="x"))))


def test_neither_a_lease_nor_a_request_shows_what_it_holds():
    """The request has a token among its headers."""
    delivery = DRIVER.decode(pushed(b'{"secret": 1}', authorization="Bearer eyJ"))
    shown = repr(delivery) + repr(delivery.lease) + repr(delivery.raw)
    assert not any(word in shown for word in ("eyJ", "secret", "4711")) or delivery.id == "4711"
    assert "eyJ" not in shown
