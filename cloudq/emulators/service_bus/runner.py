"""The emulator as a whole: broker, AMQP server and administration on a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from cloudq.emulators.loops import SteadyLoop
from cloudq.emulators.service_bus.admin.server import AdministrationServer
from cloudq.emulators.service_bus.broker.api import Clock
from cloudq.emulators.service_bus.broker.broker import Broker
from cloudq.emulators.service_bus.broker.settings import (
    QueueSettings,
    SubscriptionSettings,
    Tier,
    TopicSettings,
)
from cloudq.emulators.service_bus.config import Config
from cloudq.emulators.service_bus.dialect.faults import Faults
from cloudq.emulators.service_bus.server.listener import LOOPBACK, Listener

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE: Final = 30.0


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def now(self) -> datetime:
        """The wall-clock time, aware, in UTC."""
        return datetime.now(UTC)


class ServiceBusEmulator:
    """An Azure Service Bus on this machine, in this process: `with ServiceBusEmulator() as emulator: ...`.

    Messages are in memory and end with it. It has no TLS and checks no keys: keep it on a loopback address.

    Args:
        host: The address to listen on.
        port: The port for AMQP; 0 is a free one.
        admin_port: The port of the administration; 0 is a free one, `None` leaves it out (it needs uvicorn).
        config: The entities to begin with.
        clock: Where it gets its time from. After a step of a clock that is set by hand, call `tick`. Azure's client
            compares locks with the machine's time: such a clock starts best at the present.
        faults: What is to go wrong.
        premium: Whether it is a Premium namespace: entities have messages of 1 MiB if nothing else is given, and the
            administration takes `MaxMessageSizeInKilobytes` up to 102,400. A Standard one has 256 KiB, and refuses it.

    Attributes:
        faults: What is to go wrong; any thread may use it.
    """

    def __init__(
        self,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        admin_port: int | None = 0,
        config: Config | None = None,
        clock: Clock | None = None,
        faults: Faults | None = None,
        premium: bool = False,
    ) -> None:
        self.faults = faults or Faults()
        self._clock: Clock = clock or SystemClock()
        self._broker = Broker(self._clock, Tier.PREMIUM if premium else Tier.STANDARD)
        if config is not None:
            config.apply(self._broker)
        self._host = host
        self._port = port
        self._admin_port = admin_port
        self._listener = Listener(self._broker, self._clock, faults=self.faults)
        self._admin = AdministrationServer(self._broker) if admin_port is not None else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> Self:
        """Listens on its ports. It can be started once.

        Raises:
            OSError: A port is taken.
            RuntimeError: It was started before.
        """
        if self._thread is not None:
            raise RuntimeError("the emulator was started before: make another one")
        loop = self._loop = SteadyLoop()
        self._thread = threading.Thread(target=_run, args=(loop,), name="service-bus-emulator", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), loop).result(_PATIENCE)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Closes connections and ports; the messages are gone. Stopping twice is allowed."""
        loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._close(), loop).result(_PATIENCE)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _listen(self) -> None:
        self._port = await self._listener.start(self._host, self._port)
        if self._admin is not None:
            self._admin_port = await self._admin.start(self._host, self._admin_port or 0)

    async def _close(self) -> None:
        if self._admin is not None:
            await self._admin.close()
        await self._listener.close()

    # ── addresses ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def port(self) -> int:
        """The port for AMQP."""
        return self._port

    @property
    def admin_url(self) -> str | None:
        """Where the administration is: plain HTTP; `None` if it was left out."""
        return None if self._admin_port is None else f"http://{_bracketed(self._host)}:{self._admin_port}"

    @property
    def connection_string(self) -> str:
        """For clients of messages: azure-servicebus from 7.14.2 on heeds its port. The key is any."""
        return _connection_string(self._host, self._port)

    @property
    def admin_connection_string(self) -> str | None:
        """For clients of the administration, which use https unless their transport is changed."""
        return None if self._admin_port is None else _connection_string(self._host, self._admin_port)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────

    def call(self, function: Callable[P, T], /, *args: P.args, **options: P.kwargs) -> T:
        """Calls something on the emulator's thread, as an operation of its own, and waits for the result.

        Raises:
            RuntimeError: The emulator isn't running.
        """
        if self._loop is None:
            raise RuntimeError("the emulator isn't running")

        async def work() -> T:
            with self._broker.world:
                return function(*args, **options)

        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(_PATIENCE)

    def tick(self) -> None:
        """Does what is due by the clock."""
        self.call(lambda: None)

    def create_queue(self, name: str, settings: QueueSettings | None = None) -> None:
        """Makes a queue. Raises `BrokerError`."""
        size = self._broker.tier.message_size
        self.call(self._broker.entities.create_queue, name, settings or QueueSettings(max_message_size=size))

    def create_topic(self, name: str, settings: TopicSettings | None = None) -> None:
        """Makes a topic. Raises `BrokerError`."""
        size = self._broker.tier.message_size
        self.call(self._broker.entities.create_topic, name, settings or TopicSettings(max_message_size=size))

    def create_subscription(self, topic: str, name: str, settings: SubscriptionSettings | None = None) -> None:
        """Makes a subscription that gets all messages of its topic. Raises `BrokerError`."""
        self.call(self._broker.entities.create_subscription, topic, name, settings or SubscriptionSettings())

    @property
    def broker(self) -> Broker:
        """The broker; while the emulator runs, to be used through `call` only."""
        return self._broker


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _connection_string(host: str, port: int) -> str:
    return (
        f"Endpoint=sb://{_bracketed(host)}:{port};SharedAccessKeyName=any;SharedAccessKey=any;"
        "UseDevelopmentEmulator=true"
    )
