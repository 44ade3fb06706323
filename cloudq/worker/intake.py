"""`Intake`: what waits in the worker, what may start next, and how much may be asked for.

It does no I/O and starts no thread. Pollers ask `next_poll` and `offer` what they got; executors `take` and `end`; the
settler says when a delivery is settled.

```
 offer ─▶ waiting ─▶ running ─▶ settling ─▶ settled
             │ ▲
             ▼ │ its run failed
            aside: it, or its ordering key, is still running in this process
```
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Final

from cloudq.core.clock import Clock
from cloudq.running.held import HeldLease
from cloudq.running.runs import Runs
from cloudq.worker.aside import Unrun
from cloudq.worker.books import Books
from cloudq.worker.gate import Gate
from cloudq.worker.holds import Holds
from cloudq.worker.in_hand import GoingBack, InHand
from cloudq.worker.open_polls import Poll, Reach
from cloudq.worker.polls import Polls
from cloudq.worker.stops import Stops
from cloudq.worker.waiting import WaitingQueue, next_queue

ZERO: Final = timedelta(0)


class Intake:
    """The worker's books: waiting deliveries by queue, slots, and credit for polls.

    Args:
        queues: The queues in their order, with their weights.
        leases: How long the deliveries of each queue are leased at a time.
        reach: How much the polls of each queue bring; what isn't named is asked by one poll, for any number.
        slots: The most tasks running at once.
        runs: What this process runs.
        clock: Where the time comes from.
        strict: Whether the order of the queues decides, instead of the weights.
        prefetch: How many may wait for a slot, a queue; `None` to measure it.
        max_tasks: The most tasks to start, ever.
        burst: Whether to finish once the queues are empty.
        on_change: Called, with no lock held, when the worker may have finished, the last running task has ended, or
            what was set aside may go on.
    """

    def __init__(
        self,
        queues: Mapping[str, int],
        *,
        leases: Mapping[str, timedelta],
        slots: int,
        runs: Runs,
        clock: Clock,
        reach: Mapping[str, Reach] = MappingProxyType({}),
        strict: bool = False,
        prefetch: int | None = None,
        max_tasks: int | None = None,
        burst: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._runs = runs
        self._clock = clock
        self._strict = strict
        self._prefetch = prefetch
        self._on_change = on_change
        self._books = Books(
            queues,
            leases=leases,
            reach=reach,
            slots=slots,
            runs=runs,
            clock=clock,
            max_tasks=max_tasks,
            burst=burst,
        )
        self._polls = Polls(self._books, clock, prefetch=prefetch, strict=strict)
        self.holds = Holds(self._books, self._polls, runs, clock)
        self.stops = Stops(self._books, self._polls)
        self.gate: Gate | None = None

    def limit(self, make: Callable[[Books], Gate]) -> Gate:
        """Has what arrives from now on pass a gate. To be called before anything does."""
        self.gate = self._polls.gate = make(self._books)
        return self.gate

    def wake_pollers(self) -> None:
        """Has them look again whether they may ask. With the lock held."""
        self._polls.wake()

    # ── for the pollers ──────────────────────────────────────────────────────────────────────────────────

    def next_poll(self, queue: str) -> Poll | None:
        """Blocks until a poll of `queue` makes sense, and begins it. `None`: polling has ended."""
        return self._polls.next_poll(queue)

    def poll_beside(self, queue: str) -> Poll | None:
        """Begins another poll of `queue` if those under way don't bring what is started. Such a one must not wait."""
        return self._polls.beside(queue)

    def offer(self, poll: Poll, held: Sequence[HeldLease]) -> list[HeldLease]:
        """Takes in what a poll brought, be it nothing. Returns the deliveries to give back at once."""
        if self.gate is not None:
            self.gate.know(held)
        refused, finished = self._polls.offer(poll, held)
        if finished:
            self._on_change()
        return refused

    def drop_poll(self, poll: Poll) -> None:
        """Forgets a poll that failed, which says nothing about its queue. One that is over is left as it is."""
        if self._polls.drop(poll):
            self._on_change()

    def adopt(self, held: Collection[HeldLease]) -> None:
        """Counts deliveries that are given back without ever having been offered."""
        self._polls.adopt(held)

    # ── for the executors ────────────────────────────────────────────────────────────────────────────────

    def take(self, taker: object | None = None, *, wait: bool = True) -> HeldLease | None:
        """Blocks until a slot is free and something waits, and starts it. `None`: nothing will be started any more.

        Args:
            taker: Who takes. If more waits, this one leads from now on: all others wait until it takes again, or hands
                on, which it must do at once if it doesn't come back soon. `None`: the next one takes what waits.
            wait: Whether to block. If not, `None` may also mean that nothing can start now.
        """
        books = self._books
        with books.lock:
            while not books.closed:
                if books.waiting and (books.leader is None or books.leader is taker) and books.may_start():
                    if (held := self._pick()) is not None:
                        books.leader = taker if books.waiting else None
                        books.wake_taker()
                        return held
                    continue
                self._step_back(taker)
                if not wait:
                    return None
                books.idle_takers += 1
                try:
                    self._clock.wait(books.work, None)
                finally:
                    books.idle_takers -= 1
                    books.taker_woken = False
            self._step_back(taker)
            return None

    def hand_on(self, taker: object) -> None:
        """Leaves what waits to others, if this taker leads."""
        with self._books.lock:
            self._step_back(taker)

    def hand_on_after(self, span: timedelta) -> bool:
        """Leaves what waits to others if the taker that leads has taken nothing for that long. Whether it has."""
        books = self._books
        with books.lock:
            if books.leader is None or self._clock.elapsed() - books.led_since < span:
                return False
            self._step_back(books.leader)
            return True

    @property
    def led(self) -> bool:
        """Whether one taker leads."""
        return self._books.leader is not None

    def short_of_takers(self) -> bool:
        """Whether something could start and no thread waits for it, or will be there for it soon."""
        books = self._books
        with books.lock:
            unserved = books.waiting and not books.idle_takers and books.leader is None
            return bool(unserved) and not books.closed and books.may_start()

    def end(self, held: HeldLease, *, succeeded: bool) -> bool:
        """Frees the slot; the delivery is being settled from now on. `False` if it was given up before: drop it.

        If it succeeded, redeliveries of it that were set aside have nothing left to do.
        """
        books = self._books
        with books.lock:
            if (run := books.running.pop(held, None)) is None:
                return False
            books.queues[held.delivery.queue].settling += 1
            books.settling += 1
            books.wake_taker()
            self._polls.wake()
            if self.gate is not None:
                self.gate.changed.notify_all()
            tell = books.closed and not books.running
        # Its end has redeliveries acknowledged: what is owed of it is paid before.
        self._runs.end(run, succeeded=succeeded, first=None if held.owed is None else held.owed.pay)
        if tell:
            self._on_change()
        return True

    # ── for the settler ──────────────────────────────────────────────────────────────────────────────────

    def note_settled(self, queue: str, count: int = 1) -> None:
        """Counts this many of a queue as done with: confirmed, or given up."""
        books = self._books
        with books.lock:
            books.queues[queue].settling -= count
            books.settling -= count
            books.epoch += 1
            books.wake_taker()
            self._polls.wake()
            tell = not books.settling and (books.closed or books.finished())
        if tell:
            self._on_change()

    # ── for the service ──────────────────────────────────────────────────────────────────────────────────

    def in_hand(self) -> InHand:
        """How much is in hand now."""
        books = self._books
        with books.lock:
            waiting = books.waiting + books.parked + len(books.aside) + len(books.on_hold)
            running = len(books.running)
            return InHand(waiting=waiting, running=running, settling=books.settling, started=books.started)

    def polled(self) -> list[str]:
        """The queues of which a poll is under way."""
        books = self._books
        with books.lock:
            return [name for name, queue in books.queues.items() if queue.polls]

    def finished(self) -> bool:
        """Whether a burst, or the number of tasks, is done with and nothing is in hand."""
        books = self._books
        with books.lock:
            return books.finished()

    def close(self) -> list[HeldLease]:
        """Starts nothing and asks for nothing any more. Returns the waiting deliveries, to be given back at once."""
        books = self._books
        with books.lock:
            books.closed = True
            unstarted = books.aside.take_all()
            for queue in books.queues.values():
                unstarted += [one.held for one in queue.waiting]
                queue.waiting.clear()
                queue.parking.notify_all()
            if self.gate is not None:
                unstarted += self.gate.take_all()
            books.waiting = 0
            books.settle(unstarted)
            books.work.notify_all()
        return unstarted

    def give_up_running(self) -> list[HeldLease]:
        """Takes the running deliveries from their handlers, whose outcomes no longer count. To be released at once."""
        books = self._books
        with books.lock:
            running, books.running = books.running, {}
            books.settle(running)
        for run in running.values():
            self._runs.end(run, succeeded=False)
        return list(running)

    def take_stale(self) -> list[GoingBack]:
        """Takes out deliveries that have waited for too long, to be given back: for a slot, or for a run to end.

        The former happens when tasks turn out much slower than those before, or two queues filled the same free slot.
        """
        books = self._books
        with books.lock:
            stale = books.aside.take_overdue()
            if self._prefetch is None:
                now = self._clock.elapsed()
                waited = [GoingBack(one, ZERO) for queue in books.queues.values() for one in queue.take_stale(now)]
                books.waiting -= len(waited)
                stale += waited
                if self.gate is not None:
                    self.gate.forget([one.held for one in waited])
            books.settle([one.held for one in stale])
        return stale

    def take_done_elsewhere(self) -> Unrun:
        """Takes out deliveries that must not run: another run here did their work, or there is a verdict on them."""
        books = self._books
        with books.lock:
            done = books.aside.take_done()
            books.settle([held for held, _ in done])
            return done

    # ── with the lock held ───────────────────────────────────────────────────────────────────────────────

    def _step_back(self, taker: object | None) -> None:
        books = self._books
        if taker is not None and books.leader is taker:
            books.leader = None
            books.wake_taker()

    def _pick(self) -> HeldLease | None:
        """Starts the next delivery. `None` if its lease was lost while it waited, or if it must not run now."""
        books = self._books
        queue = next_queue(books.queues.values(), strict=self._strict)
        held = queue.waiting.popleft().held
        books.waiting -= 1
        now = self._clock.elapsed()
        if held.lost.is_set() or held.over(now):  # it is somebody else's by now
            if self.gate is not None:
                self.gate.forget([held])
            books.epoch += 1
            self._polls.wake()
            return None
        if self.gate is not None and not self.gate.admits(held, now):
            self._polls.wake_one(queue, now)
            return None
        held.stretch = None
        run = books.resumed.pop(held, None)
        if run is None:
            run = books.aside.begin(held, queue.lease, partial(self._resume, queue, held))
            if run is None:
                if self.gate is not None:
                    self.gate.undo(held)
                return None
            books.started += 1
        books.running[held] = run
        books.led_since = now
        queue.last_start = now
        queue.rate.note_start(now)
        self._polls.wake_one(queue, now)
        return held

    # ── for the registry of runs ─────────────────────────────────────────────────────────────────────────

    def _resume(self, queue: WaitingQueue, held: HeldLease, done: bool) -> None:
        """Takes a delivery back that was set aside for a run which has now ended. Called with no lock held."""
        books = self._books
        with books.lock:
            if not books.aside.resume(held, done=done):
                return
            if not done:
                queue.take_back(held, self._clock.elapsed())
                books.waiting += 1
                books.wake_taker()
        self._on_change()
