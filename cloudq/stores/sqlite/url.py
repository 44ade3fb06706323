"""`open_url`: what a `sqlite:///PATH` says, and the store it opens."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.clock import Clock
from cloudq.core.store_url import StoreUrl
from cloudq.sqlite_file.parameters import is_full, mode_of, path_of
from cloudq.stores.sqlite.store import SqliteStore


def open_url(url: StoreUrl, namespace: str, timeout: timedelta, clock: Clock) -> SqliteStore:
    """The store in the file that the URL names, which is made if there is none.

    Raises:
        ConfigurationError: The URL can't be used.
        SchemaMismatch: The file is another program's database, or of a newer cloudq.
        StoreRefused: It can't be opened or written.
        StoreUnavailable: Others held it for longer than a call waits.
    """
    url.options("synchronous", "mode")
    return SqliteStore(path_of(url), namespace, clock=clock, timeout=timeout, full=is_full(url), mode=mode_of(url))
