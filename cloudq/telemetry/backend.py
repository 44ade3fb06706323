"""`Backend`: the backend in use, as attributes say it; and what they all begin with."""

from __future__ import annotations

from collections.abc import Mapping

from cloudq.telemetry.conventions import DESTINATION, OTHER, SERVER, SYSTEM


class Backend:
    """Told by `Observer.opened` and `Tracing.opened` which backend is in use; before that it is `_OTHER`.

    Attributes:
        known: Whether it was told.
        count: How often it was told: what was made of an earlier answer is stale.
    """

    def __init__(self) -> None:
        self.known = False
        self.count = 0
        self._own: Mapping[str, str] = {SYSTEM: OTHER}

    def opened(self, system: str, server: str | None) -> None:
        """Takes note of it."""
        self._own = {SYSTEM: system} if server is None else {SYSTEM: system, SERVER: server}
        self.known = True
        self.count += 1

    def attributes(self, queue: str | None = None, **more: str) -> dict[str, str]:
        """Those of the backend, and of a queue of it."""
        return {**self._own, **more} if queue is None else {**self._own, DESTINATION: queue, **more}
