"""`MemoryDriver`: the driver contract in one process, with the capabilities of any backend one wants to stand for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final as Const

from cloudq.core.clock import SYSTEM_CLOCK, Clock, later
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import (
    Cancels,
    Capabilities,
    ExtendResult,
    Final,
    Outgoing,
    QueueStats,
    SendResult,
    SettleResult,
)
from cloudq.core.message import dead_letter_queue, is_ordered
from cloudq.drivers.memory.dead_letters import MemoryDeadLetters
from cloudq.drivers.memory.pausing import Pausing
from cloudq.drivers.memory.settling import Settler, batch_refused
from cloudq.drivers.memory.store import Entry, Shelf, Store
from cloudq.errors import BackendError, MessageTooLarge, QueueNotFound, UnsupportedError

MAX_BODY: Const = 1024 * 1024
DEDUP_WINDOW: Const = timedelta(minutes=5)
MAX_BATCH: Const = 500
# The longest release. There is no bound by itself, but `now` plus this is still a datetime.
ANY_DELAY: Const = timedelta(days=100 * 365)
# How much larger a copy may be than what a producer may send (semantics 6).
COPY_ROOM: Const = 16 * 1024


class MemoryDriver(Pausing):
    """Keeps messages in this process; implements `cloudq.core.driver.PullDriver`. Thread-safe.

    Args:
        clock: Where the time comes from.
        capabilities: What each queue can do, where that is not to be everything. The driver behaves so: what a queue
            lacks is refused with `UnsupportedError`, what exceeds a bound too. `cloudq.testing.profiles` has some.
        max_body: The most bytes that a producer may send, where `capabilities` doesn't say.
        dedup_window: How long a native id is remembered, where `capabilities` doesn't say.
        queues: The only queues that exist, each with its dead-letter queue; `None` lets the first send make any.
    """

    def __init__(
        self,
        *,
        clock: Clock = SYSTEM_CLOCK,
        capabilities: Callable[[str], Capabilities] | None = None,
        max_body: int = MAX_BODY,
        dedup_window: timedelta = DEDUP_WINDOW,
        queues: Collection[str] | None = None,
    ) -> None:
        self._clock = clock
        self._capabilities = capabilities or _everything(max_body, dedup_window)
        self._queues = None if queues is None else {*queues, *map(dead_letter_queue, queues)}
        self._open(Store())

    def _open(self, store: Store) -> None:
        self._store = store
        self._settler = Settler(store, self._clock, self.capabilities)
        self._closed = False
        self._interruptions = 0

    def __repr__(self) -> str:
        """Nothing of what it keeps."""
        return "MemoryDriver()"

    def share(self) -> MemoryDriver:
        """Another client of the same messages, interrupted and closed by itself."""
        client = type(self)(clock=self._clock, capabilities=self._capabilities, queues=self._queues)
        client._open(self._store)
        return client

    @property
    def sent(self) -> list[Outgoing]:
        """What was stored, oldest first, copies too: the newest 10,000. For tests."""
        with self._store.changed:
            return list(self._store.sent)

    @property
    def queues(self) -> list[str]:
        """The queues that were used so far, dead-letter queues that are queues included. For tests."""
        with self._store.changed:
            return [name for name in self._store.shelves if not self._settler.is_dead_shelf(name)]

    def next_due(self, queue: str) -> datetime | None:
        """When a message of the queue may become visible, or `None` if it keeps none. For tests."""
        with self._store.changed:
            due = self._shelf(queue).next_at()
        return None if due is None else later(self._clock.now(), due - self._clock.elapsed())

    def capabilities(self, queue: str) -> Capabilities:
        """As given; by default everything, with order where the name ends in `.fifo`, and fairness elsewhere."""
        return self._capabilities(queue)

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Stores them in memory."""
        if not outgoing:
            return []
        queue = outgoing[0].queue
        if any(item.queue != queue for item in outgoing):
            raise ValueError("one send is for one queue")
        capabilities = self.capabilities(queue)
        refused: Exception | None = batch_refused(len(outgoing), capabilities) or _bytes_refused(outgoing, capabilities)
        with self._store.changed:
            if self._closed:
                raise BackendError("this driver is closed")
            refused = refused or self._missing(queue)
            if refused is not None:
                return [SendResult(error=refused)] * len(outgoing)
            results = [self._store_one(item, capabilities) for item in outgoing]
            self._store.changed.notify_all()
        return results

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """Waits on a condition: woken by sends, releases and the clock."""
        capabilities = self.capabilities(queue)
        if lease <= timedelta(0):
            raise ValueError(f"a lease must be longer than zero, not {lease}")
        if capabilities.max_lease is not None and lease > capabilities.max_lease:
            raise UnsupportedError(f"a lease of {lease} is longer than {capabilities.max_lease}")
        most = min(limit, capabilities.max_batch, capabilities.max_receive or limit)
        with self._store.changed:
            self._raise_if_missing(queue)
            interruptions = self._interruptions
            deadline = self._clock.elapsed() + wait
            while not self._closed:
                self._raise_if_paused(queue)
                now = self._clock.elapsed()
                taken = list(islice(self._lease_ready(queue, lease, capabilities), most))
                if taken or now >= deadline or interruptions != self._interruptions:
                    return taken
                due = self._shelf(queue).next_at()
                until = deadline if due is None else min(deadline, due)
                self._clock.wait(self._store.changed, until - self._clock.elapsed())
        return []

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """Late ones change nothing, unless the capabilities say that this backend can't fence."""
        return self._settler.settle(finals, lambda final: self._shelf(final.lease.queue))

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        """Grants what was asked for, up to the lease's hard limit."""
        return self._settler.extend(leases, by, lambda lease: self._shelf(lease.queue))

    def interrupt(self) -> None:
        """Wakes this client's receives."""
        with self._store.changed:
            self._interruptions += 1
            self._store.changed.notify_all()

    def stats(self, queue: str) -> QueueStats:
        """Exact."""
        with self._store.changed:
            self._raise_if_missing(queue)
            now = self._clock.elapsed()
            entries = list(self._shelf(queue).entries.values())
            leased = sum(entry.is_leased(now) for entry in entries)
            ready = [entry.visible_at for entry in entries if entry.visible_at <= now]
            return QueueStats(
                ready=len(ready),
                delayed=len(entries) - leased - len(ready),
                in_flight=leased,
                dead=len(self._dead_shelf(queue).entries),
                oldest_age=now - min(ready) if ready else None,
            )

    def purge(self, queue: str) -> int | None:
        """Exact. Native ids stay known."""
        with self._store.changed:
            self._raise_if_missing(queue)
            return self._shelf(queue).clear()

    def cancel(self, queue: str, receipt: str) -> bool:
        """Exact: what nobody began is taken off."""
        number, _, id_ = receipt.partition("-")
        if not number.isdecimal():
            raise ValueError("this is no receipt of a message in memory")
        capabilities = self.capabilities(queue)
        if capabilities.cancels is Cancels.NOTHING:
            raise UnsupportedError(f"messages of queue {queue!r} can't be cancelled")
        with self._store.changed:
            shelf, now = self._shelf(queue), self._clock.elapsed()
            entry = shelf.entries.get(int(number))
            if entry is None or entry.id != id_ or entry.runs:
                return False
            if capabilities.cancels is Cancels.DELAYED and entry.visible_at <= now + capabilities.cancel_notice:
                return False
            shelf.remove(entry)
            self._store.changed.notify_all()
            return True

    def dead_letters(self, queue: str) -> MemoryDeadLetters:
        """A place of their own, or `q-dlq` where the capabilities know no native dead letters."""
        return MemoryDeadLetters(
            queue,
            store=self._store,
            clock=self._clock,
            settler=self._settler,
            capabilities=self.capabilities(queue),
            shelf=lambda: self._dead_shelf(queue),
        )

    def close(self) -> None:
        """Ends this client; the messages stay for those that share them."""
        with self._store.changed:
            self._closed = True
            self._store.changed.notify_all()

    def _store_one(self, item: Outgoing, capabilities: Capabilities) -> SendResult:
        error = _refused(item, capabilities)
        if error is not None:
            return SendResult(error=error)
        window = capabilities.deduplication
        shelf = self._shelf(item.queue)
        now = self._clock.elapsed()
        if window is not None:
            original = shelf.original_of(item, now)
            if original is not None:
                return SendResult(duplicate=True, original_id=original)
        number = self._put(shelf, item)
        self._store.sent.append(item)
        if window is not None and item.native_id is not None:
            shelf.seen[item.native_id] = (now + window, item.id)
        return SendResult(
            duplicate=None if window is None else False,
            receipt=f"{number}-{item.id}" if _cancellable(item, capabilities) else None,
        )

    def _put(self, shelf: Shelf, item: Outgoing) -> int:
        number = next(self._store.numbers)
        shelf.add(
            Entry(
                number=number,
                id=item.id,
                body=item.body,
                key=item.ordering_key,
                fair_key=item.fairness_key,
                failure=item.failure,
                now=self._clock.now(),
                due=_later(self._clock, item.delay),
            )
        )
        return number

    def _lease_ready(self, queue: str, length: timedelta, capabilities: Capabilities) -> Iterator[Delivery]:
        """Leases what is ready, one after the other as it is asked for."""
        shelf = self._shelf(queue)
        for entry in shelf.ready(self._clock.elapsed()):
            serial = next(self._store.serials)
            shelf.lease(entry, serial, clock=self._clock, length=length, longest=capabilities.max_lease)
            yield shelf.delivery(
                entry, queue, clock=self._clock, exact=capabilities.attempt_exact, kept=capabilities.keeps_failures
            )

    def _shelf(self, queue: str) -> Shelf:
        return self._store.shelf(queue, ordered=self.capabilities(queue).ordering)

    def _dead_shelf(self, queue: str) -> Shelf:
        if self.capabilities(queue).native_dead_letter:
            return self._settler.dead_shelf(queue)
        return self._shelf(dead_letter_queue(queue))

    def _missing(self, queue: str) -> QueueNotFound | None:
        if self._queues is None or queue in self._queues:
            return None
        return QueueNotFound(f"there is no queue {queue!r}", hint="name it in MemoryDriver(queues=...)")

    def _raise_if_missing(self, queue: str) -> None:
        error = self._missing(queue)
        if error is not None:
            raise error


