"""What of an event is signed, and what a copy keeps of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.message import Message
from cloudq.core.reference import Reference
from cloudq.core.signatures import ATTRIBUTE, fault_in, kept, sign
from cloudq.core.signing_keys import parse_signing_keys

KEYS = parse_signing_keys(f"new:{'0f' * 32},old:{'f0' * 40}", "KEYS")
OTHER = parse_signing_keys(f"new:{'0e' * 32}", "KEYS")

FULL = {
    "specversion": "1.0",
    "id": "7",
    "source": "café",
    "type": "shop.pay",
    "time": "2026-01-31T13:00:00.250+01:00",
    "idempotencykey": "i",
    "orderingkey": "o",
    "fairnesskey": "f",
    "timelimit": 300,
    "headers": '{"b": "1",  "a":"\\u00e9"}',
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "x=1",
    "data": {"n": 1},
}


def signed(**changes: object) -> bytes:
    event = {name: value for name, value in (FULL | changes).items() if value is not None}
    return sign(json.dumps(event).encode(), KEYS.first)


def by_hand(event: dict[str, str], data_sha256: str, key: str, secret: bytes) -> str:
    """The signature by the documentation's words, without the module."""
    names = ["id", "source", "type", "time", "idempotencykey", "orderingkey", "fairnesskey", "timelimit", "headers"]
    version = "2" if event.get("expirytime") else "1"
    values = [version, key, *(event.get(name, "") for name in [*names, "traceparent", "tracestate"]), data_sha256]
    values += [event["expirytime"]] if version == "2" else []
    text = b"".join(str(len(value.encode())).encode() + b":" + value.encode() for value in values)
    return f"{version}.{key}.{hmac.new(secret, text, 'sha256').hexdigest()}"


def test_a_signature_is_what_the_documentation_says() -> None:
    """A list of texts, each behind its length, and the SHA-256 of the data's bytes."""
    body = signed()
    texts = {name: str(value) for name, value in FULL.items() if name != "data"}
    expected = by_hand(texts, hashlib.sha256(b'{"n": 1}').hexdigest(), "new", b"\x0f" * 32)
    assert expected == json.loads(body)[ATTRIBUTE]
    assert FULL | {ATTRIBUTE: expected} == json.loads(body)


def test_what_is_left_out_is_empty() -> None:
    """In the smallest message all but the names are empty, and the data are no bytes."""
    body = sign(b'{"specversion":"1.0","id":"7","source":"cron","type":"t"}', KEYS.first)
    expected = by_hand({"id": "7", "source": "cron", "type": "t"}, hashlib.sha256(b"").hexdigest(), "new", b"\x0f" * 32)
    assert (expected, None) == (json.loads(body)[ATTRIBUTE], fault_in(body, KEYS))
    for same in ({"data": None}, {"time": None, "timelimit": 0}, {"headers": None, "data": None, "timelimit": "0"}):
        assert fault_in(json.dumps(json.loads(body) | same).encode(), KEYS) is None


ALTERED = [
    ("id", "8"),
    ("source", "cafe"),
    ("type", "shop.drop"),
    ("time", "2026-01-31T13:00:00.25+01:00"),
    ("time", None),
    ("idempotencykey", "j"),
    ("idempotencykey", None),
    ("orderingkey", "p"),
    ("orderingkey", ""),
    ("fairnesskey", "g"),
    ("timelimit", 301),
    ("timelimit", None),
    ("headers", '{"b": "1", "a":"\\u00e9"}'),
    ("headers", None),
    ("traceparent", None),
    ("tracestate", "x=2"),
    ("data", {"n": 2}),
    ("data", {}),
    ("data", None),
]


@pytest.mark.parametrize(("name", "value"), ALTERED, ids=range(len(ALTERED)))
def test_whatever_of_it_is_altered_the_signature_does_not_fit(name: str, value: object) -> None:
    """Each attribute, and the data's bytes."""
    body = signed()
    assert fault_in(body, KEYS) is None
    altered = json.dumps({**json.loads(body), name: value}).encode()
    wire.decode(altered, "q")
    assert "its signature doesn't fit" in (fault_in(altered, KEYS) or "")


EXPIRING = {"expirytime": "2026-01-31T14:00:00+01:00"}


def test_when_it_expires_is_signed_with_it() -> None:
    """In a list of its own version, so that what doesn't expire is understood by older workers."""
    body = signed(**EXPIRING)
    texts = {name: str(value) for name, value in (FULL | EXPIRING).items() if name != "data"}
    expected = by_hand(texts, hashlib.sha256(b'{"n": 1}').hexdigest(), "new", b"\x0f" * 32)
    assert (expected, None) == (json.loads(body)[ATTRIBUTE], fault_in(body, KEYS))
    assert ("2.new.", "1.new.") == (expected[:6], json.loads(signed())[ATTRIBUTE][:6])


