"""The ways out of a queue that lead to another: its dead-letter sub-queues, and forwarding."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import BrokerError, Condition
from cloudq.emulators.service_bus.broker.settings import SubscriptionSettings
from cloudq.emulators.service_bus.broker.store import Stored

if TYPE_CHECKING:
    from cloudq.emulators.service_bus.broker.queue import Queue

# A message that was forwarded this often isn't forwarded any further.
# Microsoft, "Chaining Service Bus entities with autoforwarding".
MAX_HOPS: Final = 4

Forward = Callable[[str, Stored], None]
"""Puts a message into the entity of that path, or raises `BrokerError`."""


class Exits:
    """Where the messages of an entity go that don't stay: copies that are in no queue yet.

    Attributes:
        dead_letters: The dead-letter sub-queue.
        transfer_dead_letters: The sub-queue for what couldn't be forwarded.
    """

    __slots__ = ("_address", "_forward", "dead_letters", "transfer_dead_letters")

    def __init__(self, address: Address, dead_letters: Queue, transfer_dead_letters: Queue, forward: Forward) -> None:
        self._address = address
        self._forward = forward
        self.dead_letters = dead_letters
        self.transfer_dead_letters = transfer_dead_letters

    def bury(
        self, settings: SubscriptionSettings, dead: Stored, reason: str | None, description: str | None = None
    ) -> None:
        """Dead-letters a message: into the sub-queue, or where that forwards to."""
        self._mark(dead, reason, description)
        target = settings.dead_letter_path
        if not target or self._try(dead, target) is not None:
            self.dead_letters.put(dead)

    def transfer(self, moved: Stored, target: str) -> None:
        """Forwards a message; what can't be goes into the sub-queue for that."""
        error = self._try(moved, target)
        if error is not None:
            too_far = moved.hops >= MAX_HOPS
            self._mark(moved, "MaxTransferHopCountExceeded" if too_far else "TransferFailed", error.text)
            self.transfer_dead_letters.put(moved)

    def change(self, settings: SubscriptionSettings) -> None:
        """The entity has new settings."""
        self.dead_letters.change(settings)
        self.transfer_dead_letters.change(settings)

    def clear(self, error: BrokerError) -> None:
        """The entity is gone."""
        self.dead_letters.clear(error)
        self.transfer_dead_letters.clear(error)

    def _mark(self, stored: Stored, reason: str | None, description: str | None) -> None:
        stored.set_reason(reason, description)
        stored.source = self._address.path

    def _try(self, stored: Stored, target: str) -> BrokerError | None:
        if stored.hops >= MAX_HOPS:
            return BrokerError(Condition.NOT_ALLOWED, f"It was forwarded {MAX_HOPS} times: {target} is too far.")
        stored.hops += 1
        try:
            self._forward(target, stored)
        except BrokerError as error:
            stored.hops -= 1
            return error
        return None
