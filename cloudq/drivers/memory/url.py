"""`open_url`: what a `memory://` says, and the driver it opens."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.clock import Clock
from cloudq.core.url import BackendUrl
from cloudq.drivers.memory.driver import MemoryDriver
from cloudq.errors import ConfigurationError


def open_url(url: BackendUrl, clock: Clock) -> MemoryDriver:
    """Opens the driver that a URL names.

    Raises:
        ConfigurationError: The URL can't be used.
        BackendError: The backend can't be opened.
    """
    if url.host or url.path:
        raise ConfigurationError("memory:// has neither a host nor a path", hint="memory://")
    url.only({"dedup_window"})
    return MemoryDriver(clock=clock, dedup_window=url.seconds("dedup_window", timedelta(minutes=5)))
