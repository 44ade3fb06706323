"""`FailingSends`: a driver whose sends can be made to fail, to show that copies are stored before a settlement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import (
    Capabilities,
    DeadLetterQueue,
    ExtendResult,
    Final,
    Outgoing,
    PullDriver,
    QueueStats,
    SendResult,
    SettleResult,
)
from cloudq.errors import BackendUnavailable


class FailingSends:
    """Passes everything to `driver`, but reports those items as failed, unsent, for which `fails` is true."""

    def __init__(self, driver: PullDriver, fails: Callable[[Outgoing], bool] = lambda _: True) -> None:
        self.refused: list[Outgoing] = []
        self._driver = driver
        self._fails = fails

    def capabilities(self, queue: str) -> Capabilities:
        """The driver's."""
        return self._driver.capabilities(queue)

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Sends what doesn't fail, and reports both in order."""
        good = [item for item in outgoing if not self._fails(item)]
        self.refused += [item for item in outgoing if self._fails(item)]
        sent = iter(self._driver.send(good) if good else ())
        failure = SendResult(error=BackendUnavailable("made to fail"))
        return [failure if self._fails(item) else next(sent) for item in outgoing]

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """The driver's."""
        return self._driver.receive(queue, limit=limit, wait=wait, lease=lease)

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """The driver's."""
        return self._driver.settle(finals)

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        """The driver's."""
        return self._driver.extend(leases, by)

    def stats(self, queue: str) -> QueueStats:
        """The driver's."""
        return self._driver.stats(queue)

    def purge(self, queue: str) -> int | None:
        """The driver's."""
        return self._driver.purge(queue)

    def dead_letters(self, queue: str) -> DeadLetterQueue:
        """The driver's."""
        return self._driver.dead_letters(queue)

    def interrupt(self) -> None:
        """The driver's."""
        self._driver.interrupt()

    def close(self) -> None:
        """The driver's."""
        self._driver.close()
