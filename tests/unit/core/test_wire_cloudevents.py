"""The official `cloudevents` package as the other party: it reads our messages, and we read its events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudq.core import wire
from cloudq.core.message import Message

NOW = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
FORMAT = JSONFormat()

texts = st.text(st.characters(exclude_categories=["Cs"]))
some_text = texts.filter(bool)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
extensions = st.dictionaries(
    st.from_regex(r"x[a-z0-9]{1,10}", fullmatch=True),
    st.booleans() | st.integers(-(2**31), 2**31 - 1) | texts,
    max_size=3,
)
times = st.datetimes(timezones=st.integers(-720, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))).filter(
    lambda moment: 2 <= moment.year <= 9998
)


def read_by_them(body: bytes) -> CloudEvent:
    event = FORMAT.read(None, body)
    assert isinstance(event, CloudEvent)
    return event


def test_they_read_our_message() -> None:
    """Every attribute arrives under its CloudEvents name, the data as an object, the time as a time."""
    message = Message(
        id="id-1", task="shop.tasks.welcome", queue="emails", source="web", payload={"name": "Zoë", "n": [1, None]},
        sent_at=NOW, not_before=NOW + timedelta(minutes=5), idempotency_key="k", ordering_key="o", fairness_key="f",
        attempt_base=2, generation=3, expires_at=NOW + timedelta(hours=1), extensions={"subject": "42"},
        headers={"locale": "de", "traceparent": "00-1-2-01"},
    )  # fmt: skip
    event = read_by_them(wire.encode(message))
    assert ("id-1", "shop.tasks.welcome", "web", "1.0", "42", NOW, "application/json") == (
        event.get_id(), event.get_type(), event.get_source(), event.get_specversion(), event.get_subject(),
        event.get_time(), event.get_datacontenttype(),
    )  # fmt: skip
    assert {"name": "Zoë", "n": [1, None]} == event.get_data()
    expected = {
        "wireversion": 1, "queue": "emails", "notbefore": "2026-01-01T12:05:00.250000Z", "idempotencykey": "k",
        "expirytime": "2026-01-01T13:00:00.250000Z",
        "orderingkey": "o", "fairnesskey": "f", "attemptbase": 2, "generation": 3, "headers": '{"locale":"de"}',
        "traceparent": "00-1-2-01",
    }  # fmt: skip
    assert expected == {name: event.get_extension(name) for name in expected}


@given(
    st.builds(
        Message, id=some_text, task=some_text, queue=some_text, source=some_text, sent_at=times,
        payload=st.dictionaries(texts, values, max_size=4), generation=st.integers(0, 9), extensions=extensions,
        headers=st.dictionaries(texts, texts, max_size=3), idempotency_key=st.none() | some_text,
    )
)  # fmt: skip
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_message_survives_the_way_through_their_hands(message: Message) -> None:
    """Read and written again by them, it is the same message to us, unknown attributes included."""
    assert message == wire.decode(FORMAT.write(read_by_them(wire.encode(message))), "another")


@given(st.tuples(some_text, some_text, some_text), st.dictionaries(texts, values, max_size=4), extensions, times)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_we_read_their_event_and_they_read_our_copy(
    names: tuple[str, str, str], data: dict[str, Any], unknown: dict[str, Any], time: datetime
) -> None:
    """Their attributes are ours, and what we don't know is still there when they read the copy that we make."""
    id_, source, task = names
    theirs = CloudEvent({"id": id_, "source": source, "type": task, "time": time, **unknown}, data)
    message = wire.decode(FORMAT.write(theirs), "emails")
    expected = Message(id=id_, source=source, task=task, queue="emails", payload=data, sent_at=time, extensions=unknown)
    assert expected == message
    copy = read_by_them(wire.encode(message.retry_copy(attempt_base=1, not_before=None)))
    assert (id_, source, task, data, time) == (
        copy.get_id(), copy.get_source(), copy.get_type(), copy.get_data(), copy.get_time(),
    )  # fmt: skip
    assert unknown == {name: copy.get_extension(name) for name in unknown}


def test_the_least_that_they_need_is_enough_for_us() -> None:
    """They fill in an id and the time."""
    before = datetime.now(UTC)
    message = wire.decode(FORMAT.write(CloudEvent({"type": "t", "source": "s"})), "emails")
    assert ("t", "s", {}) == (message.task, message.source, message.payload)
    assert len(message.id) == 36
    assert message.sent_at is not None
    assert before <= message.sent_at


def test_bytes_that_they_send_as_base64_are_read() -> None:
    """Data that was JSON already travels as `data_base64`."""
    body = FORMAT.write(CloudEvent({"type": "t", "source": "s"}, json.dumps({"name": "Zoë"}).encode()))
    assert b"data_base64" in body
    assert {"name": "Zoë"} == wire.decode(body, "emails").payload


@pytest.mark.parametrize("count", [3, "3"])
def test_our_attributes_can_be_set_with_their_package(count: int | str) -> None:
    """As extension attributes, a time as a `datetime`, a number also as a text."""
    event = CloudEvent(
        {"type": "t", "source": "s", "id": "1", "time": NOW, "notbefore": NOW, "attemptbase": count, "queue": "other"},
        {},
    )
    expected = Message(
        id="1", task="t", source="s", queue="other", sent_at=NOW, not_before=NOW, attempt_base=3
    )  # fmt: skip
    assert expected == wire.decode(FORMAT.write(event), "emails")


def test_the_body_of_their_structured_http_request_is_a_message() -> None:
    """In HTTP's structured mode the body is the event, under our media type."""
    request = http.to_structured_event(CloudEvent({"type": "t", "source": "s", "id": "1"}, {"a": 1}))
    content_type = {name.lower(): value for name, value in request.headers.items()}["content-type"]
    assert wire.MEDIA_TYPE == content_type
    assert {"a": 1} == wire.decode(bytes(request.body), "emails").payload
