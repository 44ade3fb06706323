"""`Receipt`: what this process knows of a lease. SQS often doesn't say that a lease is over, so it is tracked here."""

from __future__ import annotations

from datetime import datetime
from threading import Lock


class Receipt:
    """A message's receipt handle, and until when it holds.

    Attributes:
        url: The queue's URL.
        handle: The service's receipt handle.
        since: When the lease began, at the latest.
        expires_at: When it ends, extensions included.
        hard_limit: When it ends however often it is extended.
    """

    __slots__ = ("_lock", "_taken", "expires_at", "handle", "hard_limit", "since", "url")

    def __init__(self, url: str, handle: str, *, since: datetime, expires_at: datetime, hard_limit: datetime) -> None:
        self.url = url
        self.handle = handle
        self.since = since
        self.expires_at = expires_at
        self.hard_limit = hard_limit
        self._lock = Lock()
        self._taken = False

    def take(self) -> bool:
        """Begins to settle. `False`: somebody else does, or did."""
        with self._lock:
            taken, self._taken = self._taken, True
            return not taken

    def give_back(self) -> None:
        """The settlement failed and may be tried again."""
        self._taken = False

    @property
    def settled(self) -> bool:
        """Whether it is settled or being settled."""
        return self._taken

    def over(self, now: datetime) -> bool:
        """Whether the lease has run out."""
        return now >= self.expires_at
