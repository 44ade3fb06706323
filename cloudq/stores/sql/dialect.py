"""What each database says in its own words: its time, and the claim, which has to be taken in one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import DBAPIError, IntegrityError

TABLE: Final = "cloudq_claims"
NOTES: Final = "cloudq_notes"
# Beyond this many rounds a key changes hands faster than it can be read: the caller's next try looks again.
ROUNDS: Final = 8

Execute = Callable[[str, Mapping[str, Any]], Any]


class Found(NamedTuple):
    """A row, and the server's time at which it was read, in microseconds since 1970."""

    now: int
    token: int
    owner: str
    until: int | None
    completed: int | None
    kept_until: int
    fingerprint: bytes | None
    result: bytes | None


COLUMNS: Final = "token, owner, held_until, completed_at, kept_until, fingerprint, result"


def found(row: Row[Any]) -> Found:
    """A row as it was read, whatever the database's own type of bytes."""
    now, token, owner, until, completed, kept_until, fingerprint, result = tuple(row)
    return Found(
        int(now),
        int(token),
        str(owner),
        until,
        completed,
        int(kept_until),
        None if fingerprint is None else bytes(fingerprint),
        None if result is None else bytes(result),
    )


class Dialect(Protocol):
    """One kind of database."""

    now: str
    """Its time, as an SQL expression: microseconds since 1970."""

    def create(self) -> str:
        """The statement that makes the table."""
        ...

    def create_notes(self) -> str:
        """The statement that makes the table of notes."""
        ...

    def add_note(self) -> str:
        """The statement that adds a note where none is. Where one is that was kept for long enough, it may take it."""
        ...

    def claim(self, connection: Connection, values: Mapping[str, Any]) -> Found | None:
        """Claims, and reads what is there then. `None`: it couldn't be read; somebody else is at it."""
        ...

    def is_busy(self, error: DBAPIError) -> bool:
        """Whether somebody else holds the row at the moment, or the statement has to be repeated."""
        ...


_FREE: Final = "(c.kept_until <= {now} or (c.completed_at is null and (c.held_until is null or c.held_until <= {now})))"


class PostgreSQL:
    """One statement a claim."""

    def __init__(self, now: str = "(extract(epoch from clock_timestamp()) * 1000000)::bigint") -> None:
        self.now = now

    def create(self) -> str:
        """The statement that makes the table."""
        return f"""
            create table if not exists {TABLE} (
                digest bytea primary key,
                namespace text not null,
                task text not null,
                key text not null,
                token bigint not null,
                owner text not null,
                held_until bigint,
                completed_at bigint,
                kept_until bigint not null,
                fingerprint bytea,
                result bytea
            )"""

    def create_notes(self) -> str:
        """The statement that makes the table of notes."""
        return f"""
            create table if not exists {NOTES} (
                digest bytea primary key,
                namespace text not null,
                name text not null,
                version bigint not null,
                written_at bigint not null,
                kept_until bigint not null,
                note bytea not null
            )"""

    def add_note(self) -> str:
        """One statement, which takes the place of a note that was kept for long enough."""
        return f"""
            insert into {NOTES} as n (digest, namespace, name, version, written_at, kept_until, note)
            select :digest, :namespace, :name, :version, t.now, t.now + :keep, :note from (select {self.now} as now) t
                on conflict (digest) do update set
                   version = excluded.version, written_at = excluded.written_at, kept_until = excluded.kept_until,
                   note = excluded.note
             where n.kept_until <= excluded.written_at"""

    def claim(self, connection: Connection, values: Mapping[str, Any]) -> Found | None:
        """`insert ... on conflict`: one step, whatever other claims come.

        What is refused is written too, as it was: a `where` would bring no row then, and the reader would need a second
        look, between which the row may be gone.
        """
        # The inserted token is the time, which so is read once.
        held = "c.completed_at is null and c.held_until is not null and c.kept_until > excluded.token"
        own = f"(c.owner = excluded.owner and {held})"
        free = f"({_FREE.format(now='excluded.token')} and not {own})"
        row = connection.execute(
            text(f"""
            insert into {TABLE} as c
                   (digest, namespace, task, key, token, owner, held_until, kept_until, fingerprint)
            select :digest, :namespace, :task, :key, t.now, :owner, t.now + :lease, t.now + :lease + :keep,
                   :fingerprint
              from (select {self.now} as now) t
                on conflict (digest) do update set
                   token = case when {free} then greatest(c.token + 1, excluded.token) else c.token end,
                   owner = case when {free} then excluded.owner else c.owner end,
                   held_until = case when {free} or {own} then excluded.held_until else c.held_until end,
                   completed_at = case when {free} then null else c.completed_at end,
                   kept_until = case when {free} then excluded.kept_until
                                     when {own} then greatest(c.kept_until, excluded.held_until)
                                     else c.kept_until end,
                   fingerprint = case when {free} then excluded.fingerprint else c.fingerprint end,
                   result = case when {free} then null else c.result end
         returning {self.now}, {COLUMNS}"""),
            values,
        ).one()
        return found(row)

    def is_busy(self, error: DBAPIError) -> bool:
        """Serialization failures, deadlocks, lock time-outs."""
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        return state in {"40001", "40P01", "55P03"}


