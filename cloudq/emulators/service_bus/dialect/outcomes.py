"""What a client says of a message that it received, done by the broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition
from cloudq.emulators.service_bus.amqp.states import (
    Accepted,
    DeliveryState,
    Modified,
    Rejected,
    Released,
)
from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import Messaging
from cloudq.emulators.service_bus.dialect import names
from cloudq.emulators.service_bus.dialect.errors import amqp_errors

_REASONS: Final = (names.DEAD_LETTER_REASON, names.DEAD_LETTER_DESCRIPTION)


def apply_outcome(broker: Messaging, address: Address, token: UUID, state: DeliveryState) -> DeliveryState:
    """Settles the lock as the client says. Returns the state that the client is to be told.

    Raises:
        AmqpError: The lock was lost, or the outcome is none that the service has.
    """
    with amqp_errors():
        match state:
            case Accepted():
                broker.complete(address, token)
            case Released():
                broker.release(address, token)
            case Modified(undeliverable_here=True):
                broker.defer(address, token, properties_of(state.message_annotations))
            case Modified():
                broker.abandon(address, token, properties_of(state.message_annotations))
            case Rejected():
                _dead_letter(broker, address, token, state)
                return Rejected()  # with an error in it the client would take it for a failure
            case _:
                raise AmqpError(ErrorCondition.NOT_IMPLEMENTED, "only the five outcomes of a message settle it")
    return state


def _dead_letter(broker: Messaging, address: Address, token: UUID, state: Rejected) -> None:
    info = properties_of(None if state.error is None else state.error.info)
    reason, description = (info.pop(name, None) for name in _REASONS)
    broker.dead_letter(
        address,
        token,
        reason=None if reason is None else str(reason),
        description=None if description is None else str(description),
        properties=info,
    )


def properties_of(changes: Mapping[object, object] | None) -> dict[str, object]:
    """Application properties that a settlement sets."""
    return {str(name): value for name, value in (changes or {}).items()}
