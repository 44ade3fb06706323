"""`MainLoop`: what the main thread of a worker does, whether it polls or is pushed to: starts, waits, shuts down."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Final

from cloudq.core.clock import Clock
from cloudq.running.signals import Wish, stop_signals

# How often it checks for things that no event announces.
ROUND: Final = timedelta(seconds=1)
_ZERO: Final = timedelta(0)


class MainLoop:
    """Waits for wishes in the main thread. All but `run` and the waits may be called in any thread.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # `SimpleQueue.put` is the one way to tell somebody that is safe in a signal's handler.
        self._wishes: SimpleQueue[Wish] = SimpleQueue()

    def run(
        self,
        *,
        start: Callable[[], None],
        look: Callable[[], int | None],
        shut_down: Callable[[], None],
        close: Callable[[], None],
        signals: bool = True,
    ) -> int:
        """Runs a worker to its end. Catches SIGTERM and SIGINT if in the main thread.

        Args:
            start: Starts it.
            look: Looks after it: every second, and at each wish to. The exit code, once it has nothing left to do.
            shut_down: Lets what runs finish, and gives back the rest; not called if something was raised before.
            close: Ends its threads, whatever was raised.
            signals: Whether to catch them; a host that has its own ways says no.

        Returns:
            The exit code: 0 done, 1 failed.
        """
        with stop_signals(self._wishes) if signals else nullcontext():
            try:
                start()
                code = self._wait_for_reason(look)
                shut_down()
            finally:
                close()
        return code

    def stop(self, *, now: bool = False) -> None:
        """As the first signal does, or (`now`) the second."""
        self._wishes.put(Wish.STOP)
        if now:
            self._wishes.put(Wish.STOP)

    def look_again(self) -> None:
        """Has the main loop look again: something may be finished."""
        self._wishes.put(Wish.LOOK)

    def fail(self) -> None:
        """Ends the worker with exit code 1: its work can't be done."""
        self._wishes.put(Wish.FAIL)

    def next_wish(self, patience: timedelta) -> Wish | None:
        """The next wish, or `None` if there is none in that time."""
        try:
            return self._wishes.get(timeout=max(_ZERO, patience).total_seconds())
        except Empty:
            return None

    def wait_while(self, going: Callable[[], bool], patience: timedelta) -> bool:
        """Waits until something has ended, looking at it at each wish, at least every second.

        Returns:
            Whether it has. `False`: it took longer, or there was another wish to stop.
        """
        until = self._clock.elapsed() + patience
        while going() and (left := until - self._clock.elapsed()) > _ZERO:
            if self.next_wish(min(left, ROUND)) is Wish.STOP:
                return False
        return not going()

    def _wait_for_reason(self, look: Callable[[], int | None]) -> int:
        while True:
            wish = self.next_wish(ROUND)
            if wish is Wish.STOP:
                return 0
            if wish is Wish.FAIL:
                return 1
            code = look()
            if code is not None:
                return code
