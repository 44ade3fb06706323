"""MariaDB's and MySQL's words: a claim is an insert, or else an update, and a look."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from cloudq.stores.sql.dialect import COLUMNS, FREE, LOCK_WAIT, NOTES, TABLE, Fault, Found, found, sql

# Beyond this many rounds a key changes hands faster than it can be read: the caller's next try looks again.
ROUNDS: Final = 8


class MySQL:
    """MariaDB and MySQL: first an insert, then an update of what is free, then a look.

    A locking read of rows that aren't there would lock the gap between their neighbours, and claims of different keys
    would wait for one another in a circle.
    """

    waits: Final = "1 = 1"
    at_connect: Final = (
        # What locks no gaps, whatever the server's own default is.
        "set session transaction isolation level read committed",
        f"set session innodb_lock_wait_timeout = {LOCK_WAIT}",
    )

    def __init__(self, now: str = "timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))") -> None:
        self.now = now

    def refusal(self, connection: Connection) -> str | None:
        """One that is set to be read only, or follows another one, as far as this user may ask."""
        reads, storage_reads = connection.execute(sql("select @@global.read_only, @@global.innodb_read_only")).one()
        if reads or storage_reads:
            return "allows no writes (read_only)"
        for statement in ("show replica status", "show slave status"):  # older ones know the second
            with suppress(DBAPIError):
                return "is a replica" if connection.execute(sql(statement)).first() else None
        return None

    def add_note(self) -> str:
        """An insert, which fails where a row is."""
        return f"""
            insert into {NOTES} (digest, namespace, name, version, written_at, kept_until, note)
            values (:digest, :namespace, :name, :version, {self.now}, {self.now} + :keep, :note)"""

    def claim(self, connection: Connection, values: Mapping[str, Any]) -> Found | None:
        """Each statement is a step of its own; what came between two of them is seen by the next."""
        for _ in range(ROUNDS):
            _ = self._insert(connection, values) or self._take(connection, values)
            row = connection.execute(
                sql(f"select {self.now}, {COLUMNS} from {TABLE} where digest = :digest"), values
            ).one_or_none()
            if row is None:
                continue  # forgotten, or swept, in between
            seen = found(row)
            if seen.owner == values["owner"] or seen.completed is not None or (seen.until or 0) > seen.now:
                return seen
        return None

    def _insert(self, connection: Connection, values: Mapping[str, Any]) -> bool:
        try:
            connection.execute(
                sql(f"""
                insert into {TABLE}
                       (digest, namespace, task, `key`, token, owner, held_until, kept_until, fingerprint)
                values (:digest, :namespace, :task, :key, {self.now}, :owner, {self.now} + :lease,
                        {self.now} + :lease + :keep, :fingerprint)"""),
                values,
            )
        except IntegrityError:
            return False
        return True

    def _take(self, connection: Connection, values: Mapping[str, Any]) -> bool:
        own = f"(owner = :owner and completed_at is null and held_until is not null and kept_until > {self.now})"
        free = FREE.replace("c.", "").format(now=self.now)
        renewed = connection.execute(
            sql(f"""
            update {TABLE} set kept_until = greatest(kept_until, {self.now} + :lease), held_until = {self.now} + :lease
             where digest = :digest and {own}"""),
            values,
        )
        if renewed.rowcount:
            return True
        result = connection.execute(
            sql(f"""
            update {TABLE}
               set token = greatest(token + 1, {self.now}), owner = :owner, held_until = {self.now} + :lease,
                   completed_at = null, kept_until = {self.now} + :lease + :keep, fingerprint = :fingerprint,
                   result = null
             where digest = :digest and {free} and not {own}"""),
            values,
        )
        return bool(result.rowcount)

    def fault(self, error: DBAPIError) -> Fault:
        """By its number."""
        code = error.orig.args[0] if error.orig is not None and error.orig.args else None
        return _NUMBERS.get(code, Fault.FAILED) if isinstance(code, int) else Fault.FAILED


_NUMBERS: Final[Mapping[int, Fault]] = {
    1213: Fault.AGAIN,  # deadlock
    1020: Fault.AGAIN,  # the row has changed since it was read
    1205: Fault.LOCKED,
    3572: Fault.LOCKED,
    **dict.fromkeys((1290, 1792, 1836, 1874), Fault.REFUSED),  # read only
    **dict.fromkeys((1044, 1045, 1142, 1143, 1227, 1698), Fault.REFUSED),  # who one is, and what one may
    **dict.fromkeys((1049, 1054, 1146), Fault.REFUSED),  # no such database, column, table
    **dict.fromkeys((1021, 1114, 3675), Fault.REFUSED),  # full
}
