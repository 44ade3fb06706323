"""Frames that are written here are the same bytes as the SDK's, and are counted as the SDK counts its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from azure.servicebus._pyamqp._decode import decode_frame
from azure.servicebus._pyamqp._encode import encode_frame, encode_payload
from azure.servicebus._pyamqp.constants import SenderSettleMode, SessionState
from azure.servicebus._pyamqp.error import AMQPException
from azure.servicebus._pyamqp.message import BatchMessage, Message, Properties
from azure.servicebus._pyamqp.outcomes import Accepted, Modified, Released
from azure.servicebus._pyamqp.performatives import DispositionFrame, TransferFrame
from azure.servicebus._pyamqp.receiver import ReceiverLink
from azure.servicebus._pyamqp.sender import SenderLink
from azure.servicebus._pyamqp.session import Session

from cloudq.drivers.service_bus import frames

CHANNEL = 3
# Where a number takes no byte, one, and four.
NUMBERS = [0, 1, 255, 256, 2**32 - 1]


def of_the_sdk(frame: Any) -> bytes:
    header, rest = encode_frame(frame)
    return header + CHANNEL.to_bytes(2) + bytes(rest or b"")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("more", [False, True])
def test_a_transfer_is_the_sdks_byte_for_byte(number: int, more: bool) -> None:
    """Whatever its numbers, and however much it carries."""
    for payload in (b"", b"x", b"x" * 100_000):
        same: dict[str, Any] = {"handle": number, "delivery_id": number, "message_format": number, "more": more}
        unused = dict.fromkeys(("rcv_settle_mode", "state", "resume", "aborted", "batchable"))
        theirs = TransferFrame(delivery_tag=b"abcd", settled=False, payload=payload, **same, **unused)
        assert frames.transfer(memoryview(payload), channel=CHANNEL, tag=b"abcd", **same) == of_the_sdk(theirs)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("state", [Accepted(), Released()])
def test_a_settlement_is_the_sdks_byte_for_byte(number: int, state: Any) -> None:
    """For each outcome that has no details."""
    theirs = DispositionFrame(role=True, first=number, last=None, settled=False, state=state, batchable=None)
    assert frames.settlement(number, state, channel=CHANNEL) == of_the_sdk(theirs)


class Connection:
    """A connection that notes what is sent by it, as bytes."""

    def __init__(self, most: int) -> None:
        self._remote_max_frame_size = most
        self.sent: list[bytes] = []
        self._transport: Any = SimpleNamespace(
            write=lambda data: self.sent.append(bytes(data)),
            send_frame=lambda channel, frame, **_: self.sent.append(of_the_sdk(frame)),
        )
        self._container_id = "test"
        self.state = None

    def _process_outgoing_frame(self, channel: int, frame: Any) -> None:
        self._transport.send_frame(channel, frame)


def session(connection: Connection, window: int = 10) -> Any:
    made: Any = Session(connection, CHANNEL, network_trace=False, network_trace_params={})
    made.state, made.remote_incoming_window = SessionState.MAPPED, window
    return made


def sender(connection: Connection, window: int = 10) -> Any:
    link: Any = SenderLink(
        session(connection, window),
        7,
        "queue",
        network_trace=False,
        network_trace_params={},
        send_settle_mode=SenderSettleMode.Unsettled,
    )
    link.delivery_count, link.current_link_credit = 41, 5
    return link


def batch(size: int) -> BatchMessage:
    properties = Properties("id", *[None] * 9, "session", None, None)
    return BatchMessage(None, None, None, properties, None, [b"x" * size, b"y"], None, None, None)


def sent(message: Any, most: int, *, ours: bool, window: int = 10) -> tuple[Any, ...]:
    """What a link sends of a message, and what it notes of that."""
    connection = Connection(most)
    link = sender(connection, window)
    if ours:
        frames.write_frames(connection._transport)
        frames.write_transfers(link)
    delivery = SimpleNamespace(message=message, settled=False, frame=None, transfer_state=None, sent=False)
    settled = link._outgoing_transfer(delivery)
    noted = link.delivery_count, link.current_link_credit, link._session.next_outgoing_id, delivery.sent
    windows = link._session.remote_incoming_window, link._session.outgoing_window
    number = delivery.frame and delivery.frame.get("delivery_id")
    return connection.sent, settled, noted, windows, delivery.transfer_state, number


def with_more() -> BatchMessage:
    """A batch whose first message has a partition key: the SDK says so in front of it."""
    made: Any = [*batch(10)]
    made[2] = {b"x-opt-partition-key": "key"}
    return BatchMessage(*made)


@pytest.mark.parametrize(
    "message",
    [batch(10), batch(1_000), Message(data=[b"x" * 300]), with_more()],
    ids=["small", "large", "one", "partition"],
)
def test_a_link_sends_and_notes_what_the_sdks_does(message: Any) -> None:
    """In one frame; the transfers after it have the next numbers."""
    assert sent(message, 100_000, ours=True) == sent(message, 100_000, ours=False)


def test_what_is_larger_than_a_frame_is_sent_in_several() -> None:
    """None of them larger than the other end takes; together they are the whole."""
    message, most = batch(5_000), 512
    parts, settled, noted, windows, state, number = sent(message, most, ours=True)
    assert (settled, noted, windows, state, number) == sent(message, most, ours=False)[1:]
    assert max(map(len, parts)) <= most
    theirs = bytes(encode_payload(bytearray(), message))
    whole = b"".join(decode_frame(memoryview(part)[8:])[1][-1] for part in parts)
    assert whole == theirs


def test_what_may_not_be_sent_yet_is_left_to_the_sdk() -> None:
    """It tries again once the other end has room."""
    theirs = sent(batch(10), 1_000, ours=False, window=0)
    assert sent(batch(10), 1_000, ours=True, window=0) == theirs
    assert [] == theirs[0]


@pytest.mark.parametrize(
    "state",
    [Accepted(), Released(), Modified(delivery_failed=True, undeliverable_here=False, message_annotations=None)],
)
def test_a_link_settles_as_the_sdks_does(state: Any) -> None:
    """Each delivery once: the SDK refuses a second time, and here as well."""
    written: list[list[bytes]] = []
    for ours in (False, True):
        connection = Connection(1_000)
        link: Any = ReceiverLink(
            session(connection), 7, "queue", on_transfer=None, network_trace=False, network_trace_params={}
        )
        link._received_delivery_tags = {b"tag"}
        if ours:
            frames.write_frames(connection._transport)
            frames.write_settlements(link)
        link._outgoing_disposition(9, None, b"tag", False, state, None)
        with pytest.raises(AMQPException):
            link._outgoing_disposition(9, None, b"tag", False, state, None)
        written.append(connection.sent)
    assert written[0] == written[1]
    assert 1 == len(written[0])


@pytest.mark.parametrize(("settled", "batchable"), [(True, None), (False, True)])
def test_a_link_settles_by_names_as_the_sdks_does(settled: bool, batchable: bool | None) -> None:
    """The SDK's own receiver names all of them, and means what it says of a settlement besides."""
    written: list[list[bytes]] = []
    for ours in (False, True):
        connection = Connection(1_000)
        link: Any = ReceiverLink(
            session(connection), 7, "queue", on_transfer=None, network_trace=False, network_trace_params={}
        )
        link._received_delivery_tags = {b"tag"}
        if ours:
            frames.write_frames(connection._transport)
            frames.write_settlements(link)
        link._outgoing_disposition(
            first=9, last=None, delivery_tag=b"tag", settled=settled, state=Accepted(), batchable=batchable
        )
        written.append(connection.sent)
    assert written[0] == written[1]
    assert 1 == len(written[0])
