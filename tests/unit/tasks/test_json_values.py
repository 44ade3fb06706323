"""What a payload becomes in JSON, or which field can't be JSON."""

from __future__ import annotations

import math
from datetime import date
from types import MappingProxyType
from uuid import UUID

import pydantic
import pytest

from cloudq.errors import PayloadError
from cloudq.tasks.json_values import to_json


class Ratio(pydantic.BaseModel):
    ratio: float
    note: str | None = None


def test_values_become_what_a_reader_of_the_json_gets() -> None:
    """Dates and UUIDs are texts, bytes are base64, sets and tuples are lists, keys are texts."""
    assert {
        "day": "2026-01-02",
        "id": "00000000-0000-0000-0000-000000000001",
        "data": "aGk=",
        "pair": [1, 2],
        "by_number": {"1": None},
        "model": {"ratio": 0.5, "note": None},
    } == to_json(
        {
            "day": date(2026, 1, 2),
            "id": UUID(int=1),
            "data": b"hi",
            "pair": (1, 2),
            "by_number": {1: None},
            "model": Ratio(ratio=0.5),
        },
        "t",
    )


def test_any_mapping_is_a_payload() -> None:
    """Not only a dict; and what it gives is one that nobody else holds."""
    values = {"a": [1]}
    payload = to_json(MappingProxyType(values), "t")
    assert {"a": [1]} == payload
    assert payload["a"] is not values["a"]


@pytest.mark.parametrize("values", [None, [("a", 1)], "text", {1: 2}, {"a": 1, None: 2}])
def test_a_payload_that_is_no_object_is_refused(values: object) -> None:
    """The hint shows what one looks like."""
    with pytest.raises(PayloadError, match="t: the payload is no object of arguments by name") as caught:
        to_json(values, "t")  # type: ignore[arg-type]  # that is the point
    assert '{"name": value, ...}' == caught.value.hint


@pytest.mark.parametrize(
    "value",
    [object(), 1j, print, {(1, 2): 3}, "\ud800", {"a": [{"b": object()}]}],
    ids=["an object", "a complex number", "a function", "a tuple as a key", "half a character", "an object inside"],
)
def test_a_value_that_is_not_json_is_refused_by_the_name_of_its_field(value: object) -> None:
    """The fields before it are fine, and aren't blamed."""
    with pytest.raises(PayloadError, match="t: second can't travel as JSON: ") as caught:
        to_json({"first": 1, "second": value, "third": object()}, "t")
    assert "second" == caught.value.field
    assert "declare a type" in str(caught.value.hint)


def test_a_structure_that_holds_itself_is_refused() -> None:
    """A recursive list has no JSON."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(PayloadError, match="t: value can't travel"):
        to_json({"value": {"a": loop}}, "t")


def test_the_payload_is_blamed_where_no_field_is_at_fault() -> None:
    """A name may be no JSON, either."""
    with pytest.raises(PayloadError, match="t: the payload can't travel as JSON") as caught:
        to_json({"\udfff": 1}, "t")
    assert caught.value.field is None


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, [1.0, math.nan], {"a": (math.inf,)}, frozenset({math.nan}), Ratio(ratio=math.nan)],
    ids=repr,
)
def test_a_number_that_json_does_not_have_is_refused(value: object) -> None:
    """msgspec writes it as null, which would arrive as None without a word."""
    with pytest.raises(PayloadError, match=r"t: value holds a number that JSON doesn't have") as caught:
        to_json({"other": None, "value": value}, "t")
    assert "value" == caught.value.field


def test_none_beside_numbers_is_no_false_alarm() -> None:
    """Null stands for it, as it does for NaN; the text "null" isn't looked at."""
    values = {"a": [None, 1.5], "b": {"c": None}, "d": "null", "e": Ratio(ratio=1, note="null")}
    assert {**values, "e": {"ratio": 1.0, "note": "null"}} == to_json(values, "t")


@pytest.mark.parametrize(
    "value",
    [{1: "x", "1": "y"}, [{"a": {UUID(int=1): 1, str(UUID(int=1)): 2}}]],
    ids=["a number and its text", "deep inside"],
)
def test_keys_that_are_one_in_json_are_refused(value: object) -> None:
    """A reader gets the last one's value, and the other would be lost without a word."""
    with pytest.raises(PayloadError, match="t: second has two keys that are one in JSON, ") as caught:
        to_json({"first": {"a": 1}, "second": value}, "t")
    assert "second" == caught.value.field
    assert {"first": {"1": "x", "2": "y"}} == to_json({"first": {1: "x", "2": "y"}}, "t")


def test_null_deep_within_a_value_is_looked_at() -> None:
    """Deeper than calls in Python may be: how deep a message may be is decided where it is written."""
    value = None
    for _ in range(600):
        value = [value]  # type: ignore[assignment]  # a list of lists
    assert {"value": value} == to_json({"value": value}, "t")
    deep: object = math.nan
    for _ in range(600):
        deep = [deep]
    with pytest.raises(PayloadError, match="t: value holds a number"):
        to_json({"value": deep}, "t")
