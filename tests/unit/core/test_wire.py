"""The wire format: what goes out comes back, and nothing that comes in does more than be refused with a reason."""

from __future__ import annotations

import base64
import gzip
import json
import random
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from cloudq.core import wire
from cloudq.core.message import Message
from cloudq.core.reference import Reference
from cloudq.errors import PayloadError, UndecodableError

# ── what may be sent ─────────────────────────────────────────────────────────────────────────────────────

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OWN = {
    "specversion", "id", "source", "type", "datacontenttype", "wireversion", "queue", "time", "notbefore",
    "expirytime", "idempotencykey", "orderingkey", "fairnesskey", "attemptbase", "generation", "timelimit", "headers",
    "data", "data_base64", "traceparent", "tracestate", "dataref", "datasha256", "datasize",
}  # fmt: skip

texts = st.text(st.characters(exclude_categories=["Cs"]))
some_text = texts.filter(bool)
big_ints = st.integers(-(2**300), 2**300)
scalars = st.none() | st.booleans() | big_ints | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.none() | st.datetimes(
    datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis takes naive bounds
    datetime(9998, 12, 31),  # noqa: DTZ001 - hypothesis takes naive bounds
    timezones=offsets,
)
counts = st.integers(0, 2**31 - 1)
attribute_names = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(lambda name: name not in OWN)
messages = st.builds(
    Message,
    id=some_text,
    task=some_text,
    queue=some_text,
    payload=st.dictionaries(texts, values, max_size=5),
    source=some_text,
    sent_at=times,
    not_before=times,
    expires_at=times,
    idempotency_key=st.none() | some_text,
    ordering_key=st.none() | some_text,
    fairness_key=st.none() | some_text,
    attempt_base=counts,
    generation=counts,
    time_limit=st.none() | st.integers(1, 2**31 - 1).map(lambda seconds: timedelta(seconds=seconds)),
    headers=st.dictionaries(st.sampled_from(["traceparent", "tracestate"]) | texts, texts, max_size=4).filter(
        lambda headers: headers.get("traceparent") != "" != headers.get("tracestate")  # an empty one is none
    ),
    extensions=st.dictionaries(attribute_names, values, max_size=4),
)


def event(**changes: object) -> dict[str, object]:
    """The smallest event, with changes; `...` leaves an attribute out."""
    smallest: dict[str, object] = {"specversion": "1.0", "id": "1", "source": "test", "type": "app.tasks.welcome"}
    return {name: value for name, value in {**smallest, **changes}.items() if value is not ...}


def body(**changes: object) -> bytes:
    return json.dumps(event(**changes)).encode()


def refusal(encoded: bytes) -> str:
    """Why it can't be decoded."""
    with pytest.raises(UndecodableError) as raised:
        wire.decode(encoded, "default")
    return str(raised.value)


# ── the round trip ───────────────────────────────────────────────────────────────────────────────────────


@given(messages)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_encoded_is_decoded_unchanged(message: Message) -> None:
    """Every field comes back, also unknown attributes, any unicode, integers of any size and times of any offset."""
    assert message == wire.decode(wire.encode(message), "another-queue")


@given(messages)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_encoded_is_json_to_everybody(message: Message) -> None:
    """Python's own json module, standing for any other language's, reads the same attributes and data."""
    read = json.loads(wire.encode(message))
    assert ("1.0", message.id, message.task) == (read["specversion"], read["id"], read["type"])
    assert message.payload == read["data"]
    assert dict(message.extensions) == {name: read[name] for name in message.extensions}


