"""What a `Retry-After` header asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloudq.emulators.cloud_tasks.sender import retry_after

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("30", 30),
        (" 0 ", 0),
        ("Thu, 01 Jan 2026 12:01:00 GMT", 60),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("9" * 400, 10**9),
        ("²", None),
        ("Thu, 99 Jan 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after(value, seconds):
    """Seconds or a date (RFC 9110, 10.2.3); what is neither asks for nothing."""
    assert retry_after(value, NOW) == (None if seconds is None else timedelta(seconds=seconds))
