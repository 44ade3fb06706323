"""`LeaseWatch`: tells a running task that its lease is over, as its sender waits no longer."""

from __future__ import annotations

import threading

from cloudq.core.clock import Clock
from cloudq.push.admission import Admission


class LeaseWatch:
    """One thread for all pushes in hand. The lease of a push can't be extended, so telling is all there is to do.

    Args:
        admission: Where the runs are.
        clock: Where the time comes from.
    """

    def __init__(self, admission: Admission, clock: Clock) -> None:
        self._admission = admission
        self._clock = clock
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="cloudq-leases", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether it does its work."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        with self._admission.changed:
            self._stopped = True
            self._admission.changed.notify_all()

    def _run(self) -> None:
        changed = self._admission.changed
        with changed:
            while not self._stopped:
                now = self._clock.elapsed()
                first = self._admission.look(now)
                self._clock.wait(changed, None if first is None else first - now)
