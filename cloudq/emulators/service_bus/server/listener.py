"""The server: a port, its connections, and the broker's timer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final

from cloudq.emulators.service_bus.amqp.engine import Identity
from cloudq.emulators.service_bus.amqp.session import Limits
from cloudq.emulators.service_bus.broker.api import Clock, Messaging
from cloudq.emulators.service_bus.dialect.faults import Faults
from cloudq.emulators.service_bus.server.peer import Peer
from cloudq.emulators.service_bus.server.timer import BrokerTimer

IDENTITY: Final = Identity(
    container_id="cloudq-service-bus-emulator",
    mechanisms=("MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"),
    idle_timeout=timedelta(minutes=4),
    properties={},
)
LOOPBACK: Final = "127.0.0.1"
_ROUNDS: Final = 4


class Listener:
    """Serves a broker to clients. Everything happens on the event loop that `start` runs on, the broker's work too.

    Attributes:
        faults: What is to go wrong.
    """

    def __init__(
        self,
        broker: Messaging,
        clock: Clock,
        *,
        faults: Faults | None = None,
        identity: Identity = IDENTITY,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
    ) -> None:
        self.faults = faults or Faults()
        self._broker = broker
        self._clock = clock
        self._identity = identity
        self._limits = limits
        self._peers: set[Peer] = set()
        self._server: asyncio.Server | None = None
        self._timer: BrokerTimer | None = None

    async def start(self, host: str = LOOPBACK, port: int = 0) -> int:
        """Listens on the port, or on a free one. Returns which it is. Raises `OSError` if the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self._connect(loop, host), host, port)
        self._timer = BrokerTimer(self._broker, self._clock, loop)
        self.faults.on_drop(partial(self._drop_soon, loop))
        return int(self._server.sockets[0].getsockname()[1])

    def _connect(self, loop: asyncio.AbstractEventLoop, host: str) -> Peer:
        peer = Peer(
            loop=loop,
            broker=self._broker,
            faults=self.faults,
            identity=self._identity,
            limits=self._limits,
            listening=host,
            on_end=self._peers.discard,
        )
        self._peers.add(peer)
        return peer

    def _drop_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._drop)

    def _drop(self) -> None:
        for peer in list(self._peers):
            peer.drop()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._peers)

    async def close(self) -> None:
        """Closes all connections and the port."""
        if self._timer is not None:
            self._timer.stop()
        if self._server is not None:
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            # asyncio forgets the sockets of connections that it has accepted and not set up when the server is closed.
            await _turns()
            self._server.close()
        for peer in list(self._peers):
            peer.shut()
        await asyncio.sleep(0)  # what was written last goes out
        self._drop()
        await _turns()
        if self._server is not None:
            await self._server.wait_closed()


async def _turns() -> None:
    """Lets what has begun on the loop come about: a connection is set up, or ended, within that many rounds."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
