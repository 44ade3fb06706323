"""What the memory driver keeps: a shelf of messages for each queue. Not thread-safe: the driver locks.

It lives no longer than its process, so all that lasts (leases, delays, windows) goes by `Clock.elapsed`. Moments of the
wall clock are for show.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from threading import Condition
from typing import Final

import msgspec

from cloudq.core.clock import Clock, later
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Outgoing
from cloudq.core.failure import Failure
from cloudq.drivers.memory.turns import Turns

# The log of what was sent is for tests; a long-lived process must not keep every body forever.
SENT_KEPT: Final = 10_000


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Proof of one lease.

    Attributes:
        shelf: Which shelf the message is on.
        number: Which message of it.
        serial: Which lease of it: every lease of a store has another one.
    """

    shelf: str
    number: int
    serial: int


class Entry:
    """One stored message and its state."""

    __slots__ = (
        "added_at",
        "body",
        "deliveries",
        "failure",
        "fair_key",
        "first_received_at",
        "hard_end",
        "id",
        "key",
        "leased",
        "number",
        "runs",
        "serial",
        "visible_at",
    )

    def __init__(
        self,
        *,
        number: int,
        id: str,  # noqa: A002 - the field's own name, everywhere
        body: bytes,
        key: str | None,
        failure: Failure | None,
        now: datetime,
        due: timedelta,
        fair_key: str | None = None,
    ) -> None:
        self.number = number
        self.id = id
        self.body = body
        self.key = key
        self.fair_key = fair_key
        self.failure = failure
        self.added_at = now
        # Not handed over before this moment by `Clock.elapsed`: its due time, or the end of its lease.
        self.visible_at = due
        self.runs = 0
        self.deliveries = 0
        self.first_received_at: datetime | None = None
        # The newest lease, whether or not it is over, and whether it was given back.
        self.serial: int | None = None
        self.leased = False
        self.hard_end: timedelta | None = None

    def is_leased(self, now: timedelta) -> bool:
        """Whether somebody holds it."""
        return self.leased and now < self.visible_at


