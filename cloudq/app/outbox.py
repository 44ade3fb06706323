"""`Outbox`: sends that a transaction of the user's own database takes along, or doesn't."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self, Unpack

from cloudq.core.message import Message
from cloudq.errors import OptionError
from cloudq.outbox.writing import NewRow, Ordered
from cloudq.tasks.async_libraries import check_awaitable, in_a_thread
from cloudq.tasks.composing import NO_PAYLOAD, checked_calls
from cloudq.tasks.eager import EagerMode, EagerRun
from cloudq.tasks.noted_sends import refuse_waiting
from cloudq.tasks.options import SendOptions
from cloudq.tasks.sending import ran
from cloudq.tasks.sent import Sent
from cloudq.tasks.task import Call, Task
from cloudq.user_database import UserDatabase, arun, run


class Sends(NamedTuple):
    """What an app does to its sends, whatever becomes of them.

    Attributes:
        message: Composes the message of a task, a payload and options.
        row: Encodes and signs it.
        eager: Whether tasks run at once.
        eager_run: Runs one.
    """

    message: Callable[[Task[..., Any] | str | Call, Mapping[str, object], SendOptions], Message]
    row: Callable[[Message], NewRow]
    eager: EagerMode
    eager_run: Callable[[Message], EagerRun]


class Outbox:
    """Sends within a transaction. Obtained by `app.outbox(connection)`.

    A send stores its message in a table of the connection's own database, in the transaction that is open there: it is
    published once that is committed, and never if it is rolled back, as a whole or to a savepoint. A relay publishes it
    (`cloudq outbox relay`), at least once.

    Messages with an ordering key are sent within a block, which ends before the commit:

        with engine.begin() as connection:
            connection.execute(...)
            with app.outbox(connection) as outbox:
                outbox.send(paid, {"order_id": 7}, ordering_key="customer-42")

    Its end numbers them, and so locks a row for each key until the transaction ends: of two transactions of one key the
    one that commits first is published first. All sends of a transaction belong in one block: then no two transactions
    wait for each other in a circle, whatever keys they send to.
    """

    def __init__(self, sends: Sends, database: UserDatabase, namespace: str) -> None:
        self._sends = sends
        self._database = database
        self._rows = Ordered(database.dialect, namespace)
        self._blocks = 0

    def __repr__(self) -> str:
        """Whose database."""
        return f"Outbox({self._database.dialect.value})"

    def send(
        self,
        task: Task[..., Any] | str | Call,
        payload: Mapping[str, object] = NO_PAYLOAD,
        /,
        **options: Unpack[SendOptions],
    ) -> Sent:
        """As `App.send`, into the transaction.

        Returns:
            Its `id` is the message's. Whether it is a duplicate isn't known yet, and it has no receipt.

        Raises:
            PayloadError: The payload doesn't fit the task's parameters, or isn't JSON. Nothing was stored.
            OptionError: An option isn't valid, or there is an ordering key and no block. Nothing was stored.
            UnsupportedError: The queue can't do what an option asks for. Nothing was stored.
            MessageTooLarge: Nothing was stored.
            TransactionRefused: The connection commits each statement by itself, or is an async one.
            SchemaMismatch: The outbox's tables aren't in this database.
            Exception: What the database's driver raises.
        """
        return self._store([self._sends.message(task, payload, options)])[0]

    async def asend(
        self,
        task: Task[..., Any] | str | Call,
        payload: Mapping[str, object] = NO_PAYLOAD,
        /,
        **options: Unpack[SendOptions],
    ) -> Sent:
        """As `send`, on an async connection."""
        check_awaitable("asend")
        return (await self._astore([self._sends.message(task, payload, options)]))[0]

    def send_many(self, calls: Iterable[Call], /) -> list[Sent]:
        """As `send` for each of many calls, with one statement for up to 500 of them. All are stored, or none.

        Args:
            calls: What `task.call(...)` gives.

        Returns:
            One `Sent` for each, in order.
        """
        return self._store([self._sends.message(call, NO_PAYLOAD, SendOptions()) for call in checked_calls(calls)])

    async def asend_many(self, calls: Iterable[Call], /) -> list[Sent]:
        """As `send_many`, on an async connection."""
        check_awaitable("asend_many")
        messages = [self._sends.message(call, NO_PAYLOAD, SendOptions()) for call in checked_calls(calls)]
        return await self._astore(messages)

    def __enter__(self) -> Self:
        """Begins the block."""
        self._blocks += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Numbers the messages of ordering keys, also after an exception: whether they are kept, the commit decides."""
        self._blocks -= 1
        if error is None:
            run(self._database, self._rows.number())
        elif isinstance(error, Exception):
            with suppress(Exception):  # the transaction may have failed with it
                run(self._database, self._rows.number())

    async def __aenter__(self) -> Self:
        """Begins the block, on an async connection."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `__exit__`."""
        self._blocks -= 1
        if error is None:
            await arun(self._database, self._rows.number())
        elif isinstance(error, Exception):
            with suppress(Exception):
                await arun(self._database, self._rows.number())

    def _store(self, messages: Sequence[Message]) -> list[Sent]:
        self._check_block(messages)
        if self._sends.eager:
            for message in messages:
                self._sends.eager_run(message).run()
            return [ran(message) for message in messages]
        rows = [self._sends.row(message) for message in messages]
        run(self._database, self._rows.add(rows))
        return [Sent(id=message.id) for message in messages]

    async def _astore(self, messages: Sequence[Message]) -> list[Sent]:
        self._check_block(messages)
        if self._sends.eager:
            for message in messages:
                await self._sends.eager_run(message).arun()
            return [ran(message) for message in messages]
        # In a thread: the first one opens the backend, which reads and writes files.
        rows = await in_a_thread(lambda: [self._sends.row(message) for message in messages])
        await arun(self._database, self._rows.add(rows))
        return [Sent(id=message.id) for message in messages]

    def _check_block(self, messages: Sequence[Message]) -> None:
        for message in messages:
            refuse_waiting(message, "sent by an outbox")
        if self._blocks:
            return
        for message in messages:
            if message.ordering_key is not None:
                raise OptionError(
                    "a message with an ordering key is sent within a block, whose end keeps it in order",
                    hint="with app.outbox(connection) as outbox: outbox.send(...), all sends of the transaction in it",
                )
