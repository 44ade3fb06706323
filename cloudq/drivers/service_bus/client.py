"""The SDK's clients: how they are configured, and one set a process."""

from __future__ import annotations

import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from azure.servicebus import ServiceBusClient, ServiceBusReceiver, ServiceBusSender, ServiceBusSubQueue

from cloudq.core.plain_text import check_plain_text
from cloudq.drivers.service_bus import connections, deadlines
from cloudq.drivers.service_bus.deadlines import Errand
from cloudq.drivers.service_bus.limits import is_subscription
from cloudq.errors import ConfigurationError

# The most sends of one queue under way at once: each takes a sender, which is a connection.
SENDERS: Final = 4
# Parts of a connection string: with the first the SDK speaks to the second without TLS.
_EMULATOR: Final = re.compile(r"(?:^|;)\s*UseDevelopmentEmulator\s*=\s*true\s*(?:;|$)", re.IGNORECASE)
_ENDPOINT: Final = re.compile(r"(?:^|;)\s*(?:Endpoint|HostName)\s*=\s*([^;]*)", re.IGNORECASE)
# The SDK itself doesn't try again: CloudQueue, the settler and the poller do, and the tries of two would multiply.
_OPTIONS: Final[dict[str, Any]] = {"retry_total": 0, "keep_alive": 0}


class Clients:
    """Opens senders and receivers; senders are kept and lent, as they aren't made for several threads.

    Args:
        make: Makes the SDK's client; called once a process.
        prefix: What the queues' names on Service Bus start with.
    """

    def __init__(self, make: Callable[[], ServiceBusClient], prefix: str) -> None:
        self._make = make
        self._prefix = prefix
        self._lock = threading.Lock()
        self._client: ServiceBusClient | None = None
        self._pid = os.getpid()
        self._idle: dict[str, list[ServiceBusSender]] = defaultdict(list)
        self._slots: dict[str, threading.Semaphore] = {}

    def client(self) -> ServiceBusClient:
        """This process's client. It is no connection: each sender and each receiver has its own."""
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                # The connections that a parent process opened are the parent's, and left alone.
                self._client, self._pid = self._make(), os.getpid()
                self._idle, self._slots = defaultdict(list), {}
            return self._client

    def receiver(
        self, queue: str, *, dead: bool = False, session: Any = None, wait: float | None = None
    ) -> ServiceBusReceiver:
        """A receiver, not open yet, of a queue or a subscription, or of its dead letters."""
        entity = self._prefix + queue
        options: dict[str, Any] = {"keep_alive": 0}
        if dead:
            options["sub_queue"] = ServiceBusSubQueue.DEAD_LETTER
        if session is not None:
            options |= {"session_id": session, "max_wait_time": wait}
        if is_subscription(entity):
            topic, _, name = _parts(entity)
            return self.client().get_subscription_receiver(topic, name, **options)
        return self.client().get_queue_receiver(entity, **options)

    @contextmanager
    def sender(self, queue: str) -> Iterator[ServiceBusSender]:
        """Lends a sender of a queue or a topic; waits while all of them are out.

        Raises:
            TimeoutError: They were out for as long as the call may take.
        """
        client = self.client()
        with self._lock:
            slots = self._slots.setdefault(queue, threading.Semaphore(SENDERS))
        if not (slots.acquire(blocking=False) or slots.acquire(timeout=deadlines.left().total_seconds())):
            raise TimeoutError(f"{SENDERS} sends to queue {queue!r} are under way, and none of them ended in time")
        try:
            idle = self._idle[queue]
            try:
                sender = idle.pop()
            except IndexError:
                sender = connections.prepare(client.get_queue_sender(self._prefix + queue, keep_alive=0))
            try:
                yield sender
            except BaseException:
                connections.close(sender)
                raise
            if deadlines.passed():
                connections.close(sender)  # it would send again, with its next batch, what it got no answer for
            else:
                idle.append(sender)
        finally:
            slots.release()

    def close(self) -> None:
        """Closes the senders."""
        with self._lock:
            if self._pid != os.getpid():
                return
            client, self._client = self._client, None
            idle = [sender for senders in self._idle.values() for sender in senders]
            self._idle = defaultdict(list)
        for sender in idle:
            connections.close(sender)
        if client is not None:
            client.close()

    def after_fork(self) -> None:
        """In the child: a thread that doesn't exist here may have held the lock."""
        self._lock = threading.Lock()


class TimelyCredential:
    """A credential whose tokens come by the call's deadline, or else for a later call: their source may hang."""

    def __init__(self, credential: Any) -> None:
        self._credential = credential
        self._errand: Errand[Any] = Errand("token")

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """As `azure.core.credentials.TokenCredential.get_token`. Raises `TimeoutError`."""
        return self._errand.run(lambda: self._credential.get_token(*scopes, **options))


def check_emulator(connection_string: str, *, allowed: bool) -> None:
    """Warns of a connection string of an emulator, which has no TLS, and refuses one of another machine's.

    Args:
        connection_string: Any.
        allowed: Whether it may be another machine's.

    Raises:
        ConfigurationError: It is, and may not be.
    """
    if not _EMULATOR.search(connection_string):
        return
    for endpoint in _ENDPOINT.findall(connection_string) or [""]:
        check_plain_text(endpoint.strip(), setting="UseDevelopmentEmulator=true", allowed=allowed)


def client_of(namespace: str, connection_string: str | None) -> ServiceBusClient:
    """A client of a namespace, with the credentials of a connection string or of the environment.

    Raises:
        ConfigurationError: The connection string isn't one, or there are no credentials for the namespace.
    """
    if connection_string is not None:
        try:
            return ServiceBusClient.from_connection_string(connection_string, **_OPTIONS)
        except ValueError as error:
            # Not shown: it holds a key.
            raise ConfigurationError(
                "CLOUDQ_SERVICEBUS_CONNECTION_STRING is not a Service Bus connection string",
                hint="Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=...",
            ) from error
    try:
        from azure.identity import DefaultAzureCredential
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "Service Bus needs the module 'azure.identity', or a connection string",
            hint="pip install 'cloudq[servicebus]', or set CLOUDQ_SERVICEBUS_CONNECTION_STRING",
        ) from error
    return ServiceBusClient(namespace, TimelyCredential(DefaultAzureCredential()), **_OPTIONS)


def _parts(entity: str) -> tuple[str, str, str]:
    place = entity.lower().index("/subscriptions/")
    return entity[:place], "/subscriptions/", entity[place + len("/subscriptions/") :]
