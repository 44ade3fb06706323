"""`Limiting`: the limits of what a worker serves, wired to its intake."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Driver
from cloudq.core.outcome import Outcome
from cloudq.core.snooze_ways import Place, worker_place
from cloudq.flow.limit import Limit
from cloudq.flow.pace import HORIZON
from cloudq.running.held import HeldLease
from cloudq.running.limited_runs import has_failed
from cloudq.running.limits import AppLimits, limits_of
from cloudq.worker.books import Books
from cloudq.worker.gate import Gate
from cloudq.worker.gate_thread import GateThread
from cloudq.worker.in_hand import GoingBack
from cloudq.worker.intake import Intake

if TYPE_CHECKING:
    from cloudq.app import App

# A delivery waits in hand for at most this part of its lease, so that it may well run within what is left of it.
PART_OF_A_LEASE: Final = 4
ZERO: Final = timedelta(0)


class Limiting:
    """What a worker does about limits. Made by `limiting_of`.

    Args:
        limits: The app's.
        gate: Where deliveries wait for them.
        thread: Looks after the gate.
        run: Runs a call of the store on another thread. Returns whether it will.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        limits: AppLimits,
        gate: Gate,
        thread: GateThread,
        *,
        run: Callable[[Callable[[], None]], bool],
        clock: Clock,
    ) -> None:
        self._limits = limits
        self._gate = gate
        self._thread = thread
        self._run = run
        self._clock = clock

    def start(self) -> None:
        """Starts its thread."""
        self._thread.start()

    def stop(self, patience: timedelta) -> None:
        """Ends its thread, and gives back what other workers can use.

        Args:
            patience: For how long it waits for that at most. What the store hasn't got back by then lapses.
        """
        self._thread.stop()
        until = self._clock.elapsed() + patience
        closed, changed = threading.Event(), threading.Condition()

        def close() -> None:
            self._limits.close(until)
            with changed:
                closed.set()
                changed.notify_all()

        # Not here: a call of a store that doesn't answer lasts longer.
        if not self._run(close):
            close()
        with changed:
            while not closed.is_set() and (left := until - self._clock.elapsed()) > ZERO:
                self._clock.wait(changed, left)

    def leave(self, held: HeldLease, outcome: Outcome) -> None:
        """A delivery's run has ended."""
        self._gate.leave(held, failed=has_failed(outcome))


def limiting_of(
    app: App,
    intake: Intake,
    driver: Driver,
    leases: Mapping[str, timedelta],
    *,
    believed: Callable[[Delivery], bool],
    give_back: Callable[[HeldLease, timedelta], None],
    started: Callable[[], None],
    run: Callable[[Callable[[], None]], bool],
) -> Limiting | None:
    """The limits of an app's worker; `None` if nothing that it serves has any, which then costs nothing.

    Args:
        app: Whose limits.
        intake: What passes the gate from now on.
        driver: The backend.
        leases: How long the deliveries of each queue are leased, by its name.
        believed: Whether a delivery's message may be believed; what isn't runs nothing, and takes no turn.
        give_back: Gives back a delivery, uncounted, for later.
        started: Called when something may start.
        run: Runs a call of the store on another thread. Returns whether it will.
    """
    limits = limits_of(app, leases, horizon=min([HORIZON, *(lease / PART_OF_A_LEASE for lease in leases.values())]))
    if limits is None:
        return None

    def of(held: HeldLease) -> tuple[Limit, ...]:
        return limits.of(held.delivery) if believed(held.delivery) else ()

    def keeps(queue: str) -> bool:
        return worker_place(driver.capabilities(queue)) is Place.WORKER_COUNTED_ORDER

    def make(books: Books) -> Gate:
        tasks = list(app.runtime.handlers.values())
        return Gate(
            books,
            limits_of=of,
            queue_limits=partial(limits.of_queue, tasks=tasks),
            keeps=keeps,
            clock=app.clock,
            observer=app.runtime.observer,
        )

    def give_all_back(overdue: Iterable[GoingBack]) -> None:
        for held, delay in overdue:
            give_back(held, delay)

    gate = intake.limit(make)
    thread = GateThread(
        gate, started=started, give_back=give_all_back, wake=intake.wake_pollers, run=run, clock=app.clock
    )
    return Limiting(limits, gate, thread, run=run, clock=app.clock)
