"""`/healthz` and `/readyz`, for a supervisor that restarts this worker or waits for it.

A worker whose backend is down, or whose queue holds another program's messages, is alive, since restarting it wouldn't
help, but it isn't ready. A worker that only a restart helps (its database file was replaced, no thread can be started
to run tasks in) isn't alive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.errors import StorageReplaced
from cloudq.running.events import Snapshot
from cloudq.running.pages import Page
from cloudq.telemetry.standing import OutageKind
from cloudq.worker.outages import Outage, Outages, Pollers, said_down
from cloudq.worker.poller import Poller
from cloudq.worker.watchdog import PATIENCE

# What a queue's state is called while it has such an outage; the first one that it has counts.
_STATES: Final = {
    OutageKind.RECEIVE: "down",
    OutageKind.SETTLE: "settlements fail",
    OutageKind.STORE: "store is down",
    OutageKind.UNKNOWN_TASKS: "unknown tasks",
}


class Health:
    """What the pages say. Does no I/O.

    Args:
        pollers: The watchdog.
        outages: What fails now.
        keeper_alive: Whether the thread that extends leases runs.
        starved: Whether nothing can be started: deliveries wait and slots are free, for long.
        stopping: Whether the worker has been told to stop.
        snapshot: The worker's counts.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        pollers: Pollers,
        outages: Outages,
        *,
        keeper_alive: Callable[[], bool],
        starved: Callable[[], bool],
        stopping: Callable[[], bool],
        snapshot: Callable[[], Snapshot],
        clock: Clock,
    ) -> None:
        self._pollers = pollers
        self._outages = outages
        self._keeper_alive = keeper_alive
        self._starved = starved
        self._stopping = stopping
        self._snapshot = snapshot
        self._clock = clock

    def healthz(self) -> Page:
        """Whether this process does its work, whatever its backend does."""
        return self._page(self._ails(), self._outages.now())

    def readyz(self) -> Page:
        """Whether this worker takes work now."""
        problems = self._ails()
        if self._stopping():
            problems.append("stopping")
        outages = self._outages.now()
        problems += [outage.said for outage in outages if outage.said not in problems]
        return self._page(problems, outages)

    def _ails(self) -> list[str]:
        now = self._clock.elapsed()
        problems = [] if self._keeper_alive() else ["leases aren't watched any more"]
        if self._starved() and not self._stopping():
            problems.append("tasks wait, slots are free, and nothing runs them: no thread or process can be started")
        for poller in self._pollers.pollers:
            if isinstance(poller.down, StorageReplaced):
                problems.append(said_down(poller.queue, poller.down))
            elif poller.overdue(now) > PATIENCE:
                problems.append(f"the poll of queue {poller.queue} is overdue")
            elif not poller.alive and not self._stopping():
                problems.append(f"the poller of queue {poller.queue} has ended")
        return problems

    def _page(self, problems: Sequence[str], outages: Sequence[Outage]) -> Page:
        now = self._clock.elapsed()
        queues = {poller.queue: _state(poller, outages, now) for poller in self._pollers.pollers}
        return Page(ok=not problems, problems=problems, queues=queues, counts=self._snapshot())


def _state(poller: Poller, outages: Sequence[Outage], now: timedelta) -> str:
    if poller.overdue(now) > PATIENCE:
        return "overdue"
    for outage in outages:
        if outage.queue == poller.queue:
            return _STATES[outage.kind]
    if poller.paused:
        return "paused"
    return "polling" if poller.reached else "starting"
