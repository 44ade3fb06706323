"""`/healthz` and `/readyz`, for a supervisor that restarts this worker or waits for it.

A worker whose backend is down, or whose queue holds another program's messages, is alive, since restarting it wouldn't
help, but it isn't ready. A worker that only a restart helps (its database file was replaced, no thread can be started
to run tasks in) isn't alive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

from cloudq.core.clock import Clock
from cloudq.errors import StorageReplaced
from cloudq.running.events import Snapshot
from cloudq.running.pages import Page
from cloudq.worker.poller import Poller
from cloudq.worker.watchdog import PATIENCE


class Pollers(Protocol):
    """Where the pollers are found."""

    @property
    def pollers(self) -> Sequence[Poller]:
        """One a queue."""
        ...


class Health:
    """What the pages say. Does no I/O.

    Args:
        pollers: The watchdog.
        keeper_alive: Whether the thread that extends leases runs.
        starved: Whether nothing can be started: deliveries wait and slots are free, for long.
        stopping: Whether the worker has been told to stop.
        snapshot: The worker's counts.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        pollers: Pollers,
        *,
        keeper_alive: Callable[[], bool],
        starved: Callable[[], bool],
        stopping: Callable[[], bool],
        snapshot: Callable[[], Snapshot],
        clock: Clock,
    ) -> None:
        self._pollers = pollers
        self._keeper_alive = keeper_alive
        self._starved = starved
        self._stopping = stopping
        self._snapshot = snapshot
        self._clock = clock

    def healthz(self) -> Page:
        """Whether this process does its work, whatever its backend does."""
        now = self._clock.elapsed()
        problems = [] if self._keeper_alive() else ["leases aren't watched any more"]
        if self._starved() and not self._stopping():
            problems.append("tasks wait, slots are free, and nothing runs them: no thread or process can be started")
        for poller in self._pollers.pollers:
            if isinstance(poller.down, StorageReplaced):
                problems.append(_down(poller, poller.down))
            elif poller.overdue(now) > PATIENCE:
                problems.append(f"the poll of queue {poller.queue} is overdue")
            elif not poller.alive and not self._stopping():
                problems.append(f"the poller of queue {poller.queue} has ended")
        return self._page(problems, now)

    def readyz(self) -> Page:
        """Whether this worker takes work now."""
        problems = list(self.healthz().problems)
        if self._stopping():
            problems.append("stopping")
        down = [_down(one, one.down) for one in self._pollers.pollers if one.down is not None]
        problems += [problem for problem in down if problem not in problems]
        problems += [problem for one in self._pollers.pollers if (problem := one.strangers.problem) is not None]
        return self._page(problems, self._clock.elapsed())

    def _page(self, problems: Sequence[str], now: timedelta) -> Page:
        queues = {poller.queue: _state(poller, now) for poller in self._pollers.pollers}
        return Page(ok=not problems, problems=problems, queues=queues, counts=self._snapshot())


def _down(poller: Poller, error: BaseException) -> str:
    # Anybody who can connect reads the page; the poller has logged the text.
    return f"queue {poller.queue}: {type(error).__name__}, see the log"


def _state(poller: Poller, now: timedelta) -> str:
    if poller.overdue(now) > PATIENCE:
        return "overdue"
    if poller.down is not None:
        return "down"
    if poller.strangers.problem is not None:
        return "unknown tasks"
    return "polling" if poller.reached else "starting"
