"""`Books`: what is in the worker's hands, and the one lock over it; kept by `Intake` and `Polls` together."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from cloudq.core.clock import Clock
from cloudq.running.held import HeldLease
from cloudq.running.runs import Run, Runs
from cloudq.worker.aside import Aside
from cloudq.worker.open_polls import Reach
from cloudq.worker.waiting import ONE_FOR_ALL, WaitingQueue

# Deliveries of a queue that wait in hand; beyond it nothing more of that queue is received, be it for others to hold.
MOST_ON_HOLD: Final = 1_000
# Handlers that have ended and aren't settled yet; beyond it nothing starts and nothing is received.
MOST_SETTLING: Final = 500


class Hold(NamedTuple):
    """A delivery on hold.

    Attributes:
        run: Its run, unfinished: so neither a redelivery of it nor the next of its ordering key starts meanwhile.
        until: When it is to be run again, by `Clock.elapsed`.
        for_store: Whether it waits for the store, and so may run as soon as that is back.
    """

    run: Run
    until: timedelta
    for_store: bool


class Books:
    """The state of an intake. All methods, and all access to the attributes below `lock`, are under that lock.

    Args:
        queues: The queues in their order, with their weights.
        leases: How long the deliveries of each queue are leased at a time.
        reach: How much the polls of each queue bring.
        slots: The most tasks running at once.
        runs: What this process runs.
        clock: Where the time comes from.
        max_tasks: The most tasks to start, ever.
        burst: Whether to finish once the queues are empty.

    Attributes:
        slots: The most tasks running at once.
        max_tasks: The most tasks to start, ever.
        burst: Whether to finish once the queues are empty.
        most_settling: The most deliveries between a handler's end and the confirmation.
        lock: Guards all that follows.
        work: Where takers wait for something to start.
        queues: The queues by name.
        waiting: How many wait for a slot; what was set aside not counted.
        parked: How many wait for a limit.
        running: What runs.
        settling: How many have ended, or are to be released, and aren't confirmed.
        aside: What must not start now.
        on_hold: What is to be run again later.
        resumed: What waits to be run again now, and its run.
        started: How many were started so far.
        idle_takers: How many takers wait.
        taker_woken: Whether one of them was woken and isn't back yet.
        leader: The taker that takes what waits, and comes back for the next one soon; `None`: any may take.
        led_since: When the latest delivery was taken.
        closed: Whether nothing is started or asked for any more.
        epoch: Moves with all that may put something into a queue, or into our hands.
    """

    def __init__(
        self,
        queues: Mapping[str, int],
        *,
        leases: Mapping[str, timedelta],
        reach: Mapping[str, Reach],
        slots: int,
        runs: Runs,
        clock: Clock,
        max_tasks: int | None,
        burst: bool,
    ) -> None:
        self.slots = slots
        self.max_tasks = max_tasks
        self.burst = burst
        self.most_settling = max(MOST_SETTLING, 2 * slots)
        self.lock = threading.Lock()
        self.work = threading.Condition(self.lock)
        self.queues = {
            name: WaitingQueue(name, weight, self.lock, leases[name], reach.get(name, ONE_FOR_ALL))
            for name, weight in queues.items()
        }
        self.waiting = 0
        self.parked = 0
        self.running: dict[HeldLease, Run] = {}
        self.settling = 0
        self.aside = Aside(runs, clock)
        self.on_hold: dict[HeldLease, Hold] = {}
        self.resumed: dict[HeldLease, Run] = {}
        self.started = 0
        self.idle_takers = 0
        self.taker_woken = False
        self.leader: object | None = None
        self.led_since = timedelta(0)
        self.closed = False
        self.epoch = 0

    def settle(self, held: Collection[HeldLease]) -> None:
        """Counts these as being settled from now on."""
        for one in held:
            self.queues[one.delivery.queue].settling += 1
        self.settling += len(held)

    def may_start(self) -> bool:
        """Whether another task may start, as far as slots, settlements and the number of tasks go."""
        return (
            len(self.running) < self.slots
            and self.settling < self.most_settling
            and (self.max_tasks is None or self.started < self.max_tasks)
        )

    def wake_taker(self) -> None:
        """Wakes one taker, which wakes the next once it took something.

        So ten deliveries of short tasks don't wake ten threads, of which the first does all the work. And while a taker
        leads, it takes them.
        """
        if self.waiting and self.idle_takers and not self.taker_woken and self.leader is None and self.may_start():
            self.taker_woken = True
            self.work.notify()

    def finished(self) -> bool:
        """Whether a burst, or the number of tasks, is done with and nothing is in hand."""
        if self.running or self.settling:
            return False
        if self.max_tasks is not None and self.started >= self.max_tasks:
            return True  # what still waits is given back
        return (
            self.burst
            and not self.waiting
            and not self.parked
            and not self.aside
            and all(queue.polls.empty_in == self.epoch and not queue.polls for queue in self.queues.values())
        )
