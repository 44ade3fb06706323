"""Event loops for an emulator's thread, whose time goes on while a test's own time is frozen.

freezegun 1.5.5 answers `time.monotonic()` with frozen time or with the real one, by who is among the last five callers.
The loop of a thread is then asked to wake something at a frozen moment, decades ahead, and looks for it by real time:
what slept for a tenth of a second while a test froze time sleeps on when the test is over, and the emulator never
stops. It leaves `time.clock_gettime` alone.
"""

from __future__ import annotations

import asyncio
import time


class SteadyLoop(asyncio.SelectorEventLoop):
    """An event loop whose time nobody freezes."""

    def time(self) -> float:
        """Seconds, as `time.monotonic()`'s; on Windows, which has no other such clock, they are those."""
        if hasattr(time, "clock_gettime"):
            return time.clock_gettime(time.CLOCK_MONOTONIC)
        return time.monotonic()
