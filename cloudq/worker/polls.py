"""`Polls`: how much may be asked for, and what polls bring. The pollers' side of the intake."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from cloudq.core.clock import Clock
from cloudq.running.held import HeldLease
from cloudq.worker.books import Books
from cloudq.worker.waiting import Arrived, WaitingQueue, until_free, wanted


class Polls:
    """Credit for polls, and what they bring.

    Args:
        books: The intake's.
        clock: Where the time comes from.
        prefetch: How many may wait for a slot, a queue; `None` to measure it.
    """

    def __init__(self, books: Books, clock: Clock, *, prefetch: int | None) -> None:
        self._books = books
        self._clock = clock
        self._prefetch = prefetch

    def next_poll(self, queue: str) -> int:
        """As `Intake.next_poll`."""
        books = self._books
        own = books.queues[queue]
        with books.lock:
            while not books.closed:
                now = self._clock.elapsed()
                if count := self.wanted(own, now):
                    own.poll.begin(count, now, books.epoch)
                    return count
                own.parked = True
                try:
                    self._clock.wait(own.parking, self._rest(own, now) or until_free(own, books.queues.values(), now))
                finally:
                    own.parked = False
            return 0

    def offer(self, queue: str, held: Sequence[HeldLease]) -> tuple[list[HeldLease], bool]:
        """As `Intake.offer`. Returns also whether the worker has finished."""
        books = self._books
        own = books.queues[queue]
        with books.lock:
            own.poll.end(found_nothing=not held)
            refused = list(held) if books.closed else []
            books.settle(refused)
            if held:
                books.epoch += 1
            elif own.poll.epoch == books.epoch and not (
                books.waiting or books.aside or books.running or books.settling
            ):
                own.poll.empty_in = books.epoch
            if held and not refused:
                now = self._clock.elapsed()
                own.waiting.extend(Arrived(one, now) for one in held)
                books.waiting += len(held)
                books.wake_taker()
            self.wake()
            return refused, books.finished()

    def drop(self, queue: str) -> None:
        """As `Intake.drop_poll`."""
        with self._books.lock:
            self._books.queues[queue].poll.end(found_nothing=None)
            self.wake()

    def adopt(self, held: Collection[HeldLease]) -> None:
        """As `Intake.adopt`."""
        with self._books.lock:
            self._books.settle(held)

    # ── with the lock held ───────────────────────────────────────────────────────────────────────────────

    def wanted(self, queue: WaitingQueue, now: timedelta) -> int:
        """How many a poll of the queue may ask for now."""
        books = self._books
        failing = queue.failing and queue.settling
        resting = books.burst and self._rest(queue, now) is not None
        if books.closed or failing or resting or books.settling >= books.most_settling:
            return 0
        return wanted(
            queue,
            books.queues.values(),
            now,
            free=books.slots - len(books.running) - books.waiting,
            prefetch=self._prefetch,
            left=None if books.max_tasks is None else books.max_tasks - books.started - books.waiting,
        )

    def wake(self) -> None:
        """Wakes the pollers that wait for something to ask for, where there is something now."""
        for queue in self._books.queues.values():
            if queue.parked and self.wanted(queue, self._clock.elapsed()):
                queue.parking.notify()

    def wake_one(self, queue: WaitingQueue, now: timedelta) -> None:
        """As `wake`, after something of this queue alone was started."""
        if queue.parked and self.wanted(queue, now):
            queue.parking.notify()

    def _rest(self, queue: WaitingQueue, now: timedelta) -> timedelta | None:
        return queue.poll.rest(now, self._books.epoch) if self._books.burst else None
