"""What becomes of a word."""

from __future__ import annotations

import pytest

from cloudq.compat.rq.table import Table, each
from cloudq.errors import OptionError

TABLE = Table(maps=each("the same", "a b"), changes={"c": "another way"}, refused={"d": "do without"})


@pytest.mark.parametrize("given", [{"a": 1, "b": object()}, {"c": 0}, {"d": None}, {"d": False}])
def test_what_can_be_honoured_is_taken(given) -> None:
    """And so is a refused option that asks for nothing."""
    TABLE.refuse(given, "a job")


@pytest.mark.parametrize(("name", "hint"), [("d", "do without"), ("e", "RQ has none of that name")])
def test_what_cannot_be_honoured_is_refused_by_its_name(name, hint) -> None:
    """With what to do instead, and without the value."""
    with pytest.raises(OptionError, match=f"{name} of a job can't be honoured") as refused:
        TABLE.refuse({"a": 1, name: "secret"}, "a job")
    assert hint in str(refused.value.hint)
    assert "secret" not in str(refused.value)


def test_an_attribute_that_is_not_there_says_where_it_is() -> None:
    """Or, if RQ hasn't one of that name, where the rest is."""
    assert "a Job of cloudq.compat.rq has no 'd'; hint: do without" == str(TABLE.absent("a Job", "d", "elsewhere"))
    assert "hint: elsewhere" in str(TABLE.absent("a Job", "e", "elsewhere"))
    assert {"a", "b", "c", "d"} == TABLE.names
