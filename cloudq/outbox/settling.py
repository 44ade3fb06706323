"""What is written down of rows, as the SQL of each database: published, failed, parked, tried again, skipped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from cloudq.core.clock import from_micros
from cloudq.outbox.rows import Failed, OutboxStatus, Parked, ParkedRow
from cloudq.outbox.schema import NOW
from cloudq.outbox.taking import among, listed, listing
from cloudq.user_database import Answer, Dialect, Script, Statement

MOST_OF_AN_ERROR: Final = 2_000
"""Characters of what is kept of an error."""
_MICROSECOND: Final = timedelta(microseconds=1)


class Settling:
    """The statements of one outbox.

    Args:
        dialect: The database's.
        namespace: Whose rows.
    """

    def __init__(self, dialect: Dialect, namespace: str) -> None:
        self._dialect = dialect
        self._namespace = namespace
        self._now = NOW[dialect]

    def settle(self, published: Collection[int], failed: Sequence[Failed], parked: Sequence[Parked]) -> Script[None]:
        """Deletes what is published, and writes down why the rest isn't. The transaction is the caller's."""
        for part in listed(sorted(published)):
            yield self._deletion(part, "")
        for failure in failed:
            yield Statement(
                f"update cloudq_outbox {self._primary} set attempts = attempts + 1, last_error = :why, "
                f"due = {self._now} + :again where id = :id",
                {
                    "id": failure.id,
                    "why": _shortened(failure.why),
                    "again": max(0, failure.again_in // _MICROSECOND),
                },
            )
        for row in parked:
            yield Statement(
                f"update cloudq_outbox {self._primary} set attempts = attempts + 1, last_error = :why, "
                f"parked_at = {self._now} where id = :id",
                {"id": row.id, "why": _shortened(row.why)},
            )

    def retry(self, ids: Collection[int] | None) -> Script[int]:
        """Makes parked rows due: those of `ids`, or all of the namespace. Returns how many."""
        if ids is None:
            answer = yield Statement(
                "select id from cloudq_outbox where namespace = :namespace and parked_at is not null",
                {"namespace": self._namespace},
            )
            ids = [int(row[0]) for row in answer.rows]
        changed = 0
        for part in listed(sorted(ids)):
            answer = yield Statement(
                f"update cloudq_outbox {self._primary} set parked_at = null, attempts = 0, due = 0 "
                f"where {among(self._dialect, part)} and namespace = :namespace and parked_at is not null",
                {"namespace": self._namespace, **listing(self._dialect, part)},
            )
            changed += answer.changed
        return changed

    def skip(self, ids: Collection[int]) -> Script[int]:
        """Deletes parked rows of the namespace, so that what waits behind them goes on. Returns how many."""
        changed = 0
        for part in listed(sorted(ids)):
            answer = yield self._deletion(part, " and parked_at is not null")
            changed += answer.changed
        return changed

    def status(self) -> Script[list[OutboxStatus]]:
        """How each namespace stands that has rows, and the reader's own in any case, first."""
        # Each row is looked at once, and each key that has a parked row: a backlog may be long.
        parked_keys = (
            "select distinct namespace, key_digest from cloudq_outbox where parked_at is not null"
            " and key_digest > :unkeyed"
        )
        answer = yield Statement(
            "select o.namespace, count(*), count(o.parked_at),"
            " sum(case when o.parked_at is null and p.key_digest is not null then 1 else 0 end),"
            " sum(case when o.parked_at is null and o.attempts > 0 then 1 else 0 end),"
            f" {self._now} - min(case when o.parked_at is null and p.key_digest is null then o.created_at end)"
            f" from cloudq_outbox o left join ({parked_keys}) p"
            " on p.namespace = o.namespace and p.key_digest = o.key_digest"
            " group by o.namespace order by o.namespace",
            {"unkeyed": b""},
        )
        found = {
            str(namespace): OutboxStatus(
                namespace=str(namespace),
                waiting=int(rows) - int(parked),
                failing=int(failing),
                parked=int(parked),
                held_back=int(held_back),
                oldest=None if age is None else max(0, int(age)) * _MICROSECOND,
            )
            for namespace, rows, parked, held_back, failing, age in answer.rows
        }
        own = found.pop(self._namespace, OutboxStatus(namespace=self._namespace))
        return [own, *found.values()]

    def parked(self, limit: int, after: int) -> Script[list[ParkedRow]]:
        """Up to `limit` parked rows of the namespace, from behind the one with the id `after`."""
        answer: Answer = yield Statement(
            "select o.id, o.queue, o.task, o.ordering_key, o.attempts, o.last_error, o.created_at, o.parked_at,"
            " case when o.key_digest = :unkeyed then 0 else (select count(*) - 1 from cloudq_outbox b"
            " where b.namespace = o.namespace and b.key_digest = o.key_digest) end"
            " from cloudq_outbox o where o.namespace = :namespace and o.parked_at is not null and o.id > :after"
            " order by o.id limit :most",
            {"unkeyed": b"", "namespace": self._namespace, "after": after, "most": limit},
        )
        return [
            ParkedRow(
                id=int(id_),
                queue=str(queue),
                task=str(task),
                ordering_key=None if key is None else str(key),
                attempts=int(attempts),
                why=str(why or ""),
                created_at=from_micros(int(created)),
                parked_at=from_micros(int(parked)),
                behind=int(behind),
            )
            for id_, queue, task, key, attempts, why, created, parked, behind in answer.rows
        ]

    def _deletion(self, ids: Sequence[int], more: str) -> Statement:
        condition = f"where {among(self._dialect, ids)} and namespace = :namespace{more}"
        if self._dialect is Dialect.MYSQL:  # the form that takes a hint
            text = f"delete cloudq_outbox from cloudq_outbox {self._primary} {condition}"
        else:
            text = f"delete from cloudq_outbox {condition}"
        return Statement(text, {"namespace": self._namespace, **listing(self._dialect, ids)})

    @property
    def _primary(self) -> str:
        # Else an optimizer may read the whole table, and wait for what producers have inserted.
        return "force index (primary)" if self._dialect is Dialect.MYSQL else ""


def _shortened(why: str) -> str:
    """What every database keeps of it: PostgreSQL has no NUL in a text."""
    return why[:MOST_OF_AN_ERROR].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
