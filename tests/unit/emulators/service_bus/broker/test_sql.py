"""SQL filters: grammar, three truth values, types, errors."""

from __future__ import annotations

from uuid import UUID

import pytest

from cloudq.emulators.service_bus.broker.api import Message
from cloudq.emulators.service_bus.broker.sql import Subject, compile_filter
from cloudq.emulators.service_bus.broker.sql_tokens import SqlError

IDENTITY = UUID(int=7)
MESSAGE = Message(
    payload=b"",
    message_id="m1",
    subject="order/new",
    to="shop",
    application_properties={
        "color": "red",
        "Count": 5,
        "price": 2.5,
        "yes": True,
        "nothing": None,
        "HR-Id": 9,
        "id": IDENTITY,
        "raw": b"x",
        "percent": "100%",
    },
)


def value(text: str, **parameters: object) -> object:
    return compile_filter(text, parameters)(Subject(MESSAGE))


@pytest.mark.parametrize(
    "text",
    [
        "color = 'red'",
        "COLOR='red' AND count >= 5",
        "user.color <> 'blue'",
        "sys.Label LIKE 'order/%'",
        "sys.Subject = 'order/new' and sys.To IN ('shop', 'stock')",
        "sys.MessageId='m1'",
        "count + 1 = 6 AND count * 2 - 3 = 7",
        "count / 2 = 2 AND count % 3 = 2",
        "-count / 2 = -2 AND -count % 3 = -2",
        "count / 2.0 = 2.5 AND price * 2 = count",
        "1 + 2 * 3 = 7 AND (1 + 2) * 3 = 9",
        "- -1 = +1",
        "color + '!' = 'red!'",
        "NOT color = 'blue'",
        "NOT NOT yes",
        "yes",
        "yes = TRUE AND yes <> false",
        "(yes)",
        "color = 'blue' OR yes",
        "color IN ('blue', 'red')",
        "color NOT IN ('blue', 'green')",
        "color LIKE 'r_d' AND color LIKE '%' AND color NOT LIKE 'r'",
        r"percent LIKE '100\%' ESCAPE '\'",
        "missing IS NULL AND nothing IS NULL AND color IS NOT NULL",
        "EXISTS(color) AND EXISTS(user.nothing) AND NOT EXISTS(missing)",
        "EXISTS(sys.To) AND NOT EXISTS(sys.ReplyTo)",
        '[HR-Id] = 9 AND "HR-Id" = 9',
        "property('color') = 'red' AND p('co' + 'lor') = 'red'",
        "color = @wanted AND count = @n",
        "'it''s' = 'it''s'",
        "1.5E1 = 15 AND .5 < 1 AND 2. = 2",
        f"id = '{IDENTITY}'",
        "missing = 1 OR yes",
        "NOT (missing = 1 AND FALSE)",
        "'a' < 'b'",
        "color=\n\t'red'  ",
    ],
)
def test_true(text: str) -> None:
    """Each of these is true for the message."""
    assert value(text, wanted="red", **{"@n": 5}) is True


@pytest.mark.parametrize(
    "text",
    [
        "color = 'RED'",
        "count > 5",
        "NOT yes",
        "color = 'blue' AND missing = 1",
        "color NOT IN ('red')",
        "nothing IS NOT NULL",
        "1 = 2",
    ],
)
def test_false(text: str) -> None:
    """Each of these is false for the message."""
    assert value(text) is False


@pytest.mark.parametrize(
    "text",
    [
        "missing = 1",
        "missing <> 1",
        "NOT missing = 1",
        "missing AND yes",
        "missing OR FALSE",
        "missing + 1 = 2",
        "-missing = 1",
        "missing IN (1, 2)",
        "missing NOT IN (1)",
        "color IN ('blue', missing)",
        "missing LIKE 'a'",
        "color LIKE 5",
        "count LIKE '5'",
        "color = 5",
        "yes = 1",
        "yes < TRUE",
        "color < 5",
        "color - 'r' = 1",
        "raw = 'x'",
        "nothing = NULL",
        "yes + 1 = 2",
    ],
)
def test_unknown(text: str) -> None:
    """What isn't there, or of types that don't go together, is neither true nor false."""
    assert value(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it ends where a value should be"),
        ("color =", "it ends where a value should be"),
        ("color 'red'", "character 7 (red): the end, AND or OR should be here"),
        ("color = red'", "character 12 (')"),
        ("color ~ 1", "character 7 (~)"),
        ("color IS 5", "NULL should be here"),
        ("color NOT 5", "IN or LIKE should be here"),
        ("color IN ()", "a value should be here"),
        ("color IN (1", "it ends where ) should be"),
        ("EXISTS(5)", "a property's name should be here"),
        ("AND", "a value should be here"),
        ("sys.Nothing = 1", "sys.Nothing isn't a system property"),
        ("my.color = 1", "my. is no scope"),
        ("newid() = 1", "no function newid()"),
        ("color = @missing", "@missing has no value"),
        ("a = '" + "x" * 1024 + "'", "1030 characters"),
        ("(" * 40 + "1" + ")" * 40, "nested more than 32 deep"),
    ],
)
def test_what_is_no_filter(text: str, problem: str) -> None:
    """The error says what is wrong and where."""
    with pytest.raises(SqlError) as caught:
        compile_filter(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "text", ["1 / 0 = 1", "1 % 0 = 1", "1.0 / 0 = 1", "9223372036854775807 + 1 > 0", "color LIKE 'a' ESCAPE 'xy'"]
)
def test_what_cannot_be_computed(text: str) -> None:
    """Such a filter is an error for the message, not false."""
    with pytest.raises(SqlError):
        value(text)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 1000 + "1 = 1",
        "NOT " * 200 + "yes",
        "1" + "+1" * 500 + " = 501",
        "yes" + " AND yes" * 120,
        "FALSE" + " OR yes" * 120,
        "(" * 31 + "1 = 1" + ")" * 31,
    ],
)
def test_long_filters_are_no_deep_recursion(text: str) -> None:
    """Whatever a filter's length allows can be read and computed."""
    assert value(text) is True


def test_negation_of_no_truth_value() -> None:
    """However often it is negated, what is no truth value is unknown."""
    assert [None, None, None] == [value(f"{negations} count") for negations in ("NOT", "NOT NOT", "NOT NOT NOT")]
