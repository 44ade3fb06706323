"""`Storing`: messages go to the driver in batches, and those that fail for a moment go again while there is time.

```
 parcels ─▶ batch ─▶ blobs stored ─▶ driver.send ─▶ stored | refused | failed for a moment
                         ▲                                    │                │
                         ├──── at once, if it can be smaller ◀┘                │
                         └──── after a pause, while a further call fits ◀──────┘
```
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final

from cloudq.core.capabilities import Capabilities
from cloudq.core.clock import Clock
from cloudq.core.driver import Driver, Outgoing, SendResult
from cloudq.errors import BackendUnavailable, MessageTooLarge, TransientError
from cloudq.queues.claim_check import Blob, save_blobs
from cloudq.queues.fitting import fitted, smaller
from cloudq.queues.sizes import LearntSizes

# Beyond the SDK's own tries.
SEND_TRIES: Final = 4
# A whole operation may take as long as this many silent calls, so that one call that hangs leaves time for others.
CALLS_A_DEADLINE: Final = 3


class Parcel:
    """A message on its way to the driver.

    Attributes:
        outgoing: What the driver gets; a smaller form of it, once its queue has refused it as too large.
        blob: Its payload, which has to be in the claim-check store before.
        ends: By when its sender wants to know, on `Clock.elapsed`.
        referring: Makes the form that refers to its payload, and the blob of that; `None` where there is no such form.
    """

    __slots__ = ("blob", "ends", "outgoing", "referring")

    def __init__(
        self,
        outgoing: Outgoing,
        blob: Blob | None,
        ends: timedelta,
        referring: Callable[[], tuple[Outgoing, Blob]] | None = None,
    ) -> None:
        self.outgoing = outgoing
        self.blob = blob
        self.ends = ends
        self.referring = referring


class Storing:
    """The sends of one queue, each of which ends by its deadline: three times the longest call of the driver.

    Args:
        driver: The backend.
        capabilities: What the queue can do.
        clock: Where the time comes from.

    Attributes:
        sizes: How much the queue, and its dead-letter queue, are known to take.
        whole: How long an operation takes at most, one that stores a batch.
    """

    def __init__(self, driver: Driver, capabilities: Capabilities, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock
        self._capabilities = capabilities
        self.sizes = LearntSizes(clock)
        self._max_items = capabilities.max_batch
        self._max_bytes = capabilities.max_batch_bytes
        self._call_timeout = capabilities.call_timeout
        self.whole = CALLS_A_DEADLINE * self._call_timeout

    def deadline(self) -> timedelta:
        """When an operation that begins now ends, on `Clock.elapsed`."""
        return self._clock.elapsed() + self.whole

    @property
    def longest_wait(self) -> timedelta:
        """How long a parcel may wait for its call, so that the call still ends by its deadline."""
        return (CALLS_A_DEADLINE - 1) * self._call_timeout

    def store(self, parcels: Sequence[Parcel]) -> list[SendResult]:
        """One call of the driver, and more for the parcels that failed for a moment. Never raises.

        It ends by the earliest of the parcels' deadlines.
        """
        ends = parcels[0].ends if len(parcels) == 1 else min([parcel.ends for parcel in parcels])
        return self._store(parcels, ends)

    def store_in_batches(self, parcels: Sequence[tuple[int, Parcel]]) -> Iterator[tuple[int, SendResult]]:
        """Stores batch after batch; the results by the numbers given. Never raises.

        After a failure, later parcels of the same ordering key aren't tried. It goes on while anything is stored; the
        deadline counts from the last batch of which something was.
        """
        broken: set[str] = set()
        ends, first = self.deadline(), True
        for batch in self._batches(parcels):
            tried = []
            for index, parcel in batch:
                if parcel.outgoing.ordering_key in broken:
                    yield index, SendResult(error=out_of_order(parcel.outgoing.ordering_key))
                else:
                    tried.append((index, parcel))
            if not tried:
                continue
            if first or self._fits(ends):
                results = self._store([parcel for _, parcel in tried], ends)
            else:
                results = [SendResult(error=self._too_late())] * len(tried)
            first = False
            if any(result.error is None for result in results):
                ends = self.deadline()
            for (index, parcel), result in zip(tried, results, strict=True):
                if result.error is not None and parcel.outgoing.ordering_key is not None:
                    broken.add(parcel.outgoing.ordering_key)
                yield index, result

    def _batches(self, parcels: Sequence[tuple[int, Parcel]]) -> Iterator[list[tuple[int, Parcel]]]:
        """Cuts into batches of one queue by count and bytes; of an ordering key there is one a batch, in order."""
        batch: list[tuple[int, Parcel]] = []
        keys: set[str] = set()
        size = 0
        for entry in parcels:
            item = entry[1].outgoing
            too_large = self._max_bytes is not None and size + len(item.body) > self._max_bytes
            full = len(batch) >= self._max_items or too_large
            if batch and (full or item.ordering_key in keys or item.queue != batch[0][1].outgoing.queue):
                yield batch
                batch, keys, size = [], set(), 0
            batch.append(entry)
            size += len(item.body)
            if item.ordering_key is not None:
                keys.add(item.ordering_key)
        if batch:
            yield batch

    def _store(self, parcels: Sequence[Parcel], ends: timedelta) -> list[SendResult]:
        if len(parcels) == 1 and parcels[0].blob is None and not self.sizes.learnt:
            results = self._call_driver([parcels[0].outgoing])
            if len(results) == 1 and results[0].error is None:
                return results  # the usual case, a sender by itself: nothing is learnt of it
            results = self._send_smaller(parcels, results, ends)
        else:
            results = self._send_fitting(parcels, ends)
        failed = [index for index, result in enumerate(results) if isinstance(result.error, TransientError)]
        if failed and self._fits(ends):
            self._retry(parcels, results, failed, ends)
        return results

    def _retry(self, parcels: Sequence[Parcel], results: list[SendResult], failed: list[int], ends: timedelta) -> None:
        """Tries with back-off, each time only what still fails: a parcel is stored or reported, never both."""
        from tenacity import (
            RetryCallState,
            Retrying,
            retry_if_result,
            stop_after_attempt,
            wait_random_exponential,
        )

        def once() -> list[int]:
            for index, result in zip(
                list(failed), self._send_fitting([parcels[index] for index in failed], ends), strict=True
            ):
                results[index] = result
                if not isinstance(result.error, TransientError):
                    failed.remove(index)
            return failed

        often_enough = stop_after_attempt(SEND_TRIES)

        def is_over(state: RetryCallState) -> bool:
            return often_enough(state) or not self._fits(ends - timedelta(seconds=state.upcoming_sleep))

        Retrying(
            retry=retry_if_result(bool),
            stop=is_over,
            wait=wait_random_exponential(multiplier=0.1, max=2),
            retry_error_callback=lambda _: None,
        )(once)

    def _send_fitting(self, parcels: Sequence[Parcel], ends: timedelta) -> list[SendResult]:
        """One call of the driver, and further ones for what was too large, as long as it can be made smaller."""
        for parcel in parcels:
            learnt = self.sizes.of(parcel.outgoing.queue)
            if learnt is not None:
                parcel.outgoing = fitted(parcel.outgoing, learnt, self._capabilities)
        return self._send_smaller(parcels, self._send(parcels), ends)

    def _send_smaller(self, parcels: Sequence[Parcel], results: list[SendResult], ends: timedelta) -> list[SendResult]:
        """After the answer to a call: further calls for those that were too large."""
        places = list(range(len(parcels)))
        while places := [place for place in places if self._note_size(parcels[place], results[place].error)]:
            if not self._fits(ends):
                break
            for place, result in zip(places, self._send([parcels[place] for place in places]), strict=True):
                results[place] = result
        return results

    def _note_size(self, parcel: Parcel, error: Exception | None) -> bool:
        """Learns from the answer to one parcel. `True` if it was too large, and is smaller now."""
        item = parcel.outgoing
        if error is None:
            self.sizes.note_stored(item)
        if not isinstance(error, MessageTooLarge):
            return False
        self.sizes.note_refused(item, error)
        if parcel.referring is not None:
            parcel.outgoing, parcel.blob = parcel.referring()
            parcel.referring = None
            return True
        shorter = smaller(item, error, self._capabilities)
        if shorter is None:
            return False
        parcel.outgoing = shorter
        return True

    def _send(self, parcels: Sequence[Parcel]) -> list[SendResult]:
        """One call of the driver, after the blobs are stored."""
        unsaved = save_blobs([parcel.blob for parcel in parcels])
        if unsaved:
            # Nothing may refer to a blob that isn't there.
            sent = iter(self._send([parcel for index, parcel in enumerate(parcels) if index not in unsaved]))
            return [
                SendResult(error=unsaved[index]) if index in unsaved else next(sent) for index in range(len(parcels))
            ]
        return self._call_driver([parcel.outgoing for parcel in parcels]) if parcels else []

    def _call_driver(self, items: Sequence[Outgoing]) -> list[SendResult]:
        try:
            return list(self._driver.send(items))
        except Exception as error:  # noqa: BLE001 - reported for each item: the failure of some never hides the others
            return [SendResult(error=error)] * len(items)

    def _fits(self, ends: timedelta) -> bool:
        """Whether a call that takes as long as it may still ends in time."""
        return self._clock.elapsed() + self._call_timeout <= ends

    def _too_late(self) -> BackendUnavailable:
        return BackendUnavailable(
            f"not tried: for {self.whole.total_seconds():g} s nothing could be stored before it",
            hint=TIMEOUT_HINT,
        )


TIMEOUT_HINT: Final = "send it again later; the backend URL's parameter `timeout` says how long to try"


def out_of_order(key: str | None) -> TransientError:
    """The error of a message that must not overtake one of its ordering key which was not stored."""
    return TransientError(
        f"not tried: an earlier message of ordering key {key!r} was not stored, and this one must not overtake it",
        hint="send the failed ones again, in order",
    )
