"""`SQLiteDriver`: the driver contract, over one file."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, Literal

from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.core.clock import SYSTEM_CLOCK, Clock, micros_now
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Cancels, Capabilities, ExtendResult, Outgoing, QueueStats, SendResult, SettleResult
from cloudq.core.driver import Final as FinalCall
from cloudq.core.message import is_ordered
from cloudq.drivers.sqlite import cancelling, inspecting, leasing, schema, sending
from cloudq.drivers.sqlite.dead_letters import SQLiteDeadLetters
from cloudq.drivers.sqlite.pausing import Pausing, paused
from cloudq.drivers.sqlite.session import Session
from cloudq.drivers.sqlite.waiting import Waiters
from cloudq.errors import BackendError, CloudqError, ConfigurationError
from cloudq.sqlite_file.boot import boot_name
from cloudq.sqlite_file.connection import Database
from cloudq.sqlite_file.faults import FileClosed, entered_twice
from cloudq.sqlite_file.files import OWNER_ONLY
from cloudq.sqlite_file.mutex import Mutex, certainly

MAX_BATCH: Final = 500
TIMEOUT: Final = 3 * CALL_TIMEOUT
# Of the time that a call has, this much is for waiting until it can begin; the rest is for the work itself.
_WAITING: Final = 0.9
DEDUP_WINDOW: Final = timedelta(minutes=5)
MAX_BODY: Final = 1024 * 1024
_ANY_DELAY: Final = timedelta(days=365_000)
_SLICE: Final = timedelta(seconds=1)
_ZERO: Final = timedelta(0)


class SQLiteDriver(Pausing):
    """Queues in one SQLite file, shared by any number of threads and processes of one machine.

    Queues come into being with the first message sent to them; one that doesn't exist is empty. In a child process
    after `fork` the file is opened anew at the first use.

    Args:
        path: The file, created if there is none. Beside it appear SQLite's `-wal` and `-shm`, and `.lock` and `.turn`;
            none of them may be deleted while a process uses the file.
        clock: Where the time comes from.
        synchronous: `full`: what was accepted or settled survives a loss of power. `normal`: it survives every crash of
            a process, but the last moments before a loss of power may be undone; several times faster. Either way a
            receive or an extension may be undone by it, which is a redelivery.
        timeout: How long a whole operation may take, a send with its retries for one. One call here waits for at most
            a third of it while other threads, processes or programs hold the file. A purge waits so for each portion.
        busy_timeout: The same for one call, where it is to be shorter than that.
        dedup_window: How long a native id is remembered; zero for not at all.
        max_body: The most bytes in a body that a producer may send.
        mode: Who may read and write the files that are made, as `chmod` takes it. Those that exist keep theirs.

    Raises:
        ConfigurationError: The path can't be that of a database.
        UnsupportedError: SQLite is older than 3.35, or the file can't have a write-ahead log.
        SchemaMismatch: The file is another program's database, or of a newer cloudq. It was left as it is.
        StorageCorrupt: The file isn't a database, or a damaged one. It was left as it is.
        StorageReadOnly: The file or its folder can't be written.
        StorageFull: There is no room to create it.
        BackendUnavailable: Others held it for longer than a call waits.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Clock = SYSTEM_CLOCK,
        synchronous: Literal["full", "normal"] = "full",
        timeout: timedelta = TIMEOUT,
        busy_timeout: timedelta | None = None,
        dedup_window: timedelta = DEDUP_WINDOW,
        max_body: int = MAX_BODY,
        mode: int = OWNER_ONLY,
    ) -> None:
        if str(path) in {"", ":memory:"}:
            raise ConfigurationError(f"{str(path)!r} names no file", hint="for queues in memory use memory://")
        self._path = Path(path).resolve()
        self._clock = clock
        self._full = synchronous == "full"
        self._call_timeout = timeout / 3
        longest = self._call_timeout * _WAITING
        self._patience = longest if busy_timeout is None else min(busy_timeout, longest)
        self._dedup_window = dedup_window if dedup_window > timedelta(0) else None
        self._max_body = max_body
        self._mode = mode
        self._opening = Mutex()
        self._closed = False
        self._session: Session | None = self._open()
        _drivers.add(self)

    def __repr__(self) -> str:
        """The file."""
        return f"SQLiteDriver({str(self._path)!r})"

    def capabilities(self, queue: str) -> Capabilities:
        """The same for all queues, but for the order that a name ending in `.fifo` declares."""
        return Capabilities(
            max_batch=MAX_BATCH,
            max_body=self._max_body,
            native_dead_letter=True,
            keeps_failures=True,
            native_retry_delay=_ANY_DELAY,
            ordering=is_ordered(queue),
            fairness=not is_ordered(queue),
            deduplication=self._dedup_window,
            attempt_exact=True,
            fenced_settle=True,
            cancels=Cancels.WAITING,
            call_timeout=self._call_timeout,
        )

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Stores them in one transaction. If that fails, each is reported with its error and none was stored.

        Items that can never be stored (too large, a text that isn't Unicode) don't fail it: each has its own error, and
        the others are stored.
        """
        if len(outgoing) == 1 and sending.refusal(outgoing[0], self._max_body) is None:
            return self._store(outgoing)  # the usual case
        refusals = [sending.refusal(item, self._max_body) for item in outgoing]
        return self._store_others(outgoing, refusals) if any(refusals) else self._store(outgoing)

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """Leases the messages that have been ready for longest; of an ordering key the oldest."""
        try:
            return self._receive(self._current(), queue, limit, wait, lease)
        except FileClosed:
            return []

    def settle(self, finals: Sequence[FinalCall]) -> Sequence[SettleResult]:
        """Carries out all in one transaction: if it fails, each has its error and nothing was changed."""
        if not finals:
            return []
        try:
            session = self._current()
            results, may_be_ready = session.database.write(
                lambda cursor: leasing.settle(cursor, finals, session.now()), durable=True
            )
        except BackendError as error:
            return [SettleResult(error=error)] * len(finals)
        if may_be_ready:
            session.waiters.notify()
        return results

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        """Extends all in one transaction: if it fails, each has its error and none was extended."""
        if not leases:
            return []
        try:
            session = self._current()
            return session.database.write(
                lambda cursor: leasing.extend(cursor, leases, by, session.now()), durable=False
            )
        except BackendError as error:
            return [ExtendResult(error=error)] * len(leases)

    def stats(self, queue: str) -> QueueStats:
        """Counted at the moment of the call."""
        session = self._current()
        return session.database.read(lambda cursor: inspecting.stats(cursor, queue, session.now()))

    def purge(self, queue: str) -> int:
        """Deletes what was there when the call began, in portions, so that others aren't kept waiting."""
        database = self._database()
        last = database.read(inspecting.last_seq)
        portion = partial(inspecting.purge_portion, queue=queue, last=last)
        count = 0
        while deleted := database.write(portion, durable=True):
            count += deleted
        return count

    def cancel(self, queue: str, receipt: str) -> bool:
        """In one transaction with the look at it."""
        session = self._current()
        cancelled = session.database.write(lambda cursor: cancelling.cancel(cursor, queue, receipt), durable=True)
        if cancelled:
            session.waiters.notify()  # the next of its ordering key may be ready
        return cancelled

    def dead_letters(self, queue: str) -> SQLiteDeadLetters:
        """The dead letters of `queue`."""
        return SQLiteDeadLetters(queue, self._database, self._clock)

    def interrupt(self) -> None:
        """Ends the waits of receives under way at once."""
        session = self._session
        if session is not None:
            session.waiters.interrupt()

    def close(self) -> None:
        """Ends the receives under way, then closes the file once the transactions under way have ended.

        Raises:
            BackendError: A signal handler closes it in the middle of a call of the thread that it interrupted.
        """
        if self._opening.mine():
            raise entered_twice(self._path)
        certainly(self._close, self._opening.free)

    def _close(self) -> None:
        self._opening.acquire()
        self._closed = True
        if self._session is not None:
            self._session.close()

    def _store(self, items: Sequence[Outgoing]) -> Sequence[SendResult]:
        if not items:
            return []
        alone = sending.is_alone(items, self._dedup_window)
        try:
            session = self._session or self._current()
            results = session.database.write(
                partial(self._store_one, items[0]) if alone else partial(self._store_all, items),
                durable=True,
                alone=alone,
            )
        except BackendError as error:
            return [SendResult(error=error)] * len(items)
        except (TypeError, ValueError) as error:
            return self._store_what_can_be(items, error)
        if items[0].fairness_key is not None:
            session.note_fair(items[0].queue)
        session.waiters.notify()
        return results

    def _store_one(self, item: Outgoing, cursor: sqlite3.Cursor) -> list[SendResult]:
        return sending.store_alone(cursor, item, micros_now(self._clock))

    def _store_all(self, items: Sequence[Outgoing], cursor: sqlite3.Cursor) -> list[SendResult]:
        return sending.store(cursor, items, micros_now(self._clock), self._dedup_window)

    def _store_what_can_be(self, items: Sequence[Outgoing], error: TypeError | ValueError) -> Sequence[SendResult]:
        """Names the items that no statement takes, a text that isn't Unicode say, and stores the others."""
        whys = sending.unstorable(items)
        if not any(whys):
            return [SendResult(error=BackendError(f"these messages can't be stored: {error}"))] * len(items)
        return self._store_others(items, whys)

    def _store_others(self, items: Sequence[Outgoing], errors: Sequence[CloudqError | None]) -> Sequence[SendResult]:
        """Stores those that have no error yet."""
        stored = iter(self._store([item for item, error in zip(items, errors, strict=True) if error is None]))
        return [next(stored) if error is None else SendResult(error=error) for error in errors]

    def _receive(
        self, session: Session, queue: str, limit: int, wait: timedelta, span: timedelta
    ) -> Sequence[Delivery]:
        database, waiters = session.database, session.waiters
        interrupts = waiters.interrupts
        now = session.now()
        deadline = now.elapsed + min(wait, _ANY_DELAY)
        while limit > 0:
            changes = waiters.changes
            pause = None
            # A look costs little, and only what is ready is worth the write lock. Where the last receive had all that
            # it asked for there is likely to be more.
            look = queue not in session.busy
            if look:
                found = database.read(lambda cursor: leasing.look(cursor, queue, database.boot))
                pause = leasing.pause(found, now)
            hidden = session.something_hidden(queue, now)
            if queue in session.paused:
                raise paused(queue)
            if not look or hidden or (pause is not None and pause <= 0):
                take = partial(session.take, queue=queue, limit=limit, span=span, hidden=hidden)
                rows, until = database.write(take, durable=False)
                if len(rows) < limit:
                    session.busy.discard(queue)
                else:
                    session.busy.add(queue)
                if rows:
                    return leasing.deliveries(rows, queue, until)
                now = session.now()
                continue  # somebody else was faster; what is next shows by looking again
            left = deadline - now.elapsed
            if left <= _ZERO or waiters.interrupts != interrupts:
                break
            # In slices, as a wait doesn't count the time for which the machine was suspended, nor a step of its clock.
            until_next = left if pause is None else min(left, timedelta(microseconds=pause))
            waiters.wait(changes=changes, interrupts=interrupts, timeout=min(until_next, _SLICE))
            now = session.now()
        return []

    def _database(self) -> Database:
        return self._current().database

    def _current(self) -> Session:
        session = self._session
        if session is not None:
            return session
        if self._opening.mine():
            raise entered_twice(self._path)
        return certainly(self._reopen, self._opening.free)

    def _reopen(self) -> Session:
        self._opening.acquire()
        session = self._session = self._session or self._open()
        return session

    def _open(self) -> Session:
        if self._closed:
            raise FileClosed(f"the driver of {self._path} was closed")
        database = Database(
            self._path, schema, patience=self._patience, full=self._full, boot=boot_name(self._clock), mode=self._mode
        )
        session = Session(database, Waiters(database.data_version, self._clock), self._clock)
        # Also at the interpreter's end: closing may checkpoint, which needs the write lock.
        weakref.finalize(self, session.close)
        return session

    def _forget_inherited(self) -> None:
        """In a child process: the next use opens the file anew."""
        self._opening = Mutex()  # a thread that doesn't exist here may have held the old one
        session, self._session = self._session, None
        if session is not None:
            session.database.abandon()


_drivers: weakref.WeakSet[SQLiteDriver] = weakref.WeakSet()


def _forget_inherited() -> None:
    for driver in list(_drivers):
        driver._forget_inherited()


os.register_at_fork(after_in_child=_forget_inherited)
