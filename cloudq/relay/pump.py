"""`Pump`: takes messages from the outbox, publishes them, and writes down what became of them, again and again.

```
         take ──────▶ publish a slice ─▶ ... ─▶ settle ─▶ take
 outbox: locked       backend: stored           outbox: gone, put off or parked; free again, what wasn't tried
                                 │
    killed here: the locks are given up, another relay publishes it again ─▶ at least once
```
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.core.spans import shown
from cloudq.errors import LeaseLost
from cloudq.outbox.rows import OutboxRow
from cloudq.relay.doorbell import Doorbell
from cloudq.relay.publishing import Publisher, Sorted
from cloudq.relay.settings import RelaySettings
from cloudq.relay.source import Batch, Reader
from cloudq.relay.tally import Tally
from cloudq.running.backoff import Backoff

logger = SafeLogger("cloudq.relay")

# What was published in as long as this is settled before more is: it bounds what a relay that is killed does twice, and
# for how long it holds a transaction open.
SETTLE_AFTER: Final = timedelta(seconds=1)
FIRST_PAUSE: Final = timedelta(milliseconds=200)
LONGEST_PAUSE: Final = timedelta(seconds=10)
# Of the bodies of one take, about: payloads of any size wait in an outbox.
MOST_BYTES: Final = 32 * 1024 * 1024
# Of the time that a batch is this relay's, for the statement at its end.
SPARE: Final = timedelta(seconds=5)


class Pump:
    """One of a relay's. All but the attributes is for the thread that calls `round`.

    Args:
        open_reader: Opens the outbox, whose batches are the reader's for as long as it says.
        publisher: Where to.
        settings: The relay's.
        resting: The queues to leave out for now.
        tally: Counts what becomes of messages.
        more: Called when a take brought as many as it might, so that there may be more; before they are published.
        stop: Rung when the relay is to stop.
        clock: Where the time comes from.

    Attributes:
        down: Why the outbox couldn't be used the last time, or `None`.
        busy_since: When the round under way began, on `Clock.elapsed`; `None` between rounds.
    """

    def __init__(
        self,
        open_reader: Callable[[timedelta], Reader],
        publisher: Publisher,
        *,
        settings: RelaySettings,
        resting: Callable[[], Collection[str]],
        tally: Tally,
        more: Callable[[], None],
        stop: Doorbell,
        clock: Clock,
    ) -> None:
        self._open_reader = open_reader
        self._reader: Reader | None = None
        self._publisher = publisher
        self._most = self._limit = settings.batch
        self._lease = settings.lease
        self._resting = resting
        self._tally = tally
        self._more = more
        self._stop = stop
        self._clock = clock
        self._pause = Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        self.down: Exception | None = None
        self.busy_since: timedelta | None = None

    @property
    def failures(self) -> int:
        """How often in a row the outbox couldn't be used."""
        return self._pause.tries

    def round(self) -> int | None:
        """Takes, publishes and settles once. Never raises.

        Returns:
            How many messages were taken; `None` if the outbox couldn't be used.
        """
        self.busy_since = self._clock.elapsed()
        try:
            batch = self._taken()
            if batch is None:
                return 0
            lease = self._lease
            self._work(batch)
            if self._lease != lease:
                self.close()
            return len(batch.rows)
        except Exception as error:  # noqa: BLE001 - whatever it is, the relay tries again
            self._note_down(error)
            return None
        finally:
            self.busy_since = None

    def pause(self) -> None:
        """Waits after a failure, the longer the more there were; no longer once the relay is to stop."""
        self._stop.wait(0, self._pause.next())

    def close(self) -> None:
        """Closes its connection."""
        reader, self._reader = self._reader, None
        if reader is not None:
            try:
                reader.close()
            except Exception:  # a driver may raise anything; what it held is free once the connection is gone
                logger.debug("the outbox couldn't be closed", exc_info=True)

    def _taken(self) -> Batch | None:
        if self._reader is None:
            self._reader = self._open_reader(self._lease)
        batch = self._reader.take(self._limit, self._resting())
        self._note_up()
        rows = () if batch is None else batch.rows
        if len(rows) >= self._limit:
            self._more()
        self._learn_size(rows)
        return batch

    def _learn_size(self, rows: Sequence[OutboxRow]) -> None:
        """Has the next take bring fewer where they are large; more than the bound comes once at the most."""
        size = sum([len(row.body) for row in rows])
        fitting = len(rows) * MOST_BYTES // size if size > MOST_BYTES else 2 * self._limit
        self._limit = max(1, min(self._most, fitting))

    def _work(self, batch: Batch) -> None:
        """Publishes what was taken, as far as the time allows, and settles it."""
        began = self._clock.elapsed()
        done = Sorted([], [], [])

        def may_go_on(deadline: timedelta) -> bool:
            now = self._clock.elapsed()
            if now + deadline + SPARE > batch.ends:
                self._ask_for_longer(deadline)
                return False
            return not self._stop.rings and (now == began or now - began < SETTLE_AFTER)

        self._tally.add(in_hand=len(batch.rows))
        try:
            for part in self._publisher.publish(batch.rows, may_go_on):
                done.published.extend(part.published)
                done.failed.extend(part.failed)
                done.parked.extend(part.parked)
            self._settle(batch, done)
        finally:
            self._tally.add(in_hand=-len(batch.rows))

    def _ask_for_longer(self, deadline: timedelta) -> None:
        """Has later batches be this relay's for long enough, where a queue's sends may take longer than is usual."""
        needed = 2 * (deadline + SPARE)
        if needed > self._lease:
            logger.info("the outbox is opened anew, as sends to a queue may take %s", shown(deadline))
            self._lease = needed

    def _settle(self, batch: Batch, done: Sorted) -> None:
        for parked in done.parked:
            logger.error("message %d of the outbox is parked: %s", parked.id, parked.why)
        for failed in done.failed[:1]:
            logger.warning(
                "%d messages of the outbox are tried again, message %d in %s: %s",
                len(done.failed),
                failed.id,
                shown(failed.again_in),
                failed.why,
            )
        try:
            batch.settle(published=done.published, failed=done.failed, parked=done.parked)
        except Exception as error:
            if done.published:
                self._tally.add(late=len(done.published))
                logger.warning(
                    "%d messages were published, and the outbox can't be told: they may be published again",
                    len(done.published),
                )
            if not isinstance(error, LeaseLost):
                raise
            return
        self._tally.add(published=len(done.published), failed=len(done.failed), parked=len(done.parked))

    def _note_down(self, error: Exception) -> None:
        if self.down is None or type(self.down) is not type(error):
            logger.warning("the outbox can't be used, which is tried again: %s", error)
        self.down = error
        self.close()

    def _note_up(self) -> None:
        if self.down is not None:
            logger.info("the outbox can be used again")
            self.down = None
        self._pause.reset()
