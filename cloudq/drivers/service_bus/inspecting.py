"""Reading how a queue is set up, and what this process may do with it: calls that change nothing.

By `QueueDescription` of the Service Bus Resource Manager reference (2026-11), as the SDK's administration reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.servicebus import ServiceBusMessageState, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.management import ServiceBusAdministrationClient

from cloudq.core.clock import Clock
from cloudq.core.driver import DeadLetterQueue
from cloudq.core.queue_settings import QueueSettings, ahead_of
from cloudq.drivers.service_bus.faults import translate
from cloudq.drivers.service_bus.limits import KIB, is_subscription
from cloudq.errors import PermissionDenied

SEND: Final = "Azure Service Bus Data Sender (Send)"
LISTEN: Final = "Azure Service Bus Data Receiver (Listen)"

_ACTIVE: Final = "Active"
# What says "without end" is the longest time that .NET knows, 10,675,199 days.
_ENDLESS: Final = timedelta(days=3650)


# A look at what may be many scheduled messages ends somewhere.
_PAGE: Final = 100
_PAGES: Final = 10


def settings(client: ServiceBusAdministrationClient, entity: str, clock: Clock) -> QueueSettings | None:
    """How a queue or a subscription is set up, or `None` if there is none. A call.

    Args:
        client: The administration.
        entity: Its name on the service.
        clock: What the service's is compared with.
    """
    dates: list[str | None] = []

    def answered(response: Any, found: Any, _: object) -> Any:
        """The SDK's own way to have the answer itself seen, and to return what was read of it."""
        dates.append(response.http_response.headers.get("Date"))
        return found

    try:
        if is_subscription(entity):
            topic, _, name = entity.partition("/Subscriptions/")
            found: Any = client.get_subscription(topic, name, cls=answered)
        else:
            found = client.get_queue(entity, cls=answered)
    except ResourceNotFoundError:
        return None
    status = str(getattr(found.status, "value", found.status))
    kilobytes = getattr(found, "max_message_size_in_kilobytes", None)
    return QueueSettings(
        name=entity,
        stopped=None if status == _ACTIVE else status,
        ordered=found.requires_session,
        lease=found.lock_duration,
        max_deliveries=found.max_delivery_count,
        retention=_bounded(found.default_message_time_to_live),
        keeps_expired=found.dead_lettering_on_message_expiration,
        max_message=kilobytes * KIB if kilobytes else None,
        remembers=_remembers(found),
        forwards_to=found.forward_to or None,
        dead_letters_to=found.forward_dead_lettered_messages_to or msgspec.UNSET,
        deleted_when_idle=_bounded(found.auto_delete_on_idle),
        ahead=ahead_of(dates[-1], clock.now()) if dates else None,
    )


def oldest(receiver: ServiceBusReceiver) -> list[datetime]:
    """When the first message that isn't scheduled was stored, locked or not; none if there is none, or it isn't found.

    Peeks, by sequence number, at a thousand messages at most.
    """
    first = 1  # to the SDK 0 means "behind what came last"
    for _ in range(_PAGES):
        page = receiver.peek_messages(_PAGE, sequence_number=first)
        for message in page:
            if message.state is ServiceBusMessageState.ACTIVE and message.enqueued_time_utc is not None:
                return [message.enqueued_time_utc]
        if not page:
            break
        first = (page[-1].sequence_number or 0) + 1
    return []


def missing_permissions(
    sender: Callable[[], AbstractContextManager[ServiceBusSender]], dead_letters: DeadLetterQueue | None, queue: str
) -> Iterator[str]:
    """The roles that are missing, with the right of a key: no message is sent, received or locked.

    Args:
        sender: Lends a sender, whose link is opened.
        dead_letters: The queue's dead letters, which are looked at; `None` for who only sends.
        queue: The queue's name.

    Raises:
        BackendError: The service says nothing of permissions: it can't be reached, say.
    """
    try:
        with sender() as opened:
            opened.create_message_batch()  # asks the link, which is opened for that, how much it takes
    except Exception as error:
        meant = translate(error, queue)
        if not isinstance(meant, PermissionDenied):
            raise meant from error
        yield f"{SEND} on {queue}"
    if dead_letters is None:
        return
    try:
        dead_letters.peek(limit=1)
    except PermissionDenied:
        yield f"{LISTEN} on {queue}"


def _remembers(found: Any) -> timedelta | None:
    """For how long ids are known again; a subscription leaves that to its topic."""
    if not hasattr(found, "requires_duplicate_detection"):
        return None
    window: timedelta = found.duplicate_detection_history_time_window
    return window if found.requires_duplicate_detection else timedelta(0)


def _bounded(span: timedelta | None) -> timedelta | None:
    return None if span is None or span > _ENDLESS else span
