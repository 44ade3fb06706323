"""A lease's receipt: the message as the SDK gave it, the link that it came by, and how far its settlement is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum
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

    def renew(self, messages: Sequence[ServiceBusReceivedMessage]) -> list[timedelta | BaseException]:
        """When each lock ends, by `Clock.elapsed`, or why it wasn't renewed, in order."""
        ...

    def watch(self, message: ServiceBusReceivedMessage, lost: Callable[[str], None] | None) -> None:
        """Has `lost` called, with why, once the message's lock has ended early; `None`: never any more."""
        ...


class LockedElsewhere:
    """A message that somebody else received, by what settles it: on queues without sessions any link may.

    Attributes:
        lock_token: What settles it.
    """

    __slots__ = ("lock_token",)

    # As of a received message: the link that it came by, which is none of ours.
    _receiver: Final = None

    def __init__(self, lock_token: UUID) -> None:
        self.lock_token = lock_token


class Progress(Enum):
    """How far a settlement is. Only a confirmed one ends the lease."""

    HELD = "nothing is under way"
    SETTLING = "a completion or a dead-lettering is under way: beside it the lock is renewed"
    RELEASING = "a release is under way: a renewal that came after it would hide the message again"
    OVER = "it was confirmed, or the lock is lost"


class Receipt:
    """Opaque to everyone but the driver."""

    __slots__ = ("_progress", "holder", "message")

    def __init__(self, holder: Holder, message: ServiceBusReceivedMessage) -> None:
        self.holder = holder
        self.message = message
        self._progress = Progress.HELD

    @property
    def progress(self) -> Progress:
        """How far its settlement is."""
        return self._progress

    def begin(self, progress: Progress) -> bool:
        """Begins a settlement. Whether it may: no other is under way, and none was confirmed."""
        with _TAKING:
            free = self._progress is Progress.HELD
            if free:
                self._progress = progress
        return free

    def end(self, *, confirmed: bool) -> None:
        """The settlement under way has ended. Without success it may be tried again."""
        with _TAKING:
            self._progress = Progress.OVER if confirmed else Progress.HELD
