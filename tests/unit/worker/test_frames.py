"""What goes between the worker and its children arrives as it was, or is refused."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.outcome import ACKED, CANCELLED, DeadLettered, Expired, Outcome, Retried, Snoozed, Why
from cloudq.testing.clock import FakeClock
from cloudq.worker.frames import MAX_FRAME, Channel, Done, FrameError, LeaseIsLost, Ready, RunRequest
from tests.unit.worker.fakes import delivery

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = timedelta(minutes=2)
FAILURE = Failure(reason="no", error_type="ValueError", traceback="…", attempts=3, first_at=NOW, last_at=NOW)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.mark.parametrize(
    "outcome",
    [
        ACKED,
        CANCELLED,
        Retried(delay=timedelta(days=3, microseconds=7), reason="later", counted=False),
        Snoozed(delay=timedelta(days=3, microseconds=7), why=Why.STORE_DOWN, reason="later"),
        Retried(delay=timedelta(0), reason="no", failure=FAILURE),
        Expired(reason="expired 4 min ago"),
        DeadLettered(reason="no", failure=FAILURE),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_an_outcome_survives(ends: tuple[socket.socket, socket.socket], outcome: Outcome) -> None:
    """Every outcome arrives equal to what was sent."""
    Channel(ends[0]).send(Done.of(outcome, 3))
    said = Channel(ends[1]).from_child()
    assert isinstance(said, Done)
    assert (3, outcome) == (said.number, said.outcome())


@given(
    body=st.binary(max_size=200),
    attempt=st.integers(1, 10**6),
    group=st.none() | st.text(max_size=20),
    moment=st.none() | st.datetimes(timezones=st.just(UTC)),
    ends=st.timedeltas(timedelta(0), timedelta(days=10_000)),
)
def test_a_delivery_survives(
    body: bytes, attempt: int, group: str | None, moment: datetime | None, ends: timedelta
) -> None:
    """A child has all of a delivery but the receipt and the native object, decodable or not."""
    lease = Lease(
        queue="q",
        receipt=object(),
        expires_at=NOW,
        hard_limit=moment,
        ends=ends,
        hard_end=None if moment is None else ends,
    )
    given_ = Delivery.of(
        body,
        native_id="n",
        runs=attempt,
        deliveries=2,
        lease=lease,
        group=group,
        first_received_at=moment,
        raw=object(),
    )
    one, other = socket.socketpair()
    with one, other:
        Channel(one).send(RunRequest.of(given_, number=1, expires_at=NOW, ends=ends))
        said = Channel(other).to_child()
    assert isinstance(said, RunRequest)
    assert replace(given_, raw=None, lease=replace(lease, receipt=None)) == said.delivery()


def test_large_frames_pass(ends: tuple[socket.socket, socket.socket]) -> None:
    """A frame larger than the socket's buffer arrives whole."""
    large = replace(delivery(FakeClock()), body=b"x" * 5_000_000)
    sender = threading.Thread(
        target=Channel(ends[0]).send, args=(RunRequest.of(large, number=1, expires_at=NOW, ends=ENDS),)
    )
    sender.start()
    said = Channel(ends[1]).to_child()
    sender.join(60)
    assert isinstance(said, RunRequest)
    assert 5_000_000 == len(said.body)


def test_a_frame_that_claims_too_much_is_refused(ends: tuple[socket.socket, socket.socket]) -> None:
    """A length beyond the bound is refused before a byte of it is read, on either side."""
    ends[0].sendall(struct.pack("!I", MAX_FRAME + 1))
    with pytest.raises(FrameError, match="longer than"):
        Channel(ends[1]).from_child()
    with pytest.raises(FrameError, match="longer than"):
        Channel(ends[0]).send(
            RunRequest.of(replace(delivery(FakeClock()), body=bytes(MAX_FRAME)), number=1, expires_at=NOW, ends=ENDS)
        )


def test_the_end_is_none(ends: tuple[socket.socket, socket.socket]) -> None:
    """An end between frames, or within one, is `None`."""
    channel = Channel(ends[1])
    Channel(ends[0]).send(Ready())
    assert not Channel(ends[0]).wait(0)
    assert channel.wait(1)
    assert Ready() == channel.from_child()
    ends[0].sendall(b"\0\0")
    ends[0].close()
    assert channel.from_child() is None


def test_several_frames_keep_their_order(ends: tuple[socket.socket, socket.socket]) -> None:
    """Frames arrive one by one, in order."""
    sent = RunRequest.of(delivery(FakeClock()), number=1, expires_at=NOW, ends=ENDS)
    for frame in (sent, LeaseIsLost(), sent):
        Channel(ends[0]).send(frame)
    channel = Channel(ends[1])
    assert [sent, LeaseIsLost(), sent] == [channel.to_child() for _ in range(3)]


def test_garbage_of_a_child_is_a_frame_error(ends: tuple[socket.socket, socket.socket]) -> None:
    """What a task writes into the line by mistake is said to be no frame, whatever msgpack makes of it."""
    for garbage in (b"\xc1", b"\x01", b"\x81\xa4type\xaaRunRequest", b""):
        ends[0].sendall(struct.pack("!I", len(garbage)) + garbage)
        with pytest.raises(FrameError, match="not a frame"):
            Channel(ends[1]).from_child()
