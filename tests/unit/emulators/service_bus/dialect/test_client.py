"""Links of the dialect, frame by frame: what two SDKs don't show."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.emulators.service_bus.amqp.encoding import encode, encode_described
from cloudq.emulators.service_bus.amqp.performatives import Attach, Detach, Disposition, Flow, Transfer
from cloudq.emulators.service_bus.amqp.sections import Section
from cloudq.emulators.service_bus.amqp.states import ACCEPTED, Error, Modified, Rejected, Released
from cloudq.emulators.service_bus.amqp.termini import Coordinator, Source
from cloudq.emulators.service_bus.amqp.types import Described, Symbol, UInt, ULong
from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.dialect import names
from tests.unit.emulators.service_bus.dialect.stage import START, Stage, message

QUEUE = Address("q")


def conditions(heard: list) -> list[str]:
    return [item.error.condition for item in heard if isinstance(item, Detach) and item.error is not None]


def sent(heard: list) -> list[Transfer]:
    return [item for item in heard if isinstance(item, Transfer)]


def receiving(count: int, **settings: object) -> tuple[Stage, list[Transfer]]:
    """A receiver with so many messages."""
    stage = Stage(**settings)
    stage.attach_sender()
    stage.attach_receiver()
    for number in range(count):
        stage.send(message(b"%d" % number))
    return stage, sent(stage.give_credit(count))


@pytest.mark.parametrize(
    ("address", "condition"),
    [
        ("missing", "amqp:not-found"),
        (None, "amqp:invalid-field"),
        (5, "amqp:invalid-field"),
        ("/", "amqp:invalid-field"),
        ("q/$DeadLetterQueue", "amqp:not-allowed"),
    ],
)
def test_refused_senders(address: object, condition: str) -> None:
    """A sender needs the address of something to send to."""
    assert [condition] == conditions(Stage().attach_sender(address))


@pytest.mark.parametrize("address", ["q", "/q/", "Q", "amqps://host:5671/q", "amqp://host/q/$deadletterqueue"])
def test_addresses(address: str) -> None:
    """An address is a path or a URL, in any case, and comes back as it was."""
    (answered,) = Stage().attach_receiver(address)
    assert address == answered.source.address


def test_transactions_are_refused() -> None:
    """A link to the coordinator of transactions is refused."""
    heard = Stage().say(Attach(name="tx", handle=0, role=False, target=Coordinator()))
    assert ["amqp:not-implemented"] == conditions(heard)


def test_outcomes() -> None:
    """Each outcome does what the service makes of it, and is answered; the answer to a rejection has no error."""
    stage, transfers = receiving(5)
    bad = Error(condition=names.DEAD_LETTER, info={Symbol(names.DEAD_LETTER_REASON): "bad"})
    states = [ACCEPTED, Released(), Modified(delivery_failed=True), Modified(undeliverable_here=True)]
    for transfer, state in zip(transfers, [*states, Rejected(error=bad)], strict=True):
        heard = stage.say(Disposition(role=True, first=transfer.delivery_id, state=state))
        answered = Rejected() if isinstance(state, Rejected) else state
        assert [answered] == [item.state for item in heard if isinstance(item, Disposition)]
    assert [(2, 0, 0), (3, 0, 1), (4, 1, 1)] == [
        (found.sequence_number, found.state, found.delivery_count) for found in stage.broker.peek(QUEUE, 1, 9)
    ]
    assert [5] == [
        found.enqueued_sequence_number for found in stage.broker.peek(Address.parse("q/$DeadLetterQueue"), 1, 9)
    ]


def test_other_outcomes() -> None:
    """A state that is no outcome of a message is refused, none at all changes nothing."""
    stage, (transfer,) = receiving(1)
    assert [] == stage.say(Disposition(role=True, first=transfer.delivery_id))
    (refused,) = stage.say(Disposition(role=True, first=0, state=Described(ULong(0x34), [b"txn"])))
    assert "amqp:not-implemented" == refused.state.error.condition


def test_a_lock_that_was_lost() -> None:
    """Settling after the lock ran out is rejected with the reason; the message has come again by then."""
    stage, (transfer,) = receiving(1, lock_duration=timedelta(seconds=30))
    assert [] == sent(stage.later(31))
    (refused,) = stage.say(Disposition(role=True, first=transfer.delivery_id, state=ACCEPTED))
    assert "com.microsoft:message-lock-lost" == refused.state.error.condition
    (again,) = sent(stage.give_credit(1, seen=1))
    assert transfer.delivery_tag != again.delivery_tag


def test_locks_outlive_their_link() -> None:
    """Detaching leaves messages locked; an outcome that comes after it is not heard."""
    stage, _ = receiving(1)
    stage.say(Detach(handle=1, closed=True), Disposition(role=True, first=0, state=ACCEPTED))
    stage.attach_receiver()
    assert [] == sent(stage.give_credit(1))
    assert 1 == len(sent(stage.later(61)))


def test_credit_is_what_the_client_has_room_for() -> None:
    """Messages come as far as the credit goes, and again when it is renewed."""
    stage, transfers = receiving(3)
    stage.send(message(b"3"))
    assert ([0, 1, 2], [3]) == (
        [transfer.delivery_id for transfer in transfers],
        [transfer.delivery_id for transfer in sent(stage.give_credit(1, seen=3))],
    )


def test_drain() -> None:
    """A drain gives what there is and leaves no credit: what comes later stays in the queue."""
    stage = Stage()
    stage.attach_sender()
    stage.attach_receiver()
    stage.send(message())
    flow = Flow(
        next_incoming_id=0, incoming_window=9, next_outgoing_id=0, outgoing_window=9, handle=1, delivery_count=0,
        link_credit=5, drain=True,
    )  # fmt: skip
    transfer, drained = stage.say(flow)
    assert isinstance(transfer, Transfer)
    assert (0, 5) == (drained.link_credit, drained.delivery_count)
    assert [] == sent(stage.send(message()))


def test_a_shut_window() -> None:
    """While the client's window is shut, messages stay in the queue for others; when it opens, they come again."""
    stage, _ = receiving(0)
    for _ in range(5):
        stage.send(message())
    assert 2 == len(sent(stage.give_credit(5, window=2)))
    other = Stage(beside=stage)
    other.attach_receiver()
    assert 1 == len(sent(other.give_credit(1)))
    assert 2 == len(sent(stage.give_credit(3, seen=2)))