@pytest.mark.parametrize("expirytime", ["2026-01-31T13:00:00Z", "2027-01-31T14:00:00+01:00", None])
def test_nobody_gives_a_signed_message_another_time(expirytime: str | None) -> None:
    """Neither more of it nor for ever, and not in other words; nor is one put on that had none."""
    event = json.loads(signed(**EXPIRING))
    assert fault_in(json.dumps(event | {"expirytime": expirytime}).encode(), KEYS) is not None
    version_1 = {**event, ATTRIBUTE: event[ATTRIBUTE].replace("2.new", "1.new"), "expirytime": expirytime}
    assert fault_in(json.dumps(version_1).encode(), KEYS) is not None
    if expirytime is not None:
        assert fault_in(json.dumps(json.loads(signed()) | {"expirytime": expirytime}).encode(), KEYS) is not None


def test_values_do_not_move_from_one_attribute_to_the_next() -> None:
    """The lengths keep them apart."""
    body = json.loads(signed(idempotencykey="ab", orderingkey="c"))
    moved = json.dumps(body | {"idempotencykey": "a", "orderingkey": "bc"}).encode()
    assert fault_in(moved, KEYS) is not None


def test_white_space_within_the_data_is_theirs_and_around_them_is_not() -> None:
    """Their bytes count as they are stored."""
    body = signed()
    assert b'"data":{"n": 1}' in body
    assert fault_in(body.replace(b'"data":{"n": 1}', b'"data" :  {"n": 1}  '), KEYS) is None
    assert fault_in(body.replace(b'"data":{"n": 1}', b'"data":{"n":1}'), KEYS) is not None


def test_data_in_base64_count_as_the_bytes_that_they_stand_for() -> None:
    """And are verified as those."""
    data = b' {"n": 1}\n'
    body = signed(data=None, data_base64=base64.b64encode(data).decode())
    event = json.loads(body)
    texts = {name: str(value) for name, value in FULL.items() if name != "data"}
    assert by_hand(texts, hashlib.sha256(data).hexdigest(), "new", b"\x0f" * 32) == event[ATTRIBUTE]
    assert fault_in(body, KEYS) is None
    event["data_base64"] = base64.b64encode(b' {"n": 2}\n').decode()
    assert fault_in(json.dumps(event).encode(), KEYS) is not None


def test_of_a_claim_check_its_sha256_is_signed() -> None:
    """So the blob may not be another one; where it lies may change."""
    reference = {"wireversion": 2, "dataref": "a/b.json", "datasha256": "ab" * 32, "datasize": 3}
    body = signed(data=None, **reference)
    event = json.loads(body)
    assert fault_in(body, KEYS) is None
    assert fault_in(json.dumps(event | {"dataref": "moved/b.json"}).encode(), KEYS) is None
    assert fault_in(json.dumps(event | {"datasha256": "ac" * 32}).encode(), KEYS) is not None
    assert fault_in(json.dumps(event | {"data": {"n": 1}}).encode(), KEYS) is not None


MALFORMED = [
    (None, "it has no signature"),
    ("", "isn't VERSION.KEY.HEXADECIMAL"),
    (7, "isn't VERSION.KEY.HEXADECIMAL"),
    ({}, "isn't VERSION.KEY.HEXADECIMAL"),
    ("1.new", "isn't VERSION.KEY.HEXADECIMAL"),
    (f"1.new.{'0' * 63}", "isn't VERSION.KEY.HEXADECIMAL"),
    (f"1.new.{'A' * 64}", "isn't VERSION.KEY.HEXADECIMAL"),
    (f"1.new.{'0' * 64}\n", "isn't VERSION.KEY.HEXADECIMAL"),
    (f"1.{'n' * 33}.{'0' * 64}", "isn't VERSION.KEY.HEXADECIMAL"),
    (f"01.new.{'0' * 64}", "isn't VERSION.KEY.HEXADECIMAL"),
    (f"3.new.{'0' * 64}", "is of version 3, and this worker knows 1 and 2"),
    (f"2.new.{'0' * 64}", "is of version 2, and that of an event is 2 if it has an expirytime"),
    (f"1.other.{'0' * 64}", "the key 'other', which isn't one of this worker's: new, old"),
    (f"1.new.{'0' * 64}", "doesn't fit"),
]


