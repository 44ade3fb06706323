"""Frames and protocol headers (AMQP 1.0, parts 2.2, 2.3 and 5.3)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

import msgspec

from cloudq.emulators.service_bus.amqp.errors import FramingError

HEADER_SIZE: Final = 8
MIN_MAX_FRAME_SIZE: Final = 512
"""What every side has to take (part 2.7.1)."""
_HEAD = struct.Struct(">IBBH")
_MAGIC = b"AMQP"


class FrameType(IntEnum):
    """What a frame is for."""

    AMQP = 0
    SASL = 1


class ProtocolHeader(msgspec.Struct, frozen=True):
    """The eight bytes that start a connection, and a second time after SASL."""

    protocol: int
    major: int = 1
    minor: int = 0
    revision: int = 0

    def encode(self) -> bytes:
        """The eight bytes."""
        return _MAGIC + bytes((self.protocol, self.major, self.minor, self.revision))


AMQP_HEADER: Final = ProtocolHeader(0)
TLS_HEADER: Final = ProtocolHeader(2)
SASL_HEADER: Final = ProtocolHeader(3)


class Frame(msgspec.Struct, frozen=True):
    """A frame. An empty body keeps the connection alive."""

    channel: int
    body: bytes
    type: FrameType = FrameType.AMQP

    def encode(self) -> bytes:
        """The frame's bytes."""
        return _HEAD.pack(len(self.body) + HEADER_SIZE, 2, self.type, self.channel) + self.body


class FrameReader:
    """Cuts what arrives into headers and frames. It never holds more than one frame that isn't whole.

    Attributes:
        max_frame_size: A frame that says it is larger is an error, before its bytes are waited for.
        expects_header: Whether the next thing is a protocol header.
    """

    __slots__ = ("_buffer", "_position", "expects_header", "max_frame_size")

    def __init__(self, max_frame_size: int) -> None:
        self._buffer = b""
        self._position = 0
        self.max_frame_size = max_frame_size
        self.expects_header = True

    def feed(self, data: bytes) -> None:
        """Takes what arrived."""
        self._buffer = self._buffer[self._position :] + data
        self._position = 0

    def next(self) -> ProtocolHeader | Frame | None:
        """The next header or frame; `None`: not enough of it arrived.

        Raises:
            FramingError: It is neither.
        """
        position = self._position
        if len(self._buffer) - position < HEADER_SIZE:
            return None
        if self.expects_header:
            return self._header(position)
        size, offset, kind, channel = _HEAD.unpack_from(self._buffer, position)
        if size > self.max_frame_size:
            raise FramingError(f"a frame of {size} bytes: the largest is {self.max_frame_size}")
        if offset < 2 or 4 * offset > size or kind > FrameType.SASL:
            raise FramingError(f"no frame: {size} bytes, of which {4 * offset} are its head, of the type {kind}")
        if len(self._buffer) - position < size:
            return None
        self._position = position + size
        return Frame(channel, self._buffer[position + 4 * offset : position + size], FrameType(kind))

    def _header(self, position: int) -> ProtocolHeader:
        header = self._buffer[position : position + HEADER_SIZE]
        if header[:4] != _MAGIC:
            raise FramingError("the connection doesn't start with AMQP's header")
        self._position = position + HEADER_SIZE
        return ProtocolHeader(*header[4:])
