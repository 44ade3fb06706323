"""Frames and headers: cut out of any pieces, refused before their bytes are waited for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudq.emulators.service_bus.amqp.errors import FramingError
from cloudq.emulators.service_bus.amqp.frames import (
    AMQP_HEADER,
    SASL_HEADER,
    Frame,
    FrameReader,
    FrameType,
    ProtocolHeader,
)

FRAMES = st.lists(
    st.builds(Frame, st.integers(0, 65535), st.binary(max_size=200), st.sampled_from(FrameType)), max_size=10
)


def read_all(reader: FrameReader) -> list[ProtocolHeader | Frame]:
    found = []
    while (part := reader.next()) is not None:
        found.append(part)
        reader.expects_header = False
    return found


@given(FRAMES, st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_frames_come_in_any_pieces(frames: list[Frame], sizes: list[int]) -> None:
    """However the bytes are cut, the same header and frames come out."""
    data = AMQP_HEADER.encode() + b"".join(frame.encode() for frame in frames)
    reader = FrameReader(512)
    found: list[ProtocolHeader | Frame] = []
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        reader.feed(data[position : position + size])
        found += read_all(reader)
        position, turn = position + size, turn + 1
    assert [AMQP_HEADER, *frames] == found


def test_headers() -> None:
    """A header is eight bytes with the protocol's number and version."""
    assert b"AMQP\x03\x01\x00\x00" == SASL_HEADER.encode()
    reader = FrameReader(512)
    reader.feed(b"AMQP\x00\x01\x00\x00")
    assert AMQP_HEADER == reader.next()


def test_extended_headers_are_skipped() -> None:
    """A frame's head may be longer than eight bytes; what is more is not looked at."""
    reader = FrameReader(512)
    reader.expects_header = False
    reader.feed(bytes.fromhex("0000000e 0300 0007 deadbeef 4142"))
    assert Frame(7, b"AB") == reader.next()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("00000201 0200 0000", "a frame of 513 bytes: the largest is 512"),
        ("ffffffff 0200 0000", "a frame of 4294967295 bytes"),
        ("00000007 0200 0000", "no frame: 7 bytes"),
        ("00000008 0100 0000", "of which 4 are its head"),
        ("00000008 0300 0000", "of which 12 are its head"),
        ("00000008 0202 0000", "of the type 2"),
    ],
)
def test_what_is_no_frame(data: str, complaint: str) -> None:
    """A frame that is too large or not well formed is refused by its head alone."""
    reader = FrameReader(512)
    reader.expects_header = False
    reader.feed(bytes.fromhex(data))
    with pytest.raises(FramingError, match=complaint) as caught:
        reader.next()
    assert caught.value.condition == "amqp:connection:framing-error"


def test_what_is_no_header() -> None:
    """A connection that starts with something else is refused."""
    reader = FrameReader(512)
    reader.feed(b"GET / HTTP/1.1\r\n")
    with pytest.raises(FramingError, match="doesn't start with AMQP's header"):
        reader.next()
