"""A task's transaction: what it changes in the user's database, and that it is done, are committed as one.

```
 begin ─▶ savepoint ─▶ done already? ─▶ the block ─▶ release the savepoint ─▶ insert the completion ─▶ commit
                            │                │               │                       │
                            ▼                ▼               ▼                       ▼
                       AlreadyDone        rollback    no such savepoint:        there already:
                                                     TransactionBroken          rollback, AlreadyDone
```

The savepoint is how the transaction is known again: a commit or a rollback within the block, a table that is made
there, a deadlock whose error was swallowed on MariaDB, all end it, and what follows them is another transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from cloudq.core.clock import Clock
from cloudq.core.policy import DeadLetter, Retry
from cloudq.core.safe_log import SafeLogger
from cloudq.core.spans import shown
from cloudq.errors import TransactionAborted, TransactionBroken, TransactionRefused
from cloudq.user_database import inbox
from cloudq.user_database.database import UserDatabase
from cloudq.user_database.faults import is_conflict, is_missing_savepoint, is_missing_table, is_of_others
from cloudq.user_database.inbox import Completion
from cloudq.user_database.opening import opened
from cloudq.user_database.statements import Dialect, Move, Script, Statement, arun, run

T = TypeVar("T")

_logger = SafeLogger("cloudq.transaction")
_SAVEPOINT: Final = "cloudq_transaction"
_PROBE: Final = "cloudq_probe"
# Of MariaDB and MySQL: some changes can't be undone.
_INCOMPLETE_ROLLBACK: Final = 1196
_TRANSACTIONAL: Final = frozenset({"innodb", "rocksdb", "ndbcluster", "ndb", "tokudb"})
_APPLICATION_ID: Final = 0x636C6471  # of a file that is cloudq's own queue

_open: ContextVar[Transaction[Any] | None] = ContextVar("cloudq_transaction", default=None)


class AlreadyDone(BaseException):
    """The message's work was committed by another delivery of it. Ends the handler; the delivery is then done.

    No `Exception`, so that a handler that logs all errors and goes on doesn't do the rest of the work twice.
    """


def open_transaction() -> Transaction[Any] | None:
    """The transaction of the task that is running here, if its block is open."""
    transaction = _open.get()
    return transaction if transaction is not None and transaction.is_open else None


class Transactions:
    """The transactions of one run of a task: at most one is committed.

    Args:
        completion: What is recorded with it.
        clock: Measures how long it takes.
        patience: A transaction that takes longer is warned about; `None`: none is.
    """

    def __init__(self, completion: Completion, clock: Clock, patience: timedelta | None = None) -> None:
        self.completion = completion
        self.clock = clock
        self.patience = patience
        self.already_done = False
        self.current: Transaction[Any] | None = None
        self.committed = False

    def open(self, given: T, *, using: str | None = None) -> Transaction[T]:
        """One on the user's connection. Does nothing with it yet."""
        return Transaction(self, opened(given, using=using))


