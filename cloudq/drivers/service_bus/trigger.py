"""What Azure Functions' Service Bus trigger hands to a function: from its messages to deliveries. Needs no SDK.

The message is `azure.functions.ServiceBusMessage` (azure-functions 1.26.0, read in 2026-11), of which this needs only
the form. Its values are the host's, so they differ from those of Service Bus's SDK for Python: the delivery count has
the present one in it, and the lock token is a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from cloudq.core.delivery import Delivery, Lease
from cloudq.drivers.service_bus.properties import failure_in
from cloudq.errors import PushRefused

# How long the host renews the lock of a single message, unless host.json says otherwise.
RENEWED: Final = timedelta(minutes=5)
_HINT: Final = "give the handler what a service_bus_queue_trigger passes: a func.ServiceBusMessage, or a list of them"


class TriggerMessage(Protocol):
    """What is asked of a message that the trigger passes: `azure.functions.ServiceBusMessage` has it."""

    def get_body(self) -> bytes | str:
        """The body."""
        ...

    @property
    def application_properties(self) -> Mapping[str, Any] | None:
        """What travels beside the body; older hosts call it `user_properties`."""
        ...

    @property
    def user_properties(self) -> Mapping[str, Any] | None:
        """The older name of the application properties."""
        ...

    @property
    def message_id(self) -> str | None:
        """The id by which the service de-duplicates."""
        ...

    @property
    def session_id(self) -> str | None:
        """The session, if it is of one."""
        ...

    @property
    def delivery_count(self) -> int | None:
        """How often it was handed over, this time included."""
        ...

    @property
    def lock_token(self) -> str | None:
        """What settles it."""
        ...

    @property
    def locked_until(self) -> datetime | None:
        """When its lock ended as it was handed over; in the year 9999 for a message of a session."""
        ...


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One message of an invocation.

    Attributes:
        token: What settles it.
        delivery: The delivery. Its lease has no receipt yet: that takes a driver, and so the SDK.
    """

    token: UUID
    delivery: Delivery

    def __repr__(self) -> str:
        """Without the token: anyone who reads it could settle the message."""
        return f"Arrival(delivery={self.delivery!r})"


def arrival(message: TriggerMessage, queue: str, *, now: datetime, elapsed: timedelta, renewed: bool) -> Arrival:
    """The delivery of a message.

    Args:
        message: What the trigger passed.
        queue: The queue that the trigger is of.
        now: When the function was invoked, by the wall clock.
        elapsed: The same by `Clock.elapsed`.
        renewed: Whether the host renews the lock.

    Raises:
        PushRefused: It isn't a message of such a trigger, or it is of a session. It wasn't run.
    """
    try:
        body = message.get_body()
        body = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
        session = message.session_id or None  # the host writes none as an empty text
        token = UUID(str(message.lock_token))
        count = max(1, int(message.delivery_count or 1))
        until = message.locked_until
        properties = {**(message.user_properties or {}), **(message.application_properties or {})}
        native_id = str(message.message_id or token)
    except (AttributeError, TypeError, ValueError) as error:
        raise PushRefused(
            f"this is not a message as the Service Bus trigger passes it: {type(error).__name__}: {error}", hint=_HINT
        ) from error
    if session is not None or _ends_never(until):
        raise PushRefused(
            f"message {native_id!r} is of a session, whose order a function can't keep when a task fails",
            hint="work on queues with sessions with `cloudq worker`; send to others without an ordering key",
        )
    ends = now + RENEWED if until is None else _aware(until)
    ends = max(ends, now + RENEWED) if renewed else ends
    lease = Lease(queue=queue, receipt=None, expires_at=ends, ends=elapsed + (ends - now))
    made = Delivery.of(
        body,
        native_id=native_id,
        runs=count,
        deliveries=count,
        lease=lease,
        failure=failure_in(properties),
        raw=message,
    )
    return Arrival(token=token, delivery=made)


def _ends_never(until: datetime | None) -> bool:
    # What is of a session has no lock of its own: the host writes the last moment of all. The session's id it may leave
    # out (Azure/azure-functions-python-library, issue 103).
    return until is not None and until.year == MAXYEAR


def _aware(moment: datetime) -> datetime:
    # The host writes UTC; a text without an offset becomes a naive time.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
