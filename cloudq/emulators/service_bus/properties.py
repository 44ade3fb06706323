"""The properties of entities by the names that the administration and `Config.json` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from cloudq.emulators.service_bus.broker.settings import (
    Inert,
    QueueSettings,
    Status,
    SubscriptionSettings,
    TopicSettings,
)
from cloudq.emulators.service_bus.durations import FOREVER, format_duration, parse_duration

AnySettings = TypeVar("AnySettings", QueueSettings, TopicSettings, SubscriptionSettings)


class Property(msgspec.Struct, frozen=True):
    """One property.

    Attributes:
        field: Its field in the settings.
        json: The type of its value in JSON.
        read: From text; raises `ValueError`.
        write: To text; `None` leaves it out.
    """

    field: str
    json: type
    read: Callable[[str], object]
    write: Callable[[Any], str | None]


def _boolean(text: str) -> bool:
    value = {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower())
    if value is None:
        raise ValueError(f"{text!r} is neither true nor false")
    return value


def _write_boolean(value: bool) -> str:
    return "true" if value else "false"


def _integer(text: str) -> int:
    if not text.strip().isascii() or not text.strip().isdigit():
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise ValueError(f"{text!r} is none of {', '.join(Status)}") from None


def _target(text: str) -> str | None:
    """A name, or the address that the administration's clients write: it is kept as it was given."""
    path = (urlsplit(text).path if "://" in text else text).strip("/")
    return text.strip() if path else None


def _time_to_live(text: str) -> timedelta | None:
    value = parse_duration(text)
    return None if value == timedelta.max else value


def _write_time_to_live(value: timedelta | None) -> str:
    return FOREVER if value is None else format_duration(value)


_LOCK: Final = {"LockDuration": Property("lock_duration", str, parse_duration, format_duration)}
_LIVES: Final = {"DefaultMessageTimeToLive": Property("default_time_to_live", str, _time_to_live, _write_time_to_live)}
_STORES: Final = {
    "MaxSizeInMegabytes": Property("max_size_megabytes", int, _integer, str),
    "RequiresDuplicateDetection": Property("requires_duplicate_detection", bool, _boolean, _write_boolean),
    "DuplicateDetectionHistoryTimeWindow": Property("duplicate_detection_window", str, parse_duration, format_duration),
    "MaxMessageSizeInKilobytes": Property(
        "max_message_size", int, lambda text: _integer(text) * 1024, lambda value: str(value // 1024)
    ),
}
_STATUS: Final = {"Status": Property("status", str, _status, str)}
_DELIVERS: Final = {
    "RequiresSession": Property("requires_session", bool, _boolean, _write_boolean),
    "DeadLetteringOnMessageExpiration": Property("dead_letter_on_expiration", bool, _boolean, _write_boolean),
    "MaxDeliveryCount": Property("max_delivery_count", int, _integer, str),
    "ForwardTo": Property("forward_to", str, _target, lambda value: value),
    "ForwardDeadLetteredMessagesTo": Property("forward_dead_letters_to", str, _target, lambda value: value),
}

QUEUE: Final = {**_LOCK, **_STORES, **_LIVES, **_DELIVERS, **_STATUS}
TOPIC: Final = {**_LIVES, **_STORES, **_STATUS}
SUBSCRIPTION: Final = {
    **_LOCK,
    **_LIVES,
    **_DELIVERS,
    **_STATUS,
    "DeadLetteringOnFilterEvaluationExceptions": Property(
        "dead_letter_on_filter_errors", bool, _boolean, _write_boolean
    ),
}

FORWARDING: Final = frozenset(("ForwardTo", "ForwardDeadLetteredMessagesTo"))

# Kept and given back, but nothing is done with them; with what they are if they aren't given.
INERT: Final[Mapping[str, str]] = {
    "AutoDeleteOnIdle": FOREVER,
    "EnableBatchedOperations": "true",
    "EnableExpress": "false",
    "EnablePartitioning": "false",
    "FilteringMessagesBeforePublishing": "false",
    "SupportOrdering": "true",
    "UserMetadata": "",
}


class PropertyError(ValueError):
    """A property's value can't be read.

    Attributes:
        name: The property.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


def with_properties(settings: AnySettings, table: Mapping[str, Property], given: Mapping[str, str]) -> AnySettings:
    """The settings with the given properties; names that are neither in the table nor `INERT` are left out.

    Raises:
        PropertyError: A value can't be read.
    """
    fields: dict[str, object] = {}
    for name, text in given.items():
        known = table.get(name)
        if known is not None:
            try:
                fields[known.field] = known.read(text)
            except ValueError as error:
                raise PropertyError(name, str(error)) from error
    inert = {name: text for name, text in given.items() if name in INERT}
    if inert:
        kept = {**settings.inert.properties, **inert}
        fields["inert"] = Inert(properties=kept, authorization=settings.inert.authorization)
    return msgspec.structs.replace(settings, **fields)


def properties_of(
    settings: QueueSettings | TopicSettings | SubscriptionSettings, table: Mapping[str, Property]
) -> dict[str, str]:
    """All properties of the settings, those too that nothing is done with."""
    texts = {name: known.write(getattr(settings, known.field)) for name, known in table.items()}
    return {name: text for name, text in texts.items() if text is not None} | {**INERT, **settings.inert.properties}
