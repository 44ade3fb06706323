"""`SqlStore`: the store contract on a database server. All times are the server's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cloudq.core.clock import from_micros
from cloudq.core.notes import shown_name
from cloudq.core.store import (
    Claim,
    Claimed,
    ClaimKey,
    Completed,
    Forgotten,
    InProgress,
    Record,
    RecordState,
)
from cloudq.errors import StoreRefused
from cloudq.stores.sql import schema
from cloudq.stores.sql.dialect import COLUMNS, TABLE, Dialect, Fault, Found, found, sql
from cloudq.stores.sql.faults import RowLocked, translated, unconnected
from cloudq.stores.sql.mysql import MySQL
from cloudq.stores.sql.notes import SqlNotes
from cloudq.stores.sql.postgresql import PostgreSQL

_MICROSECOND: Final = timedelta(microseconds=1)
# What is answered where another's statement holds the row: it is in somebody's hands, for a moment.
_BUSY: Final = timedelta(seconds=1)
_TRIES: Final = 8

DIALECTS: Final[dict[str, type[PostgreSQL | MySQL]]] = {
    "postgresql": PostgreSQL,
    "mysql": MySQL,
    "mariadb": MySQL,
}


class SqlStore:
    """Records in a table of their own, each change one statement that commits by itself.

    Args:
        engine: Connects to the server, on connections that nobody else uses and that commit each statement.
        namespace: Keeps the keys of apps apart that share a server.
        dialect: The server's words.
    """

    def __init__(self, engine: Engine, namespace: str, dialect: Dialect | None = None) -> None:
        self._engine = engine
        self._namespace = namespace
        self._dialect: Dialect = dialect or DIALECTS[engine.dialect.name]()
        self.notes = SqlNotes(namespace, self._dialect, self._repeated)
        if self._dialect.at_connect:
            event.listen(engine, "connect", self._tell)

    def check(self) -> None:
        """Looks at the server once.

        Raises:
            SchemaMismatch: Its tables are missing, or of another version.
            StoreRefused: It is a replica, or can only be read; or it refuses these credentials.
            StoreUnavailable: It can't be reached.
        """
        if reason := self._repeated(self._dialect.refusal):
            raise StoreRefused(
                f"the store's database server {reason}",
                hint="name the primary: claims are writes, and so is each renewal",
            )
        self._repeated(schema.check)

    def claim(
        self, key: ClaimKey, *, owner: str, lease: timedelta, fingerprint: bytes | None, keep: timedelta
    ) -> Claim:
        """Takes the key, unless somebody has it or its work is done."""
        values = self._values(key) | {
            "namespace": self._namespace,
            "task": shown_name(key.task),
            "key": shown_name(key.key),
            "owner": owner,
            "lease": lease // _MICROSECOND,
            "keep": keep // _MICROSECOND,
            "fingerprint": fingerprint,
        }

        def claim(connection: Connection) -> Found | None:
            return self._dialect.claim(connection, values)

        try:
            seen = self._repeated(claim)
        except RowLocked:
            seen = None
        if seen is None:
            return InProgress(_BUSY, None)
        if seen.completed is not None:
            return Completed(from_micros(seen.completed), seen.result, seen.fingerprint)
        if seen.owner == owner:
            return Claimed(seen.token)
        return InProgress(max(0, (seen.until or 0) - seen.now) * _MICROSECOND, seen.fingerprint)

    def renew(self, key: ClaimKey, token: int, lease: timedelta) -> bool:
        """Has the claim last for `lease` from now."""
        now = self._dialect.now
        return self._changes(
            f"""update {TABLE} set kept_until = greatest(kept_until, {now} + :lease), held_until = {now} + :lease
                 where {self._mine} and {self._dialect.waits}""",
            self._values(key) | {"token": token, "lease": lease // _MICROSECOND},
        )

    def complete(self, key: ClaimKey, token: int, *, result: bytes | None, keep: timedelta) -> bool:
        """Records that the work is done. Where that changes nothing, a look says whether it was done before."""
        now = self._dialect.now
        values = self._values(key) | {"token": token, "result": result, "keep": keep // _MICROSECOND}
        changed = self._changes(
            f"""update {TABLE} set completed_at = {now}, kept_until = {now} + :keep, held_until = null, result = :result
                 where {self._mine} and {self._dialect.waits}""",
            values,
        )
        return changed or self._is(values, "completed_at is not null")

    def release(self, key: ClaimKey, token: int) -> bool:
        """Gives the claim back."""
        values = self._values(key) | {"token": token}
        changed = self._changes(
            f"""update {TABLE} set held_until = null, owner = '', fingerprint = null
                 where {self._mine} and {self._dialect.waits}""",
            values,
        )
        return changed or self._is(values, "completed_at is null and held_until is null")

    def show(self, key: ClaimKey) -> Record | None:
        """What is there, or `None`."""
        row = self._read(
            f"select {self._dialect.now}, {COLUMNS} from {TABLE} where digest = :digest", self._values(key)
        )
        if row is None:
            return None
        seen = found(row)
        if seen.now >= seen.kept_until:
            return None
        return Record(
            state=_state(seen),
            token=seen.token,
            owner=seen.owner,
            until=None if seen.until is None else from_micros(seen.until),
            at=None if seen.completed is None else from_micros(seen.completed),
            keep_until=from_micros(seen.kept_until),
            fingerprint=seen.fingerprint,
            result=seen.result,
        )

    def forget(self, key: ClaimKey, *, force: bool = False) -> Forgotten:
        """Removes the record; that of a claim that holds only with `force`."""
        now = self._dialect.now
        free = "" if force else f"and (completed_at is not null or held_until is null or held_until <= {now})"
        if self._changes(
            f"delete from {TABLE} where digest = :digest and kept_until > {now} {free} and {self._dialect.waits}",
            self._values(key),
        ):
            return Forgotten.REMOVED
        return Forgotten.NOTHING_THERE if self.show(key) is None else Forgotten.STILL_RUNNING

    def sweep(self, limit: int) -> int:
        """Removes up to `limit` records, then notes, that were kept for long enough, of all namespaces."""
        digests = [
            bytes(row[0])
            for row in self._rows(
                f"select digest from {TABLE} where kept_until <= {self._dialect.now} order by kept_until limit :limit",
                {"limit": limit},
            )
        ]
        over = f"digest = :digest and kept_until <= {self._dialect.now} and {self._dialect.waits}"
        removed = sum(self._goes(f"delete from {TABLE} where {over}", {"digest": digest}) for digest in digests)
        return removed + self.notes.sweep(limit - removed)

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def _tell(self, connection: DBAPIConnection, record: object) -> None:
        del record
        with closing(connection.cursor()) as cursor:
            for statement in self._dialect.at_connect:
                cursor.execute(statement)

    @property
    def _of_token(self) -> str:
        return f"digest = :digest and token = :token and kept_until > {self._dialect.now}"

    @property
    def _mine(self) -> str:
        return f"{self._of_token} and completed_at is null and held_until is not null"

    def _values(self, key: ClaimKey) -> dict[str, Any]:
        return {"digest": key.digest(self._namespace)}

    def _changes(self, statement: str, values: dict[str, Any]) -> bool:
        return bool(self._repeated(lambda connection: connection.execute(sql(statement), values).rowcount))

    def _goes(self, statement: str, values: dict[str, Any]) -> bool:
        """As `_changes`; what somebody holds at the moment stays for the next sweep."""
        try:
            return self._changes(statement, values)
        except RowLocked:
            return False

    def _is(self, values: dict[str, Any], condition: str) -> bool:
        statement = f"select 1 from {TABLE} where {self._of_token} and {condition}"
        return self._read(statement, values) is not None

    def _read(self, statement: str, values: dict[str, Any]) -> Any:
        return self._repeated(lambda connection: connection.execute(sql(statement), values).one_or_none())

    def _rows(self, statement: str, values: dict[str, Any]) -> Any:
        return self._repeated(lambda connection: connection.execute(sql(statement), values).all())

    def _repeated(self, call: Callable[[Connection], Any]) -> Any:
        """The call's result. What got into another one's way is tried again; and once, where the connection was cut.

        Each call can be made again: see `Store`. A server that is silent has used up the time of one statement by then.
        """
        cut = False
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                with self._connection() as connection:
                    return call(connection)
            except DBAPIError as error:
                again = self._dialect.fault(error) is Fault.AGAIN or (error.connection_invalidated and not cut)
                if last or not again:
                    raise translated(error, self._dialect) from error
                cut = cut or error.connection_invalidated
        raise AssertionError("unreachable")

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
        except (DBAPIError, PoolTimeout) as error:
            raise unconnected(error, self._dialect, self._engine.url.password) from error
        with connection:
            yield connection


def _state(seen: Found) -> RecordState:
    if seen.completed is not None:
        return RecordState.COMPLETED
    if seen.until is None:
        return RecordState.RELEASED
    return RecordState.IN_PROGRESS if seen.now < seen.until else RecordState.LAPSED
