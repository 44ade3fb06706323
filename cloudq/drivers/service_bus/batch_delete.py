"""Deleting many messages by one request of `$management`, which the service has and the SDK doesn't offer.

`com.microsoft:batch-delete-messages` (Microsoft, "Batch delete messages in Azure Service Bus", 2025-09; the fields of
the request by the JavaScript SDK's tests, 2026-08) deletes, at the service, up to as many of the oldest messages as it
is asked for, of those that were enqueued before a moment. Locked ones stay. It promises only its best, and says how
many it was; partitioned entities refuse it, and so may emulators. So it comes before a loop that receives and
completes, and never instead of one: what it leaves, whatever the reason, the loop finds.

Uses private parts of the SDK: see `sdk`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from azure.servicebus import ServiceBusReceiver
from azure.servicebus._common import mgmt_handlers
from azure.servicebus._common.constants import MGMT_REQUEST_MAX_MESSAGE_COUNT
from azure.servicebus.exceptions import ServiceBusError

from cloudq.drivers.service_bus import deadlines
from cloudq.drivers.service_bus.faults import is_unreachable, translate
from cloudq.drivers.service_bus.links import Link
from cloudq.drivers.service_bus.sdk import Unconfirmed

# What Basic and Standard namespaces take at most in one request (Microsoft, as above); Premium ones take 4,000.
BATCH: Final = 500
OPERATION: Final = b"com.microsoft:batch-delete-messages"
ENQUEUED_BEFORE: Final = "enqueued-time-utc"
_NO_CONTENT: Final = 204
_answer_or_error: Final[Any] = mgmt_handlers.default  # which has no types
# AMQP's timestamps are cut to it, and what was enqueued in the same one would stay.
_TICK: Final = timedelta(milliseconds=1)


def delete_enqueued(link: Link, by: datetime, *, queue: str, patience: timedelta) -> int:
    """Deletes what isn't locked and was enqueued by then, request after request. How many; 0 where it is refused.

    The bound keeps messages that arrive meanwhile from making it endless. The service compares it with its own clock.

    Args:
        link: To the entity, or to its sub-queue.
        by: Messages enqueued later stay.
        queue: The queue's name, for errors.
        patience: How long one answer may take.

    Raises:
        BackendUnavailable: No answer came, or none that says a count: more may have been deleted.
    """
    count, before = 0, by.astimezone(UTC) + _TICK
    while True:
        try:
            with deadlines.within(patience):
                deleted = sum(link.ask(lambda receiver: [_delete(receiver, BATCH, before)]))
        except Exception as error:
            if isinstance(error, ServiceBusError) and not is_unreachable(error):
                return count  # refused, for whatever reason: if it is a good one, the loop behind this meets it too
            raise translate(error, queue) from error
        if not deleted:
            return count
        count += deleted


def _delete(receiver: ServiceBusReceiver, limit: int, before: datetime) -> int:
    """Deletes up to `limit` messages by one request; how many it was.

    Raises:
        ServiceBusError: The request was refused, or got no answer.
        Unconfirmed: The answer doesn't say a count.
    """
    fields = {MGMT_REQUEST_MAX_MESSAGE_COUNT: limit, ENQUEUED_BEFORE: before}
    deleted = receiver._mgmt_request_response_with_retry(OPERATION, fields, _count, timeout=None)
    if not isinstance(deleted, int) or isinstance(deleted, bool) or not 0 <= deleted <= limit:
        raise Unconfirmed(f"{limit} messages were to be deleted at most, and no such number was answered")
    return deleted


def _count(status_code: int, message: Any, description: str, amqp_transport: Any) -> object:
    """The count that an answer says: none at all is said by a status of its own."""
    if status_code == _NO_CONTENT:
        return 0
    answer = _answer_or_error(status_code, message, description, amqp_transport)
    return answer.get(MGMT_REQUEST_MAX_MESSAGE_COUNT.encode()) if isinstance(answer, dict) else None
