"""`/healthz` and `/readyz` of a relay.

A relay whose outbox, or whose backend, is down is alive, since restarting it wouldn't help, but it isn't ready.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.relay.pump import Pump
from cloudq.relay.tally import Counts
from cloudq.running.pages import Page

# A round lasts no longer than its lease. What lasts longer than this as well hangs.
PATIENCE: Final = timedelta(seconds=60)


class RelayPages:
    """What the pages say. Does no I/O.

    Args:
        pumps: The relay's.
        alive: How many of them have a thread.
        reasons: Why nothing can be published, by queue.
        stopping: Whether the relay has been told to stop.
        counts: The relay's counts.
        lease: How long a round may last.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        pumps: Sequence[Pump],
        *,
        alive: Callable[[], int],
        reasons: Callable[[], Mapping[str, str]],
        stopping: Callable[[], bool],
        counts: Callable[[], Counts],
        lease: timedelta,
        clock: Clock,
    ) -> None:
        self._pumps = pumps
        self._alive = alive
        self._reasons = reasons
        self._stopping = stopping
        self._counts = counts
        self._longest = lease + PATIENCE
        self._clock = clock

    def healthz(self) -> Page:
        """Whether this process does its work, whatever the outbox and the backend do."""
        return self._page(self._ails())

    def readyz(self) -> Page:
        """Whether messages are published now."""
        problems = self._ails()
        if self._stopping():
            problems.append("stopping")
        if down := self._down():
            problems.append(f"the outbox: {type(down).__name__}, see the log")
        # Anybody who can connect reads the page; why is in the log.
        problems.extend(f"queue {queue}: nothing can be published, see the log" for queue in self._reasons())
        return self._page(problems)

    def _ails(self) -> list[str]:
        problems = []
        if not self._stopping() and self._alive() < len(self._pumps):
            problems.append("nothing is taken from the outbox: a thread has ended, or can't be started")
        now = self._clock.elapsed()
        if any(pump.busy_since is not None and now - pump.busy_since > self._longest for pump in self._pumps):
            problems.append("a batch is under way for too long")
        return problems

    def _down(self) -> Exception | None:
        return next((pump.down for pump in self._pumps if pump.down is not None), None)

    def _page(self, problems: Sequence[str]) -> Page:
        states = {"(outbox)": "down" if self._down() else "relaying"}
        states |= dict.fromkeys(self._reasons(), "down")
        return Page(ok=not problems, problems=problems, queues=states, counts=self._counts())