def test_the_full_message_byte_for_byte() -> None:
    """The format itself: a change of this text is a change of the wire format."""
    message = Message(
        id="01J",
        task="shop.tasks.welcome",
        queue="mail",
        payload={"user_id": 42},
        source="web",
        sent_at=NOW,
        not_before=NOW + timedelta(minutes=1, microseconds=5),
        expires_at=NOW + timedelta(hours=1),
        idempotency_key="welcome-42",
        ordering_key="user-42",
        fairness_key="tenant-7",
        attempt_base=2,
        generation=3,
        time_limit=timedelta(minutes=5),
        headers={"tenant": "7", "traceparent": "00-0af7-b7ad-01", "tracestate": "vendor=1"},
        extensions={"subject": "42"},
    )
    expected = (
        '{"subject":"42","specversion":"1.0","id":"01J","source":"web","type":"shop.tasks.welcome",'
        '"datacontenttype":"application/json","wireversion":1,"queue":"mail","time":"2026-01-01T12:00:00Z",'
        '"notbefore":"2026-01-01T12:01:00.000005Z","expirytime":"2026-01-01T13:00:00Z",'
        '"idempotencykey":"welcome-42","orderingkey":"user-42","fairnesskey":"tenant-7","attemptbase":2,"generation":3,"timelimit":300,'
        '"traceparent":"00-0af7-b7ad-01",'
        '"tracestate":"vendor=1","headers":"{\\"tenant\\":\\"7\\"}","data":{"user_id":42}}'
    )
    assert expected == wire.encode(message).decode()


@pytest.mark.parametrize(("seconds", "written"), [(0.2, 1), (1.5, 2), (300, 300), (10**10, 2**31 - 1)])
def test_a_time_limit_is_whole_seconds_never_fewer(seconds: float, written: int) -> None:
    """An attribute is an Integer: a part of a second counts as one, and what is longer than it holds is cut."""
    message = Message(id="1", task="t", queue="q", time_limit=timedelta(seconds=seconds))
    assert written == json.loads(wire.encode(message))["timelimit"]


REFERENCE = Reference(key="2026-01-01/abc.json", sha256="0" * 64, size=2_000_000)


def test_a_message_that_refers_to_its_payload_byte_for_byte() -> None:
    """It has no data, and a version that readers of data alone refuse."""
    message = Message(id="01J", task="t", queue="mail", source="web", reference=REFERENCE)
    expected = (
        '{"specversion":"1.0","id":"01J","source":"web","type":"t","datacontenttype":"application/json",'
        '"wireversion":2,"queue":"mail","dataref":"2026-01-01/abc.json","datasha256":"' + "0" * 64 + '",'
        '"datasize":2000000}'
    )
    assert expected == wire.encode(message).decode()
    assert message == wire.decode(expected.encode(), "another")


def test_every_copy_keeps_the_reference() -> None:
    """A retry and a redrive refer to the same blob."""
    message = Message(id="1", task="t", queue="q", reference=REFERENCE)
    for copy in (message.retry_copy(attempt_base=3, not_before=NOW), message.redrive_copy(generation=5)):
        assert REFERENCE == wire.decode(wire.encode(copy), "q").reference


def test_a_reference_beside_data_is_somebody_elses() -> None:
    """CloudEvents allows both: the data counts, and the attribute survives every copy."""
    message = wire.decode(body(data={"a": 1}, dataref="https://example.com/x"), "q")
    assert ({"a": 1}, None) == (message.payload, message.reference)
    assert "https://example.com/x" == json.loads(wire.encode(message))["dataref"]


@pytest.mark.parametrize("blob", [b"", b"[]", b"null", b"{", b"\xff", b"5", b'{"a":' * 100 + b"1" + b"}" * 100])
def test_a_blob_that_holds_no_payload_is_refused(blob: bytes) -> None:
    """A blob is as little to be trusted as a body."""
    with pytest.raises(UndecodableError):
        wire.decode_payload(blob)


