"""What a `memory://` says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.store import ClaimKey
from cloudq.core.store_url import parse_store_url
from cloudq.errors import ConfigurationError
from cloudq.stores.memory.url import open_url

SECOND = timedelta(seconds=1)


def test_each_is_a_store_of_its_own() -> None:
    """Two apps in a process share nothing."""
    one, other = (open_url(parse_store_url("memory://"), "app", SECOND, SYSTEM_CLOCK) for _ in range(2))
    key = ClaimKey("t", "k")
    one.claim(key, owner="a", lease=SECOND, fingerprint=None, keep=SECOND)
    assert one.show(key) is not None
    assert other.show(key) is None


@pytest.mark.parametrize("url", ["memory://x", "memory:///x", "memory://u:p@", "memory://?x=1"])
def test_it_has_no_parts(url: str) -> None:
    """There is nowhere to go."""
    with pytest.raises(ConfigurationError):
        open_url(parse_store_url(url), "app", SECOND, SYSTEM_CLOCK)