class Transaction(Generic[T]):
    """`with` or `async with`: binds the connection, and commits it with the completion. See `Context.transaction`.

    Attributes:
        database: The connection, for what else is written in the transaction.
        before_completion: Each makes a script that runs before the completion is inserted.
        after_commit: Each is called once the transaction is committed, and not if it isn't. What it returns is awaited
            where the block is an async one.
        parts: What others keep for its duration, each under a key of its own.
    """

    def __init__(self, run_of: Transactions, database: UserDatabase) -> None:
        self.database = database
        self.before_completion: list[Callable[[], Script[None]]] = []
        self.after_commit: list[Callable[[], Awaitable[object] | None]] = []
        self.parts: dict[object, Any] = {}
        self.is_open = False
        self._is_begun = False
        self._run = run_of
        self._token: Token[Transaction[Any] | None] | None = None

    def __enter__(self) -> T:
        self._refuse_another()
        if self.database.is_async:
            self.database.do(Move.BEGIN)  # refuses it
        began = self._run.clock.elapsed()
        try:
            run(self.database, self._entering())
            return self._entered(began)
        except BaseException as error:  # a time limit's, too, which may come once it is begun: nobody would end it
            run(self.database, self._undoing())
            _translate(error)
            raise

    async def __aenter__(self) -> T:
        self._refuse_another()
        began = self._run.clock.elapsed()
        try:
            await arun(self.database, self._entering())
            return self._entered(began)
        except BaseException as error:
            await arun(self.database, self._undoing())
            _translate(error)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        failed = error
        if error is None:
            try:
                run(self.database, self._leaving())
            except BaseException as raised:  # noqa: BLE001 - raised again below
                failed = raised
        self._close()
        if failed is not None:
            run(self.database, self._undoing())
            self._fail(failed, error)
            return
        self._committed()
        for call in self.after_commit:
            call()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        failed = error
        if error is None:
            try:
                await arun(self.database, self._leaving())
            except BaseException as raised:  # noqa: BLE001 - raised again below
                failed = raised
        self._close()
        if isinstance(failed, GeneratorExit):
            return  # closed by the garbage collector, where nothing can be awaited: its connection goes the same way
        if failed is not None:
            await arun(self.database, self._undoing())
            self._fail(failed, error)
            return
        self._committed()
        for call in self.after_commit:
            if (pending := call()) is not None:
                await pending

    def _fail(self, failed: BaseException, error: BaseException | None) -> None:
        """Raises what went wrong, unless it is the block's own error, which `with` raises."""
        _translate(failed)
        if failed is not error:
            raise failed

    def _refuse_another(self) -> None:
        if self._run.committed:
            raise TransactionRefused(
                "this run of the task has committed its transaction: the work counts as done",
                hint="put all of it into one block, or send a task for the rest from within it",
            )
        if self._run.current is not None:
            raise TransactionRefused("a transaction of this task is open", hint="put all of it into one block")

    def _entered(self, began: timedelta) -> T:
        self._began = began
        self._run.current = self
        self.is_open = True
        self._token = _open.set(self)
        given: Any = self.database.given
        result: T = given
        return result

    def _close(self) -> None:
        self.is_open = False
        self._run.current = None
        if self._token is not None:
            with suppress(ValueError):  # an abandoned coroutine is closed in another context
                _open.reset(self._token)

    def _committed(self) -> None:
        self._run.committed = True
        took = self._run.clock.elapsed() - self._began
        if self._run.patience is not None and took > self._run.patience:
            _logger.warning(
                "task %s was in its transaction for %s, more than a third of its lease: another worker may begin the "
                "same message before it ends; do slow work before the block, or give the task a longer lease",
                self._run.completion.tasks[0],
                shown(took),
            )

    def _entering(self) -> Script[None]:
        completion, dialect = self._run.completion, self.database.dialect
        self._is_begun = True  # said before: an interruption may come in between
        try:
            yield Move.BEGIN
        except TransactionRefused:
            self._is_begun = False  # what is open is somebody else's
            raise
        try:
            serializable = yield from _checking(dialect)
            yield Statement(f"savepoint {_SAVEPOINT}")
            is_done = not serializable and (yield from inbox.is_there(completion, dialect))
        except Exception as error:
            if is_missing_table(error):
                raise TransactionRefused(
                    f"the table {inbox.NAME} isn't in this database",
                    hint=f"cloudq.create_inbox(connection) makes it, or what `cloudq inbox schema --dialect "
                    f"{dialect.value}` prints",
                ) from error
            raise
        if is_done:
            self._run.already_done = True
            raise AlreadyDone

    def _leaving(self) -> Script[None]:
        completion, dialect = self._run.completion, self.database.dialect
        try:
            yield Move.FLUSH
            # From here on a send is an ordinary one. What a session's own hooks send is still part of it.
            self.is_open = False
            for make in self.before_completion:
                yield from make()
            if dialect is Dialect.MYSQL:
                yield from _refusing_what_cannot_be_undone()
            yield Statement(f"release savepoint {_SAVEPOINT}")
        except Exception as error:
            if is_missing_savepoint(error):
                raise TransactionBroken(
                    "the transaction ended within its block: it was committed or rolled back there",
                    hint="leave both to the block, and let the database's errors through",
                ) from error
            raise
        try:
            yield inbox.insertion(completion, dialect)
        except Exception as error:
            if is_conflict(error):
                self._run.already_done = True
                raise AlreadyDone from error
            raise
        yield Move.COMMIT

    def _undoing(self) -> Script[None]:
        """Undoes it, if it was begun. Where that fails, the connection is gone, and the server undoes it."""
        if not self._is_begun:
            return
        try:
            yield Move.ROLLBACK
        except Exception as error:  # noqa: BLE001 - the one that led here is what the task's end is about
            _logger.debug("the rollback failed: %r", error)


def _translate(error: BaseException) -> None:
    """Raises what tells a worker that the same delivery may succeed now. What the task decided stands."""
    if isinstance(error, Exception) and not isinstance(error, (Retry, DeadLetter)) and is_of_others(error):
        raise TransactionAborted("the database gave the transaction up because of another one") from error


def _checking(dialect: Dialect) -> Script[bool]:
    """Refuses a database whose transactions would be none. Returns whether a look would lock what isn't there."""
    if dialect is Dialect.SQLITE:
        owner = yield Statement("pragma application_id")
        if owner.rows[0][0] == _APPLICATION_ID:
            raise TransactionRefused("this file is cloudq's own queue", hint="keep your tables in a file of their own")
    if dialect is not Dialect.MYSQL:
        return False
    # MariaDB's name for it was the first until 11.1, MySQL's is the second.
    levels = yield Statement("show variables where variable_name in ('tx_isolation', 'transaction_isolation')")
    engines = yield Statement(
        "select engine from information_schema.tables where table_schema = database() and table_name = :name",
        {"name": inbox.NAME},
    )
    if engines.rows and str(engines.rows[0][0]).lower() not in _TRANSACTIONAL:
        raise TransactionRefused(
            f"the table {inbox.NAME} has the engine {engines.rows[0][0]}, which knows no transactions",
            hint=f"alter table {inbox.NAME} engine = InnoDB",
        )
    return any(str(value).upper() == "SERIALIZABLE" for _, value in levels.rows)


def _refusing_what_cannot_be_undone() -> Script[None]:
    """A rollback of nothing, with which MariaDB and MySQL say whether a table without transactions was changed."""
    yield Statement(f"savepoint {_PROBE}")
    yield Statement(f"rollback to savepoint {_PROBE}")
    warnings = yield Statement("show warnings")
    if any(int(row[1]) == _INCOMPLETE_ROLLBACK for row in warnings.rows):
        raise TransactionBroken(
            "a table was changed whose engine knows no transactions: what was written there stays",
            hint="alter table ... engine = InnoDB",
        )
