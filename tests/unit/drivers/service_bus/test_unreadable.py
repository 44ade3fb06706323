"""Messages that the SDK can't read arrive with what could be read of them."""

from __future__ import annotations

from typing import Any

import pytest
from azure.servicebus._pyamqp import _decode
from azure.servicebus._pyamqp.error import AMQPConnectionError

from cloudq.drivers.service_bus.unreadable import Unreadable, peek_everything, read_everything
from cloudq.emulators.service_bus.amqp.encoding import encode, encode_described
from cloudq.emulators.service_bus.amqp.sections import Section
from cloudq.emulators.service_bus.amqp.types import UInt

HEADER = encode_described(Section.HEADER, encode([True, None, None, False, UInt(2)]))
PROPERTIES = encode_described(Section.PROPERTIES, encode(["id-1"]))
DATA = encode_described(Section.DATA, encode(b"{}"))


def nested(depth: int) -> bytes:
    """A value section of lists, one in the other: azure-servicebus takes 64 of them."""
    value = b"\x45"
    for _ in range(depth - 1):
        value = b"\xd0" + (len(value) + 4).to_bytes(4) + (1).to_bytes(4) + value
    return encode_described(Section.VALUE, value)


class Link:
    """As the SDK's, as far as a transfer goes."""

    def __init__(self) -> None:
        self._received_payload = bytearray()
        self._first_frame: Any = None
        self.got: list[Any] = []
        self.error: Exception | None = None

    def _incoming_transfer(self, frame: Any) -> None:
        if self.error is not None:
            raise self.error
        self._first_frame = self._first_frame or frame
        if self._received_payload or frame[5]:
            self._received_payload.extend(frame[11])
        if not frame[5]:
            message = _decode.decode_payload(memoryview(bytes(self._received_payload or frame[11])))
            self._received_payload = bytearray()
            self._process_incoming_message(self._first_frame, message)

    def _process_incoming_message(self, frame: Any, message: Any) -> None:
        self.got.append((frame, message))


def frame(payload: bytes, *, more: bool = False) -> list[Any]:
    return [0, 1, b"tag", 0, False, more, None, None, None, None, None, payload]


def received(*frames: list[Any]) -> Any:
    link = Link()
    read_everything(link)
    for one in frames:
        link._incoming_transfer(one)
    ((first, message),) = link.got
    assert first is frames[0]
    assert not link._received_payload
    return message


def test_what_the_sdk_reads_is_left_to_it() -> None:
    """Up to the depth that it takes."""
    assert [b"{}"] == received(frame(HEADER + DATA)).data
    assert received(frame(HEADER + nested(64))).value is not None


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        (nested(65), "ValueError: AMQP value nesting exceeds maximum depth of 64"),
        (DATA[:-1] + b"", ""),
        (encode_described(Section.VALUE, b"\x3f"), ""),
    ],
    ids=["nested", "cut", "unknown"],
)
def test_the_rest_is_the_body(rest: bytes, why: str) -> None:
    """The sections before it are as ever, also where the message came in several frames."""
    if why == "":
        with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever kind: the SDK raises it
            _decode.decode_payload(memoryview(PROPERTIES + rest[:4]))
        rest = rest[:4]
    whole = HEADER + PROPERTIES + rest
    for frames in ([frame(whole)], [frame(whole[:9], more=True), frame(whole[9:])]):
        message = received(*frames)
        assert (2, "id-1") == (message.header.delivery_count, message.properties.message_id.decode())
        (body,) = message.data
        assert (rest, True) == (body, isinstance(body, Unreadable))
        assert why in body.why


def test_a_cut_is_a_cut() -> None:
    """Errors of the connection aren't taken for those of a message."""
    link = Link()
    read_everything(link)
    link.error = AMQPConnectionError(b"amqp:connection:forced")
    with pytest.raises(AMQPConnectionError):
        link._incoming_transfer(frame(DATA))
    link.error = ConnectionResetError()
    with pytest.raises(ConnectionResetError):
        link._incoming_transfer(frame(DATA))
    assert [] == link.got


def test_peeking() -> None:
    """What can't be read is shown among the others."""

    class Receiver:
        _amqp_transport: Any = None

    receiver: Any = peek_everything(Receiver())  # type: ignore[arg-type]
    answer = _decode.decode_payload(memoryview(b""))
    entries = [{b"message": HEADER + DATA}, {b"message": HEADER + nested(65)}]
    parse = receiver._amqp_transport.parse_received_message
    good, bad = parse(answer._replace(value={b"messages": entries}), message_type=lambda message, **_: message)
    assert ([b"{}"], nested(65)) == (good.data, bad.data[0])
    assert [] == parse(answer, message_type=lambda message, **_: message)
