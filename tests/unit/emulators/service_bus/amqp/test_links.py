"""Links: attaching and refusing, credit and windows, messages of several frames, settlement, detaching."""

from __future__ import annotations

import tracemalloc

import pytest

from cloudq.emulators.service_bus.amqp.errors import AmqpError
from cloudq.emulators.service_bus.amqp.events import (
    Attached,
    CreditChanged,
    Detached,
    Event,
    MessageReceived,
    OutcomeReceived,
    WindowOpened,
)
from cloudq.emulators.service_bus.amqp.links import IncomingDelivery, LinkState
from cloudq.emulators.service_bus.amqp.performatives import Attach, Detach, Disposition, Flow, Transfer
from cloudq.emulators.service_bus.amqp.session import Limits
from cloudq.emulators.service_bus.amqp.states import ACCEPTED, Error, Rejected, Released
from cloudq.emulators.service_bus.amqp.termini import Source, Target
from tests.unit.emulators.service_bus.amqp.talk import Heard, Talk

NOT_FOUND = AmqpError("amqp:not-found", "no such queue")
ERROR = Error(condition="amqp:not-found", description="no such queue")


def flow(credit: int, *, handle: int = 0, seen: int = 0, window: int = 1000, **fields: object) -> Flow:
    return Flow(
        next_incoming_id=fields.pop("incoming", 0),
        incoming_window=window,
        next_outgoing_id=0,
        outgoing_window=1000,
        handle=handle,
        delivery_count=seen,
        link_credit=credit,
        **fields,
    )


def deliveries(talk: Talk) -> list[IncomingDelivery]:
    return [event.delivery for event in talk.events if isinstance(event, MessageReceived)]


def transfers(heard: list[Heard]) -> list[Transfer]:
    return [item for item in heard if isinstance(item, Transfer)]


# ── attaching ────────────────────────────────────────────────────────────────────────────────────────────


def test_accept() -> None:
    """An accepted link has the client's name, handle, termini and modes, and the other role."""
    talk = Talk().opened()
    asked = Attach(
        name="n", handle=3, role=True, snd_settle_mode=0, rcv_settle_mode=1,
        source=Source(address="q"), target=Target(address="me"),
    )  # fmt: skip
    assert [] == talk.say(asked)
    event = talk.events[-1]
    assert isinstance(event, Attached)
    link = event.link
    assert LinkState.ASKED_FOR is link.state
    link.accept(properties={"a": 1}, max_message_size=5)
    link.accept()
    (answer,) = talk.hear()
    assert Attach(
        name="n", handle=3, role=False, snd_settle_mode=0, rcv_settle_mode=1, source=Source(address="q"),
        target=Target(address="me"), initial_delivery_count=0, max_message_size=5, properties={"a": 1},
    ) == answer  # fmt: skip


def test_refuse() -> None:
    """A refused link is attached without termini, then detached with the reason; the handle is free once answered."""
    talk = Talk().opened()
    attach = Attach(name="n", handle=0, role=True, source=Source(address="q"))
    talk.owner = lambda event: event.link.refuse(NOT_FOUND) if isinstance(event, Attached) else None
    answer, detach = talk.say(attach)
    assert (None, None) == (answer.source, answer.target)
    assert Detach(handle=0, closed=True, error=ERROR) == detach
    assert [] == talk.say(Detach(handle=0, closed=True))
    assert isinstance(talk.events[-1], Detached)
    assert LinkState.DETACHED is talk.events[-1].link.state
    assert 2 == len(talk.say(attach))


def test_detached_before_it_is_accepted() -> None:
    """A client that gives up waiting is answered; accepting then does nothing."""
    talk = Talk().opened()
    talk.say(Attach(name="n", handle=0, role=True, source=Source(address="q")))
    link = talk.events[-1].link
    answer, detach = talk.say(Detach(handle=0, closed=True))
    assert (None, Detach(handle=0, closed=True)) == (answer.source, detach)
    link.accept()
    link.refuse(NOT_FOUND)
    link.detach(NOT_FOUND)
    assert [] == talk.hear()


@pytest.mark.parametrize("closed", [True, False])
def test_detach(*, closed: bool) -> None:
    """The client's detach is answered as it came: closed or for now."""
    talk = Talk().opened()
    link = talk.receiver()
    assert [Detach(handle=0, closed=closed)] == talk.say(Detach(handle=0, closed=closed, error=ERROR))
    assert Detached(link, ERROR) == talk.events[-1]


