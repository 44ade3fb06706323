"""The declared types of parameters: resolved, in msgspec's terms, and taken apart."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from itertools import islice
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, Optional, TypedDict, TypeVar

import attrs
import msgspec
import pytest
from pydantic import BaseModel

from cloudq.errors import TaskDefinitionError
from cloudq.tasks.hints import (
    UNTYPED,
    bare,
    field_hints,
    is_model,
    item_hints,
    models_within,
    parts_of,
    resolved,
    value_hints,
)

if typing.TYPE_CHECKING:
    from elsewhere import OnlyForCheckers

T = TypeVar("T")
UserId = NewType("UserId", int)


class Leaf(BaseModel):
    n: int


class Tree(BaseModel):
    leaf: Leaf
    branches: list[Tree]


class Struct(msgspec.Struct):
    tags: set[str]


@attrs.define
class Parcel:
    weight: float


class Order(TypedDict):
    items: list[Struct]
    note: NotRequired[bytes]


@dataclass
class Line:
    order: Order
    parcel: Parcel | None
    tree: Tree


@dataclass
class Node:
    children: list[Node]


@dataclass
class Box(Generic[T]):
    value: T


def hints_of(function: Callable[..., object]) -> dict[str, Any]:
    return resolved(function, list(signature(function).parameters.values()), "shop.task")


def test_annotations_are_resolved_where_the_function_stands() -> None:
    """What isn't annotated isn't named; the rules of Annotated stay."""

    def function(a: int, b: UserId | None, c: Annotated[int, "rule"], d=None) -> OnlyForCheckers: ...  # type: ignore[no-untyped-def]  # that is the point

    assert {"a": int, "b": UserId | None, "c": Annotated[int, "rule"]} == hints_of(function)


def test_a_decorated_functions_annotations_are_its_own() -> None:
    """They are resolved in the module of the function that was decorated."""
    from functools import wraps

    def function(leaf: Leaf) -> None: ...

    @wraps(function)
    def wrapper(*args: object, **kwargs: object) -> None: ...

    assert {"leaf": Leaf} == hints_of(wrapper)


def test_a_name_that_does_not_exist_is_told_with_what_to_do() -> None:
    """The task is named."""

    def function(value: OnlyForCheckers) -> None: ...

    with pytest.raises(TaskDefinitionError, match=r"task 'shop\.task' can't be resolved: .*OnlyForCheckers") as caught:
        hints_of(function)
    assert "not only under TYPE_CHECKING" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("declared", "read_as"),
    [
        (object, Any),
        (list[object], list[Any]),
        (dict[str, object], dict[str, Any]),
        (Iterable[int], Sequence[int]),
        (typing.Iterable[int], Sequence[int]),
        (Iterable, Sequence),
        (Iterable[object] | None, Sequence[Any] | None),
        (tuple[Iterable[int], ...], tuple[Sequence[int], ...]),
        (Mapping[str, int], Mapping[str, int]),
        (Literal["a"], Literal["a"]),
    ],
    ids=str,
)
def test_a_hint_is_put_in_msgspecs_terms(declared: Any, read_as: Any) -> None:
    """Any JSON value is an object; what can be iterated over is read as a sequence. At every depth."""

    def function(value: object) -> None: ...

    function.__annotations__ = {"value": declared}
    assert {"value": read_as} == hints_of(function)


@pytest.mark.parametrize(
    ("hint", "inner"),
    [
        (int, int),
        (Annotated[int, "rule"], int),
        (UserId, int),
        (NotRequired[Annotated[UserId, "rule"]], int),
        (typing.Required[list[UserId]], list[UserId]),
    ],
    ids=str,
)
def test_what_stands_around_a_hint_is_taken_off(hint: Any, inner: Any) -> None:
    """Layer by layer; what the type is made of stays as it is."""
    assert inner == bare(hint)


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (list[int], [int, int, int]),
        (list, [UNTYPED, UNTYPED, UNTYPED]),
        (Sequence[str], [str, str, str]),
        (set[int] | None, [int, int, int]),
        (tuple[int, ...], [int, int, int]),
        (tuple[int, str], [int, str, None]),
        (Annotated[list[int], "rule"], [int, int, int]),
        (list[int] | set[str], [None, None, None]),
        (T, [None, None, None]),
        (None, [None, None, None]),
    ],
    ids=str,
)
def test_each_item_of_a_sequence_has_its_declared_type(hint: Any, expected: list[object]) -> None:
    """None where it isn't known which: of two containers in a union, of a type variable."""
    assert expected == list(islice(item_hints(hint, [1, 2, 3]), 3))


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (dict[int, str], (int, str)),
        (Mapping[int, str], (int, str)),
        (dict, (UNTYPED, UNTYPED)),
        (Optional[dict[int, str]], (int, str)),  # noqa: UP045 - the old spelling is still written
        (dict[int, str] | list[int], (int, str)),
        (dict[int, str] | Mapping[str, int], (None, None)),
        (T, (None, None)),
        (None, (None, None)),
    ],
    ids=str,
)
def test_the_keys_and_values_of_a_mapping_have_their_declared_types(hint: Any, expected: tuple[Any, Any]) -> None:
    """Of a union, those of its one mapping."""
    assert expected == value_hints(hint)


def test_the_values_of_a_typed_dict_have_a_type_by_key() -> None:
    """Its keys are texts."""
    keys, values = value_hints(Order)
    assert keys is str
    assert {"items": list[Struct], "note": NotRequired[bytes]} == values


def test_fields_that_cannot_be_resolved_are_unknown() -> None:
    """Nothing is refused for that."""

    @dataclass
    class Broken:
        value: OnlyForCheckers

    assert {} == field_hints(Broken)
    assert {"n": int} == field_hints(Leaf)


def test_a_model_is_a_class_of_pydantics() -> None:
    """Not an instance of one, nor a class of any other kind."""
    assert is_model(Leaf)
    assert not any(map(is_model, (Leaf(n=1), Struct, Parcel, Line, int, None)))


def test_models_within_a_model_are_each_named_once() -> None:
    """One that holds itself ends, too."""
    assert [Tree, Leaf] == list(models_within(Tree))


def test_a_type_is_taken_apart_to_its_last_part_each_once() -> None:
    """Through unions, containers, aliases and the fields of classes; models are left to themselves."""
    parts = list(parts_of(dict[UserId, Line | Box[bool]]))
    for part in (UserId, int, Line, Order, Struct, str, bytes, Parcel, float, Tree, Box, bool):
        assert part in parts or any(typing.get_origin(one) is part for one in parts), part
    assert Leaf not in parts
    assert len(parts) == len({id(part) for part in parts})


def test_the_parts_of_a_type_that_holds_itself_end() -> None:
    """Each is named once."""
    assert [Node, list[Node]] == list(parts_of(Node))


def test_the_values_of_a_literal_are_no_types() -> None:
    """They may be equal to one another's parts."""
    assert [Literal["a", 1]] == list(parts_of(Literal["a", 1]))
