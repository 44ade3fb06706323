"""`Sent`: what a send gives back."""

from __future__ import annotations

import msgspec


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is stored.

    Attributes:
        id: The message's id; for a duplicate, the id of the message that was stored first, where the backend says.
        duplicate: Whether the idempotency key was known already, so that nothing new was stored; `None` where the
            backend doesn't say.
        receipt: What `cancel` takes, here or in any other process of the app: a text to be stored. `None` where the
            message can't be cancelled: its backend can't, or can only what is delayed, or it was a duplicate.
    """

    id: str
    duplicate: bool | None = None
    receipt: str | None = None