def test_detach_by_the_server() -> None:
    """The server's detach ends when the client has answered; what comes until then isn't looked at."""
    talk = Talk().opened()
    link = talk.sender()
    link.detach(NOT_FOUND)
    link.detach(NOT_FOUND)
    assert [Detach(handle=0, closed=True, error=ERROR)] == talk.hear()
    assert [] == talk.say(Transfer(handle=0, delivery_id=0, delivery_tag=b"t"), payload=b"late")
    assert [] == deliveries(talk)
    assert [] == talk.say(Detach(handle=0, closed=True))
    assert Detached(link) == talk.events[-1]


# ── messages from the client ─────────────────────────────────────────────────────────────────────────────


def test_a_message_comes_in() -> None:
    """A message comes with its tag and format; the client is told what became of it, once."""
    talk = Talk().opened()
    talk.sender()
    transfer = Transfer(handle=0, delivery_id=7, delivery_tag=b"t", message_format=0x80013700)
    assert [] == talk.say(transfer, payload=b"message")
    (delivery,) = deliveries(talk)
    assert (7, b"t", 0x80013700, b"message") == (
        delivery.delivery_id,
        delivery.tag,
        delivery.message_format,
        delivery.payload,
    )
    delivery.settle(Released())
    delivery.settle()
    assert [Disposition(role=True, first=7, last=7, settled=True, state=Released())] == talk.hear()


def test_settled_when_sent() -> None:
    """A message that the client has settled is never answered."""
    talk = Talk().opened()
    talk.sender()
    talk.say(Transfer(handle=0, delivery_id=0, delivery_tag=b"t", settled=True))
    deliveries(talk)[0].settle()
    assert [] == talk.hear()


def test_messages_of_several_frames() -> None:
    """Parts are put together, those of two links apart; a part may settle, or give the message up."""
    talk = Talk().opened()
    talk.sender(0)
    talk.sender(1)
    talk.say(Transfer(handle=0, delivery_id=0, delivery_tag=b"a", more=True), payload=b"one ")
    talk.say(Transfer(handle=1, delivery_id=1, delivery_tag=b"b", more=True), payload=b"un ")
    talk.say(Transfer(handle=0, more=True), payload=b"two ")
    talk.say(Transfer(handle=1, delivery_id=1, settled=True), payload=b"deux")
    talk.say(Transfer(handle=0), payload=b"three")
    talk.say(Transfer(handle=0, delivery_id=2, delivery_tag=b"c", more=True), payload=b"gone")
    talk.say(Transfer(handle=0, aborted=True))
    talk.say(Transfer(handle=0, delivery_id=3, delivery_tag=b"d"), payload=b"last")
    assert [(b"un deux", True), (b"one two three", False), (b"last", False)] == [
        (delivery.payload, delivery.settled) for delivery in deliveries(talk)
    ]


def test_messages_that_are_too_large() -> None:
    """A message above the limit is rejected once it is over, without being kept; the next one is fine."""
    talk = Talk(Limits(max_message_size=10)).opened()
    talk.sender()
    parts = [b"1234567890", b"1", *[b"x" * 1000] * 50]
    tracemalloc.start()
    try:
        for part in parts:
            assert [] == talk.say(Transfer(handle=0, delivery_id=0, delivery_tag=b"a", more=True), payload=part)
        assert 20_000 > tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    (disposition,) = talk.say(Transfer(handle=0), payload=b"1")
    assert (0, True) == (disposition.first, disposition.settled)
    assert "amqp:link:message-size-exceeded" == disposition.state.error.condition
    assert "(delivery-id:0, size:50012 bytes) exceeds the limit (10 bytes)" in disposition.state.error.description
    talk.say(Transfer(handle=0, delivery_id=1, delivery_tag=b"a"), payload=b"1234567890")
    assert [b"1234567890"] == [delivery.payload for delivery in deliveries(talk)]


def test_a_transfer_without_an_id() -> None:
    """A message's first transfer needs a delivery id."""
    talk = Talk().opened()
    talk.sender()
    (detach,) = talk.say(Transfer(handle=0))
    assert "amqp:invalid-field" == detach.error.condition


