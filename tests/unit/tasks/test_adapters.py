"""Types that pydantic reads in place of msgspec: strictly, from JSON, or refused at the declaration."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal

import annotated_types
import msgspec
import pytest
from pydantic import BaseModel, Field, PositiveInt, ValidationError

from cloudq.errors import TaskDefinitionError
from cloudq.tasks.adapters import Adapter, has_models, has_rules


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = Field("", validation_alias="callName")


@dataclass(frozen=True)
class MyGt(annotated_types.Gt):
    """A rule that is known by its class to nobody but its author."""


class MyRules(annotated_types.GroupedMetadata):
    def __iter__(self) -> Iterator[annotated_types.BaseMetadata]:
        yield MyGt(0)


@dataclass
class Order:
    amount: Annotated[int, Field(gt=0)]


class Ruled(msgspec.Struct):
    amount: Annotated[int, Field(gt=0)]


def adapter(hint: Any) -> Adapter:
    return Adapter(hint, "parameter 'value' of task 't'", "has rules in its annotation")


@pytest.mark.parametrize(
    ("hint", "value", "read"),
    [
        (PositiveInt, 1, 1),
        (Annotated[date, annotated_types.Gt(date(2026, 1, 1))], "2026-01-02", date(2026, 1, 2)),
        (Annotated[set[int], Field(min_length=1)], [1, 2], {1, 2}),
        (Cat | Dog, {"kind": "cat", "lives": 1}, Cat(lives=1)),
        (list[Cat | Dog], [{"kind": "dog", "callName": "Rex"}], [Dog(callName="Rex")]),
        (Order, {"amount": 1}, Order(1)),
    ],
    ids=str,
)
def test_json_is_read_as_the_declared_type(hint: Any, value: object, read: object) -> None:
    """A date is a text there, a set a list."""
    found = adapter(hint).read(value)
    assert read == found
    assert type(read) is type(found)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (PositiveInt, -1),
        (PositiveInt, "1"),
        (PositiveInt, True),
        (Cat | Dog, {"kind": "cow"}),
        (Order, {"amount": 0}),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_strictly(hint: Any, value: object) -> None:
    """A text isn't taken for a number; a rule is enforced wherever it is."""
    with pytest.raises(ValidationError):
        adapter(hint).read(value)


def test_a_field_is_read_by_its_name_too() -> None:
    """A model whose aliases differ is written by its fields' names."""
    assert Dog(callName="Rex") == adapter(Cat | Dog).read({"kind": "dog", "name": "Rex"})


def test_a_type_that_pydantic_does_not_read_is_refused_at_the_declaration() -> None:
    """A Struct's fields aren't pydantic's to check."""
    with pytest.raises(TaskDefinitionError, match=r"parameter 'value' of task 't' has rules .* would not be checked"):
        adapter(Annotated[Ruled, Field()])


@pytest.mark.parametrize(
    ("hint", "rule"),
    [
        (Annotated[int, MyGt(0)], "MyGt"),
        (list[Annotated[int, MyGt(0)]], "MyGt"),
        (dict[str, Annotated[int, annotated_types.Ge(0), MyGt(0)]], "MyGt"),
        (Annotated[int, MyRules()], "MyGt"),
        (Annotated[datetime, annotated_types.Timezone(None)], "Timezone"),
    ],
    ids=["bare", "within a list", "beside another", "within a group", "of a zone"],
)
def test_rules_that_pydantic_passes_over_are_refused_at_the_declaration(hint: Any, rule: str) -> None:
    """Of annotated_types' it goes by those alone that it knows by their exact class."""
    with pytest.raises(TaskDefinitionError, match=f"would not be checked: pydantic passes over {rule}") as caught:
        adapter(hint)
    assert "use pydantic.AfterValidator(...), or msgspec.Meta(...)" == caught.value.hint


def test_rules_without_pydantic_are_refused_at_the_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    """annotated_types can be installed alone; then nothing would look at its rules."""
    real = builtins.__import__

    def without_pydantic(name: str, *args: Any) -> Any:
        if name == "pydantic":
            raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_pydantic)
    with pytest.raises(TaskDefinitionError, match="which would not be checked") as caught:
        adapter(Annotated[int, annotated_types.Gt(0)])
    assert "pip install pydantic, or use msgspec.Meta(...)" == caught.value.hint


@pytest.mark.parametrize(
    ("hint", "ruled"),
    [
        (Annotated[int, Field(gt=0)], True),
        (Annotated[int, annotated_types.Gt(0)], True),
        (PositiveInt | None, True),
        (dict[str, list[PositiveInt]], True),
        (Order, True),
        (Ruled, True),
        (list[Order], True),
        (int, False),
        (Annotated[int, msgspec.Meta(gt=0)], False),
        (Annotated[int, "a note"], False),
        (Cat, False),
    ],
    ids=str,
)
def test_rules_that_msgspec_passes_over_are_found(hint: Any, ruled: bool) -> None:
    """At every depth, but in models, which enforce their own."""
    assert ruled == has_rules(hint)


def test_models_are_found_at_every_depth() -> None:
    """In unions and containers."""
    assert all(map(has_models, (Cat, Cat | None, dict[str, list[Dog]])))
    assert not any(map(has_models, (int, list[Order], Ruled, None)))
