"""What msgspec doesn't write by itself: subclasses of plain types as what they are, enums by their value."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final

# Kept here: while freezegun freezes the time, the name in a module stands for a class of its own.
_DATETIME: Final = datetime


def plain_datetime(value: datetime) -> datetime:
    """A datetime of exactly that type: a serializer doesn't take those of pendulum and freezegun for one."""
    if type(value) is _DATETIME:
        return value
    return _DATETIME.combine(date(value.year, value.month, value.day), value.timetz())


# Each plain type with the way to an instance of exactly it. A datetime is a date, so it goes first.
_PLAIN: Final[tuple[tuple[type, Any], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes.join(b"", [value])),
    (datetime, plain_datetime),
    (date, lambda value: date(value.year, value.month, value.day)),
    (
        time,
        lambda value: time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold),
    ),
    (timedelta, lambda value: timedelta(value.days, value.seconds, value.microseconds)),
    (Decimal, Decimal),
)


def as_plain(value: object) -> object:
    """A value of a subclass of a plain type (Django's SafeString, numpy.float64, pendulum's DateTime) as that type.

    An enum that msgspec doesn't know as one, since it has a metaclass of its own (Django's TextChoices), is its value.

    Raises:
        TypeError: It is of no such subclass.
    """
    if isinstance(value, Enum):
        return value.value
    for kind, plain in _PLAIN:
        if isinstance(value, kind):
            return plain(value)
    raise TypeError(f"a {type(value).__name__} isn't a JSON value")
