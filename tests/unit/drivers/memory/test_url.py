"""`memory://`: which parameters it has."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.url import parse_url
from cloudq.drivers.memory.url import open_url
from cloudq.errors import ConfigurationError
from cloudq.testing.clock import FakeClock


def test_the_window_of_native_ids_is_a_parameter() -> None:
    """In seconds; five minutes where it is left out."""
    windows = [
        open_url(parse_url(url), FakeClock()).capabilities("q").deduplication
        for url in ("memory://", "memory://?dedup_window=7")
    ]
    assert windows == [timedelta(minutes=5), timedelta(seconds=7)]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("memory://host", "neither a host nor a path"),
        ("memory:///path", "neither a host nor a path"),
        ("memory://?dedup_windw=7", "dedup_window"),
    ],
)
def test_what_memory_has_no_use_for_is_refused(url: str, why: str) -> None:
    """It has no place, and a misspelt parameter is named."""
    with pytest.raises(ConfigurationError, match=why):
        open_url(parse_url(url), FakeClock())
