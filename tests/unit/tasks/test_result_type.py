"""What a task returns comes back as it was, or isn't kept, and its type is looked at before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest

from cloudq.core.run_life import LARGEST_RESULT
from cloudq.errors import PayloadError, TaskDefinitionError
from cloudq.tasks.result_type import NotKept, ResultType, plain_result


class Colour(Enum):
    RED = "red"


@dataclass
class Invoice:
    number: int
    at: datetime
    lines: list[tuple[str, Decimal]]


def plain() -> int: ...  # type: ignore[empty-body]
def nothing() -> None: ...
def untyped():  # type: ignore[no-untyped-def]
    ...


def invoice() -> Invoice: ...  # type: ignore[empty-body]
def optional() -> Invoice | None: ...
def several() -> dict[str, list[Colour]]: ...  # type: ignore[empty-body]
def ids() -> tuple[UUID, bytes]: ...  # type: ignore[empty-body]
async def awaited() -> Invoice: ...  # type: ignore[empty-body]
def iterates() -> Iterator[int]: ...  # type: ignore[empty-body]
def gone() -> Missing: ...  # type: ignore[name-defined]  # noqa: F821 - what it is about
def raw() -> msgspec.Raw: ...  # type: ignore[empty-body]


INVOICE = Invoice(7, datetime(2026, 11, 29, 12, tzinfo=UTC), [("tea", Decimal("3.50"))])


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (plain, 42),
        (plain, 2**80),
        (nothing, None),
        (untyped, {"total": [1, 2.5, "x", None, True]}),
        (invoice, INVOICE),
        (awaited, INVOICE),
        (optional, None),
        (optional, INVOICE),
        (several, {"a": [Colour.RED]}),
        (ids, (UUID(int=5), b"\x00\xff")),
    ],
)
def test_what_comes_back_is_what_was_returned(function: Callable[..., object], result: object) -> None:
    """Of the type that is declared."""
    kind = ResultType(function, "t")
    kind.check()
    back = kind.read(kind.write(result))
    assert back == result
    assert type(back) is type(result)


@pytest.mark.parametrize(
    ("function", "result", "says"),
    [
        (untyped, (1, 2), "nothing says what it is"),
        (untyped, object(), "can't travel as JSON"),
        (untyped, float("nan"), "NaN"),
        (untyped, {1: "x"}, "would"),
        (plain, "text", "int"),
        (invoice, None, "got `null`"),
        (untyped, "x" * (LARGEST_RESULT - 1), "262,145 bytes"),
        (untyped, "\udc00", "can't travel as JSON"),
    ],
)
def test_what_would_not_come_back_is_not_kept(function: Callable[..., object], result: object, says: str) -> None:
    """And the reason is named."""
    with pytest.raises(NotKept, match=f"result not kept: .*{says}"):
        ResultType(function, "t").write(result)


def test_the_largest_result_is_kept() -> None:
    """To the byte."""
    kind = ResultType(untyped, "t")
    assert len(kind.write("x" * (LARGEST_RESULT - 2))) == LARGEST_RESULT


def test_the_reason_does_not_show_the_result() -> None:
    """It may hold what no log should."""
    with pytest.raises(NotKept) as refused:
        ResultType(plain, "t").write("secret-4711")
    assert "4711" not in str(refused.value)


def test_what_nothing_declares_comes_back_as_json_on_demand() -> None:
    """As for a payload: `App(convert_untyped=True)`."""
    kind = ResultType(untyped, "t")
    assert kind.read(kind.write((1, 2), convert_untyped=True)) == [1, 2]


@pytest.mark.parametrize("function", [iterates, gone, raw])
def test_what_cannot_travel_is_refused_at_the_declaration(function: Callable[..., object]) -> None:
    """Naming the task."""
    with pytest.raises(TaskDefinitionError, match="'t'"):
        ResultType(function, "t").check()


def test_a_result_that_another_program_wrote_may_not_fit() -> None:
    """Then it is an error that says so, and JSON can still be read."""
    with pytest.raises(PayloadError):
        ResultType(plain, "t").read(b'"text"')
    assert plain_result(b'"text"') == "text"


def test_a_broken_type_of_the_users_keeps_nothing() -> None:
    """Its code raises; the work is done all the same."""

    class Broken(msgspec.Struct):
        value: int

        def __post_init__(self) -> None:
            if self.value == 13:
                raise ValueError("unlucky")

    def broken() -> Any: ...

    broken.__annotations__["return"] = Broken
    made = Broken(1)
    made.value = 13
    with pytest.raises(NotKept, match="unlucky"):
        ResultType(broken, "t").write(made)