def test_the_smallest_message() -> None:
    """Four attributes are enough; the rest has a meaning when it is absent."""
    expected = Message(id="1", task="app.tasks.welcome", queue="default", source="test")
    assert expected == wire.decode(body(), "default")


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"queue": "mail"}, "queue", "mail"),
        ({"queue": ""}, "queue", "default"),
        ({"queue": None}, "queue", "default"),
        ({"data": None}, "payload", {}),
        ({"data": {"a": [1, None]}}, "payload", {"a": [1, None]}),
        ({"data": {"a": 1}, "datacontenttype": "Application/JSON; charset=utf-8"}, "payload", {"a": 1}),
        ({"data": {"a": 1}, "datacontenttype": "application/vnd.shop+json"}, "payload", {"a": 1}),
        ({"data": {"a": 1}, "datacontenttype": ""}, "payload", {"a": 1}),
        ({"data_base64": base64.b64encode(b'{"a":"\xc3\xa9"}').decode()}, "payload", {"a": "é"}),
        ({"data": None, "data_base64": base64.b64encode(b"null").decode()}, "payload", {}),
        ({"data": {"a": 1}, "data_base64": None}, "payload", {"a": 1}),
        ({"data": {"n": 10**4000}}, "payload", {"n": 10**4000}),
        ({"time": "2026-01-01T12:00:00Z"}, "sent_at", NOW),
        ({"time": "2026-01-01t12:00:00z"}, "sent_at", NOW),
        ({"time": "2026-01-01T13:30:00+01:30"}, "sent_at", NOW),
        ({"time": None}, "sent_at", None),
        ({"notbefore": "2026-01-01T12:00:00.123456789Z"}, "not_before", NOW.replace(microsecond=123457)),
        ({"notbefore": "9999-12-31T23:59:59.999999Z"}, "not_before", datetime.max.replace(tzinfo=UTC)),
        ({"expirytime": "2026-01-01T13:00:00+01:00"}, "expires_at", NOW),
        ({"expirytime": None}, "expires_at", None),
        ({"notbefore": "0001-01-01T00:00:00Z"}, "not_before", datetime.min.replace(tzinfo=UTC)),
        ({"idempotencykey": ""}, "idempotency_key", None),
        ({"orderingkey": "k"}, "ordering_key", "k"),
        ({"fairnesskey": "k"}, "fairness_key", "k"),
        ({"attemptbase": 3}, "attempt_base", 3),
        ({"attemptbase": "3"}, "attempt_base", 3),
        ({"attemptbase": 3.0}, "attempt_base", 3),
        ({"attemptbase": None}, "attempt_base", 0),
        ({"generation": 2**31 - 1}, "generation", 2**31 - 1),
        ({"generation": "2147483647"}, "generation", 2**31 - 1),
        ({"timelimit": 300}, "time_limit", timedelta(minutes=5)),
        ({"timelimit": "300"}, "time_limit", timedelta(minutes=5)),
        ({"timelimit": 0}, "time_limit", None),
        ({"timelimit": None}, "time_limit", None),
        ({"timelimit": 2**31 - 1}, "time_limit", timedelta(seconds=2**31 - 1)),
        ({"wireversion": "1"}, "id", "1"),
        ({"headers": '{"a":"b"}'}, "headers", {"a": "b"}),
        ({"headers": None}, "headers", {}),
        ({"traceparent": "00-1-2-01"}, "headers", {"traceparent": "00-1-2-01"}),
        ({"traceparent": "x", "headers": '{"traceparent":"y","a":"b"}'}, "headers", {"traceparent": "x", "a": "b"}),
        ({"traceparent": None}, "headers", {}),
        ({"subject": "s", "dataschema": "https://d", "n": 5, "o": {}}, "extensions",
         {"subject": "s", "dataschema": "https://d", "n": 5, "o": {}}),
    ],
)  # fmt: skip
def test_how_an_attribute_is_read(changes: dict[str, object], field: str, expected: object) -> None:
    """Each attribute's forms, absent ones included, and what they mean."""
    message = wire.decode(body(**changes), "default")
    assert expected == getattr(message, field)
    assert message == wire.decode(wire.encode(message), "default")


def test_an_attribute_given_twice_is_refused() -> None:
    """Parsers differ in which one they take."""
    twice = b'{"specversion":"1.0","id":"1","source":"s","type":"first","type":"last"}'
    with pytest.raises(UndecodableError, match="the key 'type' twice"):
        wire.decode(twice, "q")


