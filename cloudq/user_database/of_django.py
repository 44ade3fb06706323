"""Django's connections, by their alias: each thread has its own."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from django.db import connections, transaction
from django.utils.connection import ConnectionDoesNotExist

from cloudq.errors import TransactionRefused
from cloudq.user_database import refusals
from cloudq.user_database.database import NoAsync
from cloudq.user_database.statements import NOTHING, Answer, Dialect, Move, Step

_VENDORS: Final = {"postgresql": Dialect.POSTGRESQL, "mysql": Dialect.MYSQL, "sqlite": Dialect.SQLITE}


class DjangoDatabase(NoAsync):
    """One of `DATABASES`. Its transaction is an `atomic` block, so that `on_commit` and the rest work as they do.

    Args:
        alias: Its name in the settings.
    """

    def __init__(self, alias: str) -> None:
        try:
            self._connection: Any = connections[alias]
        except ConnectionDoesNotExist as error:
            raise TransactionRefused(str(error), hint=f"known: {', '.join(connections)}") from error
        self._alias = alias
        self._atomic: Any = None
        self.given = self._connection
        if (dialect := _VENDORS.get(self._connection.vendor)) is None:
            raise refusals.dialect(self._connection.vendor)
        self.dialect = dialect

    def do(self, step: Step, /) -> Answer:
        """Carries a step out."""
        if isinstance(step, Move):
            self._move(step)
            return NOTHING
        with self._connection.cursor() as cursor:
            cursor.execute(step.in_pyformat(), dict(step.values))
            return Answer(cursor.fetchall() if cursor.description else (), cursor.rowcount)

    def _move(self, move: Move) -> None:
        match move:
            case Move.BEGIN:
                if _on_a_loop():
                    raise TransactionRefused(
                        "Django has no transactions in async code",
                        hint="make the task a def: a worker runs it in a thread",
                    )
                self._refuse_open()
                atomic: Any = transaction.atomic(using=self._alias, durable=True)
                atomic.__enter__()
                self._atomic = atomic
            case Move.JOIN:
                if not self._connection.in_atomic_block and self._connection.get_autocommit():
                    raise refusals.autocommit("within transaction.atomic()")
            case Move.STAY:
                if not self._connection.in_atomic_block and self._connection.get_autocommit():
                    raise refusals.ended()
            case Move.COMMIT:
                self._leave()
            case Move.ROLLBACK:
                if self._atomic is not None:
                    if self._connection.in_atomic_block:
                        self._connection.set_rollback(True)
                    self._leave()
            case Move.FLUSH:
                pass

    def _leave(self) -> None:
        atomic, self._atomic = self._atomic, None
        atomic.__exit__(None, None, None)

    def _refuse_open(self) -> None:
        blocks = self._connection.atomic_blocks
        if blocks:
            # The one around a TestCase is never committed; Django lets a durable block be in it, too.
            if not getattr(blocks[-1], "_from_testcase", False):
                raise refusals.already_open("leave the transaction.atomic() around the block: it makes its own")
        elif not self._connection.get_autocommit():
            raise TransactionRefused(
                "Django's own autocommit is off, so nothing would commit the block",
                hint="connection.set_autocommit(True) before the block, and no AUTOCOMMIT=False in DATABASES",
            )


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
