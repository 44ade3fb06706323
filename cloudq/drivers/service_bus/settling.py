"""Settling and extending: grouped by link, so that the answers of a batch are awaited together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final as Const
from typing import TypeVar

from cloudq.core.clock import Clock
from cloudq.core.delivery import Lease
from cloudq.core.driver import Ack, ExtendResult, Final, NativeDeadLetter, Release, SettleResult
from cloudq.drivers.service_bus import sdk
from cloudq.drivers.service_bus.faults import lease_lost, translate
from cloudq.drivers.service_bus.limits import MAX_REASON, held_until
from cloudq.drivers.service_bus.parking import Parking
from cloudq.drivers.service_bus.properties import FAILURE
from cloudq.drivers.service_bus.receipts import Holder, Receipt
from cloudq.errors import LeaseLost

T = TypeVar("T")

SETTLED: Const = SettleResult()
# Sessions each have a link of their own; so many are settled or renewed at the same time.
AT_ONCE: Const = 8


class Settling:
    """What becomes of leases.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._parking = Parking(clock)
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def held(self) -> int:
        """How many messages are held for a retry."""
        return self._parking.held

    def settle(self, finals: Sequence[Final]) -> list[SettleResult]:
        """Carries out each step; one result each, in order."""
        results = [SETTLED] * len(finals)
        by_holder: dict[Holder, list[int]] = defaultdict(list)
        for index, final in enumerate(finals):
            receipt = final.lease.receipt
            if not isinstance(receipt, Receipt) or not receipt.take():
                results[index] = SettleResult(error=lease_lost(final.lease))
            elif isinstance(final.step, Release) and final.step.delay > timedelta(0):
                hold = final.step.delay  # never more than the capabilities say
                self._parking.park(receipt, hold, final.lease.expires_at, _disposition(final))
            else:
                by_holder[receipt.holder].append(index)

        def at(holder: Holder) -> list[BaseException | None]:
            try:
                steps = [(_receipt(finals[index]).message, _disposition(finals[index])) for index in by_holder[holder]]
                return holder.settle(steps)
            except Exception as error:  # noqa: BLE001 - reported for each; what others settled is told nonetheless
                return [error] * len(by_holder[holder])

        for holder, errors in self._each(by_holder, at):
            for index, error in zip(by_holder[holder], errors, strict=True):
                if error is not None:
                    meant = translate(error, finals[index].lease.queue)
                    if not isinstance(meant, LeaseLost):
                        _receipt(finals[index]).give_back()
                    results[index] = SettleResult(error=meant)
        return results

    def extend(self, leases: Sequence[Lease]) -> list[ExtendResult]:
        """Renews each lock for as long as its queue's locks last; one result each, in order."""
        results: list[ExtendResult] = [ExtendResult()] * len(leases)
        by_holder: dict[Holder, list[int]] = defaultdict(list)
        for index, lease in enumerate(leases):
            receipt = lease.receipt
            if not isinstance(receipt, Receipt) or receipt.settled:
                results[index] = ExtendResult(error=lease_lost(lease))
            else:
                by_holder[receipt.holder].append(index)

        def at(holder: Holder) -> list[datetime | BaseException]:
            try:
                return holder.renew([_receipt(leases[index]).message for index in by_holder[holder]])
            except Exception as error:  # noqa: BLE001 - as above
                return [error] * len(by_holder[holder])

        for holder, answers in self._each(by_holder, at):
            for index, answer in zip(by_holder[holder], answers, strict=True):
                if isinstance(answer, datetime):
                    results[index] = ExtendResult(expires_at=held_until(answer.astimezone(UTC), self._clock.now()))
                else:
                    results[index] = ExtendResult(error=translate(answer, leases[index].queue))
        return results

    def close(self) -> None:
        """Gives back what is parked."""
        self._parking.close()
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _each(self, holders: dict[Holder, list[int]], call: Callable[[Holder], T]) -> list[tuple[Holder, T]]:
        """The answer of each holder; several are asked at the same time."""
        if len(holders) < 2:
            return [(holder, call(holder)) for holder in holders]
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cloudq-service-bus")
            pool = self._pool
        try:
            answers = pool.map(call, holders)  # begins all of them
        except RuntimeError:  # it was shut down meanwhile
            return [(holder, call(holder)) for holder in holders]
        return list(zip(holders, answers, strict=True))


def _receipt(held: Final | Lease) -> Receipt:
    receipt = held.lease.receipt if isinstance(held, Final) else held.receipt
    if not isinstance(receipt, Receipt):
        raise TypeError("not a receipt of this driver")
    return receipt


def _disposition(final: Final) -> sdk.Disposition:
    step = final.step
    if isinstance(step, Ack):
        return sdk.COMPLETE
    if isinstance(step, NativeDeadLetter):
        failure = step.failure
        said = ": ".join(part for part in (failure.error_type, failure.error_message) if part)
        return sdk.dead_lettering(failure.reason[:MAX_REASON], said[:MAX_REASON], {FAILURE: failure.encode().decode()})
    # A release that isn't counted as an attempt is one that nobody began: the service counts it as no delivery.
    return sdk.ABANDON if step.counted else sdk.RELEASE
