"""How deep values of JSON are nested, and numbers that JSON doesn't have."""

from __future__ import annotations

import json
import math

import pytest

from cloudq.core.nesting import has_nan_or_infinity, too_deep


def nested(depth: int, kind: str) -> object:
    value: object = "inside"
    for level in range(depth):
        value = [value] if kind == "arrays" or (kind == "both" and level % 2) else {"in": value, "beside": [1]}
    return value


@pytest.mark.parametrize("kind", ["arrays", "objects", "both"])
def test_depth_is_counted_over_objects_and_arrays(kind: str) -> None:
    """As many as are allowed are, one more isn't; brackets in texts and beside each other don't count."""
    deep = nested(5, kind)
    text = json.dumps(deep).encode()
    allowed = 5 if kind == "arrays" else 6  # beside the innermost value there is an array
    assert (True, False) == (too_deep(text, deep, allowed - 1), too_deep(text, deep, allowed))


def test_brackets_in_texts_and_beside_each_other_are_no_depth() -> None:
    """Only what is within something else counts."""
    flat = ["[[[[{{{{", *[[] for _ in range(50)]]
    assert not too_deep(json.dumps(flat).encode(), flat, 2)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_have_is_found_anywhere(number: float) -> None:
    """In objects, arrays and tuples; other numbers, and texts that look like one, are none."""
    assert has_nan_or_infinity({"a": [1, {"b": (2.5, number)}]})
    assert not has_nan_or_infinity({"a": [1, {"b": (2.5, "NaN", None, 10**400)}]})
