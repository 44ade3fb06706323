"""Settling and extending: grouped by link, so that the answers of a batch are awaited together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import Final as Const
from typing import TypeVar

from cloudq.core.clock import Clock, later
from cloudq.core.delivery import Lease
from cloudq.core.driver import Ack, ExtendResult, Final, NativeDeadLetter, Release, SettleResult
from cloudq.core.threads import Threads
from cloudq.drivers.service_bus import deadlines, dispositions
from cloudq.drivers.service_bus.faults import lease_lost, translate
from cloudq.drivers.service_bus.limits import MAX_REASON
from cloudq.drivers.service_bus.parking import Parking
from cloudq.drivers.service_bus.properties import FAILURE
from cloudq.drivers.service_bus.receipts import Holder, Progress, Receipt
from cloudq.errors import BackendUnavailable, LeaseLost

T = TypeVar("T")

SETTLED: Const = SettleResult()
# How many threads settle or renew sessions, of which each has a link of its own, beside the one that asks.
BESIDE: Const = 8
# Such a thread ends after this without work.
IDLE: Const = timedelta(seconds=5)


class Settling:
    """What becomes of leases.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._parking = Parking(clock)
        self._threads = Threads("cloudq-service-bus", BESIDE, idle=IDLE)

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
            progress = Progress.RELEASING if isinstance(final.step, Release) else Progress.SETTLING
            if not isinstance(receipt, Receipt) or not receipt.begin(progress):
                results[index] = SettleResult(error=lease_lost(final.lease))
            elif isinstance(final.step, Release) and self._holds(receipt, final, final.step.delay):
                receipt.end(confirmed=True)
            else:
                by_holder[receipt.holder].append(index)

        def at(holder: Holder) -> list[BaseException | None]:
            try:
                steps = [(_receipt(finals[index]).message, _disposition(finals[index])) for index in by_holder[holder]]
                return holder.settle(steps)
            except Exception as error:  # noqa: BLE001 - reported for each of them; others' results are still returned
                return [error] * len(by_holder[holder])

        for holder, errors in self._each(by_holder, at):
            for index, error in zip(by_holder[holder], errors, strict=True):
                meant = None if error is None else translate(error, finals[index].lease.queue)
                _receipt(finals[index]).end(confirmed=meant is None or isinstance(meant, LeaseLost))
                results[index] = SettleResult(error=meant)
        return results

    def _holds(self, receipt: Receipt, final: Final, delay: timedelta) -> bool:
        """Whether it is held for its retry; else it is to be given back at once. Never more than capabilities say."""
        return delay > timedelta(0) and self._parking.park(receipt, delay, final.lease.ends, _disposition(final))

    def extend(self, leases: Sequence[Lease]) -> list[ExtendResult]:
        """Renews each lock for as long as its queue's locks last; one result each, in order."""
        results: list[ExtendResult] = [ExtendResult()] * len(leases)
        by_holder: dict[Holder, list[int]] = defaultdict(list)
        for index, lease in enumerate(leases):
            receipt = lease.receipt
            if not isinstance(receipt, Receipt) or receipt.progress is Progress.OVER:
                results[index] = ExtendResult(error=lease_lost(lease))
            elif receipt.progress is Progress.RELEASING:
                results[index] = ExtendResult(error=BackendUnavailable("it is being released"))
            else:
                by_holder[receipt.holder].append(index)

        def at(holder: Holder) -> list[timedelta | BaseException]:
            try:
                return holder.renew([_receipt(leases[index]).message for index in by_holder[holder]])
            except Exception as error:  # noqa: BLE001 - as above
                return [error] * len(by_holder[holder])

        for holder, answers in self._each(by_holder, at):
            for index, answer in zip(by_holder[holder], answers, strict=True):
                lease = leases[index]
                if isinstance(answer, timedelta):
                    shown = later(self._clock.now(), answer - self._clock.elapsed())
                    results[index] = ExtendResult(expires_at=shown, ends=answer)
                    continue
                meant = translate(answer, lease.queue)
                if isinstance(meant, LeaseLost) and _receipt(lease).progress is Progress.SETTLING:
                    # It may be that its settlement was carried out: the answer to that one says so.
                    meant = BackendUnavailable(f"its settlement is under way: {meant}")
                results[index] = ExtendResult(error=meant)
        return results

    def close(self) -> None:
        """Gives back what is parked."""
        self._parking.close()
        self._threads.close()

    def _each(self, holders: dict[Holder, list[int]], call: Callable[[Holder], T]) -> list[tuple[Holder, T]]:
        """The answer of each holder; several are asked at the same time, all by this thread's deadline."""
        if len(holders) < 2:
            return [(holder, call(holder)) for holder in holders]
        until = deadlines.current()
        begun = [(holder, Future[T]()) for holder in holders]
        for holder, answer in begun:
            self._threads.submit(partial(_answer, answer, call, holder, until))
        # What no thread has begun is cancelled, and this one does it: there may be no thread at all.
        return [(holder, call(holder) if answer.cancel() else answer.result()) for holder, answer in begun]


def _answer(answer: Future[T], call: Callable[[Holder], T], holder: Holder, until: timedelta | None) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        with deadlines.until(until):
            answer.set_result(call(holder))
    except BaseException as error:  # noqa: BLE001 - raised in the one that waits for it
        answer.set_exception(error)


def _receipt(held: Final | Lease) -> Receipt:
    receipt = held.lease.receipt if isinstance(held, Final) else held.receipt
    if not isinstance(receipt, Receipt):
        raise TypeError("not a receipt of this driver")
    return receipt


def _disposition(final: Final) -> dispositions.Disposition:
    step = final.step
    if isinstance(step, Ack):
        return dispositions.COMPLETE
    if isinstance(step, NativeDeadLetter):
        failure = step.failure
        said = ": ".join(part for part in (failure.error_type, failure.error_message) if part)
        return dispositions.dead_lettering(
            failure.reason[:MAX_REASON], said[:MAX_REASON], {FAILURE: failure.encode().decode()}
        )
    # A release that isn't counted as an attempt is of work not begun: by RELEASE the service doesn't count a delivery.
    return dispositions.ABANDON if step.counted else dispositions.RELEASE
