"""What a URL says of locks and of time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.url import parse_url
from cloudq.drivers.service_bus.url import open_url
from cloudq.errors import ConfigurationError

URL = "servicebus://example.servicebus.windows.net"


@pytest.mark.parametrize(
    ("parameters", "call"), [("", timedelta(seconds=5)), ("?timeout=30", timedelta(seconds=10))], ids=["default", "set"]
)
def test_a_timeout_has_room_for_three_calls(parameters: str, call: timedelta) -> None:
    """A send is tried again as long as another call fits."""
    driver = open_url(parse_url(URL + parameters), SYSTEM_CLOCK)
    assert call == driver.capabilities("mail").call_timeout
    driver.close()


@pytest.mark.parametrize("parameters", ["timeout=0", "timeout=0.5", "timeout=x", "lock=4", "lock=301", "lock=x"])
def test_what_makes_no_sense_is_refused(parameters: str) -> None:
    """A timeout in which nothing ends, and a lock that no queue can have."""
    with pytest.raises(ConfigurationError, match=parameters.partition("=")[0]):
        open_url(parse_url(f"{URL}?{parameters}"), SYSTEM_CLOCK)
