"""What can't work is refused before a relay starts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cloudq.errors import ConfigurationError
from cloudq.relay.settings import RelaySettings


def test_defaults() -> None:
    """An idle relay looks every 200 ms."""
    assert timedelta(milliseconds=200) == RelaySettings().poll


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch": 0}, "batch is 0"),
        ({"batch": 10_001}, "batch is 10001"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"lease": timedelta(seconds=29)}, "lease is 29 s"),
        ({"poll": timedelta(0)}, "poll is 0 s"),
        ({"poll": timedelta(minutes=2)}, "poll is 2 min"),
        ({"listening_poll": timedelta(0)}, "listening_poll is 0 s"),
        ({"max_time": timedelta(0)}, "max_time is 0 s"),
        ({"grace": timedelta(seconds=-1)}, "grace is -1 s"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refused(given: dict[str, Any], said: str) -> None:
    """A number or a time out of its range is named."""
    with pytest.raises(ConfigurationError, match=said):
        RelaySettings(**given)
