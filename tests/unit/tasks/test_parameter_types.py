"""A task's parameters: which types can be read from JSON, by what, and which are refused with what to use instead."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, EnumMeta
from typing import Annotated, Any, Literal

import msgspec
import msgspec.inspect
import pydantic
import pytest
from pydantic import BaseModel, Field
from sqlmodel import Field as Column
from sqlmodel import SQLModel

from cloudq.errors import TaskDefinitionError
from cloudq.tasks.parameter_types import ParameterTypes


class Cat(BaseModel):
    lives: int = 9


class Dog(BaseModel):
    name: str


@pydantic.dataclasses.dataclass
class Checked:
    n: Annotated[int, Field(gt=3)]


@dataclass
class Line:
    checked: list[Checked]


@dataclass
class Point:
    x: int


@dataclass
class Other:
    y: int


class Plain(msgspec.Struct):
    n: int


class RowDeclared(SQLModel, table=True):
    id: int | None = Column(default=None, primary_key=True)


class OwnMeta(EnumMeta):
    pass


class Level(Enum, metaclass=OwnMeta):
    LOW = "low"


# msgspec 0.23 reads an enumeration with a metaclass of its own as it does others, by its values. Before, our hook
# calls the enumeration, and so the metaclass.
OWN_METACLASSES_ARE_FOREIGN = type(msgspec.inspect.type_info(Level)) is msgspec.inspect.CustomType


def types(*, required: frozenset[str] = frozenset(), of_open: Any = None, **declared: Any) -> ParameterTypes:
    return ParameterTypes(declared, required, of_open, "shop.task")


@pytest.mark.parametrize(
    ("hint", "named", "instead"),
    [
        (complex, "holds a complex", "use a dataclass"),
        (type[int], "holds a type", "use a dataclass"),
        (dict[str, list[complex]], "holds a complex", "use a dataclass"),
        (Callable[[], int], "Callable", ""),
        (Iterator[int], "Iterator", ""),
        (msgspec.Raw, "holds a msgspec.Raw", "use a dataclass"),
        (Checked, "the pydantic dataclass Checked", "use a pydantic BaseModel"),
        (Line, "the pydantic dataclass Checked", "use a pydantic BaseModel"),
        (RowDeclared, "the table RowDeclared, which SQLModel doesn't validate", "without table=True"),
        (list[RowDeclared], "the table RowDeclared", "without table=True"),
        (Point | Other, "Type unions may not contain more than one", ""),
    ],
    ids=str,
)
def test_a_type_that_cannot_travel_is_refused_with_what_to_use(hint: Any, named: str, instead: str) -> None:
    """The parameter and the task are named."""
    with pytest.raises(TaskDefinitionError, match=r"parameter 'value' of task 'shop\.task'") as caught:
        types(fine=int, value=hint)
    assert named in str(caught.value)
    assert instead in str(caught.value.hint or "")


def test_the_type_of_open_ended_parameters_is_checked_too() -> None:
    """That of `**rest`, which has no name."""
    with pytest.raises(TaskDefinitionError, match=r"the open-ended parameter of task 'shop\.task' .* complex"):
        types(of_open=complex)
    assert int is types(of_open=int).open_kind
    assert types().open_kind is None


def test_only_parameters_without_a_default_are_required() -> None:
    """msgspec refuses a payload that lacks one of those."""
    kind = types(a=int, b=str, required=frozenset({"a"})).kind
    assert {"a": 1} == msgspec.convert({"a": 1}, kind)
    with pytest.raises(msgspec.ValidationError, match="missing required field `a`"):
        msgspec.convert({"b": "x"}, kind)
    with pytest.raises(msgspec.ValidationError, match="Expected `str`"):
        msgspec.convert({"a": 1, "b": 2}, kind)


def test_pydantic_reads_what_msgspec_does_not() -> None:
    """Rules in an annotation and unions of models; the rest is left as msgspec has read it."""
    read = types(ruled=Annotated[int, Field(gt=0)], pet=Cat | Dog, plain=int, model=Cat)
    assert {"ruled", "pet"} == set(read.adapted)
    assert 1 == read.read("ruled", 1)
    assert Dog(name="Rex") == read.read("pet", {"name": "Rex"})
    assert "as it is" == read.read("plain", "as it is")
    with pytest.raises(pydantic.ValidationError):
        read.read("ruled", 0)


def test_an_adapter_of_open_ended_parameters_reads_each() -> None:
    """It has no parameter's name."""
    read = types(of_open=Annotated[int, Field(gt=0)])
    assert [""] == list(read.adapted)
    assert 5 == read.read("", 5)


@pytest.mark.parametrize(
    ("hint", "custom"),
    [
        (int, False),
        (dict[str, list[bytes]], False),
        (Plain, True),
        (list[Point], True),
        (Cat, True),
        (Level, OWN_METACLASSES_ARE_FOREIGN),
        (Annotated[int, Field(gt=0)], True),
        (Annotated[int, msgspec.Meta(gt=0)], False),
    ],
    ids=str,
)
def test_code_of_the_users_own_that_takes_part_in_reading_is_known(hint: Any, custom: bool) -> None:
    """A constructor, a validator or a converter may make something else of a value that was read once."""
    assert custom == types(value=hint).custom


@pytest.mark.parametrize(
    ("hint", "values"),
    [
        (str, ["", "plain", "x" * 100_000, "Größe", "\0", "\U0001f600"]),
        (int, [0, -1, 2**63 - 1, -(2**63)]),
        (bool, [True, False]),
        (float, [0.0, -0.0, 1e300, 5e-324]),
        (None, [None]),
        (str | None, ["plain", None]),
        (int | float, [1, 1.5]),
        (Any, ["plain", 1, 1.5, True, None]),
    ],
    ids=str,
)
def test_values_without_parts_of_the_declared_types_fit_plainly(hint: Any, values: list[object]) -> None:
    """There is nothing to be read of them."""
    fit = types(value=type(None) if hint is None else hint).fit_plainly
    assert [True] * len(values) == [fit({"value": value}) for value in values]


class Text(str):
    __slots__ = ()


class Number(int):
    pass


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, True),
        (float, 1),
        (str, 1),
        (int, 1.0),
        (str, Text("a subclass")),
        (int, Number(1)),
        (str, "half of a pair: \ud800"),
        (int, 2**63),
        (int, -(2**63) - 1),
        (float, math.nan),
        (Any, -math.inf),
        (Any, [1]),
        (Any, {}),
        (Any, b"bytes"),
        (Literal["a"], "a"),
        (Annotated[str, msgspec.Meta(max_length=1)], "ab"),
        (Annotated[int, Field(gt=3)], 4),
        (list[int], [1]),
        (int | list[int], 1),
        (Level, 1),
    ],
    ids=repr,
)
def test_of_all_others_it_is_not_known(hint: Any, value: object) -> None:
    """They may be read as something else, or refused."""
    assert not types(value=hint).fit_plainly({"value": value})


def test_arguments_that_are_missing_or_unknown_do_not_fit_plainly() -> None:
    """Nor what isn't a plain dict with plain names."""
    fit = types(a=int, b=int, required=frozenset({"a"})).fit_plainly
    assert [True, True] == [fit({"a": 1}), fit({"b": 2, "a": 1})]
    others = ({}, {"b": 1}, {"a": 1, "c": 1}, {Text("a"): 1}, OrderedDict(a=1), [("a", 1)], None)
    assert [False] * len(others) == [fit(other) for other in others]
    assert not types(of_open=int).fit_plainly({"more": 1})
