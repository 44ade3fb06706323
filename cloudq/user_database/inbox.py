"""The inbox: which messages' transactions were committed, in the user's own database, beside what they changed.

A row is inserted as the last statement before the commit, and never changed. So the effect and the knowledge that it is
there are one: either both are kept, or neither.

```
 worker 1   begin ── effect ── insert k ── commit ── dies before it can acknowledge
 worker 2                          begin ── effect ── insert k: there already ── rollback ── acknowledges
```
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from cloudq.user_database.statements import Dialect, Script, Statement
from cloudq.user_database.tables import Table

KEEP: Final = timedelta(days=62)
"""How long a row is kept at least: longer than any backend keeps a message and its dead letter together."""

NAME: Final = "cloudq_inbox"
MOST_SHOWN: Final = 10_000
_MICROSECOND: Final = timedelta(microseconds=1)

# Each database's time in microseconds since 1970; without colons and percent signs.
NOW: Final = {
    Dialect.POSTGRESQL: "cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)",
    Dialect.MYSQL: "timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))",
    Dialect.SQLITE: "cast((julianday('now') - 2440587.5) * 86400000000 as integer)",
}

TABLE: Final = Table(
    NAME,
    {
        Dialect.POSTGRESQL: (
            f"""create table if not exists {NAME} (
    digest bytea primary key, -- SHA-256 of namespace, task and key
    namespace text not null,
    task text not null,
    key text not null, -- the idempotency key, or the message's source and id
    message text not null, -- the id of the message that was first
    completed_at bigint not null, -- microseconds since 1970
    kept_until bigint not null
)""",
            f"create index if not exists {NAME}_kept on {NAME} (kept_until)",
        ),
        # Ids are compared by their bytes: the usual collations take A for a, and leave trailing spaces out.
        Dialect.MYSQL: (
            f"""create table if not exists {NAME} (
    digest binary(32) primary key, -- SHA-256 of namespace, task and key
    namespace text character set utf8mb4 collate utf8mb4_bin not null,
    task text character set utf8mb4 collate utf8mb4_bin not null,
    `key` text character set utf8mb4 collate utf8mb4_bin not null, -- the idempotency key, or the source and id
    message text character set utf8mb4 collate utf8mb4_bin not null, -- the id of the message that was first
    completed_at bigint not null, -- microseconds since 1970
    kept_until bigint not null,
    index {NAME}_kept (kept_until)
) engine = InnoDB""",
        ),
        Dialect.SQLITE: (
            f"""create table if not exists {NAME} (
    digest blob primary key, -- SHA-256 of namespace, task and key
    namespace text not null,
    task text not null,
    key text not null, -- the idempotency key, or the message's source and id
    message text not null, -- the id of the message that was first
    completed_at integer not null, -- microseconds since 1970
    kept_until integer not null
) without rowid""",
            f"create index if not exists {NAME}_kept on {NAME} (kept_until)",
        ),
    },
)


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """That the work of a message is done.

    Attributes:
        namespace: Keeps the keys of apps apart that share a database.
        tasks: The names of the task that the work has: a keyed one's aliases too, so that the same work is found under
            its old name during a rolling deploy.
        key: The idempotency key, or `None`: then it is this message's work alone.
        source: The message's source.
        message: The message's id.
        keep: For how long it is known.
    """

    namespace: str
    tasks: Sequence[str]
    key: str | None
    source: str
    message: str
    keep: timedelta = KEEP

    def digests(self) -> dict[bytes, str]:
        """The unique value for each of the task's names, in the order in which rows are inserted and locked."""
        parts = ("key", self.key) if self.key is not None else ("message", self.source, self.message)
        return dict(sorted((_digest(self.namespace, task, *parts), task) for task in self.tasks))


def is_there(completion: Completion, dialect: Dialect) -> Script[bool]:
    """Whether the work is done, as far as the transaction sees. Locks nothing.

    It isn't looked for under PostgreSQL's SERIALIZABLE: a read of a row that isn't there conflicts with each insertion
    beside it, and transactions of different keys would fail because of one another.
    """
    digests = list(completion.digests())
    names = ", ".join(f":d{number}" for number in range(len(digests)))
    found = f"exists (select 1 from {NAME} where digest in ({names}))"
    if dialect is Dialect.POSTGRESQL:
        found = f"case when current_setting('transaction_isolation') = 'serializable' then false else {found} end"
    answer = yield Statement(f"select {found}", {f"d{number}": digest for number, digest in enumerate(digests)})
    return bool(answer.rows[0][0])


def insertion(completion: Completion, dialect: Dialect) -> Statement:
    """What fails with a unique value that is there already, where the work is done."""
    now = NOW[dialect]
    key = "`key`" if dialect is Dialect.MYSQL else "key"
    digests = completion.digests()
    key_of = completion.key if completion.key is not None else f"{completion.source} {completion.message}"
    values: dict[str, object] = {
        "namespace": _for_people(completion.namespace),
        "key": _for_people(key_of),
        "message": _for_people(completion.message),
        "keep": completion.keep // _MICROSECOND,
    }
    rows = []
    for number, (digest, task) in enumerate(digests.items()):
        rows.append(f"(:d{number}, :namespace, :t{number}, :key, :message, {now}, {now} + :keep)")
        values |= {f"d{number}": digest, f"t{number}": _for_people(task)}
    columns = f"digest, namespace, task, {key}, message, completed_at, kept_until"
    return Statement(f"insert into {NAME} ({columns}) values {', '.join(rows)}", values)


def sweeping(limit: int, dialect: Dialect) -> Script[int]:
    """Removes up to `limit` rows that were kept for long enough; returns how many. Waits for no row of others."""
    due = f"kept_until <= {NOW[dialect]} order by kept_until limit :limit"
    skip = " for update skip locked" if dialect is Dialect.POSTGRESQL else ""
    where = due if dialect is Dialect.MYSQL else f"digest in (select digest from {NAME} where {due}{skip})"
    answer = yield Statement(f"delete from {NAME} where {where}", {"limit": limit})
    return answer.changed


def forgetting(task: str, key: str, namespace: str | None, dialect: Dialect) -> Script[int]:
    """Removes the rows of an idempotency key, in one namespace or in all; returns how many. Reads the whole table."""
    name = "`key`" if dialect is Dialect.MYSQL else "key"
    where, values = f"task = :task and {name} = :key", {"task": _for_people(task), "key": _for_people(key)}
    if namespace is not None:
        where, values = f"{where} and namespace = :namespace", {**values, "namespace": namespace}
    answer = yield Statement(f"delete from {NAME} where {where}", values)
    return answer.changed


def _for_people(text: str) -> str:
    """What a column takes: no database has surrogates, PostgreSQL no NUL, and MySQL's texts end."""
    return text[:MOST_SHOWN].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _digest(*parts: str) -> bytes:
    made = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        made.update(len(encoded).to_bytes(8) + encoded)
    return made.digest()
