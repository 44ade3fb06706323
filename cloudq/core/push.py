"""A push as it comes in and what is answered to it, as values. `PushDriver` in `core.driver` translates them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

_NONE: Mapping[str, str] = {}


class PushRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A push as it came in. Its maker must have verified the sender and bounded the size.

    Attributes:
        headers: By name, in lower case.
        body: The bytes of the body.
        received_at: When it came in by the wall clock: for what is shown.
        received: When it came in by `Clock.elapsed`: what its lease is counted from.
    """

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    received: timedelta

    def __repr__(self) -> str:
        """Without the headers, which hold a token, and without the body."""
        return f"PushRequest(bytes={len(self.body)})"


class PushResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered to a push.

    Attributes:
        status: The HTTP status.
        headers: By name.
        body: The bytes of the body.
    """

    status: int
    headers: Mapping[str, str] = _NONE
    body: bytes = b""