def test_a_full_transport() -> None:
    """While the transport is full, messages stay in the queue."""
    stage, _ = receiving(0)
    stage.connection.pause(paused=True)
    stage.client.update_credit()
    stage.give_credit(5)
    assert [] == sent(stage.send(message()))
    stage.connection.pause(paused=False)
    stage.client.update_credit()
    assert 1 == len(sent(stage.hear()))


def test_sessions() -> None:
    """The answer has the session that was given, and until when; the end of its lock detaches the link."""
    stage = Stage(requires_session=True, lock_duration=timedelta(seconds=30))
    stage.attach_sender()
    filters = {names.SESSION_FILTER: Described(names.SESSION_FILTER, None)}
    heard = stage.attach_receiver(
        source=Source(address="q", filter=filters), properties={names.LINK_TIMEOUT: UInt(5000)}
    )
    assert [] == heard
    stage.give_credit(5)
    answered, transfer, disposition = sorted(
        stage.send(encode_described(Section.PROPERTIES, encode([None] * 10 + ["s"])) + message()),
        key=lambda item: ["attach", "transfer", "disposition"].index(item.NAME),
    )
    assert {names.SESSION_FILTER: Described(names.SESSION_FILTER, "s")} == answered.source.filter
    assert {names.SESSION_LOCKED_UNTIL: names.to_ticks(START + timedelta(seconds=30))} == answered.properties
    assert (1, True) == (transfer.handle, disposition.settled)
    assert ["com.microsoft:session-lock-lost"] == conditions(stage.later(31))


@pytest.mark.parametrize(
    ("filters", "condition"),
    [({names.SESSION_FILTER: "s"}, None), ({names.SESSION_FILTER: 5}, "amqp:invalid-field"),
     ({names.SESSION_FILTER: None}, "com.microsoft:timeout"), ({Symbol("other"): "s"}, "amqp:not-allowed")],
)  # fmt: skip
def test_session_filters(filters: dict, condition: str | None) -> None:
    """A filter without a descriptor is one, too; waiting ends after 65 s; a queue with sessions needs the filter."""
    stage = Stage(requires_session=True, lock_duration=timedelta(minutes=5))
    heard = stage.attach_receiver(source=Source(address="q", filter=filters))
    assert ([] if condition is None else [condition]) == conditions(heard + stage.later(64) + stage.later(1.1))


def test_giving_up_waiting() -> None:
    """A client that detaches while it waits gets no session later, and nobody else loses it."""
    stage = Stage(requires_session=True)
    stage.attach_sender()
    source = Source(address="q", filter={names.SESSION_FILTER: None})
    stage.attach_receiver(source=source)
    stage.say(Detach(handle=1, closed=True))
    stage.send(encode_described(Section.PROPERTIES, encode([None] * 10 + ["s"])) + message())
    assert ["attach"] == [item.NAME for item in stage.attach_receiver(source=source)]


def test_a_deleted_queue() -> None:
    """Receivers of an entity that is deleted are detached, senders refused."""
    stage, _ = receiving(0)
    with stage.broker.world:
        stage.broker.entities.delete_queue("q")
    assert ["amqp:not-found"] == conditions(stage.hear())
    (refused,) = stage.send(message())
    assert "amqp:not-found" == refused.state.error.condition


def test_a_lost_connection() -> None:
    """When the connection is gone, so are its receivers: others get what comes, and after the locks what it had."""
    stage, _ = receiving(1)
    stage.give_credit(9, seen=1)
    stage.client.lost()
    other = Stage(beside=stage)
    other.attach_sender()
    other.attach_receiver()
    other.give_credit(5)
    assert 1 == len(sent(other.send(message())))
    assert 2 == len(sent(other.later(61)))  # its own, which it didn't settle, and the other's
    assert [] == sent(stage.hear())


@pytest.mark.parametrize(
    ("message_format", "payload", "condition"),
    [
        (0x80013700, encode_described(Section.DATA, encode(b"x" * 1_048_577)), "amqp:link:message-size-exceeded"),
        (0x80013700, b"", "amqp:decode-error"),
        (0x999, message(), "amqp:not-implemented"),
        (0, b"nonsense", "amqp:decode-error"),
    ],
)
def test_refused_messages(message_format: int, payload: bytes, condition: str) -> None:
    """What can't be stored is rejected, saying why, and nothing of it is stored."""
    stage = Stage(max_message_size=2_000_000)
    stage.attach_sender()
    (refused,) = stage.send(payload, message_format=message_format)
    assert condition == refused.state.error.condition
    assert [] == list(stage.broker.peek(QUEUE, 1, 9))
