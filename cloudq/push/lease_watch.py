"""`LeaseWatch`: tells a running task that its lease is over, once nobody waits for its answer any more."""

from __future__ import annotations

import threading

from cloudq.core.clock import Clock
from cloudq.push.room import Room


class LeaseWatch:
    """One thread for all runs of a room. A lease of a push can't be extended, so there is nothing else to do for it.

    Args:
        room: Where the runs are.
        clock: Where the time comes from.
    """

    def __init__(self, room: Room, clock: Clock) -> None:
        self._room = room
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
        with self._room.changed:
            self._stopped = True
            self._room.changed.notify_all()

    def _run(self) -> None:
        changed = self._room.changed
        with changed:
            while not self._stopped:
                now = self._clock.now()
                first = self._room.look(now)
                self._clock.wait(changed, None if first is None else first - now)
