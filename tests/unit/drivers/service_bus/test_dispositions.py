"""A settlement counts as done only if the service says by name that it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from azure.servicebus._pyamqp.error import AMQPConnectionError, AMQPException, ErrorCondition
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport
from azure.servicebus.exceptions import MessageLockLostError

from cloudq.drivers.service_bus import dispositions
from cloudq.drivers.service_bus.dispositions import COMPLETE, RELEASE, Sent
from cloudq.drivers.service_bus.sdk import Unconfirmed

LOST = [b"com.microsoft:message-lock-lost", b"it is over", None]


class Transport:
    """A connection's, that notes each write, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.writes.append(bytes(data))


class Link:
    """A link that sends a byte for each settlement, or raises."""

    def __init__(self, error: Exception | None = None, *, cut: Exception | None = None) -> None:
        self.error = error
        self.transport = Transport(cut)
        self._pending_dispositions: dict[int, Any] = {}

    def _outgoing_disposition(self, *arguments: object) -> None:
        if self.error is not None:
            raise self.error
        self.transport.write(b"x")

    def answer(self, number: int, outcome: object) -> None:
        self._pending_dispositions[number] |= {"settled": True, "outcome": outcome}


def sent_by(link: Link, *steps: Any) -> Sent:
    handler = SimpleNamespace(_link=link, _connection=SimpleNamespace(_transport=link.transport))
    receiver: Any = SimpleNamespace(_handler=handler, _amqp_transport=PyamqpTransport)
    messages: Any = [SimpleNamespace(_delivery_id=number, _delivery_tag=b"tag") for number in range(len(steps))]
    return Sent(receiver, list(zip(messages, steps, strict=True)))


def test_what_is_answered_as_it_was_asked_is_done() -> None:
    """Each by itself."""
    link = Link()
    sent = sent_by(link, COMPLETE, RELEASE)
    link.answer(0, {"accepted": []})
    assert not sent.answered
    link.answer(1, {"released": []})
    assert sent.answered
    assert [None, None] == sent.conclude(None)
    assert {} == link._pending_dispositions


@pytest.mark.parametrize("outcome", [None, {}, {"released": []}, {"received": [1, 2]}, [], "accepted"])
def test_an_answer_that_does_not_say_so(outcome: object) -> None:
    """An empty one, or one of another kind: it may have been carried out, and is asked for again by another way."""
    link = Link()
    sent = sent_by(link, COMPLETE)
    link.answer(0, outcome)
    (error,) = sent.conclude(None)
    assert isinstance(error, Unconfirmed)


def test_a_refusal_is_the_services_own_error() -> None:
    """A lock that is over."""
    link = Link()
    sent = sent_by(link, COMPLETE)
    link.answer(0, {"rejected": [LOST]})
    assert isinstance(sent.conclude(None)[0], MessageLockLostError)


def test_no_answer() -> None:
    """What cut the connection is the cause."""
    cut = ConnectionResetError("cut")
    (error,) = sent_by(Link(), COMPLETE).conclude(cut)
    assert isinstance(error, Unconfirmed)
    assert cut is error.__cause__


def test_what_could_not_be_sent() -> None:
    """A connection that can't be written to is no good any more; a delivery that the link forgot is no fault of it."""
    broken = sent_by(Link(AMQPConnectionError(ErrorCondition.SocketError)), COMPLETE)
    assert (True, True) == (broken.failed, broken.answered)
    again = sent_by(Link(AMQPException(ErrorCondition.IllegalState)), COMPLETE)
    assert (False, True) == (again.failed, again.answered)
    for sent in (broken, again):
        assert isinstance(sent.conclude(None)[0], Unconfirmed)


def test_a_batch_is_one_write() -> None:
    """Each by itself would be a call of the system; what is written later goes by itself again."""
    link = Link()
    sent_by(link, COMPLETE, RELEASE, COMPLETE)
    assert [b"xxx"] == link.transport.writes
    link.transport.write(b"y")
    assert [b"xxx", b"y"] == link.transport.writes


@pytest.mark.parametrize("cut", [BrokenPipeError("cut"), TimeoutError("no answer came in time")])
def test_a_batch_that_could_not_be_written(cut: OSError) -> None:
    """How much of it has left isn't known, so each of them may have been carried out."""
    sent = sent_by(Link(cut=cut), COMPLETE, RELEASE)
    assert (True, True) == (sent.failed, sent.answered)
    for error in sent.conclude(None):
        assert isinstance(error, Unconfirmed)
        assert cut is error.__cause__


def test_a_dead_letter_says_why_in_the_services_own_words() -> None:
    """Reason and description are where the service looks for them, and further properties beside them."""
    made = dispositions.dead_lettering("broken", "KeyError: 'x'", {"cloudq-failure": "{}"})
    assert made.error.condition == b"com.microsoft:dead-letter"
    assert made.error.info == {
        "DeadLetterReason": "broken",
        "DeadLetterErrorDescription": "KeyError: 'x'",
        "cloudq-failure": "{}",
    }
