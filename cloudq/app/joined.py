"""Sends within a task's transaction: they are stored in its outbox, and leave with its commit.

In tests, whose backend is in this process and has no relay, they are kept until the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from cloudq.core.message import Message
from cloudq.errors import TransactionRefused
from cloudq.tasks.async_libraries import in_a_thread
from cloudq.tasks.holding import Holder, Ways
from cloudq.tasks.noted_sends import refuse_waiting
from cloudq.tasks.sending import ran
from cloudq.tasks.sent import Sent

if TYPE_CHECKING:
    from cloudq.outbox.writing import Ordered
    from cloudq.user_database.transaction import Transaction


def joined(transaction: Transaction[Any] | Holder, messages: Sequence[Message], ways: Ways) -> list[Sent] | None:
    """Has the messages leave with the transaction, and not at all if it is rolled back, or the savepoint around.

    Args:
        transaction: A task's own, or what stands for that of a web framework.
        messages: What is sent.
        ways: How they leave.

    Returns:
        A `Sent` for each; `None`: none is open after all, as a `Holder` has found.

    Raises:
        TransactionRefused: The transaction is an async one.
        SchemaMismatch: The outbox's tables aren't in its database.
        Exception: What the database's driver raises.
    """
    if isinstance(transaction, Holder):
        return transaction.hold(messages, ways)
    if (kept := _kept(transaction, messages, ways)) is not None:
        return kept
    if transaction.database.is_async:
        raise TransactionRefused("a send would block the loop, whose transaction is open", hint="await asend(...)")
    from cloudq.user_database import run

    run(transaction.database, _rows(transaction, ways).add([ways.row(message) for message in messages]))
    return [Sent(id=message.id) for message in messages]


async def ajoined(transaction: Transaction[Any] | Holder, messages: Sequence[Message], ways: Ways) -> list[Sent] | None:
    """As `joined`, for async code. A sync connection's statements block the loop, as the task's own on it do."""
    if isinstance(transaction, Holder):
        return await transaction.ahold(messages, ways)
    if (kept := _kept(transaction, messages, ways)) is not None:
        return kept
    if not transaction.database.is_async:
        return joined(transaction, messages, ways)
    from cloudq.user_database import arun

    # The first one opens the backend, which reads and writes files.
    rows = await in_a_thread(lambda: [ways.row(message) for message in messages])
    await arun(transaction.database, _rows(transaction, ways).add(rows))
    return [Sent(id=message.id) for message in messages]


def _kept(transaction: Transaction[Any], messages: Sequence[Message], ways: Ways) -> list[Sent] | None:
    """Keeps them until the commit, in tests. `None`: they are for the outbox."""
    for message in messages:
        refuse_waiting(message, "sent within a transaction")
    if ways.eager_run is not None:
        runs = [ways.eager_run(message) for message in messages]
        # An async task's transaction awaits what it calls.
        transaction.after_commit.extend(run.arun if transaction.database.is_async else run.run for run in runs)
        return [ran(message) for message in messages]
    if ways.store is not None:
        transaction.after_commit.extend(partial(_store, ways.store, message) for message in messages)
        return [Sent(id=message.id) for message in messages]
    return None


def _store(store: Callable[[Message], object], message: Message) -> None:
    store(message)


def _rows(transaction: Transaction[Any], ways: Ways) -> Ordered:
    """The transaction's rows, which are numbered before its completion."""
    from cloudq.outbox.writing import Ordered

    part = (Ordered, ways.namespace)
    if (rows := transaction.parts.get(part)) is None:
        rows = transaction.parts[part] = Ordered(transaction.database.dialect, ways.namespace)
        transaction.before_completion.append(rows.number)
    ordered: Ordered = rows
    return ordered
