"""`GateThread`: has what waits for a limit start when its turn comes, and asks for more turns in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from cloudq.core.clock import Clock
from cloudq.worker.gate import Gate
from cloudq.worker.in_hand import GoingBack
from cloudq.worker.steady_thread import SLICE, SteadyThread


class GateThread(SteadyThread):
    """Looks after a gate, in a thread of its own. Once it is stopped, nothing that is parked starts any more.

    Args:
        gate: The gate.
        started: Called when something may start.
        give_back: Gives back what would have to wait for too long.
        wake: Has the pollers look again whether they may ask, with the gate's lock held.
        run: Runs a call of the store on another thread. Returns whether it will.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        started: Callable[[], None],
        give_back: Callable[[Iterable[GoingBack]], None],
        wake: Callable[[], None],
        run: Callable[[Callable[[], None]], bool],
        clock: Clock,
    ) -> None:
        super().__init__("cloudq-limits", changed=gate.changed, trouble="looking after the limits failed, trying again")
        self._gate = gate
        self._started = started
        self._give_back = give_back
        self._wake = wake
        self._run_aside = run
        self._clock = clock

    def _look(self) -> None:
        gate = self._gate
        with gate.lock:
            if self._stopped:
                return
            now = self._clock.elapsed()
            overdue = gate.take_overdue(now)
            released = gate.release(now)
            self._wake()
            asks = gate.asks(now)
            if not (released or asks or overdue):
                due = gate.next_at(now)
                self._clock.wait(gate.changed, SLICE if due is None else min(SLICE, due - self._clock.elapsed()))
                return
        if overdue:
            self._give_back(overdue)
        if released:
            self._started()
        for limit, count in asks:
            ask = partial(gate.ask, limit, count)
            if not self._run_aside(ask):
                ask()
