"""What the options of `cloudq dlq edit` change of a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloudq.cli.dlq.change import change_of
from cloudq.core.message import Message
from cloudq.errors import OptionError, PayloadError

MESSAGE = Message(
    id="1", task="t", queue="q", payload={"a": 1, "b": [1]}, idempotency_key="k", headers={"x": "1", "y": "2"}
)
NOW = datetime(2026, 1, 31, tzinfo=UTC)
NOTHING: dict[str, Any] = {
    "set_": None,
    "unset": None,
    "payload": None,
    "task": None,
    "idempotency_key": None,
    "no_idempotency_key": False,
    "headers": None,
    "expires": None,
    "no_expiry": False,
    "now": NOW,
}


def changed(**options: Any) -> Message:
    return change_of(**{**NOTHING, **options})(MESSAGE)


def test_arguments_are_set_and_taken_out() -> None:
    """As JSON; the others stay."""
    assert {"a": 2, "b": [1], "c": "x=y"} == changed(set_=["a=2", 'c="x=y"']).payload
    assert {"b": [1]} == changed(unset=["a", "gone"]).payload
    assert {"c": None, "d": True} == changed(payload='{"c": 1}', set_=["c=null", "d=true"]).payload


def test_the_rest_of_a_message() -> None:
    """Task, key and headers; nothing else is touched."""
    other = changed(task="u", idempotency_key="l", headers=["x=3", "z=a=b", "y"])
    assert ("u", "l", {"x": "3", "z": "a=b"}) == (other.task, other.idempotency_key, other.headers)
    assert MESSAGE.payload == other.payload
    assert changed(no_idempotency_key=True).idempotency_key is None
    assert "" == changed(headers=["x="]).headers["x"]


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({}, OptionError, "nothing says what to change"),
        ({"idempotency_key": "k", "no_idempotency_key": True}, OptionError, "exclude each other"),
        ({"expires": "1h", "no_expiry": True}, OptionError, "exclude each other"),
        ({"expires": "soon"}, OptionError, "no length of time"),
        ({"task": ""}, OptionError, "--task is empty"),
        ({"set_": ["a"]}, OptionError, "not NAME=JSON"),
        ({"set_": ["=1"]}, OptionError, "not NAME=JSON"),
        ({"set_": ["name=Bob"]}, PayloadError, "isn't JSON"),
        ({"set_": ["name=" + "[" * 10_000]}, PayloadError, "isn't JSON"),
        ({"payload": "[1]"}, PayloadError, "isn't a JSON object"),
        ({"payload": "{"}, PayloadError, "isn't a JSON object"),
        ({"headers": ["=x"]}, OptionError, "not NAME=TEXT"),
    ],
)
def test_what_means_nothing_is_refused(options: dict[str, Any], kind: type[Exception], said: str) -> None:
    """Before anything is looked at."""
    with pytest.raises(kind, match=said):
        changed(**options)


def test_a_text_is_told_its_quotes() -> None:
    """The usual slip."""
    with pytest.raises(PayloadError) as raised:
        changed(set_=["name=Bob"])
    assert "--set 'name=\"Bob\"'" in (raised.value.hint or "")


@pytest.mark.parametrize("text", ["x" * 10_000, "a=" + "x" * 10_000, "x" * 10_000 + "=a"])
def test_of_a_very_long_value_the_beginning_is_shown(text: str) -> None:
    """In what is wrong, and in what to do."""
    with pytest.raises((OptionError, PayloadError)) as raised:
        changed(set_=[text])
    assert len(f"{raised.value}{raised.value.hint}") < 600


def test_an_expiry_is_moved_or_taken_off() -> None:
    """Else an expired message would expire again."""
    late = replace(MESSAGE, expires_at=NOW - timedelta(days=1))
    moved = change_of(**{**NOTHING, "expires": "2h"})(late)
    assert NOW + timedelta(hours=2) == moved.expires_at
    assert change_of(**{**NOTHING, "no_expiry": True})(late).expires_at is None
    assert late.expires_at == change_of(**{**NOTHING, "task": "u"})(late).expires_at