def test_credit_is_replenished() -> None:
    """At half of its credit the client is given the whole again; a flow that asks is answered."""
    talk = Talk().opened()
    link = talk.sender()
    heard = [talk.say(Transfer(handle=0, delivery_id=n, delivery_tag=b"t")) for n in range(5)]
    assert [[], [], [], []] == heard[:4]
    (given,) = heard[4]
    assert (5, 10, 5) == (given.delivery_count, given.link_credit, given.next_incoming_id)
    assert 10 == link.credit
    (answer,) = talk.say(flow(0, echo=True))
    assert (5, 10) == (answer.delivery_count, answer.link_credit)


def test_settling_behind_the_detach() -> None:
    """A message whose link is gone isn't answered."""
    talk = Talk().opened()
    talk.sender()
    talk.say(Transfer(handle=0, delivery_id=0, delivery_tag=b"t"))
    talk.say(Detach(handle=0, closed=True))
    deliveries(talk)[0].settle()
    assert [] == talk.hear()


# ── messages to the client ───────────────────────────────────────────────────────────────────────────────


def test_credit() -> None:
    """Credit counts from what the client has seen, whatever is under way; counts begin again at 0."""
    talk = Talk().opened()
    link = talk.receiver()
    talk.say(flow(3))
    assert CreditChanged(link) == talk.events[-1]
    assert 3 == link.ready
    for tag in (b"1", b"2"):
        link.send(b"m", tag, settled=True)
    assert 1 == link.ready
    talk.say(flow(5, seen=1))
    assert 4 == link.ready
    talk.say(flow(1, seen=0))
    assert 0 == link.ready
    link.delivery_count = 2**32 - 1
    talk.say(flow(5, seen=2**32 - 2))
    assert 4 == link.ready
    link.send(b"m", b"3", settled=True)
    assert (0, 3) == (link.delivery_count, link.ready)


def test_credit_before_the_answer() -> None:
    """Credit that comes while the link isn't accepted yet is there afterwards."""
    talk = Talk().opened()
    talk.say(Attach(name="n", handle=0, role=True, source=Source(address="q")), flow(5))
    (event,) = [event for event in talk.events if isinstance(event, Attached)]
    assert 0 == event.link.ready
    event.link.accept()
    assert 5 == event.link.ready


def test_drain() -> None:
    """A drain is answered when its event was dealt with: what wasn't sent by then is used up."""
    talk = Talk().opened()
    link = talk.receiver()

    def send_one(event: Event) -> None:
        if isinstance(event, CreditChanged) and event.drain:
            link.send(b"m", b"t", settled=True)

    talk.owner = send_one
    transfer, answer = talk.say(flow(5, drain=True))
    assert isinstance(transfer, Transfer)
    assert (5, 0, True) == (answer.delivery_count, answer.link_credit, answer.drain)
    assert 0 == link.ready


def test_echo() -> None:
    """A flow that asks for an answer gets one."""
    talk = Talk().opened()
    talk.receiver()
    (answer,) = talk.say(flow(5, echo=True))
    assert (0, 5, False) == (answer.delivery_count, answer.link_credit, answer.drain)


def test_large_messages_go_in_several_frames() -> None:
    """No frame is larger than the client takes, and the parts make the message."""
    talk = Talk().opened(max_frame_size=512)
    link = talk.receiver()
    talk.say(flow(2))
    message = bytes(range(256)) * 5
    link.send(message, b"tag", settled=False)
    link.send(message[:450], b"tag", settled=False)
    output = talk.connection.take_output()
    sizes = []
    while output:
        sizes.append(int.from_bytes(output[:4]))
        output = output[sizes[-1] :]
    assert 512 == max(sizes)
    link.send(message, b"tag", settled=False)
    sent = transfers(talk.hear())
    assert [True, True, False] == [transfer.more for transfer in sent]
    assert {(2, b"tag")} == {(transfer.delivery_id, transfer.delivery_tag) for transfer in sent}
    assert message == b"".join(talk.payloads)


