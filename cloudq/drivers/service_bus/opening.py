"""Opening the SDK's senders and receivers, and closing them: faster than it does, and whole.

Uses private parts of the SDK, as `sdk.py` does.

* The SDK's keep-alive thread reads from a connection that another thread may be reading from. A receiver that is told
  to prefetch less than nothing has neither that thread nor credit when it opens.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from azure.servicebus import ServiceBusReceiver, ServiceBusSender
from azure.servicebus._servicebus_receiver import (  # type: ignore[attr-defined]  # private
    create_authentication,
)

from cloudq.drivers.service_bus import connections

_OPENING: Final = timedelta(seconds=1)

OwnerT = TypeVar("OwnerT", ServiceBusReceiver, ServiceBusSender)


def quick_to_open(owner: OwnerT) -> OwnerT:
    """A sender or receiver, not open yet, that opens as fast as the service answers.

    The SDK sleeps for 50 ms between any two of the ten or so frames that this takes.
    """
    private: Any = owner
    create = private._create_handler

    def create_handler(auth: object) -> None:
        create(auth)
        connections.mend(private._handler)
        is_ready = private._handler.client_ready

        def client_ready() -> bool:
            until = time.monotonic() + _OPENING.total_seconds()
            while not is_ready():
                if time.monotonic() > until:
                    return False  # the SDK asks again, or gives up
            return True

        private._handler.client_ready = client_ready

    private._create_handler = create_handler
    return owner


def without_credit(receiver: ServiceBusReceiver) -> ServiceBusReceiver:
    """A receiver, not open yet, that gets nothing it hasn't asked for and starts no thread."""
    receiver._prefetch_count = -1  # one more is its credit on opening
    return receiver


def open_receiver(receiver: ServiceBusReceiver, patience: timedelta) -> None:
    """Opens the connection and the link, if they aren't open."""
    receiver._do_retryable_operation(receiver._open, timeout=patience.total_seconds(), operation_requires_timeout=True)


def accept_session(receiver: ServiceBusReceiver, cancelled: Callable[[], bool], asked: Callable[[], None]) -> bool:
    """Opens a receiver of the next session that has messages; whether it got one before it was cancelled.

    The SDK's own way can't be ended early, and doesn't say when the service was asked.

    Raises:
        ServiceBusError: The service can't be reached, or refuses; an `OperationTimeoutError` where no session came.
    """
    receiver._create_handler(create_authentication(receiver))
    handler = receiver._handler
    connections.mend(handler)
    try:
        handler.open(connection=None)
        said = False
        while not handler.client_ready():
            if cancelled():
                return False
            if handler._link is not None and not said:
                said = True
                asked()
    except Exception as error:
        raise receiver._handle_exception(error) from error
    receiver._running = True
    return True


def closed(owner: ServiceBusReceiver | ServiceBusSender) -> None:
    """Closes it, whatever state it is in; nothing it says on that way matters any more."""
    with contextlib.suppress(Exception):
        owner.close()
