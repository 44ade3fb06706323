"""The server's side of a connection: bytes in, events and bytes out; no I/O, clock or threads (AMQP 1.0, part 2.4).

A connection's owner calls `feed` with what arrived and deals with each of `events` before it takes the next one;
then `take_output` has what is to be written. `tick` at `deadline` keeps the connection alive, or ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Final

import msgspec

from cloudq.emulators.service_bus.amqp.composites import Composite
from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition, FramingError
from cloudq.emulators.service_bus.amqp.events import Closed, Event, Opened
from cloudq.emulators.service_bus.amqp.frames import (
    AMQP_HEADER,
    MIN_MAX_FRAME_SIZE,
    SASL_HEADER,
    Frame,
    FrameReader,
    FrameType,
    ProtocolHeader,
)
from cloudq.emulators.service_bus.amqp.performatives import PERFORMATIVES, Begin, Close, End, Open, read_body
from cloudq.emulators.service_bus.amqp.sasl import SASL, SaslCode, SaslInit, SaslMechanisms, SaslOutcome
from cloudq.emulators.service_bus.amqp.session import Limits, Session
from cloudq.emulators.service_bus.amqp.states import Error

ZERO: Final = timedelta()
_MILLISECOND = timedelta(milliseconds=1)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says of itself.

    Attributes:
        container_id: Its name.
        mechanisms: The SASL mechanisms that it takes; whatever a client responds is right.
        idle_timeout: After how long without a frame from the client the connection is closed; `None`: never.
        properties: Sent with its open.
    """

    container_id: str
    mechanisms: tuple[str, ...] = ("ANONYMOUS",)
    idle_timeout: timedelta | None = None
    properties: dict[object, object] = {}


