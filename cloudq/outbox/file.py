"""`FileOutbox`: an outbox in a SQLite file of the user's, read by one relay at a time."""

from __future__ import annotations

import os
import secrets
import socket
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from cloudq.errors import LeaseLost, StoreUnavailable
from cloudq.outbox.rows import OutboxRow
from cloudq.outbox.schema import NOW, missing
from cloudq.user_database import Dialect, Script, Statement, opened, run
from cloudq.user_database.faults import is_missing_table

T = TypeVar("T")

_MICROSECOND: Final = timedelta(microseconds=1)
_NOW: Final = NOW[Dialect.SQLITE]
# How long another writer is waited for.
_PATIENCE: Final = 5.0


class FileOutbox:
    """A connection of its own to the file, whose settings stay as they are.

    Args:
        path: The file, which has to be there.
        namespace: Whose relay this is: those of other namespaces may read beside it.
        lease: For how long it is the one that reads, from its last take on.
    """

    dialect = Dialect.SQLITE

    def __init__(self, path: Path, namespace: str, lease: timedelta) -> None:
        self._path = path
        self._namespace = namespace
        self._lease = lease
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._connection: sqlite3.Connection | None = None

    def look(self, script: Script[T]) -> T:
        """Carries a script out in a transaction of its own."""
        return self._transaction(script)

    def begin(self, taking: Callable[[], Script[Sequence[OutboxRow]]]) -> Sequence[OutboxRow]:
        """Takes rows, if this relay is the one that reads or can become it."""
        if not self._look_first():
            return ()
        return self._transaction(self._as_reader(taking()))

    def end(self, script: Script[None] | None) -> None:
        """Settles them, if it still is."""
        if script is not None:
            self._transaction(self._if_still_reader(script))

    def close(self) -> None:
        """Lets the next relay read, and closes the connection."""
        if self._connection is not None:
            with suppress(Exception):
                self._transaction(self._leaving())
            connection, self._connection = self._connection, None
            connection.close()

    def _look_first(self) -> bool:
        """Whether anything may be due, without a turn in the line of those who write."""
        look = Statement(
            f"select 1 from cloudq_outbox where namespace = :namespace and parked_at is null and due <= {_NOW} limit 1",
            {"namespace": self._namespace},
        )
        return bool(self._guarded(lambda connection: opened(connection).do(look)).rows)

    def _as_reader(self, script: Script[Sequence[OutboxRow]]) -> Script[Sequence[OutboxRow]]:
        rows = yield from script
        if not rows:
            return ()
        answer = yield Statement(
            "insert into cloudq_outbox_relays (namespace, owner, held_until) "
            f"values (:namespace, :owner, {_NOW} + :lease) on conflict (namespace) do update "
            "set owner = excluded.owner, held_until = excluded.held_until "
            f"where cloudq_outbox_relays.owner = excluded.owner or cloudq_outbox_relays.held_until <= {_NOW}",
            self._values() | {"lease": self._lease // _MICROSECOND},
        )
        return rows if answer.changed else ()

    def _if_still_reader(self, script: Script[None]) -> Script[None]:
        answer = yield Statement(
            "select 1 from cloudq_outbox_relays where namespace = :namespace and owner = :owner", self._values()
        )
        if not answer.rows:
            script.close()
            raise LeaseLost("another relay has read the outbox meanwhile: what was published may come twice")
        yield from script

    def _leaving(self) -> Script[None]:
        yield Statement(
            "delete from cloudq_outbox_relays where namespace = :namespace and owner = :owner", self._values()
        )

    def _values(self) -> dict[str, object]:
        return {"namespace": self._namespace, "owner": self._owner}

    def _transaction(self, script: Script[T]) -> T:
        def whole(connection: sqlite3.Connection) -> T:
            connection.execute("begin immediate")  # one that reads first may not be let write then
            try:
                result = run(opened(connection), script)
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
            return result

        return self._guarded(whole)

    def _guarded(self, call: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return call(self._connected())
        except sqlite3.Error as error:
            if is_missing_table(error):
                raise missing() from error
            raise StoreUnavailable(f"the outbox's database failed: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            uri = f"{self._path.absolute().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
        return self._connection
