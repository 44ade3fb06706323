"""`Holds`: deliveries that wait in the worker's hand, beside its slots, until they may be run again."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Final

from cloudq.core.clock import Clock
from cloudq.running.held import HeldLease
from cloudq.running.runs import Run, Runs
from cloudq.worker.books import Books, Hold
from cloudq.worker.polls import Polls
from cloudq.worker.waiting import Arrived

# How long their leases are extended at a time: so that one takes no more than a call in several minutes.
STRETCH: Final = timedelta(minutes=15)


class Kept(Enum):
    """What became of a delivery that was to be held."""

    HELD = "held"
    GIVEN_UP = "given up"
    """A shutdown has released it before: it is dropped."""
    CLOSED = "closed"
    """The worker stops, so it is to be settled: nothing would have it run again here."""


class Holds:
    """Holds deliveries, with the intake's books.

    Args:
        books: The intake's.
        polls: The intake's.
        runs: What this process runs.
        clock: Where the time comes from.
    """

    def __init__(self, books: Books, polls: Polls, runs: Runs, clock: Clock) -> None:
        self._books = books
        self._polls = polls
        self._runs = runs
        self._clock = clock

    def hold(self, held: HeldLease, delay: timedelta, *, for_store: bool) -> Kept:
        """Keeps a delivery whose run has ended in hand, and frees its slot.

        Args:
            held: The delivery.
            delay: After which it is run again.
            for_store: Whether it is, as soon as the store is back.
        """
        books = self._books
        with books.lock:
            if books.closed:
                return Kept.CLOSED
            run = books.running.pop(held, None)
            if run is None:
                return Kept.GIVEN_UP
            held.stretch = STRETCH
            until = self._clock.elapsed() + delay
            books.on_hold[held] = Hold(run, until, for_store)
            books.queues[held.delivery.queue].on_hold += 1
            books.wake_taker()
            self._polls.wake()
        return Kept.HELD

    def look(self, *, store_is_up: bool) -> None:
        """Has those run again that may, and forgets those whose leases are over: they are somebody else's by now."""
        books = self._books
        if not books.on_hold and not books.resumed:  # as nearly always
            return
        over: list[Run] = []
        with books.lock:
            now = self._clock.elapsed()
            for held, hold in list(books.on_hold.items()):
                if held.lost.is_set() or held.over(now):
                    self._take_off(held)
                    over.append(hold.run)
                    books.epoch += 1
                elif hold.until <= now or (hold.for_store and store_is_up):
                    self._take_off(held)
                    self._resume(held, hold.run, now)
            over += self._not_waiting_any_more()
            books.wake_taker()
            self._polls.wake()
        for run in over:
            self._runs.end(run, succeeded=False)

    def close(self) -> list[HeldLease]:
        """Takes out all that is on hold, to be given back at once."""
        books = self._books
        with books.lock:
            held = list(books.on_hold)
            runs = [hold.run for hold in books.on_hold.values()] + list(books.resumed.values())
            for one in held:
                self._take_off(one)
            books.resumed.clear()
            books.settle(held)
        for run in runs:
            self._runs.end(run, succeeded=False)
        return held

    # ── with the lock held ───────────────────────────────────────────────────────────────────────────────

    def _take_off(self, held: HeldLease) -> None:
        del self._books.on_hold[held]
        self._books.queues[held.delivery.queue].on_hold -= 1

    def _resume(self, held: HeldLease, run: Run, now: timedelta) -> None:
        self._books.resumed[held] = run
        self._books.queues[held.delivery.queue].waiting.appendleft(Arrived(held, now, back=True))
        self._books.waiting += 1

    def _not_waiting_any_more(self) -> list[Run]:
        """The runs of what was to be run again, and lost its lease, or was given back, as it waited for a slot."""
        books = self._books
        if not books.resumed:
            return []
        waiting = {one.held for queue in books.queues.values() for one in queue.waiting}
        return [books.resumed.pop(held) for held in list(books.resumed) if held not in waiting]
