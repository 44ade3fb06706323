"""How far a clock is ahead of an answer's date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloudq.core.queue_settings import ahead_of

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        ("Sun, 29 Nov 2026 11:59:30 GMT", timedelta(seconds=30)),
        ("Sun, 29 Nov 2026 12:01:00 GMT", timedelta(minutes=-1)),
        (None, None),
        ("yesterday", None),
        ("Sun, 29 Nov 2026 12:00:00 -0000", None),
    ],
)
def test_what_a_date_says(date: str | None, ahead: timedelta | None) -> None:
    """What is none, or has no zone, says nothing."""
    assert ahead == ahead_of(date, NOW)
