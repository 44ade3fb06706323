"""`SteadyThread`: looks after something again and again, whatever a look raises."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Final

from cloudq.core.safe_log import SafeLogger

logger = SafeLogger("cloudq.worker")

# A wait doesn't notice that the machine was suspended (see `Clock.wait`), so it is cut into slices.
SLICE: Final = timedelta(seconds=1)
# After a look that failed, in real time, since the clock itself may be what failed.
PAUSE_SECONDS: Final = 0.1


class SteadyThread(ABC):
    """Calls `_look` until it is stopped. Nothing that a look raises ends it: that is logged once, and tried again.

    Args:
        name: The thread's.
        changed: What a look waits on, and whose lock guards what it looks at.
        trouble: What the log says when looks begin to fail.
    """

    def __init__(self, name: str, *, changed: threading.Condition, trouble: str) -> None:
        self._changed = changed
        self._trouble = trouble
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread: nothing is looked after any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @abstractmethod
    def _look(self) -> None:
        """Does what is due, or waits on `_changed`, at most for a `SLICE` if time matters; not if `_stopped`."""

    def _run(self) -> None:
        failed_before = False
        while not self._stopped:
            try:
                self._look()
                failed_before = False
            except BaseException:
                if not failed_before:
                    logger.exception(self._trouble)
                failed_before = True
                time.sleep(PAUSE_SECONDS)
