"""Messages that the SDK can't read: they arrive all the same, so that they can be put away.

azure-servicebus 7.15 raises where a value in a message is nested more than 64 deep, is cut off, or is of a type that it
doesn't know. Where that happens while it reads a link, the link is gone, with all that was on its way by it; the
message comes again by the next one, and with it the next cut. Here such a message is handed over with what could be
read of it, the rest of its bytes as its body. The frame that brought it names its lock, so it is settled like others.

Private parts are used here, as in `sdk.py`.
"""

from __future__ import annotations

from typing import Any, Final, Self, cast

from azure.servicebus import ServiceBusReceiver
from azure.servicebus._pyamqp import _decode
from azure.servicebus._pyamqp.error import AMQPException
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport

_MORE, _PAYLOAD = 5, 11  # their places in a transfer frame
_HEAD: Final = 4  # of a section: three bytes of its descriptor, and the constructor of its value


class Unreadable(bytes):
    """What of a message's bytes couldn't be read.

    Attributes:
        why: What the SDK said.
    """

    why: str

    def __new__(cls, rest: bytes, why: str) -> Self:
        """The bytes, with the reason."""
        made = super().__new__(cls, rest)
        made.why = why
        return made


def read_everything(receiver_link: Any) -> None:
    """Has a link of the SDK's hand over also the messages that it can't read."""
    transfer = receiver_link._incoming_transfer

    def incoming_transfer(frame: Any) -> None:
        try:
            transfer(frame)
        except (AMQPException, OSError):
            raise
        except Exception as error:
            if frame[_MORE]:
                raise  # nothing was to be read yet
            payload = bytes(receiver_link._received_payload or frame[_PAYLOAD] or b"")
            receiver_link._received_payload = bytearray()
            receiver_link._process_incoming_message(receiver_link._first_frame, _as_far_as_possible(payload, error))

    receiver_link._incoming_transfer = incoming_transfer


def peek_everything(receiver: ServiceBusReceiver) -> ServiceBusReceiver:
    """Has a receiver show, when it peeks, also the messages that it can't read."""
    receiver._amqp_transport = cast(Any, _Transport)  # the SDK, too, keeps the class
    return receiver


class _Transport(PyamqpTransport):
    """The SDK's, but for messages within an answer."""

    @staticmethod
    def mgmt_client_request(*arguments: Any, callback: Any, **options: Any) -> Any:
        """As the SDK's, which has its own class read the answer."""

        def read(*answer: Any, **_: Any) -> Any:
            return callback(*answer, amqp_transport=_Transport)

        return PyamqpTransport.mgmt_client_request(*arguments, callback=read, **options)

    @staticmethod
    def parse_received_message(message: Any, message_type: Any, **options: Any) -> list[Any]:
        """As the SDK's for what was peeked at."""
        return [
            message_type(_decoded(bytes(entry[b"message"])), **options)
            for entry in (message.value or {}).get(b"messages", ())
        ]


def _decoded(payload: bytes) -> Any:
    try:
        return _decode.decode_payload(memoryview(payload))
    except Exception as error:  # noqa: BLE001 - it raises of many kinds, and says which ones nowhere
        return _as_far_as_possible(payload, error)


def _as_far_as_possible(payload: bytes, error: Exception) -> Any:
    """The sections before the one that can't be read; what begins there is the body."""
    rest = memoryview(payload)
    while rest:
        try:
            # As the SDK reads a section.
            following, _ = _decode._DECODE_BY_CONSTRUCTOR[rest[_HEAD - 1]](rest[_HEAD:])
        except Exception:  # noqa: BLE001 - as above
            break
        rest = following
    readable = _decode.decode_payload(memoryview(payload)[: len(payload) - len(rest)])
    why = f"{type(error).__name__}: {error}"
    return readable._replace(data=[Unreadable(bytes(rest), why)], sequence=None, value=None)
