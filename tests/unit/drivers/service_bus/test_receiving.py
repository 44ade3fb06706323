"""A body of any client's is handed over: what can't be read is dead-lettered by who reads it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from azure.servicebus.amqp import AmqpAnnotatedMessage

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.delivery import Lease
from cloudq.drivers.service_bus.receiving import body_of, delivery
from cloudq.drivers.service_bus.unreadable import Unreadable


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b"{}", b"{}"),
        ("{}", b"{}"),
        (iter([b"{", b"}"]), b"{}"),
        ([memoryview(b"{}")], b"{}"),
        (None, b"None"),
        (5, b"5"),
        ([[1, 2]], b"[[1, 2]]"),
        ([10**30], b"[1000000000000000000000000000000]"),
        ([5_000_000_000], b"[5000000000]"),
        ({"a": 1}, b"{'a': 1}"),
        ({b"a": 1}, b"{b'a': 1}"),
    ],
)
def test_a_body_is_bytes(body: object, read: bytes) -> None:
    """Also where another client sent a number, a list or nothing: it must not hold up what came with it."""
    message: Any = SimpleNamespace(body=body)
    assert body_of(message) == read


def test_what_the_sdk_cannot_read_is_undecodable() -> None:
    """The reason says what the SDK said; the bytes are kept."""
    sent = AmqpAnnotatedMessage(data_body=[Unreadable(b"bytes", "ValueError: too deep")])
    message: Any = SimpleNamespace(
        body=sent.body,
        application_properties=None,
        delivery_count=0,
        message_id="1",
        sequence_number=1,
        session_id=None,
        enqueued_time_utc=None,
    )
    lease = Lease(queue="q", receipt=None, expires_at=SYSTEM_CLOCK.now(), ends=SYSTEM_CLOCK.elapsed())
    made = delivery(message, lease)
    assert (None, b"bytes") == (made.message, made.body)
    assert "the message can't be read by azure-servicebus (ValueError: too deep)" == made.undecodable


@pytest.mark.parametrize(
    ("given", "what", "kept"),
    [
        ({"value_body": {"specversion": "1.0"}}, "an AMQP map", b"{'specversion': '1.0'}"),
        ({"value_body": {b"specversion": b"1.0"}}, "an AMQP map", b"{b'specversion': b'1.0'}"),
        ({"value_body": {}}, "an AMQP map", b"{}"),
        ({"value_body": [{}, 1]}, "an AMQP list", b"[{}, 1]"),
        ({"value_body": 5}, "an AMQP value of type int", b"5"),
        ({"value_body": None}, "an AMQP value of type NoneType", b"None"),
        ({"sequence_body": [[1, 2], [3]]}, "an AMQP sequence", b"[[1, 2], [3]]"),
    ],
)
def test_what_is_no_data_is_named(given: dict[str, Any], what: str, kept: bytes) -> None:
    """The reason says which of AMQP's kinds of body came, and what to send; what came is kept to be read."""
    sent = AmqpAnnotatedMessage(**given)
    message: Any = SimpleNamespace(
        body=None,
        application_properties=None,
        delivery_count=0,
        message_id="1",
        sequence_number=1,
        session_id=None,
        enqueued_time_utc=None,
    )
    lease = Lease(queue="q", receipt=None, expires_at=SYSTEM_CLOCK.now(), ends=SYSTEM_CLOCK.elapsed())

    class Received:
        """As the SDK: a sequence's body is a new generator each time."""

        def __getattr__(self, name: str) -> object:
            return sent.body if name == "body" else getattr(message, name)

    made = delivery(cast(Any, Received()), lease)
    assert (made.message, made.body, made.copy) == (None, kept, "1")
    assert made.undecodable == (f"the body is {what}, not data: send the event as JSON, in the bytes of a data section")