class Connection:
    """A client's connection.

    Times are measured from any origin, as long as it is the same one.

    Attributes:
        closed: Whether it is over: what `take_output` still has is to be written, then the transport closed.
    """

    def __init__(
        self,
        identity: Identity,
        limits: Limits,
        now: timedelta = ZERO,
        on_output: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_output` is called when there is something to write, after there was nothing."""
        self.closed = False
        self._on_output = on_output
        self._identity = identity
        self._limits = limits
        self._reader = FrameReader(limits.max_frame_size)
        self._sasl = self._paused = False
        self._opened = False
        self._sessions: dict[int, Session] = {}
        self._ended: set[int] = set()
        self._max_frame_size = MIN_MAX_FRAME_SIZE
        self._output: list[bytes] = []
        self._left: list[Event] = []
        self._heard = self._said = now
        self._heartbeat: timedelta | None = None

    # ── bytes in, events out ─────────────────────────────────────────────────────────────────────────────

    def feed(self, data: bytes, now: timedelta = ZERO) -> None:
        """Takes what arrived at `now`."""
        self._heard = now
        self._reader.feed(data)

    def events(self) -> Iterator[Event]:
        """What came of it. Deal with each before taking the next: answers go out in the order of what they answer."""
        while True:
            if self._left:
                yield self._left.pop(0)
                continue
            if self.closed:
                return
            try:
                part = self._reader.next()
                if part is None:
                    return
                yield from self._on_header(part) if isinstance(part, ProtocolHeader) else self._on_frame(part)
            except AmqpError as error:
                self.close(error)

    def close(self, error: AmqpError | None = None) -> None:
        """Closes the connection. The events that all of its links are gone are the last ones."""
        if not self.closed:
            reason = None if error is None else Error.of(error)
            if self._opened:
                self._send(0, Close(error=reason))
            self._over(reason)

    def lost(self) -> None:
        """The transport is gone: all links are, as the last events say."""
        if not self.closed:
            self._over(None)
            self._output.clear()

    def _over(self, error: Error | None) -> None:
        self.closed = True
        for session in self._sessions.values():
            self._left.extend(session.end(error))
        self._sessions.clear()
        self._left.append(Closed(error))

    # ── bytes out, time ──────────────────────────────────────────────────────────────────────────────────

    def pause(self, *, paused: bool) -> None:
        """Whether the transport is full: then links have nothing `ready`. What is sent all the same isn't lost."""
        self._paused = paused
        for session in self._sessions.values():
            session.paused = paused

    def take_output(self, now: timedelta = ZERO) -> bytes:
        """What is to be written, and is by `now`."""
        if not self._output:
            return b""
        output = b"".join(self._output)
        self._output.clear()
        self._said = now
        return output

    def deadline(self) -> timedelta | None:
        """When `tick` has something to do; `None`: never."""
        if self.closed or not self._opened:
            return None
        idle = self._identity.idle_timeout
        moments = [self._heard + idle] if idle is not None else []
        if self._heartbeat is not None:
            moments.append(self._said + self._heartbeat)
        return min(moments, default=None)

    def tick(self, now: timedelta) -> None:
        """Says something if the client may else take the connection for dead, and closes it if the client may be."""
        if self.closed or not self._opened:
            return
        idle = self._identity.idle_timeout
        if idle is not None and now - self._heard >= idle:
            text = f"The connection was inactive for more than the allowed {idle // _MILLISECOND} milliseconds."
            self.close(AmqpError(ErrorCondition.CONNECTION_FORCED, text))
        elif self._heartbeat is not None and now - self._said >= self._heartbeat:
            self._write(Frame(0, b"").encode())

    def _write(self, data: bytes) -> None:
        self._output.append(data)
        if len(self._output) == 1:
            self._on_output()

    def _send(self, channel: int, performative: Composite, payload: bytes = b"") -> None:
        if not self.closed:
            self._write(Frame(channel, performative.encode() + payload).encode())

    # ── headers and frames ───────────────────────────────────────────────────────────────────────────────

    def _on_header(self, header: ProtocolHeader) -> Iterator[Event]:
        if header not in (AMQP_HEADER, SASL_HEADER) or (header == SASL_HEADER and self._sasl):
            # The answer to a protocol that isn't spoken is one that is (part 2.2).
            self._write((AMQP_HEADER if self._sasl else SASL_HEADER).encode())
            self._over(None)
            return
        self._write(header.encode())
        self._reader.expects_header = False
        if header == SASL_HEADER:
            self._sasl = True
            offer = SaslMechanisms(sasl_server_mechanisms=self._identity.mechanisms)
            self._write(Frame(0, offer.encode(), FrameType.SASL).encode())
        yield from ()

    def _on_frame(self, frame: Frame) -> Iterator[Event]:
        if frame.type is FrameType.SASL:
            self._on_sasl(frame)
        elif frame.body:
            performative, position = read_body(PERFORMATIVES, frame.body)
            yield from self._on_performative(frame.channel, performative, frame.body[position:])

    def _on_sasl(self, frame: Frame) -> None:
        init, _ = read_body(SASL, frame.body)
        if not isinstance(init, SaslInit) or not self._sasl or self._opened:
            raise FramingError(f"{init.NAME} can't come here")
        known = init.mechanism in self._identity.mechanisms
        outcome = SaslOutcome(code=SaslCode.OK if known else SaslCode.AUTH)
        self._write(Frame(0, outcome.encode(), FrameType.SASL).encode())
        if known:
            self._reader.expects_header = True
        else:
            self._over(None)

    def _on_performative(self, channel: int, performative: Composite, payload: bytes) -> Iterator[Event]:
        if isinstance(performative, Open):
            yield self._on_open(performative)
            return
        if not self._opened:
            raise AmqpError(ErrorCondition.NOT_ALLOWED, f"{performative.NAME} comes before open")
        if isinstance(performative, Close):
            self._send(0, Close())
            self._over(performative.error)
            return
        if isinstance(performative, Begin):
            self._on_begin(channel, performative)
            return
        session = self._sessions.get(channel)
        if session is None:
            # After its end, or ours, frames may still be on their way; the Python SDK even sends a detach then.
            if channel not in self._ended:
                raise AmqpError(ErrorCondition.NOT_ALLOWED, f"{performative.NAME} comes on a channel without a session")
            return
        if isinstance(performative, End):
            yield from self._end(channel, session, performative.error, None)
            return
        try:
            yield from session.receive(performative, payload)
        except AmqpError as error:
            yield from self._end(channel, session, Error.of(error), Error.of(error))

    def _on_open(self, opened: Open) -> Event:
        if self._opened:
            raise AmqpError(ErrorCondition.NOT_ALLOWED, "the connection is open already")
        if opened.max_frame_size < MIN_MAX_FRAME_SIZE:
            text = f"a max-frame-size of {opened.max_frame_size}: the smallest is {MIN_MAX_FRAME_SIZE}"
            raise AmqpError(ErrorCondition.INVALID_FIELD, text)
        self._opened = True
        self._max_frame_size = min(opened.max_frame_size, self._limits.max_frame_size)
        if opened.idle_time_out:
            self._heartbeat = opened.idle_time_out * _MILLISECOND / 2
        idle = self._identity.idle_timeout
        self._send(
            0,
            Open(
                container_id=self._identity.container_id,
                max_frame_size=self._limits.max_frame_size,
                channel_max=self._limits.channel_max,
                idle_time_out=None if idle is None else idle // _MILLISECOND,
                properties=self._identity.properties or None,
            ),
        )
        return Opened(opened)

    def _on_begin(self, channel: int, begin: Begin) -> None:
        if channel > self._limits.channel_max:
            text = f"the channel {channel} is above the connection's channel-max, {self._limits.channel_max}"
            raise AmqpError(ErrorCondition.NOT_ALLOWED, text)
        if channel in self._sessions:
            raise AmqpError(ErrorCondition.NOT_ALLOWED, f"the channel {channel} has a session already")
        self._ended.discard(channel)
        session = Session(begin, self._limits, self._max_frame_size, partial(self._send, channel))
        session.paused = self._paused
        self._sessions[channel] = session
        session.send_begin(channel)

    def _end(self, channel: int, session: Session, reason: Error | None, told: Error | None) -> Iterator[Event]:
        del self._sessions[channel]
        self._ended.add(channel)
        self._send(channel, End(error=told))
        yield from session.end(reason)
