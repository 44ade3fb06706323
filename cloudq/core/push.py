"""The contract of backends that push: they call us over HTTP, and the answer is the settlement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Driver, Final

_NONE: Mapping[str, str] = {}


class PushRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A push as it came in. Whoever makes one has verified who sent it and bounded its size.

    Attributes:
        headers: By name, in lower case.
        body: The bytes of the body.
        received_at: When it came in.
    """

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime

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


class PushDriver(Driver, Protocol):
    """A backend that pushes. `decode` and `encode` are pure: no call to the backend, no clock."""

    def decode(self, request: PushRequest) -> Delivery:
        """What was pushed. A body that can't be decoded is handed over like any other.

        The lease ends when the backend stops waiting for the answer, counted from `received_at`.

        Raises:
            PushRefused: It isn't a push of this backend (a header that the backend always sets is missing or wrong).
        """
        ...

    def encode(self, final: Final) -> PushResponse:
        """The answer that carries the step out: `Ack` deletes the message, `Release` has it pushed again.

        Steps that the capabilities don't offer are never asked for.
        """
        ...
