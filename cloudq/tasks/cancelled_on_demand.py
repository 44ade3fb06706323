"""`CancelledOnDemand`: cancels what a coroutine awaits once somebody wants its run cancelled."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cloudq.core.outcome import CANCELLED, Decided

if TYPE_CHECKING:
    from cloudq.core.claiming import WatchedRun


class CancelledOnDemand:
    """`async with CancelledOnDemand(run):` ends the block by a cancellation, and raises `Decided` behind it.

    As `asyncio.timeout` does it, whose end is moved to now: a cancellation from outside stays one, and a coroutine that
    goes on in spite of it is done.

    Args:
        run: Whose wishes are heard.
    """

    def __init__(self, run: WatchedRun) -> None:
        import asyncio

        self._run = run
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._left = False

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._run.on_cancel(self._stop)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._left = True
        self._run.on_cancel(None)
        try:
            await self._timeout.__aexit__(kind, error, trace)  # type: ignore[arg-type]  # typeshed names the concrete type
        except TimeoutError as expired:
            self._run.stopped = True
            raise Decided(CANCELLED) from expired

    def _stop(self) -> None:
        """In some thread."""
        with suppress(RuntimeError):  # the loop has been closed: nothing is left to cancel
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if not self._left:
            self._timeout.reschedule(self._loop.time())
