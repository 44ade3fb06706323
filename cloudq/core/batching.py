"""`Batcher`: natural batching. Callers that arrive while a call is in flight join the next one.

```
 thread A  call ─▶ flies at once (nobody else is there) ──────────▶ done
 thread B       call ─▶ waits ──────────────────── A landed: leads B + C + D ─────▶ done
 thread C          call ─▶ waits ──────────────────────── waits ──────────────────▶ done
```

No timer runs when nothing waits, no thread is needed for blocking calls (safe in a function that is frozen
between requests), and a call returns only when its own item was stored.

An item waits in one of two places: in the queue, from which it may fly at once, or behind the earlier item of its
ordering key that waits or flies. So whatever is in the queue may fly in one batch.

The words here:

- An *entry* is an item that waits for its result; a *flight* is one call, and its *batch* the entries that it carries.
- A *pilot* is a thread that makes calls: a caller that flies what waits together with its own item, or a *flusher*, a
  thread of the batcher's that flies what was submitted.
- A pilot *boards* (takes a batch off the queue), *flies* (makes the call) and *lands* (hands out the results).
- A flight *stalls* when somebody has waited for it for long; then another one may start beside it.
- A pilot that is interrupted *crashes*: those whose items it carried get an error, since nobody knows what was stored.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import Generic

from cloudq.core import flights
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.flights import Entry, ItemT, Pilot, ResultT, Then
from cloudq.core.threads import Threads
from cloudq.errors import BackendUnavailable

# A waiter that has waited for this long starts another flight beside the one that keeps it waiting.
STALL = timedelta(milliseconds=50)
# A flusher thread with nothing to do ends after this.
FLUSHER_IDLE = timedelta(seconds=5)

_ZERO = timedelta(0)


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
        max_wait: How long an item may wait for its call to begin, or `None` for any time. What waited longer is not
            sent, but fails with `BackendUnavailable`.
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
        max_wait: timedelta | None = None,
        clock: Clock = SYSTEM_CLOCK,
        name: str = "cloudq-batcher",
    ) -> None:
        if max_items < 1 or max_flights < 1:
            raise ValueError(f"max_items is {max_items} and max_flights {max_flights}: each is at least 1")
        self._flush = flush
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._size = size
        self._key = key
        self._max_flights = max_flights
        self._max_wait = max_wait
        self._clock = clock
        # Twice as many as there are flushers at once: the thread of one that retires takes a moment to end.
        self._threads = Threads(name, 2 * max_flights, clock=clock, idle=_ZERO)
        # Two conditions of one lock. Callers wait on the first, and all look up at each landing; idle flushers on the
        # second, of which one is woken: else each item of a busy worker would wake all of them.
        # The lock is taken by itself, in a single step: a Condition's `__enter__` can be interrupted when it has it.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._wanted = threading.Condition(self._lock)
        # All below is guarded by that lock.
        self._waiting: deque[Entry[ItemT, ResultT]] = deque()
        self._waiting_bytes = 0
        # For each key that has an item waiting or in flight: the later ones, in order.
        self._behind: dict[Hashable, deque[Entry[ItemT, ResultT]]] = {}
        self._airborne: set[Pilot[ItemT, ResultT]] = set()
        # All entries that haven't landed, by arrival: what the rest is made of anew after an interruption.
        self._entries: dict[Entry[ItemT, ResultT], None] = {}
        self._flushers = 0
        self._idle_flushers = 0

    def call(self, item: ItemT) -> ResultT:
        """Returns the item's result, once the call that carried it has ended. May make that call itself.

        Interrupted while it waits (`KeyboardInterrupt`), it takes the item back.

        Raises:
            BackendUnavailable: It waited for longer than `max_wait`, so the item was not sent.
        """
        entry = self._entry(item)
        pilot: Pilot[ItemT, ResultT] = Pilot()
        try:
            with self._lock:
                self._add(entry) if self._entries else self._board_alone(pilot, entry)
            if pilot.batch:
                self._fly(pilot)
            while not entry.landed and self._await_batch(pilot, entry):
                self._fly(pilot)
        except BaseException as interruption:
            # The others whose items it carries must not wait forever; nobody waits for its own item any more.
            try:
                self._crash(pilot, interruption)
            except BaseException:  # noqa: BLE001 - a second one, while it cleared up: the first one is raised
                self._crash(pilot, interruption)
            self._withdraw(entry)
            raise
        if entry.error is not None:
            raise entry.error
        return entry.result

    def submit(self, item: ItemT) -> Future[ResultT]:
        """The future of the item's result; a flusher thread makes the call. Cancelling it does nothing.

        Raises:
            RuntimeError: No thread could be started. The item is not sent.
        """
        future: Future[ResultT] = Future()
        future.set_running_or_notify_cancel()  # cancelling a caller doesn't unsend
        self.post(item, partial(flights.set_future, future))
        return future

    def post(self, item: ItemT, then: Then[ItemT, ResultT]) -> None:
        """As `submit`, without the cost of a future: `then` is called with the item's entry, once it has landed.

        That happens in the thread that made the call, which waits for it. What it raises is logged.

        Raises:
            RuntimeError: No thread could be started. The item is not sent.
        """
        entry = self._entry(item)
        entry.then = then
        with self._lock:
            self._add(entry)
            if not self._have_flusher():
                self._withdraw(entry)
                raise RuntimeError("can't start new thread: there is none to carry the item")
            # Items in between need no wake-up: the flusher woken by the first one takes them, or waits for the stall.
            if len(self._waiting) == 1 or self._full():
                self._wanted.notify()

    def _entry(self, item: ItemT) -> Entry[ItemT, ResultT]:
        return Entry(item, self._size(item) if self._size else 0, self._key(item) if self._key else None)

    # ── what waits ───────────────────────────────────────────────────────────────────────────────────────

    def _add(self, entry: Entry[ItemT, ResultT]) -> None:
        entry.since = self._clock.elapsed()
        entry.until = None if self._max_wait is None else entry.since + self._max_wait
        self._entries[entry] = None
        if entry.key is not None:
            if entry.key in self._behind:
                self._behind[entry.key].append(entry)
                return
            self._behind[entry.key] = deque()
        self._enqueue(entry)

    def _enqueue(self, entry: Entry[ItemT, ResultT]) -> None:
        self._waiting.append(entry)
        self._waiting_bytes += entry.size

    def _advance(self, key: Hashable) -> None:
        """The first item of a key is gone: the one behind it may fly."""
        if self._behind[key]:
            entry = self._behind[key].popleft()
            entry.since = self._clock.elapsed()
            self._enqueue(entry)
        else:
            del self._behind[key]

    def _pending(self) -> bool:
        return bool(self._waiting) or any(self._behind.values())

    def _withdraw(self, entry: Entry[ItemT, ResultT]) -> bool:
        """Takes an item back that hasn't flown. Returns whether it could."""
        with self._lock:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._waiting_bytes -= entry.size
                self._entries.pop(entry, None)
                if entry.key is not None:
                    self._advance(entry.key)
                self._changed.notify_all()
                self._wanted.notify()
                return True
            if entry in self._behind.get(entry.key, ()):
                self._behind[entry.key].remove(entry)
                self._entries.pop(entry, None)
                return True
            return False

    # ── flights ──────────────────────────────────────────────────────────────────────────────────────────

    def _await_batch(self, pilot: Pilot[ItemT, ResultT], entry: Entry[ItemT, ResultT]) -> bool:
        """Waits until there is a batch to fly, or (false) until the entry's own call has ended."""
        with self._lock:
            while not entry.landed:
                if self._board(pilot):
                    return True
                left = None if entry.until is None else entry.until - self._clock.elapsed()
                if left is not None and left <= _ZERO and self._withdraw(entry):
                    raise flights.waited_too_long(self._max_wait)
                stalled = self._until_stalled()
                # A call that carries the item already is waited for: it ends by a deadline of its own.
                wait = stalled if left is None or left <= _ZERO else left if stalled is None else min(stalled, left)
                self._clock.wait(self._changed, wait)
        return False

    def _board_alone(self, pilot: Pilot[ItemT, ResultT], entry: Entry[ItemT, ResultT]) -> None:
        """Boards with the only item that there is, as a sender by itself does each time. It doesn't wait: no times."""
        self._entries[entry] = None
        if entry.key is not None:
            self._behind[entry.key] = deque()
        self._airborne.add(pilot)
        pilot.batch, pilot.alone = [entry], True

    def _board(self, pilot: Pilot[ItemT, ResultT]) -> bool:
        """Takes the next batch off the queue, if one may fly now."""
        if not self._waiting or len(self._airborne) >= self._max_flights:
            return False
        if self._airborne and not self._full() and not self._stalled():
            return False
        self._airborne.add(pilot)
        now = None if self._max_wait is None else self._clock.elapsed()
        self._waiting_bytes -= flights.fill(pilot, self._waiting, self._max_items, self._max_bytes, now)
        if self._waiting:
            self._wanted.notify()  # somebody must be there for the rest, should this flight stall
        return True

    def _full(self) -> bool:
        by_bytes = self._max_bytes is not None and self._waiting_bytes >= self._max_bytes
        return by_bytes or len(self._waiting) >= self._max_items

    def _stalled(self) -> bool:
        return self._clock.elapsed() - self._waiting[0].since >= STALL

    def _until_stalled(self) -> timedelta | None:
        """How long until the oldest waiter may start a flight of its own; `None` if only a landing can help."""
        if not self._waiting or len(self._airborne) >= self._max_flights:
            return None
        return max(_ZERO, STALL - (self._clock.elapsed() - self._waiting[0].since))

    def _fly(self, pilot: Pilot[ItemT, ResultT]) -> None:
        """Makes the call, without the lock. What interrupts it is raised; `_crash` is to be called then."""
        outcome: Sequence[ResultT] | Exception
        pilot.flies = True
        try:
            outcome = self._flush([entry.item for entry in pilot.batch]) if pilot.batch else []
            if len(outcome) != len(pilot.batch):
                outcome = RuntimeError(f"{len(pilot.batch)} items went out and {len(outcome)} results came back")
        except Exception as error:  # noqa: BLE001 - whatever the call raised belongs to the callers whose items it carried
            outcome = error
        self._land(pilot, outcome)

    def _land(self, pilot: Pilot[ItemT, ResultT], outcome: Sequence[ResultT] | Exception) -> None:
        # Not under the lock: what is called at a landing may take its time.
        flights.resolve(pilot.batch, outcome)
        if pilot.late:
            flights.resolve(pilot.late, flights.waited_too_long(self._max_wait))
        with self._lock:
            for landed in (pilot.batch, pilot.late):
                while landed:
                    entry = landed.pop(0)
                    self._entries.pop(entry, None)
                    if entry.key is not None:
                        self._advance(entry.key)
            self._airborne.discard(pilot)
            pilot.flies = False
            if self._entries or not pilot.alone:  # else there is nobody who waits
                self._changed.notify_all()
            if self._waiting and not pilot.stays:
                self._wanted.notify()

    def _crash(self, pilot: Pilot[ItemT, ResultT], interruption: BaseException) -> None:
        """Clears up after an interruption, wherever it struck.

        Those whose items were in a call learn that they may have been stored; what hadn't flown waits again.
        """
        if pilot.flies:
            lost = BackendUnavailable("the call that carried this item was interrupted; it may have been stored")
            lost.__cause__ = interruption
            flights.resolve(pilot.batch, lost, again=True)
        with self._lock:
            self._airborne.discard(pilot)
            pilot.batch.clear()
            pilot.late.clear()
            pilot.flies = False
            self._entries, self._waiting, self._behind = flights.sort_anew(self._entries, self._airborne)
            self._waiting_bytes = sum(entry.size for entry in self._waiting)
            self._changed.notify_all()
            self._wanted.notify()

    # ── flusher threads ──────────────────────────────────────────────────────────────────────────────────

    def _have_flusher(self) -> bool:
        """Sees to it that one is idle, if there may be another. Returns whether there is one at all."""
        if not self._idle_flushers and self._flushers < self._max_flights:
            self._flushers += 1
            if not self._threads.start(self._run_flusher):
                self._flushers -= 1
        return self._flushers > 0

    def _run_flusher(self) -> None:
        pilot: Pilot[ItemT, ResultT] = Pilot(stays=True)
        while self._await_batch_or_retire(pilot):
            try:
                self._fly(pilot)
            except BaseException as interruption:  # noqa: BLE001 - those who wait get it as the cause of their error
                self._crash(pilot, interruption)

    def _await_batch_or_retire(self, pilot: Pilot[ItemT, ResultT]) -> bool:
        """Waits until there is a batch to fly, or (false) until there has been nothing to do for a while."""
        with self._lock:
            while not self._board(pilot):
                self._idle_flushers += 1
                stalled = self._until_stalled()
                woken = self._clock.wait(self._wanted, FLUSHER_IDLE if stalled is None else stalled)
                self._idle_flushers -= 1
                if not woken and not self._pending():
                    self._flushers -= 1
                    return False
            if self._pending():
                # Submitted before this flight, which may stall: somebody else must be there to see to it.
                self._have_flusher()  # without another thread, this one comes back
            return True
