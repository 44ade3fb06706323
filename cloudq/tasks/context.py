"""`Context`: what a running task can know of its delivery."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.message import Message
from cloudq.errors import NotInTask

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from cloudq.core.claiming import KeyClaim, WatchedRun
    from cloudq.user_database.inbox import Completion
    from cloudq.user_database.transaction import Transaction, Transactions

T = TypeVar("T")


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds its own extra to that of a call, which LoggerAdapter drops.

    What a call gives by one of those names is a record's `cloudq_given`: neither takes the other's place.
    """

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        own: Mapping[str, object] = self.extra or {}
        given: Mapping[str, object] = kwargs.get("extra") or {}
        kwargs["extra"] = {**own, **given, **own}  # its own before a call's, and in force
        if hidden := {name: value for name, value in given.items() if name in own}:
            kwargs["extra"]["cloudq_given"] = hidden
        return msg, kwargs


class Work(Protocol):
    """What a context asks of its task's declaration."""

    @property
    def app(self) -> object:
        """Whose task it is."""
        ...

    def completion_of(self, message: Message, claim: KeyClaim | None) -> Completion:
        """What is recorded beside the effect of that message."""
        ...

    @property
    def longest_transaction(self) -> timedelta:
        """A transaction that takes longer is warned about."""
        ...

    @property
    def propagates_expiry(self) -> bool:
        """Whether what is sent in a run expires no later than the message that it runs for."""
        ...


_current: ContextVar[Context] = ContextVar("cloudq_context")


class Context:
    """The delivery that a task is running for. Taken as a leading parameter, or from `cloudq.current()`.

    Attributes:
        message: The message: id, payload, keys, headers.
        attempt: The number of this run, from 1; an upper bound on backends that can't tell a run from a delivery.
        deliveries: How often this copy of the message was handed over, from 1.
        deadline: When the time limit ends the task, or `None`.
        lease_lost: Set once the lease is over: another worker may be running the message, so stop at a safe place.
        raw: The backend's native object: the escape hatch, different for every backend.
    """

    def __init__(
        self,
        message: Message,
        *,
        attempt: int = 1,
        deliveries: int = 1,
        deadline: datetime | None = None,
        lease_lost: Event | None = None,
        raw: object = None,
        clock: Clock = SYSTEM_CLOCK,
        claim: KeyClaim | None = None,
        run: WatchedRun | None = None,
        work: Work | None = None,
    ) -> None:
        self.message = message
        self.attempt = attempt
        self.deliveries = deliveries
        self.deadline = deadline
        self.lease_lost = lease_lost if lease_lost is not None else Event()
        self.raw = raw
        self._clock = clock
        self._claim = claim
        self._run = run
        self._work = work
        self._transactions: Transactions | None = None
        self.sends: dict[tuple[str, ...], int] = {}  # how many messages of each kind its task sent: see `child_keys`

    def __repr__(self) -> str:
        """The message and the attempt."""
        return f"Context({self.message!r}, attempt={self.attempt})"

    @property
    def id(self) -> str:
        """The message's id: the same for all its attempts."""
        return self.message.id

    @property
    def task(self) -> str:
        """The task's name, as the message gives it."""
        return self.message.task

    @property
    def queue(self) -> str:
        """The queue it was sent to."""
        return self.message.queue

    @property
    def headers(self) -> Mapping[str, str]:
        """The producer's headers."""
        return self.message.headers

    @property
    def time_left(self) -> timedelta | None:
        """How long until the deadline (never negative), or `None` without a time limit."""
        if self.deadline is None:
            return None
        return max(timedelta(0), self.deadline - self._clock.now())

    @cached_property
    def cancelled(self) -> Event:
        """Set once somebody wants this run cancelled (`cloudq.cancel_run`), so stop at a safe place.

        What then fails is acknowledged, and not tried again; what returns is done. A coroutine is cancelled besides.
        Never set of a message that isn't noted: see `track` and `keep_result`.
        """
        return Event() if self._run is None else self._run.cancelled

    def progress(self, done: float, total: float | None = None) -> None:
        """Says how far this run has come, for `cloudq.result(id)`. Never waits: at most one a second is written.

        Does nothing for a message that isn't noted: see `track` and `keep_result`.

        Args:
            done: How much is done: items, bytes, a share of 1. Not negative.
            total: How much there is to do, if that is known.

        Raises:
            ValueError: One of them is no number, or negative.
        """
        done, total = _plain("done", done), None if total is None else _plain("total", total)
        if self._run is not None:
            self._run.progress(done, total)

    @property
    def fence(self) -> int | None:
        """The token of this run's claim, or `None` where no key was claimed: greater than that of each earlier one.

        A worker that is paused and wakes up after its successor can't be kept from acting, only from recording it. What
        it acts on can: store the token beside the effect, and refuse one that is smaller than what is stored.
        """
        return None if self._claim is None else self._claim.token

    @overload
    def transaction(self, connection: T, /) -> Transaction[T]: ...

    @overload
    def transaction(self, connection: None = None, /, *, using: str) -> Transaction[Any]: ...

    def transaction(self, connection: Any = None, /, *, using: str | None = None) -> Transaction[Any]:
        """`with context.transaction(connection):` has the block's changes, and that the task is done, committed as one.

        However often the message is handed over, and wherever a worker dies, the block's changes are there once. As the
        last statement before the commit a row goes into the table `cloudq_inbox` of the same database, unique for the
        task's idempotency key, or for the message where it has none. If it is there already, everything is rolled back,
        the rest of the task isn't run, and the message is done. What the task sends within the block is stored in the
        same transaction, in the outbox, and leaves with it.

        A deadlock, or a change in between (PostgreSQL's 40001 and 40P01, 1213 and 1020 of MariaDB and MySQL), has the
        delivery tried again, without using up an attempt. One transaction of a run is committed; put all of the work
        into it.

        Args:
            connection: A SQLAlchemy `Connection` or `Session`, or a connection of psycopg, pymysql or sqlite3; with
                `async with` an `AsyncConnection`, an `AsyncSession` or psycopg's `AsyncConnection`. No transaction is
                open on it, and it doesn't commit each statement by itself.
            using: In its place the alias of one of Django's databases, for plain `def` tasks.

        Returns:
            A context manager, which binds the connection.

        Raises:
            TransactionRefused: When the block is entered, or here: no transaction is possible on the connection, or
                `cloudq_inbox` isn't there. Nothing was done.
            TransactionAborted: When the block is left: the database gave it up because of another one.
            TransactionBroken: When the block is left: the task ended the transaction itself, or changed a table that
                knows none.
        """
        from cloudq.user_database.transaction import Transactions

        if self._transactions is None:
            if self._work is None:
                raise NotInTask("this context is of no delivery", hint="App.eager() runs tasks in tests")
            self._transactions = Transactions(
                self._work.completion_of(self.message, self._claim), self._clock, self._work.longest_transaction
            )
        return self._transactions.open(connection, using=using)

    @cached_property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger named after the task (`cloudq.task.NAME`) that adds the message's id and the attempt."""
        extra = {"task": self.task, "message_id": self.id, "queue": self.queue, "attempt": self.attempt}
        return _Logger(logging.getLogger(f"cloudq.task.{self.task}"), extra)


