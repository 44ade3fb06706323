"""`LoopWarning`: a blocking call where an event loop runs."""

from __future__ import annotations

import warnings

from cloudq.tasks.async_libraries import in_a_loop
from cloudq.tasks.callers import callers_level


class LoopWarning:
    """Warns, once an app, that a blocking send is called where an event loop runs."""

    def __init__(self) -> None:
        self._warned = False

    def look(self, method: str) -> None:
        """Warns if a loop runs here, naming the method to use instead."""
        if self._warned or not in_a_loop():
            return
        self._warned = True
        warnings.warn(
            f"{method}() blocks the running event loop until the backend has answered; use `await a{method}(...)`",
            RuntimeWarning,
            stacklevel=callers_level(),
        )
