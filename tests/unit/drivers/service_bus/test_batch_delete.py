"""Deleting by batches, over a receiver whose requests a small service answers as `$management` does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport
from azure.servicebus.exceptions import ServiceBusConnectionError, ServiceBusError

from cloudq.drivers.service_bus import batch_delete
from cloudq.errors import BackendUnavailable
from cloudq.testing.clock import FakeClock

NOW = FakeClock().now()
SECOND = timedelta(seconds=1)
TICK = timedelta(milliseconds=1)  # of AMQP's timestamps
PATIENCE = timedelta(minutes=1)


class Service:
    """A link to a queue of messages that were enqueued at these times, and what its service answers.

    Attributes:
        most: It deletes no more than that by one request, though it is asked for more: it promises its best.
        asked: The fields of each request.
        answer: Instead of the count that is true.
        refusal: A status and a condition that it refuses all requests with.
    """

    def __init__(self, *enqueued: datetime, most: int = 500) -> None:
        self.enqueued = sorted(enqueued)
        self.most = most
        self.asked: list[dict[str, Any]] = []
        self.answer: object = ...
        self.refusal: tuple[int, bytes | None] | None = None
        self.fail: Exception | None = None

    def ask(self, question: Callable[[Any], list[int]]) -> list[int]:
        return question(self)

    def _mgmt_request_response_with_retry(
        self, operation: bytes, fields: dict[str, Any], callback: Callable[..., object], timeout: object
    ) -> object:
        assert (operation, timeout) == (b"com.microsoft:batch-delete-messages", None)
        self.asked.append(fields)
        if self.fail is not None:
            raise self.fail
        if self.refusal is not None:
            status, condition = self.refusal
            properties = {} if condition is None else {b"errorCondition": condition}
            return callback(status, SimpleNamespace(application_properties=properties), "no", PyamqpTransport)
        limit = min(fields["message-count"], self.most)
        old = [moment for moment in self.enqueued if moment < fields["enqueued-time-utc"]][:limit]
        self.enqueued = self.enqueued[len(old) :]
        value = {b"message-count": len(old)} if self.answer is ... else self.answer
        status = 200 if old or self.answer is not ... else 204
        message = SimpleNamespace(application_properties={}, value=value if status == 200 else None)
        return callback(status, message, "", PyamqpTransport)


def purge(service: Any) -> int:
    return batch_delete.delete_enqueued(service, NOW, queue="mail", patience=PATIENCE)


def test_all_that_was_enqueued_by_then_is_deleted() -> None:
    """Five hundred a request, until there are none, and each request counts; what came later stays."""
    service = Service(*[NOW - SECOND] * 1_000, NOW, NOW + TICK, NOW + SECOND)
    assert purge(service) == 1_001
    assert [fields["message-count"] for fields in service.asked] == [500] * 4
    assert {fields["enqueued-time-utc"] for fields in service.asked} == {NOW + TICK}
    assert service.enqueued == [NOW + TICK, NOW + SECOND]


def test_none_is_an_answer_and_no_refusal() -> None:
    """The service says so by a status of its own. An error would have the SDK close the link."""
    errors: list[Exception] = []
    service = Service()
    request = service._mgmt_request_response_with_retry

    def noted(*arguments: Any, **options: Any) -> object:
        try:
            return request(*arguments, **options)
        except ServiceBusError as error:
            errors.append(error)
            raise

    service._mgmt_request_response_with_retry = noted  # type: ignore[method-assign]  # as it is, and noted
    assert (purge(service), errors) == (0, [])


def test_it_goes_on_where_the_service_deletes_fewer() -> None:
    """It promises only its best: fewer than were asked for is no sign that there are no more."""
    service = Service(*[NOW - SECOND] * 7, most=3)
    assert purge(service) == 7
    assert service.enqueued == []


@pytest.mark.parametrize(
    "refusal",
    [
        (501, b"amqp:not-implemented"),
        (400, b"com.microsoft:argument-out-of-range"),
        (500, b"amqp:internal-error"),
        (500, None),
        (401, b"amqp:unauthorized-access"),
    ],
)
def test_a_refusal_leaves_it_to_who_receives(refusal: tuple[int, bytes | None]) -> None:
    """Whatever the service says: one that isn't of this operation alone is met again by the loop behind."""
    service = Service(NOW - SECOND)
    service.refusal = refusal
    assert purge(service) == 0
    assert len(service.asked) == 1


@pytest.mark.parametrize("answer", [None, {}, {b"message-count": -1}, {b"message-count": 501}, {b"message-count": "1"}])
def test_an_answer_without_a_count_is_an_error(answer: object) -> None:
    """Nobody knows what was deleted: no number that is told would be true."""
    service = Service(NOW - SECOND)
    service.answer = answer
    with pytest.raises(BackendUnavailable):
        purge(service)


@pytest.mark.parametrize("error", [ServiceBusConnectionError(message="cut"), TimeoutError("late")])
def test_no_answer_is_an_error(error: Exception) -> None:
    """It may have been done. It isn't asked for again by itself."""
    service = Service(NOW - SECOND)
    service.fail = error
    with pytest.raises(BackendUnavailable):
        purge(service)
    assert len(service.asked) == 1


def test_a_refusal_in_the_middle_keeps_the_count() -> None:
    """What was deleted before it is told of."""
    service = Service(*[NOW - SECOND] * 501)
    ask = service.ask

    def refuse_later(question: Callable[[Any], list[int]]) -> list[int]:
        if len(service.asked) == 1:
            raise ServiceBusError("busy")
        return ask(question)

    service.ask = refuse_later  # type: ignore[method-assign]  # the second request only
    assert purge(service) == 500


def test_a_closed_link_deletes_nothing() -> None:
    """It answers nothing: there is nobody to ask."""
    assert purge(SimpleNamespace(ask=lambda question: [])) == 0
