"""`Pausing`: the side of an app that pauses queues: by their backend, or, where that can't, by a flag in the store."""

from __future__ import annotations

from cloudq.app.results import Noting
from cloudq.core.message import is_dead_letter_queue
from cloudq.core.pausing import Pauser
from cloudq.errors import OptionError, UnsupportedError
from cloudq.flow.flags import Flags, pause_flag
from cloudq.queues.names import check_queue


class Pausing(Noting):
    """Pauses queues, and resumes them."""

    def pause(self, queue: str, /) -> bool:
        """Has nothing of a queue handed over to any worker, until it is resumed. Sends are stored as usual.

        What runs goes on, and what a worker was handed before is worked off. Workers learn of it within seconds. The
        time goes on for what waits: see `Capabilities.retention`.

        Args:
            queue: Its name.

        Returns:
            Whether it wasn't paused before.

        Raises:
            OptionError: It is no name of a queue, or that of a dead-letter queue.
            UnsupportedError: Its backend can't pause, and the app has no store.
            BackendError: It may be paused or not.
        """
        pauser = self._pauser(queue)
        if isinstance(pauser, Flags):
            return pauser.set(pause_flag(queue))
        return pauser.pause(queue)

    def resume(self, queue: str, /) -> bool:
        """Has a queue's messages handed over again. Whether it was paused. Raises as `pause`."""
        pauser = self._pauser(queue)
        if isinstance(pauser, Flags):
            return pauser.clear(pause_flag(queue))
        return pauser.resume(queue)

    def is_paused(self, queue: str, /) -> bool:
        """Whether somebody has paused a queue. Raises as `pause`."""
        pauser = self._pauser(queue)
        if isinstance(pauser, Flags):
            return pauser.look(pause_flag(queue)) is not None
        return pauser.is_paused(queue)

    def _pauser(self, queue: str) -> Pauser | Flags:
        """What pauses the app's queues."""
        if is_dead_letter_queue(check_queue(queue)):
            raise OptionError(
                f"{queue!r} is a dead-letter queue: nothing of it is ever handed over, whether it is paused or not",
                hint="name the queue that it belongs to",
            )
        driver = self._connection.driver
        if isinstance(driver, Pauser):
            return driver
        store = self.runtime.store
        if store is None:
            raise UnsupportedError(
                f"queue {queue!r} can't be paused: its backend has no such thing, and there is no store to note it in",
                hint="App(store=...), or CLOUDQ_STORE_URL, here and at the workers",
            )
        return Flags(store.notes)
