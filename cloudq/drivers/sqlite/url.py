"""`open_url`: what a `sqlite:///PATH` says, and the driver it opens."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypedDict

from cloudq.core.clock import Clock
from cloudq.core.url import BackendUrl
from cloudq.drivers.sqlite.driver import TIMEOUT, SQLiteDriver
from cloudq.sqlite_file.parameters import is_full, mode_of, path_of


class Settings(TypedDict):
    """The parameters of a URL."""

    synchronous: Literal["full", "normal"]
    timeout: timedelta
    busy_timeout: timedelta
    dedup_window: timedelta
    mode: int


def open_url(url: BackendUrl, clock: Clock) -> SQLiteDriver:
    """Opens the driver that a URL names.

    Raises:
        ConfigurationError: The URL can't be used.
        BackendError: The backend can't be opened.
    """
    return SQLiteDriver(url.path, clock=clock, **settings_of(url))


def settings_of(url: BackendUrl) -> Settings:
    """What a URL says besides the file; opens nothing.

    Raises:
        ConfigurationError: The URL can't be used.
    """
    path_of(url)
    url.only({"synchronous", "timeout", "busy_timeout", "dedup_window", "mode"})
    return Settings(
        synchronous="full" if is_full(url) else "normal",
        timeout=url.timeout(TIMEOUT),
        # A call has a third of the time-out; what is longer than that changes nothing.
        busy_timeout=url.seconds("busy_timeout", TIMEOUT),
        dedup_window=url.seconds("dedup_window", timedelta(minutes=5)),
        mode=mode_of(url),
    )