# ── what is refused on receipt ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "the body isn't JSON: "),
        (b"hello", "the body isn't JSON: "),
        (b"{}", "specversion is None, not '1.0': this is no CloudEvents 1.0 event"),
        (b"[1]", "the body is a JSON list, not a CloudEvents object"),
        (b"null", "the body is a JSON NoneType, not a CloudEvents object"),
        (b'"{}"', "the body is a JSON str, not a CloudEvents object: JSON that was written as JSON again"),
        (b"[{}]", "the body is a JSON list, not a CloudEvents object: send each event as a message of"),
        (b"\xef\xbb\xbf{}", "the body isn't JSON: it begins with a byte order mark (BOM)"),
        ("{}".encode("utf-16"), "the body isn't JSON: it begins with a byte order mark of UTF-16"),
        (b"\xfe\xff\0{\0}", "the body isn't JSON: it begins with a byte order mark of UTF-16"),
        (gzip.compress(b"{}", mtime=0), "the body isn't JSON: it begins with the mark of gzip"),
        (b"@\x06string\x083http://schemas", "the body isn't JSON: it begins with the mark of .NET"),
        (b'"\xff"', "the body isn't JSON: "),
        (b'{"a":NaN}', "the body isn't JSON: "),
        (b'{"a":1e999}', "the body isn't JSON: "),
        (b"9" * 5_000, "the body isn't JSON: "),
        (b"[" * 100_000, "the body isn't JSON: "),
        (b"[" * 101 + b"]" * 101, "the body isn't JSON: more than 100 objects and arrays are within each other"),
        (body(specversion="0.3"), "specversion is '0.3', not '1.0': this is no CloudEvents 1.0 event"),
        (body(specversion=1.0), "specversion is 1.0, not '1.0': this is no CloudEvents 1.0 event"),
        (body(wireversion=3), "wireversion 3 is newer than 2, the newest this worker understands"),
        (body(wireversion=-1), "wireversion is -1, not a whole number from 0 to 2147483647"),
        (body(id=...), "id is None, not a text (required)"),
        (body(id=""), "id is '', not a text (required)"),
        (body(id=7), "id is 7, not a text (required)"),
        (body(type={"a": 1}), "type is {'a': 1}, not a text (required)"),
        (body(source=...), "source is None, not a text (required)"),
        (body(queue=5), "queue is 5, not a text"),
        (body(orderingkey=["k"]), "orderingkey is ['k'], not a text"),
        (body(orderingkey="k", fairnesskey="x" * 90, idempotencykey=list(range(90))),
         "idempotencykey is [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16..., not a text"),
        (body(attemptbase=True), "attemptbase is True, not a whole number from 0 to 2147483647"),
        (body(attemptbase=1.5), "attemptbase is 1.5, not a whole number from 0 to 2147483647"),
        (body(attemptbase=-1.0), "attemptbase is -1, not a whole number from 0 to 2147483647"),
        (body(attemptbase="1.5"), "attemptbase is '1.5', not a whole number from 0 to 2147483647"),
        (body(attemptbase="99999999999"), "attemptbase is '99999999999', not a whole number from 0 to 2147483647"),
        (body(attemptbase="٣"), "attemptbase is '٣', not a whole number from 0 to 2147483647"),
        (body(generation=2**31), "generation is 2147483648, not a whole number from 0 to 2147483647"),
        (body(timelimit=-1), "timelimit is -1, not a whole number from 0 to 2147483647"),
        (body(time="yesterday"), "time is 'yesterday', not an RFC 3339 time"),
        (body(time=1767268800), "time is 1767268800, not an RFC 3339 time"),
        (body(notbefore="2026-01-01T12:00:00"), "notbefore is '2026-01-01T12:00:00': it has no UTC offset"),
        (body(notbefore="9999-12-31T23:59:59-14:00"),
         "notbefore is '9999-12-31T23:59:59-14:00', outside of the years 1 to 9999"),
        (body(time="0001-01-01T00:00:00+00:01"), "time is '0001-01-01T00:00:00+00:01', outside of the years 1 to 9999"),
        (body(datacontenttype="text/xml"), "datacontenttype is 'text/xml'; a task's data is JSON"),
        (body(data=[1]), "data is a JSON list, not an object of arguments by name"),
        (body(data="{}"), "data is a JSON str, not an object of arguments by name"),
        (body(data={}, data_base64="e30="), "both data and data_base64 are present"),
        (body(data_base64=7), "data_base64 isn't a string"),
        (body(data_base64="***"), "data_base64 isn't base64: "),
        (body(data_base64="é"), "data_base64 isn't base64: "),
        (body(data_base64=base64.b64encode(b"\x00\xff\x80").decode()),
         "data_base64 doesn't hold JSON: "),
        (body(data_base64=base64.b64encode(b"[" * 9_999).decode()),
         "data_base64 doesn't hold JSON: "),
        (body(headers="[]"), "headers isn't a text that holds a JSON object of texts"),
        (body(headers='{"a":1}'), "headers isn't a text that holds a JSON object of texts"),
        (body(headers={"a": "b"}), "headers isn't a text that holds a JSON object of texts"),
        (body(headers=""), "headers isn't a text that holds a JSON object of texts"),
        (body(headers=r'{"a":"\ud800"}'), "headers isn't a text that holds a JSON object of texts"),
        (body(headers="\ud800"), "the body isn't JSON: "),
    ],
)  # fmt: skip
def test_why_a_body_is_refused(encoded: bytes, reason: str) -> None:
    """Each kind of poison is refused in words that fit a dead letter's reason (the parser's own may follow)."""
    assert refusal(encoded).startswith(reason)


