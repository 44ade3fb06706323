"""`Starvation`: whether deliveries wait for a thread, or a child process, though slots are free."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.worker.executors import Executor
from cloudq.worker.intake import Intake

# For how long deliveries may wait for a thread, or for a child process to start, though slots are free.
STARVED_AFTER: Final = timedelta(seconds=30)
STARVED_OF_CHILDREN_AFTER: Final = timedelta(seconds=180)


class Starvation:
    """Whether nothing can be started, or nothing has been for long.

    Args:
        intake: Where deliveries wait.
        executor: What starts them.
        children: Whether it starts child processes, which takes longer.
        clock: Where the time comes from.
    """

    def __init__(self, intake: Intake, executor: Executor, *, children: bool, clock: Clock) -> None:
        self._intake = intake
        self._executor = executor
        self._limit = STARVED_OF_CHILDREN_AFTER if children else STARVED_AFTER
        self._clock = clock
        self._since: tuple[int, timedelta] | None = None  # what had been started by then

    def look(self) -> None:
        """Takes note of how it is now."""
        started = self._intake.in_hand().started
        if not self._intake.short_of_takers():
            self._since = None
        elif self._since is None or self._since[0] != started:
            self._since = started, self._clock.elapsed()

    def starved(self) -> bool:
        """Whether nothing can be started, or nothing has been for long though something waits and slots are free."""
        if self._executor.starved:
            return True
        since = self._since
        return since is not None and self._clock.elapsed() - since[1] >= self._limit
