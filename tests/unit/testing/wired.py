"""A memory driver that is told by bytes what was done, as by a network: for behaviours with spoilt answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import ExtendResult, Final, Outgoing, SendResult, SettleResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable, LeaseLost


class Wired(MemoryDriver):
    """Believes what an answer names, and nothing else.

    Attributes:
        wire: What becomes of an answer on its way.
    """

    wire: Callable[[bytes], bytes] = staticmethod(lambda answer: answer)

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return self.answered(super().send(outgoing), SendResult)

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        deliveries = super().receive(queue, limit=limit, wait=wait, lease=lease)
        if not deliveries:
            return deliveries
        named = self.named(len(deliveries))
        if named is None:
            raise BackendUnavailable("the answer can't be read")
        return [delivery for number, delivery in enumerate(deliveries) if number in named]

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        return self.answered(super().settle(finals), SettleResult)

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        return self.answered(super().extend(leases, by), ExtendResult)

    def cancel(self, queue: str, receipt: str) -> bool:
        cancelled = super().cancel(queue, receipt)
        if self.named(1) is None:
            raise BackendUnavailable("the answer can't be read")
        return cancelled

    def answered(self, results: Sequence[Any], kind: Callable[..., Any]) -> list[Any]:
        """The results as far as the answer names them."""
        named = self.named(len(results)) or set()
        doubt = kind(error=BackendUnavailable("may have been stored, deleted or changed"))
        return [result if number in named else doubt for number, result in enumerate(results)]

    def named(self, count: int) -> set[int] | None:
        """Which items an answer about so many names; `None` where it is none."""
        answer = self.wire(json.dumps({"done": list(range(count))}).encode())
        try:
            return set(json.loads(answer)["done"])
        except (ValueError, KeyError):
            return None


class TakesNothingForDone(Wired):
    """Looks for failures only, as SDKs do that make an empty success of what they can't read."""

    def answered(self, results: Sequence[Any], kind: Callable[..., Any]) -> list[Any]:
        self.named(len(results))
        return list(results)


class TakesNothingForLost(Wired):
    """Takes a lease that an answer doesn't name for one that is over."""

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        results = super().extend(leases, by)
        return [ExtendResult(error=LeaseLost("not named")) if result.error else result for result in results]


class TakesNothingForUnderWay(Wired):
    """Takes a message whose cancelling no answer confirms for one that was received before."""

    def cancel(self, queue: str, receipt: str) -> bool:
        try:
            return super().cancel(queue, receipt)
        except BackendUnavailable:
            return False


class GuessesWhatItExtended(Wired):
    """Reports an error, and a moment all the same."""

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        ends = self._clock.elapsed() + by
        results = super().extend(leases, by)
        return [ExtendResult(error=result.error, ends=ends) if result.error else result for result in results]


class AcksWhatItMayNotHaveReceived(Wired):
    """Deletes what it hands over before it knows whether that arrives."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        deliveries = MemoryDriver.receive(self, queue, limit=limit, wait=wait, lease=lease)
        if deliveries and self.named(len(deliveries)) is None:
            for delivery in deliveries:
                shelf = self._shelf(queue)
                shelf.remove(shelf.entries[delivery.lease.receipt.number])
            raise BackendUnavailable("the answer can't be read")
        return deliveries
