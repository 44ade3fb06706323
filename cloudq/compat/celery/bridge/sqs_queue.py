"""Celery's queue on SQS, read by cloudq's own driver: under leases, ten at a call, and no queue is made or listed.

kombu's own transport makes a queue that isn't there, lists those that are, deletes one message a call, and takes most
failures of that for a success (`Channel._new_queue`, `_update_queue_cache` and `basic_ack`, kombu 5.7).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import islice
from typing import Final, TypeVar, cast

from cloudq.compat.celery.bridge.bodies import MOST_BYTES
from cloudq.compat.celery.bridge.old_queue import Found
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Ack, Driver, FinalStep, PullDriver, Release
from cloudq.core.driver import Final as Settlement
from cloudq.core.message import FIFO_SUFFIX, is_ordered
from cloudq.errors import LeaseLost, TransientError

T = TypeVar("T")

# A bridge that is killed hides for that long what it has read. Longer than the longest stop between two reads: those
# store a batch, whose calls have deadlines of their own.
LEASE: Final = timedelta(minutes=5)
# Of a queue's 120,000 messages in flight ("Amazon SQS quotas", Developer Guide, 2026-11); then no receive brings more.
MOST_LEFT: Final = 100_000
# How often a deletion is tried that failed for a reason that passes.
_TRIES: Final = 3


class SQSQueue:
    """A queue of Celery's on SQS.

    What is left stays leased, so that it isn't read again and again, and counted by the queue's redrive policy; it is
    given back at the end. One that is killed leaves it hidden for `LEASE` at most. In a FIFO queue it keeps back what
    is behind it in its group: nothing overtakes.

    Args:
        queue: Its name, as the driver takes it.
        driver: Of SQS.
        clock: By which leases are renewed.
    """

    def __init__(self, queue: str, driver: PullDriver, clock: Clock) -> None:
        self._queue = queue
        self._driver = driver
        self._clock = clock
        able = driver.capabilities(queue)
        self._limit, self._batch = able.max_receive or able.max_batch, able.max_batch
        self._left: dict[str, Lease] = {}
        self._renewed = clock.elapsed()

    def waiting(self) -> int | None:
        """As SQS counts them, those that others hide too."""
        stats = self._driver.stats(self._queue)
        return None if stats.ready is None else stats.ready + (stats.in_flight or 0)

    def read(self, wait: timedelta) -> Sequence[Found]:
        """What a receive brings, without what was left before."""
        self._renew()
        if len(self._left) >= MOST_LEFT:
            return []
        found: list[Found] = []
        for delivery in self._driver.receive(self._queue, limit=self._limit, wait=wait, lease=LEASE):
            name = _name(delivery)
            if name in self._left:
                self._left[name] = delivery.lease  # the lease had ended
                continue
            size = len(delivery.body)
            raw = delivery.body if size <= MOST_BYTES else None
            found.append(Found(raw=raw, size=size, place=self._queue, handle=delivery, group=delivery.group))
        return found

    def take(self, found: Sequence[Found]) -> None:
        """Deletes them. A lease that is over by then is no failure: the next one that reads the message repeats it."""
        leases = [_delivery(one).lease for one in found]
        for attempt in range(1, _TRIES + 1):
            failed = self._settle(leases, Ack())
            if not failed:
                return
            leases = [lease for lease, _ in failed]
            error = failed[0][1]
            if attempt == _TRIES or not all(isinstance(why, TransientError) for _, why in failed):
                raise error

    def leave(self, found: Sequence[Found]) -> None:
        """Keeps them leased until the end."""
        for one in found:
            delivery = _delivery(one)
            self._left[_name(delivery)] = delivery.lease

    def held_back(self) -> int:
        """In a FIFO queue a message that is hidden hides those behind it in its group: SQS counts them as ready."""
        if not self._left or not is_ordered(self._queue):
            return 0
        return self._driver.stats(self._queue).ready or 0

    def close(self) -> None:
        """Gives back what was left. What can't be given back comes back by itself."""
        self._settle(self._left.values(), Release(counted=False))
        self._left.clear()
        self._driver.close()

    def _renew(self) -> None:
        """Before a third of the lease is over: a read may take a third of it as well."""
        now = self._clock.elapsed()
        if now - self._renewed < LEASE / 3:
            return
        self._renewed = now
        for leases in _in_batches(self._left.values(), self._batch):
            self._driver.extend(leases, LEASE)  # one that is lost is met again, and known again

    def _settle(self, leases: Iterable[Lease], step: FinalStep) -> list[tuple[Lease, Exception]]:
        """Those that it failed for, and why."""
        failed: list[tuple[Lease, Exception]] = []
        for batch in _in_batches(leases, self._batch):
            results = self._driver.settle([Settlement(lease=lease, step=step) for lease in batch])
            failed += [
                (lease, result.error)
                for lease, result in zip(batch, results, strict=True)
                if result.error is not None and not isinstance(result.error, LeaseLost)
            ]
        return failed


def open_sqs(url: str, queue: str, open_driver: Callable[[str, Clock], Driver], clock: Clock) -> SQSQueue:
    """The queue on SQS.

    Args:
        url: As cloudq's own: `sqs://eu-west-1?prefix=celery-`; Celery's `queue_name_prefix` is the prefix.
        queue: The queue's name, as Celery has it.
        open_driver: Opens the driver of a URL.
        clock: Where the time comes from.

    Raises:
        ConfigurationError: The URL can't be used.
        BackendError: SQS can't be used.
    """
    # By the scheme it is SQS's, which is polled.
    return SQSQueue(name_on_sqs(queue), cast("PullDriver", open_driver(url, clock)), clock)


def name_on_sqs(queue: str) -> str:
    """What kombu makes of a queue's name: dots are dashes, other marks underscores (`Channel.entity_name`, 5.7)."""
    ordered = queue.endswith(FIFO_SUFFIX)
    plain = queue.removesuffix(FIFO_SUFFIX) if ordered else queue
    return re.sub(r"[!-,/:-@\[-^`{-~]", "_", plain.replace(".", "-")) + (FIFO_SUFFIX if ordered else "")


def _name(delivery: Delivery) -> str:
    return delivery.copy or delivery.id


def _delivery(found: Found) -> Delivery:
    assert isinstance(found.handle, Delivery)  # noqa: S101 - this module's own
    return found.handle


def _in_batches(values: Iterable[T], size: int) -> Iterable[list[T]]:
    rest = iter(list(values))
    while batch := list(islice(rest, size)):
        yield batch
