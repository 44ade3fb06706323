"""What a `sqlite:///PATH` says, whether it is a backend's or a store's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cloudq.core.url import BackendUrl
from cloudq.errors import ConfigurationError
from cloudq.sqlite_file.files import OWNER_ONLY

_MODE: Final = re.compile(r"0?6[046][046]")


def path_of(url: BackendUrl) -> Path:
    """The file, as it is written.

    Raises:
        ConfigurationError: The URL names none.
    """
    if url.host:
        raise ConfigurationError(
            "sqlite:// takes a path, and something stands where a host would",
            hint="sqlite:///relative.db, or sqlite:////absolute/path.db",
        )
    if not url.path or url.path == ":memory:":
        raise ConfigurationError("sqlite:// needs the path of a file", hint="sqlite:///cloudq.db; for none: memory://")
    return Path(url.path)


def is_full(url: BackendUrl) -> bool:
    """Whether commits that must survive a loss of power are flushed: unless `synchronous=normal`.

    Raises:
        ConfigurationError: It is neither full nor normal.
    """
    synchronous = url.parameters.get("synchronous", "full").lower()
    if synchronous not in {"full", "normal"}:
        raise ConfigurationError("synchronous is neither full nor normal", hint="synchronous=full")
    return synchronous == "full"


def mode_of(url: BackendUrl) -> int:
    """Who may read and write the files that are made: `mode`, or only their owner.

    Raises:
        ConfigurationError: It isn't the mode of a file that its owner can read and write.
    """
    text = url.parameters.get("mode")
    if text is None:
        return OWNER_ONLY
    if not _MODE.fullmatch(text):
        raise ConfigurationError("mode isn't one of a file that its owner can read and write", hint="mode=0660")
    return int(text, 8)
