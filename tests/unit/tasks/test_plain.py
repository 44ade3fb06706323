"""What msgspec doesn't write by itself becomes a plain value of the same content."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, EnumMeta
from typing import Any

import pytest

from cloudq.tasks.plain import as_plain


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not what it holds"


class Number(int):
    def __int__(self) -> int:
        raise AssertionError("a subclass's own method isn't asked")


class Real(float):
    pass


class Data(bytes):
    pass


class Stamp(datetime):
    pass


class Day(date):
    pass


class Hour(time):
    pass


class Span(timedelta):
    pass


class Money(Decimal):
    pass


class OwnMeta(EnumMeta):
    pass


class Level(Enum, metaclass=OwnMeta):
    LOW = "low"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("a"), "a"),
        (Number(3), 3),
        (Real(1.5), 1.5),
        (Data(b"\xff"), b"\xff"),
        (Stamp(2026, 10, 25, 2, 30, 1, 5, UTC, fold=1), datetime(2026, 10, 25, 2, 30, 1, 5, UTC, fold=1)),
        (Day(2026, 1, 2), date(2026, 1, 2)),
        (Hour(1, 2, 3, 4, UTC, fold=1), time(1, 2, 3, 4, UTC, fold=1)),
        (Span(-3, 2, 1), timedelta(-3, 2, 1)),
        (Money("1.50"), Decimal("1.50")),
        (Level.LOW, "low"),
        (range(1, 7, 2), [1, 3, 5]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_subclass_is_written_as_what_it_is_a_kind_of(value: object, plain: Any) -> None:
    """Exactly that type, and all that the value holds: the fold of a repeated hour, a Decimal's zeros."""
    found: Any = as_plain(value)
    assert plain == found
    assert type(plain) is type(found)
    assert str(plain) == str(found)
    assert getattr(plain, "fold", None) == getattr(found, "fold", None)


def test_another_kind_is_refused_by_its_name() -> None:
    """Not by its value, which may be a secret."""
    with pytest.raises(TypeError, match="a complex isn't a JSON value"):
        as_plain(1j)