def test_a_newer_wire_version_says_what_to_do() -> None:
    """The hint tells the operator how to get the message through."""
    with pytest.raises(UndecodableError) as raised:
        wire.decode(body(wireversion=3), "default")
    assert "upgrade the workers, then redrive" == raised.value.hint


def test_a_body_larger_than_any_backend_stores_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on size comes before the parser."""
    monkeypatch.setattr(wire, "MAX_BODY_BYTES", 10)
    assert "the body has 11 bytes, more than any backend stores" == refusal(b" " * 11)


# ── depth ────────────────────────────────────────────────────────────────────────────────────────────────


def nested(levels: int) -> dict[str, Any]:
    """So many objects within each other, none of them holding anything else."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def in_base64(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize("leaf", [{}, {"leaf": 1}])
def test_the_deepest_payload_goes_out_and_comes_back(leaf: dict[str, int]) -> None:
    """A hundred levels, the event itself included, travel; one more is refused by the sender and the receiver."""
    deepest = nested(wire.MAX_DEPTH - 1)
    innermost = deepest
    while innermost:
        innermost = innermost["a"]
    innermost.update(leaf)
    message = Message(id="1", task="t", queue="q", payload=deepest)
    assert message == wire.decode(wire.encode(message), "q")
    assert deepest == wire.decode(body(data_base64=in_base64(deepest)), "q").payload
    too_deep = {"a": deepest}
    with pytest.raises(PayloadError, match="more than 100 objects"):
        wire.encode(Message(id="1", task="t", queue="q", payload=too_deep))
    assert "the body isn't JSON: more than 100 objects" in refusal(body(data=too_deep))
    assert "data_base64 doesn't hold JSON: more than 99 objects" in refusal(body(data_base64=in_base64(too_deep)))


def test_many_objects_beside_each_other_are_not_deep() -> None:
    """The bound is one of depth, not of number; brackets in texts count for nothing."""
    payload = {"rows": [{"a": []}] * 500, "text": "[{" * 500}
    assert payload == wire.decode(wire.encode(Message(id="1", task="t", queue="q", payload=payload)), "q").payload


