"""What msgspec doesn't write by itself: subclasses of plain types as what they are, enums by their value."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from cloudq.core.moments import plain_datetime

# Each plain type with the way to an instance of exactly it. A datetime is a date, so it goes first.
_PLAIN: Final[tuple[tuple[type, Any], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes.join(b"", [value])),
    (datetime, plain_datetime),
    (date, lambda value: plain_datetime(datetime.combine(value, time())).date()),
    (
        time,
        lambda value: time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold),
    ),
    (timedelta, lambda value: timedelta(value.days, value.seconds, value.microseconds)),
    (Decimal, Decimal),
)


def as_plain(value: object) -> object:
    """A value of a subclass of a plain type (Django's SafeString, numpy.float64, pendulum's DateTime) as that type.

    An enum that msgspec doesn't know as one, since it has a metaclass of its own (Django's TextChoices), is its value;
    a range is a list.

    Raises:
        TypeError: It is of no such subclass.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, range):
        return list(value)
    for kind, plain in _PLAIN:
        if isinstance(value, kind):
            return plain(value)
    raise TypeError(f"a {type(value).__name__} isn't a JSON value")
