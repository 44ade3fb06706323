"""Reading how a queue is set up, and what this process may do with it: calls that change nothing.

By `QueueDescription` of the Service Bus Resource Manager reference (2026-11), as the SDK's administration reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Final

import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.servicebus import ServiceBusSender
from azure.servicebus.management import ServiceBusAdministrationClient

from cloudq.core.driver import DeadLetterQueue
from cloudq.core.queue_settings import QueueSettings
from cloudq.drivers.service_bus.faults import translate
from cloudq.drivers.service_bus.limits import KIB, is_subscription
from cloudq.errors import PermissionDenied

SEND: Final = "Azure Service Bus Data Sender (Send)"
LISTEN: Final = "Azure Service Bus Data Receiver (Listen)"

_ACTIVE: Final = "Active"
# What says "without end" is the longest time that .NET knows, 10,675,199 days.
_ENDLESS: Final = timedelta(days=3650)


def settings(client: ServiceBusAdministrationClient, entity: str) -> QueueSettings | None:
    """How a queue or a subscription is set up, or `None` if there is none. A call.

    Args:
        client: The administration.
        entity: Its name on the service.
    """
    try:
        if is_subscription(entity):
            topic, _, name = entity.partition("/Subscriptions/")
            found: Any = client.get_subscription(topic, name)
        else:
            found = client.get_queue(entity)
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
    )


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
