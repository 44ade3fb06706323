"""How AMQP's bytes travel over a TCP connection: as they are, or inside a WebSocket."""

from __future__ import annotations

from typing import Protocol


class Wire(Protocol):
    """Takes AMQP's bytes out of what arrives and puts them into what is written. No I/O."""

    def receive(self, data: bytes) -> bytes:
        """Takes what arrived. Returns AMQP's bytes in it."""
        ...

    def send(self, data: bytes) -> None:
        """Takes AMQP's bytes that are to be written."""
        ...

    def close(self) -> None:
        """Says good-bye, if the wire has a way to."""
        ...

    def take_output(self) -> bytes:
        """What is to be written now."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the transport is to be closed once the output is written."""
        ...


class PlainWire:
    """AMQP over TCP: the bytes are what they are."""

    __slots__ = ("_output", "ended")

    def __init__(self) -> None:
        self._output: list[bytes] = []
        self.ended = False

    def receive(self, data: bytes) -> bytes:
        """All of it is AMQP."""
        return data

    def send(self, data: bytes) -> None:
        """Written as it is."""
        self._output.append(data)

    def close(self) -> None:
        """There is nothing to say."""
        self.ended = True

    def take_output(self) -> bytes:
        """What was sent."""
        output = b"".join(self._output)
        self._output.clear()
        return output


def is_http(start: bytes) -> bool:
    """Whether a connection starts with a request of HTTP, as a WebSocket does; AMQP starts with its name."""
    return start[:1] == b"G"
