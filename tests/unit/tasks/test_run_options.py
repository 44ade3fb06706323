"""Options of results, tracking and waiting: what they say, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloudq import App, OptionError, TaskDefinitionError
from cloudq.core.tracking import DEBOUNCE, TRACKED, UNIQUE, is_tracked, waiting_of
from cloudq.tasks.composing import NO_PAYLOAD, composed
from cloudq.tasks.run_options import NOT_NOTED, noting, run_options

HALF_A_MINUTE = timedelta(seconds=30)


def test_nothing_is_noted_by_default() -> None:
    """Of a declaration without such options."""
    assert run_options({}, "t") is NOT_NOTED
    assert not NOT_NOTED.noted


@pytest.mark.parametrize("options", [{"keep_result": timedelta(hours=1)}, {"track": True}])
def test_what_is_kept_or_tracked_is_noted(options: dict[str, Any]) -> None:
    """Each of them is enough."""
    assert run_options(options, "t").noted


@pytest.mark.parametrize(
    "options",
    [
        {"keep_result": 60},
        {"keep_result": timedelta(0)},
        {"keep_result": -timedelta(seconds=1)},
        {"keep_result": timedelta(days=4_000)},
        {"keep_result": True},
        {"track": 1},
        {"track": "yes"},
    ],
    ids=str,
)
def test_a_declaration_that_means_nothing_is_refused(options: dict[str, Any]) -> None:
    """Naming the option and the task."""
    with pytest.raises(TaskDefinitionError, match=f"{next(iter(options))} of task 'shop.t'"):
        App("memory://").task("shop.t", **options)(lambda: None)


def test_what_returns_no_json_is_refused_at_the_start() -> None:
    """A worker doesn't start with it; without `keep_result` nobody minds."""
    app = App("memory://")

    def raw() -> memoryview | set[object]: ...  # type: ignore[empty-body]

    def unknown() -> Unknown: ...  # type: ignore[name-defined]  # noqa: F821 - what it is about

    app.task("fine")(unknown)
    app.load()
    app.task("kept", keep_result=timedelta(hours=1))(unknown)
    with pytest.raises(TaskDefinitionError, match="'kept'"):
        app.load()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"track": 1}, "track is True or False"),
        ({"unique_while_waiting": "yes"}, "unique_while_waiting is True or False"),
        ({"debounce": 30}, "debounce is a positive timedelta"),
        ({"debounce": timedelta(0)}, "debounce is a positive timedelta"),
        ({"debounce": HALF_A_MINUTE, "delay": HALF_A_MINUTE}, "debounce and delay exclude"),
        ({"debounce": HALF_A_MINUTE, "at": datetime(2030, 1, 1, tzinfo=UTC)}, "debounce and at exclude"),
        ({"debounce": HALF_A_MINUTE, "idempotency_key": "k"}, "debounce and idempotency_key exclude"),
        ({"debounce": HALF_A_MINUTE, "unique_while_waiting": True}, "debounce and unique_while_waiting exclude"),
        ({"unique_while_waiting": True, "idempotency_key": "k"}, "unique_while_waiting and idempotency_key exclude"),
        ({"waiting_key": "k"}, "waiting_key says nothing alone"),
        ({"waiting_key": "", "debounce": HALF_A_MINUTE}, "waiting_key is a text of 1 to 512"),
    ],
    ids=str,
)
def test_send_options_that_mean_nothing_are_refused(options: dict[str, Any], says: str) -> None:
    """Before anything is stored."""
    app = App("memory://")
    task = app.task("t")(lambda: None)
    with pytest.raises(OptionError, match=says):
        task.options(**options)
    with pytest.raises(OptionError, match=says):
        app.send("by.name", **options)


def test_a_declared_key_excludes_waiting() -> None:
    """As one that the send names: the key says more."""
    app = App("memory://")

    @app.task("t", idempotency_key="{n}")
    def task(n: int) -> None: ...

    with pytest.raises(OptionError, match="debounce and idempotency_key exclude"):
        task.options(debounce=HALF_A_MINUTE).send(1)
    with pytest.raises(OptionError, match="unique_while_waiting and idempotency_key exclude"):
        task.options(unique_while_waiting=True).call(1)


def test_what_a_message_carries() -> None:
    """Only what is to be noted carries anything."""
    assert noting({}, {}, track=False) == {}
    assert noting({}, {}, track=True) == {TRACKED: True}
    assert noting({"track": False}, {}, track=True) == {}
    assert noting({"track": True}, {}, track=False) == {TRACKED: True}
    assert noting({"debounce": HALF_A_MINUTE, "waiting_key": "k"}, {}, track=False) == {TRACKED: True, DEBOUNCE: "k"}
    assert noting({"unique_while_waiting": True, "waiting_key": "k"}, {}, track=False) == {TRACKED: True, UNIQUE: "k"}


def test_the_payload_is_the_key_by_default() -> None:
    """Whatever the order of its names."""
    one, same, other = (
        noting({"unique_while_waiting": True}, payload, track=False)[UNIQUE]
        for payload in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3})
    )
    assert one == same != other


def test_a_debounced_message_is_due_later() -> None:
    """Its span is its delay; it travels with its key."""
    app = App("memory://")
    message = composed(app, {}, "t", NO_PAYLOAD, {"debounce": HALF_A_MINUTE, "waiting_key": "k"})
    assert message.not_before is not None
    assert message.sent_at is not None
    assert message.not_before - message.sent_at == HALF_A_MINUTE
    assert is_tracked(message)
    waiting = waiting_of(message)
    assert waiting == ("k", True)
