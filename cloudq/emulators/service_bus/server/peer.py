"""One TCP connection on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from cloudq.emulators.service_bus.amqp.engine import Connection, Identity
from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition
from cloudq.emulators.service_bus.amqp.session import Limits
from cloudq.emulators.service_bus.broker.api import Messaging
from cloudq.emulators.service_bus.dialect.client import Client
from cloudq.emulators.service_bus.dialect.faults import Faults
from cloudq.emulators.service_bus.server.wires import PlainWire, Wire, is_http

_log = logging.getLogger(__name__)


class Peer(asyncio.Protocol):
    """Moves bytes between the socket and the connection's engine, and wakes it by the clock."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        broker: Messaging,
        faults: Faults,
        identity: Identity,
        limits: Limits,
        listening: str,
        on_end: Callable[[Peer], None],
    ) -> None:
        self._loop = loop
        self._faults = faults
        self._limits = limits
        self._listening = listening
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._wire: Wire | None = None
        self._connection = Connection(identity, limits, self._now(), self._wake)
        self._client = Client(self._connection, broker, faults, self.drop)
        self._timer: asyncio.TimerHandle | None = None
        self._held: deque[tuple[float, bytes]] = deque()
        self._woken = False
        self._dropped = False

    def _now(self) -> timedelta:
        return timedelta(seconds=self._loop.time())

    # ── asyncio.Protocol ─────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            if self._dropped:
                transport.abort()

    def data_received(self, data: bytes) -> None:
        """Something arrived."""
        self._woken = True  # what it brings forth is written below, in this turn of the loop
        try:
            if self._wire is None:
                self._wire = self._choose_wire(data)
            self._connection.feed(self._wire.receive(data), self._now())
            self._client.process()
        except Exception:  # noqa: BLE001 - a fault of the emulator's: the client learns of it, other connections go on
            _log.exception("a connection failed")
            self._connection.close(AmqpError(ErrorCondition.INTERNAL_ERROR, "The emulator failed: see its log."))
            self._client.process()
        if self._timer is None:
            self._set_timer()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it is lost changes nothing
        """The socket is closed."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._held.clear()
        self._client.lost()
        self._on_end(self)

    def pause_writing(self) -> None:
        """The client doesn't read: nothing more is handed over to it."""
        self._connection.pause(paused=True)
        self._client.update_credit()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._connection.pause(paused=False)
        self._client.update_credit()

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────

    def _choose_wire(self, start: bytes) -> Wire:
        if not is_http(start):
            return PlainWire()
        from cloudq.emulators.service_bus.server.websocket import WebSocketWire

        return WebSocketWire(self._limits.max_message_size, self._listening)

    def _wake(self) -> None:
        # What one event brings forth is written together, once it has been dealt with.
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._woken = False
        wire, transport = self._wire, self._transport
        if wire is None or transport is None:
            return
        output = self._connection.take_output(self._now())
        if output:
            wire.send(output)
        if self._connection.closed:
            wire.close()
        self._write(wire.take_output())
        if wire.ended and not self._held:
            transport.close()

    def _write(self, data: bytes) -> None:
        if not data or self._transport is None:
            return
        delay = self._faults.delay.total_seconds()
        if delay <= 0 and not self._held:
            self._transport.write(data)
            return
        due = max(self._loop.time() + delay, self._held[-1][0] if self._held else 0.0)
        self._held.append((due, data))
        self._loop.call_at(due, self._write_held)

    def _write_held(self) -> None:
        while self._held and self._held[0][0] <= self._loop.time() and self._transport is not None:
            self._transport.write(self._held.popleft()[1])
        self._wake()

    def drop(self) -> None:
        """Cuts the connection without a word, one that was only just accepted too."""
        self._dropped = True
        if self._transport is not None:
            self._transport.abort()

    def shut(self) -> None:
        """Closes the connection as a server does that goes away."""
        self._connection.close(AmqpError(ErrorCondition.CONNECTION_FORCED, "The emulator ends."))
        self._client.process()
        self._flush()

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────

    def _set_timer(self) -> None:
        deadline = self._connection.deadline()
        if deadline is not None and self._transport is not None:
            self._timer = self._loop.call_at(deadline.total_seconds(), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._connection.tick(self._now())
        self._client.process()
        self._flush()
        self._set_timer()
