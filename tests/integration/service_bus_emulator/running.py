"""The emulator's AMQP server on a thread of its own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from cloudq.emulators.service_bus.broker.broker import Broker
from cloudq.emulators.service_bus.server.listener import LOOPBACK, Listener

T = TypeVar("T")
PATIENCE = 10.0


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Running:
    """A broker with its listener.

    Attributes:
        broker: To be used through `call`: it belongs to the server's thread.
    """

    def __init__(self) -> None:
        self.broker = Broker(WallClock())
        self.listener = Listener(self.broker, WallClock())
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="service-bus-emulator")

    @property
    def connection_string(self) -> str:
        return (
            f"Endpoint=sb://{LOOPBACK}:{self.port};SharedAccessKeyName=any;SharedAccessKey=any;"
            "UseDevelopmentEmulator=true"
        )

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _await(self, coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def call(self, function: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Calls something on the server's thread."""

        async def on_loop() -> T:
            return function(*args, **kwargs)

        return self._await(on_loop())

    def start(self) -> None:
        self._thread.start()
        self.port = self._await(self.listener.start())

    def stop(self) -> None:
        self._await(self.listener.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


@contextmanager
def running() -> Iterator[Running]:
    server = Running()
    server.start()
    try:
        yield server
    finally:
        server.stop()
