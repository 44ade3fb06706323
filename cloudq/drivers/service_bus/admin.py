"""What takes the right to manage the namespace: counts, and queues made for development. Never called by a worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from azure.core.exceptions import ResourceExistsError
from azure.core.pipeline.transport import HttpRequest, RequestsTransport
from azure.servicebus.management import EntityStatus, ServiceBusAdministrationClient

from cloudq.core.clock import Clock
from cloudq.core.driver import QueueStats
from cloudq.core.message import is_ordered
from cloudq.core.queue_settings import QueueSettings
from cloudq.drivers.service_bus import inspecting
from cloudq.drivers.service_bus.faults import translate
from cloudq.drivers.service_bus.limits import MAX_LOCK, is_subscription
from cloudq.errors import ConfigurationError, UnsupportedError

# Far above what policies allow, so that ours decide and the service's is the backstop (semantics 8).
MAX_DELIVERIES: Final = 100


class Admin:
    """Manages the queues of one namespace.

    Args:
        make: Makes the SDK's administration client.
        prefix: What the queues' names on Service Bus start with.
        dedup_window: For how long queues that are made remember ids, or `None` for not at all.
        lock: The lock duration of queues that are made, or `None` for the longest.
    """

    def __init__(
        self,
        make: Callable[[], ServiceBusAdministrationClient],
        prefix: str,
        dedup_window: timedelta | None,
        lock: timedelta | None,
    ) -> None:
        self._make = make
        self._prefix = prefix
        self._dedup_window = dedup_window
        self._lock_duration = lock or MAX_LOCK

    def stats(self, queue: str) -> QueueStats:
        """The service's own counts, one call. It counts what is in flight among what is ready."""
        entity = self._prefix + queue
        try:
            with self._make() as client:
                if is_subscription(entity):
                    topic, _, name = entity.partition("/Subscriptions/")
                    counts: Any = client.get_subscription_runtime_properties(topic, name)
                    delayed = None  # they wait with the topic
                else:
                    counts = client.get_queue_runtime_properties(entity)
                    delayed = counts.scheduled_message_count
        except Exception as error:
            raise translate(error, queue) from error
        return QueueStats(ready=counts.active_message_count, delayed=delayed, dead=counts.dead_letter_message_count)

    def settings(self, queue: str, clock: Clock) -> QueueSettings | None:
        """How a queue or a subscription is set up, one call; `None` if there is none."""
        try:
            with self._make() as client:
                return inspecting.settings(client, self._prefix + queue, clock)
        except Exception as error:
            raise translate(error, queue) from error

    def set_receivable(self, queue: str, *, receivable: bool) -> bool:
        """Has the service hand over the queue's messages, or not. Whether that is news. It takes them either way.

        Raises:
            UnsupportedError: It is a subscription; or somebody has disabled the queue altogether, or sends to it.
        """
        if is_subscription(queue):
            raise UnsupportedError(
                f"{queue!r} is a subscription, which can't be paused", hint="set its status with your infrastructure"
            )
        wanted = EntityStatus.ACTIVE if receivable else EntityStatus.RECEIVE_DISABLED
        try:
            with self._make() as client:
                found = client.get_queue(self._prefix + queue)
                if found.status == wanted:
                    return False
                if found.status not in {EntityStatus.ACTIVE, EntityStatus.RECEIVE_DISABLED}:
                    raise UnsupportedError(
                        f"queue {queue!r} is {found.status}, which is more than paused",
                        hint="somebody else has set that: set it to Active with your infrastructure",
                    )
                found.status = wanted
                client.update_queue(found)
        except Exception as error:
            raise translate(error, queue) from error
        return True

    def is_receivable(self, queue: str) -> bool:
        """Whether the service hands its messages over."""
        if is_subscription(queue):
            return True
        try:
            with self._make() as client:
                status: object = client.get_queue(self._prefix + queue).status
        except Exception as error:
            raise translate(error, queue) from error
        return status in {EntityStatus.ACTIVE, EntityStatus.SEND_DISABLED}

    def make_queue(self, queue: str) -> bool:
        """Makes a queue, with sessions where its name ends in `.fifo`. `False`: it was there, and is as it was."""
        if is_subscription(queue):
            raise UnsupportedError(
                f"{queue!r} is a subscription: cloudq doesn't manage its topic and its rules",
                hint="make it with your infrastructure",
            )
        window = self._dedup_window
        options: dict[str, Any] = {} if window is None else {"duplicate_detection_history_time_window": window}
        try:
            with self._make() as client:
                client.create_queue(
                    self._prefix + queue,
                    lock_duration=self._lock_duration,
                    max_delivery_count=MAX_DELIVERIES,
                    requires_session=is_ordered(queue),
                    requires_duplicate_detection=window is not None,
                    dead_lettering_on_message_expiration=True,
                    **options,
                )
        except ResourceExistsError:
            return False
        except Exception as error:
            raise translate(error, queue) from error
        return True


def admin_client(
    namespace: str, connection_string: str | None, endpoint: str | None, *, patience: timedelta
) -> ServiceBusAdministrationClient:
    """An administration client with the credentials that messages are sent with.

    Args:
        namespace: The namespace's host.
        connection_string: Used where it is given.
        endpoint: Where an emulator answers, `http://127.0.0.1:5300`, say: the SDK knows only https.
        patience: How long a call may take.

    Raises:
        ConfigurationError: No client can be made of them.
    """
    # Half of it is for the connection, half for the answer. The SDK doesn't try again: who calls us does.
    half = patience.total_seconds() / 2
    options: dict[str, Any] = {"retry_total": 0, "connection_timeout": half, "read_timeout": half}
    if endpoint is not None:
        options["transport"] = _To(endpoint, connection_timeout=half, read_timeout=half)
    try:
        if connection_string is not None:
            return ServiceBusAdministrationClient.from_connection_string(connection_string, **options)
        from azure.identity import DefaultAzureCredential

        return ServiceBusAdministrationClient(namespace, DefaultAzureCredential(), **options)
    except ValueError as error:
        raise ConfigurationError("no administration client can be made of the connection string") from error


class _To(RequestsTransport):  # type: ignore[misc]  # azure-core gives it no type
    """Sends to another endpoint than the SDK would."""

    def __init__(self, endpoint: str, **options: float) -> None:
        super().__init__(**options)
        self._endpoint = endpoint.rstrip("/")

    def send(self, request: HttpRequest, **options: Any) -> Any:
        _, _, rest = request.url.partition("://")
        request.url = f"{self._endpoint}/{rest.partition('/')[2]}"
        return super().send(request, **options)
