"""What a bridge has done so far."""

from __future__ import annotations

from collections import Counter

import msgspec

from cloudq.compat.celery.bridge.stays import Why


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """One message that stays in the old queue. Its texts are a stranger's.

    Attributes:
        place: Where it is: the queue, a priority's list, `unacked`.
        id: Celery's id of it, if it says one.
        task: Its task, if it says one.
        why: Why it stays, in a word.
        detail: The same for people.
        size: How many bytes it has.
    """

    place: str
    id: str | None
    task: str | None
    why: Why
    detail: str
    size: int


class Tally:
    """Counts.

    Attributes:
        bridged: Messages that the app's backend has stored, and that were taken out of the old queue.
        duplicates: Of these, those that the backend had already, where it says so.
        delayed: Of these, those with an ETA that isn't over.
        retried: Of these, those that Celery had tried before.
        expired: Of these, those that weren't to begin any more: the worker ends them as expired.
        left: Those that stay, by why.
    """

    def __init__(self) -> None:
        self.bridged = 0
        self.duplicates = 0
        self.delayed = 0
        self.retried = 0
        self.expired = 0
        self.left: Counter[Why] = Counter()

    @property
    def stay(self) -> int:
        """How many stay."""
        return self.left.total()
