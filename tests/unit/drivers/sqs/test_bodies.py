"""Bytes as texts that SQS takes, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudq.core.failure import Failure
from cloudq.drivers.sqs import bodies


def received(text: str, attributes: bodies.Attributes) -> dict:
    return {"Body": text, "MessageAttributes": attributes}


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_body_comes_back_byte_for_byte(body):
    """Whatever bytes: what is stored holds only characters that SQS takes, and gives the same bytes."""
    text, attributes = bodies.stored(body, None, dead=False)
    assert text
    assert bodies.storable(text.encode()) == text
    assert body == bodies.body_of(received(text, attributes))


@pytest.mark.parametrize("body", [b'{"a": 1}', "ä \N{SNOWMAN} \N{PILE OF POO}\r\n\t\x7f\x85".encode()])
def test_a_text_is_stored_as_it_is(body):
    """So that others can read it."""
    assert (body.decode(), {}) == bodies.stored(body, None, dead=False)


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff", "\ufffe".encode(), "\uffff".encode(), b"\x1f"])
def test_what_sqs_refuses_is_stored_as_base64(body):
    """Control characters, half of Unicode's non-characters, no UTF-8 and nothing at all."""
    _, attributes = bodies.stored(body, None, dead=False)
    assert [bodies.ENCODING] == list(attributes)


def test_a_foreign_body_is_its_text():
    """A message that no cloudq sent is its text in UTF-8; one that only claims to be base64 too."""
    assert "ä".encode() == bodies.body_of({"Body": "ä"})
    claim = {bodies.ENCODING: {"DataType": "String", "StringValue": "base64"}}
    assert b"{no base64}" == bodies.body_of(received("{no base64}", claim))


@pytest.mark.parametrize("reason", ["it broke", "it said \uffff"])
@pytest.mark.parametrize(("dead", "name"), [(True, bodies.DEAD), (False, bodies.FAILURE)])
def test_a_failure_lies_beside_the_body(reason, dead, name):
    """As one attribute, whose name tells a dead letter from a retry; binary where SQS refuses its text."""
    failure = Failure(reason=reason, attempts=3)
    text, attributes = bodies.stored(b"{}", failure, dead=dead)
    assert ("{}", [name]) == (text, list(attributes))
    assert failure == bodies.failure_of(received(text, attributes), name)


def test_a_failure_that_cannot_be_read_is_said():
    """It doesn't keep the message from being seen."""
    attributes = {bodies.DEAD: {"DataType": "String", "StringValue": "{broken"}}
    failure = bodies.failure_of(received("{}", attributes), bodies.DEAD)
    assert failure is not None
    assert "can't be read" in failure.reason


def test_the_size_counts_attributes():
    """Names, types and values count towards SQS's limit, and characters by their bytes."""
    assert 6 == bodies.size("ä\N{PILE OF POO}", {})
    attributes = {"ab": {"DataType": "String", "StringValue": "ä"}, "c": {"DataType": "Binary", "BinaryValue": b"xyz"}}
    assert 1 + (2 + 6 + 2) + (1 + 6 + 3) == bodies.size("a", attributes)


FOREIGN = {
    "trace": {"DataType": "String", "StringValue": "00-ab"},
    "count": {"DataType": "Number.int", "StringValue": "7"},
    "raw": {"DataType": "Binary.png", "BinaryValue": b"\0x"},
}


def test_what_others_set_is_handed_on_as_it_was():
    """Each type, ours left out, and without what only an answer has."""
    ours = {bodies.FAILURE: {"DataType": "String", "StringValue": "{}"}}
    answered = {name: {**attribute, "StringListValues": []} for name, attribute in FOREIGN.items()}
    assert FOREIGN == bodies.foreign_of({"MessageAttributes": {**answered, **ours}})
    assert FOREIGN == bodies.stored(b"{}", None, dead=False, foreign=FOREIGN)[1]
    for none in ({}, {"MessageAttributes": ours}, {"MessageAttributes": {"odd": {"DataType": "String"}}}):
        assert bodies.foreign_of(none) is None


def test_of_ten_attributes_ours_come_first():
    """What says how a body is to be read, and why it died, isn't lost for what others have set."""
    foreign = {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(10)}
    _, attributes = bodies.stored(b"\0", Failure(reason="no"), dead=True, foreign=foreign)
    assert 10 == len(attributes)
    assert {bodies.ENCODING, bodies.DEAD, *sorted(foreign)[:8]} == set(attributes)
