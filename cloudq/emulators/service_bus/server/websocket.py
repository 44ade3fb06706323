"""AMQP inside a WebSocket (RFC 6455; "AMQP WebSocket Binding 1.0", OASIS committee specification draft).

The WebSocket itself is the `websockets` library's, without its I/O.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from cloudq.emulators.browsers import why_refused

PATH: Final = "/$servicebus/websocket"
# The name that the binding's draft registers, and the one of the draft before it, which Azure's clients use.
SUBPROTOCOLS: Final = (Subprotocol("amqp"), Subprotocol("AMQPWSB10"))


class WebSocketWire:
    """A WebSocket that carries AMQP. Where its messages start and end means nothing to AMQP.

    Args:
        max_message_size: Of the WebSocket's messages, in bytes.
        listening: The address that the server listens at. Handshakes of pages in browsers are refused.
    """

    __slots__ = ("_eof", "_listening", "_protocol")

    def __init__(self, max_message_size: int, listening: str) -> None:
        self._listening = listening
        self._protocol = ServerProtocol(subprotocols=SUBPROTOCOLS, max_size=max_message_size)
        self._eof = False

    def receive(self, data: bytes) -> bytes:
        """Answers the handshake, pings and closings; what binary messages carry is AMQP."""
        self._protocol.receive_data(data)
        amqp = []
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._on_request(event)
            elif isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                amqp.append(bytes(event.data))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._protocol.fail(1003, "AMQP comes in binary messages")
        return b"".join(amqp)

    def _on_request(self, request: Request) -> None:
        refused = why_refused({name.lower(): value for name, value in request.headers.raw_items()}, self._listening)
        if refused is not None:
            response = self._protocol.reject(HTTPStatus.FORBIDDEN, f"{refused}\n")
        elif unquote(urlsplit(request.path).path).rstrip("/") == PATH:
            response = self._protocol.accept(request)
        else:
            response = self._protocol.reject(HTTPStatus.NOT_FOUND, f"AMQP is spoken at {PATH}\n")
        self._protocol.send_response(response)

    def send(self, data: bytes) -> None:
        """One binary message."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(data)

    def close(self) -> None:
        """Sends the WebSocket's own good-bye."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
        self._eof = True

    def take_output(self) -> bytes:
        """What the WebSocket wants to write."""
        output = self._protocol.data_to_send()
        self._eof = self._eof or b"" in output  # an empty piece stands for the end
        return b"".join(output)

    @property
    def ended(self) -> bool:
        """Whether the handshake failed, or the WebSocket was closed."""
        return self._eof
