"""Names that Service Bus takes: ids and sessions have at most 128 characters."""

from __future__ import annotations

import hashlib
from typing import Final

LONGEST: Final = 128


def native_name(key: str) -> str:
    """A key as Service Bus takes it for an id or for a session: itself, or its hash if it is too long."""
    if len(key) <= LONGEST and key.isprintable():
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def group_of(session: str, ordering_key: str | None) -> str:
    """The ordering key that a session stands for: the message's own, where its name is the session's."""
    return ordering_key if ordering_key is not None and native_name(ordering_key) == session else session
