"""`AsyncTimeLimit`: ends what a coroutine awaits once its time is over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.errors import TimeLimitExceeded

if TYPE_CHECKING:
    import asyncio

# asyncio's clock stands still while the machine is suspended; that it was is noticed within this.
_SLICE: Final = timedelta(seconds=1)
_ZERO: Final = timedelta(0)


class AsyncTimeLimit:
    """`asyncio.timeout`, with our error, and only for its own expiry: a handler's own TimeoutError stays what it is.

    Args:
        limit: How long the block may take.
        clock: Whose `elapsed` measures it.
    """

    def __init__(self, limit: timedelta, clock: Clock = SYSTEM_CLOCK) -> None:
        import asyncio

        self._limit = limit
        self._clock = clock
        # By the loop's own clock it ends at the latest; a suspended machine is noticed sooner, by the looks.
        self._timeout = asyncio.timeout(limit.total_seconds())
        self._loop = asyncio.get_running_loop()
        self._ends = _ZERO
        self._next_look: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        self._ends = self._clock.elapsed() + self._limit
        await self._timeout.__aenter__()
        self._look()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        try:
            await self._timeout.__aexit__(kind, error, trace)  # type: ignore[arg-type]  # typeshed names the concrete type
        except TimeoutError as expired:
            raise TimeLimitExceeded(f"the task ran longer than its time limit of {self._limit}") from expired

    def _look(self) -> None:
        left = self._ends - self._clock.elapsed()
        if left <= _ZERO:
            self._next_look = None
            # The loop's own clock mostly says so in the same turn, and what expires already can't be moved.
            if not self._timeout.expired():
                self._timeout.reschedule(self._loop.time())
        else:
            self._next_look = self._loop.call_later(min(left, _SLICE).total_seconds(), self._look)
