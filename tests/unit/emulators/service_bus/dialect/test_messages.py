"""Messages: what is read of them, and that the rest arrives as it was sent."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from cloudq.emulators.service_bus.amqp.encoding import encode, encode_described
from cloudq.emulators.service_bus.amqp.errors import AmqpError
from cloudq.emulators.service_bus.amqp.sections import Section, list_of, map_of, split
from cloudq.emulators.service_bus.amqp.types import Described, Int, Symbol, Timestamp, UByte, UInt, ULong
from cloudq.emulators.service_bus.broker.api import Message, MessageState, Received
from cloudq.emulators.service_bus.dialect import names
from cloudq.emulators.service_bus.dialect.messages import encode_received, parse, parse_batch
from tests.unit.emulators.service_bus.dialect.stage import START, message

HEADER = encode_described(Section.HEADER, encode([True, UByte(7), UInt(1500)]))
DELIVERY = encode_described(Section.DELIVERY_ANNOTATIONS, encode({Symbol("x-opt-hop"): 1}))
ANNOTATIONS = encode_described(
    Section.MESSAGE_ANNOTATIONS,
    encode(
        {
            names.SCHEDULED_ENQUEUE_TIME: Timestamp(names.to_millis(START)),
            names.PARTITION_KEY: "p",
            names.SEQUENCE_NUMBER: 999,
            Symbol("x-own"): Int(5),
        }
    ),
)
PROPERTIES = encode_described(
    Section.PROPERTIES,
    encode(["id", b"user", "to", "subject", "reply-to", "corr", Symbol("text"), None, None, None, "group", None, "rg"]),
)
REST = message(b"body", a=1) + encode_described(Section.FOOTER, encode({Symbol("f"): 1}))
WHOLE = HEADER + DELIVERY + ANNOTATIONS + PROPERTIES + REST


def received(payload: bytes, **fields: object) -> Received:
    values = {
        "message": parse(payload), "sequence_number": 5, "enqueued_sequence_number": 4, "enqueued_at": START,
        "state": MessageState.ACTIVE, "delivery_count": 2,
    }  # fmt: skip
    return Received(**(values | fields))


def sections(payload: bytes) -> dict[Section, bytes]:
    return {part.section: payload[part.start : part.end] for part in split(payload)}


def annotations(payload: bytes) -> dict[object, object]:
    (part,) = [part for part in split(payload) if part.section is Section.MESSAGE_ANNOTATIONS]
    return map_of(payload, part)


def test_what_the_broker_needs() -> None:
    """Ids, times and properties are read from the sections that they are in."""
    found = parse(WHOLE)
    assert (WHOLE, "id", "group", "p", timedelta(milliseconds=1500), START) == (
        found.payload, found.message_id, found.session_id, found.partition_key, found.time_to_live,
        found.scheduled_enqueue_time,
    )  # fmt: skip
    assert ("to", "subject", "reply-to", "corr", "text", "rg", {"a": 1}) == (
        found.to, found.subject, found.reply_to, found.correlation_id, found.content_type, found.reply_to_session_id,
        found.application_properties,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(ULong(7), "7"), (UUID(int=1), str(UUID(int=1))), (b"\1\xff", "01ff"), ("id", "id"), (None, None)],
)
def test_ids_of_other_types(value: object, text: str | None) -> None:
    """A message id may be a number, a uuid or bytes: the broker compares texts."""
    assert text == parse(encode_described(Section.PROPERTIES, encode([value]))).message_id


def test_what_arrives() -> None:
    """A receiver gets what was sent, byte for byte, with what the broker states; a sender's own claims are left out."""
    token = UUID(int=7)
    payload = encode_received(
        received(WHOLE, lock_token=token, locked_until=START, time_to_live=timedelta(seconds=1), dead_letter_source="d")
    )
    found = sections(payload)
    assert PROPERTIES == found[Section.PROPERTIES]
    assert REST == b"".join(
        found[section] for section in (Section.APPLICATION_PROPERTIES, Section.DATA, Section.FOOTER)
    )
    header, delivery = split(payload)[:2]
    assert [True, 7, 1000, None, 2] == list_of(payload, header)
    assert {"x-opt-hop": 1, names.LOCK_TOKEN: token} == map_of(payload, delivery)
    at = Timestamp(names.to_millis(START))
    assert {
        names.SCHEDULED_ENQUEUE_TIME: at, names.PARTITION_KEY: "p", "x-own": 5, names.ENQUEUED_TIME: at,
        names.SEQUENCE_NUMBER: 5, names.ENQUEUED_SEQUENCE_NUMBER: 4, names.LOCKED_UNTIL: at,
        names.DEAD_LETTER_SOURCE: "d",
    } == annotations(payload)  # fmt: skip
    assert Int is type(annotations(payload)["x-own"])