def test_what_was_decoded_can_be_encoded_by_a_caller_far_down_the_stack() -> None:
    """A copy can be made wherever a message could be read: nesting is bounded well below Python's own limit."""
    encoded = body(data=nested(wire.MAX_DEPTH - 1))

    def far_down(levels: int) -> bytes:
        return far_down(levels - 1) if levels else wire.encode(wire.decode(encoded, "q"))

    assert wire.decode(encoded, "q") == wire.decode(far_down(sys.getrecursionlimit() - 400), "q")


# ── what is refused on sending ───────────────────────────────────────────────────────────────────────────

_cyclic: list[object] = []
_cyclic.append(_cyclic)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"payload": {"a": object()}}, "the message can't travel as JSON: "),
        ({"payload": {"a": "\ud800"}}, "the message can't travel as JSON: "),
        ({"payload": {"\udfff": 1}}, "the message can't travel as JSON: "),
        ({"idempotency_key": "\ud800"}, "the message can't travel as JSON: "),
        ({"headers": {"a": "\ud800"}}, "the message can't travel as JSON: "),
        ({"headers": {"a": object()}}, "the message can't travel as JSON: "),
        ({"payload": {"a": _cyclic}}, "the message can't travel as JSON: "),
        ({"payload": {"a": [1, {"b": float("nan")}]}}, "the message holds a number that JSON doesn't have"),
        ({"payload": {"a": 1, "b": float("nan")}}, "the message holds a number that JSON doesn't have"),
        ({"payload": {"a": (float("-inf"),)}}, "the message holds a number that JSON doesn't have"),
        ({"extensions": {"a": float("inf")}}, "the message holds a number that JSON doesn't have"),
        ({"sent_at": datetime(2026, 1, 1)}, "sent_at is 2026-01-01T00:00:00: it has no UTC offset"),  # noqa: DTZ001 - that's the point
        ({"not_before": datetime(2026, 1, 1)}, "not_before is 2026-01-01T00:00:00: it has no UTC offset"),  # noqa: DTZ001 - that's the point
        ({"not_before": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}, "not_before is 9999-12-31T23"),
    ],
)  # fmt: skip
def test_what_cannot_travel_is_refused_before_it_is_sent(fields: dict[str, Any], reason: str) -> None:
    """Nothing is changed silently, and nothing goes out that a receiver would have to refuse."""
    with pytest.raises(PayloadError) as raised:
        wire.encode(msgspec.structs.replace(Message(id="1", task="t", queue="q"), **fields))
    assert str(raised.value).startswith(reason)


def test_a_null_in_the_payload_travels() -> None:
    """`None` is JSON's null; only NaN and the infinities are refused."""
    payload = {"a": None, "b": [1.5, None, "null"]}
    assert payload == wire.decode(wire.encode(Message(id="1", task="t", queue="q", payload=payload)), "q").payload


# ── fuzz ─────────────────────────────────────────────────────────────────────────────────────────────────

