"""What the worker and its child processes say to each other: length-prefixed msgpack over a socket pair."""

from __future__ import annotations

import select
import socket
import struct
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.ending import Ending
from cloudq.core.failure import Failure
from cloudq.core.outcome import ACKED, Acked, DeadLettered, Expired, Outcome, Retried, Snoozed, Why
from cloudq.errors import CloudqError, UndecodableError
from cloudq.telemetry.reported import Report

# The largest body that is decoded, and so is run, and ample room.
MAX_FRAME: Final = wire.MAX_BODY_BYTES + 16 * 1024 * 1024
_LENGTH: Final = struct.Struct("!I")


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a child, first: what it works for."""

    app_spec: str | None
    app_folder: str | None = None
    safe_path: bool = False
    url: str
    claim_check: str | None
    store: str | None = None
    log_format: Literal["text", "json"] | None
    log_level: int
    reports: bool = False


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a child: it has loaded the app."""


class CannotStart(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a child: why it hasn't."""

    reason: str


class RunRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a child: a delivery without what only the parent needs of it (the receipt and the native object)."""

    number: int
    queue: str
    id: str
    body: bytes
    attempt: int
    deliveries: int
    group: str | None
    known_ends: int
    first_received_at: datetime | None
    stored_at: datetime | None
    failure: Failure | None
    expires_at: datetime
    hard_limit: datetime | None
    # By `Clock.elapsed`, which is the same in all processes of a machine.
    ends: timedelta
    hard_end: timedelta | None

    @classmethod
    def of(cls, delivery: Delivery, *, number: int, expires_at: datetime, ends: timedelta) -> RunRequest:
        """What a child needs of a delivery whose lease ends then. The answer to it has the same number."""
        return cls(
            number=number,
            queue=delivery.queue,
            id=delivery.id,
            body=delivery.body,
            attempt=delivery.attempt,
            deliveries=delivery.deliveries,
            group=delivery.group,
            known_ends=delivery.known_ends,
            first_received_at=delivery.first_received_at,
            stored_at=delivery.stored_at,
            failure=delivery.failure,
            expires_at=expires_at,
            hard_limit=delivery.lease.hard_limit,
            ends=ends,
            hard_end=delivery.lease.hard_end,
        )

    def delivery(self) -> Delivery:
        """The delivery, as far as a child has it."""
        message, undecodable = None, None
        try:
            message = wire.decode(self.body, self.queue)
        except UndecodableError as error:
            undecodable = error.message
        return Delivery(
            queue=self.queue,
            id=self.id,
            body=self.body,
            message=message,
            undecodable=undecodable,
            attempt=self.attempt,
            deliveries=self.deliveries,
            lease=Lease(
                queue=self.queue,
                receipt=None,
                expires_at=self.expires_at,
                hard_limit=self.hard_limit,
                ends=self.ends,
                hard_end=self.hard_end,
            ),
            group=self.group,
            known_ends=self.known_ends,
            first_received_at=self.first_received_at,
            stored_at=self.stored_at,
            failure=self.failure,
        )


class LeaseIsLost(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a child: the lease on what it runs is over."""


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """From a child: the outcome of what it ran, which the number of its request names."""

    number: int
    kind: Literal["acked", "retried", "snoozed", "dead_lettered"]
    ending: Ending = Ending.SUCCEEDED
    delay: timedelta = timedelta(0)
    reason: str = ""
    counted: bool = True
    why: Why = Why.OTHER
    failure: Failure | None = None
    report: Report | None = None

    @classmethod
    def of(cls, outcome: Outcome, number: int) -> Done:
        """An outcome in the form that travels."""
        if isinstance(outcome, Acked):
            reason = outcome.reason if isinstance(outcome, Expired) else ""
            return cls(number=number, kind="acked", ending=outcome.ending, reason=reason)
        if isinstance(outcome, DeadLettered):
            return cls(number=number, kind="dead_lettered", reason=outcome.reason, failure=outcome.failure)
        if isinstance(outcome, Snoozed):
            return cls(
                number=number,
                kind="snoozed",
                delay=outcome.delay,
                reason=outcome.reason,
                why=outcome.why,
                failure=outcome.failure,
            )
        return cls(
            number=number,
            kind="retried",
            delay=outcome.delay,
            reason=outcome.reason,
            counted=outcome.counted,
            failure=outcome.failure,
        )

    def outcome(self) -> Outcome:
        """The outcome that travelled."""
        if self.ending is Ending.EXPIRED:
            return Expired(reason=self.reason)
        if self.kind == "acked":
            return ACKED if self.ending is Ending.SUCCEEDED else Acked(ending=self.ending)
        if self.kind == "dead_lettered":
            return DeadLettered(reason=self.reason, failure=self.failure or Failure(reason=self.reason))
        if self.kind == "snoozed":
            return Snoozed(delay=self.delay, why=self.why, reason=self.reason, failure=self.failure)
        return Retried(delay=self.delay, reason=self.reason, counted=self.counted, failure=self.failure)


ToChild: TypeAlias = Hello | RunRequest | LeaseIsLost
FromChild: TypeAlias = Ready | CannotStart | Done


class FrameError(CloudqError):
    """The other side said something that isn't a frame."""

    code = "frame"


class FrameTooLarge(FrameError):
    """Nothing of it was sent, so the other side is as it was."""


class Channel:
    """One end of the socket pair. One thread may send while another receives.

    Args:
        end: The socket.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, frame: ToChild | FromChild) -> None:
        """Sends one frame.

        Raises:
            FrameTooLarge: It is larger than `MAX_FRAME`.
            OSError: The other side has gone.
        """
        encoded = _encoded(frame)
        if len(encoded) > MAX_FRAME:
            raise FrameTooLarge(f"a frame of {len(encoded):,} bytes is longer than {MAX_FRAME:,}")
        self._socket.sendall(_LENGTH.pack(len(encoded)) + encoded)

    def from_child(self) -> FromChild | None:
        """The next frame of a child; `None` at its end. Raises as `_receive`, and FrameError for anything else."""
        encoded = self._receive()
        try:
            return None if encoded is None else _FROM_CHILD.decode(encoded)
        except msgspec.DecodeError as error:
            raise FrameError(f"not a frame of a child: {error}") from error

    def to_child(self) -> ToChild | None:
        """The next frame for a child; `None` once the parent has gone. Raises as `_receive`."""
        encoded = self._receive()
        return None if encoded is None else _TO_CHILD.decode(encoded)

    def wait(self, seconds: float) -> bool:
        """Waits for a frame, or the end, to receive. Returns whether there is one."""
        poll = select.poll()  # select() takes no descriptor beyond 1,023
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Tells the other side that this one has gone."""
        self._socket.close()

    def _receive(self) -> bytes | None:
        """One frame's bytes; `None` at the end.

        Raises:
            FrameError: It claims to be longer than `MAX_FRAME`.
            OSError: The connection broke.
        """
        head = self._receive_exactly(_LENGTH.size)
        if head is None:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > MAX_FRAME:
            raise FrameError(f"a frame of {length:,} bytes is longer than {MAX_FRAME:,}")
        return self._receive_exactly(length)

    def _receive_exactly(self, count: int) -> bytes | None:
        received = bytearray()
        while len(received) < count:
            part = self._socket.recv(min(count - len(received), 1 << 20))
            if not part:
                return None
            received += part
        return bytes(received)


_FROM_CHILD: Final = msgspec.msgpack.Decoder(FromChild)
_TO_CHILD: Final = msgspec.msgpack.Decoder(ToChild)


def _encoded(frame: ToChild | FromChild) -> bytes:
    return msgspec.msgpack.encode(frame)
