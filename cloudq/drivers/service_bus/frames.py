"""The frames that are sent again and again, as the bytes that AMQP 1.0 has for them: byte for byte the SDK's.

The SDK encodes each field of a frame by a call of its own, and each transfer twice, the first time to see its length:
more work than all else that is done to store a message. Here a link writes its transfers, and its settlements where
they have no details; any other frame is the SDK's.

Private parts are used here, as in `sdk.py`.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from azure.servicebus._pyamqp._encode import encode_payload
from azure.servicebus._pyamqp.constants import SessionState, SessionTransferState
from azure.servicebus._pyamqp.message import BatchMessage
from azure.servicebus._pyamqp.outcomes import Accepted, Released

from cloudq.drivers.service_bus import encoding
from cloudq.drivers.service_bus.encoding import NULL

# "AMQP 1.0, part 2.3: framing": size, the place of the body in words, the type, the channel; then the performative.
_HEAD: Final = Struct(">IBBH")
_BODY_AT: Final = 2
_UINT: Final = Struct(">BI")
_TRUE: Final = b"\x56\x01"
_FALSE: Final = b"\x56\x00"
# A transfer's list: its descriptor, that it is a short list; its fields, of which the last five aren't used.
_TRANSFER: Final = b"\x00\x53\x14\xc0"
_TRANSFER_FIELDS: Final = b"\x0b"
_UNUSED: Final = 5 * NULL
# More than a transfer's bytes before its payload.
_LARGEST_HEAD: Final = 64
# A settlement's, and what is to become of the message: the descriptors of outcomes that have no details.
_DISPOSITION: Final = b"\x00\x53\x15\xc0"
_DISPOSITION_FIELDS: Final = b"\x06"
_OUTCOMES: Final = {Accepted: b"\x00\x53\x24\x45", Released: b"\x00\x53\x26\x45"}


class Frame(bytes):
    """A frame that needs no encoding any more."""

    __slots__ = ()


def transfer(
    payload: memoryview, *, channel: int, handle: int, delivery_id: int, tag: bytes, message_format: int, more: bool
) -> Frame:
    """A part of a message, or all of it; the last one where there is no `more`."""
    fields = b"".join(
        (
            _TRANSFER_FIELDS,
            _uint(handle),
            _uint(delivery_id),
            encoding.binary(tag),
            _uint(message_format),
            _FALSE,
            _TRUE if more else _FALSE,
            _UNUSED,
        )
    )
    return _frame(channel, _TRANSFER, fields, payload)


def settlement(delivery_id: int, state: Accepted | Released, *, channel: int) -> Frame:
    """What is to become of a message that was received; it has to be confirmed."""
    fields = (_DISPOSITION_FIELDS, _TRUE, _uint(delivery_id), NULL, _FALSE, _OUTCOMES[type(state)], NULL)
    return _frame(channel, _DISPOSITION, b"".join(fields), b"")


def write_frames(transport: Any) -> None:
    """Has a transport of the SDK's send the frames of this module as they are."""
    theirs = transport.send_frame

    def send_frame(channel: int, frame: object, **options: Any) -> None:
        if isinstance(frame, Frame):
            transport.write(frame)
        else:
            theirs(channel, frame, **options)

    transport.send_frame = send_frame


def write_transfers(link: Any) -> None:
    """Has a sender's link write its transfers here. Whether it may send is the SDK's to say, as is what came of it."""
    theirs = link._outgoing_transfer

    def outgoing_transfer(delivery: Any) -> bool:
        session = link._session
        may_send = session.state is SessionState.MAPPED and session.remote_incoming_window > 0
        if not may_send or delivery.settled or link.network_trace:
            settled: bool = theirs(delivery)
            return settled
        _send(link, session, delivery)
        return False

    link._outgoing_transfer = outgoing_transfer


def write_settlements(link: Any) -> None:
    """Has a receiver's link write settlements without details here."""
    theirs = link._outgoing_disposition

    def outgoing_disposition(  # noqa: PLR0917 - as the SDK calls it
        first: int, last: int | None, delivery_tag: bytes, settled: bool, state: Any, batchable: bool | None
    ) -> None:
        known = delivery_tag in link._received_delivery_tags  # where it isn't, the SDK raises
        plain = last is None and not settled and batchable is None and type(state) in _OUTCOMES
        if not (known and plain) or link.network_trace:
            theirs(first, last, delivery_tag, settled, state, batchable)
            return
        link._session._outgoing_disposition(settlement(first, state, channel=link._session.channel))
        link._received_delivery_tags.remove(delivery_tag)

    link._outgoing_disposition = outgoing_disposition


def _send(link: Any, session: Any, delivery: Any) -> None:
    """Sends a message, in as many frames as it takes, and notes that as the SDK does."""
    message, connection = delivery.message, session._connection
    plain = encoding.batch(message) if isinstance(message, BatchMessage) else None
    payload = memoryview(encode_payload(bytearray(), message) if plain is None else plain)
    delivery_id, count = session.next_outgoing_id, link.delivery_count + 1
    most = connection._remote_max_frame_size - _LARGEST_HEAD
    for start in range(0, len(payload), most):
        frame = transfer(
            payload[start : start + most],
            channel=session.channel,
            handle=link.handle,
            delivery_id=delivery_id,
            tag=count.to_bytes(4),
            message_format=message._code,
            more=start + most < len(payload),
        )
        connection._process_outgoing_frame(session.channel, frame)
    session.next_outgoing_id += 1
    session.remote_incoming_window -= 1
    session.outgoing_window -= 1
    delivery.frame = {"delivery_id": delivery_id}
    delivery.transfer_state = SessionTransferState.OKAY
    link.delivery_count = count
    link.current_link_credit -= 1
    delivery.sent = True


def _frame(channel: int, performative: bytes, fields: bytes, payload: bytes | memoryview) -> Frame:
    size = _HEAD.size + len(performative) + 1 + len(fields) + len(payload)
    head = _HEAD.pack(size, _BODY_AT, 0, channel)
    return Frame(b"".join((head, performative, len(fields).to_bytes(), fields, payload)))


def _uint(value: int) -> bytes:
    if value == 0:
        return b"\x43"
    return b"\x52" + value.to_bytes() if value < encoding.SMALL else _UINT.pack(0x70, value)