def test_windows() -> None:
    """Frames beyond the client's window wait for it to open; nothing is ready until then; then the owner is told."""
    talk = Talk().opened(max_frame_size=512)
    talk.begin(window=2, channel=1)
    talk.say(Attach(name="n", handle=0, role=True, source=Source(address="q")), channel=1)
    link = talk.events[-1].link
    link.accept()
    talk.say(flow(9, window=2), channel=1)
    assert 9 == link.ready
    link.send(b"x" * 1500, b"t", settled=True)
    assert 0 == link.ready
    assert 2 == len(transfers(talk.hear()))
    talk.events.clear()
    assert 1 == len(transfers(talk.say(flow(9, seen=0, window=1, incoming=2), channel=1)))
    assert WindowOpened not in [type(event) for event in talk.events]
    assert 1 == len(transfers(talk.say(flow(8, seen=1, window=5, incoming=3), channel=1)))
    assert WindowOpened(link.session) == talk.events[-1]
    assert 8 == link.ready
    assert b"x" * 1500 == b"".join(talk.payloads)


def test_waiting_frames_of_a_link_that_is_gone() -> None:
    """What waits for the window when its link is detached is not sent any more."""
    talk = Talk().opened()
    link = talk.receiver()
    talk.say(flow(9, window=0))
    link.send(b"m", b"t", settled=True)
    talk.say(Detach(handle=0, closed=True))
    talk.receiver()
    assert [] == transfers(talk.say(flow(9, window=10)))


def test_a_full_transport() -> None:
    """While the transport is full nothing is ready, on no session."""
    talk = Talk().opened()
    link = talk.receiver()
    talk.say(flow(5))
    talk.connection.pause(paused=True)
    assert 0 == link.ready
    talk.begin(channel=1)
    talk.say(Attach(name="n", handle=0, role=True), channel=1)
    other = talk.events[-1].link
    other.accept()
    talk.say(flow(5), channel=1)
    assert 0 == other.ready
    talk.connection.pause(paused=False)
    assert (5, 5) == (link.ready, other.ready)


# ── settlement by the client ─────────────────────────────────────────────────────────────────────────────


def outcomes(talk: Talk) -> list[tuple[bytes, object, bool]]:
    return [
        (event.delivery.tag, event.state, event.settled)
        for event in talk.events
        if isinstance(event, OutcomeReceived)
    ]  # fmt: skip


def receiving(count: int) -> Talk:
    talk = Talk().opened()
    link = talk.receiver()
    talk.say(flow(count))
    for number in range(count):
        link.send(b"m", bytes((number,)), settled=False)
    talk.hear()
    return talk


def test_settlement() -> None:
    """An outcome is told to the owner, and the owner's answer to the client; then the delivery is forgotten."""
    talk = receiving(1)
    assert [] == talk.say(Disposition(role=True, first=0, state=ACCEPTED))
    assert [(b"\0", ACCEPTED, False)] == outcomes(talk)
    delivery = talk.events[-1].delivery
    refused = Rejected(error=ERROR)
    delivery.settle(refused)
    delivery.settle(refused)
    assert [Disposition(role=False, first=0, last=0, settled=True, state=refused)] == talk.hear()
    talk.say(Disposition(role=True, first=0, state=ACCEPTED))
    assert 1 == len(outcomes(talk))


def test_settled_by_the_client() -> None:
    """What the client settles itself isn't answered."""
    talk = receiving(1)
    talk.say(Disposition(role=True, first=0, settled=True, state=ACCEPTED))
    assert [(b"\0", ACCEPTED, True)] == outcomes(talk)
    talk.events[-1].delivery.settle(ACCEPTED)
    assert [] == talk.hear()


def test_ranges() -> None:
    """A disposition may be for many; one for all ids there are costs no more than what is unsettled."""
    talk = receiving(5)
    talk.say(Disposition(role=True, first=1, last=2, settled=True, state=ACCEPTED))
    assert [b"\1", b"\2"] == [tag for tag, _, _ in outcomes(talk)]
    talk.say(Disposition(role=True, first=0, last=2**32 - 1, settled=True, state=ACCEPTED))
    assert [b"\1", b"\2", b"\0", b"\3", b"\4"] == [tag for tag, _, _ in outcomes(talk)]


def test_outcomes_behind_the_detach() -> None:
    """An outcome that comes after its link is gone finds nothing."""
    talk = receiving(2)
    talk.say(Detach(handle=0, closed=True))
    talk.say(Disposition(role=True, first=0, last=1, state=ACCEPTED))
    assert [] == outcomes(talk)


def test_links_say_what_they_are() -> None:
    """The representation has the name and the state."""
    talk = Talk().opened()
    assert "<OutgoingLink 'out', open>" == repr(talk.receiver())
