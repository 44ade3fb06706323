"""`Aside`: deliveries that must not start now, since their message or ordering key is still running in this process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

from cloudq.core.clock import Clock
from cloudq.core.outcome import DUPLICATE, Outcome
from cloudq.running.held import HeldLease
from cloudq.running.runs import Run, Runs
from cloudq.worker.in_hand import GoingBack

Unrun: TypeAlias = list[tuple[HeldLease, Outcome]]
"""Deliveries that must not run, each with what becomes of it."""


class Aside:
    """Where they wait for that run's end, half a lease at most. Not thread-safe: the intake's lock guards it.

    Args:
        runs: What this process runs.
        clock: Where the time comes from.
    """

    def __init__(self, runs: Runs, clock: Clock) -> None:
        self._runs = runs
        self._clock = clock
        self._until: dict[HeldLease, timedelta] = {}
        self._done: Unrun = []

    def __len__(self) -> int:
        """How many are in hand here."""
        return len(self._until) + len(self._done)

    def begin(self, held: HeldLease, lease: timedelta, ended: Callable[[bool], None]) -> Run | None:
        """Begins a run, or sets the delivery aside (`None`) until `ended` is called, see `Runs.begin`.

        A delivery whose work an earlier run did while it was away is set aside, too, for `take_done`; and so is one
        that had its last run here.
        """
        # Kept with it: by the time that it is settled the registry may have forgotten, and an `Ack` would lose it.
        known = DUPLICATE if self._runs.has_done(held.delivery) else self._runs.verdict(held.delivery)
        if known is not None:
            self._done.append((held, known))
            return None
        run = self._runs.begin(held.delivery, lost=held.lost, lease=lease, ended=ended)
        if run is None:
            self._until[held] = self._clock.elapsed() + lease / 2
        return run

    def resume(self, held: HeldLease, *, done: bool) -> bool:
        """Notes that the run in the way has ended; `done`: it did this delivery's work. `False`: it was given back."""
        if self._until.pop(held, None) is None:
            return False
        if done:
            self._done.append((held, DUPLICATE))
        return True

    def take_done(self) -> Unrun:
        """Takes out those that must not run: the other run did their work, or there is a verdict on them."""
        done, self._done = self._done, []
        return done

    def take_overdue(self) -> list[GoingBack]:
        """Takes out those that waited for long enough."""
        now = self._clock.elapsed()
        overdue = [held for held, until in self._until.items() if until <= now]
        for held in overdue:
            del self._until[held]
        return [GoingBack(held, self._runs.turn_away(held.delivery)) for held in overdue]

    def take_all(self) -> list[HeldLease]:
        """Takes out all that still wait."""
        held = list(self._until)
        self._until.clear()
        return held