def _plain(name: str, value: float) -> float:
    """A number as it is noted: a float itself, since notes have no subclasses (NumPy's, say) and no larger integers.

    Raises:
        ValueError: It is none, negative, or larger than all floats.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            if 0 <= (plain := float(value)) < math.inf:
                return plain
    raise ValueError(f"{name} is a number, and not negative: {value!r} isn't one")


def current() -> Context:
    """The context of the task that is running here.

    Raises:
        NotInTask: None is. A thread that a task starts sees it only if it runs in a copy of the task's
            `contextvars` context.
    """
    try:
        return _current.get()
    except LookupError:
        raise NotInTask(
            "no task is running here", hint="call cloudq.current() from within a task, or pass the Context on"
        ) from None


class Running:
    """`with Running(context):` makes it the current one within the block.

    No generator with contextlib's decorator, which takes three times as long: it is around each task.
    """

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = _current.set(self._context)

    def __exit__(self, *_: object) -> None:
        try:  # noqa: SIM105 - suppress() takes as long as all the rest of this
            _current.reset(self._token)
        except ValueError:
            pass  # an abandoned coroutine is closed by the garbage collector, in another context


def is_done_already(context: Context, error: BaseException) -> bool:
    """Whether a run ended in that error because another delivery has done its work. A friend: users need it not."""
    transactions = context._transactions
    if transactions is None or not transactions.already_done:
        return False
    from cloudq.user_database.transaction import AlreadyDone

    return isinstance(error, (Exception, AlreadyDone, BaseExceptionGroup))


def open_transaction() -> Transaction[Any] | None:
    """The transaction that the code here is in the block of, if a task runs here and has one open."""
    context = _current.get(None)
    if context is None or context._transactions is None:
        return None
    from cloudq.user_database import transaction

    return transaction.open_transaction()


def run_of(context: Context) -> WatchedRun | None:
    """What notes its run, if anything does. A friend: users have no need of it."""
    return context._run


def inherited_expiry(context: Context) -> datetime | None:
    """From when on nothing that its run sends is begun any more, if its task says so. A friend of `child_expiry`."""
    expires_at = context.message.expires_at
    if expires_at is None or context._work is None or not context._work.propagates_expiry:
        return None
    return expires_at


def app_of(context: Context) -> object:
    """The app whose task runs; `None` if that isn't known. A friend of `cloudq.compat`: users have no need of it."""
    return None if context._work is None else context._work.app


def claim_of(context: Context) -> KeyClaim | None:
    """The claim of its run's idempotency key, if there is one. A friend: users have no need of it."""
    return context._claim


def maybe_current() -> Context | None:
    """The context of the task that is running here, if one is."""
    return _current.get(None)