class Shelf:
    """The messages of one queue, in the order of their arrival."""

    def __init__(self, name: str, *, ordered: bool) -> None:
        self.name = name
        self.entries: dict[int, Entry] = {}
        # Native ids in the order in which their windows end: until when, and whose id it was.
        self.seen: dict[str, tuple[timedelta, str]] = {}
        self._ordered = ordered
        # When which entry becomes visible. Entries that changed since are passed over.
        self._due: list[tuple[timedelta, int]] = []
        self._lines: dict[str, deque[int]] = {}
        # Once a message had a fairness key: what is ready and wasn't handed over, since when, and its number.
        self._turns: Turns[tuple[timedelta, int]] | None = None

    def add(self, entry: Entry) -> None:
        """Puts a message at the end."""
        self.entries[entry.number] = entry
        if entry.fair_key is not None and self._turns is None:
            self._turns = Turns()
        if self._ordered and entry.key is not None:
            line = self._lines.setdefault(entry.key, deque())
            line.append(entry.number)
            if line[0] != entry.number:
                return  # it is announced when it becomes the head of its line
        self._announce(entry)

    def remove(self, entry: Entry) -> None:
        """Takes a message off; the next of its key becomes the head."""
        del self.entries[entry.number]
        if not self._ordered or entry.key is None:
            return
        line = self._lines[entry.key]
        line.remove(entry.number)
        if line:
            self._announce(self.entries[line[0]])
        else:
            del self._lines[entry.key]

    def clear(self) -> int:
        """Takes all off. Native ids stay known. Returns how many there were."""
        removed = len(self.entries)
        self.entries.clear()
        self._due.clear()
        self._turns = None
        self._lines.clear()
        return removed

    def hide(self, entry: Entry, until: timedelta) -> None:
        """Makes a message visible at another time."""
        entry.visible_at = until
        self._announce(entry)

    def ready(self, now: timedelta) -> Iterator[Entry]:
        """The messages that may be handed over, each leased by the caller before it asks for the next."""
        while self._due and self._due[0][0] <= now:
            at, number = heapq.heappop(self._due)
            entry = self._current(at, number)
            if entry is None:
                continue
            if self._turns is None:
                yield entry
            else:
                self._turns.add(entry.fair_key, (at, number))
        while self._turns is not None and (first := self._turns.next()) is not None:
            entry = self._current(*first)
            if entry is not None:
                yield entry

    def next_at(self) -> timedelta | None:
        """When something becomes visible, or `None` if nothing is here."""
        while self._due and self._current(*self._due[0]) is None:
            heapq.heappop(self._due)
        here = [at for at, number in self._turns or () if self._current(at, number) is not None]
        return min([*here, *(at for at, _ in self._due[:1])], default=None)

    def lease(self, entry: Entry, serial: int, *, clock: Clock, length: timedelta, longest: timedelta | None) -> None:
        """Gives a message to somebody from now on."""
        start = clock.elapsed()
        entry.serial = serial
        entry.leased = True
        entry.runs += 1
        entry.deliveries += 1
        entry.first_received_at = entry.first_received_at or clock.now()
        entry.hard_end = None if longest is None else start + longest
        self.hide(entry, start + length)

    def delivery(self, entry: Entry, queue: str, *, clock: Clock, exact: bool, kept: bool = False) -> Delivery:
        """The handing-over of a message that was just leased."""
        assert entry.serial is not None  # noqa: S101 - for mypy: `lease` was called before
        now, elapsed = clock.now(), clock.elapsed()  # shown by the wall clock, as it is set now
        return Delivery.of(
            entry.body,
            native_id=entry.id,
            runs=entry.runs if exact else entry.deliveries,
            deliveries=entry.deliveries,
            copy=str(entry.number),
            lease=Lease(
                queue=queue,
                receipt=Receipt(shelf=self.name, number=entry.number, serial=entry.serial),
                expires_at=later(now, entry.visible_at - elapsed),
                hard_limit=None if entry.hard_end is None else later(now, entry.hard_end - elapsed),
                ends=entry.visible_at,
                hard_end=entry.hard_end,
            ),
            group=entry.key if self._ordered else None,
            first_received_at=entry.first_received_at,
            failure=entry.failure,
            failure_kept=kept,
            given_back=entry.deliveries - entry.runs if exact else 0,
        )

    def held(self, receipt: object, now: timedelta) -> Entry | None:
        """The message whose lease the receipt proves, if that lease still runs."""
        entry = self.last_held(receipt)
        return entry if entry is not None and entry.is_leased(now) else None

    def last_held(self, receipt: object) -> Entry | None:
        """The message that the receipt was for, if nobody was given it since."""
        if not isinstance(receipt, Receipt) or receipt.shelf != self.name:
            return None
        entry = self.entries.get(receipt.number)
        return entry if entry is not None and entry.serial == receipt.serial else None

    def original_of(self, item: Outgoing, now: timedelta) -> str | None:
        """The id of the message that has the item's native id, if its window hasn't ended."""
        while self.seen:
            native_id, (until, _) = next(iter(self.seen.items()))
            if until > now:
                break
            del self.seen[native_id]
        known = self.seen.get(item.native_id) if item.native_id is not None else None
        return known[1] if known else None

    def _current(self, at: timedelta, number: int) -> Entry | None:
        """The entry that was announced for that moment, unless it changed since."""
        entry = self.entries.get(number)
        return entry if entry is not None and entry.visible_at == at and self._is_head(entry) else None

    def _is_head(self, entry: Entry) -> bool:
        return not self._ordered or entry.key is None or self._lines[entry.key][0] == entry.number

    def _announce(self, entry: Entry) -> None:
        heapq.heappush(self._due, (entry.visible_at, entry.number))


class Store:
    """All shelves, and the lock that guards them."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.shelves: dict[str, Shelf] = {}
        self.paused: set[str] = set()
        self.sent: deque[Outgoing] = deque(maxlen=SENT_KEPT)
        self.numbers = count(1)
        self.serials = count(1)

    def shelf(self, name: str, *, ordered: bool) -> Shelf:
        """The shelf of that name, made if it is new."""
        shelf = self.shelves.get(name)
        if shelf is None:
            shelf = self.shelves[name] = Shelf(name, ordered=ordered)
        return shelf