ODD = [
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"{\\"a\\":\\"\\\\ud800\\"}"'),
    *(b"1e400", b"-1e400", b"9" * 4_300, b"-" + b"9" * 4_300, b"9" * 4_301, b"1.0", b"-0", b"NaN"),
    *(b"2147483647", b"2147483648", b"-1", b'"2147483647"', b'"1"', b'"1.0"', b"1", b"true", b"null"),
    *(b"[" * 98 + b"]" * 98, b"[" * 1_100, b'{"a":' * 99 + b"1" + b"}" * 99, b'{"a":' * 98 + b"1" + b"}" * 98),
    *(b'"9999-12-31T23:59:59.999999-14:00"', b'"0001-01-01T00:00:00+14:00"', b'"2026-01-01T00:00:00"'),
    *(b'"2026-02-30T00:00:00Z"', b'"2026-01-01T23:59:60Z"', b'"e30="', b'"W10="', b'"AA=="', b'""', b"{}", b"[]"),
]
_odd = st.sampled_from(ODD)
_any_value = _odd | values.map(msgspec.json.encode)
_any_name = st.sampled_from(sorted(OWN)) | texts


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message whose attributes were replaced, doubled or dropped, and then perhaps bytes of it."""
    whole = json.loads(wire.encode(draw(messages)))
    parts = [(name, msgspec.json.encode(value)) for name, value in whole.items()]
    for name, value in draw(st.lists(st.tuples(_any_name, _any_value), max_size=3)):
        if draw(st.integers(0, 4)):  # else it is there twice, which is refused before anything else is looked at
            parts = [one for one in parts if one[0] != name]
        parts.append((name, value))
    if draw(st.booleans()):
        parts.pop(draw(st.integers(0, len(parts) - 1)))
    encoded = bytearray(b"{" + b",".join(msgspec.json.encode(name) + b":" + value for name, value in parts) + b"}")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2, 5]))):
        position = draw(st.integers(0, len(encoded)))
        encoded[position : position + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(encoded)


def decodes_or_refuses(encoded: bytes) -> None:
    """The one thing that holds of every body: a message that can be sent on unchanged, or a reason."""
    try:
        message = wire.decode(encoded, "q")
    except UndecodableError as error:
        reason = str(error).encode()
    else:
        reason = b""
        assert message == wire.decode(wire.encode(message), "q")
    assert len(reason) < 1_000


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")) | _any_value)
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_are_refused_or_decoded(encoded: bytes) -> None:
    """No body at all makes `decode` raise anything but `UndecodableError`."""
    decodes_or_refuses(encoded)


@given(mutated())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_mutated_messages_are_refused_or_decoded(encoded: bytes) -> None:
    """What was decoded can be encoded again as it is, so that a copy of it can always be made."""
    decodes_or_refuses(encoded)


@pytest.mark.slow
@given(messages, st.lists(_any_value, max_size=8), st.integers(0, 2**32))
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_twenty_thousand_mutated_bodies_are_refused_or_decoded(message: Message, found: list[bytes], seed: int) -> None:
    """As above, for long: fifty of each message, by a generator that is much quicker than Hypothesis itself."""
    parts = list(json.loads(wire.encode(message)).items())
    chance = random.Random(repr((seed, parts)))
    for _ in range(50):
        encoded = quickly_mutated(parts, [*ODD, *found], chance)
        note(repr(encoded))
        decodes_or_refuses(encoded)


def quickly_mutated(parts: list[tuple[str, Any]], found: list[bytes], chance: random.Random) -> bytes:
    """As `mutated`: some of its attributes are replaced, doubled or dropped, and then perhaps bytes of it."""
    given = [(name, msgspec.json.encode(value)) for name, value in parts]
    names = [*sorted(OWN), *(name for name, _ in parts)]
    for _ in range(chance.randrange(4)):
        name = chance.choice(names)
        if chance.random() < 0.8:
            given = [one for one in given if one[0] != name]
        given.append((name, chance.choice(found)))
    if chance.random() < 0.2:
        given.pop(chance.randrange(len(given)))
    encoded = bytearray(b"{" + b",".join(msgspec.json.encode(name) + b":" + value for name, value in given) + b"}")
    for _ in range(chance.choice([0, 0, 0, 1, 2, 5])):
        position = chance.randrange(len(encoded) + 1)
        encoded[position : position + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
    return bytes(encoded)


def test_null_in_base64_is_no_room_for_a_reference() -> None:
    """Else what was signed as no arguments could be given some."""
    reference = {"wireversion": 2, "dataref": "a.json", "datasha256": "ab" * 32, "datasize": 9}
    message = wire.decode(body(data_base64="bnVsbA==", **reference), "q")
    assert (message.reference, {}) == (None, dict(message.payload))


def test_an_empty_trace_header_is_none() -> None:
    """As if it weren't there, which is what its signature says."""
    assert {} == dict(wire.decode(body(traceparent="", tracestate=""), "q").headers)
