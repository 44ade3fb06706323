"""`Batcher`: natural batching. Whoever arrives while a call is in flight joins the next one.

```
 thread A  call ─▶ flies at once (nobody else is there) ──────────▶ done
 thread B       call ─▶ waits ──────────────────── A landed: leads B + C + D ─────▶ done
 thread C          call ─▶ waits ──────────────────────── waits ──────────────────▶ done
```

No timer runs when nothing waits, no thread is needed for blocking calls (safe in a function that is frozen
between requests), and a call returns only when its own item was stored.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.errors import BackendUnavailable

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

# A waiter that has waited so long starts another flight beside the one that keeps it waiting.
STALL = timedelta(milliseconds=50)
# A flusher thread with nothing to do ends after this.
FLUSHER_IDLE = timedelta(seconds=5)


class _Entry(Generic[ItemT, ResultT]):
    __slots__ = ("future", "item", "key", "since", "size")

    def __init__(self, item: ItemT, size: int, key: Hashable, since: datetime) -> None:
        self.item = item
        self.size = size
        self.key = key
        self.since = since
        self.future: Future[ResultT] = Future()
        # From now on it can't be cancelled: cancelling a caller doesn't unsend.
        self.future.set_running_or_notify_cancel()


class Batcher(Generic[ItemT, ResultT]):
    """Collects items from many threads into few calls.

    Args:
        flush: Makes the call. Gives one result an item, in order; raising fails the whole batch.
        max_items: The most items a call.
        max_bytes: The most bytes a call, or `None` for no bound. A larger single item flies alone.
        size: The bytes of an item.
        key: An item's ordering key, or `None`. Of one key one item flies at a time, so that a partial failure can't
            change the order.
        max_flights: The most calls at once.
        clock: Where the time comes from.
        name: For the flusher threads.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[ItemT]], Sequence[ResultT]],
        *,
        max_items: int,
        max_bytes: int | None = None,
        size: Callable[[ItemT], int] | None = None,
        key: Callable[[ItemT], Hashable] | None = None,
        max_flights: int = 4,
        clock: Clock = SYSTEM_CLOCK,
        name: str = "cloudq-batcher",
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._size = size
        self._key = key
        self._max_flights = max_flights
        self._clock = clock
        self._name = name
        self._changed = threading.Condition()
        # All below is guarded by the condition's lock.
        self._waiting: deque[_Entry[ItemT, ResultT]] = deque()
        self._flights = 0
        self._keys_in_flight: set[Hashable] = set()
        self._flushers = 0
        self._idle_flushers = 0

    def call(self, item: ItemT) -> ResultT:
        """Returns the item's result, once the call that carried it has ended. May make that call itself."""
        entry = self._entry(item)
        with self._changed:
            self._waiting.append(entry)
            while not entry.future.done():
                batch = self._next_batch()
                if batch:
                    self._fly(batch)
                else:
                    self._clock.wait(self._changed, self._until_stalled())
        return entry.future.result()

    def submit(self, item: ItemT) -> Future[ResultT]:
        """The future of the item's result; a flusher thread makes the call. Cancelling it does nothing."""
        entry = self._entry(item)
        with self._changed:
            self._waiting.append(entry)
            if not self._idle_flushers and self._flushers < self._max_flights:
                self._flushers += 1
                threading.Thread(target=self._run_flusher, name=f"{self._name}-{self._flushers}", daemon=True).start()
            self._changed.notify_all()
        return entry.future

    def _entry(self, item: ItemT) -> _Entry[ItemT, ResultT]:
        size = self._size(item) if self._size else 0
        key = self._key(item) if self._key else None
        return _Entry(item, size, key, self._clock.now())

    def _next_batch(self) -> list[_Entry[ItemT, ResultT]]:
        """Takes the next batch off the queue, if one may fly now."""
        if not self._waiting or self._flights >= self._max_flights:
            return []
        if self._flights and len(self._waiting) < self._max_items and not self._stalled():
            return []
        batch: list[_Entry[ItemT, ResultT]] = []
        passed: list[_Entry[ItemT, ResultT]] = []
        keys = set(self._keys_in_flight)
        size = 0
        while self._waiting and len(batch) < self._max_items:
            entry = self._waiting.popleft()
            if entry.key is not None and entry.key in keys:
                passed.append(entry)
                continue
            if batch and self._max_bytes is not None and size + entry.size > self._max_bytes:
                passed.append(entry)
                break
            batch.append(entry)
            size += entry.size
            if entry.key is not None:
                keys.add(entry.key)
        self._waiting.extendleft(reversed(passed))
        return batch

    def _fly(self, batch: list[_Entry[ItemT, ResultT]]) -> None:
        """Makes the call, with the lock released meanwhile, and passes the lead on however it ends."""
        self._flights += 1
        keys = {entry.key for entry in batch if entry.key is not None}
        self._keys_in_flight |= keys
        self._changed.release()
        outcome: Sequence[ResultT] | Exception = BackendUnavailable(
            "the call that carried this item was interrupted; it may have been stored"
        )
        try:
            outcome = self._flush([entry.item for entry in batch])
            if len(outcome) != len(batch):
                outcome = RuntimeError(f"{len(batch)} items went out and {len(outcome)} results came back")
        except Exception as error:  # noqa: BLE001 - whatever the call raised belongs to the callers whose items it carried
            outcome = error
        finally:
            # Also when a KeyboardInterrupt ends the leader: its passengers must not wait for ever.
            self._changed.acquire()
            self._flights -= 1
            self._keys_in_flight -= keys
            _resolve(batch, outcome)
            self._changed.notify_all()

    def _run_flusher(self) -> None:
        with self._changed:
            while True:
                batch = self._next_batch()
                if batch:
                    self._fly(batch)
                    continue
                self._idle_flushers += 1
                woken = self._clock.wait(self._changed, self._until_stalled() or FLUSHER_IDLE)
                self._idle_flushers -= 1
                if not woken and not self._waiting:
                    self._flushers -= 1
                    return

    def _stalled(self) -> bool:
        return self._clock.now() - self._waiting[0].since >= STALL

    def _until_stalled(self) -> timedelta | None:
        """How long until the oldest waiter may start a flight of its own; `None` if only a landing can help."""
        if not self._waiting or self._flights >= self._max_flights:
            return None
        left = STALL - (self._clock.now() - self._waiting[0].since)
        # Past its time and still here: its ordering key is in flight, so only a landing can help.
        return left if left > timedelta(0) else STALL


def _resolve(batch: list[_Entry[ItemT, ResultT]], outcome: Sequence[ResultT] | Exception) -> None:
    if isinstance(outcome, Exception):
        for entry in batch:
            entry.future.set_exception(outcome)
        return
    for entry, result in zip(batch, outcome, strict=True):
        entry.future.set_result(result)
