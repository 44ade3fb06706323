"""Options of expiry: what they say, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from cloudq import App, OptionError, TaskDefinitionError
from cloudq.tasks.expiry_options import NO_EXPIRY, check_expires, expiry, expiry_options
from cloudq.testing import FakeClock, in_memory, sent

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_nothing_expires_by_default() -> None:
    """Of a declaration without such options, and of its sends."""
    assert expiry_options({}, "t") is NO_EXPIRY
    assert (None, "ack", None) == (NO_EXPIRY.expires, NO_EXPIRY.on_expired, NO_EXPIRY.propagate)
    assert expiry(None, NOW, NOW + HOUR) is None


@pytest.mark.parametrize(
    "options",
    [
        {"expires": 60},
        {"expires": timedelta(0)},
        {"expires": -HOUR},
        {"expires": NOW},
        {"on_expired": "drop"},
        {"propagate_expiry": 1},
    ],
    ids=str,
)
def test_a_declaration_that_means_nothing_is_refused(options: dict[str, Any]) -> None:
    """Naming the option and the task."""
    with pytest.raises(TaskDefinitionError, match=f"{next(iter(options))} of task 'shop.t'"):
        App("memory://").task("shop.t", **options)(lambda: None)


@pytest.mark.parametrize(
    ("expires", "why"),
    [
        (60, "a timedelta or a datetime with a UTC offset, not 60"),
        ("10m", "a timedelta or a datetime"),
        (date(2030, 1, 1), "a timedelta or a datetime"),
        (datetime(2030, 1, 1), "a datetime with a UTC offset"),  # noqa: DTZ001 - that is the point
        (timedelta(0), "expires is 0 s: nothing could begin before that"),
        (-HOUR, "expires is -1 h"),
    ],
)
def test_a_send_that_means_nothing_is_refused(expires: object, why: str) -> None:
    """Before anything is stored."""
    with pytest.raises(OptionError, match=why):
        check_expires({"expires": expires})


def test_a_length_of_time_counts_from_when_the_message_may_run() -> None:
    """From its send, or from when its delay is over: one that is due long ago may run now."""
    assert NOW + HOUR == expiry(HOUR, NOW, None)
    assert NOW + 3 * HOUR == expiry(HOUR, NOW, NOW + 2 * HOUR)
    assert NOW + HOUR == expiry(HOUR, NOW, NOW - 2 * HOUR)


def test_a_moment_of_any_time_zone_is_that_moment() -> None:
    """In UTC."""
    at = expiry((NOW + HOUR).astimezone(timezone(timedelta(hours=5, minutes=30))), NOW, None)
    assert NOW + HOUR == at
    assert at is not None
    assert UTC is at.tzinfo


@pytest.mark.parametrize(
    ("expires", "due", "why"),
    [
        (NOW, None, "which is over already"),
        (NOW - HOUR, None, "which is over already"),
        (NOW + HOUR, NOW + HOUR, r"which is before it may run, 2026-01-01T13:00:00\+00:00"),
        (timedelta.max, None, "beyond the year 9999"),
        (datetime.max.replace(tzinfo=timezone(-HOUR)), None, "beyond the year 9999"),
    ],
)
def test_what_could_never_run_is_refused(expires: timedelta | datetime, due: datetime | None, why: str) -> None:
    """It says which of the times doesn't fit."""
    with pytest.raises(OptionError, match=why):
        expiry(expires, NOW, due)


def test_a_message_carries_what_its_send_says_else_its_declaration() -> None:
    """The send's own word stands above the declaration's, from wherever it is sent."""
    with in_memory(App(), clock=FakeClock(NOW)) as app:

        @app.task("t", expires=HOUR)
        def task() -> None: ...

        @app.task("plain")
        def plain() -> None: ...

        task.send()
        app.send("t", {})
        task.options(expires=2 * HOUR).send()
        app.send(task.call(), expires=NOW + 3 * HOUR)
        task.options(delay=HOUR).send()
        plain.send()
        app.send("elsewhere", expires=HOUR)
        expected = [NOW + number * HOUR for number in (1, 1, 2, 3, 2)]
        assert [*expected, None, NOW + HOUR] == [message.expires_at for message in sent(app)]