def test_without_a_lock() -> None:
    """What isn't locked has no token, and says nothing of a lock."""
    payload = encode_received(received(message()))
    assert {} == map_of(payload, split(payload)[1])
    assert names.LOCKED_UNTIL not in annotations(payload)
    assert [None, None, None, None, 2] == list_of(payload, split(payload)[0])


def test_what_goes_without_saying_is_left_out() -> None:
    """An active message says nothing of its state, nor one that was numbered here first of its first number."""
    own = annotations(encode_received(received(message(), enqueued_sequence_number=5)))
    assert {names.ENQUEUED_TIME, names.SEQUENCE_NUMBER} == set(own)
    deferred = annotations(encode_received(received(message(), state=MessageState.DEFERRED)))
    assert (1, 4) == (deferred[names.MESSAGE_STATE], deferred[names.ENQUEUED_SEQUENCE_NUMBER])


def test_a_message_that_was_received_before() -> None:
    """azure-servicebus sends such a message with its delivery annotations at the end: they are passed on, without the
    token of the lock that it had; of its keys as bytes the partition's is read as text."""
    old = {Symbol("x-opt-hop"): 1, names.LOCK_TOKEN: UUID(int=1)}
    end = encode_described(Section.DELIVERY_ANNOTATIONS, encode(old))
    key = encode_described(Section.MESSAGE_ANNOTATIONS, encode({names.PARTITION_KEY: b"p"}))
    body = message(b"body", a=1)
    assert "p" == parse(key + body + end).partition_key
    for token in (None, UUID(int=7)):
        payload = encode_received(received(key + body + end, lock_token=token))
        given = {"x-opt-hop": 1} | ({} if token is None else {names.LOCK_TOKEN: token})
        assert given == map_of(payload, split(payload)[1])
        assert payload.endswith(body)
        assert b"p" == annotations(payload)[names.PARTITION_KEY]


def test_set_properties() -> None:
    """Properties that were set go over those that were sent; without any of these they are all there is."""
    for payload, kept in ((message(a=1, b=2), {"a": 1}), (encode_described(Section.DATA, encode(b"")), {})):
        found = encode_received(received(payload, set_properties={"b": "new"}))
        (part,) = [part for part in split(found) if part.section is Section.APPLICATION_PROPERTIES]
        assert kept | {"b": "new"} == map_of(found, part)


def test_properties_that_an_action_took_away() -> None:
    """They don't arrive; values that AMQP has no type for arrive in the service's types for them."""
    set_ = {"at": START, "span": timedelta(seconds=1)}
    found = encode_received(
        received(message(a=1, b=2), set_properties=set_, removed_properties=frozenset({"a", "absent"}))
    )
    (part,) = [part for part in split(found) if part.section is Section.APPLICATION_PROPERTIES]
    arrived = map_of(found, part)
    span = arrived.pop("span")
    assert isinstance(span, Described)
    assert ("com.microsoft:timespan", 10_000_000) == (span.descriptor, span.value)
    assert {"b": 2, "at": Timestamp(names.to_millis(START))} == arrived


def test_messages_of_the_broker_alone() -> None:
    """A message that didn't come over the wire is read when it goes out."""
    plain = Message(payload=message(b"x", a=1))
    assert message(b"x", a=1) in encode_received(received(message(), message=plain))


def test_batches() -> None:
    """A batch is messages in data sections."""
    batch = b"".join(encode_described(Section.DATA, encode(message(body))) for body in (b"1", b"2"))
    assert [message(b"1"), message(b"2")] == [found.payload for found in parse_batch(batch)]
    with pytest.raises(AmqpError, match="no messages"):
        parse_batch(b"")


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"nonsense", "no section"),
        (encode_described(Section.PROPERTIES, encode([None] * 10 + [5])), "group-id is a string, not a int"),
        (encode_described(Section.HEADER, encode([True, "high"])), "priority is a number"),
        (encode_described(Section.HEADER, encode([True, None, True])), "ttl is a number"),
        (encode_described(Section.APPLICATION_PROPERTIES, encode({5: 1})), "the name of an application property is 5"),
        (
            encode_described(Section.MESSAGE_ANNOTATIONS, encode({names.SCHEDULED_ENQUEUE_TIME: "noon"})),
            "scheduled-enqueue-time is a number",
        ),
    ],
)
def test_what_is_no_message(payload: bytes, complaint: str) -> None:
    """What can't be a message is refused, saying why."""
    with pytest.raises(AmqpError, match=complaint):
        parse(payload)


def test_times() -> None:
    """Moments are milliseconds since 1970 and .NET's ticks; those that no calendar has are the nearest that one has."""
    assert 1_767_225_600_000 == names.to_millis(START)
    assert START == names.from_millis(1_767_225_600_000)
    assert 639_028_224_000_000_000 == names.to_ticks(START)
    assert (names.LAST, names.EPOCH) == (names.from_millis(2**62), names.from_millis(-(2**62)))
