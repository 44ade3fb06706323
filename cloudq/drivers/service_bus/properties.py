"""What travels beside a body, in its application properties. Needs no SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloudq.core.failure import Failure
from cloudq.errors import UndecodableError

# The application property that holds a failure's details.
FAILURE: Final = "cloudq-failure"


def failure_in(properties: Mapping[str, Any]) -> Failure | None:
    """The failure that is kept beside the body, if one is and can be read."""
    kept = properties.get(FAILURE)
    if not isinstance(kept, str):
        return None
    try:
        return Failure.decode(kept)
    except UndecodableError:
        return None
