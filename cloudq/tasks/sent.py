"""`Sent`: what a send gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloudq.tasks import foreign_words
from cloudq.tasks.foreign_words import no_attribute


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is stored.

    Attributes:
        id: The message's id; for a duplicate, the id of the message that was stored first, if the backend says it.
        duplicate: Whether the idempotency key was known already, so that nothing new was stored; `None` where the
            backend doesn't say.
        receipt: A text for `cancel`, here or in any other process of the app; store it where you need it. `None` if the
            message can't be cancelled: its backend can't cancel, or only delayed messages, or it was a duplicate.
    """

    id: str
    duplicate: bool | None = None
    receipt: str | None = None

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError, which names our word if other task queues have one of that name."""
            raise no_attribute(self, name, foreign_words.SENT)
