"""Sends within `atomic()`: they leave once the transaction is committed, and never if it is rolled back.

```
 the outbox's app is installed:  begin ── effect ── insert the message ── commit        a relay publishes it
 it isn't:                       begin ── effect ── on_commit(send) ───── commit ── send
                                                                                 ▲
                                                              a process that dies here loses it
```
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from django.apps import apps
from django.db import connections, transaction

from cloudq.app import App
from cloudq.core.message import Message
from cloudq.errors import OptionError
from cloudq.integrations.django.held import Held, failures, hold_until_commit
from cloudq.integrations.django.settings import in_force
from cloudq.outbox.writing import Ordered
from cloudq.tasks.async_libraries import in_asyncio
from cloudq.tasks.context import open_transaction
from cloudq.tasks.holding import Holder, Ways
from cloudq.tasks.noted_sends import refuse_waiting
from cloudq.tasks.own_loop import connections_executor, run_off_the_loop
from cloudq.tasks.sent import Sent
from cloudq.user_database import opened, run
from cloudq.user_database.transaction import Transaction

__all__ = ["OUTBOX_APP", "Atomic", "failures", "hold_sends", "is_atomic", "open_here"]

OUTBOX_APP: Final = "cloudq.integrations.django.outbox"


def hold_sends(app: App) -> None:
    """Has what the app sends within `atomic()` of the database that `CLOUDQ` names leave with that transaction."""
    app.runtime.open_transaction = open_here


def open_here() -> Transaction[Any] | Holder | None:
    """The transaction that a send here belongs to: a task's own, else Django's."""
    if (own := open_transaction()) is not None:
        return own
    settings = in_force()
    if not settings.on_commit:
        return None
    if in_asyncio():  # if sync code waits for this, the connection is that of its thread
        return None if connections_executor() is None else Atomic(settings.database)
    return Atomic(settings.database) if is_atomic(settings.database) else None


def is_atomic(alias: str) -> bool:
    """Whether an `atomic` block of that database is open in this thread.

    Those that a `TestCase` puts around a test don't count: in production they aren't there.
    """
    return any(not getattr(block, "_from_testcase", False) for block in connections[alias].atomic_blocks)


class Atomic(Holder):
    """The `atomic` blocks of a database, as far as one is open.

    Args:
        alias: Of which database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def hold(self, messages: Sequence[Message], ways: Ways) -> list[Sent] | None:
        """In the outbox, if its app is installed; else in this process, until the commit.

        In tests, whose backend is in their process and has no relay, they are always held in the process.

        Raises:
            OptionError: One has an ordering key, and the outbox isn't told where the block of its sends ends.
            UnsupportedError: A queue can't do what a message asks for.
            MessageTooLarge: One is larger than its backend stores.
            SchemaMismatch: The outbox's tables aren't there.
            TransactionManagementError: The block is broken by an earlier error.
        """
        if not is_atomic(self._alias):
            return None
        if ways.eager_run is not None:
            for eager in [ways.eager_run(message) for message in messages]:
                transaction.on_commit(eager.run, using=self._alias)
        elif ways.store is None and apps.is_installed(OUTBOX_APP):
            return self._written(messages, ways)
        else:
            for message in messages:
                ways.row(message)  # what can be refused is refused within the transaction
            hold_until_commit(Held(messages, ways), connections[self._alias])
        return [Sent(id=message.id, stored=False) for message in messages]

    async def ahold(self, messages: Sequence[Message], ways: Ways) -> list[Sent] | None:
        """As `hold`, in the thread that has the connection."""
        return await run_off_the_loop(partial(self.hold, messages, ways))

    def _written(self, messages: Sequence[Message], ways: Ways) -> list[Sent]:
        for message in messages:
            refuse_waiting(message, "sent within a transaction")
            if message.ordering_key is not None:
                raise OptionError(
                    "a message with an ordering key is sent within a block, whose end keeps it in order",
                    hint=f'with cloudq.outbox_in(using="{self._alias}") as outbox: outbox.send(...)',
                )
        database = opened(using=self._alias)
        run(database, Ordered(database.dialect, ways.namespace).add([ways.row(message) for message in messages]))
        return [Sent(id=message.id) for message in messages]
