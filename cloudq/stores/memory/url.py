"""`open_url`: what a `memory://` says, and the store it opens."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.clock import Clock
from cloudq.core.store_url import StoreUrl
from cloudq.errors import ConfigurationError
from cloudq.stores.memory.store import MemoryStore


def open_url(url: StoreUrl, namespace: str, timeout: timedelta, clock: Clock) -> MemoryStore:
    """A store of its own, which lives as long as this process: nobody shares it, so it needs no namespace.

    Raises:
        ConfigurationError: The URL can't be used.
    """
    del namespace, timeout
    if url.host or url.path or url.user or url.password:
        raise ConfigurationError("memory:// has neither a host nor a path", hint="memory://")
    url.options()
    return MemoryStore(clock)
