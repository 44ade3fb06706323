"""`Gate`: deliveries in the worker's hand that wait until a limit lets them start, and polls that wait with them.

```
 offer ─▶ waiting ─▶ admits? ─┬─ yes ─▶ running ─▶ leave
                       ▲      └─ no ──▶ parked ─┬─ its turn has come ─▶ waiting, as the next one
                       │                        └─ that takes too long ─▶ given back, uncounted
 next_poll ─▶ allows? ─┴─ no: the queue isn't asked for what couldn't start
```

All limits of a delivery are entered at once, just before it starts, or none. Under one limit it is first come, first
served. No more than one delivery of an ordering key is in hand, so none of it overtakes another.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.observing import Observer
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import CloudqError
from cloudq.flow.limit import Limit, enter
from cloudq.running.held import HeldLease
from cloudq.worker.books import Books
from cloudq.worker.in_hand import GoingBack
from cloudq.worker.waiting import Arrived

logger = SafeLogger("cloudq.worker")

# Of a queue whose messages have limits of different kinds: beyond it nothing more of it is received.
MOST_PARKED: Final = 100
ZERO: Final = timedelta(0)


class Gate:
    """What waits for a limit. All but `ask` is under the intake's lock, unless it says otherwise.

    Args:
        books: The intake's.
        limits_of: The limits of a delivery.
        queue_limits: The limits of all deliveries of a queue, by its name.
        keeps: Whether a queue's deliveries stay in hand however long they wait: one that is given back is counted.
        clock: Where the time comes from.
        observer: Learns why a queue is held back; `None` for nobody.
    """

    def __init__(
        self,
        books: Books,
        *,
        limits_of: Callable[[HeldLease], Sequence[Limit]],
        queue_limits: Callable[[str], Sequence[Limit]],
        keeps: Callable[[str], bool],
        clock: Clock,
        observer: Observer | None = None,
    ) -> None:
        self.lock = books.lock
        self.changed = threading.Condition(books.lock)
        self._books = books
        self._limits_of = limits_of
        self._of_queue = {name: queue_limits(name) for name in books.queues}
        self._keeps = keeps
        self._clock = clock
        self._observer = observer
        self._held_back: dict[str, str] = {}  # why, by queue, as the observer knows it
        self._parked: dict[Limit, deque[HeldLease]] = {}
        self._since: dict[HeldLease, timedelta] = {}
        self._of: Counter[str] = Counter()  # the parked ones, by queue
        self._passed: set[HeldLease] = set()  # entered, and waiting for the slot that is free for them
        self._wishes: set[Limit] = set()  # of those whose queues are to be asked for more
        self._asking: set[Limit] = set()
        self._tended: set[Limit] = set()  # of those that have something to renew, or to give back

    def know(self, held: Sequence[HeldLease]) -> None:
        """Finds out the limits of what has arrived. Not under the lock: a key may be a function of the user's."""
        for one in held:
            one.limits = tuple(self._limits_of(one))

    # ── deliveries ───────────────────────────────────────────────────────────────────────────────────────

    def admits(self, held: HeldLease, now: timedelta) -> bool:
        """Whether it may start now; else it is parked."""
        if held in self._passed:
            self._passed.discard(held)
            return True
        ahead = next((limit for limit in held.limits if limit in self._parked), None) or self._enter(held, now)
        if ahead is None:
            return True
        self._park(held, ahead, now)
        self.changed.notify_all()
        return False

    def leave(self, held: HeldLease, *, failed: bool | None) -> None:
        """What was admitted has ended, or won't start after all. Takes the lock."""
        if held.limits:
            with self.lock:
                self._leave(held, failed)

    def undo(self, held: HeldLease) -> None:
        """What was admitted just now doesn't start: it will ask again."""
        for limit in reversed(held.limits):
            limit.undo()

    def forget(self, held: Sequence[HeldLease]) -> None:
        """What waited for a slot goes back: its places are free again."""
        for one in held:
            if one in self._passed:
                self._passed.discard(one)
                self._leave(one, None)

    def release(self, now: timedelta) -> bool:
        """Has those start that may, as far as slots are free. Whether there were some."""
        books = self._books
        free = books.slots - len(books.running) - len(self._passed) if books.may_start() and not books.closed else 0
        passed: list[HeldLease] = []
        for limit, parked in list(self._parked.items()):
            while parked and len(passed) < free:
                held = parked[0]
                if held.lost.is_set() or held.over(now):  # it is somebody else's by now
                    self._unpark(held, limit)
                    books.epoch += 1
                    continue
                ahead = self._enter(held, now)
                if ahead is limit:
                    break
                if ahead is None:
                    self._unpark(held, limit)
                    passed.append(held)
                else:
                    self._move(held, limit, ahead)
        for held in reversed(passed):
            self._passed.add(held)
            books.queues[held.delivery.queue].waiting.appendleft(Arrived(held, now, back=True))
        books.waiting += len(passed)
        if passed:
            books.wake_taker()
        return bool(passed)

    def take_overdue(self, now: timedelta) -> list[GoingBack]:
        """Takes out what would wait for too long: for a limit that is spent, or half a lease for any other reason."""
        overdue: list[GoingBack] = []
        for limit, parked in list(self._parked.items()):
            for place, held in enumerate(list(parked)):
                queue = held.delivery.queue
                wait = limit.wait(now, place)
                too_long = now - self._since[held] > self._books.queues[queue].lease / 2
                if (wait is not None or too_long) and not self._keeps(queue):
                    self._unpark(held, limit)
                    overdue.append(GoingBack(held, wait or self._books.queues[queue].lease / 4))
        self._books.settle([one.held for one in overdue])
        return overdue

    def take_all(self) -> list[HeldLease]:
        """Takes out all that is parked."""
        left = [held for parked in self._parked.values() for held in parked]
        for limit, parked in list(self._parked.items()):
            for held in list(parked):
                self._unpark(held, limit)
        return left

    # ── polls ────────────────────────────────────────────────────────────────────────────────────────────

    def allows(self, queue: str, count: int, now: timedelta) -> int:
        """How many of `count` a poll of the queue may ask for."""
        own = self._books.queues[queue]
        if self._of[queue] >= MOST_PARKED:
            return 0
        in_hand = len(own.waiting) + own.polls.fresh(now)
        for limit in self._of_queue[queue]:
            room = limit.room(now, len(self._parked.get(limit, ())) + in_hand)
            if room < 1:
                self._wishes.add(limit)
                self.changed.notify_all()
            count = min(count, room)
        if self._observer is not None:
            self._tell(self._observer, queue)
        return count

    def note_poll(self, queue: str, brought: int) -> None:
        """A poll of the queue is over."""
        if not brought:
            for limit in self._of_queue[queue]:
                limit.note_empty()

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────

    def asks(self, now: timedelta) -> list[tuple[Limit, int]]:
        """What is to be asked for now, by `ask`."""
        asks: list[tuple[Limit, int]] = []
        self._tended = {limit for limit in self._tended if not limit.is_idle}
        for limit in {*self._parked, *self._wishes, *self._tended} - self._asking:
            count = limit.wants(now, len(self._parked.get(limit, ())), polling=limit in self._wishes)
            if count:
                self._asking.add(limit)
                self._wishes.discard(limit)
                asks.append((limit, count))
        return asks

    def ask(self, limit: Limit, count: int) -> None:
        """Asks for it. Takes the lock, but not while it waits for the store. Never raises."""
        try:
            answer = limit.ask(count)
        except Exception as failure:  # noqa: BLE001 - a store's package may raise anything, and the worker outlives it
            with self.lock:
                news = limit.note_failure(self._clock.elapsed())
                self._asked(limit)
            say = logger.error if news else logger.debug
            say(
                "the limit of %s can't be asked for in the store, so what it holds for waits: %s",
                limit.name,
                failure,
                # Its words say it all where the store is down; what isn't an error of ours is unexpected.
                exc_info=None if isinstance(failure, CloudqError) else failure,
            )
        else:
            with self.lock:
                answer(self._clock.elapsed())
                self._asked(limit)

    def next_at(self, now: timedelta) -> timedelta | None:
        """When something may change by itself."""
        moments = [limit.next_at(now) for limit in {*self._parked, *self._wishes, *self._tended}]
        return min((moment for moment in moments if moment is not None), default=None)

    # ── within ───────────────────────────────────────────────────────────────────────────────────────────

    def _enter(self, held: HeldLease, now: timedelta) -> Limit | None:
        """The limit in the way, if there is one."""
        held.entered = now
        return enter(held.limits, now)

    def _move(self, held: HeldLease, limit: Limit, to: Limit) -> None:
        """Another limit is in its way now."""
        self._parked[limit].remove(held)
        if not self._parked[limit]:
            del self._parked[limit]
        self._parked.setdefault(to, deque()).append(held)

    def _park(self, held: HeldLease, limit: Limit, since: timedelta) -> None:
        self._parked.setdefault(limit, deque()).append(held)
        self._since[held] = since
        self._of[held.delivery.queue] += 1
        self._books.parked += 1

    def _unpark(self, held: HeldLease, limit: Limit) -> None:
        parked = self._parked[limit]
        parked.remove(held)
        if not parked:
            del self._parked[limit]
        del self._since[held]
        self._of[held.delivery.queue] -= 1
        self._books.parked -= 1

    def _tell(self, observer: Observer, queue: str) -> None:
        why = next((limit.holds_back for limit in self._of_queue[queue] if limit.holds_back is not None), None)
        if why == self._held_back.get(queue):
            return
        if why is None:
            del self._held_back[queue]
        else:
            self._held_back[queue] = why
        observer.held_back(queue, why)

    def _asked(self, limit: Limit) -> None:
        self._asking.discard(limit)
        if not limit.is_idle:
            self._tended.add(limit)
        self.changed.notify_all()

    def _leave(self, held: HeldLease, failed: bool | None) -> None:
        now = self._clock.elapsed()
        for limit in held.limits:
            limit.leave(now, entered=held.entered, failed=failed)
        self.changed.notify_all()
