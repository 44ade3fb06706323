"""What the tours of `cloudq demo` share: progress where there is no terminal, and counts of dead letters."""

from __future__ import annotations

import sys
import threading

from cloudq.cli.output import is_terminal, note

_LINES = 4


class Lines:
    """Progress where there is no terminal: a line for each quarter of the work. Any thread may count."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._lock = threading.Lock()
        self._silent = not total or is_terminal(sys.stderr)

    def one_more(self) -> int:
        """Counts a task that has ended. How many have."""
        with self._lock:
            self._done += 1
            done = self._done
        if not self._silent and done * _LINES // self._total > (done - 1) * _LINES // self._total:
            note(f"   {done} of {self._total} tasks have run")
        return done

    def raise_if_interrupted(self) -> None:
        """For after a worker that ended well.

        Raises:
            KeyboardInterrupt: It did so before all had run: the signal that a user sends to the tour ends the worker,
                which takes it for its own.
        """
        if self._done < self._total:
            raise KeyboardInterrupt


def dead_letters(many: int) -> str:
    """The number of them, in words."""
    return f"{many} dead letter" if many == 1 else f"{many} dead letters"
