"""What cloudq itself wrote is read in one step, to the message that is read attribute by attribute."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest

from cloudq.core import wire
from cloudq.core.message import Message
from cloudq.core.plain_event import plain_event
from cloudq.core.reference import Reference
from cloudq.errors import UndecodableError

AT = datetime(2026, 1, 31, 12, 30, 0, 250000, tzinfo=UTC)
FULL = Message(
    id="1",
    task="shop.welcome",
    queue="emails.fifo",
    payload={"user_id": 42, "names": ["é", None, 1.5, {"deep": [2**70]}]},
    sent_at=AT,
    not_before=AT + timedelta(hours=1),
    expires_at=AT + timedelta(hours=2, microseconds=5),
    idempotency_key="a",
    ordering_key="b",
    fairness_key="c",
    attempt_base=3,
    generation=2,
    time_limit=timedelta(minutes=5),
    headers={"tenant": "x", "traceparent": "00-1", "tracestate": "s=1"},
)
SMALL = Message(id="1", task="t", queue="q", payload={})


@pytest.mark.parametrize("message", [FULL, SMALL], ids=["full", "small"])
def test_what_was_written_is_plain_and_reads_back(message):
    """With all attributes, and with none that may be left out."""
    body = wire.encode(message)
    event = plain_event(body)
    assert event is not None
    assert message == event.message() == wire.decode(body, "other")
    assert body == wire.encode(event.message())


@pytest.mark.parametrize("message", [FULL, SMALL], ids=["full", "small"])
def test_both_ways_of_reading_give_the_same(message):
    """Also where the text is written in another way: spaces, another order, escapes."""
    event = json.loads(wire.encode(message))
    bodies = [wire.encode(message), json.dumps(event).encode(), json.dumps(dict(reversed(event.items()))).encode()]
    for body in bodies:
        with patch.object(wire, "plain_event", return_value=None):
            slowly = wire.decode(body, "other")
        assert message == slowly == wire.decode(body, "other")


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"cloudqsignature": "1.a.b"},
        {"time": "2026-01-31T13:30:00+01:00"},
        {"notbefore": "2026-01-31T13:30:00"},
        {"wireversion": 2, "data": None, "dataref": "a", "datasha256": "0" * 64, "datasize": 1},
        {"data": None},
        {"data": [1]},
        {"generation": 0},
        {"generation": 1.0},
        {"generation": "1"},
        {"generation": -1},
        {"idempotencykey": ""},
        {"idempotencykey": None},
        {"queue": ""},
        {"id": ""},
        {"specversion": "1.1"},
        {"datacontenttype": "text/json"},
        {"headers": {"a": "b"}},
    ],
    ids=lambda changes: json.dumps(changes)[:40],
)
def test_anything_else_is_not(changes):
    """An attribute of another kind or form, one at its default, one that isn't known: as others may write them."""
    event = json.loads(wire.encode(FULL))
    assert plain_event(_written(event)) is not None
    assert plain_event(_written({**event, **changes})) is None


def _written(event: dict[str, object]) -> bytes:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "twice",
    [
        (b'"generation":2', b'"generation":2,"generation":2'),
        (b'"user_id":42', b'"user_id":42,"user_id":42'),
        (b'"deep":', b'"deep":1,"deep":'),
        (b'"user_id":42', b'"user_id":42,"user\\u005fid":42'),
    ],
    ids=["attribute", "argument", "further down", "escaped"],
)
def test_a_key_twice_is_never_plain(twice):
    """At any depth, however it is written: so it is refused."""
    body = wire.encode(FULL).replace(*twice)
    assert plain_event(body) is None
    with pytest.raises(UndecodableError, match="twice"):
        wire.decode(body, "q")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b"[" * 2_000, b'{"data":' * 2_000])
def test_what_is_no_event_is_not(body):
    """It raises nothing: what is wrong is said by the other way."""
    assert plain_event(body) is None


def test_a_reference_is_written_in_place_of_data():
    """And is read attribute by attribute."""
    reference = Reference(key="a/b", sha256="0" * 64, size=7)
    message = Message(id="1", task="t", queue="q", reference=reference)
    assert plain_event(wire.encode(message)) is None
    assert message == wire.decode(wire.encode(message), "q")


def test_too_deep_data_are_refused_all_the_same():
    """The way in one step bounds nothing by itself."""
    body = wire.encode(SMALL).replace(b'"data":{}', b'"data":' + b'{"a":' * 100 + b"1" + b"}" * 100)
    assert plain_event(body) is not None
    with pytest.raises(UndecodableError, match="within each other"):
        wire.decode(body, "q")
