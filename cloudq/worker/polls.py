"""`Polls`: how much may be asked for, and what polls bring. The pollers' side of the intake."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from cloudq.core.clock import Clock
from cloudq.running.held import HeldLease
from cloudq.worker.books import MOST_ON_HOLD, Books
from cloudq.worker.open_polls import Poll
from cloudq.worker.waiting import Arrived, WaitingQueue, until_free, wanted

if TYPE_CHECKING:
    from cloudq.worker.gate import Gate


class Polls:
    """Credit for polls, and what they bring.

    Args:
        books: The intake's.
        clock: Where the time comes from.
        prefetch: How many may wait for a slot, a queue; `None` to measure it.
        strict: Whether a queue asks only once those before it have.

    Attributes:
        gate: What limits let start; `None` if there are none.
    """

    gate: Gate | None = None

    def __init__(self, books: Books, clock: Clock, *, prefetch: int | None, strict: bool = False) -> None:
        self._books = books
        self._clock = clock
        self._prefetch = prefetch
        self._strict = strict

    def next_poll(self, queue: str) -> Poll | None:
        """As `Intake.next_poll`."""
        books = self._books
        own = books.queues[queue]
        with books.lock:
            while not books.closed:
                now = self._clock.elapsed()
                if count := self.wanted(own, now):
                    return self._begin(own, count, now)
                own.parked = True
                try:
                    self._clock.wait(own.parking, self._rest(own, now) or until_free(books.queues.values(), now))
                finally:
                    own.parked = False
            return None

    def beside(self, queue: str) -> Poll | None:
        """As `Intake.poll_beside`."""
        own = self._books.queues[queue]
        with self._books.lock:
            now = self._clock.elapsed()
            if not own.polls.widen(len(own.waiting), now):
                return None
            count = self.wanted(own, now)
            # One for a few only would cost as much as one for many.
            return self._begin(own, count, now, beside=True) if count == own.polls.reach.each else None

    def offer(self, poll: Poll, held: Sequence[HeldLease]) -> tuple[list[HeldLease], bool]:
        """As `Intake.offer`. Returns also whether the worker has finished."""
        books = self._books
        own = books.queues[poll.queue]
        with books.lock:
            own.polls.end(poll, len(held), own.rate.starts)
            if self.gate is not None:
                self.gate.note_poll(poll.queue, len(held))
            refused = list(held) if books.closed else []
            books.settle(refused)
            if held:
                books.epoch += 1
            elif poll.epoch == books.epoch and not (
                own.polls or books.waiting or books.aside or books.running or books.settling
            ):
                own.polls.empty_in = books.epoch
            if held and not refused:
                now = self._clock.elapsed()
                own.waiting.extend(Arrived(one, now) for one in held)
                books.waiting += len(held)
                books.wake_taker()
            self.wake()
            return refused, books.finished()

    def drop(self, poll: Poll) -> bool:
        """As `Intake.drop_poll`. Returns whether the worker has finished."""
        own = self._books.queues[poll.queue]
        with self._books.lock:
            own.polls.end(poll, None, own.rate.starts)
            self.wake()
            return self._books.finished()

    def adopt(self, held: Collection[HeldLease]) -> None:
        """As `Intake.adopt`."""
        with self._books.lock:
            self._books.settle(held)

    # ── with the lock held ───────────────────────────────────────────────────────────────────────────────

    def wanted(self, queue: WaitingQueue, now: timedelta) -> int:
        """How many a poll of the queue may ask for now."""
        if self._strict and self._is_behind(queue, now):
            return 0
        return self._asks(queue, now)

    def _is_behind(self, queue: WaitingQueue, now: timedelta) -> bool:
        """Whether a queue before this one is about to ask: then what is free is for that."""
        before = takewhile(lambda other: other is not queue, self._books.queues.values())
        return any(other.parked and self._asks(other, now) for other in before)

    def _asks(self, queue: WaitingQueue, now: timedelta) -> int:
        books = self._books
        failing = queue.storeless or queue.on_hold >= MOST_ON_HOLD or (queue.failing and queue.settling)
        resting = books.burst and self._rest(queue, now) is not None
        if books.closed or failing or resting or books.settling >= books.most_settling:
            return 0
        count = wanted(
            queue,
            books.queues.values(),
            now,
            free=books.slots - len(books.running) - books.waiting,
            prefetch=self._prefetch,
            left=None if books.max_tasks is None else books.max_tasks - books.started - books.waiting - books.parked,
        )
        return self.gate.allows(queue.name, count, now) if count and self.gate is not None else count

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
        return queue.polls.rest(now, self._books.epoch) if self._books.burst else None

    def _begin(self, queue: WaitingQueue, count: int, now: timedelta, *, beside: bool = False) -> Poll:
        poll = Poll(queue.name, count, began=now, epoch=self._books.epoch, started=queue.rate.starts, beside=beside)
        queue.polls.begin(poll)
        if self._strict:
            # Those behind see what it may bring, and how long that counts.
            for other in self._books.queues.values():
                if other.parked:
                    other.parking.notify()
        return poll
