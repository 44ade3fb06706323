"""What Service Bus keeps beside a body: ids, sessions and application properties. Needs no SDK."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from cloudq.core.failure import Failure
from cloudq.errors import UndecodableError

# Of ids and of sessions, in characters.
LONGEST: Final = 128
# The application property that holds a failure's details.
FAILURE: Final = "cloudq-failure"


def native_name(key: str) -> str:
    """A key as Service Bus takes it for an id or for a session: itself, or its hash if it is too long."""
    if len(key) <= LONGEST and key.isprintable():
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def group_of(session: str, ordering_key: str | None) -> str:
    """The ordering key that a session stands for: the message's own, where its name is the session's."""
    return ordering_key if ordering_key is not None and native_name(ordering_key) == session else session


def failure_in(properties: Mapping[str, Any]) -> Failure | None:
    """The failure that is kept beside the body, if one is and can be read."""
    kept = properties.get(FAILURE)
    if not isinstance(kept, str):
        return None
    try:
        return Failure.decode(kept)
    except UndecodableError:
        return None
