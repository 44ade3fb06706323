"""The settings of entities, as the service names and bounds them, and their run-time counts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

import msgspec

from cloudq.emulators.service_bus.broker.api import BrokerError, Condition

MAX_LOCK: Final = timedelta(minutes=5)
MAX_DUPLICATE_WINDOW: Final = timedelta(days=7)
MAX_DELIVERY_COUNT: Final = 2000
# Standard's limit. Premium's is 100 MB, with 1 MB where none is given, and its batches are bound to 1 MB.
STANDARD_MESSAGE_SIZE: Final = 256 * 1024
PREMIUM_MESSAGE_SIZE: Final = 100 * 1024 * 1024
PREMIUM_DEFAULT_MESSAGE_SIZE: Final = 1024 * 1024
MEGABYTE: Final = 1024 * 1024
_MAX_SIZE_MEGABYTES: Final = 80 * 1024


class Tier(StrEnum):
    """What kind of namespace it is. They differ in the sizes of messages, and of batches that are deleted."""

    STANDARD = "Standard"
    PREMIUM = "Premium"

    @property
    def message_size(self) -> int:
        """The largest message of an entity for which no size is given, in bytes."""
        return STANDARD_MESSAGE_SIZE if self is Tier.STANDARD else PREMIUM_DEFAULT_MESSAGE_SIZE

    @property
    def most_deleted(self) -> int:
        """How many messages one request may delete (Microsoft, "Batch delete messages", quotas, 2025-09)."""
        return 500 if self is Tier.STANDARD else 4000


class Status(StrEnum):
    """What an entity lets clients do."""

    ACTIVE = "Active"
    DISABLED = "Disabled"
    SEND_DISABLED = "SendDisabled"
    RECEIVE_DISABLED = "ReceiveDisabled"

    @property
    def sends(self) -> bool:
        """Whether messages may be sent to it."""
        return self in {Status.ACTIVE, Status.RECEIVE_DISABLED}

    @property
    def receives(self) -> bool:
        """Whether messages may be received from it."""
        return self in {Status.ACTIVE, Status.SEND_DISABLED}


class AuthorizationRule(msgspec.Struct, frozen=True, kw_only=True):
    """A key of an entity, and what it allows: kept and given back, though the emulator checks no keys.

    Attributes:
        kind: `SharedAccessAuthorizationRule`.
        rights: Of `Send`, `Listen` and `Manage`.
        fields: The rest by the names of the administration's XML: `KeyName`, `PrimaryKey`, .... Not in the repr.
    """

    kind: str
    rights: tuple[str, ...] = ()
    fields: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"AuthorizationRule({self.fields.get('KeyName')!r}, rights={self.rights!r})"


class Inert(msgspec.Struct, frozen=True, kw_only=True):
    """What every entity has that the emulator keeps without acting on it.

    Attributes:
        properties: Properties of the administration's XML by name: `UserMetadata`, `AutoDeleteOnIdle`, ....
        authorization: The keys of a queue or a topic.
    """

    properties: Mapping[str, str] = {}
    authorization: tuple[AuthorizationRule, ...] = ()


class TopicSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a topic, with the service's defaults.

    Attributes:
        default_time_to_live: For messages without one, and the most that a message may have; `None`: no end.
        duplicate_detection_window: How long a message id is remembered, if duplicates are detected.
        max_size_megabytes: What all messages of its subscriptions may take together.
        max_message_size: In bytes.
    """

    default_time_to_live: timedelta | None = None
    requires_duplicate_detection: bool = False
    duplicate_detection_window: timedelta = timedelta(minutes=10)
    max_size_megabytes: int = 1024
    max_message_size: int = STANDARD_MESSAGE_SIZE
    status: Status = Status.ACTIVE
    inert: Inert = Inert()

    def check(self) -> None:
        """Raises `BrokerError` with `INVALID_FIELD`, naming the property, if a value is out of bounds."""
        _check_time_to_live(self.default_time_to_live)
        _check_storage(self.duplicate_detection_window, self.max_size_megabytes, self.max_message_size)


class SubscriptionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a subscription, with the service's defaults: those that a queue has, too.

    Attributes:
        lock_duration: How long a message or a session is locked; at most 5 minutes. The service wants at least 5 s;
            the emulator takes less, for tests.
        max_delivery_count: After this many failed deliveries a message is dead-lettered.
        default_time_to_live: For messages without one, and the most that a message may have; `None`: no end.
        dead_letter_on_expiration: Whether expired messages are dead-lettered, not dropped.
        dead_letter_on_filter_errors: Whether messages are kept in the dead-letter queue whose filter can't be
            evaluated; else they are dropped.
        forward_to: The queue or topic that gets all messages; nobody can receive from this entity then. A name, or an
            address whose path is the name: `sb://host/orders`.
        forward_dead_letters_to: The queue or topic that gets the dead letters, in the same way.
    """

    lock_duration: timedelta = timedelta(minutes=1)
    max_delivery_count: int = 10
    requires_session: bool = False
    default_time_to_live: timedelta | None = None
    dead_letter_on_expiration: bool = False
    dead_letter_on_filter_errors: bool = True
    forward_to: str | None = None
    forward_dead_letters_to: str | None = None
    status: Status = Status.ACTIVE
    inert: Inert = Inert()

    @property
    def forward_path(self) -> str | None:
        """The name of what gets all messages."""
        return _path(self.forward_to)

    @property
    def dead_letter_path(self) -> str | None:
        """The name of what gets the dead letters."""
        return _path(self.forward_dead_letters_to)

    def check(self) -> None:
        """Raises `BrokerError` with `INVALID_FIELD`, naming the property, if a value is out of bounds."""
        _check_time_to_live(self.default_time_to_live)
        if not timedelta(0) < self.lock_duration <= MAX_LOCK:
            raise out_of_bounds("LockDuration", f"{self.lock_duration} isn't between 0 and 5 minutes")
        if not 1 <= self.max_delivery_count <= MAX_DELIVERY_COUNT:
            raise out_of_bounds("MaxDeliveryCount", f"{self.max_delivery_count} isn't from 1 to {MAX_DELIVERY_COUNT}")
        if self.requires_session and self.forward_to:
            raise out_of_bounds("ForwardTo", "an entity that requires sessions can't forward its messages")


class QueueSettings(SubscriptionSettings, frozen=True, kw_only=True):
    """The settings of a queue, with the service's defaults.

    Attributes:
        duplicate_detection_window: How long a message id is remembered, if duplicates are detected.
        max_size_megabytes: What its messages may take, those in its sub-queues included.
        max_message_size: In bytes.
    """

    requires_duplicate_detection: bool = False
    duplicate_detection_window: timedelta = timedelta(minutes=10)
    max_size_megabytes: int = 1024
    max_message_size: int = STANDARD_MESSAGE_SIZE

    def check(self) -> None:
        """Raises `BrokerError` with `INVALID_FIELD`, naming the property, if a value is out of bounds."""
        SubscriptionSettings.check(self)
        _check_storage(self.duplicate_detection_window, self.max_size_megabytes, self.max_message_size)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages an entity has, by what they are.

    Attributes:
        active: Available, locked or deferred.
        dead_letter: In the dead-letter sub-queue.
        transfer: On their way to another entity: always 0, they never wait here.
        transfer_dead_letter: That couldn't be forwarded.
        size_in_bytes: What they count towards the entity's largest size.
    """

    active: int = 0
    scheduled: int = 0
    dead_letter: int = 0
    transfer: int = 0
    transfer_dead_letter: int = 0
    size_in_bytes: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.active + self.scheduled + self.dead_letter + self.transfer + self.transfer_dead_letter


def _path(target: str | None) -> str | None:
    if target is None:
        return None
    return (urlsplit(target).path if "://" in target else target).strip("/") or None


def out_of_bounds(name: str, text: str) -> BrokerError:
    """The error for a property's value that the service wouldn't take."""
    return BrokerError(Condition.INVALID_FIELD, f"{name}: {text}")


def _check_time_to_live(value: timedelta | None) -> None:
    if value is not None and value < timedelta(seconds=1):
        raise out_of_bounds("DefaultMessageTimeToLive", f"{value} is less than a second")


def _check_storage(window: timedelta, megabytes: int, message: int) -> None:
    if not timedelta(0) < window <= MAX_DUPLICATE_WINDOW:
        raise out_of_bounds("DuplicateDetectionHistoryTimeWindow", f"{window} isn't between 0 and 7 days")
    if not 1 <= megabytes <= _MAX_SIZE_MEGABYTES:
        raise out_of_bounds("MaxSizeInMegabytes", f"{megabytes} isn't from 1 to {_MAX_SIZE_MEGABYTES}")
    if not 1 <= message <= PREMIUM_MESSAGE_SIZE:
        raise out_of_bounds("MaxMessageSizeInKilobytes", f"{message / 1024:g} isn't between 0 and 102400")