@pytest.mark.parametrize(("signature", "why"), MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_signature_of_ours_is_said(signature: object, why: str) -> None:
    """Each in words that fit a dead letter's reason; none shows a key."""
    body = json.dumps(FULL | {ATTRIBUTE: signature}).encode()
    wire.decode(body, "q")
    fault = fault_in(body, KEYS)
    assert fault is not None
    assert why in fault
    assert "0f0f" not in fault


def test_each_key_verifies_and_another_secret_of_the_same_name_does_not() -> None:
    """What was signed before a rotation holds; another's doesn't."""
    old = KEYS.get("old")
    assert old is not None
    body = sign(json.dumps(FULL).encode(), old)
    assert fault_in(body, KEYS) is None
    assert "doesn't fit" in (fault_in(signed(), OTHER) or "")


def test_a_signature_cannot_be_read_as_that_of_another_key() -> None:
    """The key's name is signed, too."""
    twice = parse_signing_keys(f"a:{'0f' * 32},b:{'0f' * 32}", "KEYS")
    event = json.loads(sign(json.dumps(FULL).encode(), twice.first))
    event[ATTRIBUTE] = event[ATTRIBUTE].replace("1.a.", "1.b.")
    assert fault_in(json.dumps(event).encode(), twice) is not None


# ── copies ───────────────────────────────────────────────────────────────────────────────────────────────

FOREIGN = (
    b'{ "data" : { "z":1.0, "a" : [ 1e2 , "\\u00e9" ], "big": 123456789012345678901234567890 },\n'
    b'"timelimit":"300", "headers": "{ \\"b\\":\\"1\\" }", "time":"2026-01-31T13:00:00.250+01:00", "subject":"kept",\n'
    b'"traceparent":"00-1-2-01","fairnesskey":"f","specversion":"1.0", "id":"7", "source":"/n\\u006fde","type":"t" }\n'
)


def test_a_copy_keeps_what_a_foreign_sender_has_signed_byte_for_byte() -> None:
    """Retries, hops and redrives need no key; only what a copy says of itself is new."""
    foreign = sign(FOREIGN, KEYS.first)
    message = wire.decode(foreign, "q")
    later = datetime(2027, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    retry = wire.decode(wire.encode(message.retry_copy(attempt_base=3, not_before=later)), "q")
    redriven = wire.encode(replace(retry, queue="elsewhere").redrive_copy(generation=8))
    copied, event = wire.decode(redriven, "q"), json.loads(redriven)
    assert (0, 9, "elsewhere", None) == (copied.attempt_base, copied.generation, copied.queue, copied.not_before)
    assert kept(foreign) == kept(redriven) == message.sealed
    assert b'{ "z":1.0, "a" : [ 1e2 , "\\u00e9" ], "big": 123456789012345678901234567890 }' in redriven
    assert ("kept", None) == (event["subject"], fault_in(redriven, KEYS))
    assert ("/node", {"b": "1", "traceparent": "00-1-2-01"}) == (copied.source, copied.headers)


def test_data_in_base64_and_references_are_kept_as_they_are() -> None:
    """They are what was signed, and what the next worker reads."""
    for changes in (
        {"data_base64": base64.b64encode(b' {"n": 1}\n').decode()},
        {"wireversion": 2, "dataref": "a/b.json", "datasha256": "ab" * 32, "datasize": 3},
    ):
        body = signed(data=None, **changes)
        message = wire.decode(body, "q")
        copy = wire.encode(message.retry_copy(attempt_base=1, not_before=None))
        assert (None, kept(body)) == (fault_in(copy, KEYS), kept(copy))
        assert (message.payload, message.reference) == (
            wire.decode(copy, "q").payload,
            wire.decode(copy, "q").reference,
        )


def test_what_is_not_signed_keeps_nothing() -> None:
    """Its copies are encoded anew, as ever; a signature that is null is none."""
    for event in (FULL, FULL | {ATTRIBUTE: None}):
        message = wire.decode(json.dumps(event).encode(), "q")
        assert message.sealed is None
        assert ATTRIBUTE not in message.extensions
        assert b'"time":"2026-01-31T12:00:00.250000Z"' in wire.encode(message)


@given(
    st.builds(
        Message,
        id=st.text(min_size=1, max_size=9),
        task=st.text(min_size=1, max_size=9),
        queue=st.just("q"),
        source=st.text(min_size=1, max_size=9),
        payload=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False) | st.text()),
        sent_at=st.none() | st.datetimes(timezones=st.just(UTC)),
        expires_at=st.none() | st.datetimes(timezones=st.just(UTC)),
        idempotency_key=st.none() | st.text(min_size=1, max_size=9),
        ordering_key=st.none() | st.text(min_size=1, max_size=9),
        fairness_key=st.none() | st.text(min_size=1, max_size=9),
        time_limit=st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=9)),
        headers=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        reference=st.none() | st.just(Reference(key="a", sha256="ab" * 32, size=3)),
    )
)
def test_what_is_signed_holds_in_every_copy(message: Message) -> None:
    """Whatever the message: it decodes to itself, and its copies' signatures fit."""
    body = sign(wire.encode(message), KEYS.first)
    read = wire.decode(body, "q")
    assert wire.decode(wire.encode(message), "q") == replace(read, sealed=None)
    copy = wire.encode(read.retry_copy(attempt_base=1, not_before=None).redrive_copy(generation=5))
    assert (None, None, kept(body)) == (fault_in(body, KEYS), fault_in(copy, KEYS), kept(copy))


def test_signing_anew_replaces_a_signature() -> None:
    """There is one, of the key that signed last."""
    old = KEYS.get("old")
    assert old is not None
    body = sign(sign(json.dumps(FULL).encode(), old), KEYS.first)
    assert (1, None) == (body.count(ATTRIBUTE.encode()), fault_in(body, KEYS))
    assert msgspec.json.decode(body)[ATTRIBUTE].startswith("1.new.")
