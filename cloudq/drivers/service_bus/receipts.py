"""A lease's receipt: the message as the SDK gave it, and the link that it came by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import Final, Protocol
from uuid import UUID

from azure.servicebus import ServiceBusReceivedMessage

from cloudq.drivers.service_bus.links import Step

_TAKING: Final = Lock()


class Holder(Protocol):
    """What settles and renews the messages that came by it: a link, or a session's slot."""

    def settle(self, steps: Sequence[Step]) -> list[BaseException | None]:
        """The error of each step, in order."""
        ...

    def renew(self, messages: Sequence[ServiceBusReceivedMessage]) -> list[datetime | BaseException]:
        """Until when each lock holds, or why not."""
        ...


class LockedElsewhere:
    """A message that somebody else received, by what settles it: on a queue without sessions a lock is nobody's own.

    Attributes:
        lock_token: What settles it.
    """

    __slots__ = ("lock_token",)

    # As of a received message: the link that it came by, which is none of ours.
    _receiver: Final = None

    def __init__(self, lock_token: UUID) -> None:
        self.lock_token = lock_token


class Receipt:
    """Opaque to everyone but the driver."""

    __slots__ = ("_settled", "holder", "message")

    def __init__(self, holder: Holder, message: ServiceBusReceivedMessage) -> None:
        self.holder = holder
        self.message = message
        self._settled = False

    @property
    def settled(self) -> bool:
        """Whether it was used up."""
        return self._settled

    def take(self) -> bool:
        """Uses it up. Whether it wasn't before."""
        with _TAKING:
            before, self._settled = self._settled, True
        return not before

    def give_back(self) -> None:
        """Makes it usable again: the settlement failed."""
        self._settled = False
