"""Values of log lines, without what nobody may see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import pytest

from cloudq.core.redaction import mask_secrets
from cloudq.running.log_values import LogValues, text_of

URL, MASKED = "postgres://u:S3CRET@db", "postgres://u:***@db"


@dataclass
class Connection:
    url: str


class Client:
    def __repr__(self) -> str:
        return f"<Client of {URL}>"


def no_cards(text: str) -> str:
    return text.replace("4111", "CARD")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (URL, MASKED),
        ([URL, {"a": (URL, 7)}], [MASKED, {"a": [MASKED, 7]}]),
        ({URL: 1}, {MASKED: 1}),
        (Connection(URL), {"url": MASKED}),
        (ValueError(URL), f"ValueError('{MASKED}')"),
        ({"client": Client()}, {"client": f"<Client of {MASKED}>"}),
        ({(1,): URL}, f"{{(1,): '{MASKED}'}}"),
        (date(2026, 1, 2), "2026-01-02"),
        (4111, 4111),
        (True, True),
        (None, None),
    ],
)
def test_json_shows_no_secret_however_deep(value: object, expected: object) -> None:
    """In containers, as a key, in what an object's repr says; the rest is as JSON has it."""
    assert expected == _listed(LogValues(mask_secrets).for_json("given", value))


def _listed(value: object) -> object:
    if isinstance(value, dict):
        return {key: _listed(its) for key, its in value.items()}
    return [_listed(one) for one in value] if isinstance(value, (list, tuple)) else value


def test_the_apps_own_function_sees_numbers_too() -> None:
    """A card's number is a secret by its digits; other numbers stay numbers."""
    values = LogValues(no_cards)
    assert ("CARD", {"card": "CARD", "n": 7, "on": True}) == (
        values.for_json("num", 4111),
        values.for_json("row", {"card": 4111, "n": 7, "on": True}),
    )
    assert "{'card': 'CARD', 'n': 7}" == values.for_text("row", {"card": 4111, "n": 7})


@pytest.mark.parametrize("name", ["password", "PASSWD", "AccountKey", "aws_secret_access_key"])
@pytest.mark.parametrize("value", ["hunter2 or so", 4111])
def test_what_is_named_a_secret_is_one(name: str, value: object) -> None:
    """Whatever it looks like, in either format, and within a mapping."""
    values = LogValues(mask_secrets)
    assert ("***", "***") == (values.for_json(name, value), values.for_text(name, value))
    row = {"user": "u", name: value}
    assert {"user": "u", name: "***"} == values.for_json("row", row)
    shown = values.for_text("row", row)
    assert shown.startswith("{'user': 'u', ")
    assert str(value) not in shown


@pytest.mark.parametrize("redact", [mask_secrets, str.lower, no_cards])
def test_other_names_hide_nothing(redact: Callable[[str], str]) -> None:
    """Nor does a function that changes each text in some other way."""
    values = LogValues(redact)
    assert ["x1", "x1"] == [values.for_json("orderId", "x1"), values.for_text("orderId", "x1")]


def test_a_circle_is_a_text() -> None:
    """Which Python's repr ends by dots."""
    circle: list[object] = [URL]
    circle.append(circle)
    values = LogValues(mask_secrets)
    assert f"['{MASKED}', [...]]" == values.for_json("odd", circle) == values.for_text("odd", circle)


def test_text_shows_the_beginning_of_what_is_long() -> None:
    """At most 200 characters, cut once it is without secrets."""
    shown = LogValues(mask_secrets).for_text("given", "a" * 180 + f" {URL} " + "b" * 100)
    assert (200, True) == (len(shown), MASKED[:17] in shown)
    assert "S3C" not in shown


def test_a_repr_that_raises_is_named() -> None:
    """It costs no line."""

    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert "<Unprintable: its repr raised RuntimeError>" == text_of(Unprintable())
