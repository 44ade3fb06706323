"""PostgreSQL's words: a claim is one statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from cloudq.stores.sql.dialect import COLUMNS, FREE, LOCK_WAIT, NOTES, TABLE, Fault, Found, found, sql


class PostgreSQL:
    """One statement a claim.

    Nothing is set for a session: behind a pooler (PgBouncer) each statement may be another session's. So each one says
    itself how long it waits.
    """

    waits: Final = f"set_config('lock_timeout', '{LOCK_WAIT}s', true) is not null"
    at_connect: Final = ()

    def __init__(self, now: str = "(extract(epoch from clock_timestamp()) * 1000000)::bigint") -> None:
        self.now = now

    def refusal(self, connection: Connection) -> str | None:
        """A standby, or one whose transactions may only read."""
        standby, reads = connection.execute(
            sql("select pg_is_in_recovery(), current_setting('transaction_read_only')")
        ).one()
        if standby:
            return "is a standby, which can only be read"
        return "allows no writes (default_transaction_read_only)" if reads == "on" else None

    def add_note(self) -> str:
        """One statement, which takes the place of a note that was kept for long enough."""
        return f"""
            insert into {NOTES} as n (digest, namespace, name, version, written_at, kept_until, note)
            select :digest, :namespace, :name, :version, t.now, t.now + :keep, :note
              from (select {self.now} as now) t where {self.waits}
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
        free = f"({FREE.format(now='excluded.token')} and not {own})"
        row = connection.execute(
            sql(f"""
            insert into {TABLE} as c
                   (digest, namespace, task, key, token, owner, held_until, kept_until, fingerprint)
            select :digest, :namespace, :task, :key, t.now, :owner, t.now + :lease, t.now + :lease + :keep,
                   :fingerprint
              from (select {self.now} as now) t where {self.waits}
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

    def fault(self, error: DBAPIError) -> Fault:
        """By its SQLSTATE."""
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or ""
        return _STATES.get(state) or _STATES.get(state[:2], Fault.FAILED)


_STATES: Final[Mapping[str, Fault]] = {
    "40001": Fault.AGAIN,  # another transaction came between, under REPEATABLE READ or SERIALIZABLE
    "40P01": Fault.AGAIN,  # deadlock
    "55P03": Fault.LOCKED,
    "25006": Fault.REFUSED,  # read only
    "28": Fault.REFUSED,  # who one is
    "3D000": Fault.REFUSED,  # no such database
    "42": Fault.REFUSED,  # no such table, no such right
    "53100": Fault.REFUSED,  # the disk is full
}
