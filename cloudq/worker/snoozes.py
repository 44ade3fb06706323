"""`Snoozes`: what a worker does with deliveries that only wait, beside what `plan()` does.

```
 Snoozed ─▶ the table ─┬─ copy, release ─▶ settler
                       ├─ hold ─▶ Holds ─▶ run again, once its time has come, or the store is back
                       └─ stop ─▶ no poll of the queue, until the store is back: it is asked itself, not the queue
```
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from cloudq.core.capabilities import Capabilities
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.outcome import Outcome, Snoozed, Why
from cloudq.core.safe_log import SafeLogger
from cloudq.core.snooze_ways import TABLE, Waits, Way, stopped_delay, worker_place
from cloudq.core.store_watch import StoreWatch
from cloudq.running.held import HeldLease
from cloudq.worker.holds import Kept
from cloudq.worker.intake import Intake

logger = SafeLogger("cloudq.worker")


class Snoozes:
    """Carries out the worker's part of `core.snooze_ways`. Thread-safe.

    Args:
        intake: Whose polls are stopped, and which holds deliveries.
        capabilities: `PullDriver.capabilities`.
        watch: Whether the store is down; `None` where nothing is claimed.
        burst: Whether the worker ends once its queues are empty: then it neither holds nor stops, but leaves what waits
            in its queue.
        count: Told of each delivery that is held, its outcome, and for how many seconds it ran.
        give_up: Told of each that a shutdown has taken before.
        run: Runs a job on another thread. Returns whether it will.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        intake: Intake,
        *,
        capabilities: Callable[[str], Capabilities],
        watch: StoreWatch | None,
        burst: bool,
        count: Callable[[Delivery, Outcome, float], None],
        give_up: Callable[[Delivery], None] = lambda _: None,
        run: Callable[[Callable[[], None]], bool],
        clock: Clock,
    ) -> None:
        self._intake = intake
        self._capabilities = capabilities
        self._watch = watch
        self._burst = burst
        self._count = count
        self._give_up = give_up
        self._run = run
        self._clock = clock
        self._asking_since: timedelta | None = None
        self._found_down = False

    def take(self, held: HeldLease, outcome: Snoozed, seconds: float) -> Snoozed | None:
        """Takes a delivery whose run ended in a snooze, before its slot is free.

        Args:
            held: The delivery.
            outcome: What it waits for.
            seconds: For how long it ran.

        Returns:
            The outcome as it is to be settled; `None`: the delivery is held, or was given up before.
        """
        if self._burst:
            self._found_down = self._found_down or outcome.why is Why.STORE_DOWN
            return outcome
        queue = held.delivery.queue
        place = worker_place(self._capabilities(queue))
        waits: Waits = TABLE[place][outcome.why]
        if waits.stops and self._watch is not None:
            self._stop(queue, outcome, self._watch)
            if waits.way is Way.RELEASE:
                outcome = replace(outcome, delay=stopped_delay(outcome.delay, place))
        if waits.way is not Way.HOLD or held.delivery.without_end < waits.since:
            return outcome
        # Since when it waits is to be known in whichever process runs it again; nothing is kept beside the message.
        held.delivery = replace(held.delivery, failure=outcome.failure or held.delivery.failure)
        kept = self._intake.holds.hold(held, outcome.delay, for_store=outcome.why is Why.STORE_DOWN)
        if kept is Kept.CLOSED:
            return outcome
        if kept is Kept.HELD:
            self._count(held.delivery, outcome, seconds)
        else:
            self._give_up(held.delivery)
        return None

    @property
    def left(self) -> str | None:
        """What a burst leaves in its queues as the store is down; `None` if it isn't."""
        watch = self._watch
        return f"what has an idempotency key, as {watch.why}" if self._found_down and watch and watch.why else None

    @property
    def store_is_down(self) -> bool:
        """Whether the store is taken to be down."""
        return self._watch is not None and self._watch.is_down

    def look(self) -> None:
        """Looks after what is held, and asks for the store. Called every second, or so."""
        watch = self._watch
        is_up = watch is None or not watch.is_down
        if watch is not None and not is_up:
            self._ask(watch)
        elif is_up and self._intake.stops.note_store_up():
            logger.info("the store of idempotency keys is back: the queues are asked again")
        self._intake.holds.look(store_is_up=is_up)

    def _stop(self, queue: str, outcome: Snoozed, watch: StoreWatch) -> None:
        """Stops the intake of a queue, before a free slot has its poller ask for more."""
        if not watch.is_down:
            watch.note_down(outcome.reason)  # a child process found it so, which has a watch of its own
        if self._intake.stops.note_store(queue, down=True):
            logger.warning(
                "queue %s isn't asked for more until the store of idempotency keys is back",
                queue,
                extra={"cloudq_queue": queue},
            )

    def _ask(self, watch: StoreWatch) -> None:
        """On another thread: a store that hangs mustn't keep the worker from being looked after."""
        if self._asking_since is not None:
            return
        self._asking_since = self._clock.elapsed()

        def ask() -> None:
            try:
                watch.look()
            finally:
                self._asking_since = None

        if not self._run(ask):
            self._asking_since = None
