"""`open_url`: what a `sqlite:///PATH` says, and the driver it opens."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final, Literal, TypedDict

from cloudq.core.clock import Clock
from cloudq.core.url import BackendUrl
from cloudq.drivers.sqlite.driver import TIMEOUT, SQLiteDriver
from cloudq.errors import ConfigurationError
from cloudq.sqlite_file.files import OWNER_ONLY

_MODE: Final = re.compile(r"0?6[046][046]")


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
    if url.host:
        raise ConfigurationError(
            "sqlite:// takes a path, and something stands where a host would",
            hint="sqlite:///relative.db, or sqlite:////absolute/path.db",
        )
    if not url.path or url.path == ":memory:":
        raise ConfigurationError("sqlite:// needs the path of a file", hint="sqlite:///cloudq.db; for none: memory://")
    parameters = url.only({"synchronous", "timeout", "busy_timeout", "dedup_window", "mode"})
    synchronous = parameters.get("synchronous", "full").lower()
    if synchronous not in {"full", "normal"}:
        raise ConfigurationError("synchronous is neither full nor normal", hint="synchronous=full")
    return Settings(
        synchronous="full" if synchronous == "full" else "normal",
        timeout=url.seconds("timeout", TIMEOUT),
        # A call has a third of the time-out; what is longer than that changes nothing.
        busy_timeout=url.seconds("busy_timeout", TIMEOUT),
        dedup_window=url.seconds("dedup_window", timedelta(minutes=5)),
        mode=_mode(parameters.get("mode")),
    )


def _mode(text: str | None) -> int:
    if text is None:
        return OWNER_ONLY
    if not _MODE.fullmatch(text):
        raise ConfigurationError("mode isn't one of a file that its owner can read and write", hint="mode=0660")
    return int(text, 8)