def _everything(max_body: int, dedup_window: timedelta) -> Callable[[str], Capabilities]:
    def capabilities(queue: str) -> Capabilities:
        return Capabilities(
            max_batch=MAX_BATCH,
            max_body=max_body,
            native_dead_letter=True,
            keeps_failures=True,
            native_retry_delay=ANY_DELAY,
            ordering=is_ordered(queue),
            fairness=not is_ordered(queue),
            deduplication=dedup_window,
            attempt_exact=True,
            fenced_settle=True,
            cancels=Cancels.WAITING,
            shared=False,
        )

    return capabilities


def _cancellable(item: Outgoing, capabilities: Capabilities) -> bool:
    if capabilities.cancels is Cancels.DELAYED:
        return item.cancellable and item.delay > capabilities.cancel_notice
    return item.cancellable and capabilities.cancels is Cancels.WAITING


def _later(clock: Clock, delay: timedelta) -> timedelta:
    """The present plus the delay, or the last moment that there is."""
    now = clock.now()
    longest = datetime.max.replace(tzinfo=now.tzinfo) - now
    return clock.elapsed() + min(max(timedelta(0), delay), longest)


def _bytes_refused(outgoing: Sequence[Outgoing], capabilities: Capabilities) -> UnsupportedError | None:
    size = sum(len(item.body) for item in outgoing)
    if capabilities.max_batch_bytes is None or size <= capabilities.max_batch_bytes:
        return None
    return UnsupportedError(f"{size:,} bytes in one call; at most {capabilities.max_batch_bytes:,} are taken")


def _refused(item: Outgoing, capabilities: Capabilities) -> Exception | None:
    """Why a single item can't be stored, or `None`."""
    if len(item.body) > capabilities.max_body + COPY_ROOM:
        return MessageTooLarge(f"{len(item.body):,} bytes; at most {capabilities.max_body:,} are stored")
    if capabilities.max_delay is not None and item.delay > capabilities.max_delay:
        return UnsupportedError(f"a delay of {item.delay} is longer than {capabilities.max_delay}")
    if item.ordering_key is not None and not capabilities.ordering:
        return UnsupportedError(f"queue {item.queue!r} keeps no order")
    if item.fairness_key is not None and not capabilities.fairness:
        return UnsupportedError(f"queue {item.queue!r} takes no fairness_key")
    return None
