"""`LoopWarning`: a blocking call where an event loop runs."""

from __future__ import annotations

import sys
import warnings

from cloudq.tasks.callers import callers_level


class LoopWarning:
    """Warns, once an app, that a blocking send is called where an event loop runs."""

    def __init__(self) -> None:
        self._warned = False

    def look(self, method: str) -> None:
        """Warns if a loop runs here, naming the method to use instead."""
        if self._warned or not _loop_runs_here():
            return
        self._warned = True
        warnings.warn(
            f"{method}() blocks the running event loop until the backend has answered; use `await a{method}(...)`",
            RuntimeWarning,
            stacklevel=callers_level(),
        )


def _loop_runs_here() -> bool:
    # asyncio isn't loaded for this: where it isn't, no loop runs. Another thread may be loading it just now, and then
    # the module is there with a part of its names.
    running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return running is not None and running() is not None
