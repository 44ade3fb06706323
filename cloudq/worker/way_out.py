"""`WayOut`: how the deliveries of one queue leave the worker: its batchers, and whether its settlements go through."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final as Const

from cloudq.core.batching import Batcher
from cloudq.core.clock import Clock
from cloudq.core.driver import Final, FinalStep, Outgoing, SendResult, SettleResult
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import PermissionDenied, QueueNotFound
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.running.backoff import Backoff
from cloudq.running.held import HeldLease

logger = SafeLogger("cloudq.worker")

# Calls that settle at once, where it isn't said.
FLIGHTS: Const = 4


class Trouble(Enum):
    """How the settlements of a queue go."""

    NONE = "none"
    FAILING = "failing"
    """The backend can't be reached, or is busy."""
    REFUSED = "refused"
    """There is no such queue, or it may not be settled. That may pass too: a key is rotated, a policy replaced."""


class Settlement:
    """One delivery on its way out.

    Attributes:
        held: The delivery and its lease.
        way: How its queue settles.
        acked: Whether its task succeeded: an Ack may also follow a copy.
        dead: Whether it follows the stored copy of a dead letter: nothing is left to do with the message either.
        final: What is carried out.
        backoff: Between its tries, once one has failed. Used by one try at a time.
    """

    __slots__ = ("acked", "backoff", "dead", "final", "held", "way")

    def __init__(
        self, held: HeldLease, way: WayOut, step: FinalStep, *, acked: bool = False, dead: bool = False
    ) -> None:
        self.held = held
        self.way = way
        self.acked = acked
        self.dead = dead
        self.final = Final(lease=held.delivery.lease, step=step)
        self.backoff: Backoff | None = None


class WayOut:
    """One queue's batchers, and how its settlements go.

    Args:
        queue: The queue.
        carry_out: Makes one call for several settlements of it.
        tell: Told whether they fail: the queue's name, and `True` at the first failure, `False` at the next success.
        clock: Where the time comes from.
        flights: How many calls may settle at once. A further one begins only with a full batch, or where one stalls.

    Attributes:
        name: The queue's name.
        capabilities: What it can do.
        copies: Stores copies.
        finals: Carries out final steps.
        trouble: How the settlements went last.
        pausing: Those that wait for their next try. Guarded by the settler's lock.
    """

    def __init__(
        self,
        queue: CloudQueue,
        carry_out: Callable[[Sequence[Settlement]], Sequence[SettleResult]],
        tell: Callable[[str, bool], None],
        clock: Clock,
        *,
        flights: int = FLIGHTS,
    ) -> None:
        self.name = queue.name
        self.capabilities = queue.capabilities
        self.copies: Batcher[Outgoing, SendResult] = Batcher(
            queue.store_copies,
            max_items=self.capabilities.max_batch,
            max_bytes=self.capabilities.max_batch_bytes,
            size=lambda copy: len(copy.body),
            clock=clock,
            name=f"cloudq-copy-{queue.name}",
        )
        self.finals: Batcher[Settlement, SettleResult] = Batcher(
            carry_out,
            max_items=self.capabilities.max_batch,
            max_flights=flights,
            clock=clock,
            name=f"cloudq-settle-{queue.name}",
        )
        self.pausing: set[Settlement] = set()
        self.trouble = Trouble.NONE
        self._clock = clock
        self._since = clock.elapsed()  # when the latest trouble began
        self._call = threading.Lock()
        self._tell = tell
        self._lock = threading.Lock()

    def begin_call(self) -> bool:
        """Whether a thread of tasks may make a call itself now; then `end_call` is to follow.

        One may at a time: so a backend that hangs holds up one such thread of each queue, and the rest is left to
        flushers.
        """
        return self._call.acquire(blocking=False)

    def end_call(self) -> None:
        """The call has ended."""
        self._call.release()

    def note(self, error: BaseException | None) -> None:
        """Notes what became of the latest settlement. A change is passed on by `tell`, and logged, once."""
        after = _trouble_of(error)
        if after is self.trouble:
            return  # as nearly always, and without the lock
        with self._lock:
            before = self.trouble
            if after is before or (before is Trouble.REFUSED and after is Trouble.FAILING):
                return  # the refusal was logged already, and a time-out in between doesn't mean that it has passed
            # Noted and told under one lock: else two answers could be told in another order than they were noted.
            #
            #   flusher 1   fails: noted ─────────────────────────────▶ told: failing, for good
            #   flusher 2                 confirmed: noted ─▶ told: fine
            now = self._clock.elapsed()
            if before is Trouble.NONE:
                self._since = now
            lasted = now - self._since
            self.trouble = after
            if Trouble.NONE in (before, after):
                self._tell(self.name, after is not Trouble.NONE)
        level, text = _SAID[after]
        args = (self.name, lasted.total_seconds() if error is None else error)
        logger.log(level, text, *args, extra={"cloudq_queue": self.name})


_SAID: Const = {
    Trouble.NONE: (logging.INFO, "settlements of queue %s are confirmed again, after %.0f s"),
    Trouble.FAILING: (
        logging.WARNING,
        "settlements of queue %s fail, nothing is received from it until they are confirmed again: %s",
    ),
    Trouble.REFUSED: (
        logging.ERROR,
        "settlements of queue %s are refused, tried again until the leases end; nothing is received from it until they "
        "are confirmed again: %s",
    ),
}


def _trouble_of(error: BaseException | None) -> Trouble:
    if error is None:
        return Trouble.NONE
    return Trouble.REFUSED if isinstance(error, (PermissionDenied, QueueNotFound)) else Trouble.FAILING
