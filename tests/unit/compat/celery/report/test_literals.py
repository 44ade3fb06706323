"""What an expression of a source is worth."""

from __future__ import annotations

import ast

import pytest

from cloudq.compat.celery.report.findings import UNKNOWN
from cloudq.compat.celery.report.literals import value_of


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("'a'", "a"), ("{'a': [1, None]}", {"a": [1, None]}), ("-1", -1), ("a", UNKNOWN), ("f(1)", UNKNOWN)],
)
def test_only_what_stands_there_is_known(text, value) -> None:
    """Nothing is run."""
    assert value == value_of(ast.parse(text, mode="eval").body)