class MySQL:
    """MariaDB and MySQL: first an insert, then an update of what is free, then a look.

    A locking read of rows that aren't there would lock the gap between their neighbours, and claims of different keys
    would wait for one another in a circle.
    """

    def __init__(self, now: str = "timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))") -> None:
        self.now = now

    def create(self) -> str:
        """The statement that makes the table."""
        # Ids are compared by their bytes: the usual collations take A for a, and leave trailing spaces out.
        return f"""
            create table if not exists {TABLE} (
                digest binary(32) primary key,
                namespace varchar(128) character set utf8mb4 collate utf8mb4_bin not null,
                task text character set utf8mb4 collate utf8mb4_bin not null,
                `key` text character set utf8mb4 collate utf8mb4_bin not null,
                token bigint not null,
                owner varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
                held_until bigint,
                completed_at bigint,
                kept_until bigint not null,
                fingerprint binary(32),
                result longblob,
                index cloudq_claims_kept (kept_until)
            ) engine = InnoDB"""

    def create_notes(self) -> str:
        """The statement that makes the table of notes."""
        return f"""
            create table if not exists {NOTES} (
                digest binary(32) primary key,
                namespace varchar(128) character set utf8mb4 collate utf8mb4_bin not null,
                name text character set utf8mb4 collate utf8mb4_bin not null,
                version bigint not null,
                written_at bigint not null,
                kept_until bigint not null,
                note longblob not null,
                index cloudq_notes_kept (kept_until)
            ) engine = InnoDB"""

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
                text(f"select {self.now}, {COLUMNS} from {TABLE} where digest = :digest"), values
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
                text(f"""
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
        free = _FREE.replace("c.", "").format(now=self.now)
        renewed = connection.execute(
            text(f"""
            update {TABLE} set kept_until = greatest(kept_until, {self.now} + :lease), held_until = {self.now} + :lease
             where digest = :digest and {own}"""),
            values,
        )
        if renewed.rowcount:
            return True
        result = connection.execute(
            text(f"""
            update {TABLE}
               set token = greatest(token + 1, {self.now}), owner = :owner, held_until = {self.now} + :lease,
                   completed_at = null, kept_until = {self.now} + :lease + :keep, fingerprint = :fingerprint,
                   result = null
             where digest = :digest and {free} and not {own}"""),
            values,
        )
        return bool(result.rowcount)

    def is_busy(self, error: DBAPIError) -> bool:
        """1205 lock wait time-out, 1213 deadlock, 1020 the row has changed since it was read."""
        code = error.orig.args[0] if error.orig is not None and error.orig.args else None
        return code in {1205, 1213, 1020}
