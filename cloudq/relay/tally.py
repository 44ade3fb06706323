"""`Counts` and `Tally`: what a relay has done so far."""

from __future__ import annotations

import threading

import msgspec

from cloudq.core.safe_log import SafeLogger

logger = SafeLogger("cloudq.relay")


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """A relay's counts at one moment.

    Attributes:
        published: Messages that were published and marked.
        failed: Failures after which a message is tried again.
        parked: Messages that were refused for good.
        late: Messages that were published, and the outbox couldn't be told: they may be published again.
        in_hand: Messages that are taken and not settled.
    """

    published: int = 0
    failed: int = 0
    parked: int = 0
    late: int = 0
    in_hand: int = 0

    def since(self, before: Counts) -> Counts:
        """What was counted after an earlier moment."""
        return Counts(
            published=self.published - before.published,
            failed=self.failed - before.failed,
            parked=self.parked - before.parked,
            late=self.late - before.late,
            in_hand=self.in_hand,
        )

    def __str__(self) -> str:
        """As a log line says it."""
        more = {"tried again": self.failed, "parked": self.parked, "late": self.late}
        return ", ".join([f"{self.published} published", *(f"{count} {name}" for name, count in more.items() if count)])


class Tally:
    """Counts what becomes of messages. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()

    def add(self, *, published: int = 0, failed: int = 0, parked: int = 0, late: int = 0, in_hand: int = 0) -> None:
        """Adds to the counts."""
        with self._lock:
            now = self._counts
            self._counts = Counts(
                published=now.published + published,
                failed=now.failed + failed,
                parked=now.parked + parked,
                late=now.late + late,
                in_hand=now.in_hand + in_hand,
            )

    def counts(self) -> Counts:
        """The counts at this moment."""
        return self._counts
