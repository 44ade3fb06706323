"""`Sent`: what a send gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloudq.tasks import foreign_words
from cloudq.tasks.foreign_words import no_attribute


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

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Nothing but an AttributeError, with our word for what other task queues call so."""
            raise no_attribute(self, name, foreign_words.SENT)
