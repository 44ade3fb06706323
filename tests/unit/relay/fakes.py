"""An outbox in memory, with the locks of a real one; and a backend that refuses what a test says."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cloudq.core.clock import Clock
from cloudq.core.driver import Outgoing, SendResult
from cloudq.core.message import Message
from cloudq.core.wire import encode
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import LeaseLost, StoreUnavailable
from cloudq.outbox.rows import Failed, OutboxRow, Parked
from cloudq.queues.signing import UNSIGNED
from cloudq.relay.seals import Seals

UNSIGNED_ALL = Seals(lambda: UNSIGNED)
_CREATED = datetime(2026, 1, 1, tzinfo=UTC)


class FakeOutbox:
    """Rows in order. Of a key only the first one's holder gets more of it.

    Attributes:
        lease: For how long a batch is a reader's.
        broken: What each call raises; `None` while it works.
        settled: Called after each settlement.
        takes: The queues left out, take by take.
        refused: Set once a call was broken.
    """

    def __init__(self, clock: Clock, lease: timedelta = timedelta(seconds=60)) -> None:
        self.clock = clock
        self.lease = lease
        self.broken: Exception | None = None
        self.refused = threading.Event()
        self.broken_settle: Exception | None = None
        self.opened: list[timedelta] = []
        self.closed = 0
        self.takes: list[tuple[str, ...]] = []
        self.changed = threading.Condition()
        self.rows: dict[int, OutboxRow] = {}
        self.due: dict[int, timedelta] = {}
        self.parked: dict[int, str] = {}
        self.held: dict[int, FakeBatch] = {}

    def add(self, *messages: Message) -> list[int]:
        """Stores messages, as a committed transaction does. Returns their ids."""
        with self.changed:
            first = max(self.rows, default=0) + 1
            ids = []
            for id_, message in enumerate(messages, max(first, getattr(self, "_next", 1))):
                self.rows[id_] = OutboxRow(
                    id=id_,
                    queue=message.queue,
                    task=message.task,
                    body=encode(message),
                    ordering_key=message.ordering_key,
                    attempts=0,
                    created_at=_CREATED,
                )
                ids.append(id_)
                self._next = id_ + 1
            return ids

    def spoil(self, id_: int, body: bytes) -> None:
        """Has a row hold something else."""
        row = self.rows[id_]
        self.rows[id_] = _changed(row, body=body)

    def open(self, lease: timedelta) -> FakeReader:
        """A reader of its own."""
        self._check()
        with self.changed:
            self.opened.append(lease)
            self.changed.notify_all()
        return FakeReader(self, lease)

    def take_from_all(self) -> None:
        """Gives what is held to whoever comes next, as a server does that has ended the transactions."""
        with self.changed:
            for batch in set(self.held.values()):
                batch.lost = True
            self.held.clear()

    def until_empty(self) -> None:
        """Waits until all was published."""
        with self.changed:
            assert self.changed.wait_for(lambda: not self.rows, 60), len(self.rows)

    def _check(self) -> None:
        if self.broken is not None:
            self.refused.set()
            raise self.broken


class FakeReader:
    """One connection."""

    def __init__(self, outbox: FakeOutbox, lease: timedelta) -> None:
        self._outbox = outbox
        self._lease = lease

    def take(self, limit: int, without: Collection[str] = ()) -> FakeBatch | None:
        outbox = self._outbox
        outbox._check()
        with outbox.changed:
            outbox.takes.append(tuple(without))
            batch = FakeBatch(outbox, outbox.clock.elapsed() + self._lease)
            blocked: set[tuple[str, str]] = set()
            for id_, row in sorted(outbox.rows.items()):
                key = (row.queue, row.ordering_key) if row.ordering_key else None
                free = (
                    id_ not in outbox.held
                    and id_ not in outbox.parked
                    and outbox.due.get(id_, timedelta(0)) <= outbox.clock.elapsed()
                    and row.queue not in without
                )
                if free and key not in blocked and len(batch.rows) < limit:
                    batch.rows.append(row)
                    outbox.held[id_] = batch
                elif key is not None:
                    blocked.add(key)
            return batch if batch.rows else None

    def close(self) -> None:
        self._outbox.closed += 1


class FakeBatch:
    """What is held until it is settled."""

    def __init__(self, outbox: FakeOutbox, ends: timedelta) -> None:
        self._outbox = outbox
        self.ends = ends
        self.rows: list[OutboxRow] = []
        self.lost = False

    def settle(
        self, *, published: Collection[int] = (), failed: Sequence[Failed] = (), parked: Sequence[Parked] = ()
    ) -> None:
        outbox = self._outbox
        with outbox.changed:
            if outbox.broken_settle is not None:
                self._free()
                raise outbox.broken_settle
            if self.lost:
                raise LeaseLost("the database had given them to others")
            for id_ in published:
                del outbox.rows[id_]
            for one in failed:
                outbox.rows[one.id] = _changed(outbox.rows[one.id], attempts=outbox.rows[one.id].attempts + 1)
                outbox.due[one.id] = outbox.clock.elapsed() + one.again_in
            for parked_one in parked:
                outbox.parked[parked_one.id] = parked_one.why
            self._free()

    def _free(self) -> None:
        for row in self.rows:
            self._outbox.held.pop(row.id, None)
        self._outbox.changed.notify_all()


class Refusing(MemoryDriver):
    """The memory backend, which fails what a test says, and keeps what it was sent in order.

    Attributes:
        errors: By queue, or by the message's id, why it fails.
        order: Ids in the order in which they were stored.
        calls: How many messages each call had.
        during: Called before each call.
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.errors: dict[str, Exception] = {}
        self.order: list[str] = []
        self.calls: list[int] = []
        self.during = lambda: None

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        self.during()
        self.calls.append(len(outgoing))
        fails = {
            index: error
            for index, item in enumerate(outgoing)
            if (error := self.errors.get(item.queue) or self.errors.get(item.id)) is not None
        }
        stored = [item for index, item in enumerate(outgoing) if index not in fails]
        results = iter(super().send(stored) if stored else ())
        self.order.extend(item.id for item in stored)
        return [SendResult(error=fails[index]) if index in fails else next(results) for index in range(len(outgoing))]


def messages(*ids: str, queue: str = "emails", key: str | None = None) -> list[Message]:
    """Messages of one queue, with these ids."""
    return [Message(id=id_, task="shop.mail", payload={"n": 1}, queue=queue, ordering_key=key) for id_ in ids]


def down(text: str = "the server is away") -> StoreUnavailable:
    """What an outbox raises that can't be reached."""
    return StoreUnavailable(text)


def _changed(row: OutboxRow, **changes: Any) -> OutboxRow:
    from msgspec.structs import replace

    return replace(row, **changes)


def ids_of(rows: Iterable[OutboxRow]) -> list[int]:
    return [row.id for row in rows]
