"""Why a message stays in the old queue."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Why(Enum):
    """What keeps a message from being bridged, in a word for programs."""

    TOO_LARGE = "too-large"
    """It has more bytes than are looked at."""
    UNREADABLE = "unreadable"
    """It isn't what Celery writes by protocol 2."""
    PROTOCOL = "protocol-1"
    """Its task is named in its body: Celery's protocol of before 4.0."""
    SERIALIZER = "serializer"
    """It isn't JSON: pickle, say, which is never loaded."""
    COMPRESSION = "compression"
    """It is compressed by what is unknown here."""
    LINK = "link"
    """A task is to be called with its result."""
    LINK_ERROR = "link-error"
    """A task is to be called if it fails."""
    CHAIN = "chain"
    """Others come after it."""
    CHORD = "chord"
    """A task waits for it and for others."""
    GROUP = "group"
    """It is one of several whose results belong together."""
    UNKNOWN_TASK = "unknown-task"
    """The app has no task of its name."""
    ARGUMENTS = "arguments"
    """Its arguments don't fit the task's parameters."""
    ROUTE = "route"
    """A worker held it, and nothing says of which queue: a broadcast, or what bound the queue is gone."""
    REFUSED = "refused"
    """The app's backend can't store it: it is too large there, or is to wait where nothing can."""


class Stays(Exception):
    """A message can't be bridged.

    Args:
        why: In a word.
        detail: For people, whatever the message says of itself in it not yet made harmless.
    """

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why: Final = why
        self.detail: Final = detail
